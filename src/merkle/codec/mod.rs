//! Proofs and frontiers as bytes.
//!
//! # Invariants
//!
//! - One encoding per value: what decodes encodes to the same bytes again, and every byte is
//!   consumed.
//! - The number of hashes is not written: it follows from arity, sizes and indexes. So a length is
//!   checked against the bytes that are there before anything is allocated, and nothing is allocated
//!   that is larger than the input.
//! - Hasher, arity, sizes and indexes in an encoding are claims: decoding compares hasher and arity
//!   with what the reader expects, verification compares sizes and indexes with the trusted head and
//!   the requested index.
//!
//! # Format
//!
//! All integers are little-endian. Every encoding begins with a header:
//!
//! | offset | length | content |
//! | --- | --- | --- |
//! | 0 | 4 | the ASCII letters `duPF` |
//! | 4 | 1 | format version: 1 |
//! | 5 | 1 | kind: 1 inclusion, 2 consistency, 3 multi-inclusion, 4 frontier, 5 tree of a store |
//! | 6 | 1 | arity: 2, 4, 8 or 16 |
//! | 7 | 1 | length of the hasher's id, L: 1 to 32 |
//! | 8 | L | the hasher's id: lower-case ASCII letters, digits and `-` |
//!
//! Then follows, by kind, with H = 8 + L:
//!
//! | kind | offset | length | content |
//! | --- | --- | --- | --- |
//! | inclusion | H | 8 | size of the tree |
//! | | H + 8 | 8 | index of the leaf, less than the size |
//! | | H + 16 | 32 each | siblings, from the leaves up, within a level from left to right |
//! | consistency | H | 8 | size of the old tree |
//! | | H + 8 | 8 | size of the new tree, not less than the old one |
//! | | H + 16 | 32 each | hashes, in the order of [`ConsistencyProof`](super::ConsistencyProof) |
//! | multi-inclusion | H | 8 | size of the tree |
//! | | H + 8 | 8 | number of indexes, K: at least 1 |
//! | | H + 16 | 8 each | the indexes, strictly ascending, each less than the size |
//! | | H + 16 + 8 K | 32 each | hashes, in the order of [`MultiProof`](super::MultiProof) |
//! | frontier | H | 8 | size of the tree |
//! | | H + 8 | 32 each | nodes, from left to right, as in [`Frontier`](super::Frontier) |
//! | tree of a store | H | 8 | size of the tree |
//! | | H + 8 | 32 | root of the tree |
//! | | H + 40 | 1 | length of the tree's name, M: 1 to 255 |
//! | | H + 41 | M | the tree's name, UTF-8 |
//! | | H + 41 + M | 8 | position of the tree among those of the store, sorted by name |
//! | | H + 49 + M | 8 | number of trees, more than the position |
//! | | H + 57 + M | 32 each | siblings, as in [`TreeProof`](super::TreeProof) |
//!
//! The hashes end where the bytes end. An inclusion proof in a tree of 2^20 leaves with arity 4 has
//! 990 bytes under BLAKE3 and 998 under SHA-256.

mod consistency;
mod error;
mod frontier;
mod header;
mod inclusion;
mod kind;
mod multi;
mod tree;

pub use consistency::ConsistencyClaim;
pub use error::{ClaimError, DecodeError};
pub use header::Header;
pub use inclusion::InclusionClaim;
pub use kind::Kind;
pub use multi::MultiClaim;
