//! When inserts are made durable.

use std::time::Duration;

/// When inserts become durable without an explicit call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FlushPolicy {
    /// Every insert becomes durable within this time plus one fsync, even while a checkpoint runs. After
    /// a restart the store may stand at the end of any inserting call. The store does not flush while
    /// there are no new leaves. Must not be zero.
    Interval(Duration),
    /// After every restart the store stands at a *point*: a size that a caller asked to be durable, with
    /// `flush`, `flush_async`, `insert_durable`, `checkpoint`, `snapshot_to`, `close` or by dropping the
    /// store. For programs with boundaries of their own, such as a chain that flushes once per block.
    ///
    /// No automatic work of the store makes another size durable. This holds if the process is killed
    /// and if the power fails:
    ///
    /// - A flush makes everything durable that was inserted before the call, and nothing that other
    ///   threads insert after the call.
    /// - A checkpoint that a [`CheckpointPolicy`](crate::CheckpointPolicy) or memory pressure requests
    ///   ends at the last point. If there is no point since the last checkpoint, the checkpoint waits
    ///   for the next flush.
    /// - At half of [`max_unflushed_bytes`](crate::Config::max_unflushed_bytes) the store hands leaves
    ///   to the operating system without an fsync, marked as provisional. A restart drops them unless a
    ///   later flush has covered them. A [`Reader`](crate::Reader) does not show them.
    /// - If the leaves since the last point alone take
    ///   [`max_uncheckpointed_bytes`](crate::Config::max_uncheckpointed_bytes), an insert fails at once
    ///   with [`Error::Backpressure`](crate::Error::Backpressure) and
    ///   [`Limit::UnnamedBytes`](crate::Limit::UnnamedBytes), because only a flush makes room. So a
    ///   block must be smaller than this limit. There is no limit by default if the checkpoint policy
    ///   has no trigger. Memory then grows with the block.
    ///
    /// If the call that names a point fails, the point may or may not be there after a restart.
    Manual,
}

impl Default for FlushPolicy {
    /// An interval of 10 ms.
    fn default() -> Self {
        Self::Interval(Duration::from_millis(10))
    }
}
