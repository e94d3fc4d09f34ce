//! The report of opening a store.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::merkle::{TreeName, TreeSize};
use crate::words::{count, leaves};

/// What opening a store found and did, and how long each step took.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecoveryReport {
    /// Whether the open created the store.
    pub created: bool,
    /// Whether the store had been closed cleanly.
    pub clean: bool,
    /// Leaves in the last checkpoint.
    pub checkpointed: u64,
    /// Leaves replayed from the log.
    pub replayed_leaves: u64,
    /// The trees with leaves replayed from the log, by rising id. A tree that the log drops is not among them.
    pub trees: Vec<TreeRecovery>,
    /// Groups replayed from the log.
    pub replayed_groups: u64,
    /// Bytes of log replayed.
    pub replayed_bytes: u64,
    /// Leaves at the end of the log that were dropped. Under [`FlushPolicy::Manual`](crate::FlushPolicy)
    /// the store had handed them to the operating system, but no caller had flushed them.
    pub dropped_leaves: u64,
    /// The torn write at the end of the log that was truncated, if there was one. It never includes
    /// anything acknowledged.
    pub torn: Option<String>,
    /// Files removed because nothing refers to them. A crash left them incomplete.
    pub removed: Vec<PathBuf>,
    /// Time for reading the manifest and opening the parts.
    pub open_time: Duration,
    /// Time for replaying the log.
    pub replay_time: Duration,
    /// Time for making the result durable and removing unreferenced files.
    pub settle_time: Duration,
}

/// A tree with leaves that were replayed from the log.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TreeRecovery {
    /// The tree.
    pub tree: TreeName,
    /// The size of the tree in the last checkpoint: 0 if the log created it.
    pub checkpointed: TreeSize,
    /// The size of the tree after the replay.
    pub size: TreeSize,
}

impl fmt::Display for RecoveryReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.created {
            return write!(f, "created");
        }
        let stop = if self.clean { "clean stop" } else { "unclean stop" };
        write!(
            f,
            "{stop}: {} from the checkpoint in {:?}, {} from {} of log in {:?}",
            leaves(self.checkpointed),
            self.open_time,
            self.replayed_leaves,
            count(self.replayed_groups, "group", "groups"),
            self.replay_time
        )?;
        if self.dropped_leaves > 0 {
            write!(f, "; dropped {} that no caller had flushed", leaves(self.dropped_leaves))?;
        }
        if let Some(torn) = &self.torn {
            write!(f, "; cut off a torn end ({torn})")?;
        }
        if !self.removed.is_empty() {
            write!(
                f,
                "; removed {}",
                count(self.removed.len(), "leftover file", "leftover files")
            )?;
        }
        Ok(())
    }
}
