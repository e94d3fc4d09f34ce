//! When inserts are made durable.

use std::time::Duration;

/// When inserts are made durable without a call that asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FlushPolicy {
    /// Every insert is durable within this time plus one fsync of being made, also while a
    /// checkpoint runs. A store without new leaves is not flushed at all. Must not be zero.
    Interval(Duration),
    /// Nothing is fsynced until `flush`, `insert_durable`, `checkpoint` or `close` asks for it. For
    /// programs with boundaries of their own, such as a chain that flushes once per block.
    Manual,
}

impl Default for FlushPolicy {
    /// An interval of 10 ms.
    fn default() -> Self {
        Self::Interval(Duration::from_millis(10))
    }
}
