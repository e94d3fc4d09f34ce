//! What checkpoints and merges did for one tree.
//!
//! # Invariants
//!
//! - An insert touches nothing here.
//! - The counters of a checkpoint rise after its manifest is durable, before its end is reported.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::report::TreeCheckpoint;

/// The counters of a tree. They guard nothing, so relaxed order is enough.
#[derive(Debug, Default)]
pub(crate) struct Activity {
    pub(super) checkpointed: AtomicU64,
    pub(super) checkpoints: AtomicU64,
    pub(super) part_bytes: AtomicU64,
    pub(super) compactions: AtomicU64,
    pub(super) failed_compactions: AtomicU64,
    pub(super) compaction_bytes: AtomicU64,
}

impl Activity {
    /// Of a tree that has `size` leaves in the manifest in force.
    pub(super) fn stored(&self, size: u64) {
        self.checkpointed.store(size, Ordering::Relaxed);
    }

    /// Notes what a checkpoint has `written`.
    pub(super) fn checkpoint(&self, written: &TreeCheckpoint) {
        self.checkpointed.store(written.size.get(), Ordering::Relaxed);
        self.checkpoints.fetch_add(1, Ordering::Relaxed);
        self.part_bytes.fetch_add(written.bytes, Ordering::Relaxed);
    }

    /// Notes a merge into a part of so many bytes.
    pub(super) fn merged(&self, bytes: u64) {
        self.compactions.fetch_add(1, Ordering::Relaxed);
        self.compaction_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn merge_failed(&self) {
        self.failed_compactions.fetch_add(1, Ordering::Relaxed);
    }
}
