//! `export` and `import`: everything arrives, and what does not is named.

mod frames;

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::common::shell::{shell, status_of};
use crate::common::{
    Function, ODD, Place, duramen, entries_of, given, hex, printed, printed_bytes, printed_json,
    refused, store_of,
};
use frames::Frames;

/// Lines of which a few thousand take several blocks of an export.
fn numbered(range: std::ops::Range<u64>) -> String {
    range.map(|line| format!("line {line} {}\n", "x".repeat(100))).collect()
}

fn export(place: &Place, flags: &str) -> Vec<u8> {
    printed_bytes(duramen(place, &format!("export DIR {flags}")))
}

fn head(place: &Place) -> String {
    printed(duramen(place, "head DIR"))
}

fn size(place: &Place) -> u64 {
    printed_json(duramen(place, "head DIR --json"))["size"].as_u64().unwrap()
}

/// How the trees of a store are made.
fn kinds(place: &Place) -> Vec<Value> {
    let trees = printed_json(duramen(place, "trees DIR --json"))["trees"].take();
    let kind = |tree: &Value| json!([tree["name"], tree["hasher"], tree["arity"], tree["entries"]]);
    trees.as_array().unwrap().iter().map(kind).collect()
}

#[test]
fn a_tree_arrives_whole_in_both_formats_from_the_log_and_from_parts() {
    for flags in [
        "--checkpoint-policy manual",
        "--checkpoint-policy close",
        "--checkpoint-policy close --compress 3 --longest 100",
        "--checkpoint-policy close --longest 1MiB --hasher sha256 --arity 2",
    ] {
        let place = entries_of(ODD, flags);
        let copy = Place::new();
        assert_eq!(printed(given(&copy, "import DIR", export(&place, ""))), head(&place));
        assert_eq!(kinds(&copy), kinds(&place), "{flags}");
        let entries = printed_bytes(duramen(&place, "entries DIR"));
        assert_eq!(printed_bytes(duramen(&copy, "entries DIR")), entries, "{flags}");

        let lines = export(&place, "--format jsonl");
        assert_eq!(lines, printed_bytes(duramen(&place, "entries DIR --format jsonl")));
        let kind = if flags.contains("sha256") { "--hasher sha256 --arity 2" } else { "" };
        for format in ["", "--format jsonl"] {
            let copy = Place::new();
            let flags = format!("import DIR {format} {kind} --longest 1MiB");
            assert_eq!(printed(given(&copy, &flags, lines.clone())), head(&place));
            assert_eq!(printed_bytes(duramen(&copy, "entries DIR")), entries, "{flags}");
        }
    }
}

#[test]
fn the_bytes_of_an_export_are_those_of_the_document() {
    let text = numbered(0..5000);
    let lines: Vec<&[u8]> = text.lines().map(str::as_bytes).collect();
    let place =
        entries_of(&*text, "--hasher sha256 --arity 2 --longest 2000 --compress 1 --tree lo");
    let store = printed_json(duramen(&place, "trees DIR --json"))["store"].take();
    let leaves: Vec<_> = lines.iter().map(|line| Function::Sha256.leaf(line)).collect();
    let root = |size: usize| Function::Sha256.root(2, &leaves[..size]);
    for (from, to) in [(0, 5000), (0, 0), (7, 7), (5000, 5000), (17, 4000)] {
        let frames = Frames {
            store: store.as_str().unwrap(),
            hasher: "rfc6962-sha256",
            arity: 2,
            level: 1,
            longest: 2000,
            tree: "lo",
            from: from as u64,
            before: root(from),
            entries: &lines[from..to],
            root: root(to),
        };
        let exported = export(&place, &format!("--tree lo --from {from} --to {to}"));
        assert!(exported == frames.bytes(), "{from}..{to}");
    }
}

#[test]
fn a_pipe_and_a_file_work_as_well_and_the_head_may_be_json() {
    let place = entries_of(numbered(0..5000), "");
    let script = "\"$D\" export store | \"$D\" import piped --json";
    let output = shell(place.dir(), script);
    let head = printed(duramen(&place, "head DIR --json"));
    assert_eq!(String::from_utf8(output.stdout).unwrap(), head);
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
    assert_eq!(printed(duramen(&place, "export DIR -o @file")), "");
    assert_eq!(printed(duramen(&place, "import @other @file --json --tree x --compress 1")), head);
    // An export that fails leaves nothing that an import takes for one.
    let script = "\"$D\" export store --tree none | \"$D\" import none";
    let (status, error) = status_of(place.dir(), script);
    assert_eq!(status, Some(2));
    assert!(error.ends_with("duramen: cannot import standard input: it is empty\n"), "{error}");
    assert!(!place.path("none").exists());
}

