//! The program is killed in the middle of its work: what it acknowledged must be there.

use std::io::Write;
use std::process::ChildStdin;
use std::thread::JoinHandle;

use crate::common::writer::{appending, lines_of};
use crate::common::{Function, Place, duramen, given, hex, printed, printed_json};

/// Feeds lines `line {n}` from `first` on until the reader is gone; returns how many were begun.
fn feed(mut input: ChildStdin, first: u64) -> JoinHandle<u64> {
    std::thread::spawn(move || {
        let mut next = first;
        loop {
            let mut text = String::new();
            for _ in 0..50 {
                text.push_str(&format!("line {next}\n"));
                next += 1;
            }
            if input.write_all(text.as_bytes()).is_err() {
                return next;
            }
        }
    })
}

/// Kills the program after `after` acknowledgements; returns the end of what it acknowledged and of
/// what it can have been given.
fn kill_in_mid_append(place: &Place, flags: &str, first: u64, after: u64) -> (u64, u64) {
    let mut child = appending(place, flags);
    let feeder = feed(child.stdin.take().unwrap(), first);
    let mut acks = lines_of(&mut child);
    let mut acknowledged = first;
    let mut see = |line: String| {
        assert_eq!(line, acknowledged.to_string(), "acknowledgements come in order");
        acknowledged += 1;
    };
    for _ in 0..after {
        see(acks.next().expect("the program goes on until it is killed").unwrap());
    }
    child.kill().unwrap();
    child.wait().unwrap();
    // What it had printed before it died counts; only the very last line may be cut off.
    let rest: Vec<String> = acks.map_while(Result::ok).collect();
    if let Some((last, whole)) = rest.split_last() {
        whole.iter().cloned().for_each(&mut see);
        if *last == acknowledged.to_string() {
            acknowledged += 1;
        }
    }
    (acknowledged, feeder.join().unwrap())
}

fn check(flags: &str) {
    let place = Place::new();
    let mut size = 0;
    for after in [1, 700, 5_000, 20_000] {
        let (acknowledged, submitted) = kill_in_mid_append(&place, flags, size, after);
        let head = printed_json(duramen(&place, "head DIR --json"));
        let recovered = head["size"].as_u64().unwrap();
        assert!(
            acknowledged <= recovered && recovered <= submitted,
            "acknowledged {acknowledged}, recovered {recovered}, submitted {submitted} ({flags})"
        );
        let leaves: Vec<_> =
            (0..recovered).map(|n| Function::Blake3.leaf(format!("line {n}").as_bytes())).collect();
        let root = hex(&Function::Blake3.root(4, &leaves));
        assert_eq!(head["root"], root, "{recovered} leaves ({flags})");

        let index = acknowledged - 1;
        let proof = printed(duramen(&place, &format!("prove DIR {index} --json")));
        let leaf = hex(&Function::Blake3.leaf(format!("line {index}").as_bytes()));
        let flags = format!("--head {recovered}:{root} --index {index} --leaf {leaf}");
        let verify = given(&place, &format!("verify inclusion - {flags}"), proof);
        assert!(printed(verify).starts_with("verified"));
        size = recovered;
    }
}

#[test]
fn after_a_kill_every_acknowledged_index_is_there_and_the_root_is_the_reference() {
    check("--flush-policy interval:1ms --checkpoint-policy manual");
}

#[test]
fn the_same_holds_with_the_default_policies() {
    check("");
}

#[test]
fn the_same_holds_while_checkpoints_run_all_the_time() {
    check("--flush-policy interval:2ms --checkpoint-policy every:500");
}

#[test]
fn the_same_holds_when_only_the_program_decides_about_flushes() {
    check("--flush-policy manual --checkpoint-policy wal:64KiB");
}
