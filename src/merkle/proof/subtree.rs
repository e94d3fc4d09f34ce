//! That a subtree is part of a tree, and that a leaf is part of a subtree.

use alloc::vec::Vec;

use arrayvec::ArrayVec;

use super::error::{ProveError, VerifyError};
use super::inclusion::InclusionProof;
use crate::merkle::hasher::Hasher;
use crate::merkle::head::TreeHead;
use crate::merkle::hex::Hashes;
use crate::merkle::shape::MAX_DEPTH;
use crate::merkle::source::NodeSource;
use crate::merkle::subtree::Subtree;
use crate::merkle::types::{Arity, Hash, LeafIndex, TreeSize};

/// The proof that a [`Subtree`] has the leaves that a tree of arity 2 has at its place.
///
/// It is the *subtree consistency proof* of the draft *Merkle Tree Certificates*, section 4.4, hash by hash. For
/// `[0, m)` it is the consistency proof of RFC 6962, for a single leaf the inclusion proof, and for an empty
/// subtree it has no hash.
///
/// ```
/// use duramen::merkle::{Subtree, SubtreeProof};
/// # #[cfg(feature = "std")] {
/// use duramen::{Hasher, MemoryAccumulator, Rfc6962Sha256};
///
/// let mut log = MemoryAccumulator::<Rfc6962Sha256, 2>::new();
/// (0..14_u8).try_for_each(|entry| log.push_data(&[entry]).map(drop))?;
/// let (head, snapshot) = (log.head()?, log.snapshot());
///
/// let subtree = Subtree::new(8, 13)?;
/// let root = snapshot.subtree_root(subtree)?;
/// let proof = snapshot.prove_subtree(subtree, 14)?;
/// proof.verify(&Rfc6962Sha256, subtree, &root, &head)?;
///
/// let proof = snapshot.prove_in_subtree(10, subtree)?;
/// subtree.verify_inclusion(&Rfc6962Sha256, &root, 10, &Rfc6962Sha256.leaf(&[10]), &proof)?;
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct SubtreeProof {
    #[cfg_attr(feature = "serde", serde(with = "crate::merkle::serial::hashes"))]
    hashes: Vec<Hash>,
}

impl core::fmt::Debug for SubtreeProof {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("SubtreeProof").field("hashes", &Hashes(&self.hashes)).finish()
    }
}

impl SubtreeProof {
    /// Proves that `subtree` has the leaves that the tree of the first `size` leaves of `source` has there.
    ///
    /// Reads one node per hash and hashes at most once per level.
    ///
    /// # Errors
    ///
    /// [`ProveError::SubtreeBeyondSize`] if the tree does not have all of its leaves, [`ProveError::Source`] with
    /// the first failed read.
    pub fn build<S, H>(
        source: &S,
        hasher: &H,
        subtree: Subtree,
        size: TreeSize,
    ) -> Result<Self, ProveError<S::Error>>
    where
        S: NodeSource + ?Sized,
        H: Hasher + ?Sized,
    {
        let walk = Walk::new(subtree, size)
            .ok_or(ProveError::SubtreeBeyondSize { end: subtree.end(), size })?;
        let nodes = walk.base.into_iter().chain(walk.steps.iter().rev().map(|step| step.sibling));
        let hashes = nodes.map(|node| node.root(source, hasher)).collect::<Result<_, _>>();
        Ok(Self { hashes: hashes.map_err(ProveError::Source)? })
    }

    /// A proof of these hashes, from the leaves up. Any hashes make a proof; whether it proves anything shows when
    /// it is verified.
    #[must_use]
    pub const fn from_hashes(hashes: Vec<Hash>) -> Self {
        Self { hashes }
    }

    /// The hashes, from the leaves up.
    #[must_use]
    pub fn hashes(&self) -> &[Hash] {
        &self.hashes
    }

    /// The hashes, from the leaves up.
    #[must_use]
    pub fn into_hashes(self) -> Vec<Hash> {
        self.hashes
    }

    /// How many hashes the proof for `subtree` in a tree of `size` leaves has; `None` if the tree does not have all
    /// of its leaves. At most 65.
    #[must_use]
    pub fn expected_hashes(subtree: Subtree, size: TreeSize) -> Option<usize> {
        Walk::new(subtree, size).map(|walk| walk.hashes())
    }

    /// Verifies that the leaves of the subtree with the root `root` are those that the tree of `head` has there.
    ///
    /// Both the root and the head are the caller's: what a cosigner signed, or what was computed from entries.
    /// Hashes at most twice per level. Does not allocate.
    ///
    /// # Errors
    ///
    /// [`VerifyError`] says why nothing was proven.
    pub fn verify<H: Hasher + ?Sized>(
        &self,
        hasher: &H,
        subtree: Subtree,
        root: &Hash,
        head: &TreeHead,
    ) -> Result<(), VerifyError> {
        let walk = Walk::new(subtree, head.size)
            .ok_or(VerifyError::SubtreeBeyondSize { end: subtree.end(), size: head.size })?;
        let (expected, found) = (walk.hashes(), self.hashes.len());
        if expected != found {
            return Err(VerifyError::HashCount { expected, found });
        }
        let claimed = TreeHead { size: subtree.size(), root: *root };
        if subtree.is_empty() {
            return claimed.must_be(hasher.empty_root());
        }
        super::check_values(hasher, core::slice::from_ref(root))?;
        super::check_values(hasher, &self.hashes)?;
        let (part, whole) = walk.fold(hasher, root, &self.hashes);
        claimed.must_be(part)?;
        head.must_be(whole)
    }
}

