//! A hash table that grows a little with every entry, and never all at once.
//!
//! One table that doubles hashes all its leaves again at that moment, which takes seconds for ten million. Here many small
//! tables share the entries, and one of them is split whenever the average grows too large (linear hashing). So an entry
//! costs one split at most, some 400 leaves hashed again. In all that is about twice the work of one table.
//!
//! An entry is four bytes, and a slot of a table one more. Tables are between 45 % and 90 % full, so an entry takes 7 to
//! 10 bytes, 8.5 on average.
//!
//! # Invariants
//!
//! - There are `2^l + s` shards, `s < 2^l`. The first `s` shards were split in this round, each into itself and the
//!   one `2^l` later.
//! - A table takes the low and the top bits of a hash, the choice of a shard those in between.

use hashbrown::HashTable;

use super::super::key::KeyedHash;

/// Entries of a shard on average. Before its split a shard has up to twice as many, which is what 512 slots take with
/// some reserve for chance.
const AVERAGE: usize = 200;
/// The lowest bit that selects a shard.
const SELECTOR: u32 = 16;

pub(super) struct Shards {
    shards: Vec<HashTable<u32>>,
    len: usize,
}

impl Shards {
    pub(super) fn new() -> Self {
        Self { shards: Vec::new(), len: 0 }
    }

    pub(super) fn find(&self, hash: KeyedHash, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        self.shards.get(self.shard_of(hash))?.find(hash.0, |slot| is_it(*slot)).copied()
    }

    pub(super) fn find_mut(
        &mut self,
        hash: KeyedHash,
        mut is_it: impl FnMut(u32) -> bool,
    ) -> Option<&mut u32> {
        let shard = self.shard_of(hash);
        self.shards.get_mut(shard)?.find_mut(hash.0, |slot| is_it(*slot))
    }

    /// Adds a slot that is not there.
    pub(super) fn add(&mut self, hash: KeyedHash, slot: u32, hash_of: impl Fn(u32) -> KeyedHash) {
        if self.len >= self.shards.len() * AVERAGE {
            self.split(&hash_of);
        }
        self.len += 1;
        self.put(hash, slot, &hash_of);
    }

    fn put(&mut self, hash: KeyedHash, slot: u32, hash_of: impl Fn(u32) -> KeyedHash) {
        let shard = self.shard_of(hash);
        if let Some(shard) = self.shards.get_mut(shard) {
            shard.insert_unique(hash.0, slot, |slot| hash_of(*slot).0);
        }
    }

    /// Adds a shard and moves to it what belongs there now.
    fn split(&mut self, hash_of: impl Fn(u32) -> KeyedHash) {
        let parent =
            self.shards.len().checked_ilog2().map(|level| self.shards.len() - (1 << level));
        let slots = parent.and_then(|at| self.shards.get_mut(at)).map(std::mem::take);
        let half = slots.as_ref().map_or(0, |slots| slots.len() / 2);
        if let Some(parent) = parent.and_then(|at| self.shards.get_mut(at)) {
            parent.reserve(half, |_| 0);
        }
        self.shards.push(HashTable::with_capacity(half));
        // All leaves are hashed first: the processor then waits for many of them at once.
        let slots = slots.into_iter().flatten().map(|slot| (hash_of(slot), slot));
        for (hash, slot) in slots.collect::<Vec<_>>() {
            self.put(hash, slot, &hash_of);
        }
    }

    fn shard_of(&self, hash: KeyedHash) -> usize {
        let Some(level) = self.shards.len().checked_ilog2() else { return 0 };
        let selector = usize::try_from(hash.0 >> SELECTOR).unwrap_or(usize::MAX);
        let shard = selector & ((2 << level) - 1);
        if shard < self.shards.len() { shard } else { shard & ((1 << level) - 1) }
    }

    pub(super) fn bytes(&self) -> usize {
        let tables: usize = self.shards.iter().map(HashTable::allocation_size).sum();
        tables + self.shards.capacity() * size_of::<HashTable<u32>>()
    }
}
