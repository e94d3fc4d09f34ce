//! A tree without its leaves: just enough nodes to append and to compute the root.
//!
//! # Invariants
//!
//! - The nodes are the complete nodes whose parent is incomplete or missing, from left to right. So
//!   they go from the highest level to the lowest. Each level has as many as its digit of the size in
//!   base N. So arity and size determine the number of nodes.
//! - An operation that fails leaves the frontier as it was.

use alloc::vec::Vec;
use core::convert::Infallible;
use core::ops::Range;

use super::edge;
use super::hasher::Hasher;
use super::head::TreeHead;
use super::hex::{Hashes, Hex};
use super::shape::Shape;
use super::source::NodeSource;
use super::types::{Arity, Hash, LeafIndex, Level, NodeIndex, TreeSize};
use crate::words::{count, leaves};

/// The most leaves that [`Frontier::append_many`] hashes at once.
const BLOCK: usize = 256;

/// The complete nodes at the right edge of a tree. Appends leaves and computes roots in O(N log size)
/// memory, at most 240 nodes.
///
/// A frontier does not store its hasher. Pass the same hasher to every call.
///
/// ```
/// use duramen::merkle::{Arity, Blake3, Frontier, TreeSize};
///
/// let mut frontier = Frontier::new(Arity::Four);
/// for leaf in 0..1000_u64 {
///     let mut bytes = [0; 32];
///     bytes[..8].copy_from_slice(&leaf.to_le_bytes());
///     frontier.append(&Blake3, bytes)?;
/// }
/// assert_eq!(frontier.head(&Blake3).size, TreeSize(1000));
/// assert_eq!(frontier.nodes().len(), 3 + 3 + 2 + 2 + 0); // 1000 is 33220 to base 4
/// # Ok::<(), duramen::merkle::FrontierError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Frontier {
    shape: Shape,
    nodes: Vec<Hash>,
}

impl core::fmt::Debug for Frontier {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Frontier")
            .field("shape", &self.shape)
            .field("nodes", &Hashes(&self.nodes))
            .finish()
    }
}

/// Why a frontier refuses leaves or nodes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrontierError {
    /// The number of nodes does not fit the size.
    #[error(
        "a frontier of {} has {}, but {} given",
        leaves(size.0),
        count(*expected, "node", "nodes"),
        count(*found, "was", "were")
    )]
    NodeCount {
        /// The size that was given.
        size: TreeSize,
        /// How many nodes follow from arity and size.
        expected: usize,
        /// How many were given.
        found: usize,
    },
    /// The tree cannot have so many leaves.
    #[error(
        "cannot append {} to a tree of {}: a tree has fewer than 2^64 leaves",
        leaves(*more),
        leaves(size.0)
    )]
    Full {
        /// The size of the frontier.
        size: TreeSize,
        /// How many leaves the caller wanted to append.
        more: usize,
    },
    /// The hash function refuses a leaf.
    #[error("the hash function of the tree refuses leaf {index}, {}", Hex(.leaf))]
    RefusedLeaf {
        /// The index the leaf would have had.
        index: LeafIndex,
        /// The leaf.
        leaf: Hash,
    },
}

/// The level of the nodes over up to [`BLOCK`] leaves.
const fn block_level(arity: Arity) -> Level {
    match arity {
        Arity::Two => Level(8),
        Arity::Four => Level(4),
        Arity::Eight | Arity::Sixteen => Level(2),
    }
}

impl Frontier {
    /// The frontier of the empty tree.
    #[must_use]
    pub const fn new(arity: Arity) -> Self {
        Self { shape: Shape::new(arity, TreeSize(0)), nodes: Vec::new() }
    }

    /// The frontier of the first `size` leaves of `source`. Reads each level at most once.
    ///
    /// # Errors
    ///
    /// The first failed read.
    pub fn read<S>(source: &S, arity: Arity, size: TreeSize) -> Result<Self, S::Error>
    where
        S: NodeSource + ?Sized,
    {
        let shape = Shape::new(arity, size);
        let mut nodes = Vec::with_capacity(shape.frontier_nodes());
        let mut read = [[0; 32]; Arity::MAX];
        for level in (0..shape.columns()).rev().map(Level) {
            let complete = shape.complete(level);
            let count = shape.place(NodeIndex(complete));
            if count > 0 {
                let read = &mut read[..count];
                source.read_nodes(level, NodeIndex(complete - count as u64), read)?;
                nodes.extend_from_slice(read);
            }
        }
        Ok(Self { shape, nodes })
    }

    /// The frontier of `size` leaves with these nodes, from left to right, as
    /// [`nodes`](Self::nodes) gave them.
    ///
    /// This does not check that the nodes belong to a certain tree. To check that, compare the
    /// [`head`](Self::head) with a trusted one.
    ///
    /// # Errors
    ///
    /// [`FrontierError::NodeCount`] if there are more or fewer nodes than the size needs.
    pub fn from_nodes(
        arity: Arity,
        size: TreeSize,
        nodes: Vec<Hash>,
    ) -> Result<Self, FrontierError> {
        let shape = Shape::new(arity, size);
        let (expected, found) = (shape.frontier_nodes(), nodes.len());
        if expected != found {
            return Err(FrontierError::NodeCount { size, expected, found });
        }
        Ok(Self::from_parts(shape, nodes))
    }

