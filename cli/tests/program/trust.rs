//! What `verify` trusts: keys of every type, policies, receipts.

use std::path::PathBuf;

use duramen::tlog::{Cosigner, Ed25519Key, MlDsa44Key, SignedNote};

use crate::common::store::{COUNT, Store};
use crate::common::{Function, Place, duramen, given, head_text, printed, printed_bytes, refused};

const ORIGIN: &str = "example.com/log";
const TIME: u64 = 1_767_225_600;

/// A store, the key file of its log, and the public text of that.
fn log() -> (Store, PathBuf, String) {
    let store = Store::new(Function::Sha256, 2);
    let vkey = printed(duramen(&store.place, &format!("keygen {ORIGIN} -o @key")));
    let key = store.place.path("key");
    (store, key, vkey.trim().to_owned())
}

/// The program with this line, signing with the log's key.
fn signing(place: &Place, line: &str) -> assert_cmd::Command {
    let mut command = duramen(place, line);
    command.arg("--key").arg(place.path("key"));
    let mut files = std::fs::read_dir(place.dir()).unwrap().map(|file| file.unwrap().path());
    if !files.any(|file| file.extension().is_some_and(|end| end == "anchor")) {
        command.arg("--first-anchor");
    }
    command
}

fn witness(name: &str, secret: u8) -> Cosigner<Ed25519Key> {
    Cosigner::new(name, Ed25519Key::from_secret(&[secret; 32])).unwrap()
}

fn post_quantum(name: &str, secret: u8) -> Cosigner<MlDsa44Key> {
    Cosigner::new(name, MlDsa44Key::from_seed(&[secret; 32])).unwrap()
}

#[test]
fn a_checkpoint_is_verified_by_a_key_of_every_type() {
    let (store, _, vkey) = log();
    let mut note: SignedNote =
        printed(signing(&store.place, "head DIR --format checkpoint")).parse().unwrap();
    let (of_log, of_witness) = (post_quantum(ORIGIN, 1), witness("w.example/1", 2));
    note.add_signature(&of_log.at(TIME)).unwrap();
    note.add_signature(&of_witness.at(TIME)).unwrap();
    let verify = |text: &str, trust: &str| {
        given(&store.place, &format!("verify checkpoint - {trust}"), text)
    };
    let (text, root) = (note.to_string(), store.function.root(2, &store.leaves));
    let told = format!("verified: the log \"{ORIGIN}\" signed this\n{}", head_text(COUNT, root));
    for trust in [
        format!("--vkey {vkey}"),
        format!("--vkey {}", of_log.vkey()),
        format!("--vkey {} --origin {ORIGIN}", of_witness.vkey()),
    ] {
        assert_eq!(printed(verify(&text, &trust)), told, "{trust}");
    }
    let other = post_quantum(ORIGIN, 9).vkey();
    let error = refused(verify(&text, &format!("--vkey {other}")), 1);
    assert!(error.contains("is by a known key"), "{error}");
    // The signature of every type covers the size.
    let forged = text.replace(&format!("\n{COUNT}\n"), "\n62\n");
    for trust in [format!("--vkey {vkey}"), format!("--vkey {}", of_log.vkey())] {
        let error = refused(verify(&forged, &trust), 1);
        assert!(error.contains("is not valid for the text"), "{error}");
    }
    let error = refused(verify(&text, &format!("--vkey {}", of_witness.vkey())), 1);
    assert!(error.contains("is of the log \"example.com/log\""), "{error}");
    assert!(refused(verify(&text, ""), 2).contains("--vkey"));
    assert!(refused(verify("no note", &format!("--vkey {vkey}")), 2).contains("is not a signed"));
}

#[test]
fn a_policy_asks_for_a_log_and_a_quorum_of_witnesses() {
    let (store, _, vkey) = log();
    let proof = printed(signing(&store.place, "prove DIR 5 --format tlog-proof"));
    let (head, note) = proof.split_once("\n\n").unwrap();
    let mut note: SignedNote = note.parse().unwrap();
    let (one, two) = (witness("w.example/1", 1), post_quantum("w.example/2", 2));
    let witnesses = format!(
        "witness one {}\nwitness two {}\ngroup both all one two\nquorum both\n",
        one.vkey(),
        two.vkey()
    );
    store.place.file("policy", format!("log {vkey}\n{witnesses}"));
    store.place.file("no-log", &witnesses);
    let index = format!("--index 5 --leaf {}", store.leaf(5));
    let inclusion = |note: &SignedNote, trust: &str| {
        let text = format!("{head}\n\n{note}");
        given(&store.place, &format!("verify inclusion - {trust} {index}"), text)
    };
    let checkpoint = |note: &SignedNote, trust: &str| {
        given(&store.place, &format!("verify checkpoint - {trust}"), note.to_string())
    };
    note.add_signature(&one.at(TIME)).unwrap();
    for command in [inclusion(&note, "--policy @policy"), checkpoint(&note, "--policy @policy")] {
        let error = refused(command, 1);
        assert!(error.contains("1 of 2 witnesses"), "{error}");
    }
    note.add_signature(&two.at(TIME)).unwrap();
    let with_vkey = format!("--policy @no-log --vkey {vkey}");
    for trust in ["--policy @policy", &format!("--policy @policy --origin {ORIGIN}"), &with_vkey] {
        let told = printed(inclusion(&note, trust));
        let by = ", cosigned by 2 of 2 known witnesses\n";
        assert_eq!(told, format!("verified: leaf 5 is in the tree of {COUNT} leaves{by}"));
        assert!(printed(checkpoint(&note, trust)).contains(by));
    }
    for (trust, reason) in [
        ("--policy @no-log", "example.com/log"),
        ("--policy @policy --origin other.org", "other.org"),
    ] {
        let error = refused(inclusion(&note, trust), 1);
        assert!(error.contains(reason), "{trust}: {error}");
    }
    store.place.file("nonsense", "quorum nobody\n");
    let error = refused(checkpoint(&note, "--policy @nonsense"), 2);
    assert!(error.contains("is not a policy"), "{error}");
    let json = store.prove(5, COUNT).to_string();
    let error = refused(store.verify(&json, &format!("--policy {} {index}", "x")), 2);
    assert!(error.contains("cannot read x"), "{error}");
}

