//! Trees that keep entries: `append --entries`, `entry` and `entries`.

use std::fs;

use serde_json::json;

use crate::common::shell::{shell, status_of};
use crate::common::writer::Writer;
use crate::common::{
    Function, ODD, Place, duramen, entries_of, given, head_text, hex, lines, printed,
    printed_bytes, printed_json, refused, store_of, told,
};

/// A store with a part of these lines as entries, in which no two lines are the same.
fn numbered(flags: &str) -> Place {
    let text: String = (0..1000).map(|line| format!("line {line}\n")).collect();
    entries_of(text, &format!("--checkpoint-policy close {flags}"))
}

#[test]
fn odd_bytes_come_back_in_every_format_from_the_log_and_from_parts() {
    for flags in [
        "--checkpoint-policy manual",
        "--checkpoint-policy close",
        "--checkpoint-policy close --compress 3",
        "--checkpoint-policy close --longest 1MiB --hasher sha256 --arity 2",
    ] {
        let place = entries_of(ODD, flags);
        let whole = printed_bytes(duramen(&place, "entries DIR"));
        assert_eq!(whole, [ODD, b"\n"].concat(), "{flags}");
        assert_eq!(printed_bytes(duramen(&place, "entries DIR --format lines")), whole);
        assert_eq!(printed_bytes(duramen(&place, "entries DIR --format raw")), whole);

        let function = if flags.contains("sha256") { Function::Sha256 } else { Function::Blake3 };
        let in_hex = printed(duramen(&place, "entries DIR --format hex"));
        let in_json = printed(duramen(&place, "entries DIR --format jsonl"));
        let all: Vec<&[u8]> = ODD.split(|byte| *byte == b'\n').collect();
        assert_eq!((in_hex.lines().count(), in_json.lines().count()), (all.len(), all.len()));
        for (index, (data, (hexed, jsoned))) in
            all.into_iter().zip(in_hex.lines().zip(in_json.lines())).enumerate()
        {
            assert_eq!(printed_bytes(duramen(&place, &format!("entry DIR {index}"))), data);
            assert_eq!(hexed, hex(data));
            let leaf = hex(&function.leaf(data));
            let expected = match std::str::from_utf8(data) {
                Ok(text) => json!({"index": index, "leaf": leaf, "entry": text}),
                Err(_) => json!({"index": index, "leaf": leaf, "entry_hex": hex(data)}),
            };
            assert_eq!(serde_json::from_str::<serde_json::Value>(jsoned).unwrap(), expected);
            assert!(!jsoned.contains(char::is_control), "{jsoned:?}");
        }
    }
}

#[test]
fn the_root_is_that_of_the_same_lines_without_entries() {
    let text: String = (0..777).map(|line| format!("line {line}\n")).collect();
    for function in [Function::Blake3, Function::Sha256] {
        let place = Place::new();
        let flags = format!("append DIR --entries --arity 2 --hasher {}", function.flag());
        let root = function.root(2, &lines(function, text.as_bytes()));
        assert_eq!(printed(given(&place, &flags, text.as_str())), head_text(777, root));
        assert_eq!(printed(duramen(&place, "head DIR")), head_text(777, root));
    }
}

#[test]
fn large_and_empty_entries_are_kept_in_batches() {
    let mut text = Vec::new();
    for (at, len) in
        [3 << 20, 0, 5 << 20, 8 << 20, 1, 700_000, (1 << 20) - 1, 1 << 20].iter().enumerate()
    {
        text.extend(std::iter::repeat_n(b'a' + u8::try_from(at).unwrap(), *len));
        text.push(b'\n');
    }
    text.extend(std::iter::repeat_n(b'\n', 150_000));
    for flags in ["", "--compress 1 --flush-policy manual", "--checkpoint-policy wal:1MiB,close"] {
        let place = Place::new();
        let file = place.file("input", &text);
        let mut command = duramen(&place, &format!("append DIR --entries --longest 8MiB {flags}"));
        command.arg(file);
        let root = Function::Blake3.root(4, &lines(Function::Blake3, &text));
        assert_eq!(printed(command), head_text(150_008, root), "{flags}");
        assert!(printed_bytes(duramen(&place, "entries DIR")) == text, "{flags}");
        assert_eq!(printed_bytes(duramen(&place, "entry DIR 3")), vec![b'd'; 8 << 20]);
        assert_eq!(printed_bytes(duramen(&place, "entry DIR 150007")), b"");
    }
}

