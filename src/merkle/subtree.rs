//! Parts of a binary tree that are trees themselves: which intervals of leaves they have, and their roots.
//!
//! # Invariants
//!
//! - A [`Subtree`] is valid: its start is a multiple of the smallest power of two that is no less than its size.
//! - So each of its complete nodes is a complete node of every tree that has its leaves.

use core::fmt;

use super::edge::root_at;
use super::hasher::Hasher;
use super::source::NodeSource;
use super::types::{Arity, Hash, LeafIndex, Level, NodeIndex, TreeSize};

/// An interval of leaves `[start, end)` of a tree of arity 2 that is a tree itself.
///
/// This is the *subtree* of the draft *Merkle Tree Certificates* (section 4.1), as C2SP `tlog-cosignature` signs
/// them: `start` is a multiple of the smallest power of two that is no less than `end - start`. A subtree has the
/// same root in every tree that has its leaves. `[0, n)` is the whole tree of `n` leaves, and `[n, n)` is empty.
///
/// ```
/// use duramen::merkle::Subtree;
///
/// let subtree = Subtree::new(8, 13)?;
/// assert_eq!((subtree.size().get(), subtree.to_string()), (5, "[8, 13)".into()));
/// assert!(Subtree::new(7, 9).is_err());
/// // Two subtrees have any interval, and less than half of the first one is more than that.
/// let [left, right] = Subtree::covering(5, 13)?;
/// assert_eq!((left, right), (Subtree::new(4, 8)?, Subtree::new(8, 13)?));
/// # Ok::<(), duramen::merkle::NotASubtree>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Subtree {
    start: u64,
    end: u64,
}

impl Subtree {
    /// The subtree of the leaves `[start, end)`.
    ///
    /// # Errors
    ///
    /// [`NotASubtree`] if `start` is not a multiple of the smallest power of two that is no less than
    /// `end - start`, or lies behind `end`.
    pub const fn new(start: u64, end: u64) -> Result<Self, NotASubtree> {
        let Some(size) = end.checked_sub(start) else { return Err(NotASubtree { start, end }) };
        // The power is 2^64 for sizes beyond 2^63, and only 0 is a multiple of it.
        let aligned = match size.checked_next_power_of_two() {
            Some(power) => start & (power - 1) == 0,
            None => start == 0,
        };
        if aligned { Ok(Self { start, end }) } else { Err(NotASubtree { start, end }) }
    }

    /// The whole tree of `size` leaves.
    #[must_use]
    pub const fn whole(size: TreeSize) -> Self {
        Self { start: 0, end: size.0 }
    }

    /// Two adjacent subtrees that together have all leaves `[start, end)` and end there. Of the first one less
    /// than half lies before `start`. The second one is empty for intervals of up to one leaf.
    ///
    /// The selection is that of section 4.5 of the draft.
    ///
    /// # Errors
    ///
    /// [`NotASubtree`] if `start` lies behind `end`.
    pub const fn covering(start: u64, end: u64) -> Result<[Self; 2], NotASubtree> {
        let Some(size) = end.checked_sub(start) else { return Err(NotASubtree { start, end }) };
        if size <= 1 {
            return Ok([Self { start, end }, Self { start: end, end }]);
        }
        let last = end - 1;
        // Below this bit, the paths of both ends are in different halves.
        let split = (start ^ last).ilog2();
        let below = (1_u64 << split) - 1;
        let middle = last & !below;
        // The bits of `start` below the highest zero are what the first subtree begins earlier by.
        let before = match (!start & below).checked_ilog2() {
            Some(bit) => u64::MAX >> (u64::BITS - 1 - bit),
            None => 0,
        };
        Ok([Self { start: start & !before, end: middle }, Self { start: middle, end }])
    }

    /// The first leaf.
    #[must_use]
    pub const fn start(self) -> LeafIndex {
        LeafIndex(self.start)
    }

    /// The leaf behind the last one.
    #[must_use]
    pub const fn end(self) -> LeafIndex {
        LeafIndex(self.end)
    }

    /// How many leaves there are.
    #[must_use]
    pub const fn size(self) -> TreeSize {
        TreeSize(self.end - self.start)
    }

    /// Whether there is no leaf.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.start == self.end
    }

    /// The root of the subtree, of the leaves of `source`, which is of a tree of arity 2.
    ///
    /// Reads at most one node per level and hashes at most once per level.
    ///
    /// # Errors
    ///
    /// The first failed read.
    pub fn root<S, H>(self, source: &S, hasher: &H) -> Result<Hash, S::Error>
    where
        S: NodeSource + ?Sized,
        H: Hasher + ?Sized,
    {
        root_at(&self.nodes(source), hasher, Arity::Two, self.size())
    }

    /// The complete nodes of the subtree, counted from its own first leaf.
    pub(super) const fn nodes<S: ?Sized>(self, source: &S) -> SubtreeNodes<'_, S> {
        SubtreeNodes { source, start: self.start }
    }
}

impl fmt::Display for Subtree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}, {})", self.start, self.end)
    }
}

/// An interval of leaves is not that of a subtree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "[{start}, {end}) is no subtree: the start must be a multiple of the smallest power of two that is no less than the number of leaves"
)]
pub struct NotASubtree {
    /// The first leaf.
    pub start: u64,
    /// The leaf behind the last one.
    pub end: u64,
}

/// The nodes of a tree from a leaf on. On every level that the subtree fills a node of, its start is a multiple
/// of what a node has.
pub(super) struct SubtreeNodes<'s, S: ?Sized> {
    source: &'s S,
    start: u64,
}

impl<S: NodeSource + ?Sized> NodeSource for SubtreeNodes<'_, S> {
    type Error = S::Error;

    fn read_nodes(&self, level: Level, first: NodeIndex, out: &mut [Hash]) -> Result<(), S::Error> {
        self.source.read_nodes(level, self.place(level, first), out)
    }

    fn borrow_nodes(&self, level: Level, first: NodeIndex, count: usize) -> Option<&[Hash]> {
        self.source.borrow_nodes(level, self.place(level, first), count)
    }
}

impl<S: ?Sized> SubtreeNodes<'_, S> {
    fn place(&self, level: Level, first: NodeIndex) -> NodeIndex {
        NodeIndex(first.0 + self.start.checked_shr(u32::from(level.0)).unwrap_or(0))
    }
}
