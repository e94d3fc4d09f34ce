//! `head` and `prove` beside a program that has the store open.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use common::{Function, Place, duramen, head_text, lines, printed, refused};

#[test]
fn head_and_prove_work_beside_a_writer_and_a_second_writer_is_refused() {
    let place = Place::new();
    let mut child = Command::new(env!("CARGO_BIN_EXE_duramen"))
        .arg("append")
        .arg(place.path("store"))
        .arg("--ack")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut acks = BufReader::new(child.stdout.take().unwrap()).lines();
    let text = "one\ntwo\nthree\n";
    input.write_all(text.as_bytes()).unwrap();
    input.flush().unwrap();
    for index in 0..3 {
        assert_eq!(acks.next().unwrap().unwrap(), index.to_string());
    }
    let root = Function::Blake3.root(4, &lines(Function::Blake3, text.as_bytes()));
    assert_eq!(printed(duramen(&place, "head DIR")), head_text(3, root));
    assert!(printed(duramen(&place, "prove DIR 1 --json")).contains("\"size\":3"));
    assert!(printed(duramen(&place, "fsck DIR")).ends_with("3 leaves\n"));
    assert!(printed(duramen(&place, "scrub DIR")).ends_with("no damage\n"));
    let mut second = duramen(&place, "append DIR");
    second.write_stdin("four\n");
    assert!(refused(second, 2).contains("already open"));
    drop(input);
    assert!(child.wait().unwrap().success());
    assert_eq!(printed(duramen(&place, "head DIR")), head_text(3, root));
}
