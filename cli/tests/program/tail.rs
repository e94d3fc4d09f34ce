//! `tail`: the last leaves of a tree, and those that another process appends.

use std::io::{BufReader, Lines, Read};
use std::process::{Child, ChildStdout, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::common::writer::{Writer, lines_of};
use crate::common::{Function, Place, duramen, entries_of, given, hex, printed, refused, store_of};

fn numbered(range: std::ops::Range<u64>) -> String {
    range.map(|line| format!("line {line}\n")).collect()
}

/// `tail -f` of the store, with more flags.
fn following(place: &Place, flags: &str) -> (Child, Lines<BufReader<ChildStdout>>) {
    let mut child = Command::new("env")
        .args(["--default-signal=HUP,INT,TERM", env!("CARGO_BIN_EXE_duramen"), "tail", "-f"])
        .arg(place.path("store"))
        .args(flags.split_whitespace())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = lines_of(&mut child);
    (child, lines)
}

/// Asks a follower to end; all that it had not printed yet.
fn end(mut child: Child, lines: Lines<BufReader<ChildStdout>>, signal: Signal) -> Vec<String> {
    kill_process(Pid::from_child(&child), signal).unwrap();
    let rest = lines.map(Result::unwrap).collect();
    let mut told = String::new();
    child.stderr.take().unwrap().read_to_string(&mut told).unwrap();
    assert_eq!((child.wait().unwrap().code(), told.as_str()), (Some(0), ""));
    rest
}

#[test]
fn the_last_ten_are_printed_or_those_from_an_index_on() {
    let place = entries_of(numbered(0..1000), "");
    let tail = |flags: &str| printed(duramen(&place, &format!("tail DIR {flags}")));
    assert_eq!(tail(""), numbered(990..1000));
    assert_eq!(tail("--from 3"), numbered(3..1000));
    assert_eq!(tail("--from 1000"), "");
    assert_eq!(tail("--from 999 --format hex"), format!("{}\n", hex(b"line 999")));
    let leaf = hex(&Function::Blake3.leaf(b"line 999"));
    let line = json!({"index": 999, "leaf": leaf, "entry": "line 999"});
    let found: serde_json::Value =
        serde_json::from_str(&tail("--from 999 --format jsonl")).unwrap();
    assert_eq!(found, line);
    assert!(refused(duramen(&place, "tail DIR --from 1001"), 2).contains("1001"));
    assert!(refused(duramen(&place, "tail DIR --tree other"), 3).contains("other"));
    assert_eq!(printed(duramen(&entries_of("one\n", ""), "tail DIR")), "one\n");
}

#[test]
fn of_a_tree_without_entries_leaves_are_printed_in_hex() {
    let place = store_of(numbered(0..20));
    let leaf = |line: u64| hex(&Function::Blake3.leaf(format!("line {line}").as_bytes()));
    let all: String = (10..20).map(|line| leaf(line) + "\n").collect();
    assert_eq!(printed(duramen(&place, "tail DIR")), all);
    assert_eq!(printed(duramen(&place, "tail DIR --format hex")), all);
    let json = printed(duramen(&place, "tail DIR --from 19 --format jsonl"));
    assert_eq!(json, format!("{{\"index\":19,\"leaf\":\"{}\"}}\n", leaf(19)));
}

#[test]
fn a_follower_prints_each_line_of_another_process_once_in_order_also_the_last_before_a_pause() {
    for flags in ["--entries", "--entries --checkpoint-policy every:200"] {
        let place = Place::new();
        let mut writer = Writer::new(&place, flags);
        writer.append(&numbered(0..5));
        let (first, mut lines) = following(&place, "--from 0");
        let mut next = 0;
        for (round, count) in [0, 1, 700, 1, 3000, 1].into_iter().enumerate() {
            let size = if round == 0 { 5 } else { next + count };
            writer.append(&numbered(next.max(5)..size));
            // Without anything after it: the writer pauses here.
            while next < size {
                assert_eq!(lines.next().unwrap().unwrap(), format!("line {next}"));
                next += 1;
            }
        }
        // A second follower resumes by the index, and both go on beyond the end of the writer.
        let (second, mut resumed) = following(&place, "--from 3000 --format lines");
        assert_eq!(resumed.next().unwrap().unwrap(), "line 3000");
        writer.end();
        printed(given(&place, "append DIR", numbered(next..next + 10)));
        for index in next..next + 10 {
            assert_eq!(lines.next().unwrap().unwrap(), format!("line {index}"));
        }
        assert_eq!(end(first, lines, Signal::TERM), Vec::<String>::new());
        for index in 3001..next + 10 {
            assert_eq!(resumed.next().unwrap().unwrap(), format!("line {index}"));
        }
        assert_eq!(end(second, resumed, Signal::INT), Vec::<String>::new());
    }
}

#[test]
fn a_follower_that_is_killed_in_its_output_ends_after_a_complete_line() {
    let place = entries_of(numbered(0..200_000), "");
    let (child, mut lines) = following(&place, "--from 0");
    for index in 0..1000 {
        assert_eq!(lines.next().unwrap().unwrap(), format!("line {index}"));
    }
    let rest = end(child, lines, Signal::TERM);
    for (line, index) in rest.iter().zip(1000..) {
        assert_eq!(*line, format!("line {index}"));
    }
}

#[test]
fn a_follower_of_a_sealed_tree_ends_by_itself() {
    let place = entries_of(numbered(0..20), "");
    printed(duramen(&place, "seal DIR main"));
    assert_eq!(printed(duramen(&place, "tail DIR -f --from 5")), numbered(5..20));
}