#[test]
fn a_file_that_is_exported_to_keeps_its_old_bytes_if_the_export_fails() {
    let place = entries_of(numbered(0..5000), "");
    place.file("out", "old");
    refused(duramen(&place, "export DIR --from 5001 -o @out"), 2);
    let script = "ulimit -f 8; \"$D\" export store -o out";
    let (status, error) = status_of(place.dir(), script);
    assert_eq!(status, Some(2));
    assert!(error.starts_with("duramen: cannot write out: "), "{error}");
    assert_eq!(std::fs::read(place.path("out")).unwrap(), b"old");
    let names = std::fs::read_dir(place.dir()).unwrap();
    assert_eq!(names.count(), 2, "nothing is left beside");
    printed(duramen(&place, "export DIR -o @out"));
    assert!(std::fs::read(place.path("out")).unwrap() == export(&place, ""));
}

#[test]
fn an_export_that_is_cut_gives_what_is_whole_and_another_import_goes_on() {
    let place = entries_of(numbered(0..6000), "");
    let whole = export(&place, "");
    for (cut, kept) in [(0, 0), (5, 0), (100, 0), (whole.len() / 2, 2000), (whole.len() - 1, 6000)]
    {
        let copy = Place::new();
        let error = refused(given(&copy, "import DIR --format framed", &whole[..cut]), 2);
        let place_of_it = match cut {
            0 => "it is empty".to_owned(),
            _ => format!("it ends at byte {cut}, within "),
        };
        assert!(error.contains(&place_of_it), "{cut}: {error}");
        if kept == 0 {
            assert!(!copy.path("store").exists());
        } else {
            let size = size(&copy);
            assert!((kept..=6000).contains(&size), "{cut}: {size}");
            let stopped = format!(
                "duramen: stopped after {size} leaves of standard input, which are appended and \
                 durable; the tree has {size} leaves: cannot import standard input: it ends"
            );
            assert!(error.starts_with(&stopped), "{error}");
            let error = refused(given(&copy, "import DIR", &*whole), 2);
            assert!(
                error.contains(&format!(
                    "begins with entry 0, the tree has {size} leaves: --resume"
                ))
            );
            assert_eq!(self::size(&copy), size);
        }
        assert_eq!(printed(given(&copy, "import DIR --resume", &*whole)), head(&place));
        // All of it is there.
        assert_eq!(printed(given(&copy, "import DIR --resume", &*whole)), head(&place));
    }
}

#[test]
fn an_import_that_is_killed_is_resumed() {
    let place = entries_of(numbered(0..40_000), "");
    for format in ["framed", "jsonl"] {
        let whole = export(&place, &format!("--format {format}"));
        let copy = Place::new();
        let mut child = Command::new(env!("CARGO_BIN_EXE_duramen"))
            .arg("import")
            .arg(copy.path("store"))
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        // A pipe keeps little of this: most has been read.
        child.stdin.as_mut().unwrap().write_all(&whole[..whole.len() / 2]).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        // It may say that the log of the killed one has a torn end.
        assert_eq!(printed(given(&copy, "import DIR --resume -q", whole)), head(&place));
    }
}

#[test]
fn a_range_goes_on_where_the_tree_ends_and_only_in_the_same_tree() {
    let place = entries_of(numbered(0..3000), "--arity 2");
    let copy = Place::new();
    for (from, to) in [(0, 1000), (1000, 1000), (1000, 2900), (2900, 3000)] {
        let range = export(&place, &format!("--from {from} --to {to}"));
        printed(given(&copy, "import DIR", range));
    }
    assert_eq!(head(&copy), head(&place));

    let range = export(&place, "--from 2000");
    let nothing = Place::new();
    assert!(refused(given(&nothing, "import DIR", &*range), 3).contains("no store"));
    assert!(!nothing.path("store").exists());
    let short = entries_of(numbered(0..1999), "--arity 2");
    let error = refused(given(&short, "import DIR --resume", &*range), 2);
    assert_eq!(error, "duramen: the input begins with entry 2000, the tree has 1999 leaves");
    assert!(refused(given(&short, "import DIR --tree b", &*range), 3).contains("no tree"));

    // A tree with another past.
    let other = entries_of(format!("other\n{}", numbered(1..2000)), "--arity 2");
    let before = head(&other);
    for flags in ["", "--resume"] {
        let error = refused(given(&other, &format!("import DIR {flags}"), &*range), 1);
        assert!(error.starts_with("duramen: refused: the export has root "), "{error}");
        assert!(error.contains("at size 2000"), "{error}");
    }
    assert_eq!(head(&other), before);
    // A tree of another kind.
    let error = refused(given(&entries_of("", ""), "import DIR", &*range), 2);
    assert!(error.contains("arity"), "{error}");
    for flags in ["--arity 4", "--hasher sha256"] {
        let error = refused(given(&nothing, &format!("import DIR {flags}"), &*range), 2);
        assert!(error.contains("the export is of a tree of blake3 and arity 2"), "{error}");
    }
}

