//! A hash table that grows a little with every entry, and never all at once.
//!
//! One table that doubles moves all its entries at that moment, which takes seconds for ten million. Here many small shards
//! share the entries, and one of them is split whenever the average grows too large (linear hashing). So an entry costs
//! one split at most, of some 200 entries.
//!
//! An entry is a slot of four bytes and a mark of four: the bits of its hash that select its shard, now and after every
//! split. So a split reads no leaf. A search compares the marks of a shard, many at a time, and reads a leaf only for an
//! equal mark. Each shard has a filter of two cache lines, and the mark says which of them has its bits: so a hash that is
//! not there, which is what most inserts look for, costs one line of memory. In all an entry takes some 10.5 bytes.
//!
//! # Invariants
//!
//! - There are `2^l + s` shards, `s < 2^l`. The first `s` shards were split in this round, each into itself and the
//!   one `2^l` later.
//! - The lower `l + 1` bits of a mark select the shard, or the lower `l` where that shard is not there yet.
//! - A shard has as many marks as slots, and its filter has the bits of all its marks.

use super::super::key::KeyedHash;
use super::filter::{Filter, Filters};

/// Entries of a shard on average. Before its split a shard has up to twice as many.
const AVERAGE: usize = 96;
/// Room for so many more entries is made at a time.
const ROOM: usize = 8;
/// Marks that are compared at a time.
const GROUP: usize = 16;

#[derive(Default)]
pub(super) struct Shards {
    shards: Vec<Shard>,
    /// Of each shard.
    filters: Filters,
    len: usize,
}

#[derive(Default)]
struct Shard {
    marks: Vec<u32>,
    slots: Vec<u32>,
}

/// Where a slot is, until the next one is added.
#[derive(Clone, Copy)]
pub(super) struct Position {
    shard: usize,
    at: usize,
}

impl Shards {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// The position of the slot with this hash that `is_it` accepts.
    #[inline]
    pub(super) fn find(&self, hash: KeyedHash, is_it: impl FnMut(u32) -> bool) -> Option<Position> {
        let mark = mark(hash);
        let shard = self.shard_of(mark);
        if !self.filters.get(shard)?.may_have(mark) {
            return None;
        }
        let at = self.shards.get(shard)?.position(mark, is_it)?;
        Some(Position { shard, at })
    }

    pub(super) fn slot(&self, position: Position) -> Option<u32> {
        self.shards.get(position.shard)?.slots.get(position.at).copied()
    }

    pub(super) fn set_slot(&mut self, position: Position, slot: u32) {
        let shard = self.shards.get_mut(position.shard);
        if let Some(old) = shard.and_then(|shard| shard.slots.get_mut(position.at)) {
            *old = slot;
        }
    }

    /// Reads a word that [`find`](Self::find) will need, in a way that the processor need not wait for it before it
    /// goes on.
    #[inline]
    pub(super) fn touch(&self, hash: KeyedHash) -> u64 {
        let mark = mark(hash);
        self.filters.get(self.shard_of(mark)).map_or(0, |filter| filter.touch(mark))
    }

    /// Adds a slot that is not there.
    pub(super) fn add(&mut self, hash: KeyedHash, slot: u32) {
        if self.len >= self.shards.len() * AVERAGE {
            self.split();
        }
        self.len += 1;
        let mark = mark(hash);
        let number = self.shard_of(mark);
        if let Some(shard) = self.shards.get_mut(number)
            && let Some(filter) = self.filters.get_mut(number)
        {
            shard.push(mark, slot);
            filter.add(mark);
        }
    }

    /// Adds a shard and moves to it what belongs there now.
    fn split(&mut self) {
        let (mut new, mut new_filter) = (Shard::default(), Filter::default());
        if let Some(level) = self.shards.len().checked_ilog2() {
            let parent = self.shards.len() - (1 << level);
            if let Some(shard) = self.shards.get_mut(parent)
                && let Some(filter) = self.filters.get_mut(parent)
            {
                let old = std::mem::take(shard);
                *filter = Filter::default();
                let half = old.slots.len() / 2 + ROOM;
                shard.reserve(half);
                new.reserve(half);
                for (mark, slot) in old.marks.into_iter().zip(old.slots) {
                    let (shard, filter) = match mark >> level & 1 {
                        0 => (&mut *shard, &mut *filter),
                        _ => (&mut new, &mut new_filter),
                    };
                    shard.push(mark, slot);
                    filter.add(mark);
                }
            }
        }
        if self.shards.len() == self.shards.capacity() {
            self.shards.reserve_exact(self.shards.len() / 8 + 1);
        }
        self.shards.push(new);
        self.filters.push(new_filter);
    }

