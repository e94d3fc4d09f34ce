//! A multi-inclusion proof with the places it claims.

use alloc::vec::Vec;

use super::error::{ClaimError, DecodeError};
use super::header::{HASH, Header, Reader};
use super::kind::Kind;
use crate::merkle::hasher::{Hasher, HasherId};
use crate::merkle::head::TreeHead;
use crate::merkle::proof::{MultiProof, VerifyError};
use crate::merkle::shape::Shape;
use crate::merkle::types::{Arity, Hash, LeafIndex, TreeSize};

/// A proof of many leaves and what it claims to be a proof of: what its encoding holds.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct MultiClaim {
    /// The size of the tree.
    pub size: TreeSize,
    /// The indexes of the leaves, strictly ascending.
    pub indexes: Vec<LeafIndex>,
    /// The proof.
    pub proof: MultiProof,
}

impl MultiClaim {
    /// The bytes of this proof in a tree of this hasher and arity.
    ///
    /// # Errors
    ///
    /// [`ClaimError`] if there is no index, if they are not strictly ascending, if the tree has no
    /// such leaves or the proof not the number of hashes that belong to them.
    pub fn encode(&self, hasher: HasherId, arity: Arity) -> Result<Vec<u8>, ClaimError> {
        let found = self.proof.hashes().len();
        match self.expected_up_to(arity, found)? {
            expected if expected > found => return Err(ClaimError::HashesMissing { found }),
            expected if expected < found => {
                return Err(ClaimError::HashCount { expected, found });
            }
            _ => {}
        }
        let hashes = self.proof.hashes().as_flattened();
        let more = 16 + 8 * self.indexes.len() + hashes.len();
        let mut bytes = Header::write(Kind::Multi, arity, hasher, more);
        bytes.extend(self.size.get().to_le_bytes());
        bytes.extend((self.indexes.len() as u64).to_le_bytes());
        bytes.extend(self.indexes.iter().flat_map(|index| index.get().to_le_bytes()));
        bytes.extend_from_slice(hashes);
        Ok(bytes)
    }

    /// Reads a proof in a tree of this hasher and arity.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] if the bytes are anything else.
    pub fn decode(bytes: &[u8], hasher: HasherId, arity: Arity) -> Result<Self, DecodeError> {
        let mut reader = Reader::open(bytes, Kind::Multi, hasher, arity)?;
        let size = TreeSize(reader.u64()?);
        let count = reader.u64()?;
        let indexes = reader.u64s(count)?.into_iter().map(LeafIndex).collect();
        let mut claim = Self { size, indexes, proof: MultiProof::from_hashes(Vec::new()) };
        let found = reader.left();
        let expected = claim.expected_up_to(arity, found / HASH)?;
        if expected > found / HASH {
            return Err(DecodeError::HashesMissing { found });
        }
        claim.proof = MultiProof::from_hashes(reader.hashes(expected)?);
        Ok(claim)
    }

    /// Verifies that this is a proof of exactly these `leaves`, each at its index, in the tree that
    /// `head` trusts. They may come in any order; the same leaf may come twice.
    ///
    /// # Errors
    ///
    /// [`VerifyError`] if it claims another size or other indexes, or does not hold.
    pub fn verify<H: Hasher + ?Sized>(
        &self,
        hasher: &H,
        arity: Arity,
        head: &TreeHead,
        leaves: &[(LeafIndex, Hash)],
    ) -> Result<(), VerifyError> {
        VerifyError::unless_same_size(self.size, head.size)?;
        let mut asked: Vec<LeafIndex> = leaves.iter().map(|leaf| leaf.0).collect();
        asked.sort_unstable();
        asked.dedup();
        if self.indexes != asked {
            return Err(VerifyError::OtherIndexes {
                claimed: self.indexes.len(),
                asked: asked.len(),
            });
        }
        self.proof.verify(hasher, arity, head, leaves)
    }

    /// How many hashes the proof has, or the first count above `most`.
    fn expected_up_to(&self, arity: Arity, most: usize) -> Result<usize, ClaimError> {
        if let Some((&before, &index)) =
            self.indexes.iter().zip(self.indexes.iter().skip(1)).find(|(a, b)| a >= b)
        {
            return Err(ClaimError::NotAscending { before, index });
        }
        let size = self.size;
        let Some(&index) = self.indexes.last() else { return Err(ClaimError::NoIndexes) };
        MultiProof::expected_up_to(Shape::new(arity, size), &self.indexes, most)
            .ok_or(ClaimError::IndexBeyondSize { index, size })
    }
}