#[test]
fn a_tree_with_entries_keeps_them_without_being_told() {
    let place = entries_of("a\n", "--longest 100 --compress 3 --hasher sha256 --arity 2");
    printed(given(&place, "append DIR", "b\n"));
    // What is given and is as the tree has it is no contradiction.
    printed(given(&place, "append DIR --entries", "c\n"));
    printed(given(&place, "append DIR --entries --compress 3", "d\n"));
    printed(given(&place, "append DIR --entries --longest 100 --arity 2", "e\n"));
    assert_eq!(printed(duramen(&place, "entries DIR")), "a\nb\nc\nd\ne\n");
    for (flags, asked) in [
        ("--longest 101", "with entries of up to 101 bytes, compressed with zstd 3"),
        ("--compress 4", "with entries of up to 100 bytes, compressed with zstd 4"),
    ] {
        let error = refused(given(&place, &format!("append DIR --entries {flags}"), "f\n"), 2);
        assert!(
            error.contains("with entries of up to 100 bytes, compressed with zstd 3"),
            "{error}"
        );
        assert!(error.ends_with(asked), "{error}");
    }
    assert_eq!(printed(duramen(&place, "entries DIR")).lines().count(), 5);
}

#[test]
fn a_tree_without_entries_does_not_begin_to_keep_them() {
    let place = store_of("a\n");
    let before = printed(duramen(&place, "head DIR"));
    let error = refused(given(&place, "append DIR --entries", "b\n"), 2);
    assert!(error.contains("was made without entries"), "{error}");
    assert_eq!(printed(duramen(&place, "head DIR")), before);
    for line in ["entry DIR 0", "entries DIR", "entries DIR --to 0"] {
        let error = refused(duramen(&place, line), 2);
        assert_eq!(error, "duramen: the tree \"main\" keeps no entries", "{line}");
    }
    // Another tree of the same store may.
    printed(given(&place, "append DIR --tree kept --entries", "b\n"));
    assert_eq!(printed(duramen(&place, "entry DIR 0 --tree kept")), "b");
    assert_eq!(printed(duramen(&place, "entries DIR --tree kept")), "b\n");
}

#[test]
fn options_that_no_tree_can_have_are_refused_before_a_store_is_created() {
    for (flags, why) in [
        ("--longest 10", "--entries"),
        ("--compress 3", "--entries"),
        ("--entries --longest 0", "above zero"),
        ("--entries --longest 65MiB", "an entry has at most 67108864 bytes"),
        ("--entries --longest much", "not a number of bytes"),
        ("--entries --compress 0", "a level is 1 to 22"),
        ("--entries --compress 23", "a level is 1 to 22"),
        ("--entries --input hex", "--input hex"),
        ("--entries --input raw", "--input raw"),
    ] {
        let place = Place::new();
        let error = refused(given(&place, &format!("append DIR {flags}"), "a\n"), 2);
        assert!(error.contains(why), "{flags}: {error}");
        assert!(!place.path("store").exists(), "{flags}");
    }
}

#[test]
fn leaves_without_data_are_refused_and_nothing_is_appended() {
    let place = entries_of("a\n", "");
    let leaf = [7; 32];
    for (kind, input) in [("hex", hex(&leaf).into_bytes()), ("raw", leaf.to_vec()), ("hex", vec![])]
    {
        let error = refused(given(&place, &format!("append DIR --input {kind}"), input), 2);
        assert_eq!(
            error,
            format!(
                "duramen: the tree \"main\" keeps entries, which does not go with --input {kind}: its \
                 records are leaves without their data"
            )
        );
    }
    assert_eq!(printed(duramen(&place, "entries DIR")), "a\n");
}