impl Subtree {
    /// Proves that the leaf `index` of the tree of `source` is in this subtree: section 4.3 of the draft.
    ///
    /// # Errors
    ///
    /// [`ProveError::OutsideSubtree`] if it is not, [`ProveError::Source`] with the first failed read.
    pub fn prove_inclusion<S, H>(
        self,
        source: &S,
        hasher: &H,
        index: impl Into<LeafIndex>,
    ) -> Result<InclusionProof, ProveError<S::Error>>
    where
        S: NodeSource + ?Sized,
        H: Hasher + ?Sized,
    {
        let index = index.into();
        let inside =
            self.place_of(index).ok_or(ProveError::OutsideSubtree { index, subtree: self })?;
        InclusionProof::build_at(&self.nodes(source), hasher, Arity::Two, self.size(), inside)
    }

    /// Verifies that `leaf` stands at `index` of every tree whose subtree this is, with the root `root`.
    ///
    /// # Errors
    ///
    /// [`VerifyError`] says why nothing was proven.
    pub fn verify_inclusion<H: Hasher + ?Sized>(
        self,
        hasher: &H,
        root: &Hash,
        index: impl Into<LeafIndex>,
        leaf: &Hash,
        proof: &InclusionProof,
    ) -> Result<(), VerifyError> {
        let index = index.into();
        let inside =
            self.place_of(index).ok_or(VerifyError::OutsideSubtree { index, subtree: self })?;
        let head = TreeHead { size: self.size(), root: *root };
        proof.verify(hasher, Arity::Two, &head, inside, leaf)
    }

    /// The place of a leaf, counted from the first leaf of the subtree.
    fn place_of(self, index: LeafIndex) -> Option<LeafIndex> {
        let place = index.0.checked_sub(self.start().0)?;
        (index < self.end()).then_some(LeafIndex(place))
    }
}

/// The way from the root of a tree down to a subtree, in intervals of leaves.
struct Walk {
    /// The node that both are folded from, if it is not the whole subtree, whose root the verifier has.
    base: Option<Subtree>,
    /// From the root down.
    steps: ArrayVec<Step, MAX_DEPTH>,
}

#[derive(Clone, Copy)]
struct Step {
    /// What lies beside the way.
    sibling: Subtree,
    side: Side,
}

#[derive(Clone, Copy, PartialEq)]
enum Side {
    /// Left of the way, and before the subtree.
    Before,
    /// Left of the way, and the first leaves of the subtree.
    Inside,
    /// Right of the way, and behind the subtree.
    Behind,
}

impl Walk {
    /// `None` if the tree does not have all leaves of the subtree.
    fn new(subtree: Subtree, size: TreeSize) -> Option<Self> {
        let (start, end) = (subtree.start().0, subtree.end().0);
        if end > size.0 {
            return None;
        }
        let mut walk = Self { base: None, steps: ArrayVec::new() };
        if start == end {
            return Some(walk);
        }
        // The node that the way has reached, and the first leaf of the subtree that no sibling has.
        let (mut first, mut behind, mut rest) = (0, size.0, start);
        while (first, behind) != (rest, end) {
            // More than one leaf: a node of one leaf that has a part of the subtree is that part.
            let middle = first + split(behind - first);
            let (left, right) =
                (Subtree::new(first, middle).ok()?, Subtree::new(middle, behind).ok()?);
            let (sibling, side) = if end <= middle {
                behind = middle;
                (right, Side::Behind)
            } else {
                first = middle;
                (left, if rest < middle { Side::Inside } else { Side::Before })
            };
            if side == Side::Inside {
                rest = middle;
            }
            walk.steps.try_push(Step { sibling, side }).ok()?;
        }
        if rest != start {
            walk.base = Some(Subtree::new(first, behind).ok()?);
        }
        Some(walk)
    }

    fn hashes(&self) -> usize {
        self.steps.len() + usize::from(self.base.is_some())
    }

    /// The roots of the subtree and of the tree. The number of hashes was checked.
    fn fold<H: Hasher + ?Sized>(&self, hasher: &H, root: &Hash, hashes: &[Hash]) -> (Hash, Hash) {
        let (base, siblings) = match (self.base, hashes.split_first()) {
            (Some(_), Some((base, siblings))) => (base, siblings),
            _ => (root, hashes),
        };
        let (mut part, mut whole) = (*base, *base);
        for (step, sibling) in self.steps.iter().rev().zip(siblings) {
            if step.side == Side::Inside {
                part = hasher.node(&[*sibling, part]);
            }
            whole = match step.side {
                Side::Behind => hasher.node(&[whole, *sibling]),
                Side::Before | Side::Inside => hasher.node(&[*sibling, whole]),
            };
        }
        (part, whole)
    }
}

/// How many leaves the left half of a node of `leaves` has, 2 at least: the largest power of two below.
const fn split(leaves: u64) -> u64 {
    1 << (leaves - 1).ilog2()
}
