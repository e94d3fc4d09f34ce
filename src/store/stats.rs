//! Counters of a running store.
//!
//! # Invariants
//!
//! - Counters that belong together are raised together or read in such an order that they agree once
//!   nothing happens: leaves are durable or pending, the groups' leaves are those written, the
//!   reasons of checkpoints add up to the checkpoints.
//! - Nothing here is touched by an insert that does not have to wait.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::distribution::{Distribution, Recorder};
use super::engine::Engine;
use super::job_stats::{JobStats, Reasons};
use crate::checkpoint::CheckpointReason;

/// What a store has done since it was opened, and how it stands. All counts start at 0 at open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Leaves that are visible, over all trees.
    pub leaves: u64,
    /// Leaves that are durable.
    pub durable: u64,
    /// Leaves that are visible and not durable.
    pub pending: u64,
    /// Leaves written to the log.
    pub leaves_written: u64,
    /// Bytes written to the log, headers and padding included.
    pub wal_bytes_written: u64,
    /// Groups written to the log.
    pub groups: u64,
    /// How many leaves the groups had. `count` is [`groups`](Self::groups), `sum` is
    /// [`leaves_written`](Self::leaves_written).
    pub group_leaves: Distribution,
    /// Syncs of the log by the flusher.
    pub syncs: u64,
    /// Time spent in those syncs.
    pub sync_time: Duration,
    /// The longest of them.
    pub longest_sync: Duration,
    /// How long they took, in nanoseconds. `count` is [`syncs`](Self::syncs).
    pub sync_nanos: Distribution,
    /// Inserts that had to wait for room.
    pub stalls: u64,
    /// Time that inserts spent waiting for room.
    pub stall_time: Duration,
    /// Inserts that waited at a limit and were refused in the end.
    pub refused: u64,
    /// Times that inserts were slowed down near a limit.
    pub slowdowns: u64,
    /// Time that inserts spent slowed down.
    pub slowdown_time: Duration,
    /// Bytes of leaves that wait for the log.
    pub unflushed_bytes: u64,
    /// Bytes of nodes that no checkpoint holds.
    pub uncheckpointed_bytes: u64,
    /// Log segments in use.
    pub wal_segments: u64,
    /// Address space that nodes in memory take, in bytes. Pages that were never written take no
    /// memory.
    pub memory_bytes: u64,
    /// Checkpoints completed that had something to write.
    pub checkpoints: u64,
    /// Checkpoints that failed.
    pub failed_checkpoints: u64,
    /// Bytes of parts written by checkpoints.
    pub part_bytes_written: u64,
    /// Time spent in completed checkpoints.
    pub checkpoint_time: Duration,
    /// Parts that readers may have to search.
    pub parts: u64,
    /// Merges of parts completed.
    pub compactions: u64,
    /// Merges that failed.
    pub failed_compactions: u64,
    /// Bytes of parts written by merges.
    pub compaction_bytes_written: u64,
    /// Background jobs that wait. Each kind waits at most once, so there are never more than four.
    pub queued_jobs: u64,
    /// Background jobs that run.
    pub active_jobs: u64,
    /// Checkpoints, step by step.
    pub checkpoint_jobs: JobStats,
    /// Merges, step by step.
    pub compaction_jobs: JobStats,
    /// Making log segments ready.
    pub segment_jobs: JobStats,
    /// Hashing in the background.
    pub hash_jobs: JobStats,
    reasons: Reasons,
}

impl Stats {
    /// Completed checkpoints that were made for this reason. Over all reasons they add up to
    /// [`checkpoints`](Self::checkpoints).
    #[must_use]
    pub fn checkpoints_for(&self, reason: CheckpointReason) -> u64 {
        self.reasons.get(reason)
    }

    /// Bytes written to disk for each leaf that was written to the log: log, checkpoints and merges
    /// together. `None` before the first leaf.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
    pub fn bytes_written_per_leaf(&self) -> Option<f64> {
        let bytes =
            [self.wal_bytes_written, self.part_bytes_written, self.compaction_bytes_written];
        let bytes = bytes.iter().fold(0_u64, |sum, bytes| sum.saturating_add(*bytes));
        (self.leaves_written > 0).then(|| bytes as f64 / self.leaves_written as f64)
    }
}

