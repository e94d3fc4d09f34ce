//! `duramen prove-consistency` and `duramen verify consistency`.

use crate::common::store::{COUNT, Store};
use crate::common::{
    Function, duramen, given, hex, leaves, printed, printed_bytes, printed_json, refused,
};
use serde_json::{Value, json};

fn prove(store: &Store, old: usize, new: usize) -> Value {
    let line = format!("prove-consistency DIR {old} {new} --json");
    printed_json(duramen(&store.place, &line))
}

fn verify(store: &Store, proof: impl Into<Vec<u8>>, flags: &str) -> assert_cmd::Command {
    given(&store.place, &format!("verify consistency - {flags}"), proof)
}

fn heads(store: &Store, old: usize, new: usize) -> String {
    format!("--old-head {} --head {}", store.head(old), store.head(new))
}

#[test]
fn every_past_tree_is_a_prefix_of_every_later_one_in_both_formats() {
    for (function, arity) in [(Function::Blake3, 4), (Function::Sha256, 2)] {
        let store = Store::new(function, arity);
        for (old, new) in
            [(0, 0), (0, 5), (1, 1), (1, 2), (4, 16), (17, 60), (33, COUNT), (COUNT, COUNT)]
        {
            let proof = prove(&store, old, new);
            assert_eq!(proof["kind"], "consistency");
            assert_eq!((&proof["old_size"], &proof["new_size"]), (&json!(old), &json!(new)));
            let root = |size: usize| hex(&function.root(arity, &store.leaves[..size]));
            assert_eq!(
                (&proof["old_root"], &proof["new_root"]),
                (&json!(root(old)), &json!(root(new)))
            );
            let empty = old == 0 || old == new;
            assert_eq!(proof["hashes"].as_array().unwrap().is_empty(), empty, "{old} {new}");
            let verified = format!(
                "verified: the tree of {} is a prefix of the tree of {}\n",
                leaves(old),
                leaves(new)
            );
            let flags = heads(&store, old, new);
            assert_eq!(printed(verify(&store, proof.to_string(), &flags)), verified);
            let line = format!("prove-consistency DIR {old} {new} --format binary");
            let bytes = printed_bytes(duramen(&store.place, &line));
            assert_eq!(printed(verify(&store, bytes, &flags)), verified);
        }
    }
}

#[test]
fn the_new_size_is_the_current_one_unless_told_and_the_proof_goes_through_a_file() {
    let store = Store::new(Function::Blake3, 4);
    let file = store.place.path("proof");
    let mut command = duramen(&store.place, "prove-consistency DIR 17 -o");
    command.arg(&file);
    assert_eq!(printed(command), "");
    let written: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert_eq!(written, prove(&store, 17, COUNT));
    let mut command =
        duramen(&store.place, &format!("verify consistency {}", heads(&store, 17, COUNT)));
    command.arg(&file);
    printed(command);
}

#[test]
fn the_hashes_of_the_rfc_profile_are_those_of_ct_merkle() {
    let store = Store::new(Function::Sha256, 2);
    let mut theirs = ct_merkle::mem_backed_tree::MemoryBackedTree::<sha2::Sha256, Vec<u8>>::new();
    for line in crate::common::store::text().lines() {
        theirs.push(line.as_bytes().to_vec());
    }
    for old in [1, 7, 8, 33, COUNT - 1] {
        let proof = prove(&store, old, COUNT);
        let ours: String =
            proof["hashes"].as_array().unwrap().iter().map(|hash| hash.as_str().unwrap()).collect();
        assert_eq!(ours, hex(theirs.prove_consistency(COUNT - old).as_bytes()), "{old}");
        let inclusion = store.prove(old, COUNT);
        let ours: String = inclusion["siblings"]
            .as_array()
            .unwrap()
            .iter()
            .map(|hash| hash.as_str().unwrap())
            .collect();
        assert_eq!(ours, hex(theirs.prove_inclusion(old).as_bytes()), "{old}");
    }
}

