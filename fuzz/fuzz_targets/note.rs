//! Notes, checkpoints and keys from hostile texts: what is read is written back, and nothing is
//! signed by a key that never signed.
#![no_main]

use duramen::tlog::{
    AnyVerifier, Checkpoint, Cosigner, Ed25519Key, Ed25519Signer, Ed25519Verifier, MlDsa44Key,
    SignedNote,
};
use libfuzzer_sys::fuzz_target;

const KEY: &str = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
const SIGNED: &str = "This is an example message.\n";

fuzz_target!(|text: &str| {
    if let Ok(note) = text.parse::<SignedNote>() {
        assert_eq!(note.to_string(), text);
        if let Ok(key) = KEY.parse::<Ed25519Verifier>()
            && let Ok(signed) = note.verify(&[&key])
        {
            assert_eq!(signed, SIGNED);
        }
    }
    if let Ok(checkpoint) = text.parse::<Checkpoint>() {
        assert_eq!(checkpoint.to_string(), text);
    }
    if let Ok(key) = text.parse::<Ed25519Verifier>() {
        assert_eq!(key.to_string(), text);
    }
    if let Ok(key) = text.parse::<AnyVerifier>() {
        assert_eq!(key.to_string(), text);
    }
    if let Ok(key) = text.parse::<Cosigner<Ed25519Key>>() {
        assert_eq!(key.secret_text().as_str(), text);
    }
    if let Ok(key) = text.parse::<Cosigner<MlDsa44Key>>() {
        assert_eq!(key.secret_text().as_str(), text);
    }
    if let Ok(key) = text.parse::<Ed25519Signer>() {
        assert_eq!(key.secret_text().as_str(), text);
    }
});
