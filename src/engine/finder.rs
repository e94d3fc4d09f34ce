//! What a tree keeps to find its leaves.

use std::sync::atomic::AtomicU64;

use crate::index::RecentTable;
use crate::part::Scans;
use crate::sync::Mutex;
use crate::sync::atomic::AtomicBool;

/// Whether a tree has an index, and the table of its last leaves.
pub(super) struct Finder {
    pub(super) indexed: AtomicBool,
    /// `None` before the first question.
    pub(super) table: Mutex<Option<Box<RecentTable>>>,
    /// The searches of parts without a useful index, and how many of them have requested indexes.
    pub(super) scans: Scans,
    pub(super) reported: AtomicU64,
}

impl Default for Finder {
    fn default() -> Self {
        Self {
            indexed: AtomicBool::new(false),
            table: Mutex::default(),
            scans: Scans::new(),
            reported: AtomicU64::new(0),
        }
    }
}