#[test]
fn an_entry_that_is_too_long_ends_the_input_and_is_named() {
    let name = |place: &Place| place.path("input").display().to_string();
    let append = |place: &Place, flags: &str| {
        let mut command = duramen(place, &format!("append DIR --ack --entries {flags}"));
        command.arg(place.path("input"));
        command
    };
    let place = Place::new();
    place.file("input", "12345\n\n123456\n1\n");
    assert_eq!(told(append(&place, "--longest 5"), 2), "0\n1\n");
    assert_eq!(printed(duramen(&place, "entries DIR")), "12345\n\n");
    assert_eq!(
        refused(append(&place, ""), 2),
        format!(
            "duramen: stopped after 2 leaves of {}, which are appended and durable; the tree has 4 \
             leaves: bad input: line 3 has 6 bytes, an entry of the tree has at most 5",
            name(&place)
        )
    );
    assert_eq!(printed(duramen(&place, "entries DIR")), "12345\n\n12345\n\n");

    // The end of a line that is far too long is not looked for.
    let place = Place::new();
    place.file("input", [b"first\n".to_vec(), vec![b'x'; 3 << 20]].concat());
    let error = refused(append(&place, ""), 2);
    assert!(error.contains("stopped after 1 leaf"), "{error}");
    assert!(
        error.ends_with("line 2 has 1048570 bytes or more, an entry of the tree has at most 65535"),
        "{error}"
    );
    assert_eq!(printed(duramen(&place, "entries DIR")), "first\n");

    // The last line needs no newline, and may be as long as the tree allows.
    let place = Place::new();
    place.file("input", vec![b'x'; 65_535]);
    printed(append(&place, ""));
    place.file("input", vec![b'x'; 65_536]);
    assert!(refused(append(&place, ""), 2).contains("line 1 has 65536 bytes or more"));
    assert_eq!(printed_bytes(duramen(&place, "entries DIR")).len(), 65_536);
}

#[test]
fn a_range_of_entries_is_printed_and_one_beyond_the_tree_is_refused() {
    let place = numbered("");
    let all: Vec<String> = (0..1000).map(|line| format!("line {line}\n")).collect();
    for (flags, range) in [
        ("--from 0 --to 1", 0..1),
        ("--from 250 --to 600", 250..600),
        ("--from 999", 999..1000),
        ("--to 3", 0..3),
        ("--from 1000", 1000..1000),
        ("--from 7 --to 7", 7..7),
    ] {
        let text = printed(duramen(&place, &format!("entries DIR {flags}")));
        assert_eq!(text, all[range.clone()].concat(), "{flags}");
        let in_json = printed(duramen(&place, &format!("entries DIR --format jsonl {flags}")));
        for (index, line) in range.zip(in_json.lines()) {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            let data = format!("line {index}");
            let leaf = hex(&Function::Blake3.leaf(data.as_bytes()));
            assert_eq!(line, json!({"index": index, "leaf": leaf, "entry": data}));
        }
    }
    for (line, error) in [
        ("entries DIR --to 1001", "size 1001 is beyond the tree's 1000 leaves"),
        ("entries DIR --from 1001", "size 1001 is beyond the tree's 1000 leaves"),
        ("entries DIR --from 2000 --to 3000", "size 3000 is beyond the tree's 1000 leaves"),
        ("entries DIR --from 5 --to 4", "--from 5 is beyond --to 4"),
        ("entry DIR 1000", "index 1000 is not in a tree of size 1000"),
        ("entry DIR 18446744073709551615", "is not in a tree of size 1000"),
        ("entry DIR 0 --tree other", "there is no tree \"other\""),
        ("entries DIR --tree other", "there is no tree \"other\""),
    ] {
        let mut command = duramen(&place, line);
        command.assert().stdout("");
        let status = if error.starts_with("there is no tree") { 3 } else { 2 };
        let told = refused(command, status);
        assert!(told.starts_with("duramen: ") && told.contains(error), "{line}: {told}");
    }
}

