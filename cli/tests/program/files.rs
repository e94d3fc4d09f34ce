//! Files that the program writes: proofs and keys.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::Path;

use crate::common::shell::{shell, skip, status_of};
use crate::common::{Place, duramen, given, printed, printed_bytes, refused, store_of};

/// The names in a directory.
fn names(dir: &Path) -> Vec<String> {
    let name =
        |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
    let mut names: Vec<String> = fs::read_dir(dir).unwrap().map(name).collect();
    names.sort();
    names
}

#[test]
fn a_file_that_cannot_be_replaced_stays_as_it_is() {
    let place = store_of((0..5000).map(|line| format!("{line}\n")).collect::<String>());
    printed(duramen(&place, "prove DIR 0 -o @proof"));
    let old = fs::read(place.path("proof")).unwrap();
    let before = names(place.dir());
    let many: Vec<String> = (0..5000).step_by(9).map(|index| index.to_string()).collect();
    // The limit is on the length of any file, in blocks of 512 or 1024 bytes.
    let script = format!("ulimit -f 8 && \"$D\" prove store {} -o proof", many.join(" "));
    let (status, error) = status_of(place.dir(), &script);
    assert_eq!(status, Some(2), "{error}");
    assert!(error.starts_with("duramen: cannot write proof: File too large"), "{error}");
    assert_eq!(fs::read(place.path("proof")).unwrap(), old);
    assert_eq!(names(place.dir()), before);

    printed(duramen(&place, "prove DIR 1 2 -o @proof"));
    assert_ne!(fs::read(place.path("proof")).unwrap(), old);
    assert_eq!(names(place.dir()), before);
}

#[test]
fn a_file_that_is_replaced_keeps_its_permissions_and_the_links_to_it() {
    let place = store_of("a\nb\n");
    let expected = printed_bytes(duramen(&place, "prove DIR 1"));
    let file = place.file("proof", "old");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    fs::create_dir(place.path("links")).unwrap();
    std::os::unix::fs::symlink("../proof", place.path("links/one")).unwrap();
    std::os::unix::fs::symlink("one", place.path("links/two")).unwrap();
    printed(duramen(&place, "prove DIR 1 -o @links/two"));
    assert_eq!(fs::read(&file).unwrap(), expected);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
    assert!(fs::symlink_metadata(place.path("links/two")).unwrap().is_symlink());
    assert_eq!(names(&place.path("links")), ["one", "two"]);

    // A link to a file that is not there yet makes it, and one to itself is refused.
    std::os::unix::fs::symlink("new", place.path("ahead")).unwrap();
    printed(duramen(&place, "prove DIR 1 -o @ahead"));
    assert_eq!(fs::read(place.path("new")).unwrap(), expected);
    std::os::unix::fs::symlink("circle", place.path("circle")).unwrap();
    assert!(refused(duramen(&place, "prove DIR 1 -o @circle"), 2).contains("cannot write"));
}

#[test]
fn what_is_no_file_is_written_to_and_not_replaced() {
    let place = store_of("a\nb\n");
    let expected = printed_bytes(duramen(&place, "prove DIR 1"));
    let script = "mkfifo pipe && (cat pipe >got &) && \"$D\" prove store 1 -o pipe";
    assert_eq!(status_of(place.dir(), script).0, Some(0));
    assert!(fs::symlink_metadata(place.path("pipe")).unwrap().file_type().is_fifo());
    let output = shell(place.dir(), "\"$D\" prove store 1 -o /dev/stdout | cat");
    assert_eq!(output.stdout, expected);
    let error = refused(duramen(&place, "prove DIR 1 -o /dev/full"), 2);
    assert!(error.starts_with("duramen: cannot write /dev/full: No space left"), "{error}");
    assert!(refused(duramen(&place, "prove DIR 1 -o DIR"), 2).contains("cannot write"));
}

