//! `duramen prove` and `duramen verify inclusion` with several leaves, and the binary format.

use crate::common::store::{COUNT, Store};
use crate::common::{Function, duramen, given, printed, printed_bytes, printed_json, refused};
use serde_json::{Value, json};

/// Flags that say which leaves are to be verified.
fn asked(store: &Store, indexes: &[usize]) -> String {
    let head = store.head(COUNT);
    let leaf = |index: &usize| format!(" --index {index} --leaf {}", store.leaf(*index));
    format!("--head {head}{}", indexes.iter().map(leaf).collect::<String>())
}

fn prove(store: &Store, line: &str) -> Value {
    printed_json(duramen(&store.place, &format!("prove DIR {line} --json")))
}

#[test]
fn several_leaves_are_proven_by_one_proof_that_is_smaller_than_theirs() {
    for (function, arity) in [(Function::Blake3, 4), (Function::Sha256, 2)] {
        let store = Store::new(function, arity);
        let proof = prove(&store, "3 9 60");
        assert_eq!(proof["kind"], "multi-inclusion");
        assert_eq!(proof["size"], COUNT);
        let leaf = |index: usize| json!({"index": index, "leaf": store.leaf(index)});
        assert_eq!(proof["leaves"], json!([leaf(3), leaf(9), leaf(60)]));
        let single = |index| store.prove(index, COUNT)["siblings"].as_array().unwrap().len();
        let singles: usize = [3, 9, 60].map(single).iter().sum();
        assert!(proof["hashes"].as_array().unwrap().len() < singles);
        // The order of what is asked does not matter.
        for indexes in [[3, 9, 60], [60, 3, 9]] {
            let verify = store.verify(&proof.to_string(), &asked(&store, &indexes));
            assert_eq!(printed(verify), "verified: 3 leaves are in the tree of 61 leaves\n");
        }
    }
}

#[test]
fn indexes_are_a_set_and_a_set_of_one_gives_an_inclusion_proof() {
    let store = Store::new(Function::Blake3, 4);
    assert_eq!(prove(&store, "9 60 3"), prove(&store, "3 9 60"));
    assert_eq!(prove(&store, "9 3 60 3 9"), prove(&store, "3 9 60"));
    assert_eq!(prove(&store, "7 7"), prove(&store, "7"));
    assert_eq!(prove(&store, "7")["kind"], "inclusion");
    let proof = prove(&store, "7").to_string();
    printed(store.verify(&proof, &asked(&store, &[7, 7])));
}

#[test]
fn a_list_of_leaves_in_a_file_is_as_good_as_flags() {
    let store = Store::new(Function::Blake3, 4);
    let all: Vec<usize> = (0..COUNT).collect();
    let line = all.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    let proof = store.place.file("proof", prove(&store, &line).to_string());
    let list: String =
        all.iter().map(|index| format!("{index} {}\n", store.leaf(*index))).collect();
    let verify = |list: &str| {
        let list = store.place.file("list", list);
        let mut verify =
            duramen(&store.place, &format!("verify inclusion --head {}", store.head(COUNT)));
        verify.arg(&proof).arg("--leaves").arg(&list);
        verify
    };
    assert_eq!(printed(verify(&list)), "verified: 61 leaves are in the tree of 61 leaves\n");

    let swapped = list.replace(&store.leaf(3), &store.leaf(4));
    assert!(refused(verify(&swapped), 1).contains("the proof is for leaf"));
    let fewer: String = list.lines().skip(1).map(|line| format!("{line}\n")).collect();
    let error = refused(verify(&fewer), 1);
    assert!(
        error.contains("for indexes 0, 1, 2, 3, 4, 5, 6, 7 and 53 more, the caller trusts 1, 2"),
        "{error}"
    );
    for (bad, reason) in [
        ("", "it is empty"),
        ("0\n", "line 1 is not an index"),
        ("0 abcd\n", "line 1 is not an index"),
        (&list.replacen("\n1 ", "\nx ", 1), "line 2 is not an index"),
        (&list.replacen('\n', "\n\n", 1), "line 2 is not an index"),
    ] {
        let error = refused(verify(bad), 2);
        assert!(error.contains("is not a list of leaves: ") && error.contains(reason), "{error}");
    }
}

#[test]
fn a_proof_for_other_leaves_than_those_asked_is_refused() {
    let store = Store::new(Function::Blake3, 4);
    let proof = prove(&store, "3 9 60");
    let text = proof.to_string();
    for indexes in [&[3, 9][..], &[3], &[3, 9, 59], &[3, 9, 59, 60]] {
        let error = refused(store.verify(&text, &asked(&store, indexes)), 1);
        assert!(error.contains("the proof is for index"), "{error}");
    }
    let two = format!("{} --index 3 --leaf {}", asked(&store, &[3, 9, 60]), store.leaf(5));
    let error = refused(store.verify(&text, &two), 1);
    assert!(error.contains("two different leaves were given for index 3"), "{error}");

    let mut changed = proof.clone();
    changed["leaves"][1]["leaf"] = json!(store.leaf(10));
    let error = refused(store.verify(&changed.to_string(), &asked(&store, &[3, 9, 60])), 1);
    assert!(error.contains("the proof is for leaf"), "{error}");
    for at in 0..proof["hashes"].as_array().unwrap().len() {
        let mut changed = proof.clone();
        changed["hashes"][at] = json!("11".repeat(32));
        refused(store.verify(&changed.to_string(), &asked(&store, &[3, 9, 60])), 1);
        changed["hashes"].as_array_mut().unwrap().remove(at);
        let error = refused(store.verify(&changed.to_string(), &asked(&store, &[3, 9, 60])), 1);
        assert!(error.contains("hashes, fewer than its place in the tree needs"), "{error}");
    }
}

