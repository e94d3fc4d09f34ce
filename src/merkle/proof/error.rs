//! Why a proof cannot be made, and why a proof is refused.

use crate::merkle::hex::Hex;
use crate::merkle::subtree::Subtree;
use crate::merkle::types::{Hash, LeafIndex, TreeSize};
use crate::words::{count, hashes, leaves};

/// Why a proof cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProveError<E> {
    /// The tree has no such leaf at this size.
    #[error("there is no leaf {index} in a tree of {}", leaves(size.0))]
    IndexBeyondSize {
        /// The requested index.
        index: LeafIndex,
        /// The requested size.
        size: TreeSize,
    },
    /// A proof without any leaf was requested.
    #[error("a proof needs at least one index")]
    NoIndexes,
    /// The tree that must be the prefix is the larger one.
    #[error("a tree of {} is larger than a tree of {} and cannot be its prefix", leaves(old.0), leaves(new.0))]
    OldBeyondNew {
        /// The size of the old tree.
        old: TreeSize,
        /// The size of the new tree.
        new: TreeSize,
    },
    /// The tree does not have all leaves of the subtree.
    #[error("the subtree ends at leaf {end}, beyond a tree of {}", leaves(size.0))]
    SubtreeBeyondSize {
        /// The leaf behind the last one of the subtree.
        end: LeafIndex,
        /// The size of the tree.
        size: TreeSize,
    },
    /// The leaf is not in the subtree.
    #[error("leaf {index} is not in the subtree {subtree}")]
    OutsideSubtree {
        /// The index of the leaf.
        index: LeafIndex,
        /// The subtree.
        subtree: Subtree,
    },
    /// The nodes could not be read.
    #[error("the tree's nodes cannot be read")]
    Source(#[source] E),
}

/// Why a proof is refused.
///
/// In every case nothing was proven, and nothing else is known about the leaf or the head.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The trusted head has no such leaf.
    #[error("there is no leaf {index} in a tree of {}", leaves(size.0))]
    IndexBeyondSize {
        /// The index for which the proof was to be verified.
        index: LeafIndex,
        /// The size of the trusted head.
        size: TreeSize,
    },
    /// No leaf was given, so there is nothing to prove.
    #[error("a proof is verified for at least one leaf, and none was given")]
    NoLeaves,
    /// Two different leaves were given for one index.
    #[error("two different leaves were given for index {index}")]
    TwoLeavesAtIndex {
        /// The index.
        index: LeafIndex,
    },
    /// The head that must be the prefix is the larger one.
    #[error("a tree of {} is larger than a tree of {} and cannot be its prefix", leaves(old.0), leaves(new.0))]
    OldBeyondNew {
        /// The size of the old head.
        old: TreeSize,
        /// The size of the new head.
        new: TreeSize,
    },
    /// The tree does not have all leaves of the subtree.
    #[error("the subtree ends at leaf {end}, beyond a tree of {}", leaves(size.0))]
    SubtreeBeyondSize {
        /// The leaf behind the last one of the subtree.
        end: LeafIndex,
        /// The size of the tree.
        size: TreeSize,
    },
    /// The leaf is not in the subtree.
    #[error("leaf {index} is not in the subtree {subtree}")]
    OutsideSubtree {
        /// The index of the leaf.
        index: LeafIndex,
        /// The subtree.
        subtree: Subtree,
    },
    /// The proof names another size than the trusted head.
    #[error("the proof is for a tree of {}, but the trusted head has {trusted}", leaves(claimed.0))]
    OtherSize {
        /// The size in the proof.
        claimed: TreeSize,
        /// The size of the trusted head.
        trusted: TreeSize,
    },
    /// The proof names another index.
    #[error("the proof is for leaf {claimed}, but leaf {asked} is to be verified")]
    OtherIndex {
        /// The index in the proof.
        claimed: LeafIndex,
        /// The requested index.
        asked: LeafIndex,
    },
    /// The proof names other indexes.
    #[error(
        "the proof names {} not the {asked} to be verified",
        count(*claimed, "index, which is", "indexes, which are")
    )]
    OtherIndexes {
        /// How many indexes the proof names.
        claimed: usize,
        /// How many different indexes were requested.
        asked: usize,
    },
    /// The hasher name in the proof is invalid.
    #[error("the name of a hash function is 1 to 32 lower-case letters, digits and '-'")]
    HasherName,
    /// The number of hashes in the proof differs from the number that the shape of the tree requires.
    #[error("the proof has {}; its place in the tree needs {expected}", hashes(*found))]
    HashCount {
        /// How many hashes the indexes and sizes require.
        expected: usize,
        /// How many the proof has.
        found: usize,
    },
    /// The proof of many leaves has fewer hashes than it needs. The exact number is not computed: for a
    /// hostile proof this would cost far more than reading its bytes.
    #[error("the proof has {}, fewer than its place in the tree needs", hashes(*found))]
    HashesMissing {
        /// How many the proof has.
        found: usize,
    },
    /// The tree's hash function does not accept a value: a leaf or a hash of the proof.
    #[error("the hash function of the tree does not take the value {}", Hex(.value))]
    RefusedValue {
        /// The refused value.
        value: Hash,
    },
    /// The proof leads to another root than the trusted one.
    #[error(
        "the proof leads to the root {}, but the trusted root of {} is {}",
        Hex(.computed),
        leaves(size.0),
        Hex(.trusted)
    )]
    RootMismatch {
        /// The size of the trusted head.
        size: TreeSize,
        /// The root computed from the leaf and the proof.
        computed: Hash,
        /// The root of the trusted head.
        trusted: Hash,
    },
}

impl VerifyError {
    /// Compares the size that a proof claims with that of a trusted head.
    pub(crate) fn unless_same_size(claimed: TreeSize, trusted: TreeSize) -> Result<(), Self> {
        if claimed == trusted { Ok(()) } else { Err(Self::OtherSize { claimed, trusted }) }
    }
}
