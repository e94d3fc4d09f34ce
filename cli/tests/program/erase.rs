//! Erased entries: `erase`, `compact`, and what the other commands say of them.

use std::fs;
use std::path::Path;

use serde_json::json;

use crate::common::{Place, duramen, given, printed, printed_json, refused, store_of, told};

/// A store with a part and a log of lines, in which no two are the same.
fn numbered() -> Place {
    let place = Place::new();
    let text = |from: u32, to: u32| -> String {
        (from..to).map(|line| format!("secret of {line:04}\n")).collect()
    };
    printed(given(&place, "append DIR --entries --checkpoint-policy close", text(0, 600)));
    printed(given(&place, "append DIR --checkpoint-policy manual", text(600, 700)));
    place
}

fn erase(place: &Place, line: &str, reason: &str) -> assert_cmd::Command {
    let mut command = duramen(place, line);
    command.args(["--reason", reason]);
    command
}

/// Whether a file of the store has the text.
fn has(place: &Place, text: &str) -> bool {
    let files = |dir: &Path| -> Vec<_> {
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect()
    };
    let mut dirs = vec![place.path("store")];
    while let Some(dir) = dirs.pop() {
        for path in files(&dir) {
            if path.is_dir() {
                dirs.push(path);
            } else if fs::read(path)
                .unwrap()
                .windows(text.len())
                .any(|bytes| bytes == text.as_bytes())
            {
                return true;
            }
        }
    }
    false
}

#[test]
fn erased_entries_are_gone_and_everything_else_is_as_it_was() {
    let place = numbered();
    let head = printed(duramen(&place, "head DIR"));
    let proof = printed(duramen(&place, "prove DIR 3"));
    let said = printed(erase(&place, "erase DIR 3 10-12 699 3 --yes", "asked for, ticket 17"));
    assert_eq!(said, "erased 5 entries; duramen compact removes the data from the files\n");
    assert!(has(&place, "secret of 0003"));
    let compacted = printed(duramen(&place, "compact DIR"));
    assert!(compacted.starts_with("1 part of ") && compacted.ends_with(" wiped\n"), "{compacted}");
    for gone in [3, 10, 11, 12, 699] {
        assert!(!has(&place, &format!("secret of {gone:04}")), "{gone}");
        let error = refused(duramen(&place, &format!("entry DIR {gone}")), 2);
        assert!(error.starts_with(&format!("duramen: entry {gone} was erased at 20")), "{error}");
    }
    assert!(has(&place, "secret of 0004") && has(&place, "secret of 0698"));
    assert_eq!(printed(duramen(&place, "head DIR")), head);
    assert_eq!(printed(duramen(&place, "prove DIR 3")), proof);
    let scrubbed = printed(duramen(&place, "scrub DIR"));
    let verified = "\nverified 695 entries against the leaves, 5 entries are erased\n";
    assert!(scrubbed.contains(verified) && scrubbed.ends_with("no damage\n"), "{scrubbed}");
    assert_eq!(printed_json(duramen(&place, "scrub DIR --json"))["erased"], 5);
    assert!(
        printed(duramen(&place, "trees DIR")).ends_with(", not compressed, 5 entries erased\n")
    );
    assert_eq!(printed_json(duramen(&place, "trees DIR --json"))["trees"][0]["erased"], 5);
    assert!(printed(duramen(&place, "fsck DIR")).contains(", 5 entries erased"));
    printed(duramen(&place, "backup DIR @copy"));
    // A repair has nothing to do, and a full compaction leaves one part.
    assert!(printed(duramen(&place, "scrub DIR --repair")).ends_with("no damage\n"));
    printed(duramen(&place, "compact DIR --full"));
    assert_eq!(printed_json(duramen(&place, "trees DIR --json"))["trees"][0]["parts"], 1);
    assert_eq!(printed(duramen(&place, "head DIR")), head);
    let again = printed_json(duramen(&place, "compact DIR --json"));
    assert_eq!((&again["parts"], &again["pinned_files"]), (&json!(0), &json!(0)));
}

