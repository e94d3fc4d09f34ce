//! The activity and the state of one tree.

use crate::merkle::{TreeName, TreeSize};

/// The activity of one tree since its store was opened, and its current state.
///
/// What belongs to no tree is in [`Stats`](crate::Stats): the log with its groups and syncs, which all trees share, and
/// the inserts that wait, which wait for all trees.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TreeStats {
    /// The tree.
    pub tree: TreeName,
    /// Visible leaves.
    pub size: TreeSize,
    /// Durable leaves.
    pub durable_size: TreeSize,
    /// Leaves that are visible but not durable.
    pub pending: u64,
    /// Leaves in the last checkpoint. The log has those behind them.
    pub checkpointed_size: TreeSize,
    /// Completed checkpoints that had leaves of the tree to write.
    pub checkpoints: u64,
    /// Bytes of leaves and nodes of the tree that checkpoints wrote.
    pub part_bytes_written: u64,
    /// Parts that a read may have to search.
    pub parts: u64,
    /// Merges of parts completed.
    pub compactions: u64,
    /// Merges that failed.
    pub failed_compactions: u64,
    /// Bytes of parts written by merges.
    pub compaction_bytes_written: u64,
    /// Address space of the tree's nodes in memory, in bytes. Pages that were never written take no memory.
    pub memory_bytes: u64,
    /// Bytes of nodes and entries that the tree does not need in memory any more and that callers still
    /// hold. See [`Stats::pinned_bytes`](crate::Stats::pinned_bytes).
    pub pinned_bytes: u64,
}
