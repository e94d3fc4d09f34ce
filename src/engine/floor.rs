//! Where a tree begins: what lies below was pruned.
//!
//! # Invariants
//!
//! - A snapshot has the floor of the moment at which it was taken, and answers from there on for as long as it lives. A
//!   floor that was raised keeps the parts of before, so they are freed with the last snapshot that was taken before.
//! - A floor is raised before the columns lose what lies below the next one. So a reader that loads the columns first and
//!   looks at its floor then finds a node in one of them.
//! - Trees that were never pruned share one floor until something wants to keep it. The shared one is never raised.

use std::sync::{Arc, LazyLock, OnceLock};

use crate::part::PartSet;

/// The floor of trees of which nothing was pruned and no snapshot was taken. It takes no memory of theirs.
static SHARED: LazyLock<Arc<Floor>> = LazyLock::new(|| Floor::at(0));

/// The first leaf of a tree at one moment, and what was pruned since.
#[derive(Debug, Default)]
pub(crate) struct Floor {
    base: u64,
    raised: OnceLock<Raised>,
}

/// A prune after the moment of a floor.
#[derive(Debug)]
struct Raised {
    /// What the tree had until then.
    parts: PartSet,
    next: Arc<Floor>,
}

impl Floor {
    /// The floor of a tree that begins at `base` and of which there is no snapshot yet.
    pub(super) fn first(base: u64) -> Arc<Self> {
        if base == 0 { Arc::clone(&SHARED) } else { Self::at(base) }
    }

    /// Whether this is the floor that trees share.
    #[inline]
    pub(super) fn is_shared(&self) -> bool {
        std::ptr::eq(self, &raw const **SHARED)
    }

    pub(super) fn at(base: u64) -> Arc<Self> {
        Arc::new(Self { base, raised: OnceLock::new() })
    }

    /// The first leaf that is there.
    #[inline]
    pub(crate) fn base(&self) -> u64 {
        self.base
    }

    /// Notes that the tree, which had `parts`, begins at `next` from now on.
    pub(super) fn raise(&self, parts: PartSet, next: &Arc<Self>) {
        let _ = self.raised.set(Raised { parts, next: Arc::clone(next) });
    }

    /// Whether the tree was pruned since.
    #[inline]
    pub(super) fn is_raised(&self) -> bool {
        self.raised.get().is_some()
    }

    /// What the tree had at each prune since, oldest first.
    pub(super) fn held(&self) -> Vec<PartSet> {
        let mut sets = Vec::new();
        let mut at = self.raised.get();
        while let Some(Raised { parts, next }) = at {
            sets.push(parts.clone());
            at = next.raised.get();
        }
        sets
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        // One after another: the floors of a thousand prunes hang on the oldest of them.
        let mut next = self.raised.take().map(|raised| raised.next);
        while let Some(floor) = next {
            next = Arc::into_inner(floor)
                .and_then(|mut floor| floor.raised.take())
                .map(|raised| raised.next);
        }
    }
}
