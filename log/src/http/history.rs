//! What was added in each of the last seconds, and how long that took.
//!
//! # Invariants
//!
//! - A second is shown once it is over, so what was shown does not change.
//! - At most [`SECONDS`] are kept, and none for a second in which nothing was added. An idle log does nothing.

use std::collections::VecDeque;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// How many seconds are kept.
pub(super) const SECONDS: u64 = 600;
/// Places of latencies: eight for each doubling, from 64 microseconds on.
const PLACES: usize = 160;
const FINEST: u64 = 64;

/// The time since the process began to serve.
pub(super) fn uptime() -> Duration {
    static BEGUN: OnceLock<Instant> = OnceLock::new();
    BEGUN.get_or_init(Instant::now).elapsed()
}

/// What was added in one second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Second {
    /// The second, counted as [`uptime`] counts.
    pub(super) at: u64,
    pub(super) entries: u64,
    pub(super) requests: u64,
    /// The most bytes that were found waiting.
    pub(super) waiting: u64,
    /// How long the slower half, the slowest hundredth and the slowest request took, in microseconds.
    pub(super) p50: u64,
    pub(super) p99: u64,
    pub(super) longest: u64,
}

/// The last seconds.
#[derive(Debug)]
pub(super) struct History(Mutex<Kept>);

#[derive(Debug)]
struct Kept {
    past: VecDeque<Second>,
    now: Second,
    latencies: [u32; PLACES],
}

impl Default for History {
    fn default() -> Self {
        let (past, now) = (VecDeque::new(), Second::default());
        Self(Mutex::new(Kept { past, now, latencies: [0; PLACES] }))
    }
}

impl History {
    /// Records a request that was answered after `took`. `waiting` is asked a few times in a second.
    pub(super) fn record(&self, entries: u64, took: Duration, waiting: impl FnOnce() -> u64) {
        self.record_at(uptime().as_secs(), entries, took, waiting);
    }

    fn record_at(&self, at: u64, entries: u64, took: Duration, waiting: impl FnOnce() -> u64) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.go_to(at);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        kept.latencies[place(micros)] += 1;
        let now = &mut kept.now;
        if now.requests.is_multiple_of(64) {
            now.waiting = now.waiting.max(waiting());
        }
        (now.entries, now.requests) = (now.entries + entries, now.requests + 1);
        now.longest = now.longest.max(micros);
    }

    /// The seconds behind `after` that are over.
    pub(super) fn after(&self, after: Option<u64>) -> Vec<Second> {
        self.after_at(uptime().as_secs(), after)
    }

    fn after_at(&self, at: u64, after: Option<u64>) -> Vec<Second> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.go_to(at);
        let oldest = at.saturating_sub(SECONDS);
        let new = |second: &&Second| second.at >= oldest && after.is_none_or(|at| second.at > at);
        kept.past.iter().filter(new).copied().collect()
    }
}

impl Kept {
    /// Begins the second `at`, unless it has begun. A thread may come late, with the second before.
    fn go_to(&mut self, at: u64) {
        if at <= self.now.at {
            return;
        }
        if self.now.requests > 0 {
            let (p50, p99) = (self.quantile(1, 2), self.quantile(99, 100));
            self.past.push_back(Second { p50, p99, ..self.now });
        }
        while self.past.front().is_some_and(|second| second.at + SECONDS < at) {
            self.past.pop_front();
        }
        self.now = Second { at, ..Second::default() };
        self.latencies = [0; PLACES];
    }

    /// An upper bound of the latency that `part` of `whole` requests did not exceed.
    fn quantile(&self, part: u64, whole: u64) -> u64 {
        let wanted = (self.now.requests * part).div_ceil(whole);
        let mut seen = 0;
        let at = self.latencies.iter().position(|count| {
            seen += u64::from(*count);
            seen >= wanted
        });
        at.map_or(self.now.longest, bound).min(self.now.longest)
    }
}

/// The place of a latency.
fn place(micros: u64) -> usize {
    let eighths = (micros.max(1) - 1) * 8 / FINEST;
    let (doublings, eighth) = match eighths {
        0..8 => (0, eighths),
        // From 64 microseconds on, eight places for what is between a power of two and the next one.
        _ => (eighths.ilog2() - 2, (eighths >> (eighths.ilog2() - 3)) & 7),
    };
    let place = u64::from(doublings) * 8 + eighth;
    usize::try_from(place).unwrap_or(usize::MAX).min(PLACES - 1)
}

/// The longest latency of a place.
fn bound(place: usize) -> u64 {
    let (doublings, eighth) = (place as u64 / 8, place as u64 % 8);
    match doublings {
        0 => (eighth + 1) * FINEST / 8,
        _ => ((8 + eighth + 1) << (doublings - 1)) * FINEST / 8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLI: Duration = Duration::from_millis(1);

    #[test]
    fn a_place_has_the_latencies_up_to_its_bound_and_no_wider_ones() {
        for micros in (1..5000).chain([60_000, 1_000_000, 30_000_000]) {
            let place = place(micros);
            assert!(bound(place) >= micros, "{micros}");
            assert!(place == 0 || bound(place - 1) < micros, "{micros}");
            assert!(micros < 64 || bound(place) <= micros + micros / 7, "{micros}");
        }
        assert_eq!(place(u64::MAX / 16), PLACES - 1);
    }

    #[test]
    fn a_second_is_shown_once_it_is_over_and_then_stays() {
        let history = History::default();
        for _ in 0..99 {
            history.record_at(7, 2, MILLI, || 5);
        }
        history.record_at(7, 2, 40 * MILLI, || 9);
        assert_eq!(history.after_at(7, None), []);
        let shown = history.after_at(8, None);
        assert_eq!(shown.len(), 1);
        let second = shown[0];
        assert_eq!((second.at, second.entries, second.requests, second.waiting), (7, 200, 100, 5));
        assert!((1000..1143).contains(&second.p50), "{second:?}");
        assert!((1000..1143).contains(&second.p99), "{second:?}");
        assert_eq!(second.longest, 40_000);
        // A thread that comes late changes nothing of it.
        history.record_at(7, 1, MILLI, || 0);
        history.record_at(9, 1, MILLI, || 0);
        assert_eq!(history.after_at(10, None)[0], second);
        assert_eq!(history.after_at(10, Some(7)).len(), 2);
    }

    #[test]
    fn what_is_older_than_is_kept_goes() {
        let history = History::default();
        for at in [1, 2, 500] {
            history.record_at(at, 1, MILLI, || 0);
        }
        let seconds = |at| history.after_at(at, None).iter().map(|second| second.at).collect();
        let (all, last): (Vec<_>, Vec<_>) = (seconds(600), seconds(602));
        assert_eq!((all, last), (vec![1, 2, 500], vec![2, 500]));
        assert_eq!(history.after_at(5000, None), []);
    }
}
