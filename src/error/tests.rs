//! Errors as sentences.

use super::*;
use crate::merkle::codec::{ClaimError, DecodeError};
use crate::merkle::{FrontierError, VerifyError};
use crate::report::RecoveryReport;

#[test]
fn an_error_about_one_thing_has_the_singular() {
    let limits =
        [Limit::UnflushedBytes, Limit::UncheckpointedBytes, Limit::UnnamedBytes, Limit::Parts];
    let no_room = |limit| {
        let waited = Duration::ZERO;
        Error::Backpressure { limit, held: 1, allowed: 1, waited }.to_string()
    };
    let damage = |problem| Damage { file: "f".into(), offset: 0, problem }.to_string();
    let (index, size, one) = (LeafIndex(7), TreeSize(1), TreeSize(1));
    let closed = Arc::new(Error::Closed);
    let mut texts = vec![
        Error::SizeOutOfRange { size: TreeSize(7), current: one }.to_string(),
        Error::OldBeyondNew { old: TreeSize(2), new: one }.to_string(),
        Error::NoMemory { leaves: 1 }.to_string(),
        Error::CheckpointsFail { held: 1, source: closed }.to_string(),
        damage(Problem::Truncated { expected: 1, found: 0 }),
        damage(Problem::Hollow { expected: 1, found: 0 }),
        VerifyError::IndexBeyondSize { index, size }.to_string(),
        VerifyError::OldBeyondNew { old: TreeSize(2), new: one }.to_string(),
        VerifyError::OtherSize { claimed: one, trusted: TreeSize(2) }.to_string(),
        VerifyError::OtherIndexes { claimed: 1, asked: 2 }.to_string(),
        VerifyError::HashCount { expected: 2, found: 1 }.to_string(),
        VerifyError::HashesMissing { found: 1 }.to_string(),
        VerifyError::RootMismatch { size, computed: [0; 32], trusted: [1; 32] }.to_string(),
        ClaimError::IndexBeyondSize { index, size }.to_string(),
        ClaimError::OldBeyondNew { old: TreeSize(2), new: one }.to_string(),
        ClaimError::HashCount { expected: 2, found: 1 }.to_string(),
        ClaimError::HashesMissing { found: 1 }.to_string(),
        DecodeError::Truncated { found: 1 }.to_string(),
        DecodeError::HashesMissing { found: 1 }.to_string(),
        DecodeError::HashBytes { expected: 2, found: 1 }.to_string(),
        FrontierError::NodeCount { size, expected: 1, found: 1 }.to_string(),
        FrontierError::Full { size, more: 1 }.to_string(),
        crate::tlog::TlogError::NotSignedByKnownKey { signatures: 1 }.to_string(),
        RecoveryReport {
            checkpointed: 1,
            replayed_leaves: 1,
            replayed_groups: 1,
            dropped_leaves: 1,
            removed: vec!["f".into()],
            ..RecoveryReport::default()
        }
        .to_string(),
    ];
    texts.extend(limits.map(no_room));
    let plurals = ["leaves", "bytes", "parts", "hashes", "nodes", "indexes", "groups", "files"];
    for text in texts {
        let words: Vec<&str> = text.split(' ').collect();
        for pair in words.windows(2).filter(|pair| pair[0] == "1") {
            assert!(!plurals.contains(&pair[1].trim_end_matches([',', ';'])), "{text}");
        }
        assert!(!text.contains("1 unflushed bytes"), "{text}");
    }
}
