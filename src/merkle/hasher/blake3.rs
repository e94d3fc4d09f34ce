//! BLAKE3.

use super::{Hasher, HasherId};
use crate::merkle::types::Hash;

/// BLAKE3: inner nodes hash their children without a prefix, raw data is hashed under a
/// derive-key context of its own.
#[derive(Clone, Copy, Debug, Default)]
pub struct Blake3;

impl Hasher for Blake3 {
    fn id(&self) -> HasherId {
        const { HasherId::new("blake3") }
    }
    fn leaf(&self, data: &[u8]) -> Hash {
        blake3::derive_key("duramen 2026-11 leaf data", data)
    }
    fn node(&self, children: &[Hash]) -> Hash {
        *blake3::hash(children.as_flattened()).as_bytes()
    }
    fn empty_root(&self) -> Hash {
        *blake3::hash(&[]).as_bytes()
    }
}
