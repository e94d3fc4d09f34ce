//! `remote`, and `append --remote`: stores in a bucket, which is a directory here.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::common::{Place, duramen, given, printed, printed_json, store_of};

fn url(place: &Place) -> String {
    format!("file://{}", place.path("bucket").display())
}

fn failed(place: &Place, line: &str) -> (Option<i32>, String) {
    let output = duramen(place, line).output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_store_is_shipped_restored_and_taken_over() {
    let place = store_of("one\ntwo\n");
    let url = url(&place);
    let told = printed(duramen(&place, &format!("remote init DIR {url}")));
    assert!(told.starts_with("the bucket is one for store "), "{told}");
    let (status, message) = failed(&place, &format!("remote restore {url} @early"));
    assert_eq!(status, Some(3));
    assert!(message.contains("nothing was shipped"), "{message}");
    printed(duramen(&place, &format!("remote ship DIR {url}")));
    printed(given(&place, &format!("append DIR --remote {url}"), "three\nfour\n"));
    let head = printed(duramen(&place, "head DIR"));
    printed(duramen(&place, &format!("remote restore {url} @copy")));
    assert_eq!(printed(duramen(&place, "head @copy")), head);
    let status = printed_json(duramen(&place, &format!("remote status {url} --json")));
    assert_eq!(status["epoch"], 2);
    assert!(status["seq"].as_u64().unwrap() >= 4, "{status}");
    let taken = printed_json(duramen(&place, &format!("remote takeover {url} @there --json")));
    assert_eq!(taken["epoch"], 3);
    assert_eq!(printed(duramen(&place, "head @there")), head);
    for copy in ["copy", "there"] {
        printed(duramen(&place, &format!("scrub @{copy}")));
    }
    let survey = printed_json(duramen(&place, &format!("remote fsck {url} --json")));
    assert_eq!(survey["clean"], true, "{survey}");
    // The other machine writes, and the first one may not go on.
    printed(given(&place, &format!("append @there --remote {url}"), "five\n"));
    let (status, message) = failed(&place, &format!("remote ship DIR {url}"));
    assert_eq!(status, Some(1));
    assert!(message.contains("records that this store does not have"), "{message}");
    let status = printed(duramen(&place, &format!("remote status {url}")));
    assert!(status.contains("epoch     4\n"), "{status}");
    // It comes back with what the bucket has. What it wrote alone is in a file.
    printed(given(&place, "append DIR", "alone\ntoo\n"));
    let alone = printed(duramen(&place, "head DIR"));
    let line = format!("remote rejoin DIR {url} @orphans --json");
    let rejoined = printed_json(duramen(&place, &line));
    assert_eq!(rejoined["orphans"], 2);
    assert_eq!(printed(duramen(&place, "head DIR")), printed(duramen(&place, "head @there")));
    assert_eq!(printed(duramen(&place, "head @store.superseded")), alone);
    let orphans = std::fs::read_to_string(place.path("orphans")).unwrap();
    let orphans: Vec<serde_json::Value> =
        orphans.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let indexes: Vec<_> = orphans.iter().map(|orphan| orphan["index"].as_u64().unwrap()).collect();
    assert_eq!(indexes, [4, 5], "{orphans:?}");
    let leaf = printed(duramen(&place, "leaves @store.superseded 5..6"));
    assert_eq!(orphans[1]["leaf"], leaf.trim());
    let (status, message) = failed(&place, &format!("remote ship DIR {url}"));
    assert_eq!(status, Some(1), "{message}");
    // Not over what it was before.
    let (status, message) = failed(&place, &line);
    assert_eq!(status, Some(2), "{message}");
    assert!(message.contains("superseded"), "{message}");
}

#[test]
fn a_damaged_object_is_named() {
    let place = store_of("one\ntwo\n");
    let url = url(&place);
    printed(duramen(&place, &format!("remote init DIR {url}")));
    printed(duramen(&place, &format!("remote ship DIR {url}")));
    let clean = printed(duramen(&place, &format!("remote fsck {url}")));
    assert!(clean.contains("epoch     1\n") && !clean.contains("PROBLEM"), "{clean}");
    let parts = place.path("bucket").join("part");
    let part = std::fs::read_dir(&parts).unwrap().next().unwrap().unwrap();
    let mut bytes = std::fs::read(part.path()).unwrap();
    bytes[100] ^= 1;
    std::fs::write(part.path(), bytes).unwrap();
    let output = duramen(&place, &format!("remote fsck {url}")).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    let name = format!("part/{}", part.file_name().to_str().unwrap());
    assert!(text.contains(&format!("PROBLEM: {name} is damaged: ")), "{text}");
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(message.contains("1 problem in "), "{message}");
}

#[test]
fn what_was_acknowledged_as_remote_is_there_after_the_machine_is_lost() {
    let place = store_of("");
    let url = url(&place);
    printed(duramen(&place, &format!("remote init DIR {url}")));
    let mut child = Command::new(env!("CARGO_BIN_EXE_duramen"))
        .arg("append")
        .arg(place.path("store"))
        .args(["--ack", "--remote", &url, "--acknowledge", "remote"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
    for line in 0..20 {
        writeln!(input, "line {line}").unwrap();
        assert_eq!(output.next().unwrap().unwrap(), line.to_string());
    }
    child.kill().unwrap();
    child.wait().unwrap();
    std::fs::remove_dir_all(place.path("store")).unwrap();
    printed(duramen(&place, &format!("remote takeover {url} @there")));
    let head = printed(duramen(&place, "head @there"));
    let text: String = (0..20).map(|line| format!("line {line}\n")).collect();
    let whole = store_of(text);
    assert_eq!(head, printed(duramen(&whole, "head DIR")));
}

#[test]
fn wrong_places_are_refused() {
    let place = store_of("one\n");
    let url = url(&place);
    for line in [
        "remote status s3://bucket/x".to_owned(),
        "remote status bucket".to_owned(),
        format!("remote status {url}"),
        format!("remote ship DIR {url}"),
        "append DIR --acknowledge remote".to_owned(),
    ] {
        let (status, message) = failed(&place, &line);
        assert!(matches!(status, Some(2 | 3)), "{line}: {status:?} {message}");
    }
    printed(duramen(&place, &format!("remote init DIR {url}")));
    let other = store_of("two\n");
    let (status, message) = failed(&other, &format!("remote init DIR {url}"));
    assert_eq!(status, Some(1));
    assert!(message.contains("another store"), "{message}");
}

/// A bucket that cannot be reached any more: a file is in its place.
fn cut_off(place: &Place) {
    std::fs::rename(place.path("bucket"), place.path("away")).unwrap();
    std::fs::write(place.path("bucket"), "x").unwrap();
}

fn append(place: &Place, more: &[&str]) -> Child {
    // Where the tests run under `nohup`, a child would ignore a signal too.
    Command::new("env")
        .args(["--default-signal=HUP,INT,TERM", env!("CARGO_BIN_EXE_duramen"), "append"])
        .arg(place.path("store"))
        .args(["--remote", &url(place)])
        .args(more)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Waits until a child has read all that was written to it, and what it read is in the store.
fn until_appended(place: &Place, size: u64) {
    let start = Instant::now();
    let size = format!("size {size}\n");
    while !printed(duramen(place, "head DIR")).contains(&size) {
        assert!(start.elapsed() < Duration::from_secs(60), "the child does not append");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Asks a child to end, whose input stays open, and returns its status and what it said.
fn asked_to_end(mut child: Child) -> (Option<i32>, String) {
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if start.elapsed() > Duration::from_secs(30) {
            child.kill().unwrap();
            panic!("the child does not end");
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    let mut error = String::new();
    std::io::Read::read_to_string(&mut child.stderr.take().unwrap(), &mut error).unwrap();
    (status.code(), error)
}

#[test]
fn a_signal_ends_an_append_whose_bucket_cannot_be_reached() {
    for more in [&["--ack", "--acknowledge", "remote"][..], &["--ack"], &[]] {
        let place = store_of("");
        printed(duramen(&place, &format!("remote init DIR {}", url(&place))));
        let mut child = append(&place, more);
        let mut input = child.stdin.take().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
        input.write_all(b"one\ntwo\nthree\n").unwrap();
        if !more.is_empty() {
            for index in 0..3 {
                assert_eq!(output.next().unwrap().unwrap(), index.to_string());
            }
        }
        until_appended(&place, 3);
        cut_off(&place);
        input.write_all(b"four\nfive\nsix\n").unwrap();
        until_appended(&place, 6);
        let (status, error) = asked_to_end(child);
        assert_eq!(status, Some(2), "{more:?}: {error}");
        let said = error.lines().last().unwrap();
        assert!(
            said.contains(
                "stopped after 6 leaves of standard input, which are appended and durable; the tree has 6 leaves: \
                 SIGTERM ended the input"
            ),
            "{more:?}: {error}"
        );
        let printed_more: Vec<String> = output.map(Result::unwrap).collect();
        if more.len() == 3 {
            assert!(printed_more.is_empty(), "{printed_more:?} is not in the bucket");
            assert!(said.contains("after SIGTERM the bucket took nothing"), "{error}");
        }
        drop(input);
        // It was closed in order, and the next run ships the rest.
        assert!(printed(duramen(&place, "fsck DIR")).contains("closed in order"));
        std::fs::remove_file(place.path("bucket")).unwrap();
        std::fs::rename(place.path("away"), place.path("bucket")).unwrap();
        printed(duramen(&place, &format!("remote ship DIR {}", url(&place))));
        printed(duramen(&place, &format!("remote restore {} @copy", url(&place))));
        assert_eq!(printed(duramen(&place, "head @copy")), printed(duramen(&place, "head DIR")));
    }
}

/// The names of the directories that a bucket is made in are durable before anything is in it.
#[test]
fn a_bucket_that_is_made_is_not_lost_with_its_directory() {
    let tried = Command::new("strace").args(["-f", "-y", "-o", "/dev/null", "true"]).output();
    if !tried.is_ok_and(|output| output.status.success()) {
        assert!(std::env::var_os("DURAMEN_TEST_NO_SKIP").is_none(), "strace does not work here");
        return;
    }
    let place = store_of("one\n");
    let (top, trace) = (place.path("made"), place.path("trace"));
    let bucket = top.join("deeper").join("bucket");
    let program = env!("CARGO_BIN_EXE_duramen");
    let calls = "trace=mkdir,mkdirat,fsync,link,linkat";
    let mut strace = Command::new("strace");
    strace.args(["-f", "-y", "-e", calls, "-o"]).arg(&trace).args([program, "remote", "init"]);
    strace.arg(place.path("store")).arg(format!("file://{}", bucket.display()));
    assert!(strace.stdout(Stdio::null()).status().unwrap().success());
    let text = std::fs::read_to_string(trace).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let first = |what: String| {
        let found = lines.iter().position(|line| line.contains(&what) && line.contains("= 0"));
        found.unwrap_or_else(|| panic!("no {what} in {text}"))
    };
    let objects = lines.iter().position(|line| line.contains("link")).unwrap();
    for dir in [&top, &bucket.parent().unwrap().to_owned(), &bucket] {
        let made = first(format!("\"{}\"", dir.display()));
        let parent = format!("<{}>", dir.parent().unwrap().canonicalize().unwrap().display());
        let synced = lines[made..objects]
            .iter()
            .any(|line| line.contains("fsync(") && line.contains(&parent));
        assert!(synced, "{} is not synced: {text}", parent);
    }
}
