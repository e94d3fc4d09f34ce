//! The limits at which inserts wait.

use std::fmt;

use crate::words::{Count, count};

/// A limit at which inserts wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Limit {
    /// Bytes of leaves that are not written to the log yet. See
    /// [`max_unflushed_bytes`](crate::Config::max_unflushed_bytes).
    UnflushedBytes,
    /// Bytes of nodes that are in no checkpoint yet. See
    /// [`max_uncheckpointed_bytes`](crate::Config::max_uncheckpointed_bytes).
    UncheckpointedBytes,
    /// Bytes of nodes since the last point, under [`FlushPolicy::Manual`](crate::FlushPolicy), when they
    /// alone reach [`max_uncheckpointed_bytes`](crate::Config::max_uncheckpointed_bytes). Only a flush
    /// makes room, and waiting does not. So an insert fails at once.
    UnnamedBytes,
    /// Parts that a read may have to search. See [`max_parts`](crate::CompactionPolicy::max_parts).
    Parts,
    /// A batch of 1 MiB or more that another thread is inserting. Other inserts wait until the batch is
    /// in memory. Inserts that must not wait fail.
    LargeBatch,
}

impl Limit {
    /// The amount `held`, with its unit.
    pub(super) fn held(self, held: u64) -> Count<'static, u64> {
        match self {
            Self::UnflushedBytes => count(held, "unflushed byte", "unflushed bytes"),
            Self::UncheckpointedBytes => {
                count(held, "byte beyond the last checkpoint", "bytes beyond the last checkpoint")
            }
            Self::UnnamedBytes => count(
                held,
                "byte since the last flush (only a flush makes room)",
                "bytes since the last flush (only a flush makes room)",
            ),
            Self::Parts => count(held, "part", "parts"),
            Self::LargeBatch => count(
                held,
                "batch of 1 MiB or more under way",
                "batches of 1 MiB or more under way",
            ),
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnflushedBytes => "unflushed bytes",
            Self::UncheckpointedBytes => "bytes beyond the last checkpoint",
            Self::UnnamedBytes => "bytes since the last flush (only a flush makes room)",
            Self::Parts => "parts",
            Self::LargeBatch => "batches of 1 MiB or more under way",
        })
    }
}
