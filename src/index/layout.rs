//! Where the areas of an index lie, as it follows from the number of leaves alone. Pure.
//!
//! ```text
//! filter │ records │ fences
//! ```
//!
//! # Invariants
//!
//! - Every area starts at a multiple of [`BLOCK`] and is padded with zeros to one.
//! - An index has one record for every leaf, so equal leaves change no size.

use std::ops::Range;

/// The unit of reading: one page, and one block of a part.
pub(crate) const BLOCK: usize = 4096;
/// The most leaves that one index can have. A part with more has several, one for every run of this length.
pub(crate) const MAX_LEAVES: u64 = 1 << 32;

pub(super) const FINGERPRINT_BITS: usize = 16;
/// Bits of the filter for every leaf.
const FILTER_BITS: u64 = 12;
pub(super) const FENCE_LEN: usize = 8;
pub(super) const FENCES_PER_BLOCK: usize = BLOCK / FENCE_LEN;
pub(super) const BITS_PER_BLOCK: u64 = 8 * BLOCK as u64;

const _: () = assert!(BLOCK.is_multiple_of(FENCE_LEN));
const _: () = assert!(records_per_block(32) == 682 && records_per_block(1) == 1927);

/// The areas of an index, in blocks from its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    leaves: u64,
    filter: u64,
    records: u64,
    fences: u64,
}

impl Layout {
    /// The layout for this many leaves. `None` for more than [`MAX_LEAVES`].
    pub(crate) fn new(leaves: u64) -> Option<Self> {
        if leaves > MAX_LEAVES {
            return None;
        }
        let records = leaves.div_ceil(records_per_block(offset_bits(leaves)) as u64);
        // A single block of records needs no fence to be found.
        let fences = if records > 1 { records.div_ceil(FENCES_PER_BLOCK as u64) } else { 0 };
        let filter = (leaves * FILTER_BITS).div_ceil(BITS_PER_BLOCK);
        Some(Self { leaves, filter, records, fences })
    }

    pub(crate) fn leaves(&self) -> u64 {
        self.leaves
    }

    /// Blocks of the filter.
    pub(crate) fn filter(&self) -> Range<u64> {
        0..self.filter
    }

    /// Blocks of records.
    pub(crate) fn records(&self) -> Range<u64> {
        self.filter..self.filter + self.records
    }

    /// Blocks of fences.
    pub(crate) fn fences(&self) -> Range<u64> {
        self.records().end..self.blocks()
    }

    /// Blocks of the whole index.
    pub(crate) fn blocks(&self) -> u64 {
        self.filter + self.records + self.fences
    }

    /// Bits of a record.
    pub(super) fn record_bits(&self) -> usize {
        FINGERPRINT_BITS + offset_bits(self.leaves)
    }

    /// How many records a full block has.
    pub(super) fn records_per_block(&self) -> usize {
        records_per_block(offset_bits(self.leaves))
    }

    /// How many records the block with this number in the area of records has: all are full but the last one.
    pub(super) fn records_in(&self, block: u64) -> usize {
        let full = self.records_per_block() as u64;
        let before = block.saturating_mul(full);
        usize::try_from(self.leaves.saturating_sub(before).min(full)).unwrap_or(0)
    }
}

/// Bits that the greatest offset takes, at least one.
fn offset_bits(leaves: u64) -> usize {
    (leaves.saturating_sub(1).max(1).ilog2() + 1) as usize
}

const fn records_per_block(offset_bits: usize) -> usize {
    BLOCK * 8 / (FINGERPRINT_BITS + offset_bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn areas_lie_one_behind_the_other_and_have_room_for_every_leaf() {
        for leaves in (0..5000).chain([1 << 24, (1 << 24) + 1, 50_000_000, MAX_LEAVES]) {
            let layout = Layout::new(leaves).unwrap();
            assert_eq!(layout.filter().end, layout.records().start);
            assert_eq!(layout.records().end, layout.fences().start);
            assert_eq!(layout.fences().end, layout.blocks());
            let blocks = layout.records().end - layout.records().start;
            if leaves <= 5000 {
                assert_eq!(
                    (0..blocks).map(|block| layout.records_in(block) as u64).sum::<u64>(),
                    leaves
                );
            }
            assert_eq!(layout.records_in(blocks), 0);
            assert!(leaves == 0 || (leaves - 1) >> offset_bits(leaves) == 0);
        }
        assert_eq!(Layout::new(MAX_LEAVES + 1), None);
    }

    #[test]
    fn fifty_million_leaves_take_less_than_seven_bytes_each() {
        let layout = Layout::new(50_000_000).unwrap();
        assert!(layout.blocks() * (BLOCK as u64) < 7 * 50_000_000);
    }
}