#[test]
fn entries_are_read_beside_a_writer() {
    let place = Place::new();
    let mut writer = Writer::new(&place, "--entries");
    writer.append("one\n\n");
    assert_eq!(printed(duramen(&place, "entries DIR")), "one\n\n");
    writer.append("three\n");
    assert_eq!(printed(duramen(&place, "entry DIR 2")), "three");
    assert_eq!(printed(duramen(&place, "entries DIR --from 1")), "\nthree\n");
    let root = Function::Blake3.root(4, &lines(Function::Blake3, b"one\n\nthree"));
    assert_eq!(writer.end(), head_text(3, root));
    assert_eq!(printed(duramen(&place, "entries DIR")), "one\n\nthree\n");
}

#[test]
fn an_entry_is_written_to_a_file_and_verifies_as_the_data_of_its_leaf() {
    let place = entries_of(ODD, "");
    place.file("entry", "what was there before and is longer");
    assert_eq!(printed(duramen(&place, "entry DIR 3 -o @entry")), "");
    assert_eq!(fs::read(place.path("entry")).unwrap(), b"\xff\xfe\xc3");
    let mut to_dash = duramen(&place, "entry DIR 3 -o -");
    to_dash.current_dir(place.dir());
    assert_eq!(printed_bytes(to_dash), b"\xff\xfe\xc3");

    let proof = printed_json(duramen(&place, "prove DIR 3"));
    printed(duramen(&place, "prove DIR 3 -o @proof"));
    let head = format!("{}:{}", proof["size"], proof["root"].as_str().unwrap());
    let line = format!("verify inclusion @proof --head {head} --index 3 --data @entry");
    printed(duramen(&place, &line));

    refused(duramen(&place, "entry DIR 7 -o @entry"), 2);
    assert_eq!(fs::read(place.path("entry")).unwrap(), b"\xff\xfe\xc3");
}

#[test]
fn entries_that_cannot_be_printed_are_an_error() {
    let text: String = (0..50_000).map(|line| format!("line {line}\n")).collect();
    let place = entries_of(text, "");
    for line in ["entry store 0", "entries store", "entries store --to 1 --format jsonl"] {
        let (status, error) = status_of(place.dir(), &format!("\"$D\" {line} >/dev/full"));
        assert_eq!(status, Some(2), "{line}: {error}");
        assert!(error.starts_with("duramen: cannot write standard output: "), "{line}: {error}");
        assert_eq!(error.lines().count(), 1, "{line}: {error}");
    }
    let script = "{ \"$D\" entries store; echo $? >status; } | head -n 1";
    let output = shell(place.dir(), script);
    assert_eq!(output.stdout, b"line 0\n");
    assert_eq!(fs::read_to_string(place.path("status")).unwrap(), "2\n");
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(error, "duramen: cannot write standard output: Broken pipe (os error 32)\n");
}

#[test]
fn trees_says_how_entries_are_kept() {
    let place = store_of("a\n");
    printed(given(&place, "append DIR --tree kept --entries", "b\nc\n"));
    printed(given(&place, "append DIR --tree packed --entries --longest 1MiB --compress 19", ""));
    printed(duramen(&place, "seal DIR kept"));
    assert_eq!(
        printed(duramen(&place, "trees DIR")),
        "kept: 2 leaves, blake3, arity 4, with entries of up to 65535 bytes, not compressed, sealed\n\
         main: 1 leaf, blake3, arity 4\n\
         packed: 0 leaves, blake3, arity 4, with entries of up to 1048576 bytes, compressed with zstd 19\n"
    );
    let trees = printed_json(duramen(&place, "trees DIR --json"));
    let entries: Vec<_> = (0..3).map(|tree| trees["trees"][tree]["entries"].clone()).collect();
    assert_eq!(
        entries,
        [
            json!({"longest": 65535, "compress": null}),
            json!(null),
            json!({"longest": 1_048_576, "compress": 19})
        ]
    );
}

