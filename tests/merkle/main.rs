//! The tree, its proofs and the texts of transparency logs: against a tree too slow to be wrong, against outside implementations, against hostile bytes.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test panics when a promise is broken")]

mod codec;
mod consistency;
mod edge;
mod frontier;
#[cfg(feature = "std")]
mod golden;
mod hashers;
mod hostile;
#[cfg(all(feature = "std", feature = "keccak", feature = "poseidon"))]
mod lean_imt;
mod multi;
#[cfg(feature = "note")]
mod offline;
#[cfg(all(feature = "keccak", feature = "poseidon"))]
mod proof_hashers;
mod rfc6962;
#[cfg(feature = "serde")]
mod serde;
mod store_head;
#[cfg(all(feature = "note", feature = "mldsa"))]
mod tlog;
mod tree;
mod update;
#[cfg(all(feature = "std", feature = "keccak", feature = "mldsa"))]
mod vectors;
