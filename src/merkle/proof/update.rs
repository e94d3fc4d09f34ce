//! From an inclusion proof for an old head to one for a new head, without the tree.

use alloc::vec::Vec;

use super::consistency::ConsistencyProof;
use super::error::VerifyError;
use super::inclusion::InclusionProof;
use super::path::Path;
use crate::merkle::hasher::Hasher;
use crate::merkle::head::TreeHead;
use crate::merkle::shape::Shape;
use crate::merkle::types::{Arity, Hash, LeafIndex};

/// A head, a later head of the same tree, and the proof that the one is a prefix of the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Growth<'a> {
    /// The trusted head before.
    pub old: &'a TreeHead,
    /// The trusted head after.
    pub new: &'a TreeHead,
    /// That the old tree is a prefix of the new one.
    pub proof: &'a ConsistencyProof,
}

impl InclusionProof {
    /// The proof that `leaf` stands at `index` in the new tree, from this proof of the same in the
    /// old tree.
    ///
    /// Any consistency proof is enough for every index: below the level on which the ways up from
    /// the leaf and from the end of the old tree meet, the siblings are complete and stay as they
    /// are; from that level on they are what the consistency proof holds or leads to.
    ///
    /// The result is byte for byte the proof that the new tree itself would give. Both given proofs
    /// are verified first. O(N log size), at most three hashes per level; allocates the result.
    ///
    /// # Errors
    ///
    /// [`VerifyError`] if one of the two proofs does not hold.
    pub fn update<H: Hasher + ?Sized>(
        &self,
        hasher: &H,
        arity: Arity,
        growth: Growth<'_>,
        index: LeafIndex,
        leaf: &Hash,
    ) -> Result<Self, VerifyError> {
        let Growth { old, new, proof: consistency } = growth;
        self.verify(hasher, arity, old, index, leaf)?;
        let Some(path) = Path::new(arity, old.size, new.size) else {
            consistency.verify(hasher, arity, old, new)?;
            return Ok(self.clone());
        };
        let shape = Shape::new(arity, new.size);
        let meeting = path.meeting(index);
        // Below the meeting every group is complete in the old tree already.
        let kept = usize::from(meeting.0) * (arity.children() - 1);
        let mut siblings = Vec::with_capacity(shape.inclusion_siblings(index));
        siblings.extend_from_slice(self.siblings().get(..kept).unwrap_or_default());
        consistency.verify_with(hasher, arity, old, new, |group| {
            if group.level >= meeting {
                let own = shape.place(shape.ancestor(index, group.level));
                let others = group.nodes.iter().enumerate().filter(|(place, _)| *place != own);
                siblings.extend(others.map(|(_, node)| *node));
            }
        })?;
        Ok(Self::from_siblings(siblings))
    }
}
