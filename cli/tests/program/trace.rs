//! The program under strace: what it prints is printed after the system call that makes it true.

use std::process::Command;

use super::common::hex;
use super::traced::order::leaf;
use super::traced::run::{Traced, can_trace};

/// The program with the arguments of a line, in which `@name` is a path in the directory that is watched.
fn duramen(traced: &Traced, line: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_duramen"));
    for word in line.split_whitespace() {
        match word.strip_prefix('@') {
            Some(name) => command.arg(traced.path(name)),
            None => command.arg(word),
        };
    }
    command
}

/// What prints nothing where it is watched but has to end well.
fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn lines(leaves: std::ops::Range<u64>) -> Vec<u8> {
    leaves.map(|index| hex(&leaf(index)) + "\n").collect::<String>().into_bytes()
}

#[test]
fn an_index_is_printed_once_its_leaf_is_durable() {
    if !can_trace("the program's acknowledgements") {
        return;
    }
    for policies in [
        "--flush-policy interval:1ms --checkpoint-policy every:300,close",
        "--flush-policy manual --checkpoint-policy close",
    ] {
        let mut traced = Traced::in_a_new_place();
        for round in 0..3 {
            let line = format!("append @store --ack --input hex {policies}");
            let input = lines(round * 1000..(round + 1) * 1000);
            assert!(traced.print(&duramen(&traced, &line), &input).success());
        }
        let seen = traced.check();
        assert!(seen.leaves == 3000 && seen.promises == 3006 && seen.dirs == 4, "{seen:?}");
        assert!(seen.manifests >= 4 && seen.parts >= 3, "{seen:?}");
    }
}

#[test]
fn a_backup_is_durable_when_its_head_is_printed() {
    if !can_trace("the program's backup") {
        return;
    }
    let mut traced = Traced::in_a_new_place();
    let append = duramen(&traced, "append @store --input hex --checkpoint-policy manual");
    assert!(traced.print(&append, &lines(0..500)).success());
    assert!(traced.print(&duramen(&traced, "backup @store @made/copy"), b"").success());
    let seen = traced.check();
    assert_eq!(seen.dirs, 4 + 5, "{seen:?}");
}

#[test]
fn a_key_is_durable_when_its_public_half_is_printed() {
    if !can_trace("the program's keys") {
        return;
    }
    let mut traced = Traced::in_a_new_place();
    let status = traced.print(&duramen(&traced, "keygen example.com/log -o @key"), b"");
    assert!(status.success());
    assert!(traced.check().promises > 0);
}

#[test]
fn a_file_that_a_proof_is_written_to_is_durable_at_the_end() {
    if !can_trace("the program's output files") {
        return;
    }
    let mut traced = Traced::in_a_new_place();
    let mut append = duramen(&traced, "append @store --input hex");
    let input = traced.path("leaves");
    std::fs::write(&input, lines(0..100)).unwrap();
    run(append.arg(input));
    for line in ["prove @store 7 -o @proof", "prove @store 8 -o @proof"] {
        assert!(traced.print(&duramen(&traced, line), b"").success());
        traced.ended_well();
    }
    assert!(traced.check().promises >= 2);
}

#[test]
fn bad_records_and_the_name_of_their_file_are_durable_when_the_head_is_printed() {
    if !can_trace("the program's bad records") {
        return;
    }
    let mut traced = Traced::in_a_new_place();
    let input = [lines(0..10), b"no digits\n".to_vec(), lines(10..20)].concat();
    for _ in 0..2 {
        let append = duramen(&traced, "append @store --input hex --skip-bad @bad");
        let _ = traced.print(&append, &input);
    }
    let bad = std::fs::read_to_string(traced.path("bad")).unwrap();
    assert_eq!(bad, "no digits\nno digits\n");
    assert!(traced.check().promises >= 2);
}
