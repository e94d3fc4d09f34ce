//! What checkpoints and merges did for one tree.
//!
//! # Invariants
//!
//! - An insert touches nothing here.
//! - A tree that was never checkpointed or merged has no memory for the counters.
//! - The counters of a checkpoint rise after its manifest is durable, before its end is reported.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::report::TreeCheckpoint;

/// What was done for a tree. The numbers guard nothing, so relaxed order is enough.
#[derive(Debug, Default)]
pub(crate) struct Activity {
    checkpointed: AtomicU64,
    /// Made by the first checkpoint or merge.
    counters: OnceLock<Box<Counters>>,
}

#[derive(Debug, Default)]
struct Counters {
    checkpoints: AtomicU64,
    part_bytes: AtomicU64,
    compactions: AtomicU64,
    failed_compactions: AtomicU64,
    compaction_bytes: AtomicU64,
}

/// What was done for a tree since the store was opened.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Done {
    pub(super) checkpoints: u64,
    pub(super) part_bytes: u64,
    pub(super) compactions: u64,
    pub(super) failed_compactions: u64,
    pub(super) compaction_bytes: u64,
}

impl Activity {
    /// Of a tree that has `size` leaves in the manifest in force.
    pub(super) fn stored(&self, size: u64) {
        self.checkpointed.store(size, Ordering::Relaxed);
    }

    /// Notes what a checkpoint has `written`.
    pub(super) fn checkpoint(&self, written: &TreeCheckpoint) {
        self.stored(written.size.get());
        let counters = self.counters();
        counters.checkpoints.fetch_add(1, Ordering::Relaxed);
        counters.part_bytes.fetch_add(written.bytes, Ordering::Relaxed);
    }

    /// Notes a merge into a part of so many bytes.
    pub(super) fn merged(&self, bytes: u64) {
        let counters = self.counters();
        counters.compactions.fetch_add(1, Ordering::Relaxed);
        counters.compaction_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn merge_failed(&self) {
        self.counters().failed_compactions.fetch_add(1, Ordering::Relaxed);
    }

    /// How many leaves the manifest in force has.
    pub(super) fn checkpointed(&self) -> u64 {
        self.checkpointed.load(Ordering::Relaxed)
    }

    pub(super) fn done(&self) -> Done {
        let Some(counters) = self.counters.get() else { return Done::default() };
        let now = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Done {
            checkpoints: now(&counters.checkpoints),
            part_bytes: now(&counters.part_bytes),
            compactions: now(&counters.compactions),
            failed_compactions: now(&counters.failed_compactions),
            compaction_bytes: now(&counters.compaction_bytes),
        }
    }

    fn counters(&self) -> &Counters {
        self.counters.get_or_init(Box::default)
    }
}
