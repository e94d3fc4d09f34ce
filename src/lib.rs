//! duramen is an append-only, persistent Merkle accumulator: leaves go in, a root comes out, and
//! proofs for every size the tree ever had.
#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

pub mod merkle;

#[cfg(feature = "std")]
pub(crate) mod codec;
#[cfg(feature = "std")]
pub(crate) mod column;
#[cfg(feature = "std")]
mod checkpoint;
#[cfg(feature = "std")]
mod durability;
#[cfg(feature = "std")]
mod error;
#[cfg(feature = "std")]
pub mod fs;
#[cfg(feature = "std")]
pub(crate) mod sync;
#[cfg(feature = "std")]
mod wal;

pub use merkle::{Arity, Blake3, Hash, Hasher, HasherId, LeafIndex, Rfc6962Sha256, TreeSize};

#[cfg(feature = "std")]
pub use durability::{DurabilityToken, Seq};
#[cfg(feature = "std")]
pub use error::{Damage, Error, Problem, Result};
