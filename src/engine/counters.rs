//! Counters that threads raise.
//!
//! # Invariants
//!
//! - An insert that does not have to wait touches nothing here.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::report::Recorder;

/// Counters that any thread may raise. They guard nothing, so relaxed order is enough.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(super) log_bytes: AtomicU64,
    pub(super) group_leaves: Recorder,
    pub(super) sync_nanos: Recorder,
    pub(super) stalls: AtomicU64,
    pub(super) stall_nanos: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) slowdowns: AtomicU64,
    pub(super) slowdown_nanos: AtomicU64,
    pub(super) checkpoint_nanos: AtomicU64,
    pub(super) parts: AtomicU64,
}

impl Counters {
    pub(crate) fn written(&self, leaves: u64, log_bytes: u64) {
        self.group_leaves.record(leaves);
        self.log_bytes.store(log_bytes, Ordering::Relaxed);
    }

    pub(crate) fn synced(&self, took: Duration) {
        self.sync_nanos.record(nanos(took));
    }

    pub(crate) fn slowed_down(&self, took: Duration) {
        self.slowdowns.fetch_add(1, Ordering::Relaxed);
        self.slowdown_nanos.fetch_add(nanos(took), Ordering::Relaxed);
    }

    pub(crate) fn stalled(&self, took: Duration, refused: bool) {
        self.refused.fetch_add(u64::from(refused), Ordering::Relaxed);
        self.stalls.fetch_add(1, Ordering::Relaxed);
        self.stall_nanos.fetch_add(nanos(took), Ordering::Relaxed);
    }

    pub(crate) fn checkpointed(&self, took: Duration) {
        self.checkpoint_nanos.fetch_add(nanos(took), Ordering::Relaxed);
    }

    /// Sets the number of live parts.
    pub(crate) fn parts(&self, parts: u64) {
        self.parts.store(parts, Ordering::Relaxed);
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
