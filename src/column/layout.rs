//! Computes the slot of a node. Pure arithmetic.

use crate::merkle::{Arity, Level};

/// How the levels of a tree are divided into chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    arity: Arity,
    /// [`Arity::bits`], stored so that computing a place takes no branch.
    bits: u8,
    /// The number of levels in a chunk.
    height: u8,
    /// The least number of slots in a level of a small chunk.
    smallest: u8,
    /// Whether the operating system is asked for huge pages for chunks that fill soon.
    huge_pages: bool,
    /// The inverse of arity - 1, modulo 2^32.
    inverse: u32,
}

/// A small level doubles until it has this many slots.
const DOUBLED: usize = 1024;
/// A small level has at most this many slots. A larger level gets all its slots in the chunk at once.
/// Untouched slots take no memory then, and moving more slots than this would take time.
const SMALL: usize = 4096;

/// One slot of a chunk, and how many slots of the same level follow in the chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The tier of the chunk, which determines the levels in the chunk.
    pub(crate) tier: usize,
    /// The chunk's number within its tier.
    pub(crate) chunk: u64,
    /// The level, counted from the lowest level of the chunk.
    pub(crate) level: usize,
    /// The slot within the chunk. The slots of a level follow those of the level below.
    pub(crate) slot: usize,
    /// How many slots of the level the chunk has from `slot` on, `slot` included.
    pub(crate) room: usize,
}

impl Layout {
    /// Chunks of 65,536 or 262,144 leaves. They fill huge pages almost without a remainder.
    pub(crate) const fn new(arity: Arity) -> Self {
        let height = match arity {
            _ if cfg!(duramen_loom) => 1,
            Arity::Two => 16,
            Arity::Four => 9,
            Arity::Eight => 6,
            Arity::Sixteen => 4,
        };
        Self::of(arity, height, 4)
    }

    const fn of(arity: Arity, height: u8, smallest: u8) -> Self {
        let (bits, divisor) = match arity {
            Arity::Two => (1, 1_u32),
            Arity::Four => (2, 3),
            Arity::Eight => (3, 7),
            Arity::Sixteen => (4, 15),
        };
        // A number is its own inverse modulo 8. Each step doubles the number of correct bits.
        let mut inverse = divisor;
        let mut right = 3;
        while right < u32::BITS {
            let wrong = divisor.wrapping_mul(inverse);
            inverse = inverse.wrapping_mul(2_u32.wrapping_sub(wrong));
            right *= 2;
        }
        Self { arity, bits, height, smallest, huge_pages: true, inverse }
    }

    /// The same layout, with or without huge pages.
    pub(crate) const fn huge_pages(self, yes: bool) -> Self {
        Self { huge_pages: yes, ..self }
    }

    /// Whether the operating system is asked for huge pages for chunks that fill soon.
    pub(crate) const fn has_huge_pages(self) -> bool {
        self.huge_pages
    }

    /// Chunks of `arity^height` leaves that begin with one slot per level. For tests and models that
    /// cross many chunk borders with few leaves.
    #[cfg(any(test, duramen_loom))]
    pub(crate) const fn with_height(arity: Arity, height: u8) -> Self {
        Self::of(arity, height, 1)
    }

    pub(crate) const fn arity(self) -> Arity {
        self.arity
    }

    /// The number of leaves in a chunk of the lowest tier.
    pub(crate) const fn leaves_per_chunk(self) -> u64 {
        1 << self.base_bits()
    }

    /// The number of slots in the lowest level of a chunk.
    pub(crate) const fn base_slots(self) -> usize {
        self.level_len(0)
    }

    /// The number of slots over all levels of a chunk.
    pub(crate) fn slots(self) -> usize {
        (0..self.height).map(|relative| self.level_len(relative)).sum()
    }

    /// The end of the memory of a small level. The memory begins at slot `first` and must include the
    /// slots below `end`. `place` is in this level.
    pub(crate) fn reach(self, place: &Place, first: usize, end: usize) -> usize {
        let wanted = (end - first).max(usize::from(self.smallest));
        let len = match () {
            () if wanted <= DOUBLED => wanted.next_power_of_two(),
            () if wanted <= SMALL => SMALL,
            () => usize::MAX,
        };
        first.saturating_add(len).min(place.level_end())
    }

