//! Where a node's slot is: pure arithmetic.

use crate::merkle::{Arity, Level};

/// How the levels of a tree are cut into chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    arity: Arity,
    /// How many levels a chunk holds.
    height: u8,
    /// Whether the system is asked for huge pages for chunks that fill soon.
    huge_pages: bool,
}

/// One slot of one chunk, and how many slots of the same level follow in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The tier of the chunk: which levels it holds.
    pub(crate) tier: usize,
    /// The chunk's number within its tier.
    pub(crate) chunk: u64,
    /// The slot within the chunk.
    pub(crate) slot: usize,
    /// How many slots there are from `slot` on, itself included, before the level ends in this
    /// chunk.
    pub(crate) room: usize,
}

impl Layout {
    /// Chunks of 65,536 or 262,144 leaves, so that they fill huge pages almost without a rest.
    pub(crate) const fn new(arity: Arity) -> Self {
        let height = match arity {
            _ if cfg!(duramen_loom) => 1,
            Arity::Two => 16,
            Arity::Four => 9,
            Arity::Eight => 6,
            Arity::Sixteen => 4,
        };
        Self { arity, height, huge_pages: true }
    }

    /// The same, with huge pages or without.
    pub(crate) const fn huge_pages(self, yes: bool) -> Self {
        Self { huge_pages: yes, ..self }
    }

    /// Whether the system is asked for huge pages for chunks that fill soon.
    pub(crate) const fn has_huge_pages(self) -> bool {
        self.huge_pages
    }

    /// Chunks of `arity^height` leaves, for tests and models that want to cross many borders with
    /// few leaves.
    #[cfg(any(test, duramen_loom))]
    pub(crate) const fn with_height(arity: Arity, height: u8) -> Self {
        Self { arity, height, huge_pages: true }
    }

    pub(crate) const fn arity(self) -> Arity {
        self.arity
    }

    /// How many leaves a chunk of the lowest tier holds.
    pub(crate) const fn leaves_per_chunk(self) -> u64 {
        1 << self.base_bits()
    }

    /// How many slots a chunk has over all its levels.
    pub(crate) fn slots(self) -> usize {
        (0..self.height).map(|relative| self.level_len(relative)).sum()
    }

    /// How many complete nodes `level` has in a tree of `leaves` leaves.
    #[inline]
    pub(crate) fn complete(self, level: Level, leaves: u64) -> u64 {
        leaves.checked_shr(u32::from(level.0) * self.arity.bits()).unwrap_or(0)
    }

    /// The slot of node `index` of `level`.
    #[inline(always)]
    pub(crate) fn place(self, level: Level, index: u64) -> Place {
        // Most nodes are in one of the two lowest tiers: this is faster than a division.
        let (mut tier, mut relative) = (0, level.0);
        while relative >= self.height {
            relative -= self.height;
            tier += 1;
        }
        let bits = self.arity.bits() * u32::from(self.height - relative);
        let within = usize_of(index & ((1 << bits) - 1));
        Place {
            tier,
            chunk: index >> bits,
            slot: self.level_start(relative) + within,
            room: self.level_len(relative) - within,
        }
    }

    const fn base_bits(self) -> u32 {
        self.arity.bits() * self.height as u32
    }

    /// How many nodes of the level `relative` levels above the base a chunk holds.
    #[inline]
    const fn level_len(self, relative: u8) -> usize {
        1 << (self.base_bits() - self.arity.bits() * relative as u32)
    }

    /// The first slot of the level `relative` levels above the base: a geometric sum.
    #[inline]
    const fn level_start(self, relative: u8) -> usize {
        let sum = (1usize << self.base_bits()) - self.level_len(relative);
        // sum = (N^h - N^(h-r)); the levels below add up to N/(N-1) of that. A division by a constant
        // is a multiplication.
        match self.arity {
            Arity::Two => sum * 2,
            Arity::Four => sum / 3 * 4,
            Arity::Eight => sum / 7 * 8,
            Arity::Sixteen => sum / 15 * 16,
        }
    }
}

/// A count of slots in one chunk, which always fits.
#[expect(clippy::cast_possible_truncation, reason = "chunks have far fewer than 2^32 slots")]
const fn usize_of(count: u64) -> usize {
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
                    assert!(place.slot + place.room <= layout.slots());
                    assert!(seen.insert((place.tier, place.chunk, place.slot)), "{level} {index}");
                    let first = layout.place(Level(level), index / n * n);
                    assert_eq!((first.tier, first.chunk), (place.tier, place.chunk));
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
}
