//! That many leaves are in a tree, in one proof.

use alloc::vec::Vec;

use super::error::{ProveError, VerifyError};
use crate::merkle::edge::{EdgeNodes, RightEdge};
use crate::merkle::hasher::Hasher;
use crate::merkle::head::TreeHead;
use crate::merkle::hex::Hashes;
use crate::merkle::shape::{Group, Shape};
use crate::merkle::source::NodeSource;
use crate::merkle::types::{Arity, Hash, LeafIndex, Level, NodeIndex, TreeSize};

/// The proof that several leaves stand at their indexes in a tree of one size.
///
/// On each level, from the leaves up, the *known* nodes are the requested leaves and every node that
/// follows from known nodes below. The proof holds the siblings of known nodes that are not known
/// themselves: level by level from the leaves up, within a level from left to right. A node that
/// several leaves need is there once, and one that follows from them is not there at all.
///
/// The indexes are a set: their order does not matter and duplicates count once. The empty set is
/// refused, when the proof is made and when it is verified: it would verify without any proof.
#[derive(Clone, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct MultiProof {
    #[cfg_attr(feature = "serde", serde(with = "crate::merkle::serial::hashes"))]
    hashes: Vec<Hash>,
}

impl core::fmt::Debug for MultiProof {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("MultiProof").field("hashes", &Hashes(&self.hashes)).finish()
    }
}

impl MultiProof {
    /// Proves that the leaves at `indexes` are in the tree whose right edge is `edge`.
    ///
    /// Does not hash. Allocates a list of the indexes and the proof; reads at most N nodes per
    /// known parent, in one call each: O(k N log size) for k indexes.
    ///
    /// # Errors
    ///
    /// [`ProveError::NoIndexes`] without any index, [`ProveError::IndexBeyondSize`] with the
    /// largest index if the tree has no such leaf, [`ProveError::Source`] with the first failed
    /// read.
    pub fn build<S: NodeSource + ?Sized>(
        source: &S,
        edge: &RightEdge,
        indexes: &[LeafIndex],
    ) -> Result<Self, ProveError<S::Error>> {
        Self::assemble(source, &EdgeNodes::<dyn Hasher>::Folded(edge), indexes)
    }