#[test]
fn a_receipt_is_of_a_head_that_the_anchor_has_and_is_verified_by_its_key() {
    let (store, _, vkey) = log();
    let receipt = printed_bytes(signing(&store.place, "prove DIR 5 --format cose-receipt"));
    assert_eq!(receipt[0], 0xd2, "a tagged COSE_Sign1");
    let verify = |receipt: &[u8], line: &str| given(&store.place, line, receipt);
    let (index, leaf, head) = ("--index 5", store.leaf(5), store.head(COUNT));
    for trust in
        [format!("--vkey {vkey}"), format!("--head {head}"), format!("--vkey {vkey} --head {head}")]
    {
        let line = format!("verify inclusion - {trust} {index} --leaf {leaf}");
        let told = printed(verify(&receipt, &line));
        assert_eq!(told, format!("verified: leaf 5 is in the tree of {COUNT} leaves\n"));
    }
    let other = printed(duramen(&store.place, &format!("keygen {ORIGIN} -o @other")));
    let ml_dsa = post_quantum(ORIGIN, 1).vkey();
    let head = store.head(33);
    for (trust, reason) in [
        (format!("--vkey {vkey} {index} --leaf {}", store.leaf(6)), "is not valid for the root"),
        (format!("--vkey {} {index} --leaf {leaf}", other.trim()), "is not valid for the root"),
        (format!("--vkey {ml_dsa} {index} --leaf {leaf}"), "signed with Ed25519"),
        (format!("--vkey {vkey} --index 6 --leaf {leaf}"), "index"),
        (format!("--vkey {vkey} --head {head} {index} --leaf {leaf}"), "size"),
    ] {
        let error = refused(verify(&receipt, &format!("verify inclusion - {trust}")), 1);
        assert!(error.contains(reason), "{trust}: {error}");
    }
    for at in 0..receipt.len() {
        let mut changed = receipt.clone();
        changed[at] ^= 1;
        let line = format!("verify inclusion - --vkey {vkey} {index} --leaf {leaf}");
        let output = verify(&changed, &line).output().unwrap();
        // No signature covers the size. Another one for which the path has the same shape is what the log did not say.
        let told = String::from_utf8(output.stdout).unwrap();
        let of_that_size = told.contains(&format!("tree of {COUNT} leaves"));
        assert!(!output.status.success() || !of_that_size, "byte {at}: {told}");
    }
    // Between two sizes.
    let line = "prove-consistency DIR 33 --format cose-receipt";
    let receipt = printed_bytes(signing(&store.place, line));
    let old = format!("--old-head {}", store.head(33));
    let told =
        format!("verified: the tree of 33 leaves is a prefix of the tree of {COUNT} leaves\n");
    for trust in [format!("--vkey {vkey}"), format!("--head {}", store.head(COUNT))] {
        let line = format!("verify consistency - {old} {trust}");
        assert_eq!(printed(verify(&receipt, &line)), told);
    }
    let line = format!("verify consistency - {old} --vkey {}", other.trim());
    assert!(refused(verify(&receipt, &line), 1).contains("is not valid for the root"));
    let line = format!("verify inclusion - --vkey {vkey} {index} --leaf {leaf}");
    assert!(refused(verify(&receipt, &line), 2).contains("is not an inclusion proof"));
    for (line, reason) in [
        ("prove DIR 5 --format cose-receipt", "give --key FILE"),
        ("prove DIR 5 6 --format cose-receipt --key @key", "is of one leaf"),
        ("prove DIR 0 --size 1 --format cose-receipt --key @key", "without a hash"),
        ("prove-consistency DIR 1 --format tlog-proof", "json, binary or cose-receipt"),
        ("prove-consistency DIR 1 --key @key", "belong to --format cose-receipt"),
        ("prove-consistency DIR 1 --format cose-receipt", "give --key FILE"),
    ] {
        let error = refused(duramen(&store.place, line), 2);
        assert!(error.contains(reason), "{line}: {error}");
    }
    // Another store does not get a receipt of this log.
    let other = Store::new(Function::Sha256, 2);
    printed(given(&other.place, "append DIR", "more\n"));
    let mut command = duramen(&other.place, "prove DIR 5 --format cose-receipt --key");
    command.arg(store.place.path("key"));
    assert!(refused(command, 2).contains("is of the store"));
}
