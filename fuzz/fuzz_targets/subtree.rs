//! Proofs of subtrees from hostile numbers and hashes: verification is total, and nothing is proven about a root that
//! no tree has.
#![no_main]

use duramen::merkle::{Subtree, SubtreeProof, VerifyError};
use duramen::{Rfc6962Sha256, TreeHead, TreeSize};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u64, u64, u64, bool, Vec<[u8; 32]>)| {
    let (start, end, size, fit, mut hashes) = input;
    let Ok(subtree) = Subtree::new(start, end) else { return };
    let [left, right] = Subtree::covering(start, end).unwrap_or([subtree; 2]);
    for subtree in [subtree, left, right] {
        let expected = SubtreeProof::expected_hashes(subtree, TreeSize(size));
        if let (true, Some(expected)) = (fit, expected) {
            hashes.resize(expected, [5; 32]);
        }
        let proof = SubtreeProof::from_hashes(hashes.clone());
        let head = TreeHead { size: TreeSize(size), root: [2; 32] };
        match proof.verify(&Rfc6962Sha256, subtree, &[1; 32], &head) {
            Err(VerifyError::SubtreeBeyondSize { .. }) => assert!(expected.is_none()),
            Err(VerifyError::HashCount { .. }) => assert_ne!(expected, Some(proof.hashes().len())),
            other => assert!(matches!(other, Err(VerifyError::RootMismatch { .. })), "{other:?}"),
        }
    }
});
