//! duramen is an append-only, persistent Merkle accumulator: leaves go in, a root comes out, and
//! proofs for every size the tree ever had.
#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

pub mod merkle;

#[cfg(feature = "std")]
pub mod fs;
#[cfg(feature = "std")]
pub(crate) mod sync;

pub use merkle::{Arity, Blake3, Hash, Hasher, HasherId, LeafIndex, Rfc6962Sha256, TreeSize};