    /// The number of complete nodes of `level` in a tree of `leaves` leaves.
    #[inline]
    pub(crate) fn complete(self, level: Level, leaves: u64) -> u64 {
        leaves.checked_shr(u32::from(level.0) * u32::from(self.bits)).unwrap_or(0)
    }

    /// The slot of node `index` of `level`.
    #[inline(always)]
    pub(crate) fn place(self, level: Level, index: u64) -> Place {
        // Most nodes are in one of the two lowest tiers, where this loop is faster than a division.
        let (mut tier, mut relative) = (0, level.0);
        while relative >= self.height {
            relative -= self.height;
            tier += 1;
        }
        let bits = u32::from(self.bits) * u32::from(self.height - relative);
        let within = usize_of(index & ((1 << bits) - 1));
        Place {
            tier,
            chunk: index >> bits,
            level: usize::from(relative),
            slot: self.level_start(relative) + within,
            room: self.level_len(relative) - within,
        }
    }

    const fn base_bits(self) -> u32 {
        self.bits as u32 * self.height as u32
    }

    /// The number of nodes in a chunk of the level that is `relative` levels above the base.
    #[inline]
    const fn level_len(self, relative: u8) -> usize {
        1 << (self.base_bits() - self.bits as u32 * relative as u32)
    }

    /// The first slot of the level that is `relative` levels above the base: a geometric sum.
    #[inline]
    const fn level_start(self, relative: u8) -> usize {
        let sum = (1_u32 << self.base_bits())
            - (1 << (self.base_bits() - self.bits as u32 * relative as u32));
        // sum = (N^h - N^(h-r)). The levels below add up to N/(N-1) of it. An exact division is a
        // multiplication by the inverse.
        (sum.wrapping_mul(self.inverse) << self.bits) as usize
    }
}

impl Place {
    /// The slot behind the last one of the level in this chunk.
    pub(crate) fn level_end(&self) -> usize {
        self.slot + self.room
    }
}

/// A count of slots in one chunk, which always fits.
#[expect(clippy::cast_possible_truncation, reason = "chunks have far fewer than 2^32 slots")]
pub(super) const fn usize_of(count: u64) -> usize {
    count as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_node_has_a_slot_of_its_own_and_siblings_lie_side_by_side() {
        for arity in Arity::ALL {
            let layout = Layout::with_height(arity, 2);
            let n = arity.children() as u64;
            let most = if cfg!(miri) { 100 } else { 3000 };
            let mut seen = std::collections::HashSet::new();
            for level in 0..6u8 {
                for index in 0..(n.pow(6 - u32::from(level))).min(most) {
                    let place = layout.place(Level(level), index);
                    let Place { tier, chunk, level: relative, slot, room } = place;
                    assert!(slot + room <= layout.slots());
                    assert!(seen.insert((tier, chunk, slot)), "{level} {index}");
                    let first = layout.place(Level(level), index / n * n);
                    assert_eq!((first.tier, first.chunk, first.level), (tier, chunk, relative));
                    assert_eq!(first.slot + usize_of(index % n), place.slot);
                }
            }
        }
    }

    #[test]
    fn the_levels_of_a_chunk_fill_it_without_gaps() {
        for arity in Arity::ALL {
            let layout = Layout::new(arity);
            let mut next = 0;
            for relative in 0..layout.height {
                assert_eq!(layout.level_start(relative), next);
                next += layout.level_len(relative);
            }
            assert_eq!(next, layout.slots());
        }
    }

    #[test]
    fn a_small_level_reaches_as_far_as_it_must_and_not_much_further() {
        for arity in Arity::ALL {
            let layout = Layout::new(arity);
            for level in 0..layout.height {
                let place = layout.place(Level(level), 0);
                let (len, last) = (place.room, place.level_end());
                for first in [place.slot, place.slot + len / 4, last - 1] {
                    let many = if cfg!(miri) { 30 } else { 5000 };
                    for end in (first..=last).take(many).skip(1).chain([last]) {
                        let (reach, wanted) = (layout.reach(&place, first, end), end - first);
                        assert!((end..=last).contains(&reach));
                        let most = match wanted {
                            0..=4 => 4,
                            5..=1024 => 2 * wanted - 1,
                            1025..=4096 => 4096,
                            _ => len,
                        };
                        assert!(reach - first <= most, "{reach} from {first} for {end}");
                        assert!(reach == last || reach - first >= 4);
                    }
                }
            }
        }
    }
}
