//! Right edges of sizes that are requested repeatedly: published heads.
//!
//! # Invariants
//!
//! - The complete nodes of a tree never change, so the edge of a size is the same forever and an
//!   entry is never stale. This holds because a [`Tree`](super::Tree) only grows: a tree that is rewound
//!   gets another state with an empty cache.
//! - A size that is requested once costs neither a whole edge nor an entry.

use std::sync::{Arc, OnceLock};
use std::{array, fmt};

use crate::merkle::{RightEdge, TreeSize};
use crate::sync::ArcSwap;
use crate::sync::atomic::{AtomicU64, Ordering};

/// How many edges are kept at most, 2 KiB each.
const SLOTS: usize = 64;
const SLOT_BITS: u32 = SLOTS.ilog2();

/// The edges of a few sizes of one tree, shared by all its snapshots. Lock-free.
#[derive(Default)]
pub(crate) struct EdgeCache {
    /// Allocated at the first request.
    slots: OnceLock<Box<[Slot; SLOTS]>>,
}

/// One entry, for the sizes that share a slot. The two numbers guard nothing: they are hints, and the edge has
/// its own size.
struct Slot {
    /// The last requested size.
    last: AtomicU64,
    /// The size of the edge, so that requests for other sizes need not load it.
    kept: AtomicU64,
    edge: ArcSwap<Option<Arc<RightEdge>>>,
}

impl EdgeCache {
    /// The edge of `size`: a kept edge, or one that `fold` makes if the last request in this slot was for this
    /// size too. `None` at the first request: a caller that needs a single node folds only that node.
    pub(crate) fn get<E>(
        &self,
        size: TreeSize,
        fold: impl FnOnce() -> Result<RightEdge, E>,
    ) -> Result<Option<Arc<RightEdge>>, E> {
        let slots = self.slots.get_or_init(|| Box::new(array::from_fn(|_| Slot::new())));
        let Some(slot) = slots.get(place(size)) else { return Ok(None) };
        let again = slot.last.load(Ordering::Relaxed) == size.get();
        if !again {
            slot.last.store(size.get(), Ordering::Relaxed);
        }
        if slot.kept.load(Ordering::Relaxed) == size.get()
            && let Some(edge) = slot.edge(size)
        {
            return Ok(Some(edge));
        }
        if !again {
            return Ok(None);
        }
        let edge = Arc::new(fold()?);
        slot.edge.store(Arc::new(Some(Arc::clone(&edge))));
        slot.kept.store(size.get(), Ordering::Relaxed);
        Ok(Some(edge))
    }
}

#[cfg(duramen_mutants)]
impl EdgeCache {
    /// The same edges in a cache of their own.
    pub(super) fn copy(&self) -> Self {
        let copy = Self::default();
        if let Some(slots) = self.slots.get() {
            copy.slots.get_or_init(|| Box::new(slots.each_ref().map(Slot::copy)));
        }
        copy
    }
}

#[cfg(duramen_mutants)]
impl Slot {
    fn copy(&self) -> Self {
        let number = |from: &AtomicU64| AtomicU64::new(from.load(Ordering::Relaxed));
        let edge = ArcSwap::new(self.edge.load_full());
        Self { last: number(&self.last), kept: number(&self.kept), edge }
    }
}

impl Slot {
    fn new() -> Self {
        let (last, kept) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { last, kept, edge: ArcSwap::new(Arc::new(None)) }
    }

    fn edge(&self, size: TreeSize) -> Option<Arc<RightEdge>> {
        self.edge.load_full().as_ref().as_ref().filter(|edge| edge.size() == size).cloned()
    }
}

/// The slot of a size. Fibonacci hashing spreads neighbours and multiples of powers of two.
fn place(size: TreeSize) -> usize {
    let spread = size.get().wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (u64::BITS - SLOT_BITS);
    usize::try_from(spread).unwrap_or(0)
}

impl fmt::Debug for EdgeCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EdgeCache").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;
    use crate::merkle::{Arity, Blake3, Hash, Level, NodeIndex, NodeSource};

    /// A tree whose nodes are all the same: only its sizes matter here.
    struct Same;

    impl NodeSource for Same {
        type Error = Infallible;

        fn read_nodes(&self, _: Level, _: NodeIndex, out: &mut [Hash]) -> Result<(), Infallible> {
            out.fill([7; 32]);
            Ok(())
        }
    }

    /// Requests a size. Returns whether there was an edge, and how many were folded.
    fn ask(cache: &EdgeCache, size: u64) -> (bool, usize) {
        let size = TreeSize(size);
        let mut folded = 0;
        let edge = cache.get(size, || {
            folded += 1;
            RightEdge::fold(&Same, &Blake3, Arity::Four, size)
        });
        let Ok(edge) = edge;
        if let Some(edge) = &edge {
            assert_eq!(edge.size(), size);
        }
        (edge.is_some(), folded)
    }

    #[test]
    fn an_edge_is_folded_when_its_size_is_asked_for_again_and_then_kept() {
        let cache = EdgeCache::default();
        for size in [1, 77, u64::MAX] {
            assert_eq!(ask(&cache, size), (false, 0));
            assert_eq!(ask(&cache, size), (true, 1));
            assert_eq!(ask(&cache, size), (true, 0));
        }
    }

    #[test]
    fn a_few_sizes_in_turn_are_all_kept_and_many_never_give_the_edge_of_another() {
        let cache = EdgeCache::default();
        let few: Vec<u64> = (0..8).map(|n| 1000 + 7777 * n).collect();
        for _ in 0..2 {
            for size in &few {
                ask(&cache, *size);
            }
        }
        for size in &few {
            assert_eq!(ask(&cache, *size), (true, 0), "{size}");
        }
        // `ask` checks the size of every returned edge.
        for size in 0..5000 {
            ask(&cache, size % 193);
            ask(&cache, size);
            ask(&cache, size);
        }
    }

    #[test]
    fn a_size_that_is_asked_for_once_does_not_push_out_one_that_is_kept() {
        let cache = EdgeCache::default();
        ask(&cache, 5);
        ask(&cache, 5);
        (100..2000).for_each(|size| assert_eq!(ask(&cache, size), (false, 0)));
        assert_eq!(ask(&cache, 5), (true, 0));
    }
}
