//! The report of a checkpoint.

use std::fmt;
use std::time::Duration;

use crate::ids::Seq;
use crate::merkle::{TreeName, TreeSize};

/// The reason for a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CheckpointReason {
    /// [`checkpoint`](crate::Accumulator) was called.
    Manual,
    /// The configured number of leaves came since the last checkpoint.
    Leaves,
    /// The log reached the configured number of bytes.
    WalBytes,
    /// The log reached the configured number of segments.
    WalSegments,
    /// The nodes that are only in memory reached the configured number of bytes.
    Memory,
    /// The configured time has passed since the last checkpoint.
    Interval,
    /// The store was closed.
    Close,
    /// Inserts came near a limit, and a checkpoint makes room.
    Backpressure,
    /// A tree was dropped, and the checkpoint frees its space.
    TreeDropped,
    /// [`compact`](crate::DynAccumulator::compact) was called.
    Compaction,
}

impl CheckpointReason {
    /// All reasons.
    pub const ALL: [Self; 10] = [
        Self::Manual,
        Self::Leaves,
        Self::WalBytes,
        Self::WalSegments,
        Self::Memory,
        Self::Interval,
        Self::Close,
        Self::Backpressure,
        Self::TreeDropped,
        Self::Compaction,
    ];
}

impl fmt::Display for CheckpointReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Manual => "manual",
            Self::Leaves => "leaves",
            Self::WalBytes => "WAL bytes",
            Self::WalSegments => "WAL segments",
            Self::Memory => "memory",
            Self::Interval => "interval",
            Self::Close => "close",
            Self::Backpressure => "backpressure",
            Self::TreeDropped => "tree dropped",
            Self::Compaction => "compaction",
        })
    }
}

/// A checkpoint that is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CheckpointInfo {
    /// The position in the store's order up to which the checkpoint is complete. In a store that was
    /// created for a single tree this is the size of the tree.
    pub seq: Seq,
    /// The trees with new leaves, in the order of their creation.
    pub trees: Vec<TreeCheckpoint>,
    /// Leaves that this checkpoint wrote, over all trees: the leaves since the last checkpoint.
    pub leaves: u64,
    /// Bytes of the parts that were written. 0 if there was nothing new.
    pub bytes: u64,
    /// The reason for the checkpoint.
    pub reason: CheckpointReason,
    /// The time from the call until the checkpoint was durable.
    pub duration: Duration,
}

/// What a checkpoint wrote for one tree.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TreeCheckpoint {
    /// The tree.
    pub tree: TreeName,
    /// The size of the tree in the checkpoint.
    pub size: TreeSize,
    /// Leaves written: the leaves since the last checkpoint.
    pub leaves: u64,
    /// Bytes of the part that was written.
    pub bytes: u64,
}
