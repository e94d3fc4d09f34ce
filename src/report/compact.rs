//! What a compaction does, and its report.

use std::time::Duration;

/// How a store is compacted.
///
/// ```
/// use duramen::Compact;
///
/// let everything = Compact::new().full(true);
/// assert!(everything.is_full());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compact {
    full: bool,
}

impl Compact {
    /// Writes only those parts again that have erased entries.
    #[must_use]
    pub const fn new() -> Self {
        Self { full: false }
    }

    /// Whether all parts of each tree are merged into one, erased entries or not. Default: no.
    #[must_use]
    pub const fn full(self, yes: bool) -> Self {
        Self { full: yes }
    }

    /// Whether all parts of each tree are merged into one.
    #[must_use]
    pub const fn is_full(self) -> bool {
        self.full
    }
}

/// A compaction that is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CompactInfo {
    /// Parts that were written again, or merged into others.
    pub parts: u64,
    /// Bytes of these parts.
    pub bytes_read: u64,
    /// Bytes of zeros written over old files.
    pub bytes_wiped: u64,
    /// Old files that may still have data of erased entries, because a snapshot, an entry that the program holds, a
    /// reader in another process, or a backup reads them. Later checkpoints and compactions, and the close and the
    /// next open of the store, wipe those that are free by then. If this is 0, no file of the store's directory has such data.
    pub pinned_files: u64,
    /// Bytes of these files.
    pub pinned_bytes: u64,
    /// The time that the compaction took.
    pub duration: Duration,
}
