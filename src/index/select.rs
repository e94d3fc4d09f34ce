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
            self.make_room();
            if self.below.is_some_and(|below| record >= below) {
                return;
            }
        }
        self.taken.push(Packed::new(record));
    }

    /// The first time nothing is thrown away: equal leaves come in their order, and those that follow are all
    /// greater. Then the greater half goes.
    fn make_room(&mut self) {
        if self.below.is_some() {
            let half = self.room / 2;
            self.taken.select_nth_unstable_by_key(half, |packed| packed.order());
            self.below = self.taken.get(half).map(|packed| packed.record());
            self.taken.truncate(half);
        } else {
            self.below =
                self.taken.iter().max_by_key(|packed| packed.order()).map(|packed| packed.record());
        }
    }

    /// The records in their order.
    pub(super) fn finish(mut self) -> impl Iterator<Item = Record> {
        self.taken.sort_unstable_by_key(|packed| packed.order());
        self.taken.into_iter().map(Packed::record)
    }
}
