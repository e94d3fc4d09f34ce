//! The tree itself: pure functions over nodes, no I/O, `no_std` + `alloc`.
//!
//! Leaves are level 0. Node `(k, i)` of level `k` commits to the leaves `[i * N^k, (i + 1) * N^k)`.
//! A tree of `n` leaves has `floor(n / N^k)` *complete* nodes at level `k`; only those are ever
//! stored. The incomplete right edge is folded from them on demand: a parent with one child takes
//! the child's value, a parent with 2 to N children is the hash of their concatenation.

pub mod codec;
mod edge;
mod frontier;
mod hasher;
mod head;
mod hex;
mod prefetch;
mod proof;
#[cfg(feature = "serde")]
mod serial;
mod shape;
mod source;
mod store_head;
mod subtree;
mod tree_name;
mod types;

#[cfg(feature = "std")]
pub(crate) use edge::EdgeNodes;
pub use edge::{RightEdge, root_at};
pub use frontier::{Frontier, FrontierError};
#[cfg(feature = "keccak")]
pub use hasher::Keccak256;
#[cfg(feature = "poseidon")]
pub use hasher::PoseidonBn254;
pub use hasher::{Blake3, Hasher, HasherId, LeafInPieces, Rfc6962Sha256};
pub use head::{ParseHeadError, TreeHead};
#[cfg(feature = "std")]
pub(crate) use hex::Hex;
#[cfg(feature = "std")]
pub(crate) use prefetch::prefetch;
pub use proof::{
    ConsistencyProof, Growth, InclusionProof, MultiProof, ProveError, SubtreeProof, VerifyError,
};
pub use shape::{Group, MAX_DEPTH, Shape};
pub use source::NodeSource;
pub use store_head::{
    NamedHead, STORE_CONTEXT, StoreHead, StoreHeadError, TREE_CONTEXT, TreeProof,
};
pub use subtree::{NotASubtree, Subtree};
pub use tree_name::{TreeName, TreeNameError};
pub use types::{
    Arity, Hash, LeafIndex, Level, NodeIndex, ParseArityError, ParseNumberError, TreeSize,
};
