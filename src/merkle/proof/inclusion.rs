//! That a leaf is in a tree.

use alloc::vec::Vec;

use arrayvec::ArrayVec;

use super::error::{ProveError, VerifyError};
use crate::merkle::edge::{EdgeGroups, EdgeNodes, RightEdge};
use crate::merkle::hasher::Hasher;
use crate::merkle::head::TreeHead;
use crate::merkle::hex::Hashes;
use crate::merkle::prefetch::prefetch;
use crate::merkle::shape::{MAX_DEPTH, Shape};
use crate::merkle::source::NodeSource;
use crate::merkle::types::{Arity, Hash, LeafIndex, Level, NodeIndex, TreeSize};

/// The proof that one leaf stands at one index of a tree of one size.
///
/// It holds the siblings of the leaf and of each of its ancestors below the root: from the leaves
/// up, within a level from left to right. A level where the node has no sibling adds nothing. With
/// arity 2 and [`Rfc6962Sha256`](crate::Rfc6962Sha256) this is the audit path of RFC 6962, section
/// 2.1.1.
#[derive(Clone, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct InclusionProof {
    #[cfg_attr(feature = "serde", serde(with = "crate::merkle::serial::hashes"))]
    siblings: Vec<Hash>,
}

impl core::fmt::Debug for InclusionProof {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("InclusionProof").field("siblings", &Hashes(&self.siblings)).finish()
    }
}

impl InclusionProof {
    /// Proves that leaf `index` is in the tree whose right edge is `edge`.
    ///
    /// Does not hash. Allocates once and reads at most N nodes per level, in one call each:
    /// O(N log size).
    ///
    /// # Errors
    ///
    /// [`ProveError::IndexBeyondSize`] if the tree has no such leaf, [`ProveError::Source`] with the
    /// first failed read.
    pub fn build<S: NodeSource + ?Sized>(
        source: &S,
        edge: &RightEdge,
        index: LeafIndex,
    ) -> Result<Self, ProveError<S::Error>> {
        Self::assemble(source, &EdgeNodes::<dyn Hasher>::Folded(edge), index)
    }

    /// Proves that leaf `index` is in the tree of the first `size` leaves of `source`.
    ///
    /// Returns what [`build`](Self::build) returns, for a caller that does not have the right edge of that
    /// size: hashes at most once per level, and only what this proof needs.
    ///
    /// # Errors
    ///
    /// As [`build`](Self::build).
    pub fn build_at<S, H>(
        source: &S,
        hasher: &H,
        arity: Arity,
        size: TreeSize,
        index: LeafIndex,
    ) -> Result<Self, ProveError<S::Error>>
    where
        S: NodeSource + ?Sized,
        H: Hasher + ?Sized,
    {
        Self::assemble(source, &EdgeNodes::Fold(hasher, Shape::new(arity, size)), index)
    }

    pub(crate) fn assemble<S, H>(
        source: &S,
        edge: &EdgeNodes<'_, H>,
        index: LeafIndex,
    ) -> Result<Self, ProveError<S::Error>>
    where
        S: NodeSource + ?Sized,
        H: Hasher + ?Sized,
    {
        let shape = edge.shape();
        let size = shape.size();
        if index.get() >= size.get() {
            return Err(ProveError::IndexBeyondSize { index, size });
        }
        let mut siblings = Vec::with_capacity(shape.inclusion_siblings(index));
        // A constant number of nodes per group lets the copies become plain loads and stores.
        match shape.arity() {
            Arity::Two => gather::<S, H, 2>(source, edge, index, &mut siblings),
            Arity::Four => gather::<S, H, 4>(source, edge, index, &mut siblings),
            Arity::Eight => gather::<S, H, 8>(source, edge, index, &mut siblings),
            Arity::Sixteen => gather::<S, H, 16>(source, edge, index, &mut siblings),
        }
        .map_err(ProveError::Source)?;
        Ok(Self { siblings })
    }

    /// A proof of these siblings, from the leaves up and from left to right. Any siblings make a
    /// proof; whether it proves anything shows when it is verified.
    #[must_use]
    pub const fn from_siblings(siblings: Vec<Hash>) -> Self {
        Self { siblings }
    }

