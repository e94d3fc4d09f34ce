//! BLAKE3.

mod kernel;

use alloc::boxed::Box;

use super::{Hasher, HasherId, LeafInPieces};
use crate::merkle::types::{Arity, Hash};

/// What the first half of the derive-key mode makes of [`Blake3::LEAF_CONTEXT`]; a constant so that no leaf
/// pays for it.
const LEAF_CONTEXT_KEY: Hash = [
    0x06, 0x58, 0x6e, 0xf9, 0x39, 0xc0, 0x79, 0xdc, 0x34, 0x95, 0xdf, 0xe8, 0x6c, 0xd6, 0xf9, 0xb3,
    0x06, 0x62, 0xaf, 0xbf, 0xac, 0x49, 0xb3, 0xf6, 0x42, 0x86, 0xd5, 0x12, 0x29, 0x65, 0xbe, 0x68,
];
const LEAF_CONTEXT_WORDS: [u32; 8] = kernel::words(&LEAF_CONTEXT_KEY);

/// BLAKE3: inner nodes hash their children without a prefix, raw data is hashed under a
/// derive-key context of its own.
///
/// Nodes are hashed with the vector kernel of the crate `blake3`. It is compared with that crate's
/// public function the first time it is needed; should they ever differ, the public function is
/// used instead.
#[derive(Clone, Copy, Debug, Default)]
pub struct Blake3;

impl Blake3 {
    /// The derive-key context under which raw data becomes a leaf.
    ///
    /// The leaf of `data` is `blake3::derive_key(Blake3::LEAF_CONTEXT, data)`: a domain other than
    /// that of inner nodes, so no data is mistaken for a concatenation of children.
    pub const LEAF_CONTEXT: &str = "duramen 2026-11 leaf data v1";
}

impl Hasher for Blake3 {
    fn id(&self) -> HasherId {
        const { HasherId::new("blake3") }
    }

    /// `blake3::derive_key` of [`Blake3::LEAF_CONTEXT`] and `data`.
    fn leaf(&self, data: &[u8]) -> Hash {
        match kernel::trusted() {
            Some(platform) if data.len() <= kernel::CHUNK => {
                kernel::hash_chunk(platform, &LEAF_CONTEXT_WORDS, kernel::DERIVE_KEY_MATERIAL, data)
            }
            _ => blake3::derive_key(Self::LEAF_CONTEXT, data),
        }
    }

    fn leaves(&self, data: &[&[u8]], leaves: &mut [Hash]) {
        assert_eq!(data.len(), leaves.len());
        let Some(platform) = kernel::trusted() else {
            data.iter().zip(leaves).for_each(|(data, leaf)| *leaf = self.leaf(data));
            return;
        };
        let groups = data.chunks(kernel::LANES).zip(leaves.chunks_mut(kernel::LANES));
        for (data, leaves) in groups {
            if data.iter().all(|data| data.len() <= kernel::CHUNK) {
                let (key, mode) = (&LEAF_CONTEXT_WORDS, kernel::DERIVE_KEY_MATERIAL);
                kernel::hash_chunks(platform, key, mode, data, leaves);
            } else {
                data.iter().zip(leaves).for_each(|(data, leaf)| *leaf = self.leaf(data));
            }
        }
    }

    fn leaf_in_pieces(&self) -> Box<dyn LeafInPieces + '_> {
        Box::new(Leaf(blake3::Hasher::new_derive_key(Self::LEAF_CONTEXT)))
    }

    fn node(&self, children: &[Hash]) -> Hash {
        let input = children.as_flattened();
        match kernel::trusted() {
            Some(platform) if input.len() <= kernel::CHUNK => {
                kernel::hash_chunk(platform, &kernel::IV, kernel::PLAIN, input)
            }
            _ => *blake3::hash(input).as_bytes(),
        }
    }

    fn nodes(&self, arity: Arity, children: &[Hash], parents: &mut [Hash]) {
        assert_eq!(children.len(), parents.len() * arity.children());
        match kernel::trusted() {
            Some(platform) => kernel::hash_groups(platform, arity, children, parents),
            None => {
                for (group, parent) in children.chunks_exact(arity.children()).zip(parents) {
                    *parent = *blake3::hash(group.as_flattened()).as_bytes();
                }
            }
        }
    }

    fn chain(&self, groups: &[&[Hash]]) -> Hash {
        let (first, others) = super::chain_of(groups);
        let (Some(platform), Some((last, first))) = (kernel::trusted(), first.split_last()) else {
            return super::node_by_node(self, first, others);
        };
        // What is hashed of the first group is its last node with the others before it.
        let (some, more) = others.split_at(others.len().min(kernel::CHAIN));
        let mut node = kernel::hash_chain(platform, first, last, some);
        for others in more.chunks(kernel::CHAIN) {
            node = kernel::hash_chain(platform, &[], &node, others);
        }
        node
    }

    fn empty_root(&self) -> Hash {
        *blake3::hash(&[]).as_bytes()
    }
}

struct Leaf(blake3::Hasher);

impl LeafInPieces for Leaf {
    fn update(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    fn finish(self: Box<Self>) -> Hash {
        *self.0.finalize().as_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_leaf_context_key_is_that_of_the_leaf_context() {
        assert_eq!(blake3::hazmat::hash_derive_key_context(Blake3::LEAF_CONTEXT), LEAF_CONTEXT_KEY);
    }

    #[test]
    fn the_vector_kernel_of_this_processor_is_trusted() {
        assert!(kernel::trusted().is_some());
    }
}
