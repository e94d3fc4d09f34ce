//! An inclusion proof with the place it claims.

use alloc::vec::Vec;

use super::error::{ClaimError, DecodeError};
use super::header::{Header, Reader};
use super::kind::Kind;
use crate::merkle::hasher::{Hasher, HasherId};
use crate::merkle::head::TreeHead;
use crate::merkle::proof::{InclusionProof, VerifyError};
use crate::merkle::shape::Shape;
use crate::merkle::types::{Arity, Hash, LeafIndex, TreeSize};

/// An inclusion proof and what it claims to be a proof of: what its encoding holds.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct InclusionClaim {
    /// The size of the tree.
    pub size: TreeSize,
    /// The index of the leaf.
    pub index: LeafIndex,
    /// The proof.
    pub proof: InclusionProof,
}

impl InclusionClaim {
    /// The bytes of this proof in a tree of this hasher and arity.
    ///
    /// # Errors
    ///
    /// [`ClaimError`] if the tree has no such leaf or the proof not the number of siblings that
    /// belong to it.
    pub fn encode(&self, hasher: HasherId, arity: Arity) -> Result<Vec<u8>, ClaimError> {
        let siblings = self.proof.siblings();
        let (expected, found) = (self.expected(arity)?, siblings.len());
        if expected != found {
            return Err(ClaimError::HashCount { expected, found });
        }
        let hashes = siblings.as_flattened();
        let mut bytes = Header::write(Kind::Inclusion, arity, hasher, 16 + hashes.len());
        bytes.extend(self.size.get().to_le_bytes());
        bytes.extend(self.index.get().to_le_bytes());
        bytes.extend_from_slice(hashes);
        Ok(bytes)
    }

    /// Reads a proof in a tree of this hasher and arity.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] if the bytes are anything else.
    pub fn decode(bytes: &[u8], hasher: HasherId, arity: Arity) -> Result<Self, DecodeError> {
        let mut reader = Reader::open(bytes, Kind::Inclusion, hasher, arity)?;
        let size = TreeSize(reader.u64()?);
        let index = LeafIndex(reader.u64()?);
        let proof = InclusionProof::from_siblings(Vec::new());
        let mut claim = Self { size, index, proof };
        claim.proof = InclusionProof::from_siblings(reader.hashes(claim.expected(arity)?)?);
        Ok(claim)
    }

    /// Verifies that this is a proof of `leaf` at `index` in the tree that `head` trusts.
    ///
    /// # Errors
    ///
    /// [`VerifyError`] if it claims another size or index, or does not hold.
    pub fn verify<H: Hasher + ?Sized>(
        &self,
        hasher: &H,
        arity: Arity,
        head: &TreeHead,
        index: LeafIndex,
        leaf: &Hash,
    ) -> Result<(), VerifyError> {
        VerifyError::unless_same_size(self.size, head.size)?;
        if self.index != index {
            return Err(VerifyError::OtherIndex { claimed: self.index, asked: index });
        }
        self.proof.verify(hasher, arity, head, index, leaf)
    }

    fn expected(&self, arity: Arity) -> Result<usize, ClaimError> {
        let (index, size) = (self.index, self.size);
        if index.get() >= size.get() {
            return Err(ClaimError::IndexBeyondSize { index, size });
        }
        Ok(Shape::new(arity, size).inclusion_siblings(index))
    }
}