    /// Proves that the leaves at `indexes` are in the tree of the first `size` leaves of `source`.
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
        indexes: &[LeafIndex],
    ) -> Result<Self, ProveError<S::Error>>
    where
        S: NodeSource + ?Sized,
        H: Hasher + ?Sized,
    {
        Self::assemble(source, &EdgeNodes::Fold(hasher, Shape::new(arity, size)), indexes)
    }

    pub(crate) fn assemble<S, H>(
        source: &S,
        edge: &EdgeNodes<'_, H>,
        indexes: &[LeafIndex],
    ) -> Result<Self, ProveError<S::Error>>
    where
        S: NodeSource + ?Sized,
        H: Hasher + ?Sized,
    {
        let (shape, size) = (edge.shape(), edge.shape().size());
        let mut known = indexes.to_vec();
        known.sort_unstable();
        known.dedup();
        match known.last() {
            None => return Err(ProveError::NoIndexes),
            Some(&index) if index.get() >= size.get() => {
                return Err(ProveError::IndexBeyondSize { index, size });
            }
            Some(_) => {}
        }
        let mut known: Vec<NodeIndex> = known.iter().map(|index| NodeIndex(index.get())).collect();
        let mut hashes = Vec::with_capacity(count(shape, known.clone()));
        let mut nodes = [[0; 32]; Arity::MAX];
        walk(shape, &mut known, |family| {
            let group = family.group;
            if family.unknown() == 0 {
                return Ok(());
            }
            let nodes = &mut nodes[..group.len()];
            source.read_nodes(family.level, group.first, &mut nodes[..group.complete])?;
            if group.edge
                && let (Some(slot), Some(false)) = (nodes.last_mut(), family.is_known.last())
            {
                *slot = edge.node(source, family.level)?;
            }
            hashes.extend(
                nodes
                    .iter()
                    .zip(family.is_known)
                    .filter(|(_, known)| !**known)
                    .map(|(node, _)| *node),
            );
            Ok(())
        })
        .map_err(ProveError::Source)?;
        Ok(Self { hashes })
    }

    /// A proof of these hashes, from the leaves up and from left to right. Any hashes make a proof;
    /// whether it proves anything shows when it is verified.
    #[must_use]
    pub const fn from_hashes(hashes: Vec<Hash>) -> Self {
        Self { hashes }
    }

    /// The hashes, from the leaves up and from left to right.
    #[must_use]
    pub fn hashes(&self) -> &[Hash] {
        &self.hashes
    }

    /// The hashes, from the leaves up and from left to right.
    #[must_use]
    pub fn into_hashes(self) -> Vec<Hash> {
        self.hashes
    }

    /// How many hashes the proof for `indexes` has in a tree of this shape; `None` without any
    /// index or if one is beyond the size.
    #[must_use]
    pub fn expected_hashes(shape: Shape, indexes: &[LeafIndex]) -> Option<usize> {
        let mut known: Vec<NodeIndex> = indexes.iter().map(|index| NodeIndex(index.0)).collect();
        known.sort_unstable();
        known.dedup();
        let last = known.last()?;
        (last.get() < shape.size().get()).then(|| count(shape, known))
    }

    /// As [`expected_hashes`](Self::expected_hashes), but gives up as soon as there are more than `most`
    /// and returns that many: the work is bounded by the hashes that are there, not by the indexes.
    pub(crate) fn expected_up_to(
        shape: Shape,
        indexes: &[LeafIndex],
        most: usize,
    ) -> Option<usize> {
        let known: Vec<NodeIndex> = indexes.iter().map(|index| NodeIndex(index.0)).collect();
        let last = known.last()?;
        (last.get() < shape.size().get()).then(|| count_up_to(shape, known, most))
    }

    /// Verifies that each of `leaves` stands at its index in the tree that `head` trusts.
    ///
    /// The leaves may come in any order; the same leaf may come twice. Hashes at most once per
    /// leaf and level. Allocates a copy of the leaves. A proof with too few hashes is refused as soon as more
    /// are needed than there are.
    ///
    /// # Errors
    ///
    /// [`VerifyError`] says why nothing was proven, of none of the leaves.
    pub fn verify<H: Hasher + ?Sized>(
        &self,
        hasher: &H,
        arity: Arity,
        head: &TreeHead,
        leaves: &[(LeafIndex, Hash)],
    ) -> Result<(), VerifyError> {
        let shape = Shape::new(arity, head.size);
        let mut leaves = leaves.to_vec();
        leaves.sort_unstable();
        leaves.dedup();
        if let Some((&(index, _), _)) =
            leaves.iter().zip(leaves.iter().skip(1)).find(|(a, b)| a.0 == b.0)
        {
            return Err(VerifyError::TwoLeavesAtIndex { index });
        }
        match leaves.last() {
            None => return Err(VerifyError::NoLeaves),
            Some(&(index, _)) if index.get() >= head.size.get() => {
                return Err(VerifyError::IndexBeyondSize { index, size: head.size });
            }
            Some(_) => {}
        }
        let mut known: Vec<NodeIndex> =
            leaves.iter().map(|(index, _)| NodeIndex(index.0)).collect();
        let found = self.hashes.len();
        match count_up_to(shape, known.clone(), found) {
            expected if expected > found => return Err(VerifyError::HashesMissing { found }),
            expected if expected < found => {
                return Err(VerifyError::HashCount { expected, found });
            }
            _ => {}
        }
        let mut values: Vec<Hash> = leaves.into_iter().map(|(_, leaf)| leaf).collect();
        super::check_values(hasher, &values)?;
        super::check_values(hasher, &self.hashes)?;
        head.must_be(self.fold(hasher, shape, &mut known, &mut values))
    }

    /// The root that the known leaves and the hashes lead to. Their number was checked.
    fn fold<H: Hasher + ?Sized>(
        &self,
        hasher: &H,
        shape: Shape,
        known: &mut Vec<NodeIndex>,
        values: &mut [Hash],
    ) -> Hash {
        let mut hashes = self.hashes.iter();
        let mut nodes = [[0; 32]; Arity::MAX];
        // The values of a level are read at `from` and replaced by their parents' at `to`, which
        // never overtakes it.
        let (mut from, mut to, mut level) = (0, 0, Level::LEAVES);
        let walked: Result<(), core::convert::Infallible> = walk(shape, known, |family| {
            if family.level != level {
                (from, to, level) = (0, 0, family.level);
            }
            let nodes = &mut nodes[..family.group.len()];
            for (node, known) in nodes.iter_mut().zip(family.is_known) {
                if *known {
                    *node = values[from];
                    from += 1;
                } else if let Some(hash) = hashes.next() {
                    *node = *hash;
                }
            }
            values[to] = if nodes.len() > 1 { hasher.node(nodes) } else { nodes[0] };
            to += 1;
            Ok(())
        });
        let Ok(()) = walked;
        values[0]
    }
}

