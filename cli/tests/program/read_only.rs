//! `duramen serve --read-only`: a store that another process writes, and one that must not sign.

use std::time::Duration;

use crate::common::process::{Process, command};
use crate::common::{Place, duramen, printed, refused};

const SERVE: &str = "serve @store --listen 127.0.0.1:0 --key @key --checkpoint-interval 20ms";

fn place() -> Place {
    let place = Place::new();
    printed(duramen(&place, "keygen example.com/log -o @key"));
    place
}

fn start(place: &Place, line: &str) -> Process {
    Process::start(command(place, &[], line))
}

/// Adds an entry, and returns the checkpoint that has it.
fn add(log: &Process, entry: &str) -> String {
    let added = log.request("POST", "/add?wait=checkpoint", entry.as_bytes());
    assert_eq!(added.status, 200, "{added:?}");
    log.get("/checkpoint").text().to_owned()
}

#[test]
fn a_second_process_serves_what_the_first_one_publishes_and_takes_nothing() {
    let place = place();
    let writer = start(&place, &format!("{SERVE} --first-anchor"));
    let first = add(&writer, "entry 0");
    let reader = start(&place, &format!("{SERVE} --read-only"));
    assert_eq!(reader.get("/checkpoint").text(), first);
    for path in ["/add", "/add-batch", "/main/add"] {
        let refused = reader.request("POST", path, b"x");
        assert_eq!(refused.status, 403, "{path}: {refused:?}");
        assert!(refused.text().contains("served read-only"), "{refused:?}");
    }
    let mut last = first;
    for number in 1..300 {
        last = add(&writer, &format!("entry {number}"));
    }
    let shown = (0..500).any(|_| {
        std::thread::sleep(Duration::from_millis(20));
        reader.get("/main/checkpoint").text() == last
    });
    assert!(shown, "the last checkpoint is not shown");
    for path in ["/tile/0/000", "/tile/0/001.p/44", "/tile/entries/000", "/main/tile/1/000.p/1"] {
        let (read, written) = (reader.get(path), writer.get(path));
        assert_eq!((read.status, written.status), (200, 200), "{path}");
        assert_eq!(read.body, written.body, "{path}");
    }
    assert_eq!(reader.get("/tile/0/001.p/45").status, 404);
    assert_eq!(reader.get("/readyz").status, 200);
    // Nothing keeps the store from the one that writes it.
    writer.stop();
    let writer = start(&place, SERVE);
    assert_eq!(reader.get("/checkpoint").text(), last);
    reader.stop();
    writer.stop();
}

#[test]
fn a_restored_backup_is_served_with_a_checkpoint_that_was_signed_before() {
    let place = place();
    let writer = start(&place, &format!("{SERVE} --first-anchor"));
    let old = add(&writer, "entry 0");
    place.file("old", &old);
    writer.stop();
    printed(duramen(&place, "backup @store @backup"));
    let writer = start(&place, SERVE);
    let new = add(&writer, "entry 1");
    place.file("new", &new);
    writer.stop();

    let restored = SERVE.replace("@store", "@backup");
    let told = refused(duramen(&place, &restored), 2);
    assert!(told.contains("fewer than were signed"), "{told}");
    let told = refused(duramen(&place, &format!("{restored} --read-only")), 2);
    assert!(told.contains("fewer than were signed"), "{told}");
    let told = refused(duramen(&place, &format!("{restored} --read-only --checkpoint @new")), 2);
    assert!(told.contains("does not have the tree of the checkpoint"), "{told}");
    let reader = start(&place, &format!("{restored} --read-only --checkpoint @old"));
    assert_eq!(reader.get("/checkpoint").text(), old);
    assert_eq!(reader.get("/tile/entries/000.p/1").status, 200);
    assert_eq!(reader.request("POST", "/add", b"x").status, 403);
    reader.stop();
    // A checkpoint that another key signed is none.
    printed(duramen(&place, "keygen example.com/log -o @other"));
    let other = format!("{restored} --read-only --checkpoint @old").replace("@key", "@other");
    assert!(
        refused(duramen(&place, &other), 2).contains("is not a checkpoint that the key signed")
    );
    let told = refused(duramen(&place, &format!("{restored} --read-only --first-anchor")), 2);
    assert!(told.contains("--first-anchor"), "{told}");
}
