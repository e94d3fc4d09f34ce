//! SHA-256 with the prefixes of RFC 6962.

use alloc::boxed::Box;

use sha2::{Digest, Sha256};

use super::{Hasher, HasherId, LeafInPieces};
use crate::merkle::types::Hash;

/// SHA-256 as in RFC 6962, section 2.1: a leaf is SHA-256(0x00 || data), an inner node is
/// SHA-256(0x01 || left || right), the root of the empty tree is SHA-256 of nothing.
///
/// With [`Arity::Two`](crate::Arity::Two) roots and proofs are those of Certificate Transparency.
/// With a larger arity a node is SHA-256(0x01 || child || child || ...), which the RFC does not
/// know.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rfc6962Sha256;

impl Hasher for Rfc6962Sha256 {
    fn id(&self) -> HasherId {
        const { HasherId::new("rfc6962-sha256") }
    }

    fn leaf(&self, data: &[u8]) -> Hash {
        Sha256::new().chain_update([0x00]).chain_update(data).finalize().into()
    }

    fn leaf_in_pieces(&self) -> Box<dyn LeafInPieces + '_> {
        Box::new(Leaf(Sha256::new().chain_update([0x00])))
    }

    fn node(&self, children: &[Hash]) -> Hash {
        Sha256::new().chain_update([0x01]).chain_update(children.as_flattened()).finalize().into()
    }

    fn empty_root(&self) -> Hash {
        Sha256::digest([]).into()
    }
}

struct Leaf(Sha256);

impl LeafInPieces for Leaf {
    fn update(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    fn finish(self: Box<Self>) -> Hash {
        self.0.finalize().into()
    }
}