#[test]
fn what_is_no_multi_proof_is_unreadable() {
    let store = Store::new(Function::Blake3, 4);
    let proof = prove(&store, "3 9 60");
    let leaf = |index: usize| json!({"index": index, "leaf": store.leaf(index)});
    for (field, value) in [
        ("leaves", json!(null)),
        ("leaves", json!([leaf(9), leaf(3), leaf(60)])),
        ("leaves", json!([leaf(3), leaf(3), leaf(60)])),
        ("leaves", json!([{"index": 3}])),
        ("leaves", json!([{"index": 3, "leaf": null}])),
        ("leaves", json!([{"index": 3, "leaf": ""}])),
        ("leaves", json!([{"index": 3, "leaf": "ab".repeat(31)}])),
        ("hashes", json!([null])),
        ("hashes", json!([""])),
        ("hashes", json!(["ab".repeat(33)])),
        ("siblings", json!([])),
    ] {
        let mut proof = proof.clone();
        proof[field] = value;
        let error = refused(store.verify(&proof.to_string(), &asked(&store, &[3, 9, 60])), 2);
        assert!(
            error.starts_with("duramen: standard input is not an inclusion proof: "),
            "{error}"
        );
    }
}

#[test]
fn binary_proofs_of_one_leaf_and_of_several_are_those_of_the_library_and_verify() {
    for (function, arity) in [(Function::Blake3, 4), (Function::Sha256, 2), (Function::Blake3, 16)]
    {
        let store = Store::new(function, arity);
        for indexes in [&[0][..], &[17], &[60], &[0, 60], &[3, 4, 5, 59]] {
            let line = indexes.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
            let bytes =
                printed_bytes(duramen(&store.place, &format!("prove DIR {line} --format binary")));
            let header = duramen::merkle::codec::Header::read(&bytes).unwrap();
            assert_eq!(header.arity.children(), arity);
            let verify = |bytes: &[u8], flags: &str| {
                given(&store.place, &format!("verify inclusion - {flags}"), bytes)
            };
            let flags = asked(&store, indexes);
            assert!(printed(verify(&bytes, &flags)).starts_with("verified: "));
            // The proof has no leaves, so other ones are refused by the root.
            let others = flags.replace(&store.leaf(indexes[0]), &store.leaf(33));
            let error = refused(verify(&bytes, &others), 1);
            assert!(error.contains("the proof leads to the root"), "{error}");
            for end in [0, 4, 8, bytes.len() / 2, bytes.len() - 1] {
                refused(verify(&bytes[..end], &flags), 2);
            }
            let mut longer = bytes.clone();
            longer.push(0);
            let error = refused(verify(&longer, &flags), 2);
            assert!(error.contains("is not an inclusion proof: the proof ends in"), "{error}");
        }
    }
}

#[test]
fn what_does_not_go_together_is_told_before_anything_is_read() {
    let store = Store::new(Function::Blake3, 4);
    for (line, reason) in [
        ("prove DIR", "required arguments"),
        ("prove DIR 61", "index 61"),
        ("prove DIR 3 61", "index 61"),
        ("prove DIR 3 --size 62", "62"),
        ("prove DIR 3 --size 3", "index 3"),
        ("prove DIR 3 --format binary --json", "--json belongs to --format json"),
        ("prove DIR 3 --origin x", "belong to --format tlog-proof"),
        ("prove DIR 3 --format xml", "invalid value 'xml'"),
        ("prove DIR 3 --format tlog-proof", "give --key FILE or --checkpoint FILE"),
    ] {
        let error = refused(duramen(&store.place, line), 2);
        assert!(error.contains(reason), "{line}: {error}");
    }
    let head = store.head(COUNT);
    let leaf = store.leaf(3);
    for (flags, reason) in [
        (format!("--head {head} --index 3 --index 4 --leaf {leaf}"), "--index is given 2 times"),
        (format!("--head {head} --leaves x --index 4"), "cannot be used with"),
        (format!("--index 3 --leaf {leaf}"), "required"),
        (format!("--head {head} --origin x --index 3 --leaf {leaf}"), "--vkey"),
    ] {
        let proof = prove(&store, "3").to_string();
        let error = refused(store.verify(&proof, &flags), 2);
        assert!(error.contains(reason), "{flags}: {error}");
    }
}
