//! Notes and cosignatures of all types that other software made: see `docs/vectors.md`.

use duramen::merkle::Subtree;
use duramen::tlog::{
    AnyVerifier, Cosigner, Ed25519Key, Ed25519Signer, MlDsa44Key, MlDsa44Verifier, NoteSigner,
    SignedNote,
};
use serde_json::Value;

use crate::tlog::model::{hex, unhex};

fn read() -> Value {
    serde_json::from_str(include_str!("vectors/tlog-scales.json")).unwrap()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn secret(vectors: &Value, name: &str) -> [u8; 32] {
    unhex(text(&vectors["secrets"][name])).try_into().unwrap()
}

#[test]
fn checkpoints_that_tlog_scales_signed_with_all_types_are_verified() {
    let vectors = read();
    let keys: Vec<AnyVerifier> =
        vectors["vkeys"].as_array().unwrap().iter().map(|key| text(key).parse().unwrap()).collect();
    assert_eq!(keys.len(), 4);
    for (key, vkey) in keys.iter().zip(vectors["vkeys"].as_array().unwrap()) {
        assert_eq!(key.to_string(), text(vkey));
    }
    for vector in vectors["notes"].as_array().unwrap() {
        let note: SignedNote = text(&vector["note"]).parse().unwrap();
        assert_eq!(note.to_string(), text(&vector["note"]));
        for key in &keys {
            let checkpoint = note.verify_checkpoint(&[key], text(&vector["origin"])).unwrap();
            assert_eq!(checkpoint.head().size.to_string(), text(&vector["size"]));
            assert_eq!(hex(&checkpoint.head().root), text(&vector["root"]));
        }
        let changed = note.to_string().replacen("log\n", "log\n1", 1);
        let changed: SignedNote = changed.parse().unwrap();
        for key in &keys {
            assert!(changed.verify(&[key]).is_err());
        }
    }
}

#[test]
fn our_keys_are_those_of_tlog_scales_and_ed25519_signs_the_same_bytes() {
    let vectors = read();
    let log =
        Ed25519Signer::from_secret("example.com/log", &secret(&vectors, "log_ed25519")).unwrap();
    let witness = "witness.example/w1";
    let ed = Cosigner::new(witness, Ed25519Key::from_secret(&secret(&vectors, "witness_ed25519")));
    let ed = ed.unwrap();
    let seed = |name| MlDsa44Key::from_seed(&secret(&vectors, name));
    let ml_log = Cosigner::new("example.com/log", seed("log_ml_dsa_44")).unwrap();
    let ml = Cosigner::new(witness, seed("witness_ml_dsa_44")).unwrap();
    let ours = [log.verifier().to_string(), ml_log.vkey(), ed.vkey(), ml.vkey()];
    assert_eq!(Value::from(ours.to_vec()), vectors["vkeys"]);
    for vector in vectors["notes"].as_array().unwrap() {
        let note: SignedNote = text(&vector["note"]).parse().unwrap();
        let time = text(&vector["time"]).parse().unwrap();
        for signer in [&log as &dyn NoteSigner, &ed.at(time)] {
            let ours = note.signature(signer).unwrap();
            assert!(note.signatures().contains(&ours), "{}", signer.name());
        }
    }
}

#[test]
fn subtrees_that_openssl_signed_are_verified() {
    let vectors = read();
    let key: MlDsa44Verifier = text(&vectors["vkeys"][3]).parse().unwrap();
    for vector in vectors["subtrees"].as_array().unwrap() {
        let number = |name: &str| vector[name].as_u64().unwrap();
        let subtree = Subtree::new(number("start"), number("end")).unwrap();
        let root = unhex(text(&vector["root"])).try_into().unwrap();
        let signature = unhex(text(&vector["signature"]));
        assert!(key.verifies_subtree("example.com/log", subtree, &root, &signature));
        assert!(!key.verifies_subtree("example.com/log", subtree, &[0; 32], &signature));
    }
}
