//! A store that is open in another process: who is refused is told which one, and may wait for it.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::common::writer::Writer;
use crate::common::{Place, duramen, given, printed, refused};

/// Every command that locks, for a store whose tree keeps entries.
const LOCKING: [&str; 12] = [
    "append DIR",
    "import DIR --format jsonl",
    "erase DIR 0 --reason x --yes",
    "compact DIR",
    "checkpoint DIR",
    "index DIR",
    "scrub DIR --repair",
    "seal DIR main",
    "drop-tree DIR main --yes",
    "mark DIR name",
    "rewind DIR 0 --yes",
    "prune DIR --below 0 --yes",
];

#[test]
fn every_command_that_locks_names_the_process_that_has_the_store() {
    let place = Place::new();
    let mut writer = Writer::new(&place, "--entries");
    writer.append("one\n");
    let owner = format!("is already open, in process {} on ", writer.pid());
    for line in LOCKING {
        for wait in ["", "--wait-lock 60ms"] {
            let text = refused(given(&place, &format!("{line} {wait}"), ""), 4);
            assert!(text.contains(&owner) && text.contains(" since 20"), "{line}: {text}");
        }
        assert!(
            refused(given(&place, &format!("{line} --wait-lock 0s"), ""), 2)
                .contains("longer than zero")
        );
    }
    assert!(printed(duramen(&place, "dump @store/LOCK")).contains(&format!("{} on", writer.pid())));
    writer.end();
    let text = printed(duramen(&place, "dump @store/LOCK"));
    assert_eq!(text, "lock file, 0 bytes; contents unused\n");
}

#[test]
fn a_command_waits_for_the_store_as_long_as_it_is_told() {
    for line in LOCKING {
        let place = Place::new();
        let mut writer = Writer::new(&place, "--entries");
        writer.append("one\n");
        let store = place.path("store");
        let store = store.to_str().unwrap();
        let words = line.split(' ').map(|word| if word == "DIR" { store } else { word });
        let mut waiting = Command::new(env!("CARGO_BIN_EXE_duramen"));
        waiting.args(words).args(["--wait-lock", "5m"]).stdin(Stdio::null());
        let mut waiting = waiting.stdout(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(150));
        assert_eq!(waiting.try_wait().unwrap(), None, "{line}");
        writer.end();
        let start = Instant::now();
        let status = loop {
            if let Some(status) = waiting.try_wait().unwrap() {
                break status;
            }
            assert!(start.elapsed() < Duration::from_secs(60), "{line} waits for a free store");
            std::thread::sleep(Duration::from_millis(5));
        };
        assert!(status.success(), "{line}: {status}");
    }
}
