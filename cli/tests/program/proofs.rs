//! `duramen prove` and `duramen verify`.

use crate::common::store::{COUNT, Store};
use crate::common::{Function, Place, duramen, leaves, printed, refused};
use serde_json::json;

#[test]
fn a_proof_of_any_leaf_at_any_size_verifies_against_the_reference_root() {
    for (function, arity) in [(Function::Blake3, 4), (Function::Sha256, 2), (Function::Blake3, 16)]
    {
        let store = Store::new(function, arity);
        for (index, size) in [(0, 1), (0, COUNT), (60, COUNT), (17, 18), (17, 33), (16, 17)] {
            let proof = store.prove(index, size);
            assert_eq!(proof["kind"], "inclusion");
            assert_eq!(proof["arity"], arity);
            assert_eq!(proof["size"], size);
            assert_eq!(proof["index"], index);
            assert_eq!(proof["leaf"], store.leaf(index));
            assert_eq!(
                format!("{}:{}", proof["size"], proof["root"].as_str().unwrap()),
                store.head(size)
            );
            let (head, leaf) = (store.head(size), store.leaf(index));
            let flags = format!("--head {head} --index {index} --leaf {leaf}");
            assert_eq!(
                printed(store.verify(&proof.to_string(), &flags)),
                format!("verified: leaf {index} is in the tree of {}\n", leaves(size))
            );
        }
    }
}

#[test]
fn a_proof_goes_through_a_file_and_the_leaf_can_be_its_data() {
    let store = Store::new(Function::Blake3, 4);
    let file = store.place.path("proof.json");
    let mut prove = duramen(&store.place, "prove DIR 5 -o");
    prove.arg(&file);
    assert_eq!(printed(prove), "");
    let pretty = printed(duramen(&store.place, "prove DIR 5"));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), pretty);

    let data = store.place.file("entry", "entry 5");
    let head = store.head(COUNT);
    let mut verify = duramen(&store.place, &format!("verify inclusion --head {head} --index 5"));
    verify.arg(&file).arg("--data").arg(&data);
    assert!(printed(verify).starts_with("verified"));

    let other = store.place.file("entry", "entry 5\n");
    let mut verify = duramen(&store.place, &format!("verify inclusion --head {head} --index 5"));
    verify.arg(&file).arg("--data").arg(&other);
    assert!(refused(verify, 1).contains("the proof is for leaf"));
}

#[test]
fn a_proof_that_differs_from_what_is_trusted_is_refused_with_the_reason() {
    let store = Store::new(Function::Blake3, 4);
    let proof = store.prove(5, COUNT).to_string();
    let (head, leaf) = (store.head(COUNT), store.leaf(5));
    let cases = [
        (format!("--head {} --index 5 --leaf {leaf}", store.head(60)), "for size 61"),
        (format!("--head 61:{} --index 5 --leaf {leaf}", "00".repeat(32)), "for root"),
        (format!("--head {head} --index 6 --leaf {leaf}"), "for index 5"),
        (format!("--head {head} --index 5 --leaf {}", store.leaf(6)), "for leaf"),
        (format!("--head {head} --index 5 --leaf {leaf} --arity 2"), "for arity 4"),
        (format!("--head {head} --index 5 --leaf {leaf} --hasher sha256"), "for hasher blake3"),
    ];
    for (flags, reason) in cases {
        let error = refused(store.verify(&proof, &flags), 1);
        assert!(error.starts_with("duramen: refused: the proof is "), "{error}");
        assert!(error.contains(reason), "{flags}: {error}");
    }
}

#[test]
fn a_changed_proof_is_refused() {
    let store = Store::new(Function::Blake3, 4);
    let proof = store.prove(5, COUNT);
    let flags = format!("--head {} --index 5 --leaf {}", store.head(COUNT), store.leaf(5));
    let siblings = proof["siblings"].as_array().unwrap().clone();
    let mut changed = Vec::new();
    for at in 0..siblings.len() {
        let mut other = siblings.clone();
        other[at] = json!("11".repeat(32));
        changed.push(other);
    }
    let mut shorter = siblings.clone();
    shorter.pop();
    changed.push(shorter);
    let mut longer = siblings.clone();
    longer.push(json!("11".repeat(32)));
    changed.push(longer);
    let mut swapped = siblings.clone();
    swapped.swap(0, 1);
    changed.push(swapped);
    changed.push(Vec::new());
    for siblings in changed {
        let mut proof = proof.clone();
        proof["siblings"] = json!(siblings);
        let error = refused(store.verify(&proof.to_string(), &flags), 1);
        assert!(error.starts_with("duramen: refused: "), "{error}");
    }

    let mut other_arity = proof.clone();
    other_arity["arity"] = json!(2);
    refused(store.verify(&other_arity.to_string(), &flags), 1);
    let mut other_hasher = proof;
    other_hasher["hasher"] = json!("rfc6962-sha256");
    refused(store.verify(&other_hasher.to_string(), &flags), 1);
}

#[test]
fn what_is_no_proof_is_unreadable() {
    let store = Store::new(Function::Blake3, 4);
    let flags = format!("--head {} --index 5 --leaf {}", store.head(COUNT), store.leaf(5));
    let proof = store.prove(5, COUNT);
    let mut unreadable = vec![
        String::new(),
        "not json".into(),
        "[]".into(),
        "null".into(),
        proof.to_string() + "x",
        proof.to_string().replace('}', ""),
        "[".repeat(100_000),
    ];
    for (field, value) in [
        ("kind", json!("consistency")),
        ("hasher", json!("md5")),
        ("arity", json!(3)),
        ("arity", json!(-4)),
        ("size", json!(-1)),
        ("size", json!(1.5)),
        ("root", json!("abcd")),
        ("root", json!(null)),
        ("leaf", json!("0x".to_owned() + &"ab".repeat(31))),
        ("index", json!("5")),
        ("siblings", json!("none")),
        ("siblings", json!(["zz".repeat(32)])),
        ("siblings", json!([""])),
        ("surprise", json!(1)),
    ] {
        let mut proof = proof.clone();
        proof[field] = value;
        unreadable.push(proof.to_string());
    }
    for text in unreadable {
        let error = refused(store.verify(&text, &flags), 2);
        assert!(
            error.starts_with("duramen: standard input is not an inclusion proof: "),
            "{error}"
        );
    }
    let error = refused(duramen(&store.place, &format!("verify inclusion nowhere {flags}")), 2);
    assert!(error.starts_with("duramen: cannot read nowhere: "), "{error}");
}

#[test]
fn verifying_needs_a_head_an_index_and_one_leaf() {
    let place = Place::new();
    let root = "ab".repeat(32);
    for flags in [
        String::new(),
        format!("--head 1:{root} --index 0"),
        format!("--head 1:{root} --leaf {root}"),
        format!("--index 0 --leaf {root}"),
        format!("--head {root} --index 0 --leaf {root}"),
        format!("--head 1:{root} --index 0 --leaf abc"),
        format!("--head 1:{root} --index 0 --leaf {root} --data file"),
    ] {
        refused(duramen(&place, &format!("verify inclusion - {flags}")), 2);
    }
}
