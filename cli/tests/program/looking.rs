//! Commands that look at a store or at leaves, and those that print what a system installs.

use std::fs;

use serde_json::json;

use crate::common::writer::Writer;
use crate::common::{
    Function, ODD, Place, duramen, entries_of, given, head_text, hex, lines, printed,
    printed_bytes, printed_json, refused, store_of,
};

#[test]
fn leaves_are_printed_as_the_reference_has_them_and_make_the_same_tree_again() {
    for function in [Function::Blake3, Function::Sha256] {
        let place = Place::new();
        let flag = function.flag();
        let head = printed(given(&place, &format!("append DIR --hasher {flag}"), ODD));
        let leaves = lines(function, ODD);
        let all: String = leaves.iter().map(|leaf| hex(leaf) + "\n").collect();
        assert_eq!(printed(duramen(&place, "leaves DIR")), all);
        assert_eq!(printed(duramen(&place, "leaves DIR ..")), all);
        assert_eq!(printed(duramen(&place, "leaves DIR 2..3")), hex(&leaves[2]) + "\n");
        assert_eq!(printed(duramen(&place, "leaves DIR 7..")), "");
        assert_eq!(
            printed_bytes(duramen(&place, "leaves DIR ..2 --format raw")),
            leaves[..2].concat()
        );
        let second = format!("{{\"index\":1,\"leaf\":\"{}\"}}\n", hex(&leaves[1]));
        assert_eq!(printed(duramen(&place, "leaves DIR 1..2 --format jsonl")), second);
        for format in ["hex", "raw", "jsonl"] {
            let text = printed_bytes(duramen(&place, &format!("leaves DIR --format {format}")));
            let copy = Place::new();
            let line = format!("append DIR --hasher {flag} --input {format}");
            assert_eq!(printed(given(&copy, &line, text)), head);
        }
        for range in ["0..8", "8..", "8..9"] {
            let error = refused(duramen(&place, &format!("leaves DIR {range}")), 2);
            assert!(error.contains("is beyond the tree's 7 leaves"), "{error}");
        }
        refused(duramen(&place, "leaves DIR 3..2"), 2);
    }
}

#[test]
fn data_has_the_same_leaf_with_a_store_and_without() {
    let place = Place::new();
    place.file("data", ODD);
    for function in [Function::Blake3, Function::Sha256] {
        let flag = function.flag();
        let whole = hex(&function.leaf(ODD)) + "\n";
        assert_eq!(printed(duramen(&place, &format!("hash @data --hasher {flag}"))), whole);
        let each: String = lines(function, ODD).iter().map(|leaf| hex(leaf) + "\n").collect();
        let line = format!("hash --hasher {flag} --input lines");
        assert_eq!(printed(given(&place, &line, ODD)), each);
    }
    assert_eq!(printed(given(&place, "hash", "")), hex(&Function::Blake3.leaf(b"")) + "\n");
    let text = "{\"entry\":\"a\"}\n[]\n";
    let mut command = given(&place, "hash --input jsonl", text);
    let output = command.assert().code(2).get_output().clone();
    // What is before a bad record is printed.
    assert_eq!(output.stdout, (hex(&Function::Blake3.leaf(b"a")) + "\n").into_bytes());
    refused(given(&place, "hash --input raw", ""), 2);
    refused(duramen(&place, "hash @missing"), 2);
}

#[test]
fn a_frontier_has_the_nodes_that_the_root_follows_from() {
    let place = store_of("a\nb\nc\nd\ne\nf\n");
    let leaves = lines(Function::Blake3, b"a\nb\nc\nd\ne\nf");
    let first = Function::Blake3.root(4, &leaves[..4]);
    let nodes = [first, leaves[4], leaves[5]].map(|node| hex(&node));
    let root = Function::Blake3.root(4, &leaves);
    let want: String = nodes.iter().map(|node| format!("node {node}\n")).collect();
    assert_eq!(printed(duramen(&place, "frontier DIR")), head_text(6, root) + &want);
    let json = printed_json(duramen(&place, "frontier DIR --json"));
    let want =
        json!({"hasher": "blake3", "arity": 4, "size": 6, "root": hex(&root), "nodes": nodes});
    assert_eq!(json, want);
    let four = printed(duramen(&place, "frontier DIR --size 4"));
    assert_eq!(four, format!("{}node {}\n", head_text(4, first), hex(&first)));
    refused(duramen(&place, "frontier DIR --size 7"), 2);
}

#[test]
fn a_checkpoint_empties_the_log_and_changes_no_root() {
    let place = Place::new();
    let head = printed(given(&place, "append DIR --checkpoint-policy manual", "a\nb\n"));
    printed(given(&place, "append DIR --tree other --checkpoint-policy manual", "c\n"));
    assert_eq!(printed_json(duramen(&place, "info DIR --json"))["parts"]["files"], 0);
    let text = printed(duramen(&place, "checkpoint DIR"));
    assert!(
        text.starts_with(
            "main: 2 leaves written, size 2\nother: 1 leaf written, size 1\n3 leaves in "
        ),
        "{text}"
    );
    assert_eq!(printed_json(duramen(&place, "info DIR --json"))["parts"]["files"], 2);
    assert_eq!(printed(duramen(&place, "head DIR")), head);
    let again = printed_json(duramen(&place, "checkpoint DIR --json"));
    assert_eq!((&again["leaves"], &again["bytes"]), (&json!(0), &json!(0)));
    refused(duramen(&place, "checkpoint @nowhere"), 3);
}

