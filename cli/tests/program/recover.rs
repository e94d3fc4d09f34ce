//! `recover`: a new store where the manifests are gone, and what it says of what is missing.

use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::common::process::command;
use crate::common::shell::status_of;
use crate::common::writer::Writer;
use crate::common::{Place, duramen, given, printed, printed_json, refused, store_of, told};
use serde_json::Value;

/// A store of 1000 lines in a part and five in the log, without manifests.
fn damaged() -> (Place, String) {
    let place = store_of((0..1000).map(|line| format!("line {line}\n")).collect::<String>());
    printed(given(&place, "append DIR --checkpoint-policy manual", "1\n2\n3\n4\n5\n"));
    let head = printed(duramen(&place, "head DIR"));
    for file in std::fs::read_dir(place.path("store/manifest")).unwrap() {
        std::fs::remove_file(file.unwrap().path()).unwrap();
    }
    (place, head)
}

#[test]
fn a_store_without_manifests_is_made_anew_with_the_same_head() {
    let (place, head) = damaged();
    refused(duramen(&place, "head DIR"), 6);
    let text = printed(duramen(&place, "recover DIR @new --name 0=main"));
    assert!(text.contains("no manifest can be read"), "{text}");
    assert!(text.contains("tree \"main\" size 1005 root "), "{text}");
    assert!(text.contains("nothing is known to be missing"), "{text}");
    assert_eq!(printed(duramen(&place, "head @new")), head);
    assert!(printed(duramen(&place, "scrub @new")).ends_with("no damage\n"));
    let text = refused(duramen(&place, "recover DIR @new"), 2);
    assert!(text.contains("is not empty"), "{text}");
    let json = printed_json(duramen(&place, "recover DIR @other --json"));
    assert_eq!((&json["whole"], &json["manifest"]), (&Value::Bool(true), &Value::Null));
    assert_eq!(json["trees"][0]["name_is_known"], true, "the log has the record that made it");
    assert_eq!(json["trees"][0]["from_log"], 5);
}

#[test]
fn what_is_missing_is_named_and_the_status_is_1() {
    let (place, _) = damaged();
    // The second block of leaves, and the log, which may have them too.
    let part = place.path("store/parts/00000001.part");
    let mut bytes = std::fs::read(&part).unwrap();
    bytes[2 * 4096 + 9] ^= 1;
    std::fs::write(&part, bytes).unwrap();
    for file in std::fs::read_dir(place.path("store/wal")).unwrap() {
        std::fs::remove_file(file.unwrap().path()).unwrap();
    }
    let text = told(duramen(&place, "recover DIR @new --name 0=main"), 1);
    assert!(text.contains("tree \"main\" size 128 root"), "{text}");
    assert!(text.contains("missing: leaves 128 to 999 of tree \"main\""), "{text}");
    assert!(text.contains("ends 872 leaves before the last one that is known"), "{text}");
    let json: Value =
        serde_json::from_str(&told(duramen(&place, "recover DIR @other --json"), 1)).unwrap();
    assert_eq!(json["trees"][0]["missing"][0]["to"], 1000);
    refused(duramen(&place, "recover @nothing @third"), 3);
    refused(duramen(&place, "recover DIR @third --name main"), 2);
    refused(duramen(&place, "recover DIR @third --name x=main"), 2);
}

#[test]
fn a_recovery_that_was_killed_leaves_no_store_that_can_be_taken_for_a_whole_one() {
    let place = store_of((0..200_000).map(|line| format!("line {line}\n")).collect::<String>());
    let mut child =
        command(&place, &[], "recover @store @new").stdout(Stdio::null()).spawn().unwrap();
    let begun = Instant::now();
    while !place.path("new/unfinished/manifest").exists() {
        assert!(begun.elapsed() < Duration::from_secs(60) && child.try_wait().unwrap().is_none());
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    for asked in ["head @new", "info @new", "scrub @new", "append @new"] {
        let text = refused(given(&place, asked, ""), 6);
        assert!(text.contains("a recovered store that was not finished: remove it"), "{text}");
    }
    let text = refused(duramen(&place, "recover DIR @new"), 2);
    assert!(text.contains("is not empty"), "{text}");
    std::fs::remove_dir_all(place.path("new")).unwrap();
    printed(duramen(&place, "recover DIR @new"));
    assert!(!place.path("new/unfinished").exists());
    assert_eq!(printed(duramen(&place, "head @new")), printed(duramen(&place, "head DIR")));
    assert!(!printed(duramen(&place, "fsck @new")).contains("foreign"));
}

#[test]
fn a_recovery_that_finds_no_room_leaves_nothing() {
    let place = store_of((0..100_000).map(|line| format!("line {line}\n")).collect::<String>());
    let (status, error) = status_of(place.dir(), "ulimit -f 1000; \"$D\" recover store new");
    assert_eq!(status, Some(5), "{error}");
    assert!(refused(duramen(&place, "head @new"), 3).contains("there is no store in"));
    printed(duramen(&place, "recover DIR @new"));
}

#[test]
fn a_store_that_is_open_and_a_name_for_a_tree_that_is_not_there_are_refused() {
    let (place, _) = damaged();
    let text = refused(duramen(&place, "recover DIR @new --name 0=main --name 7=other"), 2);
    assert!(text.contains("nothing is there of a tree with number 7"), "{text}");
    let open = Place::new();
    let mut writer = Writer::new(&open, "");
    writer.append("line\n");
    assert!(refused(duramen(&open, "recover DIR @new"), 4).contains("is already open"));
    assert!(!open.path("new").exists() && !place.path("new").exists());
    writer.end();
}

#[test]
fn a_recovery_whose_target_was_moved_removes_nothing_of_the_one_that_came_there() {
    use rustix::process::{Pid, Signal, kill_process};

    let place = store_of((0..200_000).map(|line| format!("line {line}\n")).collect::<String>());
    let mut recover = command(&place, &[], "recover @store @new");
    let mut child = recover.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let begun = Instant::now();
    let is_begun = || {
        let files = std::fs::read_dir(place.path("new/unfinished/manifest"));
        files.is_ok_and(|mut files| {
            let name = |file: std::io::Result<std::fs::DirEntry>| file.unwrap().path();
            files.any(|file| name(file).extension().is_some_and(|end| end == "manifest"))
        })
    };
    while !is_begun() {
        assert!(begun.elapsed() < Duration::from_secs(60) && child.try_wait().unwrap().is_none());
        std::thread::sleep(Duration::from_millis(1));
    }
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    kill_process(pid, Signal::STOP).unwrap();
    std::fs::rename(place.path("new"), place.path("moved")).unwrap();
    // As another recovery has it, whose target has the same name.
    std::fs::create_dir_all(place.path("new/unfinished/parts")).unwrap();
    let theirs = place.file("new/unfinished/parts/00000001.part", "of another");
    kill_process(pid, Signal::CONT).unwrap();
    let output = child.wait_with_output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && told.contains("was replaced"), "{told}");
    assert_eq!(std::fs::read(theirs).unwrap(), b"of another");
    refused(duramen(&place, "head @moved"), 6);
}
