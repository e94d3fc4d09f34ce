//! The time of cosignatures, and a clock that jumps.
//!
//! A cosignature says that a checkpoint is the largest one at its time (C2SP `tlog-cosignature`, Ed25519 signed message). So
//! the times of one signer should not decrease, and a time in the future makes the signature useless until then: verifiers
//! may refuse it (Format). No text says what to do when the clock was wrong. It is decided here, for logs and for witnesses.
//!
//! # Invariants
//!
//! - A time is never 0 and at most 2^63 - 1.
//! - A clock that goes back by at most [`MOST_BACK`] does not take the times back: they stand still until the clock has come
//!   up to them.
//! - A clock that goes back by more was wrong before. It is followed at once: times do not stay in the future.

use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// By how many seconds a clock may go back and its earlier time still be used.
pub(crate) const MOST_BACK: u64 = 3600;

/// A clock: that of the system, or one that a caller gives.
#[derive(Clone)]
pub(crate) struct Clock(Arc<dyn Fn() -> SystemTime + Send + Sync>);

/// The clock says that 1970 has not begun, or has just begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the clock says that 1970 has not begun, so there is no time to cosign with")]
pub(crate) struct NoTime;

impl Clock {
    /// That of the system.
    pub(crate) fn system() -> Self {
        Self::new(SystemTime::now)
    }

    pub(crate) fn new(now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// Seconds since 1970. 0 if 1970 has not begun.
    pub(crate) fn seconds(&self) -> u64 {
        let now = (self.0)().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
        now.min(i64::MAX as u64)
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

/// The time of the signature that is made at `now`, behind one of the time `last`.
pub(crate) fn time_after(now: u64, last: u64) -> Result<u64, NoTime> {
    let time = match last.saturating_sub(now) {
        0 => now,
        back if back <= MOST_BACK => last,
        back => {
            tracing::warn!(seconds = back, "the clock is far behind the last cosignature");
            now
        }
    };
    if time == 0 { Err(NoTime) } else { Ok(time) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test panics when it fails")]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_clock_that_went_back_a_little_stands_still_and_one_that_was_wrong_is_followed() {
        assert_eq!(time_after(1_000_000, 999_999), Ok(1_000_000));
        assert_eq!(time_after(1_000_000, 1_000_001), Ok(1_000_001));
        assert_eq!(time_after(1_000_000, 1_000_000 + MOST_BACK), Ok(1_000_000 + MOST_BACK));
        assert_eq!(time_after(1_000_000, 1_000_001 + MOST_BACK), Ok(1_000_000));
    }

    #[test]
    fn there_is_no_time_before_1970_and_at_its_first_second() {
        assert_eq!(time_after(0, 0), Err(NoTime));
        assert_eq!(time_after(0, 1_000_000), Err(NoTime));
        assert_eq!(time_after(0, 5), Ok(5), "the last one is that of a moment ago");
        let before = UNIX_EPOCH - Duration::from_secs(1);
        assert_eq!(Clock::new(move || before).seconds(), 0);
        assert!(Clock::system().seconds() > 1_700_000_000);
    }
}
