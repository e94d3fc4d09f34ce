//! The bytes of entries, wherever they lie: in memory, in the log, in parts.
//!
//! # Invariants
//!
//! - Entries have the same bytes in memory, in the log and in a part that is not compressed: each is a
//!   length and then its data. So a group of the log and a checkpoint copy them and encode nothing.
//! - The bytes of an entry say nothing by themselves. The leaf is the truth: an entry is right if it
//!   hashes to its leaf.

mod config;
pub(crate) mod erasure;
mod erasures;
mod framing;
mod marks;
mod ranges;
mod source;

pub use config::{Compression, EntryConfig};
pub(crate) use erasure::Cause;
pub use erasures::Erasure;
pub(crate) use erasures::Erasures;
pub(crate) use framing::{Entries, Framing};
pub(crate) use marks::{MARKS, Marks, STRIDE};
pub use ranges::EntryRanges;
pub(crate) use source::{EntrySource, StoredBundle};

/// Entries in a full bundle. Bundle `i` of a tree has the entries from `256 i` on.
pub(crate) const BUNDLE: u64 = 256;

/// The end of the bundle that has entry `index`.
pub(crate) fn bundle_end(index: u64) -> u64 {
    (index | (BUNDLE - 1)).saturating_add(1)
}
