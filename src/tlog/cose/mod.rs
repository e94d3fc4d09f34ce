//! COSE receipts of a log: RFC 9942, for trees of RFC 9162 with SHA-256 (`vds` 1), signed with Ed25519.
//!
//! A receipt is an inclusion or a consistency proof with a signature of the root that it leads to, as CBOR. The root is
//! not in it: who verifies computes it, from the leaf or from an older head.
//!
//! The signature covers the root alone. Sizes and the index are what the log says of it; they are right in so far as the
//! proof has the shape that they ask for, which other sizes may ask for too. A [`TlogProof`](super::TlogProof) has a
//! signed size.
//!
//! # Invariants
//!
//! - A receipt that is read keeps its bytes.
//! - What is signed is the protected header as it came, and the root as it was computed.

mod cbor;
mod consistency;
mod envelope;
mod error;
mod inclusion;

pub use consistency::ConsistencyReceipt;
pub use error::CoseError;
pub use inclusion::InclusionReceipt;
