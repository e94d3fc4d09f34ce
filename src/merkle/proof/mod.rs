//! Proofs and their verification.
//!
//! # Invariants
//!
//! - A proof is hashes only. How many there are and where each belongs follows from the indexes and
//!   sizes that the verifier gives, so there is nothing in a proof to forge.
//! - The trusted head comes from the verifier, never from the proof.
//! - The number of hashes is checked before the first one is used; all are used.
//! - Verification is total: no input makes it panic, and it hashes at most twice per level
//!   and index.

mod consistency;
mod error;
mod inclusion;
mod multi;
mod path;
mod subtree;
mod update;

pub use consistency::ConsistencyProof;
pub use error::{ProveError, VerifyError};
pub use inclusion::InclusionProof;
pub use multi::MultiProof;
pub use subtree::SubtreeProof;
pub use update::Growth;

use super::hasher::Hasher;
use super::head::TreeHead;
use super::types::Hash;

/// Refuses values that the hash function does not take, before any of them is hashed.
#[inline]
fn check_values<H: Hasher + ?Sized>(hasher: &H, values: &[Hash]) -> Result<(), VerifyError> {
    match hasher.first_refused(values).and_then(|at| values.get(at)) {
        Some(value) => Err(VerifyError::RefusedValue { value: *value }),
        None => Ok(()),
    }
}

impl TreeHead {
    /// Compares the root that a proof leads to with the trusted one.
    #[inline]
    fn must_be(&self, computed: Hash) -> Result<(), VerifyError> {
        if computed == self.root {
            return Ok(());
        }
        Err(VerifyError::RootMismatch { size: self.size, computed, trusted: self.root })
    }
}
