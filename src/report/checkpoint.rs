//! What a checkpoint reports.

use std::fmt;
use std::time::Duration;

use crate::ids::Seq;
use crate::merkle::{TreeName, TreeSize};

/// Why a checkpoint was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CheckpointReason {
    /// [`checkpoint`](crate::Accumulator) was called.
    Manual,
    /// So many leaves came since the last one.
    Leaves,
    /// The log has so many bytes.
    WalBytes,
    /// The log has so many segments.
    WalSegments,
    /// So many bytes of nodes are in memory only.
    Memory,
    /// So much time has passed since the last one.
    Interval,
    /// The store was closed.
    Close,
    /// Inserts came up to a limit that a checkpoint makes room under.
    Backpressure,
    /// A tree was dropped, and its space is to be freed.
    TreeDropped,
}

impl CheckpointReason {
    /// All reasons.
    pub const ALL: [Self; 9] = [
        Self::Manual,
        Self::Leaves,
        Self::WalBytes,
        Self::WalSegments,
        Self::Memory,
        Self::Interval,
        Self::Close,
        Self::Backpressure,
        Self::TreeDropped,
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
        })
    }
}

/// A checkpoint that is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CheckpointInfo {
    /// The place in the store's order up to which it holds everything. In a store that was made for one tree
    /// this is the tree's size.
    pub seq: Seq,
    /// The trees that had new leaves, in the order in which they were created.
    pub trees: Vec<TreeCheckpoint>,
    /// Leaves written by this checkpoint, over all trees: those since the last one.
    pub leaves: u64,
    /// Bytes of the parts that were written; 0 if there was nothing new.
    pub bytes: u64,
    /// Why it was made.
    pub reason: CheckpointReason,
    /// From the call to the moment it was durable.
    pub duration: Duration,
}

/// What a checkpoint wrote of one tree.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TreeCheckpoint {
    /// The tree.
    pub tree: TreeName,
    /// The size that the checkpoint holds.
    pub size: TreeSize,
    /// Leaves written: those since the last one.
    pub leaves: u64,
    /// Bytes of the part that was written.
    pub bytes: u64,
}
