//! The incomplete right edge of a tree, folded from its complete nodes.
//!
//! # Invariants
//!
//! - Each level holds at most one incomplete node, the last; its value follows from the complete
//!   nodes to the left of it and the incomplete node below it.
//! - A parent with one child takes the child's value, a parent with 2 to N children is the hash of
//!   their concatenation.

use arrayvec::ArrayVec;

use super::hasher::Hasher;
use super::head::TreeHead;
use super::prefetch::prefetch;
use super::shape::{MAX_DEPTH, Shape};
use super::source::NodeSource;
use super::types::{Arity, Hash, Level, NodeIndex, TreeSize};

/// The incomplete nodes of a tree of one size, one per level at most, and its root.
///
/// A caller that keeps the edge of a size builds inclusion proofs for it without hashing. The value is
/// about 2 KiB and holds no allocation; keep it behind a pointer where it is passed around, and use
/// [`root_at`] where only the root is needed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RightEdge {
    shape: Shape,
    root: Hash,
    /// The incomplete node of level `k + 1`; zero where there is none.
    nodes: [Hash; MAX_DEPTH],
}

impl RightEdge {
    /// Folds the right edge of the tree of the first `size` leaves of `source`.
    ///
    /// Reads at most N - 1 nodes per level, in one call each, and hashes at most once per level:
    /// O(N log size). Does not allocate.
    ///
    /// # Errors
    ///
    /// The first failed read.
    pub fn fold<S, H>(
        source: &S,
        hasher: &H,
        arity: Arity,
        size: TreeSize,
    ) -> Result<Self, S::Error>
    where
        S: NodeSource + ?Sized,
        H: Hasher + ?Sized,
    {
        let shape = Shape::new(arity, size);
        let mut edge = Self { shape, root: [0; 32], nodes: [[0; 32]; MAX_DEPTH] };
        let read = |level, first, out: &mut [Hash]| source.read_nodes(level, first, out);
        edge.root = fold(read, hasher, shape, |level, node| {
            if let Some(slot) = edge.nodes.get_mut(usize::from(level.0)) {
                *slot = *node;
            }
        })?;
        Ok(edge)
    }

    /// The shape of the tree this is the edge of.
    #[must_use]
    pub const fn shape(&self) -> Shape {
        self.shape
    }

    /// How many children a complete node of the tree has.
    #[must_use]
    pub const fn arity(&self) -> Arity {
        self.shape.arity()
    }

    /// How many leaves the tree has.
    #[must_use]
    pub const fn size(&self) -> TreeSize {
        self.shape.size()
    }

    /// The root of the tree.
    #[must_use]
    pub const fn root(&self) -> Hash {
        self.root
    }

    /// The size and the root of the tree.
    #[must_use]
    pub const fn head(&self) -> TreeHead {
        TreeHead { size: self.size(), root: self.root }
    }

    /// The incomplete node of `level`, if there is one at this size, up to the root's level.
    #[inline]
    #[must_use]
    pub fn node(&self, level: Level) -> Option<&Hash> {
        if level > self.shape.depth() || !self.shape.has_edge(level) {
            return None;
        }
        // Level 0 has no incomplete node, so it does not get here.
        self.nodes.get(usize::from(level.0).wrapping_sub(1))
    }
}

/// The root of the tree of the first `size` leaves of `source`.
///
/// Costs what [`RightEdge::fold`] costs, without keeping the edge.
///
/// # Errors
///
/// The first failed read.
pub fn root_at<S, H>(source: &S, hasher: &H, arity: Arity, size: TreeSize) -> Result<Hash, S::Error>
where
    S: NodeSource + ?Sized,
    H: Hasher + ?Sized,
{
    let shape = Shape::new(arity, size);
    if size != TreeSize(0) && shape.has_edge(shape.depth()) {
        return EdgeNodes::Fold(hasher, shape).node(source, shape.depth());
    }
    let read = |level, first, out: &mut [Hash]| source.read_nodes(level, first, out);
    fold(read, hasher, shape, |_, _| ())
}