#[test]
fn an_open_file_is_written_to_and_keeps_what_it_has() {
    let place = store_of("a\nb\n");
    let proof = printed(duramen(&place, "prove DIR 1"));
    for (script, expected) in [
        ("echo kept >log; \"$D\" prove store 1 -o /dev/stdout >>log", format!("kept\n{proof}")),
        ("echo kept >log; \"$D\" prove store 1 -o /dev/fd/3 3>>log", format!("kept\n{proof}")),
        ("{ \"$D\" prove store 1 -o /dev/stdout; echo next; } >log", format!("{proof}next\n")),
    ] {
        let (status, error) = status_of(place.dir(), script);
        assert_eq!((status, error.as_str()), (Some(0), ""), "{script}");
        assert_eq!(fs::read_to_string(place.path("log")).unwrap(), expected, "{script}");
    }
    // The link of a file that has no name any more shows one that was never there.
    let script = "exec 3>gone; rm gone; \"$D\" prove store 1 -o /dev/fd/3";
    assert_eq!(status_of(place.dir(), script).0, Some(0));
    assert_eq!(names(place.dir()), ["log", "store"]);
}

#[test]
fn dash_is_standard_output() {
    let place = store_of("a\nb\nc\n");
    for line in ["prove DIR 1", "prove DIR 1 --format binary", "prove-consistency DIR 2"] {
        let mut to_dash = duramen(&place, &format!("{line} -o -"));
        to_dash.current_dir(place.dir());
        assert_eq!(printed_bytes(to_dash), printed_bytes(duramen(&place, line)));
    }
    assert!(!place.path("-").exists());
}

#[test]
fn a_private_key_is_not_written_to_standard_output() {
    let place = Place::new();
    let mut keygen = duramen(&place, "keygen example.com/log -o -");
    keygen.current_dir(place.dir());
    assert!(refused(keygen, 2).contains("a private key is written to a file"));
    assert_eq!(names(place.dir()), [""; 0]);
}

#[test]
fn the_public_half_of_a_key_can_be_printed_again() {
    let place = Place::new();
    let public = printed(duramen(&place, "keygen example.com/log -o @key"));
    assert_eq!(printed(duramen(&place, "keygen --public @key")), public);
    let secret = fs::read(place.path("key")).unwrap();
    assert_eq!(printed(given(&place, "keygen --public -", secret)), public);

    // A key whose public half could not be printed is no loss.
    let script = "\"$D\" keygen example.com/log -o other >/dev/full";
    let (status, error) = status_of(place.dir(), script);
    assert_eq!(status, Some(2));
    assert!(error.contains("other holds a new private key"), "{error}");
    assert!(error.contains("keygen --public"), "{error}");
    printed(duramen(&place, "keygen --public @other"));
    for line in ["keygen", "keygen name", "keygen -o @x", "keygen name --public @key"] {
        refused(duramen(&place, line), 2);
    }
}

#[test]
fn a_key_that_cannot_be_written_in_full_is_not_there() {
    let place = Place::new();
    let (status, error) = status_of(place.dir(), "ulimit -f 0 && \"$D\" keygen name -o key");
    assert_eq!(status, Some(2), "{error}");
    assert!(error.starts_with("duramen: cannot write key: File too large"), "{error}");
    assert_eq!(names(place.dir()), [""; 0]);
}

#[test]
fn a_file_and_its_name_are_durable_before_anything_is_said() {
    let test = "a_file_and_its_name_are_durable_before_anything_is_said";
    let place = store_of("a\nb\n");
    let dir = fs::canonicalize(place.dir()).unwrap().display().to_string();
    if !shell(place.dir(), "strace -o /dev/null true").status.success() {
        return skip(test, "strace does not work here");
    }
    let trace = |line: &str| {
        let script = format!(
            "strace -f -y -o trace -e trace=fsync,fdatasync,write,rename,renameat,renameat2 \"$D\" {line}"
        );
        assert!(shell(place.dir(), &script).status.success(), "{line}");
        fs::read_to_string(place.path("trace")).unwrap()
    };
    /// The number of the first line with all of these words.
    fn at(trace: &str, words: &[&str]) -> usize {
        let found = trace.lines().position(|line| words.iter().all(|word| line.contains(word)));
        found.unwrap_or_else(|| panic!("{words:?} is not in the trace:\n{trace}"))
    }
    let key = trace("keygen example.com/log -o key");
    let (file, renamed) = (at(&key, &["sync(", "/.duramen-"]), at(&key, &["rename", "\"key\""]));
    let name = at(&key, &["sync(", &format!("<{dir}>)")]);
    let said = at(&key, &["write(1<", "example.com/log"]);
    assert!(file < renamed && renamed < name && name < said, "{key}");

    for line in ["prove store 0 -o proof", "prove store 1 -o proof"] {
        let proof = trace(line);
        let file = at(&proof, &["sync(", "/.duramen-"]);
        let renamed = at(&proof, &["rename", "\"proof\""]);
        let name = at(&proof, &["sync(", &format!("<{dir}>)")]);
        assert!(file < renamed && renamed < name, "{proof}");
    }
}

