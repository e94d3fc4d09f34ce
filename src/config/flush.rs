//! When inserts are made durable.

use std::time::Duration;

use crate::error::{Error, Result};

/// When inserts become durable without an explicit call.
///
/// ```
/// use std::time::Duration;
/// use duramen::FlushPolicy;
///
/// let policy = FlushPolicy::interval(Duration::from_millis(5))?;
/// assert!(FlushPolicy::interval(Duration::ZERO).is_err());
/// # let _ = policy;
/// # Ok::<(), duramen::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FlushPolicy {
    /// Every insert becomes durable `within` this time plus one fsync, even while a checkpoint runs. After
    /// a restart the store may stand at the end of any inserting call. The store does not flush while
    /// there are no new leaves. Made by [`interval`](Self::interval).
    #[non_exhaustive]
    Interval {
        /// The longest time between an insert and the fsync that makes it durable. Not zero.
        within: Duration,
    },
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

impl FlushPolicy {
    /// Every insert becomes durable `within` this time plus one fsync. See [`Interval`](Self::Interval).
    ///
    /// # Errors
    ///
    /// [`Config`](crate::Error::Config) if `within` is zero. To make every insert durable before the next
    /// step, call [`insert_durable`](crate::DynAccumulator::insert_durable).
    pub fn interval(within: Duration) -> Result<Self> {
        if within.is_zero() {
            let reason = "zero; use insert_durable where every insert must be durable at once";
            return Err(Error::config("interval", reason));
        }
        Ok(Self::Interval { within })
    }
}

impl Default for FlushPolicy {
    /// An interval of 10 ms.
    fn default() -> Self {
        Self::Interval { within: Duration::from_millis(10) }
    }
}
