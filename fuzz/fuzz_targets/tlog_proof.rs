//! Offline proofs from hostile texts: what is read is written back, and verification is total.
#![no_main]

use duramen::tlog::{NoteVerifier, TlogProof};
use libfuzzer_sys::fuzz_target;

/// Finds every signature right, so that the proof itself is looked at.
struct Credulous<'a>(&'a str, u32);

impl NoteVerifier for Credulous<'_> {
    fn name(&self) -> &str {
        self.0
    }

    fn id(&self) -> u32 {
        self.1
    }

    fn verifies(&self, _: &[u8], _: &[u8]) -> bool {
        true
    }
}

fuzz_target!(|text: &str| {
    let Ok(proof) = text.parse::<TlogProof>() else { return };
    assert_eq!(proof.to_string(), text);
    let Some(signature) = proof.checkpoint.signatures().first() else { return };
    let key = Credulous(signature.name(), signature.id());
    let origin = proof.checkpoint.unverified_text().lines().next().unwrap_or_default();
    let _ = proof.verify(&[&key], origin, &[1; 32]);
});
