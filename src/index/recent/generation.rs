//! A run of leaves in memory, found by their hash.
//!
//! # Invariants
//!
//! - The shards have one slot for every different leaf. Equal leaves are a ring of links: a slot with
//!   [`LINKED`] names the last link, and its next one is the first. So a million equal leaves cost one
//!   comparison each and no search, and the first one is found at once.
//! - Of equal leaves the last one is compared. If it lies below the floor of the table, so do all of them.

use super::super::key::KeyedHash;
use super::shards::Shards;
use crate::merkle::{Hash, LeafIndex};

/// The slot of a leaf that was added several times.
const LINKED: u32 = 1 << 31;

pub(super) struct Generation {
    first: u64,
    len: u32,
    shards: Shards,
    links: Vec<Link>,
}

/// One of several equal leaves.
#[derive(Clone, Copy)]
struct Link {
    offset: u32,
    next: u32,
}

const _: () = assert!(size_of::<Link>() == 8);

impl Generation {
    pub(super) fn new(first: u64) -> Self {
        Self { first, len: 0, shards: Shards::new(), links: Vec::new() }
    }

    pub(super) fn first(&self) -> u64 {
        self.first
    }

    /// The index behind the last leaf.
    pub(super) fn end(&self) -> u64 {
        self.first + u64::from(self.len)
    }

    /// Whether offsets and links are used up.
    pub(super) fn is_full(&self) -> bool {
        self.len >= LINKED - 1
    }

    /// Adds the next leaf, which has this hash. The generation is not full.
    pub(super) fn add(
        &mut self,
        hash: KeyedHash,
        leaf: &Hash,
        leaf_at: impl Fn(LeafIndex) -> Hash,
    ) {
        let Self { first, len, shards, links } = self;
        let leaf_of = |slot: u32, links: &[Link]| leaf_at(index(*first, last_of(slot, links)));
        let offset = *len;
        *len += 1;
        let equal = shards.find(hash, |slot| leaf_of(slot, links) == *leaf);
        match equal.and_then(|equal| Some((equal, shards.slot(equal)?))) {
            Some((equal, slot)) => shards.set_slot(equal, link(slot, offset, links)),
            None => shards.add(hash, offset),
        }
    }

    /// Reads bytes that [`find_all`](Self::find_all) and [`add`](Self::add) will need.
    #[inline]
    pub(super) fn touch(&self, hash: KeyedHash) -> u64 {
        self.shards.touch(hash)
    }

    /// The leaves from `floor` on with this hash, if `is_leaf` accepts the last of them.
    pub(super) fn find_all<'a, F: FnMut(LeafIndex) -> bool>(
        &'a self,
        hash: KeyedHash,
        floor: u64,
        is_leaf: &mut F,
    ) -> impl Iterator<Item = LeafIndex> + use<'a, F> {
        let last_leaf = |slot| index(self.first, last_of(slot, &self.links));
        let found = self.shards.find(hash, |slot| {
            let last = last_leaf(slot);
            last.0 >= floor && is_leaf(last)
        });
        let slot = found.and_then(|found| self.shards.slot(found));
        let offsets = slot.into_iter().flat_map(|slot| self.offsets(slot));
        let found = offsets.map(|offset| index(self.first, offset));
        found.skip_while(move |found| found.0 < floor)
    }

    /// The offsets of a slot, in rising order.
    fn offsets(&self, slot: u32) -> impl Iterator<Item = u32> {
        let ring = slot & LINKED != 0;
        let last = slot & !LINKED;
        let single = (!ring).then_some(slot);
        let mut at = if ring { self.links.get(last as usize).map(|link| link.next) } else { None };
        let linked = std::iter::from_fn(move || {
            let number = at?;
            let link = self.links.get(number as usize)?;
            at = (number != last).then_some(link.next);
            Some(link.offset)
        });
        single.into_iter().chain(linked)
    }

    pub(super) fn bytes(&self) -> usize {
        self.shards.bytes() + self.links.capacity() * size_of::<Link>()
    }
}

fn index(first: u64, offset: u32) -> LeafIndex {
    LeafIndex(first + u64::from(offset))
}

/// The greatest offset of a slot.
fn last_of(slot: u32, links: &[Link]) -> u32 {
    if slot & LINKED == 0 {
        return slot;
    }
    let number = slot & !LINKED;
    links.get(number as usize).map_or(number, |last| last.offset)
}

/// Appends an offset to a slot's ring and returns the slot.
fn link(slot: u32, offset: u32, links: &mut Vec<Link>) -> u32 {
    #[expect(clippy::cast_possible_truncation, reason = "there are no more links than leaves")]
    let number = links.len() as u32;
    if slot & LINKED == 0 {
        links.push(Link { offset: slot, next: number + 1 });
        links.push(Link { offset, next: number });
        return LINKED | (number + 1);
    }
    let first = match links.get_mut((slot & !LINKED) as usize) {
        Some(last) => std::mem::replace(&mut last.next, number),
        None => number,
    };
    links.push(Link { offset, next: first });
    LINKED | number
}
