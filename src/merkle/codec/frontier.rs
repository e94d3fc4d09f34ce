//! A frontier, exported and imported.

use alloc::vec::Vec;

use super::error::DecodeError;
use super::header::{Header, Reader};
use super::kind::Kind;
use crate::merkle::frontier::Frontier;
use crate::merkle::hasher::HasherId;
use crate::merkle::shape::Shape;
use crate::merkle::types::{Arity, TreeSize};

impl Frontier {
    /// The bytes of this frontier of a tree of this hasher.
    #[must_use]
    pub fn encode(&self, hasher: HasherId) -> Vec<u8> {
        let nodes = self.nodes().as_flattened();
        let mut bytes = Header::write(Kind::Frontier, self.arity(), hasher, 8 + nodes.len());
        bytes.extend(self.size().get().to_le_bytes());
        bytes.extend_from_slice(nodes);
        bytes
    }

    /// Reads the frontier of a tree of this hasher and arity.
    ///
    /// A frontier proves nothing by itself: compare its [`head`](Self::head) with a trusted one.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] if the bytes are anything else.
    pub fn decode(bytes: &[u8], hasher: HasherId, arity: Arity) -> Result<Self, DecodeError> {
        let mut reader = Reader::open(bytes, Kind::Frontier, hasher, arity)?;
        let shape = Shape::new(arity, TreeSize(reader.u64()?));
        let nodes = reader.hashes(shape.frontier_nodes())?;
        Ok(Self::from_parts(shape, nodes))
    }
}
