//! The erased entries of a tree, as its readers see them.
//!
//! # Invariants
//!
//! - Both only grow. A reader that sees a count finds a set that has at least as many entries. So a reader that has
//!   read entries, and finds the count as it was, has none that was erased before.
//! - One thread changes them at a time: the one that accepts erasures, or the one that reads the log.

use std::sync::{Arc, LazyLock};

use crate::entry::Erasures;
use crate::sync::ArcSwap;
use crate::sync::atomic::{AtomicU64, Ordering};

/// The set without an entry, which all trees share that have none erased.
static NOTHING: LazyLock<Arc<Erasures>> = LazyLock::new(Arc::default);

/// The set, and how many entries it has: what most readers need to know.
pub(crate) struct Erased {
    set: ArcSwap<Erasures>,
    count: AtomicU64,
}

impl Erased {
    pub(crate) fn new() -> Self {
        Self { set: ArcSwap::new(Arc::clone(&NOTHING)), count: AtomicU64::new(0) }
    }

    pub(crate) fn set(&self) -> Arc<Erasures> {
        self.set.load_full()
    }

    #[inline]
    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Acquire)
    }

    /// Replaces the set by one that has all of it.
    pub(crate) fn replace(&self, set: Arc<Erasures>) {
        let count = set.count();
        self.set.store(set);
        self.count.store(count, Ordering::Release);
    }
}
