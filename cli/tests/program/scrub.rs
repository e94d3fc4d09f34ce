//! `scrub`: what it prints, what it repairs, and its exit status.

use crate::common::shell::shell;
use crate::common::{Place, duramen, given, printed, printed_json, refused, store_of, told};
use serde_json::Value;

/// A store of 1000 lines with one part.
fn store() -> Place {
    store_of((0..1000).map(|line| format!("line {line}\n")).collect::<String>())
}

fn damage(place: &Place, at: usize) {
    let file = place.path("store/parts/00000001.part");
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[at] ^= 1;
    std::fs::write(file, bytes).unwrap();
}

#[test]
fn an_intact_store_is_verified_with_a_rate_beside_the_hash_functions() {
    let place = store();
    let text = printed(duramen(&place, "scrub DIR"));
    assert!(text.contains("verified 1000 leaves in 1 part,"), "{text}");
    assert!(text.contains("rate ") && !text.contains("the hash function alone"), "{text}");
    let measured = printed(duramen(&place, "scrub DIR --kernel"));
    assert!(measured.contains(", the hash function alone"), "{measured}");
    assert!(text.ends_with("no damage\n"), "{text}");
    let json = printed_json(duramen(&place, "scrub DIR --json"));
    assert_eq!(json["clean"], true);
    assert_eq!(json["leaves"], 1000);
    assert!(json["kernel_leaves_per_second"].is_null());
    let json = printed_json(duramen(&place, "scrub DIR --kernel --json"));
    assert!(json["kernel_leaves_per_second"].as_f64().unwrap() > 0.0);
    printed(duramen(&place, "scrub DIR --rate 1GB"));
}

#[test]
fn damaged_nodes_are_told_and_repaired_and_damaged_leaves_only_told() {
    let place = store();
    let head = printed(duramen(&place, "head DIR"));
    // The leaves take blocks 1 to 8; their parents begin in block 9.
    damage(&place, 9 * 4096 + 7);
    let text = told(duramen(&place, "scrub DIR"), 1);
    assert!(
        text.contains(
            "nodes of level 1 of tree \"main\", block 9, leaves 0 to 511): can be rebuilt"
        ),
        "{text}"
    );
    let text = printed(duramen(&place, "scrub DIR --repair"));
    assert!(text.contains("wrote ") && text.contains("00000002.part"), "{text}");
    assert_eq!(printed(duramen(&place, "head DIR")), head);
    assert!(printed(duramen(&place, "scrub DIR")).ends_with("no damage\n"));

    let place = store();
    damage(&place, 2 * 4096);
    for line in ["scrub DIR --json", "scrub DIR --json --repair"] {
        let json: Value = serde_json::from_str(&told(duramen(&place, line), 1)).unwrap();
        let finding = &json["findings"][0];
        assert_eq!(json["clean"], false);
        assert_eq!(finding["what"], "leaves");
        assert_eq!(finding["first_leaf"], 128);
        assert_eq!(finding["last_leaf"], 255);
        assert_eq!(finding["remedy"], "cannot be repaired");
    }
}

#[test]
fn damaged_leaves_are_taken_from_a_backup_and_only_from_one_of_this_store() {
    let place = store();
    let head = printed(duramen(&place, "head DIR"));
    printed(duramen(&place, "backup DIR @copy"));
    // The parts of the copy are links: the damaged one is written again.
    let part = place.path("store/parts/00000001.part");
    let bytes = std::fs::read(&part).unwrap();
    std::fs::remove_file(&part).unwrap();
    std::fs::write(&part, bytes).unwrap();
    damage(&place, 2 * 4096);
    let text = told(duramen(&place, "scrub DIR --from @copy"), 1);
    assert!(text.contains("leaves 128 to 255): can be taken from the backup"), "{text}");
    assert!(text.contains("0 taken from") && text.contains("1 can be taken from there"), "{text}");
    let text = printed(duramen(&place, "scrub DIR --repair --from @copy"));
    assert!(text.contains("leaves 128 to 255): taken from the backup"), "{text}");
    assert!(text.contains("1 taken from") && text.contains("wrote "), "{text}");
    assert_eq!(printed(duramen(&place, "head DIR")), head);
    assert!(printed(duramen(&place, "scrub DIR")).ends_with("no damage\n"));

    printed(given(&place, "append @other", "another store\n"));
    let text = refused(duramen(&place, "scrub DIR --repair --from @other"), 1);
    assert!(text.contains("which is not a backup of store"), "{text}");
    refused(duramen(&place, "scrub DIR --from @missing"), 3);
}

#[test]
fn fsck_tells_every_file_and_dump_what_stands_in_it() {
    let place = store();
    let text = printed(duramen(&place, "fsck DIR"));
    assert!(text.contains("in force") && text.ends_with("1000 leaves\n"), "{text}");
    let json = printed_json(duramen(&place, "fsck DIR --json"));
    assert_eq!(json["clean"], true);
    for file in json["files"].as_array().unwrap() {
        let mut command = duramen(&place, "dump");
        command.arg(file["file"].as_str().unwrap());
        assert!(!printed(command).is_empty());
    }
    damage(&place, 100);
    let text = told(duramen(&place, "fsck DIR"), 1);
    assert!(text.contains("PROBLEM: checksum mismatch"), "{text}");
    let text = told(duramen(&place, "dump @store/parts/00000001.part"), 1);
    assert!(text.contains("DAMAGED: header"), "{text}");
    duramen(&place, "fsck no-such-store").assert().code(3);
    duramen(&place, "dump no-such-file").assert().code(2);
}

#[test]
fn files_are_named_by_the_path_that_was_given() {
    let place = store();
    std::fs::write(place.path("store/parts/notes.txt"), "").unwrap();
    damage(&place, 100);
    let here = place.dir().file_name().unwrap().to_str().unwrap();
    let absolute = place.path("store").display().to_string();
    for given in ["store", "./store", "store/", &format!("../{here}/store"), &absolute] {
        let file = format!("{}/", given.trim_end_matches('/'));
        let text = shell(place.dir(), &format!("\"$D\" fsck {given}")).stdout;
        let text = String::from_utf8(text).unwrap();
        let files: Vec<&str> = text.lines().filter_map(|line| line.get(9 + 1 + 12 + 1..)).collect();
        assert_eq!(files.len(), 7, "{text}");
        assert!(files.iter().all(|line| line.starts_with(&file)), "{given}: {text}");
        assert!(text.contains(&format!("PROBLEM: checksum mismatch in {file}parts/")), "{text}");
        let text = shell(place.dir(), &format!("\"$D\" scrub {given}")).stdout;
        let text = String::from_utf8(text).unwrap();
        assert!(text.contains(&format!("damage: checksum mismatch in {file}parts/")), "{text}");
    }
}
