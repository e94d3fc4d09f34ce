//! `duramen append` and `duramen head`: what goes in comes out as the right root.

use crate::common::writer::Writer;
use crate::common::{
    Function, Hash, Place, duramen, given, head_json, head_text, hex, lines, printed,
};

#[test]
fn the_lines_of_a_file_make_the_same_root_as_the_reference_for_every_hasher_and_arity() {
    let text: Vec<u8> = (0..777).flat_map(|n| format!("line {n}\n").into_bytes()).collect();
    for function in [Function::Blake3, Function::Sha256] {
        for arity in [2, 4, 8, 16] {
            let place = Place::new();
            let file = place.file("input", &text);
            let flags = format!("append DIR --hasher {} --arity {arity}", function.flag());
            let mut command = duramen(&place, &flags);
            command.arg(file);
            let leaves = lines(function, &text);
            let root = function.root(arity, &leaves);
            assert_eq!(printed(command), head_text(777, root), "{function:?} {arity}");

            assert_eq!(printed(duramen(&place, "head DIR")), head_text(777, root));
            assert_eq!(printed(duramen(&place, "head DIR --json")), head_json(777, root));
            let past = function.root(arity, &leaves[..333]);
            assert_eq!(
                printed(duramen(&place, "head DIR --size 333 --json")),
                head_json(333, past)
            );
        }
    }
}

#[test]
fn without_a_file_standard_input_is_appended_and_dash_is_the_same() {
    let want = head_text(3, Function::Blake3.root(4, &lines(Function::Blake3, b"a\nb\nc")));
    for line in ["append DIR", "append DIR -"] {
        let place = Place::new();
        let command = given(&place, line, "a\nb\nc");
        assert_eq!(printed(command), want);
    }
}

#[test]
fn an_empty_input_makes_an_empty_store() {
    let place = Place::new();
    let empty = Function::Blake3.root(4, &[]);
    let command = given(&place, "append DIR --json", "");
    assert_eq!(printed(command), head_json(0, empty));
    assert_eq!(printed(duramen(&place, "head DIR --json")), head_json(0, empty));
}

#[test]
fn appending_twice_is_appending_once_and_keeps_hasher_and_arity() {
    let place = Place::new();
    printed(given(&place, "append DIR --hasher sha256 --arity 2", "a\nb\n"));
    let second = given(&place, "append DIR", "c\n\nd");
    let leaves = lines(Function::Sha256, b"a\nb\nc\n\nd");
    assert_eq!(printed(second), head_text(5, Function::Sha256.root(2, &leaves)));
    let third = given(&place, "append DIR --hasher sha256 --arity 2", "");
    assert_eq!(printed(third), head_text(5, Function::Sha256.root(2, &leaves)));
}

#[test]
fn hex_and_raw_leaves_are_taken_as_they_are() {
    let leaves: Vec<Hash> =
        (0..300u32).map(|n| *blake3::hash(&n.to_le_bytes()).as_bytes()).collect();
    let want = head_text(300, Function::Blake3.root(4, &leaves));

    let place = Place::new();
    let text: String = leaves.iter().map(|leaf| hex(leaf) + "\n").collect();
    let file = place.file("input.hex", text.to_uppercase());
    let mut command = duramen(&place, "append DIR --input hex");
    command.arg(file);
    assert_eq!(printed(command), want);

    let place = Place::new();
    let command = given(&place, "append DIR --input raw", leaves.as_flattened());
    assert_eq!(printed(command), want);
}

#[test]
fn an_input_much_longer_than_the_buffer_is_streamed_under_every_policy() {
    let leaves: Vec<Hash> =
        (0..200_003u32).map(|n| *blake3::hash(&n.to_le_bytes()).as_bytes()).collect();
    let want = head_text(leaves.len(), Function::Blake3.root(4, &leaves));
    for policies in [
        "--flush-policy interval:1ms --checkpoint-policy manual",
        "--flush-policy manual --checkpoint-policy every:30000,close",
        "--flush-policy interval:20ms --checkpoint-policy wal:1MiB,memory:2MiB",
        "--flush-policy interval:5ms --checkpoint-policy segments:1,interval:10ms",
    ] {
        let place = Place::new();
        let file = place.file("input", leaves.as_flattened());
        let mut command = duramen(&place, &format!("append DIR --input raw {policies}"));
        command.arg(file);
        assert_eq!(printed(command), want, "{policies}");
        assert_eq!(printed(duramen(&place, "head DIR")), want, "{policies}");
    }
}

#[test]
fn every_index_is_acknowledged_once_and_in_order() {
    let text: String = (0..70_000).map(|n| format!("{n}\n")).collect();
    let leaves = lines(Function::Blake3, text.as_bytes());
    for policy in ["interval:2ms", "manual"] {
        let place = Place::new();
        let command =
            given(&place, &format!("append DIR --ack --flush-policy {policy}"), text.as_str());
        let acks: String = (0..70_000).map(|index| format!("{index}\n")).collect();
        let want = acks + &head_text(70_000, Function::Blake3.root(4, &leaves));
        assert!(printed(command) == want, "{policy}");

        let command = given(&place, &format!("append DIR --ack --flush-policy {policy}"), "more");
        assert!(printed(command).starts_with("70000\nsize 70001\n"));
    }
}

#[test]
fn a_line_from_a_pipe_is_acknowledged_before_the_next_one_comes() {
    let place = Place::new();
    let mut writer = Writer::new(&place, "");
    let mut text = String::new();
    for index in 0..20 {
        let line = format!("line {index}\n");
        writer.append(&line);
        text += &line;
    }
    let root = Function::Blake3.root(4, &lines(Function::Blake3, text.as_bytes()));
    assert_eq!(writer.end(), head_text(20, root));
}