/// How many hashes the proof has: the siblings of known nodes that are not known themselves.
fn count(shape: Shape, known: Vec<NodeIndex>) -> usize {
    count_up_to(shape, known, usize::MAX)
}

/// The same, or the first count above `most`.
fn count_up_to(shape: Shape, mut known: Vec<NodeIndex>, most: usize) -> usize {
    let mut hashes = 0;
    // An error ends the walk; the count says the rest.
    let _ended = walk(shape, &mut known, |family| {
        hashes += family.unknown();
        if hashes > most { Err(()) } else { Ok(()) }
    });
    hashes
}

/// The children of one known parent.
struct Family<'a> {
    level: Level,
    group: Group,
    /// For each child, whether it is known.
    is_known: &'a [bool],
}

impl Family<'_> {
    fn unknown(&self) -> usize {
        self.is_known.iter().filter(|known| !**known).count()
    }
}

/// Visits the children of every known parent, level by level from the leaves up and from left to
/// right. `known` are the known leaves, sorted, without duplicates, all in the tree; it ends as the
/// root.
#[inline]
fn walk<E>(
    shape: Shape,
    known: &mut Vec<NodeIndex>,
    mut visit: impl FnMut(&Family<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let depth = shape.depth();
    let mut level = Level::LEAVES;
    while level < depth {
        let (mut from, mut to) = (0, 0);
        while let Some(&node) = known.get(from) {
            let group = shape.group(level, node);
            let mut is_known = [false; Arity::MAX];
            let parent = NodeIndex(node.get() >> shape.arity().bits());
            while let Some(&node) = known.get(from)
                && node.get() >> shape.arity().bits() == parent.get()
            {
                is_known[shape.place(node)] = true;
                from += 1;
            }
            visit(&Family { level, group, is_known: &is_known[..group.len()] })?;
            known[to] = parent;
            to += 1;
        }
        known.truncate(to);
        level = level.up();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_without_hashes_is_refused_without_counting_all_that_it_would_need() {
        let head = TreeHead { size: TreeSize(1 << 40), root: [0; 32] };
        let leaves: Vec<_> = (0..1000).map(|at| (LeafIndex(at << 28), [7; 32])).collect();
        let all = MultiProof::expected_hashes(
            Shape::new(Arity::Two, head.size),
            &leaves.iter().map(|leaf| leaf.0).collect::<Vec<_>>(),
        );
        let all = all.unwrap();
        let verify = |hashes: usize| {
            let proof = MultiProof::from_hashes(alloc::vec![[0; 32]; hashes]);
            proof.verify(&crate::merkle::Blake3, Arity::Two, &head, &leaves).unwrap_err()
        };
        for found in [0, 1, 1000, all - 1] {
            assert_eq!(verify(found), VerifyError::HashesMissing { found });
        }
        let found = all + 1;
        assert_eq!(verify(found), VerifyError::HashCount { expected: all, found });
        assert!(matches!(verify(all), VerifyError::RootMismatch { .. }));
    }

    #[test]
    fn counting_ends_with_the_family_that_asks_for_more_than_there_is() {
        for arity in Arity::ALL {
            let shape = Shape::new(arity, TreeSize(1 << 40));
            let indexes: Vec<_> = (0..1000).map(|at| LeafIndex(at << 28)).collect();
            let all = MultiProof::expected_hashes(shape, &indexes).unwrap();
            for most in [0, 1, 10, 999, all - 1, all, usize::MAX] {
                let counted = MultiProof::expected_up_to(shape, &indexes, most).unwrap();
                if most < all {
                    assert!((most + 1..=most + Arity::MAX).contains(&counted), "{most}: {counted}");
                } else {
                    assert_eq!(counted, all);
                }
            }
        }
    }
}
