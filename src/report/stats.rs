//! The activity and the state of a running store.

use std::time::Duration;

use super::{CheckpointReason, Distribution, JobStats, Reasons};

/// The activity of a store since it was opened, and its current state. All counts start at 0 at open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Visible leaves, over all trees: those that were there when the store was opened, and all that came since.
    pub leaves: u64,
    /// Durable leaves.
    pub durable: u64,
    /// Leaves that are visible but not durable.
    pub pending: u64,
    /// Leaves written to the log.
    pub leaves_written: u64,
    /// Bytes written to the log, headers and padding included.
    pub wal_bytes_written: u64,
    /// Groups written to the log.
    pub groups: u64,
    /// Leaves per group. `count` is [`groups`](Self::groups), `sum` is
    /// [`leaves_written`](Self::leaves_written).
    pub group_leaves: Distribution,
    /// Syncs of the log by the flusher.
    pub syncs: u64,
    /// Time spent in these syncs.
    pub sync_time: Duration,
    /// The longest of these syncs.
    pub longest_sync: Duration,
    /// Durations of these syncs in nanoseconds. `count` is [`syncs`](Self::syncs).
    pub sync_nanos: Distribution,
    /// Inserts that had to wait for room.
    pub stalls: u64,
    /// Time that inserts spent waiting for room.
    pub stall_time: Duration,
    /// Inserts that waited at a limit and failed in the end.
    pub refused: u64,
    /// How often inserts were slowed down near a limit.
    pub slowdowns: u64,
    /// Time that inserts spent slowed down.
    pub slowdown_time: Duration,
    /// Bytes of leaves that are not written to the log yet.
    pub unflushed_bytes: u64,
    /// Bytes of nodes that are in no checkpoint yet.
    pub uncheckpointed_bytes: u64,
    /// Log segments in use.
    pub wal_segments: u64,
    /// Address space of the nodes in memory, in bytes. Pages that were never written take no memory.
    pub memory_bytes: u64,
    /// Bytes of nodes and entries that no tree of the store needs in memory any more and that are still
    /// held. An [`Entry`](crate::Entry) holds the memory in which it lies, up to 4 MiB of entries that came
    /// after each other, or the bundle or the block that was read for it; so does a running iterator over
    /// [`Entries`](crate::Entries). Everything that leads to a dropped tree holds that tree: a snapshot, an
    /// iterator, a handle. Apart from that a [`Snapshot`](crate::Snapshot) holds no nodes. Reads and
    /// checkpoints under way hold what they read. Mapped parts are not counted: the system can take their
    /// pages.
    pub pinned_bytes: u64,
    /// Completed checkpoints that had something to write.
    pub checkpoints: u64,
    /// Checkpoints that failed.
    pub failed_checkpoints: u64,
    /// Bytes of parts written by checkpoints.
    pub part_bytes_written: u64,
    /// Time spent in completed checkpoints.
    pub checkpoint_time: Duration,
    /// Parts that a read may have to search.
    pub parts: u64,
    /// Merges of parts completed.
    pub compactions: u64,
    /// Merges that failed.
    pub failed_compactions: u64,
    /// Bytes of parts written by merges.
    pub compaction_bytes_written: u64,
    /// Background jobs in the queue. At most one job of each kind is queued, so there are never more
    /// than five.
    pub queued_jobs: u64,
    /// Background jobs that are running.
    pub active_jobs: u64,
    /// Checkpoints, step by step.
    pub checkpoint_jobs: JobStats,
    /// Merges, step by step.
    pub compaction_jobs: JobStats,
    /// Preparing log segments.
    pub segment_jobs: JobStats,
    /// Hashing in the background.
    pub hash_jobs: JobStats,
    pub(crate) reasons: Reasons,
}

impl Stats {
    /// Completed checkpoints with this reason. Over all reasons the numbers add up to
    /// [`checkpoints`](Self::checkpoints).
    #[must_use]
    pub fn checkpoints_for(&self, reason: CheckpointReason) -> u64 {
        self.reasons.get(reason)
    }

    /// Bytes written to disk per leaf written to the log: log, checkpoints and merges together. `None`
    /// before the first leaf.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
    pub fn bytes_written_per_leaf(&self) -> Option<f64> {
        let bytes =
            [self.wal_bytes_written, self.part_bytes_written, self.compaction_bytes_written];
        let bytes = bytes.iter().fold(0_u64, |sum, bytes| sum.saturating_add(*bytes));
        (self.leaves_written > 0).then(|| bytes as f64 / self.leaves_written as f64)
    }
}
