//! That one tree is a prefix of another.

use alloc::vec::Vec;

use super::error::{ProveError, VerifyError};
use super::path::Path;
use crate::merkle::edge::{EdgeNodes, RightEdge};
use crate::merkle::hasher::Hasher;
use crate::merkle::head::TreeHead;
use crate::merkle::hex::Hashes;
use crate::merkle::shape::Shape;
use crate::merkle::source::NodeSource;
use crate::merkle::types::{Arity, Hash, Level, TreeSize};

/// The proof that the leaves of an old tree are the first leaves of a new one.
///
/// Let `v` be the highest level on which the old tree has only complete nodes, and *the path* the
/// last of these nodes and its ancestors in the new tree. The proof holds
///
/// 1. on level `v` all nodes of the path's group in the new tree, from left to right; but without
///    the node of the path itself if that is the whole old tree, whose root the verifier has;
/// 2. on each level above, up to the new root, the siblings of the path's node in the new tree, from
///    left to right.
///
/// What is left of the path is in both trees, what is right of it only in the new one; so both roots
/// follow. With arity 2 and [`Rfc6962Sha256`](crate::Rfc6962Sha256) this is the consistency proof of
/// RFC 6962, section 2.1.2, hash by hash.
///
/// From size 0, and between equal sizes, the proof is empty. RFC 6962 has no proof from size 0, and
/// other clients refuse to verify one: Go's `transparency-dev/merkle` (`proof.VerifyConsistency`)
/// unless both sizes are 0, Go's `golang.org/x/mod/sumdb/tlog` and its port `tlog_tiles`
/// (`CheckTree`, `check_tree`) and `ct-merkle` (`OldTreeEmpty`) always. A log that serves such
/// clients starts at size 1; every tree extends the empty one.
#[derive(Clone, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct ConsistencyProof {
    #[cfg_attr(feature = "serde", serde(with = "crate::merkle::serial::hashes"))]
    hashes: Vec<Hash>,
}

impl core::fmt::Debug for ConsistencyProof {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("ConsistencyProof").field("hashes", &Hashes(&self.hashes)).finish()
    }
}

impl ConsistencyProof {
    /// Proves that the tree of the first `old` leaves is a prefix of the tree whose right edge is
    /// `edge`.
    ///
    /// Does not hash. Allocates once and reads at most N nodes per level, in one call each:
    /// O(N log size).
    ///
    /// # Errors
    ///
    /// [`ProveError::OldBeyondNew`] if `old` is the larger size, [`ProveError::Source`] with the
    /// first failed read.
    pub fn build<S: NodeSource + ?Sized>(
        source: &S,
        edge: &RightEdge,
        old: TreeSize,
    ) -> Result<Self, ProveError<S::Error>> {
        Self::assemble(source, &EdgeNodes::<dyn Hasher>::Folded(edge), old)
    }

    /// Proves that the tree of the first `old` leaves of `source` is a prefix of the tree of its first
    /// `new` leaves.
    ///
    /// Returns what [`build`](Self::build) returns, for a caller that does not have the right edge of the
    /// new size: hashes at most once per level, and only what this proof needs.
    ///
    /// # Errors
    ///
    /// As [`build`](Self::build).
    pub fn build_at<S, H>(
        source: &S,
        hasher: &H,
        arity: Arity,
        old: TreeSize,
        new: TreeSize,
    ) -> Result<Self, ProveError<S::Error>>
    where
        S: NodeSource + ?Sized,
        H: Hasher + ?Sized,
    {
        Self::assemble(source, &EdgeNodes::Fold(hasher, Shape::new(arity, new)), old)
    }

