//! Counters of a running store.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::engine::Engine;

/// What a store has done since it was opened, and how it stands. All counts start at 0 at open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Leaves that are visible, over all trees.
    pub leaves: u64,
    /// Leaves that are durable.
    pub durable: u64,
    /// Leaves written to the log.
    pub leaves_written: u64,
    /// Bytes written to the log, headers and padding included.
    pub wal_bytes_written: u64,
    /// Groups written to the log.
    pub groups: u64,
    /// Syncs of the log by the flusher.
    pub syncs: u64,
    /// Time spent in those syncs.
    pub sync_time: Duration,
    /// The longest of them.
    pub longest_sync: Duration,
    /// Inserts that had to wait for room.
    pub stalls: u64,
    /// Time that inserts spent waiting for room.
    pub stall_time: Duration,
    /// Bytes of leaves that wait for the log.
    pub unflushed_bytes: u64,
    /// Log segments in use.
    pub wal_segments: u64,
    /// Address space that nodes in memory take, in bytes. Pages that were never written take no
    /// memory.
    pub memory_bytes: u64,
    /// Checkpoints completed.
    pub checkpoints: u64,
    /// Checkpoints that failed.
    pub failed_checkpoints: u64,
    /// Bytes of parts written.
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
    /// Time spent in completed merges.
    pub compaction_time: Duration,
}

/// Counters that any thread may raise. They guard nothing, so relaxed order is enough.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    leaves_written: AtomicU64,
    log_bytes: AtomicU64,
    groups: AtomicU64,
    syncs: AtomicU64,
    sync_nanos: AtomicU64,
    longest_sync_nanos: AtomicU64,
    stalls: AtomicU64,
    stall_nanos: AtomicU64,
    checkpoints: AtomicU64,
    failed_checkpoints: AtomicU64,
    part_bytes: AtomicU64,
    checkpoint_nanos: AtomicU64,
    parts: AtomicU64,
    compactions: AtomicU64,
    failed_compactions: AtomicU64,
    compaction_bytes: AtomicU64,
    compaction_nanos: AtomicU64,
}

impl Counters {
    pub(crate) fn written(&self, leaves: u64, log_bytes: u64) {
        self.leaves_written.fetch_add(leaves, Ordering::Relaxed);
        self.log_bytes.store(log_bytes, Ordering::Relaxed);
        self.groups.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn synced(&self, took: Duration) {
        self.syncs.fetch_add(1, Ordering::Relaxed);
        self.sync_nanos.fetch_add(nanos(took), Ordering::Relaxed);
        self.longest_sync_nanos.fetch_max(nanos(took), Ordering::Relaxed);
    }

    pub(super) fn stalled(&self, took: Duration) {
        self.stalls.fetch_add(1, Ordering::Relaxed);
        self.stall_nanos.fetch_add(nanos(took), Ordering::Relaxed);
    }

    pub(super) fn checkpointed(&self, bytes: u64, took: Duration) {
        self.checkpoints.fetch_add(1, Ordering::Relaxed);
        self.part_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.checkpoint_nanos.fetch_add(nanos(took), Ordering::Relaxed);
    }

    pub(super) fn compacted(&self, bytes: u64, took: Duration) {
        self.compactions.fetch_add(1, Ordering::Relaxed);
        self.compaction_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.compaction_nanos.fetch_add(nanos(took), Ordering::Relaxed);
    }

    pub(super) fn compaction_failed(&self) {
        self.failed_compactions.fetch_add(1, Ordering::Relaxed);
    }

    /// So many parts are live now.
    pub(super) fn parts(&self, parts: u64) {
        self.parts.store(parts, Ordering::Relaxed);
    }

    pub(super) fn checkpoint_failed(&self) {
        self.failed_checkpoints.fetch_add(1, Ordering::Relaxed);
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

impl Engine {
    pub(crate) fn stats(&self) -> Stats {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let time = |counter: &AtomicU64| Duration::from_nanos(get(counter));
        let counters = &self.counters;
        let (leaves, unflushed_bytes) = {
            let ingest = self.ingest.lock();
            (ingest.seq().0, ingest.unwritten_bytes())
        };
        Stats {
            leaves,
            durable: self.watermark.durable().0,
            leaves_written: get(&counters.leaves_written),
            wal_bytes_written: get(&counters.log_bytes),
            groups: get(&counters.groups),
            syncs: get(&counters.syncs),
            sync_time: time(&counters.sync_nanos),
            longest_sync: time(&counters.longest_sync_nanos),
            stalls: get(&counters.stalls),
            stall_time: time(&counters.stall_nanos),
            unflushed_bytes,
            wal_segments: self.segments.in_use(),
            memory_bytes: self.trees.iter().map(|tree| tree.columns.memory_bytes()).sum(),
            checkpoints: get(&counters.checkpoints),
            failed_checkpoints: get(&counters.failed_checkpoints),
            part_bytes_written: get(&counters.part_bytes),
            checkpoint_time: time(&counters.checkpoint_nanos),
            parts: get(&counters.parts),
            compactions: get(&counters.compactions),
            failed_compactions: get(&counters.failed_compactions),
            compaction_bytes_written: get(&counters.compaction_bytes),
            compaction_time: time(&counters.compaction_nanos),
        }
    }
}
