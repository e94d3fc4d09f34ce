//! What is counted of a log.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A count that only grows.
#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Upper bounds of latencies, in microseconds.
pub(super) const BOUNDS: [u64; 14] = [
    500, 1_000, 2_000, 3_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000,
    5_000_000, 30_000_000,
];

/// How long requests took, counted by upper bounds.
#[derive(Debug, Default)]
pub(super) struct Latency {
    /// One more than there are bounds: the last is for what is above all of them.
    pub(super) buckets: [Counter; BOUNDS.len() + 1],
    pub(super) micros: Counter,
}

impl Latency {
    pub(super) fn record(&self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.buckets[BOUNDS.partition_point(|bound| *bound < micros)].add(1);
        self.micros.add(micros);
    }
}

/// What is counted of one log.
#[derive(Debug, Default)]
pub(super) struct Counted {
    pub(super) tiles: Counter,
    pub(super) bundles: Counter,
    pub(super) proofs: Counter,
    pub(super) entries: Counter,
    pub(super) requests: Counter,
    pub(super) bytes: Counter,
    pub(super) refused: Counter,
    pub(super) latency: Latency,
}

impl Counted {
    /// Counts a request that added entries, and how long it took to become durable.
    pub(super) fn added(&self, entries: u64, bytes: u64, time: Duration) {
        self.requests.add(1);
        self.entries.add(entries);
        self.bytes.add(bytes);
        self.latency.record(time);
    }
}
