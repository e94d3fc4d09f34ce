//! The proof of a tree's head against the commitment to a store.

use alloc::string::ToString;
use alloc::vec::Vec;

use super::error::{ClaimError, DecodeError};
use super::header::{Header, Reader};
use super::kind::Kind;
use crate::merkle::hasher::HasherId;
use crate::merkle::head::TreeHead;
use crate::merkle::proof::InclusionProof;
use crate::merkle::shape::Shape;
use crate::merkle::store_head::{NamedHead, TreeProof};
use crate::merkle::tree_name::TreeName;
use crate::merkle::types::{Arity, LeafIndex, TreeSize};

impl TreeProof {
    /// The bytes of this proof.
    ///
    /// # Errors
    ///
    /// [`ClaimError`] if the store has no such position, the path not the number of siblings that belongs
    /// to it, or the hash function a name that no hash function may have.
    pub fn encode(&self) -> Result<Vec<u8>, ClaimError> {
        let (expected, found) = (self.siblings()?, self.path.siblings().len());
        if expected != found {
            return Err(ClaimError::HashCount { expected, found });
        }
        let NamedHead { name, hasher, arity, head } = &self.tree;
        if !HasherId::is_name(hasher) {
            return Err(ClaimError::HasherName);
        }
        let siblings = self.path.siblings().as_flattened();
        let mut bytes = Header::write_for(Kind::Tree, *arity, hasher, 57 + 255 + siblings.len());
        bytes.extend(head.size.get().to_le_bytes());
        bytes.extend(head.root);
        // A name has at most 255 bytes.
        bytes.push(u8::try_from(name.as_str().len()).unwrap_or(u8::MAX));
        bytes.extend(name.as_str().as_bytes());
        bytes.extend(self.position.get().to_le_bytes());
        bytes.extend(self.count.to_le_bytes());
        bytes.extend_from_slice(siblings);
        Ok(bytes)
    }

    /// Reads a proof. What it says of the tree is a claim until it is
    /// [verified](TreeProof::verify).
    ///
    /// # Errors
    ///
    /// [`DecodeError`] if the bytes are anything else.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let (Header { arity, hasher, .. }, mut reader) = Reader::open_kind(bytes, Kind::Tree)?;
        let size = TreeSize(reader.u64()?);
        let head = TreeHead { size, root: reader.array()? };
        let [length] = reader.array()?;
        let name = core::str::from_utf8(reader.bytes(usize::from(length))?).ok();
        let name = name.and_then(|name| TreeName::try_from(name).ok());
        let name = name.ok_or(DecodeError::BadTreeName)?;
        let (position, count) = (LeafIndex(reader.u64()?), reader.u64()?);
        let tree = NamedHead { name, hasher: hasher.to_string(), arity, head };
        let path = InclusionProof::from_siblings(Vec::new());
        let mut proof = Self { tree, position, count, path };
        proof.path = InclusionProof::from_siblings(reader.hashes(proof.siblings()?)?);
        Ok(proof)
    }

    fn siblings(&self) -> Result<usize, ClaimError> {
        let (index, size) = (self.position, TreeSize(self.count));
        if index.get() >= size.get() {
            return Err(ClaimError::IndexBeyondSize { index, size });
        }
        Ok(Shape::new(Arity::Two, size).inclusion_siblings(index))
    }
}
