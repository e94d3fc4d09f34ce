//! The limits that inserts wait at.

use std::fmt;

use crate::words::{Count, count};

/// A limit that inserts wait at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Limit {
    /// Bytes of leaves that the log does not have yet. See
    /// [`max_unflushed_bytes`](crate::Config::max_unflushed_bytes).
    UnflushedBytes,
    /// Bytes of nodes that no checkpoint holds yet. See
    /// [`max_uncheckpointed_bytes`](crate::Config::max_uncheckpointed_bytes).
    UncheckpointedBytes,
    /// Bytes of nodes since the last point that a caller named, under
    /// [`FlushPolicy::Manual`](crate::FlushPolicy), where they alone reach
    /// [`max_uncheckpointed_bytes`](crate::Config::max_uncheckpointed_bytes). A flush makes room;
    /// waiting does not, so an insert fails at once.
    UnnamedBytes,
    /// Parts that readers may have to search. See [`max_parts`](crate::Config::max_parts).
    Parts,
    /// A batch of 1 MiB or more that another thread inserts: until it is in memory, other inserts wait, and
    /// those that must not are refused.
    LargeBatch,
}

impl Limit {
    /// So much of what the limit bounds.
    pub(super) fn held(self, held: u64) -> Count<'static, u64> {
        match self {
            Self::UnflushedBytes => count(held, "unflushed byte", "unflushed bytes"),
            Self::UncheckpointedBytes => {
                count(held, "byte beyond the last checkpoint", "bytes beyond the last checkpoint")
            }
            Self::UnnamedBytes => count(
                held,
                "byte since the last flush, which only a flush takes away",
                "bytes since the last flush, which only a flush makes fewer",
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
            Self::UnnamedBytes => "bytes since the last flush, which only a flush makes fewer,",
            Self::Parts => "parts",
            Self::LargeBatch => "batches of 1 MiB or more under way",
        })
    }
}
