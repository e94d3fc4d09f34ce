//! The calls of a run under load, and the stretches in which they were made.

use std::time::Duration;

use crate::measure::Who;

/// The stretches of a run, in order.
pub const STRETCHES: [&str; 3] = ["quiet", "checkpoint", "compaction"];

/// When a call began and how long it took, from the beginning of the load.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// When it began.
    pub at: Duration,
    /// How long it took.
    pub took: Duration,
}

/// All calls of a run.
#[derive(Debug)]
pub struct Trace {
    /// Whose.
    pub who: Who,
    /// Calls that returned when the leaf was durable.
    pub durable: Vec<Call>,
    /// Calls that returned at once.
    pub insert: Vec<Call>,
    /// When each stretch began and ended.
    pub stretches: [(Duration, Duration); 3],
}

/// The nanoseconds of the calls that were under way in a stretch, in ascending order.
pub fn latencies(calls: &[Call], stretch: (Duration, Duration)) -> Vec<u64> {
    let mut took: Vec<u64> = calls
        .iter()
        .filter(|call| call.at < stretch.1 && call.at + call.took > stretch.0)
        .map(|call| call.took.as_nanos() as u64)
        .collect();
    took.sort_unstable();
    took
}
