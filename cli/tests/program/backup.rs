//! `backup`: beside a writer and without one, what it prints and what it refuses.

use crate::common::writer::Writer;
use crate::common::{
    Function, Place, duramen, given, head_text, hex, lines, printed, printed_json, refused,
    store_of,
};

#[test]
fn a_copy_is_made_beside_a_writer_and_has_what_it_acknowledged() {
    let place = Place::new();
    let mut writer = Writer::new(&place, "--checkpoint-policy every:2");
    let mut text = String::new();
    for round in 0..12 {
        let line = format!("line {round}\n");
        writer.append(&line);
        text += &line;
        let told = printed(duramen(&place, &format!("backup DIR @copy-{round}")));
        let root = Function::Blake3.root(4, &lines(Function::Blake3, text.as_bytes()));
        let expected = head_text(round + 1, root);
        assert!(told.starts_with(&expected), "{told}");
        assert!(told.ends_with(" copied\n"), "{told}");
        assert_eq!(printed(duramen(&place, &format!("head @copy-{round}"))), expected);
    }
    writer.end();
    // The copies are stores of their own.
    printed(given(&place, "append @copy-3", "another\n"));
    for (name, leaves) in [("copy-3", 5), ("copy-11", 12), ("store", 12)] {
        let scrubbed = printed(duramen(&place, &format!("scrub @{name}")));
        assert!(scrubbed.ends_with("no damage\n"), "{name}");
        let checked = printed(duramen(&place, &format!("fsck @{name}")));
        assert!(checked.ends_with(&format!("{leaves} leaves\n")), "{name}");
    }
}

#[test]
fn a_copy_is_told_as_json_and_links_what_it_can() {
    let place = Place::new();
    let text: String = (0..1000).map(|line| format!("line {line}\n")).collect();
    printed(given(
        &place,
        "append DIR --hasher sha256 --arity 2 --checkpoint-policy close",
        text.as_str(),
    ));
    let json = printed_json(duramen(&place, "backup DIR @copy --json"));
    let root = Function::Sha256.root(2, &lines(Function::Sha256, text.as_bytes()));
    assert_eq!(json["trees"][0]["tree"], "main");
    assert_eq!(json["trees"][0]["size"], 1000);
    assert_eq!(json["trees"][0]["root"], hex(&root));
    assert_eq!(json["parts"], 1);
    let part = place.path("copy/parts/00000001.part").metadata().unwrap().len();
    assert_eq!(json["bytes_linked"], part);
    assert!(json["bytes_copied"].as_u64().unwrap() < 64 << 10);
    assert_eq!(printed(duramen(&place, "head @copy")), head_text(1000, root));
}

#[test]
fn a_directory_that_is_not_empty_and_one_that_is_no_store_are_refused() {
    let place = store_of("one\n");
    std::fs::create_dir(place.path("full")).unwrap();
    place.file("full/notes.txt", "mine");
    let told = refused(duramen(&place, "backup DIR @full"), 2);
    assert!(told.contains("is not empty") && told.contains("notes.txt"), "{told}");
    assert!(refused(duramen(&place, "backup DIR @store"), 2).contains("is not empty"));
    std::fs::create_dir(place.path("empty")).unwrap();
    assert!(refused(duramen(&place, "backup @empty @copy"), 3).contains("there is no store"));
    assert!(!place.path("copy").exists());
    printed(duramen(&place, "backup DIR @empty"));
}

#[test]
fn a_backup_that_went_on_by_itself_and_the_store_itself_are_refused_and_stay() {
    let place = store_of("one\ntwo\n");
    let before = printed(duramen(&place, "fsck DIR"));
    std::os::unix::fs::symlink(place.path("store"), place.path("link")).unwrap();
    for itself in ["DIR", "@link"] {
        let told = refused(duramen(&place, &format!("backup DIR {itself} --incremental")), 1);
        assert!(told.contains("is the store itself, and not a backup of it"), "{told}");
        assert_eq!(printed(duramen(&place, "fsck DIR")), before);
    }
    printed(duramen(&place, "backup DIR @copy --incremental"));
    printed(given(&place, "append @copy --tree own", "three\n"));
    let head = printed(duramen(&place, "head @copy --all"));
    let told = refused(duramen(&place, "backup DIR @copy --incremental"), 1);
    assert!(told.contains("its tree \"own\" is not one of the store's"), "{told}");
    assert_eq!(printed(duramen(&place, "head @copy --all")), head);
}