#[test]
fn erasures_are_listed_with_their_times_and_reasons() {
    let place = numbered();
    assert_eq!(printed(duramen(&place, "erase DIR --list")), "");
    printed(erase(&place, "erase DIR 3 10-12 --yes", "first"));
    let second = printed_json(erase(&place, "erase DIR 11-13 --yes --json", ""));
    assert_eq!(second, json!({"erased": 1}));
    let text = printed(duramen(&place, "erase DIR --list"));
    let lines: Vec<_> = text.lines().map(|line| line.split_once("Z ").unwrap()).collect();
    assert_eq!(
        lines.iter().map(|line| line.1).collect::<Vec<_>>(),
        ["4 entries 3 10-12: first", "1 entry 13"]
    );
    assert!(lines.iter().all(|(at, _)| at.len() == "2026-11-26T10:05:18".len()), "{text}");
    let listed = printed_json(duramen(&place, "erase DIR --list --json"));
    assert_eq!(listed["tree"], "main");
    let first = &listed["erasures"][0];
    assert_eq!(first["ranges"], json!([{"from": 3, "to": 4}, {"from": 10, "to": 13}]));
    assert_eq!((&first["entries"], &first["reason"]), (&json!(4), &json!("first")));
    assert_eq!(listed["erasures"].as_array().unwrap().len(), 2);
}

#[test]
fn entries_and_tail_leave_erased_ones_out_and_say_how_many() {
    let place = Place::new();
    printed(given(&place, "append DIR --entries", "a\nb\nc\nd\n"));
    printed(erase(&place, "erase DIR 1-2 --yes", ""));
    for command in ["entries", "tail"] {
        for (format, text) in [("lines", "a\nd\n"), ("hex", "61\n64\n")] {
            let output =
                duramen(&place, &format!("{command} DIR --format {format}")).output().unwrap();
            assert_eq!(output.status.code(), Some(0));
            assert_eq!(String::from_utf8(output.stdout).unwrap(), text);
            let said = String::from_utf8(output.stderr).unwrap();
            assert_eq!(said, "duramen: 2 erased entries are left out\n");
        }
        let all = printed(duramen(&place, &format!("{command} DIR --format jsonl")));
        let all: Vec<serde_json::Value> =
            all.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(all.len(), 4);
        for (index, line) in all.iter().enumerate() {
            let erased = index == 1 || index == 2;
            assert_eq!((&line["index"], line["leaf"].as_str().unwrap().len()), (&json!(index), 64));
            assert_eq!(line.get("erased").is_some(), erased, "{line}");
            assert_eq!(line.get("entry").is_some(), !erased, "{line}");
        }
        assert_eq!(all[3]["entry"], "d");
    }
}

#[test]
fn without_yes_nothing_is_erased_and_the_program_says_what_would_be() {
    let place = Place::new();
    printed(given(&place, "append DIR --entries", "a\nb\nc\nd\n"));
    let error = refused(erase(&place, "erase DIR 0-2 1 3", "x"), 2);
    assert_eq!(error, "duramen: --yes would erase 4 entries of main, which nothing brings back");
    assert_eq!(printed(duramen(&place, "entries DIR")), "a\nb\nc\nd\n");
    printed(erase(&place, "erase DIR 0 --yes", "x"));
    let error = refused(erase(&place, "erase DIR 0-1", "x"), 2);
    assert!(error.contains("would erase 1 entry of main"), "{error}");
}