#[test]
fn resuming_compares_every_entry_that_is_there() {
    let lines = numbered(0..3000);
    let place = entries_of(&*lines, "");
    for format in ["framed", "jsonl"] {
        let whole = export(&place, &format!("--format {format}"));
        for changed in [0_usize, 1, 1234, 1999] {
            let there: String = (0..)
                .zip(lines.lines().take(2000))
                .map(|(at, line)| format!("{line}{}\n", if at == changed { "!" } else { "" }))
                .collect();
            let copy = entries_of(there, "");
            let before = head(&copy);
            let error = refused(given(&copy, "import DIR --resume", &*whole), 1);
            let named = format!(
                "duramen: refused: entry {changed} of the input is not the one that the tree has"
            );
            assert_eq!(error, named, "{format}");
            assert_eq!(head(&copy), before);
        }
        // A tree that has more than the export.
        let more = entries_of(numbered(0..3500), "");
        let before = head(&more);
        assert_eq!(printed(given(&more, "import DIR --resume", &*whole)), before);
    }
}

#[test]
fn a_root_that_the_entries_do_not_have_is_refused() {
    let leaf = |line: &[u8]| Function::Blake3.leaf(line);
    let entries: [&[u8]; 2] = [b"a", b"b"];
    let right = Frames {
        store: "00000000-0000-0000-0000-000000000000",
        hasher: "blake3",
        arity: 4,
        level: 0,
        longest: 10,
        tree: "main",
        from: 0,
        before: Function::Blake3.root(4, &[]),
        entries: &entries,
        root: Function::Blake3.root(4, &entries.map(leaf)),
    };
    let place = Place::new();
    printed(given(&place, "import DIR", right.bytes()));
    let wrong = Frames { root: [1; 32], ..right };
    let error = refused(given(&Place::new(), "import DIR", wrong.bytes()), 1);
    let root = hex(&right.root);
    assert!(error.contains(&format!("has root {} at size 2", hex(&[1; 32]))), "{error}");
    assert!(error.ends_with(&format!("where the root of the tree is {root}")), "{error}");
    // What is there is not extended.
    let copy = entries_of("a\n", "");
    assert!(refused(given(&copy, "import DIR --resume", wrong.bytes()), 1).contains("has root"));
    let wrong = Frames { before: [1; 32], ..right };
    let error = refused(given(&copy, "import DIR --resume", wrong.bytes()), 1);
    assert!(error.contains("at size 0"), "{error}");
    let wrong = Frames { hasher: "md5", ..right };
    let error = refused(given(&Place::new(), "import DIR", wrong.bytes()), 2);
    assert_eq!(error, "duramen: the hasher \"md5\" is unknown");
}

