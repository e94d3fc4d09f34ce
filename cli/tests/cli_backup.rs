//! `backup`: beside a writer and without one, what it prints and what it refuses.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use common::{Function, Place, duramen, head_text, hex, lines, printed, refused};
use serde_json::Value;

/// `backup DIR` into `name` beside the store.
fn backup(place: &Place, name: &str, flags: &[&str]) -> assert_cmd::Command {
    let mut command = duramen(place, "backup DIR");
    command.arg(place.path(name)).args(flags);
    command
}

fn head(place: &Place, name: &str) -> String {
    let mut command = duramen(place, "head");
    command.arg(place.path(name));
    printed(command)
}

#[test]
fn a_copy_is_made_beside_a_writer_and_has_what_it_acknowledged() {
    let place = Place::new();
    let mut child = Command::new(env!("CARGO_BIN_EXE_duramen"))
        .arg("append")
        .arg(place.path("store"))
        .args(["--ack", "--checkpoint-policy", "every:2"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut acks = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut text = String::new();
    for round in 0..12 {
        text += &format!("line {round}\n");
        input.write_all(format!("line {round}\n").as_bytes()).unwrap();
        input.flush().unwrap();
        assert_eq!(acks.next().unwrap().unwrap(), round.to_string());
        let name = format!("copy {round}");
        let told = printed(backup(&place, &name, &[]));
        let root = Function::Blake3.root(4, &lines(Function::Blake3, text.as_bytes()));
        let expected = head_text(round + 1, root);
        assert!(told.starts_with(&expected), "{told}");
        assert!(told.ends_with(" copied\n"), "{told}");
        assert_eq!(head(&place, &name), expected);
    }
    drop(input);
    assert!(child.wait().unwrap().success());
    // The copies are stores of their own.
    let mut command = duramen(&place, "append");
    command.arg(place.path("copy 3")).write_stdin("another\n");
    printed(command);
    for name in ["copy 3", "copy 11", "store"] {
        let mut command = duramen(&place, "scrub");
        command.arg(place.path(name));
        assert!(printed(command).ends_with("no damage\n"), "{name}");
        let mut command = duramen(&place, "fsck");
        command.arg(place.path(name));
        let leaves = if name == "copy 3" { 5 } else { 12 };
        assert!(printed(command).ends_with(&format!("{leaves} leaves\n")), "{name}");
    }
}

#[test]
fn a_copy_is_told_as_json_and_links_what_it_can() {
    let place = Place::new();
    let text: String = (0..1000).map(|line| format!("line {line}\n")).collect();
    let mut command = duramen(&place, "append DIR --hasher sha256 --arity 2");
    command.write_stdin(text.as_str());
    printed(command);
    let json = printed(backup(&place, "copy", &["--json"]));
    let json: Value = serde_json::from_str(&json).unwrap();
    let root = Function::Sha256.root(2, &lines(Function::Sha256, text.as_bytes()));
    assert_eq!(json["size"], 1000);
    assert_eq!(json["root"], hex(&root));
    assert_eq!(json["parts"], 1);
    let part = place.path("copy/parts/00000001.part").metadata().unwrap().len();
    assert_eq!(json["bytes_linked"], part);
    assert!(json["bytes_copied"].as_u64().unwrap() < 64 << 10);
    assert_eq!(head(&place, "copy"), head_text(1000, root));
}

#[test]
fn a_directory_that_is_not_empty_and_one_that_is_no_store_are_refused() {
    let place = Place::new();
    let mut command = duramen(&place, "append DIR");
    command.write_stdin("one\n");
    printed(command);
    std::fs::create_dir(place.path("full")).unwrap();
    place.file("full/notes.txt", "mine");
    let told = refused(backup(&place, "full", &[]), 2);
    assert!(told.contains("is not empty") && told.contains("notes.txt"), "{told}");
    assert!(refused(backup(&place, "store", &[]), 2).contains("is not empty"));
    std::fs::create_dir(place.path("empty")).unwrap();
    let mut command = duramen(&place, "backup");
    command.arg(place.path("empty")).arg(place.path("copy"));
    assert!(refused(command, 2).contains("there is no store"));
    assert!(!place.path("copy").exists());
    printed(backup(&place, "empty", &[]));
}