    #[inline]
    fn shard_of(&self, mark: u32) -> usize {
        let Some(level) = self.shards.len().checked_ilog2() else { return 0 };
        let shard = mark as usize & ((2 << level) - 1);
        if shard < self.shards.len() { shard } else { shard & ((1 << level) - 1) }
    }

    pub(super) fn bytes(&self) -> usize {
        let lists =
            |shard: &Shard| (shard.marks.capacity() + shard.slots.capacity()) * size_of::<u32>();
        let headers = self.shards.capacity() * size_of::<Shard>();
        self.shards.iter().map(lists).sum::<usize>() + headers + self.filters.bytes()
    }
}

impl Shard {
    /// The position of the slot with this mark that `is_it` accepts.
    fn position(&self, mark: u32, mut is_it: impl FnMut(u32) -> bool) -> Option<usize> {
        let (groups, rest) = self.marks.as_chunks::<GROUP>();
        let groups = groups.iter().map(|group| &group[..]).chain([rest]);
        for (number, group) in groups.enumerate() {
            // Without an early end, so that the compiler compares several at once.
            if !group.iter().fold(false, |any, other| any | (*other == mark)) {
                continue;
            }
            let equal = group.iter().enumerate().filter(|(_, other)| **other == mark);
            for at in equal.map(|(at, _)| number * GROUP + at) {
                if self.slots.get(at).is_some_and(|slot| is_it(*slot)) {
                    return Some(at);
                }
            }
        }
        None
    }

    fn push(&mut self, mark: u32, slot: u32) {
        if self.slots.len() == self.slots.capacity() || self.marks.len() == self.marks.capacity() {
            self.reserve(ROOM);
        }
        self.marks.push(mark);
        self.slots.push(slot);
    }

    /// Makes room for as many more entries, and not for twice as many.
    fn reserve(&mut self, room: usize) {
        self.marks.reserve_exact(room);
        self.slots.reserve_exact(room);
    }
}

/// The bits of a hash that an entry keeps.
fn mark(hash: KeyedHash) -> u32 {
    (hash.0 >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::super::super::key::IndexKey;
    use super::*;

    fn hash(number: u64) -> KeyedHash {
        let mut leaf = [0; 32];
        leaf[..8].copy_from_slice(&number.to_le_bytes());
        IndexKey::new(*b"a key of a tree!").hash(&leaf)
    }

    #[test]
    fn every_slot_is_found_while_shards_are_split_and_hardly_any_other_mark_is_searched_for() {
        let mut shards = Shards::new();
        let mut at = 0;
        for size in [1, 2, 95, 96, 97, 193, 1000, 5000, 100_000] {
            for number in at..size {
                shards.add(hash(u64::from(number)), number);
            }
            at = size;
            for number in 0..size {
                let position = shards.find(hash(u64::from(number)), |slot| slot == number);
                assert_eq!(position.and_then(|position| shards.slot(position)), Some(number));
            }
            let asked: Vec<_> = (0..10_000).map(|number| hash(1 << 40 | number)).collect();
            assert!(asked.iter().all(|hash| shards.find(*hash, |_| false).is_none()));
            let may_have = |hash: &&KeyedHash| {
                let mark = mark(**hash);
                shards.filters.get(shards.shard_of(mark)).unwrap().may_have(mark)
            };
            let passed = asked.iter().filter(may_have).count();
            assert!(passed < 1500, "{passed} of 10,000 absent ones pass the filters at {size}");
        }
    }

    #[test]
    fn a_slot_that_was_changed_is_another_one_afterwards() {
        let mut shards = Shards::new();
        (0..1000).for_each(|number| shards.add(hash(u64::from(number)), number));
        let position = shards.find(hash(500), |_| true).unwrap();
        shards.set_slot(position, 7777);
        assert_eq!(shards.slot(position), Some(7777));
        assert!(shards.find(hash(500), |slot| slot == 500).is_none());
    }
}