#[test]
fn a_store_is_described_without_its_log() {
    let place = entries_of("a\nb\n", "--longest 7 --checkpoint-policy close");
    printed(given(&place, "append DIR --checkpoint-policy manual", "c\n"));
    let text = printed(duramen(&place, "info DIR"));
    let id = text.lines().next().unwrap().strip_prefix("store ").unwrap();
    assert!(
        text.contains("\ntree main: 2 leaves, blake3, arity 4, with entries of up to 7 bytes"),
        "{text}"
    );
    assert!(text.contains(", 1 part of ") && !text.contains("opened in"), "{text}");
    let json = printed_json(duramen(&place, "info DIR --json"));
    assert_eq!(json["store"], id);
    assert_eq!(json["trees"][0]["size"], 2);
    assert_eq!(json["owner"], json!(null));
    let length = fs::metadata(place.path("store/parts/00000001.part")).unwrap().len();
    assert_eq!(json["parts"], json!({"files": 1, "bytes": length}));
    // A damaged log is nothing to it.
    for entry in fs::read_dir(place.path("store/wal")).unwrap() {
        fs::write(entry.unwrap().path(), "damaged").unwrap();
    }
    assert_eq!(printed_json(duramen(&place, "info DIR --json"))["trees"], json["trees"]);
    refused(duramen(&place, "info @nowhere"), 3);

    let place = Place::new();
    let mut writer = Writer::new(&place, "");
    writer.append("a\n");
    let pid = writer.pid();
    let text = printed(duramen(&place, "info DIR"));
    assert!(text.contains(&format!("opened in process {pid} on ")), "{text}");
    assert_eq!(printed_json(duramen(&place, "info DIR --json"))["owner"]["pid"], pid);
    writer.end();
}

#[test]
fn every_command_has_a_page_and_every_shell_a_script() {
    let place = Place::new();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = printed(duramen(&place, &format!("completions {shell}")));
        assert!(script.contains("wait-lock"), "{shell}");
    }
    printed(duramen(&place, "man --all @pages"));
    let page = |name: &str| fs::read_to_string(place.path("pages").join(name)).unwrap();
    assert_eq!(printed(duramen(&place, "man")), page("duramen.1"));
    assert_eq!(printed(duramen(&place, "man append")), page("duramen-append.1"));
    assert_eq!(
        printed(duramen(&place, "man verify inclusion")),
        page("duramen-verify-inclusion.1")
    );
    assert!(page("duramen-append.1").contains("expect\\-size"));
    let help = printed(duramen(&place, "--help"));
    let commands = help.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    for line in commands.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   ")) {
        let name = line.split_whitespace().next().unwrap();
        if name != "help" {
            assert!(page(&format!("duramen-{name}.1")).contains(".SH"), "{name}");
        }
    }
    refused(duramen(&place, "man nothing"), 2);
}

#[test]
fn a_tree_goes_on_in_another_store_behind_its_frontier() {
    let place = store_of("one\ntwo\nthree\nfour\nfive\n");
    let json = printed(duramen(&place, "frontier DIR --size 3 --json"));
    let other = Place::new();
    let begun = printed(given(&other, "begin DIR --tree shard", json.clone()));
    assert_eq!(begun, printed(duramen(&place, "head DIR --size 3")));
    printed(given(&other, "append DIR --tree shard", "four\nfive\n"));
    let head = printed(duramen(&place, "head DIR"));
    assert_eq!(printed(duramen(&other, "head DIR --tree shard")), head);
    let prove = |place: &Place, tree: &str| printed(duramen(place, &format!("prove DIR 4 {tree}")));
    assert_eq!(prove(&other, "--tree shard"), prove(&place, ""));
    let error = refused(duramen(&other, "prove DIR 1 --tree shard"), 2);
    assert!(error.contains("nothing below index 3 is left"), "{error}");
    assert!(printed(duramen(&other, "trees DIR")).contains('3'));
    // Again, and from a later moment of the same tree.
    assert_eq!(printed(given(&other, "begin DIR --tree shard", json.clone())), head);
    let later = printed(duramen(&place, "frontier DIR --size 5 --json"));
    assert_eq!(printed(given(&other, "begin DIR --tree shard", later)), head);

    let before = printed(duramen(&other, "head DIR --all --json"));
    let strange = store_of("other\n");
    let strange = printed(duramen(&strange, "frontier DIR --json"));
    refused(given(&other, "begin DIR --tree main", strange.replace("\"size\":1", "\"size\":3")), 2);
    let other_tree = printed(duramen(&store_of("1\n2\n3\n4\n"), "frontier DIR --json"));
    let error = refused(given(&other, "begin DIR --tree shard", other_tree), 2);
    assert!(
        error.contains("does not go on behind the frontier of 4 leaves: its root there is"),
        "{error}"
    );
    let root = json.find("\"root\":\"").unwrap() + 8;
    let mut forged = json.clone();
    forged.replace_range(root..root + 2, if &json[root..root + 2] == "00" { "11" } else { "00" });
    refused(given(&other, "begin DIR --tree forged", forged), 1);
    for bad in [
        "",
        "{}",
        "null",
        &json.replace("\"arity\":4", "\"arity\":3"),
        &json.replace("blake3", "md5"),
    ] {
        refused(given(&other, "begin DIR --tree bad", bad.to_owned()), 2);
    }
    assert_eq!(printed(duramen(&other, "head DIR --all --json")), before);
}