#[test]
fn scrub_says_how_many_entries_are_verified() {
    for flags in ["", "--compress 3"] {
        let place = numbered(flags);
        let text = printed(duramen(&place, "scrub DIR"));
        assert!(text.contains("\nverified 1000 entries against the leaves\n"), "{text}");
        assert_eq!(printed_json(duramen(&place, "scrub DIR --json"))["entries"], 1000);
    }
    let place = store_of("a\n");
    assert!(!printed(duramen(&place, "scrub DIR")).contains("entr"));
    assert_eq!(printed_json(duramen(&place, "scrub DIR --json"))["entries"], 0);
}

const PART: &str = "store/parts/00000001.part";

/// Changes a bit of the part's byte `at`.
fn damage(place: &Place, at: usize) {
    let mut bytes = fs::read(place.path(PART)).unwrap();
    bytes[at] ^= 1;
    fs::write(place.path(PART), bytes).unwrap();
}

/// Where in the part the bytes are.
fn position(place: &Place, data: &[u8]) -> usize {
    let bytes = fs::read(place.path(PART)).unwrap();
    bytes.windows(data.len()).position(|window| window == data).unwrap()
}

#[test]
fn damaged_entries_are_found_and_the_others_are_printed() {
    let place = numbered("");
    let whole = printed(duramen(&place, &format!("dump @{PART}")));
    assert!(whole.contains("\nleaves 0 to 999 with entries\n"), "{whole}");
    // Their text, and two bytes of length for each.
    let bytes = printed_bytes(duramen(&place, "entries DIR")).len() + 1000;
    assert!(whole.contains(&format!("\nentries: 4 bundles, {bytes} bytes, from byte ")), "{whole}");

    let at = position(&place, b"line 999");
    damage(&place, at);
    let text = told(duramen(&place, &format!("dump @{PART}")), 1);
    let block = at / 4096;
    let expected =
        format!("\nDAMAGED: block {block}, entries of leaves 768 to 999: checksum stored ");
    assert!(text.contains(&expected), "{text}");
    assert_eq!(text.matches("DAMAGED").count(), 1, "{text}");

    let text = told(duramen(&place, "scrub DIR"), 1);
    assert!(text.contains("entries of tree \"main\""), "{text}");
    assert!(!text.contains("verified 1000 entries"), "{text}");
    let error = refused(duramen(&place, "entry DIR 999"), 6);
    assert!(error.contains("checksum mismatch") && error.contains(PART), "{error}");
    let until = told(duramen(&place, "entries DIR"), 6);
    // Those before the damaged block are printed, of the last bundle too.
    let last = until.lines().last().and_then(|line| line.strip_prefix("line ")?.parse().ok());
    assert!(until.starts_with("line 0\n"), "{until}");
    assert!(last.is_some_and(|last: u32| (767..999).contains(&last)), "{until}");

    // A block has the ends and the beginnings of bundles.
    let place = numbered("");
    damage(&place, position(&place, b"line 3"));
    let text = told(duramen(&place, &format!("dump @{PART}")), 1);
    assert!(text.contains(", entries of leaves 0 to 511: checksum stored "), "{text}");
}

#[test]
fn a_damaged_directory_of_bundles_is_found() {
    let place = numbered("");
    let directory = position(&place, b"line 999").next_multiple_of(4096);
    damage(&place, directory);
    let text = told(duramen(&place, &format!("dump @{PART}")), 1);
    let block = directory / 4096;
    let expected = format!("\nDAMAGED: block {block}, directory of the bundles: checksum stored ");
    assert!(text.contains(&expected), "{text}");
    assert_eq!(text.matches("DAMAGED").count(), 1, "{text}");
    // A file that ends within its entries ends the dump of them.
    let bytes = fs::read(place.path(PART)).unwrap();
    place.file(PART, &bytes[..directory]);
    let text = told(duramen(&place, &format!("dump @{PART}")), 1);
    assert!(text.contains("DAMAGED: ") && text.lines().count() < 1000, "{text}");
}
