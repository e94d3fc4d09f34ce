//! The next records in the order of the index, out of leaves that come in the order of the tree. Pure.
//!
//! # Invariants
//!
//! - A selection takes at most `room` records, and they are the smallest above `after`. Every pass therefore goes on
//!   where the pass before ended, also in the middle of a million equal leaves.
//! - It has space for `room` records and never takes more.

use super::key::KeyedHash;
use super::records::{LeafOffset, Record};

/// A record with its hash in two halves: 12 bytes. With one `u64` it would be aligned to 16.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Packed {
    high: u32,
    low: u32,
    offset: u32,
}

pub(super) const PACKED_LEN: usize = size_of::<Packed>();
const _: () = assert!(PACKED_LEN == 12);

impl Packed {
    #[expect(clippy::cast_possible_truncation, reason = "the two halves")]
    fn new(record: Record) -> Self {
        let Record { hash: KeyedHash(hash), offset: LeafOffset(offset) } = record;
        Self { high: (hash >> 32) as u32, low: hash as u32, offset }
    }

    fn hash(self) -> u64 {
        u64::from(self.high) << 32 | u64::from(self.low)
    }

    /// What records are ordered by, as one number.
    fn order(self) -> u128 {
        u128::from(self.hash()) << 32 | u128::from(self.offset)
    }

    fn record(self) -> Record {
        Record { hash: KeyedHash(self.hash()), offset: LeafOffset(self.offset) }
    }
}

/// The records of one pass.
pub(super) struct Selection {
    taken: Vec<Packed>,
    room: usize,
    /// The last record of the pass before.
    after: Option<Record>,
    first: KeyedHash,
    /// The greatest hash that is wanted.
    last: KeyedHash,
    /// Set once there is no more room: only records below it are taken.
    below: Option<Record>,
}

impl Selection {
    /// Of the records above `after` with a hash of at most `last`, the first `room`, which is 2 or more.
    pub(super) fn new(room: usize, after: Option<Record>, last: KeyedHash) -> Self {
        let first = after.map_or(KeyedHash(0), |after| after.hash);
        Self { taken: Vec::with_capacity(room), room, after, first, last, below: None }
    }

    #[inline]
    pub(super) fn offer(&mut self, record: Record) {
        if record.hash >= self.first && record.hash <= self.last {
            self.consider(record);
        }
    }

    fn consider(&mut self, record: Record) {
        if self.after.is_some_and(|after| record <= after)
            || self.below.is_some_and(|below| record >= below)
        {
            return;
        }
        if self.taken.len() >= self.room {
            self.make_room(record);
            if self.below.is_some_and(|below| record >= below) {
                return;
            }
        }
        self.taken.push(Packed::new(record));
    }

    /// Makes room for `record`, if it is among the smallest. The first time the greatest one at most is thrown away:
    /// equal leaves come in their order, and those that follow are all greater. Then the greater half goes.
    fn make_room(&mut self, record: Record) {
        if self.below.is_some() {
            let half = self.room / 2;
            self.taken.select_nth_unstable_by_key(half, |packed| packed.order());
            self.below = self.taken.get(half).map(|packed| packed.record());
            self.taken.truncate(half);
        } else {
            let greatest = self.taken.iter().enumerate().max_by_key(|(_, packed)| packed.order());
            let Some((at, below)) = greatest.map(|(at, packed)| (at, packed.record())) else {
                return;
            };
            if record < below {
                self.taken.swap_remove(at);
            }
            self.below = Some(below);
        }
    }

    /// The records in their order.
    pub(super) fn finish(mut self) -> impl Iterator<Item = Record> {
        self.taken.sort_unstable_by_key(|packed| packed.order());
        self.taken.into_iter().map(Packed::record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As many records as there is room for, and not one more: the memory would double.
    #[test]
    fn a_selection_never_takes_more_memory_than_it_was_given() {
        const ROOM: usize = 100;
        let record = |hash: u64| Record { hash: KeyedHash(hash), offset: LeafOffset(0) };
        let orders: [Box<dyn Fn(u64) -> u64>; 3] = [
            Box::new(|at| at),
            Box::new(|at| 10_000 - at),
            Box::new(|at| at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 8),
        ];
        for order in orders {
            let mut selection = Selection::new(ROOM, None, KeyedHash::MAX);
            let capacity = selection.taken.capacity();
            for at in 0..10_000 {
                selection.offer(record(order(at)));
                assert!(selection.taken.len() <= ROOM);
            }
            assert_eq!(selection.taken.capacity(), capacity);
            let taken: Vec<_> = selection.finish().map(|record| record.hash.0).collect();
            let mut wanted: Vec<_> = (0..10_000).map(&order).collect();
            wanted.sort_unstable();
            assert_eq!(taken, wanted[..taken.len()]);
            assert!(taken.len() >= ROOM / 2);
        }
    }
}
