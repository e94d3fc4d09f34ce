//! When inserts are made durable.

use std::time::Duration;

/// When inserts are made durable without a call that asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FlushPolicy {
    /// Every insert is durable within this time plus one fsync of being made, also while a
    /// checkpoint runs. The end of every call that inserts is a point at which the store may stand
    /// after a restart. A store without new leaves is not flushed at all. Must not be zero.
    Interval(Duration),
    /// The store stands at a *point* after every restart: a size that a caller asked to be durable, with
    /// `flush`, `flush_async`, `insert_durable`, `checkpoint`, `snapshot_to`, `close` or by dropping the store.
    /// For programs with boundaries of their own, such as a chain that flushes once per block.
    ///
    /// No automatic work of the store makes another size durable, or leaves one behind, whether the process
    /// is killed or the power fails:
    ///
    /// - A flush makes everything durable that was inserted before the call, and nothing that other threads
    ///   insert after it.
    /// - A checkpoint that a [`CheckpointPolicy`](crate::CheckpointPolicy) or memory pressure requests
    ///   reaches the last point. If there is no point since the last checkpoint, no checkpoint is made before
    ///   the next flush.
    /// - At half of [`max_unflushed_bytes`](crate::Config::max_unflushed_bytes) the store hands leaves to the
    ///   operating system without an fsync, marked as provisional. A restart drops them unless a later
    ///   flush has claimed them; a [`Reader`](crate::Reader) does not show them.
    /// - Where the leaves since the last point alone take
    ///   [`max_uncheckpointed_bytes`](crate::Config::max_uncheckpointed_bytes), an insert fails at once with
    ///   [`Error::Backpressure`](crate::Error::Backpressure) and
    ///   [`Limit::UnnamedBytes`](crate::Limit::UnnamedBytes): only a flush makes room. So a block is
    ///   smaller than that limit. Without a limit, which is the default where the checkpoint policy has no
    ///   trigger, memory grows with the block.
    ///
    /// If the call that names a point fails, the point may be there after a restart or not.
    Manual,
}

impl Default for FlushPolicy {
    /// An interval of 10 ms.
    fn default() -> Self {
        Self::Interval(Duration::from_millis(10))
    }
}
