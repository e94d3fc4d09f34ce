//! The leaves that no part has, found by their hash in memory.
//!
//! # Invariants
//!
//! - The table has every leaf from its first index on, in the order of the tree, and only their indexes. What the
//!   leaves are it asks the caller.
//! - A generation covers a run of leaves. Leaves that reached a part go with their generation, as a whole.
//! - Leaves are added to a generation that begins behind all leaves in parts. Once parts reach into it, the next leaf
//!   begins another one. So all but the last two generations are full, and of leaves in parts the table keeps fewer than
//!   there were behind the parts when the generation ended.
//! - No leaf below the floor is asked for. So the table reads no part.

mod filter;
mod generation;
mod shards;

use std::collections::VecDeque;

use generation::Generation;

use super::key::{IndexKey, KeyedHash};
use crate::merkle::{Hash, LeafIndex};

/// Leaves whose places are read before the first of them is added or looked for.
pub(crate) const AT_ONCE: usize = 64;

/// Finds leaves in memory.
pub(crate) struct RecentTable {
    key: IndexKey,
    /// Leaves below this index are in parts. A generation that also has later ones keeps them, unseen.
    floor: u64,
    /// The oldest first. There is always one, and leaves are added to the last.
    generations: VecDeque<Generation>,
}

impl RecentTable {
    /// An empty table behind the leaves below `size`.
    pub(crate) fn new(key: IndexKey, size: u64) -> Self {
        Self { key, floor: size, generations: VecDeque::from([Generation::new(size)]) }
    }

    /// The place of a leaf in this table.
    pub(crate) fn hash(&self, leaf: &Hash) -> KeyedHash {
        self.key.hash(leaf)
    }

    /// The size of the tree up to which leaves were added.
    pub(crate) fn size(&self) -> u64 {
        self.generations.back().map_or(self.floor, Generation::end)
    }

    /// Adds the next leaves. `leaf_at` returns the leaf at an index below them, from the first one of the generation on.
    pub(crate) fn add(&mut self, leaves: &[Hash], leaf_at: impl Fn(LeafIndex) -> Hash) {
        let mut hashes = [KeyedHash::MAX; AT_ONCE];
        for leaves in leaves.chunks(AT_ONCE) {
            for (hash, leaf) in hashes.iter_mut().zip(leaves) {
                *hash = self.key.hash(leaf);
            }
            self.touch(&hashes[..leaves.len()]);
            for (hash, leaf) in hashes.iter().zip(leaves) {
                if self.generations.back().is_none_or(Generation::is_full) {
                    self.start_generation();
                }
                if let Some(generation) = self.generations.back_mut() {
                    generation.add(*hash, leaf, &leaf_at);
                }
            }
        }
    }

    /// Reads where these hashes have their places, and nothing else is done: the processor then waits for all of them at
    /// once, and not for one after the other. Of use for at most [`AT_ONCE`].
    pub(crate) fn touch(&self, hashes: &[KeyedHash]) {
        let places = |hash: &KeyedHash| {
            self.generations.iter().fold(0, |all, generation| all | generation.touch(*hash))
        };
        std::hint::black_box(hashes.iter().map(places).fold(0, |all, word| all | word));
    }

    /// Starts a generation with the next leaf.
    fn start_generation(&mut self) {
        let size = self.size();
        self.generations.push_back(Generation::new(size));
    }

    /// Forgets the leaves below `size`, which are in parts now. A generation that ends there is dropped. One that they
    /// reach into gets no leaf any more.
    pub(crate) fn forget_below(&mut self, size: u64) {
        self.floor = self.floor.max(size);
        if self.size() <= self.floor {
            self.generations = VecDeque::from([Generation::new(self.floor)]);
        }
        while self.generations.front().is_some_and(|oldest| oldest.end() <= self.floor)
            && self.generations.len() > 1
        {
            self.generations.pop_front();
        }
        if self.generations.back().is_some_and(|last| last.first() < self.floor) {
            self.start_generation();
        }
    }

    /// Returns the first leaf of the table with this hash that `is_leaf` accepts.
    pub(crate) fn find(
        &self,
        hash: KeyedHash,
        is_leaf: impl FnMut(LeafIndex) -> bool,
    ) -> Option<LeafIndex> {
        self.find_all(hash, is_leaf).next()
    }

    /// Returns all leaves of the table with this hash that `is_leaf` accepts, in rising order. It is asked about one of
    /// equal leaves in a generation, the last one.
    pub(crate) fn find_all<'a>(
        &'a self,
        hash: KeyedHash,
        mut is_leaf: impl FnMut(LeafIndex) -> bool + 'a,
    ) -> impl Iterator<Item = LeafIndex> + 'a {
        let floor = self.floor;
        self.generations.iter().flat_map(move |run| run.find_all(hash, floor, &mut is_leaf))
    }

    /// Bytes that the table takes on the heap.
    pub(crate) fn bytes(&self) -> usize {
        self.generations.iter().map(Generation::bytes).sum()
    }
}