/// Counters that any thread may raise. They guard nothing, so relaxed order is enough.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    log_bytes: AtomicU64,
    group_leaves: Recorder,
    sync_nanos: Recorder,
    stalls: AtomicU64,
    stall_nanos: AtomicU64,
    refused: AtomicU64,
    slowdowns: AtomicU64,
    slowdown_nanos: AtomicU64,
    checkpoint_nanos: AtomicU64,
    parts: AtomicU64,
}

impl Counters {
    pub(crate) fn written(&self, leaves: u64, log_bytes: u64) {
        self.group_leaves.record(leaves);
        self.log_bytes.store(log_bytes, Ordering::Relaxed);
    }

    pub(crate) fn synced(&self, took: Duration) {
        self.sync_nanos.record(nanos(took));
    }

    pub(super) fn slowed_down(&self, took: Duration) {
        self.slowdowns.fetch_add(1, Ordering::Relaxed);
        self.slowdown_nanos.fetch_add(nanos(took), Ordering::Relaxed);
    }

    pub(super) fn stalled(&self, took: Duration, refused: bool) {
        self.refused.fetch_add(u64::from(refused), Ordering::Relaxed);
        self.stalls.fetch_add(1, Ordering::Relaxed);
        self.stall_nanos.fetch_add(nanos(took), Ordering::Relaxed);
    }

    pub(super) fn checkpointed(&self, took: Duration) {
        self.checkpoint_nanos.fetch_add(nanos(took), Ordering::Relaxed);
    }

    /// So many parts are live now.
    pub(super) fn parts(&self, parts: u64) {
        self.parts.store(parts, Ordering::Relaxed);
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

impl Engine {
    pub(crate) fn stats(&self) -> Stats {
        if !self.process.is_current() {
            return Stats::default();
        }
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let time = |counter: &AtomicU64| Duration::from_nanos(get(counter));
        let counters = &self.counters;
        // What is durable before what is visible: so never more is durable than visible.
        let durable = self.watermark.durable().0;
        let (leaves, unflushed_bytes, uncheckpointed_bytes) = {
            let ingest = self.ingest.lock();
            (ingest.seq().0, ingest.unwritten_bytes(), ingest.uncheckpointed_bytes())
        };
        let group_leaves = counters.group_leaves.distribution();
        let sync_nanos = counters.sync_nanos.distribution();
        let work = self.work();
        let (queued_jobs, active_jobs) = self.jobs.counts();
        Stats {
            leaves,
            durable,
            pending: leaves - durable,
            leaves_written: group_leaves.sum,
            wal_bytes_written: get(&counters.log_bytes),
            groups: group_leaves.count,
            group_leaves,
            syncs: sync_nanos.count,
            sync_time: Duration::from_nanos(sync_nanos.sum),
            longest_sync: Duration::from_nanos(sync_nanos.max),
            sync_nanos,
            stalls: get(&counters.stalls),
            stall_time: time(&counters.stall_nanos),
            refused: get(&counters.refused),
            slowdowns: get(&counters.slowdowns),
            slowdown_time: time(&counters.slowdown_nanos),
            unflushed_bytes,
            uncheckpointed_bytes,
            wal_segments: self.segments.in_use(),
            memory_bytes: self.trees.iter().map(|tree| tree.columns.memory_bytes()).sum(),
            checkpoints: work.checkpoint.completed,
            failed_checkpoints: work.checkpoint.failed,
            part_bytes_written: work.checkpoint.bytes,
            checkpoint_time: time(&counters.checkpoint_nanos),
            parts: get(&counters.parts),
            compactions: work.compaction.completed,
            failed_compactions: work.compaction.failed,
            compaction_bytes_written: work.compaction.bytes,
            queued_jobs,
            active_jobs,
            checkpoint_jobs: work.checkpoint,
            compaction_jobs: work.compaction,
            segment_jobs: work.segment,
            hash_jobs: work.hash,
            reasons: work.reasons,
        }
    }
}
