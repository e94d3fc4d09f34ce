//! What all bindings verify: plain values in, a verified answer or a [`Refusal`] out.
//!
//! # Invariants
//!
//! - A function that returns `Ok` has verified everything that its name says, against what the caller trusts: a head, a
//!   commitment, keys or a policy. Nothing is believed because a proof says so.
//! - No input panics: [`Refusal`] is the only other way out.

mod error;
mod function;
mod signed;
mod tree;

use duramen::{Hasher, Rfc6962Sha256};

pub use error::Refusal;
pub use signed::{Signed, checkpoint, proof, witnessed, witnessed_proof};
pub use tree::{ProvenTree, TreeKind, prove_tree};

/// A hash, a leaf or a root.
pub type Hash = [u8; 32];

/// The leaf of an entry of a transparency log, SHA-256 as RFC 6962 has it.
#[must_use]
pub fn rfc6962_leaf(entry: &[u8]) -> Hash {
    Rfc6962Sha256.leaf(entry)
}

/// The hash in `bytes`, which the message calls `what`.
///
/// # Errors
///
/// [`Refusal::Input`] if these are not 32 bytes.
pub fn hash(bytes: &[u8], what: &str) -> Result<Hash, Refusal> {
    bytes
        .try_into()
        .map_err(|_| Refusal::Input(format!("{what} has {} bytes, not 32", bytes.len())))
}

/// The hashes that lie one after another in `bytes`, which the message calls `what`.
///
/// # Errors
///
/// [`Refusal::Input`] if the last one is not whole.
pub fn hashes(bytes: &[u8], what: &str) -> Result<Vec<Hash>, Refusal> {
    let (hashes, rest) = bytes.as_chunks::<32>();
    if rest.is_empty() {
        return Ok(hashes.to_vec());
    }
    Err(Refusal::Input(format!("{what} has {} bytes, which are no whole hashes", bytes.len())))
}