    /// The `index` that zk-kit's LeanIMT gives a proof, and that its verifiers and circuits take: the turns of the
    /// path, one bit for each level that has a sibling, the lowest first, 1 where the sibling is on the left. It is the
    /// leaf's index only where the path has a sibling on every level. `None` if the tree has no such leaf.
    ///
    /// For trees of arity 2. Siblings and roots are the same in both.
    ///
    /// ```
    /// use duramen::InclusionProof;
    ///
    /// // Leaf 4 of five is lifted twice and then stands on the right of the other four.
    /// assert_eq!(InclusionProof::lean_imt_index(5, 4), Some(1));
    /// assert_eq!(InclusionProof::lean_imt_index(8, 4), Some(4));
    /// assert_eq!(InclusionProof::lean_imt_index(5, 5), None);
    /// ```
    #[must_use]
    pub fn lean_imt_index(size: impl Into<TreeSize>, index: impl Into<LeafIndex>) -> Option<u64> {
        let (mut len, mut at) = (size.into().get(), index.into().get());
        if at >= len {
            return None;
        }
        let (mut turns, mut siblings) = (0, 0);
        while len > 1 {
            if at ^ 1 < len {
                turns |= (at & 1) << siblings;
                siblings += 1;
            }
            (at, len) = (at / 2, len.div_ceil(2));
        }
        Some(turns)
    }

    /// The siblings, from the leaves up and from left to right.
    #[must_use]
    pub fn siblings(&self) -> &[Hash] {
        &self.siblings
    }

    /// The siblings, from the leaves up and from left to right.
    #[must_use]
    pub fn into_siblings(self) -> Vec<Hash> {
        self.siblings
    }

    /// Verifies that `leaf` stands at `index` in the tree that `head` trusts.
    ///
    /// Hashes at most once per level: 64, 32, 22 or 16 times for arity 2, 4, 8 or 16. Does not
    /// allocate.
    ///
    /// # Errors
    ///
    /// [`VerifyError`] says why nothing was proven.
    pub fn verify<H: Hasher + ?Sized>(
        &self,
        hasher: &H,
        arity: Arity,
        head: &TreeHead,
        index: LeafIndex,
        leaf: &Hash,
    ) -> Result<(), VerifyError> {
        head.must_be(self.root(hasher, arity, head.size, index, leaf)?)
    }

    /// The root that `leaf` at `index` of a tree of `size` leaves and the siblings lead to.
    #[inline]
    pub(crate) fn root<H: Hasher + ?Sized>(
        &self,
        hasher: &H,
        arity: Arity,
        size: TreeSize,
        index: LeafIndex,
        leaf: &Hash,
    ) -> Result<Hash, VerifyError> {
        let shape = Shape::new(arity, size);
        if index.get() >= size.get() {
            return Err(VerifyError::IndexBeyondSize { index, size });
        }
        let (expected, found) = (shape.inclusion_siblings(index), self.siblings.len());
        if expected != found {
            return Err(VerifyError::HashCount { expected, found });
        }
        super::check_values(hasher, core::slice::from_ref(leaf))?;
        super::check_values(hasher, &self.siblings)?;
        Ok(self.fold(hasher, shape, index, leaf))
    }

    /// The root that `leaf` and the siblings lead to. Their number was checked.
    fn fold<H: Hasher + ?Sized>(
        &self,
        hasher: &H,
        shape: Shape,
        index: LeafIndex,
        leaf: &Hash,
    ) -> Hash {
        let mut children = [[0; 32]; Arity::MAX];
        let mut value = *leaf;
        let mut siblings = self.siblings.as_slice();
        let depth = shape.depth();
        let mut level = Level::LEAVES;
        while level < depth {
            let node = shape.ancestor(index, level);
            let group = shape.group(level, node);
            let len = group.len();
            if len > 1 {
                let own = shape.place(node);
                let (here, above) = siblings.split_at(len - 1);
                children[..own].copy_from_slice(&here[..own]);
                children[own] = value;
                children[own + 1..len].copy_from_slice(&here[own..]);
                value = hasher.node(&children[..len]);
                siblings = above;
            }
            level = level.up();
        }
        value
    }
}