#[test]
fn a_line_that_is_no_entry_is_named_and_those_before_it_are_kept() {
    let good = "{\"index\":0,\"entry\":\"zero\"}\n{\"entry_hex\":\"ff00\",\"index\":1}\n";
    assert_eq!(good.len(), 58);
    let wrong_leaf = format!("{{\"index\":2,\"leaf\":\"{}\",\"entry\":\"x\"}}", "ab".repeat(32));
    for (line, at, why) in [
        ("{\"index\":3,\"entry\":\"x\"}", 58, "index 3, expected 2"),
        ("{\"index\":1,\"entry\":\"x\"}", 58, "index 1, expected 2"),
        ("{\"index\":2}", 58, "neither entry nor entry_hex"),
        ("{\"index\":2,\"entry\":\"x\",\"entry_hex\":\"78\"}", 58, "both entry and entry_hex"),
        ("{\"index\":2,\"entry_hex\":\"7\"}", 58, "entry_hex: "),
        ("{\"index\":2,\"entry_hex\":\"7g\"}", 58, "entry_hex: "),
        ("{\"index\":2,\"leaf\":\"ab\",\"entry\":\"x\"}", 58, "leaf is not 64 hexadecimal digits"),
        (&wrong_leaf, 58, "is not that of the entry under blake3"),
        ("{\"index\":2,\"entry\":\"x\",\"more\":1}", 86, "unknown field `more`"),
        ("{\"index\":-1,\"entry\":\"x\"}", 68, "invalid value"),
        ("{\"entry\":\"x\"}", 70, "missing field `index`"),
        ("", 58, "EOF"),
        ("{\"index\":2,\"entry\":\"x", 78, "EOF"),
        ("{\"index\":2,\"entry\":\"\\ud800\"}", 84, "hex escape"),
    ] {
        let place = Place::new();
        let text = format!("{good}{line}\n{{\"index\":3,\"entry\":\"x\"}}\n");
        let error = refused(given(&place, "import DIR", text), 2);
        assert!(error.contains(&format!("line 3, at byte {at}: ")), "{line}: {error}");
        assert!(error.contains(why), "{line}: {error}");
        assert!(error.contains("stopped after 2 leaves of standard input"), "{error}");
        assert_eq!(printed_bytes(duramen(&place, "entries DIR")), b"zero\n\xff\0\n");
    }
    for (input, why) in [
        ("hello\n", "what begins at byte 0 is neither an export nor a line of JSON"),
        ("", "it is empty"),
        ("duraEXP", "it ends at byte 7, within the header that begins at byte 0"),
        ("duraEXP\n\u{1}\0", "the format at byte 8 has version 1, this program knows version 2"),
    ] {
        let place = Place::new();
        let error = refused(given(&place, "import DIR", input), 2);
        assert_eq!(error, format!("duramen: cannot import standard input: {why}"));
        assert!(!place.path("store").exists());
    }
    let place = Place::new();
    let error = refused(given(&place, "import DIR --format framed", good), 2);
    assert!(error.ends_with("what begins at byte 0 is not an export in frames"), "{error}");
    printed(given(&place, "import DIR --format jsonl", ""));
}

#[test]
fn a_tree_without_entries_is_neither_exported_nor_imported_into() {
    let place = store_of("a\n");
    let before = head(&place);
    for format in ["framed", "jsonl"] {
        let error = refused(duramen(&place, &format!("export DIR --format {format}")), 2);
        assert_eq!(error, "duramen: the tree \"main\" keeps no entries");
    }
    let whole = export(&entries_of("a\nb\n", ""), "");
    let error = refused(given(&place, "import DIR --resume", whole), 2);
    assert!(error.contains("was made without entries"), "{error}");
    assert_eq!(head(&place), before);
}

#[test]
fn entries_that_the_tree_does_not_take_are_refused_by_their_length() {
    let whole = export(&entries_of("short\nlonger than ten\n", ""), "");
    let place = Place::new();
    let error = refused(given(&place, "import DIR --longest 10", whole), 2);
    assert!(error.contains("has 15 bytes, and the tree \"main\" takes at most 10"), "{error}");
}

/// The most memory that a process has had, in bytes.
#[cfg(target_os = "linux")]
fn peak(child: &std::process::Child) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() << 10
}

#[cfg(target_os = "linux")]
#[test]
fn memory_does_not_grow_with_what_passes_through_a_pipe() {
    const MOST: u64 = 40 << 20;
    let text: String = (0..40_000).map(|line| format!("{line} ").repeat(500) + "\n").collect();
    assert!(text.len() as u64 > 2 * MOST);
    let place = entries_of(text, "--longest 1MiB --checkpoint-policy close");
    let program = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_duramen"));
        command.arg(arguments[0]).arg(place.path("store")).args(&arguments[1..]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
    };
    for format in ["framed", "jsonl"] {
        let mut exporter = program(&["export", "--format", format]);
        let mut whole = vec![0; 2 * usize::try_from(MOST).unwrap()];
        let out = exporter.stdout.as_mut().unwrap();
        std::io::Read::read_exact(out, &mut whole).unwrap();
        // It has more to write than a pipe takes.
        let exported = peak(&exporter);
        std::io::Read::read_to_end(exporter.stdout.as_mut().unwrap(), &mut whole).unwrap();
        assert!(exporter.wait().unwrap().success());

        let mut importer = program(&["import", "--resume"]);
        importer.stdin.as_mut().unwrap().write_all(&whole).unwrap();
        let imported = peak(&importer);
        drop(importer.stdin.take());
        assert!(importer.wait().unwrap().success());
        assert!(exported.max(imported) < MOST, "{format}: {exported} and {imported}");
    }
}
