//! A consistency proof with the sizes it claims.

use alloc::vec::Vec;

use super::error::{ClaimError, DecodeError};
use super::header::{Header, Reader};
use super::kind::Kind;
use crate::merkle::hasher::{Hasher, HasherId};
use crate::merkle::head::TreeHead;
use crate::merkle::proof::{ConsistencyProof, VerifyError};
use crate::merkle::types::{Arity, TreeSize};

/// A consistency proof and what it claims to be a proof of: what its encoding holds.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct ConsistencyClaim {
    /// The size of the old tree.
    pub old: TreeSize,
    /// The size of the new tree.
    pub new: TreeSize,
    /// The proof.
    pub proof: ConsistencyProof,
}

impl ConsistencyClaim {
    /// The bytes of this proof between trees of this hasher and arity.
    ///
    /// # Errors
    ///
    /// [`ClaimError`] if the old size is the larger one or the proof has not the number of hashes
    /// that belong to the sizes.
    pub fn encode(&self, hasher: HasherId, arity: Arity) -> Result<Vec<u8>, ClaimError> {
        let (expected, found) = (self.expected(arity)?, self.proof.hashes().len());
        if expected != found {
            return Err(ClaimError::HashCount { expected, found });
        }
        let hashes = self.proof.hashes().as_flattened();
        let mut bytes = Header::write(Kind::Consistency, arity, hasher, 16 + hashes.len());
        bytes.extend(self.old.get().to_le_bytes());
        bytes.extend(self.new.get().to_le_bytes());
        bytes.extend_from_slice(hashes);
        Ok(bytes)
    }

    /// Reads a proof between trees of this hasher and arity.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] if the bytes are anything else.
    pub fn decode(bytes: &[u8], hasher: HasherId, arity: Arity) -> Result<Self, DecodeError> {
        let mut reader = Reader::open(bytes, Kind::Consistency, hasher, arity)?;
        let old = TreeSize(reader.u64()?);
        let new = TreeSize(reader.u64()?);
        let mut claim = Self { old, new, proof: ConsistencyProof::from_hashes(Vec::new()) };
        claim.proof = ConsistencyProof::from_hashes(reader.hashes(claim.expected(arity)?)?);
        Ok(claim)
    }

    /// Verifies that this is a proof that the tree of `old` is a prefix of the tree of `new`.
    ///
    /// # Errors
    ///
    /// [`VerifyError`] if it claims other sizes, or does not hold.
    pub fn verify<H: Hasher + ?Sized>(
        &self,
        hasher: &H,
        arity: Arity,
        old: &TreeHead,
        new: &TreeHead,
    ) -> Result<(), VerifyError> {
        VerifyError::unless_same_size(self.old, old.size)?;
        VerifyError::unless_same_size(self.new, new.size)?;
        self.proof.verify(hasher, arity, old, new)
    }

    fn expected(&self, arity: Arity) -> Result<usize, ClaimError> {
        let (old, new) = (self.old, self.new);
        ConsistencyProof::expected_hashes(arity, old, new)
            .ok_or(ClaimError::OldBeyondNew { old, new })
    }
}