/// Adds the siblings on every level.
#[inline]
fn gather<S, H, const N: usize>(
    source: &S,
    edge: &EdgeNodes<'_, H>,
    index: LeafIndex,
    siblings: &mut Vec<Hash>,
) -> Result<(), S::Error>
where
    S: NodeSource + ?Sized,
    H: Hasher + ?Sized,
{
    let shape = edge.shape();
    // The lowest last group that the path passes is the only one whose incomplete node is not on the
    // path.
    let full = shape.full_levels(index);
    let edge_wanted = full < shape.depth() && shape.has_edge(full);
    let mut below_edge = EdgeGroups::new();
    if edge_wanted {
        edge.gather(source, full, &mut below_edge);
    }
    let mut groups = ArrayVec::new();
    full_groups::<S, N>(source, shape, index, &mut groups);
    // Hashing comes before the copies: meanwhile the groups come from memory.
    let edge_node = match edge_wanted {
        true => Some(edge.node_from(&below_edge, source, full)?),
        false => None,
    };
    copy_full_groups::<S, N>(source, shape, index, &groups, siblings)?;
    edge_groups(source, shape, edge_node, index, siblings)
}

/// The full groups of a path, level by level, as they lie in memory, if they do.
type FullGroups<'s, const N: usize> = ArrayVec<Option<&'s [Hash; N]>, MAX_DEPTH>;

/// The groups on the levels where the node above `index` stands in a full group, all of which are
/// asked for now: they lie apart in memory.
#[inline]
fn full_groups<'s, S: NodeSource + ?Sized, const N: usize>(
    source: &'s S,
    shape: Shape,
    index: LeafIndex,
    groups: &mut FullGroups<'s, N>,
) {
    let bits = const { Arity::of::<N>().bits() };
    let mut first = index.get() >> bits << bits;
    groups.extend((0..shape.full_levels(index).0).map(|level| {
        let nodes = source.borrow_nodes(Level(level), NodeIndex(first), N);
        let group = nodes.and_then(<[Hash]>::first_chunk);
        if let Some(group) = group {
            prefetch(group);
        }
        first = first >> bits >> bits << bits;
        group
    }));
}

/// Adds the siblings on those levels.
#[inline]
fn copy_full_groups<S: NodeSource + ?Sized, const N: usize>(
    source: &S,
    shape: Shape,
    index: LeafIndex,
    groups: &FullGroups<'_, N>,
    siblings: &mut Vec<Hash>,
) -> Result<(), S::Error> {
    let bits = const { Arity::of::<N>().bits() };
    let mut group = [[0; 32]; N];
    let mut node = index.get();
    for (level, borrowed) in (0..).zip(groups) {
        let own = shape.place(NodeIndex(node));
        let nodes = match borrowed {
            Some(nodes) => *nodes,
            None => {
                let first = NodeIndex(node >> bits << bits);
                source.read_nodes(Level(level), first, &mut group)?;
                &group
            }
        };
        // A constant number to copy leaves one check of the capacity and no loop.
        let mut others = [[0; 32]; N];
        for at in 0..N - 1 {
            others[at] = nodes[at + usize::from(at >= own)];
        }
        siblings.extend_from_slice(&others[..N - 1]);
        node >>= bits;
    }
    Ok(())
}

/// Adds the siblings on the levels above, where the node above `index` stands in the last group.
/// `edge_node` is the incomplete node of the lowest of them, if the path does not go through it.
fn edge_groups<S>(
    source: &S,
    shape: Shape,
    mut edge_node: Option<Hash>,
    index: LeafIndex,
    siblings: &mut Vec<Hash>,
) -> Result<(), S::Error>
where
    S: NodeSource + ?Sized,
{
    let mut nodes = [[0; 32]; Arity::MAX];
    let (mut level, depth) = (shape.full_levels(index), shape.depth());
    while level < depth {
        let group = shape.edge_children(level);
        if group.len() > 1 {
            let nodes = &mut nodes[..group.complete];
            source.read_nodes(level, group.first, nodes)?;
            let own = shape.place(shape.ancestor(index, level));
            siblings.extend_from_slice(&nodes[..own]);
            if own < group.complete {
                siblings.extend_from_slice(&nodes[own + 1..]);
                siblings.extend(edge_node.take());
            }
        }
        level = level.up();
    }
    Ok(())
}
