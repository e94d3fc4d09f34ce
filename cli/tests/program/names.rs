//! Names of files and directories, whatever is in them, and what messages make of them.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Command, Output};

use crate::common::{Place, duramen, given, printed, printed_json, refused, store_of, told};

/// A name that would forge a line of `fsck`, colour what follows and set the title of a terminal.
const EVIL: &str = "x\nin force        4096 00000009.part\u{1b}[31m\u{1b}]0;t\u{7}\u{9b}";

fn run(dir: &Path, arguments: &[&OsStr]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_duramen")).args(arguments).current_dir(dir).output().unwrap()
}

/// The lines of a text that holds nothing but printable characters in lines.
fn plain_lines(bytes: &[u8]) -> Vec<String> {
    let text = std::str::from_utf8(bytes).unwrap();
    let steers = |c: char| c.is_control() && c != '\n';
    assert!(!text.contains(steers), "{text:?}");
    text.lines().map(str::to_owned).collect()
}

#[test]
fn a_foreign_file_forges_no_line_whatever_its_name() {
    let place = store_of("a\nb\nc\n");
    let before = plain_lines(printed(duramen(&place, "fsck DIR")).as_bytes()).len();
    let names = [EVIL.as_bytes(), b"not \xff text", b"a \"quoted\" \\ name", b"plain"];
    for (at, dir) in ["parts", "wal", "manifest"].into_iter().enumerate() {
        fs::write(place.path("store").join(dir).join(OsStr::from_bytes(names[at])), "").unwrap();
    }
    fs::write(place.path("store/parts").join(OsStr::from_bytes(names[3])), "").unwrap();
    let text = plain_lines(printed(duramen(&place, "fsck DIR")).as_bytes());
    assert_eq!(text.len(), before + 4, "{text:#?}");
    assert_eq!(text.iter().filter(|line| line.starts_with("foreign ")).count(), 4, "{text:#?}");
    let quoted = r#"parts/x\nin force        4096 00000009.part\u{1b}[31m\u{1b}]0;t\u{7}\u{9b}""#;
    assert!(text.iter().any(|line| line.ends_with(quoted)), "{text:#?}");

    assert!(text.iter().any(|line| line.ends_with(r#"wal/not \xFF text""#)), "{text:#?}");

    let json = printed(duramen(&place, "fsck DIR --json"));
    assert_eq!(plain_lines(json.as_bytes()).len(), 1);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let files: Vec<&str> = json["files"]
        .as_array()
        .unwrap()
        .iter()
        .map(|file| file["file"].as_str().unwrap())
        .collect();
    assert!(files.iter().any(|file| file.ends_with(&format!("/parts/{EVIL}"))), "{files:#?}");
}

#[test]
fn a_store_may_be_anywhere_and_a_message_about_it_is_one_line() {
    let place = Place::new();
    let evil = OsStr::new(EVIL);
    fs::write(place.path("input"), "a\nb\n").unwrap();
    let run = |arguments: &[&str]| {
        let arguments: Vec<&OsStr> = arguments
            .iter()
            .map(|word| if *word == "EVIL" { evil } else { OsStr::new(word) })
            .collect();
        let output = run(place.dir(), &arguments);
        (output.status.code(), plain_lines(&output.stdout), plain_lines(&output.stderr))
    };
    let no_store = [
        &["head", "EVIL"][..],
        &["prove", "EVIL", "0"],
        &["scrub", "EVIL"],
        &["fsck", "EVIL"],
        &["dump", "EVIL"],
        &["backup", "EVIL", "copy"],
        &["append", "store", "EVIL"],
        &["append", "store", "--hasher", "EVIL"],
        &["append", "store", "--checkpoint-policy", "EVIL"],
        &["EVIL"],
        &["keygen", "EVIL", "-o", "key"],
        &["head", "EVIL", "--key", "EVIL", "--format", "checkpoint"],
        &["verify", "consistency", "EVIL", "--old-head", "EVIL", "--head", "EVIL"],
        &["keygen", "name", "-o", "missing/EVIL/key"],
    ];
    for arguments in no_store {
        let (status, _, error) = run(arguments);
        assert!(matches!(status, Some(2 | 3)), "{arguments:?} {error:?}");
        assert_eq!(error.len(), 1, "{arguments:?} {error:?}");
    }
    assert_eq!(run(&["append", "EVIL", "input", "--checkpoint-policy", "close"]).0, Some(0));
    let part = place.dir().join(evil).join("parts/00000001.part");
    let mut bytes = fs::read(&part).unwrap();
    bytes[4096] ^= 1;
    fs::write(&part, bytes).unwrap();
    let quoted = r#""x\nin force "#;
    for (arguments, status, told) in [
        (&["scrub", "EVIL"][..], 1, true),
        (&["scrub", "EVIL", "--json"], 1, true),
        (&["fsck", "EVIL"], 0, false),
        (&["fsck", "EVIL", "--json"], 0, false),
        (&["prove", "EVIL", "0"], 6, true),
        (&["append", "EVIL", "input", "--arity", "16"], 6, true),
        (&["append", "EVIL", "input", "--hasher", "sha256"], 6, true),
        (&["backup", "EVIL", "EVIL"], 2, true),
    ] {
        let (found, _, error) = run(arguments);
        assert_eq!(found, Some(status), "{arguments:?} {error:?}");
        assert_eq!(error.len(), usize::from(told), "{arguments:?} {error:?}");
        if told && found != Some(1) {
            let path = error[0].contains(quoted) || error[0].contains(r"x\nin force ");
            assert!(path, "{arguments:?} {error:?}");
        }
    }
}

#[test]
fn what_a_run_reports_of_itself_forges_no_line_either() {
    let place = Place::new();
    let evil = place.dir().join(EVIL);
    fs::write(place.path("input"), "a\nb\n").unwrap();
    let mut append = duramen(&place, "-vv append");
    append.arg(&evil).arg(place.path("input")).args(["--checkpoint-policy", "close"]);
    let output = append.assert().success().get_output().clone();
    let lines = plain_lines(&output.stderr);
    assert!(lines.iter().any(|line| line.contains("made a log segment")), "{lines:#?}");
    assert!(lines.iter().all(|line| !line.starts_with("in force")), "{lines:#?}");
    assert!(lines.iter().any(|line| line.contains(r"x\nin force")), "{lines:#?}");
}

#[test]
fn a_repair_names_the_parts_that_it_wrote_in_one_line_each() {
    let place = Place::new();
    let evil = place.dir().join(EVIL);
    let text: String = (0..1000).map(|line| format!("line {line}\n")).collect();
    let mut append = duramen(&place, "append");
    append.arg(&evil).args(["--checkpoint-policy", "close"]).write_stdin(text);
    printed(append);
    // The end of the part, which can be made anew.
    let part = evil.join("parts/00000001.part");
    let mut bytes = fs::read(&part).unwrap();
    let at = bytes.len() - 100;
    bytes[at] ^= 1;
    fs::write(&part, bytes).unwrap();
    let mut scrub = duramen(&place, "scrub --repair");
    let output = scrub.arg(&evil).assert().get_output().clone();
    let lines = plain_lines(&output.stdout);
    let wrote: Vec<_> = lines.iter().filter(|line| line.starts_with("wrote ")).collect();
    assert!(wrote.len() == 1 && wrote[0].contains(r"x\nin force"), "{lines:#?}");
}

#[test]
fn a_name_that_is_no_text_is_shown_as_it_is() {
    for (name, shown) in [
        (&b"not \xff text"[..], r#""not \xFF text""#),
        ("zero\u{200b}width".as_bytes(), r#""zero\u{200b}width""#),
        ("right\u{202e}left".as_bytes(), r#""right\u{202e}left""#),
        ("\u{3164}".as_bytes(), r#""\u{3164}""#),
    ] {
        let place = store_of("a\n");
        fs::create_dir_all(place.path("other/wal")).unwrap();
        fs::create_dir(place.path("made")).unwrap();
        fs::write(place.path("made").join(OsStr::from_bytes(name)), "").unwrap();
        fs::write(place.path("other/wal").join(OsStr::from_bytes(name)), "").unwrap();
        let inner = format!("\"wal/{}", &shown[1..]);
        for (line, status, shown) in [
            ("append @made", 3, shown),
            ("backup DIR @made", 2, shown),
            ("append @other", 3, &inner),
            ("backup DIR @other", 2, &inner),
        ] {
            let error = refused(given(&place, line, ""), status);
            assert!(error.ends_with(&format!("it holds {shown}")), "{line}: {error}");
        }
    }
}

#[test]
fn no_key_gets_a_name_that_looks_like_another() {
    let place = Place::new();
    for name in
        ["example.com\u{200b}/log", "\u{202e}gol/moc.elpmaxe", "a\u{ad}b", "a\u{3164}", "a\u{7f}"]
    {
        let mut keygen = duramen(&place, "keygen");
        keygen.arg(name).arg("-o").arg(place.path("key"));
        let error = refused(keygen, 2);
        assert!(error.contains("is not a key name"), "{error}");
        assert!(!error.contains(name), "{error}");
        assert!(!place.path("key").exists());
    }
}

#[test]
fn a_message_names_each_thing_once_and_nothing_that_is_not_there() {
    for dir in ["wal", "parts", "manifest"] {
        let place = store_of("a\n");
        fs::remove_dir_all(place.path("store").join(dir)).unwrap();
        place.file(&format!("store/{dir}"), "no directory");
        for line in ["head DIR", "append DIR", "fsck DIR", "scrub DIR"] {
            let mut command = given(&place, line, "");
            let error = refused_whatever(&mut command);
            assert_eq!(error.matches("cannot ").count().max(1), 1, "{line}: {error}");
            assert!(!error.contains("00000000"), "{line}: {error}");
        }
    }
}

/// What a failed call said, with what it printed.
fn refused_whatever(command: &mut assert_cmd::Command) -> String {
    let output = command.assert().failure().get_output().clone();
    String::from_utf8([output.stderr, output.stdout].concat()).unwrap()
}

#[test]
fn another_format_version_is_no_damage() {
    let place = store_of("a\nb\n");
    for (file, at) in [("manifest", 8), ("parts", 8)] {
        let dir = fs::read_dir(place.path("store").join(file)).unwrap();
        let path = dir.map(|entry| entry.unwrap().path()).max().unwrap();
        let intact = fs::read(&path).unwrap();
        let changed = |at: usize, to: u8| {
            let mut bytes = intact.clone();
            bytes[at] = to;
            // The checksum at the end of a manifest and of a part's first block.
            let end = if file == "manifest" { bytes.len() } else { 4096 };
            let sum = crc(&bytes[..end - 8]).to_le_bytes();
            bytes[end - 8..end].copy_from_slice(&sum);
            fs::write(&path, bytes).unwrap();
        };
        let line = format!("dump {}", path.display());
        changed(at, 99);
        let error = refused(duramen(&place, &line), 2);
        assert!(
            error.contains("it has format version 99, which this program does not read"),
            "{error}"
        );
        let dumped = refused_whatever(&mut duramen(&place, &line));
        assert!(!dumped.contains("DAMAGED") && !dumped.contains("Version("), "{dumped}");
        fs::write(&path, [b"other bytes", &intact[11..]].concat()).unwrap();
        let dumped = told(duramen(&place, &line), 1);
        assert!(dumped.contains("does not begin as"), "{dumped}");
        assert!(!dumped.contains("Magic"), "{dumped}");
        fs::write(&path, intact).unwrap();
    }
}

#[test]
fn one_place_is_not_counted_as_several() {
    let place = store_of("a\nb\n");
    place.file("store/parts/00000001.part", "short");
    let error = refused_whatever(&mut duramen(&place, "fsck DIR"));
    assert!(error.contains("1 problem in "), "{error}");
    assert_eq!(printed_json(duramen(&store_of("a\n"), "fsck DIR --json"))["clean"], true);
}

/// The checksum of the formats, CRC-64 of NVM Express, as its specification has it.
fn crc(bytes: &[u8]) -> u64 {
    let mut sum = u64::MAX;
    for byte in bytes {
        sum ^= u64::from(*byte);
        for _ in 0..8 {
            sum = if sum & 1 == 1 { sum >> 1 ^ 0x9a6c_9329_ac4b_c9b5 } else { sum >> 1 };
        }
    }
    !sum
}