#[test]
fn what_cannot_be_erased_is_refused_with_its_reason() {
    let place = store_of("a\n");
    printed(given(&place, "append DIR --tree kept --entries", "a\nb\n"));
    let long = "x".repeat(1025);
    for (line, reason, why) in [
        ("erase DIR 0 --yes", "x", "keeps no entries"),
        ("erase DIR 0", "x", "keeps no entries"),
        ("erase DIR 2 --tree kept --yes", "x", "2"),
        ("erase DIR 0-2 --tree kept", "x", "2"),
        ("erase DIR 0 --tree kept --yes", "a\tb", "U+0009"),
        ("erase DIR 0 --tree kept --yes", &long, "1025 bytes"),
        ("erase DIR 0 --tree none --yes", "x", "none"),
        ("erase DIR 2-1 --tree kept --yes", "x", "2 comes after 1"),
        ("erase DIR --tree kept --yes", "x", "<INDEX>"),
        ("erase DIR --list", "x", "--list"),
    ] {
        let status = if line.contains("none") { 3 } else { 2 };
        let error = refused(erase(&place, line, reason), status);
        assert!(error.contains(why), "{line}: {error}");
    }
    for (line, why) in [
        ("erase DIR 0 --tree kept --yes", "--reason"),
        ("erase DIR --list", "keeps no entries"),
        ("erase DIR 0 --list", "--list"),
        ("compact @none", "none"),
    ] {
        let status = if line.contains("none") { 3 } else { 2 };
        let error = refused(duramen(&place, line), status);
        assert!(error.contains(why), "{line}: {error}");
    }
    assert_eq!(printed(duramen(&place, "entries DIR --tree kept")), "a\nb\n");
}

#[test]
fn a_compaction_that_leaves_a_file_to_its_reader_says_so() {
    let place = numbered();
    printed(erase(&place, "erase DIR 3 --yes", ""));
    // What a reader of the part does: it shares a lock on it.
    let part = fs::File::open(place.path("store/parts/00000001.part")).unwrap();
    part.lock_shared().unwrap();
    let mut command = duramen(&place, "compact DIR");
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.starts_with("duramen: 1 old file is still read, and may have erased entries"),
        "{said}"
    );
    assert!(has(&place, "secret of 0003"));
    drop(part);
    assert!(told(duramen(&place, "compact DIR"), 0).ends_with(" wiped\n"));
    assert!(!has(&place, "secret of 0003"));
}

#[test]
fn an_export_in_frames_keeps_the_leaves_of_erased_entries_and_makes_the_same_tree() {
    let place = numbered();
    printed(erase(&place, "erase DIR 3 10-12 400-699 --yes", "first"));
    printed(erase(&place, "erase DIR 9-13 --yes", "second"));
    printed(duramen(&place, "compact DIR"));
    printed(duramen(&place, "export DIR -o @frames"));
    let head = printed(duramen(&place, "head DIR"));
    assert_eq!(printed(duramen(&place, "import @other @frames")), head);
    assert_eq!(printed(duramen(&place, "head @other")), head);
    let list = |dir: &str| printed(duramen(&place, &format!("erase {dir} --list")));
    assert_eq!(list("@other"), list("DIR"));
    assert_eq!(
        printed(duramen(&place, "prove @other 10")),
        printed(duramen(&place, "prove DIR 10"))
    );
    let error = refused(duramen(&place, "entry @other 11"), 2);
    assert!(error.contains("entry 11 was erased at "), "{error}");
    assert_eq!(printed(duramen(&place, "entry @other 14")), "secret of 0014");
    // Again, from the copy, and behind what is there.
    printed(duramen(&place, "compact @other --full"));
    printed(duramen(&place, "scrub @other"));
    printed(duramen(&place, "export @other -o @again --to 500"));
    assert_eq!(printed(duramen(&place, "import @third @again")).lines().count(), 2);
    printed(duramen(&place, "import @third @frames --resume"));
    assert_eq!(printed(duramen(&place, "head @third")), head);
    // An export that was made before has the data of what the tree has lost, and is of the same tree.
    let whole = numbered();
    std::fs::rename(place.path("frames"), whole.path("frames")).unwrap();
    printed(duramen(&whole, "import DIR @frames --resume"));
    assert_eq!(printed(duramen(&whole, "entry DIR 11")), "secret of 0011");
}

#[test]
fn lines_of_json_say_what_is_erased_and_make_no_tree() {
    let place = Place::new();
    printed(given(&place, "append DIR --entries", "a\nb\nc\n"));
    printed(erase(&place, "erase DIR 1 --yes", ""));
    let lines = printed(duramen(&place, "export DIR --format jsonl"));
    assert_eq!(lines.lines().count(), 3);
    assert!(lines.lines().nth(1).unwrap().contains("\"erased\":\"20"), "{lines}");
    let error = refused(given(&place, "import @other --format jsonl", lines), 2);
    assert!(error.contains("line 2"), "{error}");
}
