//! Messages and listings in words.

use std::fs;

use crate::common::{Place, duramen, given, store_of};

/// What a call printed on both streams, however it ended.
fn said(mut command: assert_cmd::Command) -> String {
    let output = command.output().unwrap();
    String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
}

/// The places where a text has the number one before a plural.
fn wrong(text: &str) -> Vec<String> {
    const PLURALS: [&str; 14] = [
        "bundles",
        "entries",
        "leaves",
        "parts",
        "groups",
        "records",
        "bytes",
        "places",
        "hashes",
        "indexes",
        "nodes",
        "characters",
        "blocks",
        "times",
    ];
    let words: Vec<&str> = text.split_whitespace().collect();
    let mut wrong = Vec::new();
    for pair in words.windows(3) {
        let noun = |word: &str| PLURALS.contains(&word.trim_matches([',', ';', ':', '.']));
        if pair[0] == "1" && (noun(pair[1]) || pair[1] == "more" && noun(pair[2])) {
            wrong.push(pair.join(" "));
        }
    }
    wrong
}

/// Of a store with one leaf in one part and one in the log, everything that the program prints in words.
#[test]
fn one_thing_is_not_called_several() {
    let place = store_of("a\n");
    printed_one_more(&place);
    let zeros = "0".repeat(64);
    let head = said(duramen(&place, "head DIR --size 1"));
    let root = head.split_whitespace().last().unwrap().to_owned();
    said(duramen(&place, "prove DIR 0 --size 1 -o @proof"));
    let leaf = fs::read_to_string(place.path("proof")).unwrap();
    let leaf = serde_json::from_str::<serde_json::Value>(&leaf).unwrap()["leaf"].clone();
    let leaf = leaf.as_str().unwrap();
    fs::write(place.path("one-byte"), "x").unwrap();
    let mut lines = vec![
        "scrub DIR".to_owned(),
        "fsck DIR".to_owned(),
        "backup DIR @copy".to_owned(),
        "head DIR --size 3".to_owned(),
        "prove-consistency DIR 2 1".to_owned(),
        "prove-consistency DIR 1 2 -o @consistency".to_owned(),
        format!("verify inclusion @proof --head 1:{root} --index 0 --leaf {leaf}"),
        format!("verify inclusion @proof --head 1:{root} --index 0 --index 1 --leaf {leaf}"),
        format!("verify inclusion @proof --head 1:{root} --index 1 --leaf {leaf}"),
        format!("verify consistency @consistency --old-head 1:{zeros} --head 2:{zeros}"),
        format!("verify consistency @consistency --old-head 2:{zeros} --head 1:{zeros}"),
        "append DIR --input hex @one-byte".to_owned(),
        "append DIR --input raw @one-byte".to_owned(),
        "dump @one-byte".to_owned(),
        "dump @store/LOCK".to_owned(),
    ];
    for dir in ["parts", "wal", "manifest"] {
        for entry in fs::read_dir(place.path("store").join(dir)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            lines.push(format!("dump @store/{dir}/{name}"));
        }
    }
    for line in lines {
        let text = said(duramen(&place, &line));
        assert!(!text.is_empty() || line.contains("-o"), "{line}");
        assert_eq!(wrong(&text), [""; 0], "{line}: {text}");
    }
    // One record, and then an end that is none.
    let text = said(given(&place, "append DIR --input hex", format!("{zeros}\nx\n")));
    assert!(text.contains("stopped after 1 leaf of standard input, which is appended"), "{text}");
    place.file("store/parts/00000001.part", "short");
    for line in ["fsck DIR", "scrub DIR"] {
        let text = said(duramen(&place, line));
        assert!(line == "scrub DIR" || text.contains("1 problem in "), "{text}");
        assert_eq!(wrong(&text), [""; 0], "{line}: {text}");
    }
}

/// Of a tree with one entry of one byte.
#[test]
fn one_entry_is_not_called_several() {
    let place = Place::new();
    let text =
        said(given(&place, "append DIR --entries --longest 1 --checkpoint-policy close", "a"));
    assert!(text.starts_with("size 1\n"), "{text}");
    for (line, told) in [
        ("trees DIR", "with entries of up to 1 byte, not compressed"),
        ("scrub DIR", "verified 1 entry against the leaves"),
        ("dump @store/parts/00000001.part", "entries: 1 bundle, 3 bytes"),
        ("append DIR --entries --longest 2", "with entries of up to 1 byte,"),
    ] {
        let text = said(given(&place, line, ""));
        assert!(text.contains(told), "{line}: {text}");
        assert_eq!(wrong(&text), [""; 0], "{line}: {text}");
    }
    let text = said(given(&place, "append DIR", "b\ncd\n"));
    assert!(text.ends_with("line 2 has 2 bytes, an entry of the tree has at most 1\n"), "{text}");
    assert_eq!(wrong(&text), [""; 0], "{text}");
}

/// Appends a leaf that stays in the log.
fn printed_one_more(place: &Place) {
    let text = said(given(place, "append DIR --checkpoint-policy manual", "b\n"));
    assert!(text.starts_with("size 2\n"), "{text}");
}
