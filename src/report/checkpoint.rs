//! What a checkpoint reports.

use std::fmt;
use std::time::Duration;

use crate::merkle::TreeSize;

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
}

impl CheckpointReason {
    /// All reasons.
    pub const ALL: [Self; 8] = [
        Self::Manual,
        Self::Leaves,
        Self::WalBytes,
        Self::WalSegments,
        Self::Memory,
        Self::Interval,
        Self::Close,
        Self::Backpressure,
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
        })
    }
}

/// A checkpoint that is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CheckpointInfo {
    /// The size that the checkpoint holds.
    pub size: TreeSize,
    /// Leaves written by this checkpoint: those since the last one.
    pub leaves: u64,
    /// Bytes of the part that was written; 0 if there was nothing new.
    pub bytes: u64,
    /// Why it was made.
    pub reason: CheckpointReason,
    /// From the call to the moment it was durable.
    pub duration: Duration,
}