    /// The frontier of this shape. `nodes` must have as many nodes as the shape needs.
    pub(super) const fn from_parts(shape: Shape, nodes: Vec<Hash>) -> Self {
        Self { shape, nodes }
    }

    /// How many children a complete node has.
    #[must_use]
    pub const fn arity(&self) -> Arity {
        self.shape.arity()
    }

    /// How many leaves the tree has.
    #[must_use]
    pub const fn size(&self) -> TreeSize {
        self.shape.size()
    }

    /// The nodes, from left to right.
    #[must_use]
    pub fn nodes(&self) -> &[Hash] {
        &self.nodes
    }

    /// Appends one leaf and returns its index. Hashes the nodes that it completes: less than one on
    /// average, at most one per level.
    ///
    /// # Errors
    ///
    /// [`FrontierError::RefusedLeaf`] or [`FrontierError::Full`].
    pub fn append<H: Hasher + ?Sized>(
        &mut self,
        hasher: &H,
        leaf: Hash,
    ) -> Result<LeafIndex, FrontierError> {
        let appended = self.append_many(hasher, &[leaf])?;
        Ok(appended.start)
    }

    /// Appends `leaves` in their order and returns their indexes. All are appended or none. Long
    /// runs are hashed in batches.
    ///
    /// # Errors
    ///
    /// [`FrontierError::RefusedLeaf`] with the first leaf that the hash function refuses, or
    /// [`FrontierError::Full`].
    pub fn append_many<H: Hasher + ?Sized>(
        &mut self,
        hasher: &H,
        leaves: &[Hash],
    ) -> Result<Range<LeafIndex>, FrontierError> {
        let size = self.size();
        let end = u64::try_from(leaves.len()).ok().and_then(|more| size.get().checked_add(more));
        let Some(end) = end else {
            return Err(FrontierError::Full { size, more: leaves.len() });
        };
        if let Some(at) = hasher.first_refused(leaves)
            && let Some(leaf) = leaves.get(at)
        {
            let index = LeafIndex(size.get() + at as u64);
            return Err(FrontierError::RefusedLeaf { index, leaf: *leaf });
        }
        let block = block_level(self.arity());
        let block_leaves = 1_usize << (self.arity().bits() * u32::from(block.0));
        let mut rest = leaves;
        while let Some((first, others)) = rest.split_first() {
            let aligned = self.size().get().is_multiple_of(block_leaves as u64);
            match rest.split_at_checked(block_leaves) {
                Some((whole, behind)) if aligned => {
                    let node = self.hash_block(hasher, block, whole);
                    self.push(hasher, block, node);
                    rest = behind;
                }
                _ => {
                    self.push(hasher, Level::LEAVES, *first);
                    rest = others;
                }
            }
        }
        Ok(LeafIndex(size.get())..LeafIndex(end))
    }

    /// The node of level `block` above its leaves.
    fn hash_block<H: Hasher + ?Sized>(&self, hasher: &H, block: Level, leaves: &[Hash]) -> Hash {
        let arity = self.arity();
        // The nodes of each level follow those of the level below.
        let mut nodes = [[0; 32]; BLOCK];
        let mut count = leaves.len() / arity.children();
        hasher.nodes(arity, leaves, &mut nodes[..count]);
        let mut first = 0;
        for _ in 1..block.0 {
            let (below, above) = nodes.split_at_mut(first + count);
            let parents = count / arity.children();
            hasher.nodes(arity, &below[first..], &mut above[..parents]);
            first += count;
            count = parents;
        }
        nodes[first]
    }

    /// Appends a complete node of `level`. The size must be a multiple of the node's leaves, with room
    /// for them.
    fn push<H: Hasher + ?Sized>(&mut self, hasher: &H, level: Level, node: Hash) {
        let arity = self.arity();
        let size = self.size().get() + (1 << (arity.bits() * u32::from(level.0)));
        self.shape = Shape::new(arity, TreeSize(size));
        self.nodes.push(node);
        // The new size is a multiple of the leaves below a parent on each of these levels, so the node
        // completes a parent there.
        for _ in u32::from(level.0)..size.trailing_zeros() / arity.bits() {
            let first = self.nodes.len().saturating_sub(arity.children());
            let parent = hasher.node(&self.nodes[first..]);
            self.nodes.truncate(first);
            self.nodes.push(parent);
        }
    }

    /// The size and the root of the tree. Hashes at most once per level.
    #[must_use]
    pub fn head<H: Hasher + ?Sized>(&self, hasher: &H) -> TreeHead {
        let mut left = self.nodes.as_slice();
        let read = |_, _, out: &mut [Hash]| -> Result<(), Infallible> {
            // The fold reads the levels from the leaves up, so their nodes come from the end.
            let (above, here) = left.split_at(left.len().saturating_sub(out.len()));
            for (to, from) in out.iter_mut().zip(here) {
                *to = *from;
            }
            left = above;
            Ok(())
        };
        let Ok(root) = edge::fold(read, hasher, self.shape, |_, _| ());
        TreeHead { size: self.size(), root }
    }
}
