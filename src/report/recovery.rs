//! What opening a store found.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::words::{count, leaves};

/// What opening a store found and did, and how long each step took.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecoveryReport {
    /// Whether the store was created.
    pub created: bool,
    /// Whether it had been closed in order.
    pub clean: bool,
    /// Leaves that the last checkpoint holds.
    pub checkpointed: u64,
    /// Leaves replayed from the log.
    pub replayed_leaves: u64,
    /// Groups replayed from the log.
    pub replayed_groups: u64,
    /// Bytes of log replayed.
    pub replayed_bytes: u64,
    /// Leaves at the end of the log that were dropped: under
    /// [`FlushPolicy::Manual`](crate::FlushPolicy) the store had handed them to the operating system,
    /// and no caller had flushed them.
    pub dropped_leaves: u64,
    /// What was cut off at the end of the log: a write that a crash tore. Never anything that was
    /// acknowledged.
    pub torn: Option<String>,
    /// Files removed because nothing refers to them: left half-written by a crash.
    pub removed: Vec<PathBuf>,
    /// Reading the manifest and opening the parts.
    pub open_time: Duration,
    /// Replaying the log.
    pub replay_time: Duration,
    /// Making what was found durable, and removing what nothing refers to.
    pub settle_time: Duration,
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