/// Where a proof takes the incomplete node from that it needs.
///
/// It needs one at most: the lowest last group that the proof passes has an incomplete node, and on
/// every level above, the node of the path is the incomplete one itself.
pub(crate) enum EdgeNodes<'a, H: ?Sized> {
    /// From an edge that was folded before.
    Folded(&'a RightEdge),
    /// Folded now, and no further than to the node that is needed.
    Fold(&'a H, Shape),
}

impl<H: Hasher + ?Sized> EdgeNodes<'_, H> {
    /// The shape of the tree.
    pub(crate) fn shape(&self) -> Shape {
        match self {
            Self::Folded(edge) => edge.shape(),
            Self::Fold(_, shape) => *shape,
        }
    }

    /// The incomplete node of `level`, which the tree must have.
    pub(super) fn node<S>(&self, source: &S, level: Level) -> Result<Hash, S::Error>
    where
        S: NodeSource + ?Sized,
    {
        let mut below = EdgeGroups::new();
        self.gather(source, level, &mut below);
        self.node_from(&below, source, level)
    }

    /// Begins to fetch what [`node_from`](Self::node_from) hashes for this level, so that it comes
    /// from memory while the caller fetches other nodes. `below` is empty before, and afterwards
    /// where that does not help.
    #[inline]
    pub(super) fn gather<'s, S>(&self, source: &'s S, level: Level, below: &mut EdgeGroups<'s>)
    where
        S: NodeSource + ?Sized,
    {
        if let Self::Fold(_, shape) = self
            && gather(source, *shape, level, below).is_none()
        {
            below.clear();
        }
    }

    /// The incomplete node of `level`, with what was gathered for it.
    #[inline]
    pub(super) fn node_from<S>(
        &self,
        below: &EdgeGroups<'_>,
        source: &S,
        level: Level,
    ) -> Result<Hash, S::Error>
    where
        S: NodeSource + ?Sized,
    {
        match self {
            Self::Folded(edge) => {
                let node = edge.node(level);
                debug_assert!(node.is_some(), "level {level} ends in an incomplete node");
                Ok(node.copied().unwrap_or_default())
            }
            Self::Fold(hasher, shape) => {
                if !below.is_empty() {
                    return Ok(hasher.chain(below));
                }
                // What is read from a device comes level by level.
                let read = |level, first, out: &mut [Hash]| source.read_nodes(level, first, out);
                let node = climb(read, *hasher, *shape, level, |_, _| ())?;
                debug_assert!(node.is_some(), "level {level} ends in an incomplete node");
                Ok(node.unwrap_or_default())
            }
        }
    }
}

/// The complete children of incomplete nodes below one level, from the leaves up, as they lie in
/// memory. One group per level at most.
pub(super) type EdgeGroups<'s> = ArrayVec<&'s [Hash], MAX_DEPTH>;

/// Gathers the groups below `top`, each of which is asked for now and not when hashing waits for it:
/// they lie apart. `None` if some of them do not lie in memory.
#[inline]
fn gather<'s, S>(source: &'s S, shape: Shape, top: Level, below: &mut EdgeGroups<'s>) -> Option<()>
where
    S: NodeSource + ?Sized,
{
    let bits = shape.arity().bits();
    let mut complete = shape.size().get();
    let mut level = Level::LEAVES;
    while level < top {
        let beyond = shape.place(NodeIndex(complete));
        if beyond > 0 {
            let first = NodeIndex(complete - beyond as u64);
            let nodes = source.borrow_nodes(level, first, beyond)?;
            prefetch(nodes);
            below.try_push(nodes).ok()?;
        }
        complete >>= bits;
        level = level.up();
    }
    Some(())
}

/// Folds the edge from the leaves up and returns the root. `read` is asked for the complete children
/// of incomplete nodes, each level once, from the leaves up, and at last for the root if that is
/// complete; `keep` sees the incomplete parent of each level that has one.
#[inline]
pub(super) fn fold<H, E>(
    mut read: impl FnMut(Level, NodeIndex, &mut [Hash]) -> Result<(), E>,
    hasher: &H,
    shape: Shape,
    keep: impl FnMut(Level, &Hash),
) -> Result<Hash, E>
where
    H: Hasher + ?Sized,
{
    if shape.size() == TreeSize(0) {
        return Ok(hasher.empty_root());
    }
    let depth = shape.depth();
    if let Some(root) = climb(&mut read, hasher, shape, depth, keep)? {
        return Ok(root);
    }
    // The size is a power of the arity: the root is a complete node.
    let mut root = [[0; 32]];
    read(depth, NodeIndex(0), &mut root)?;
    Ok(root[0])
}

/// Folds the edge from the leaves up to the incomplete node of `top`, if there is one.
#[inline]
fn climb<H, E>(
    mut read: impl FnMut(Level, NodeIndex, &mut [Hash]) -> Result<(), E>,
    hasher: &H,
    shape: Shape,
    top: Level,
    mut keep: impl FnMut(Level, &Hash),
) -> Result<Option<Hash>, E>
where
    H: Hasher + ?Sized,
{
    let bits = shape.arity().bits();
    // The children of the incomplete parent; one place more than it can have, so that the
    // incomplete child always finds room.
    let mut children = [[0; 32]; Arity::MAX];
    let mut incomplete: Option<Hash> = None;
    let mut complete = shape.size().get();
    let mut level = Level::LEAVES;
    while level < top {
        let parents = complete >> bits;
        let first = parents << bits;
        let beyond = shape.place(NodeIndex(complete));
        if beyond > 0 {
            read(level, NodeIndex(first), &mut children[..beyond])?;
            incomplete = Some(match incomplete {
                Some(last) => {
                    children[beyond] = last;
                    hasher.node(&children[..=beyond])
                }
                None if beyond == 1 => children[0],
                None => hasher.node(&children[..beyond]),
            });
        }
        if let Some(parent) = &incomplete {
            keep(level, parent);
        }
        complete = parents;
        level = level.up();
    }
    Ok(incomplete)
}