#[test]
fn a_proof_between_other_heads_or_a_changed_one_is_refused_with_the_reason() {
    let store = Store::new(Function::Blake3, 4);
    let proof = prove(&store, 17, COUNT);
    let zeros = "00".repeat(32);
    for (flags, reason) in [
        (heads(&store, 16, COUNT), "for old size 17, the caller trusts 16"),
        (heads(&store, 17, 60), "for new size 61, the caller trusts 60"),
        (format!("--old-head 17:{zeros} --head {}", store.head(COUNT)), "for old root"),
        (format!("--old-head {} --head 61:{zeros}", store.head(17)), "for new root"),
        (heads(&store, 17, COUNT) + " --arity 2", "for arity 4"),
        (heads(&store, 17, COUNT) + " --hasher sha256", "for hasher blake3"),
    ] {
        let error = refused(verify(&store, proof.to_string(), &flags), 1);
        assert!(error.starts_with("duramen: refused: the proof is "), "{error}");
        assert!(error.contains(reason), "{flags}: {error}");
    }
    let flags = heads(&store, 17, COUNT);
    for at in 0..proof["hashes"].as_array().unwrap().len() {
        let mut changed = proof.clone();
        changed["hashes"][at] = json!("11".repeat(32));
        let error = refused(verify(&store, changed.to_string(), &flags), 1);
        assert!(error.contains("leads to the root"), "{error}");
        changed["hashes"].as_array_mut().unwrap().remove(at);
        refused(verify(&store, changed.to_string(), &flags), 1);
    }
    // A binary proof has no roots: only hashing refuses them.
    let bytes = printed_bytes(duramen(&store.place, "prove-consistency DIR 17 --format binary"));
    let flags = format!("--old-head 17:{zeros} --head {}", store.head(COUNT));
    assert!(refused(verify(&store, bytes, &flags), 1).contains("leads to the root"));
    // From nothing only the empty root is a prefix.
    let line = "prove-consistency DIR 0 61 --format binary";
    let bytes = printed_bytes(duramen(&store.place, line));
    let flags = format!("--old-head 0:{zeros} --head {}", store.head(COUNT));
    refused(verify(&store, bytes, &flags), 1);
}

#[test]
fn what_is_no_consistency_proof_is_unreadable() {
    let store = Store::new(Function::Blake3, 4);
    let flags = heads(&store, 17, COUNT);
    let proof = prove(&store, 17, COUNT);
    let mut unreadable: Vec<Vec<u8>> = vec![
        Vec::new(),
        b"null".to_vec(),
        b"\xff\xfe".to_vec(),
        store.prove(3, COUNT).to_string().into(),
        printed_bytes(duramen(&store.place, "prove DIR 3 --format binary")),
        b"c2sp.org/tlog-proof@v1\n".to_vec(),
        b"duPF".to_vec(),
    ];
    for (field, value) in [
        ("kind", json!("inclusion")),
        ("kind", json!(null)),
        ("old_size", json!(null)),
        ("new_size", json!("61")),
        ("old_root", json!(null)),
        ("new_root", json!("")),
        ("hashes", json!(null)),
        ("hashes", json!([null])),
        ("hashes", json!([""])),
        ("hashes", json!(["ab".repeat(31)])),
        ("hashes", json!(["ab".repeat(33)])),
        ("arity", json!(5)),
        ("hasher", json!("sha3")),
        ("siblings", json!([])),
    ] {
        let mut proof = proof.clone();
        proof[field] = value;
        unreadable.push(proof.to_string().into());
    }
    for field in
        ["kind", "hasher", "arity", "old_size", "old_root", "new_size", "new_root", "hashes"]
    {
        let mut proof = proof.clone();
        proof.as_object_mut().unwrap().remove(field);
        unreadable.push(proof.to_string().into());
    }
    for bytes in unreadable {
        let error = refused(verify(&store, bytes, &flags), 2);
        assert!(
            error.starts_with("duramen: standard input is not a consistency proof: "),
            "{error}"
        );
    }
    for (line, reason) in [
        ("prove-consistency DIR 18 17", "18"),
        ("prove-consistency DIR 62", "62"),
        ("prove-consistency DIR 17 62", "62"),
        ("prove-consistency DIR 17 --format tlog-proof", "json, binary or"),
        ("prove-consistency DIR 17 --format binary --json", "--json belongs"),
        ("prove-consistency DIR", "required"),
    ] {
        let error = refused(duramen(&store.place, line), 2);
        assert!(error.contains(reason), "{line}: {error}");
    }
}