    pub(crate) fn assemble<S, H>(
        source: &S,
        edge: &EdgeNodes<'_, H>,
        old: TreeSize,
    ) -> Result<Self, ProveError<S::Error>>
    where
        S: NodeSource + ?Sized,
        H: Hasher + ?Sized,
    {
        let (arity, new) = (edge.shape().arity(), edge.shape().size());
        if old > new {
            return Err(ProveError::OldBeyondNew { old, new });
        }
        let Some(path) = Path::new(arity, old, new) else {
            return Ok(Self { hashes: Vec::new() });
        };
        let mut hashes = Vec::with_capacity(path.hashes());
        let mut nodes = [[0; 32]; Arity::MAX];
        for step in path.steps() {
            let group = step.group;
            if step.hashes() == 0 {
                continue;
            }
            let nodes = &mut nodes[..group.complete];
            source.read_nodes(step.level, group.first, nodes).map_err(ProveError::Source)?;
            if step.whole_group {
                hashes.extend_from_slice(nodes);
            } else {
                hashes.extend_from_slice(&nodes[..step.own]);
                hashes.extend_from_slice(nodes.get(step.own + 1..).unwrap_or_default());
            }
            // The path's node is itself the incomplete one where all complete ones are left of it.
            if step.own < group.complete && group.edge {
                hashes.push(edge.node(source, step.level).map_err(ProveError::Source)?);
            }
        }
        debug_assert_eq!(hashes.len(), path.hashes());
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

    /// How many hashes the proof from size `old` to size `new` has; `None` if `old` is the larger
    /// one.
    ///
    /// At most one more than the largest inclusion proof of the arity: 65, 97, 149 or 241.
    #[must_use]
    pub fn expected_hashes(arity: Arity, old: TreeSize, new: TreeSize) -> Option<usize> {
        (old <= new).then(|| Path::new(arity, old, new).map_or(0, Path::hashes))
    }

    /// Verifies that the tree of `old` is a prefix of the tree of `new`.
    ///
    /// The caller trusts that both heads were published. If the proof holds, no leaf of the old tree was
    /// rewritten between them. From size 0 only the hasher's empty root verifies; equal
    /// sizes need equal roots.
    ///
    /// Hashes at most twice per level. Does not allocate.
    ///
    /// # Errors
    ///
    /// [`VerifyError`] says why nothing was proven.
    pub fn verify<H: Hasher + ?Sized>(
        &self,
        hasher: &H,
        arity: Arity,
        old: &TreeHead,
        new: &TreeHead,
    ) -> Result<(), VerifyError> {
        self.verify_with(hasher, arity, old, new, |_| ())
    }

    /// The root of the tree of `new` leaves that the proof leads to from the tree of `old`, which it proves to be a
    /// prefix. Whether that root is trusted is the caller's to know.
    ///
    /// Between equal sizes and from size 0 a proof has no hash and leads nowhere: such ones are refused.
    #[cfg(feature = "cose")]
    pub(crate) fn new_root<H: Hasher + ?Sized>(
        &self,
        hasher: &H,
        arity: Arity,
        old: &TreeHead,
        new: TreeSize,
    ) -> Result<Hash, VerifyError> {
        if old.size > new {
            return Err(VerifyError::OldBeyondNew { old: old.size, new });
        }
        let path = Path::new(arity, old.size, new);
        let (expected, found) = (path.map_or(0, Path::hashes), self.hashes.len());
        let Some(path) = path.filter(|_| expected == found) else {
            return Err(VerifyError::HashCount { expected, found });
        };
        super::check_values(hasher, core::slice::from_ref(&old.root))?;
        super::check_values(hasher, &self.hashes)?;
        let (old_root, new_root) = self.fold(hasher, path, &old.root, |_| ());
        old.must_be(old_root)?;
        Ok(new_root)
    }

    /// Verifies, and shows `visit` the path's group on each level from `v` to below the new root, as
    /// it is in the new tree. What was shown is true only if the verification succeeds.
    pub(super) fn verify_with<H: Hasher + ?Sized>(
        &self,
        hasher: &H,
        arity: Arity,
        old: &TreeHead,
        new: &TreeHead,
        visit: impl FnMut(PathGroup<'_>),
    ) -> Result<(), VerifyError> {
        if old.size > new.size {
            return Err(VerifyError::OldBeyondNew { old: old.size, new: new.size });
        }
        let path = Path::new(arity, old.size, new.size);
        let (expected, found) = (path.map_or(0, Path::hashes), self.hashes.len());
        if expected != found {
            return Err(VerifyError::HashCount { expected, found });
        }
        let Some(path) = path else {
            if old.size == TreeSize(0) {
                old.must_be(hasher.empty_root())?;
            }
            return if old.size == new.size { new.must_be(old.root) } else { Ok(()) };
        };
        super::check_values(hasher, core::slice::from_ref(&old.root))?;
        super::check_values(hasher, &self.hashes)?;
        let (old_root, new_root) = self.fold(hasher, path, &old.root, visit);
        old.must_be(old_root)?;
        new.must_be(new_root)
    }

    /// The roots of both trees. The number of hashes was checked.
    fn fold<H: Hasher + ?Sized>(
        &self,
        hasher: &H,
        path: Path,
        old_root: &Hash,
        mut visit: impl FnMut(PathGroup<'_>),
    ) -> (Hash, Hash) {
        let mut nodes = [[0; 32]; Arity::MAX];
        let (mut old, mut new) = (*old_root, *old_root);
        let mut hashes = self.hashes.as_slice();
        for step in path.steps() {
            let (own, len) = (step.own, step.group.len());
            let (here, above) = hashes.split_at(step.hashes());
            hashes = above;
            if step.whole_group {
                nodes[..len].copy_from_slice(here);
                old = nodes[own];
            } else {
                nodes[..own].copy_from_slice(&here[..own]);
                nodes[own + 1..len].copy_from_slice(&here[own..]);
                nodes[own] = new;
            }
            let nodes = &mut nodes[..len];
            visit(PathGroup { level: step.level, nodes });
            new = if len > 1 { hasher.node(nodes) } else { nodes[0] };
            if own > 0 {
                nodes[own] = old;
                old = hasher.node(&nodes[..=own]);
            }
        }
        (old, new)
    }
}

/// The nodes that share their parent with the path's node of `level` in the new tree.
pub(super) struct PathGroup<'a> {
    pub(super) level: Level,
    pub(super) nodes: &'a [Hash],
}
