//! Offline proofs from hostile texts: what is read is written back, and verification is total.
#![no_main]

mod credulous;

use credulous::Credulous;
use duramen::tlog::TlogProof;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(proof) = text.parse::<TlogProof>() else { return };
    assert_eq!(proof.to_string(), text);
    let Some(signature) = proof.checkpoint.signatures().first() else { return };
    let key = Credulous::of(signature);
    let origin = proof.checkpoint.unverified_text().lines().next().unwrap_or_default();
    let _ = proof.verify(&[&key], origin, &[1; 32]);
});
