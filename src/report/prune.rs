//! The report of a prune.

use crate::merkle::{TreeName, TreeSize};

/// What a prune has dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PruneInfo {
    /// The tree.
    pub tree: TreeName,
    /// The first leaf that the tree had before.
    pub before: TreeSize,
    /// The first leaf that it has now.
    pub base: TreeSize,
    /// The number of its leaves, those that were pruned included.
    pub size: TreeSize,
    /// The bytes of the tree's parts before.
    pub bytes_before: u64,
    /// The bytes of the tree's parts now.
    pub bytes: u64,
    /// How many parts the tree does not have any more, and that a snapshot or reader of this process still holds. Their space
    /// is free once the last of these is dropped. What a backup or another process holds is not counted.
    pub held_parts: u64,
    /// The bytes of these parts.
    pub held_bytes: u64,
}
