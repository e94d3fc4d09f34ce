//! A rate limit in bytes per second.

use std::time::{Duration, Instant};

/// Limits the rate to a number of bytes per second.
#[derive(Debug)]
pub(super) struct Pace {
    bytes_per_second: u64,
    started: Instant,
}

impl Pace {
    pub(super) fn new(bytes_per_second: u64) -> Self {
        Self { bytes_per_second: bytes_per_second.max(1), started: Instant::now() }
    }

    /// Waits until the limit allows `done` bytes since the start.
    pub(super) fn wait(&mut self, done: u64) {
        let nanos = u128::from(done) * 1_000_000_000 / u128::from(self.bytes_per_second);
        let due = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        let early = due.saturating_sub(self.started.elapsed());
        if !early.is_zero() {
            std::thread::sleep(early);
        }
    }
}