/// The status of the program when the first of the calls that `calls` names sends it SIGTERM; `None` where
/// that cannot be done here.
fn asked_during(test: &str, place: &Place, calls: &str, line: &str) -> Option<i32> {
    if !shell(place.dir(), "strace -o /dev/null true").status.success() {
        skip(test, "strace does not work here");
        return None;
    }
    let script = format!(
        "strace -f -o /dev/null -e trace={calls} -e inject={calls}:signal=TERM:when=1 \"$D\" {line}"
    );
    // The shell says it of a child that a signal ended.
    shell(place.dir(), &format!("{script}; exit $?")).status.code()
}

#[test]
fn a_signal_leaves_no_half_written_file_behind() {
    let test = "a_signal_leaves_no_half_written_file_behind";
    let place = store_of("a\nb\n");
    printed(duramen(&place, "prove DIR 0 -o @proof"));
    let old = fs::read(place.path("proof")).unwrap();
    let new = printed_bytes(duramen(&place, "prove DIR 1"));
    let before = names(place.dir());
    for (calls, replaced) in [
        ("fchmod", false),
        ("fsync", false),
        ("fchown", false),
        ("?rename,?renameat,?renameat2", true),
    ] {
        fs::write(place.path("proof"), &old).unwrap();
        let Some(status) = asked_during(test, &place, calls, "prove store 1 -o proof") else {
            return;
        };
        assert_eq!(status, 128 + 15, "{calls}");
        assert_eq!(names(place.dir()), before, "{calls}");
        let expected = if replaced { &new } else { &old };
        assert_eq!(&fs::read(place.path("proof")).unwrap(), expected, "{calls}");
    }
    assert_eq!(asked_during(test, &place, "fsync", "prove store 1 -o new"), Some(128 + 15));
    assert_eq!(asked_during(test, &place, "fsync", "keygen name -o key"), Some(128 + 15));
    assert_eq!(names(place.dir()), before);
}

#[test]
fn a_directory_that_cannot_be_synced_is_refused_before_anything_is_written() {
    use std::os::unix::process::CommandExt;

    let place = store_of("a\nb\n");
    let program = place.path("duramen");
    fs::copy(env!("CARGO_BIN_EXE_duramen"), &program).unwrap();
    printed(duramen(&place, "prove DIR 0 -o @proof"));
    let dir = place.path("unread");
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("old"), "old").unwrap();
    // Names can be made in it and removed, and it cannot be read.
    let root = fs::metadata("/proc/self").unwrap().uid() == 0;
    for path in [place.dir(), &dir, &dir.join("old")] {
        if root {
            std::os::unix::fs::chown(path, Some(65_534), Some(65_534)).unwrap();
        }
    }
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o300)).unwrap();
    let run = |line: &str| {
        let mut command = std::process::Command::new(&program);
        command.args(line.split(' ')).current_dir(place.dir());
        if root {
            command.uid(65_534).gid(65_534);
        }
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let stored = run("keygen name -o key");
    assert_eq!(stored, (Some(0), String::new()), "where it can be read, it is written");
    for (line, name) in [
        ("keygen name -o unread/key", "unread/key"),
        ("prove-consistency store 1 2 -o unread/new", "unread/new"),
        ("prove-consistency store 1 2 -o unread/old", "unread/old"),
    ] {
        if root && line.starts_with("prove") {
            let chowned = shell(place.dir(), "chown -R 65534:65534 store").status.success();
            assert!(chowned);
        }
        let why = "its directory unread cannot be opened to be synced: Permission denied";
        let (status, error) = run(line);
        assert_eq!(status, Some(7), "{error}");
        assert!(error.starts_with(&format!("duramen: cannot write {name}: {why}")), "{error}");
    }
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o700)).unwrap();
    assert_eq!(names(&dir), ["old"]);
    assert_eq!(fs::read(dir.join("old")).unwrap(), b"old");
}
