//! The bytes of an index file. Pure.
//!
//! ```text
//! header block │ index of the first 2^32 leaves │ index of the next │ … │ table of checksums
//! ```
//!
//! The file belongs to one part, and the [header](IndexIdentity) names that part by its footer's checksum. The
//! indexes are as [`crate::index`] describes them. The table has a CRC-32C for every block of the indexes. Each
//! block of the table has 1,023 of them, and then the CRC-32C of its own 4,092 bytes before. So every block can be
//! checked on its own, and the length follows from the number of leaves.

use crate::checksum::{block_checksum, checksum};
use crate::codec::{Decoder, Encoder};
use crate::ids::{PartId, StoreId, TreeId};
use crate::index::{BLOCK, Layout, MAX_LEAVES};

pub(super) const INDEX_VERSION: u16 = 1;
const MAGIC: [u8; 8] = *b"duraIDX\n";
const CHECKSUM_AT: usize = BLOCK - 8;
const SUM: usize = size_of::<u32>();
/// Checksums in a block of the table.
const SUMS: u64 = (BLOCK / SUM - 1) as u64;

/// What the header says: the part, and the key of the index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IndexIdentity {
    pub(crate) store: StoreId,
    pub(crate) tree: TreeId,
    pub(crate) part: PartId,
    /// The leaves of the part.
    pub(crate) from: u64,
    pub(crate) to: u64,
    /// The checksum of the part's footer.
    pub(crate) checksum: u64,
    /// Random, for this file alone.
    pub(crate) key: [u8; 16],
}

impl IndexIdentity {
    pub(super) fn header(&self) -> [u8; BLOCK] {
        let Self { store, tree, part, from, to, checksum: seal, key } = self;
        let mut out = Encoder::default();
        out.bytes(&MAGIC).u16(INDEX_VERSION).u16(0).u32(tree.0).bytes(&store.0);
        out.u64(part.0).u64(*from).u64(*to).u64(*seal).bytes(key).pad_to(CHECKSUM_AT);
        let sum = checksum(&out.0);
        out.u64(sum);
        let mut block = [0; BLOCK];
        block.copy_from_slice(&out.0);
        block
    }

    /// The header in `block`. `None` if it is none of this version, or damaged.
    pub(super) fn parse(block: &[u8; BLOCK]) -> Option<Self> {
        let (covered, stored) = block.split_at(CHECKSUM_AT);
        let mut fields = Decoder(covered);
        let intact = Decoder(stored).u64()? == checksum(covered);
        let known = fields.array()? == MAGIC && fields.u16()? == INDEX_VERSION;
        if !(intact && known && fields.u16()? == 0) {
            return None;
        }
        let tree = TreeId(fields.u32()?);
        let store = StoreId(fields.array()?);
        let part = PartId(fields.u64()?);
        let (from, to, checksum) = (fields.u64()?, fields.u64()?, fields.u64()?);
        let key = fields.array()?;
        Some(Self { store, tree, part, from, to, checksum, key })
    }
}

/// The index of a run of leaves in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct IndexRun {
    /// The first block.
    pub(super) block: u64,
    /// How many leaves of the part come before the run.
    pub(super) before: u64,
    pub(super) layout: Layout,
}

/// Where everything is in the file, in blocks. Takes the same memory for any number of leaves, since that number may
/// be forged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FileLayout {
    leaves: u64,
    /// Leaves of every run but the last, and the blocks of such a run.
    most: u64,
    blocks_of_most: u64,
    /// The first block of the table of checksums.
    pub(super) table: u64,
    /// The number of blocks.
    pub(super) blocks: u64,
}

impl FileLayout {
    /// The layout for a part with this many leaves. `None` if the file would be longer than a file can be.
    pub(super) fn new(leaves: u64) -> Option<Self> {
        Self::with_runs_of(leaves, MAX_LEAVES)
    }

    /// As [`new`](Self::new), with at most `most` leaves in a run.
    fn with_runs_of(leaves: u64, most: u64) -> Option<Self> {
        let blocks_of_most = Layout::new(most)?.blocks();
        let full = (leaves / most).checked_mul(blocks_of_most)?;
        let table = full.checked_add(Layout::new(leaves % most)?.blocks())?.checked_add(1)?;
        let blocks = table.checked_add((table - 1).div_ceil(SUMS))?;
        i64::try_from(blocks.checked_mul(BLOCK as u64)?).ok()?;
        Some(Self { leaves, most, blocks_of_most, table, blocks })
    }

    /// The runs, first to last.
    pub(super) fn runs(&self) -> impl Iterator<Item = IndexRun> + use<> {
        let Self { leaves, most, blocks_of_most, .. } = *self;
        (0..leaves.div_ceil(most)).filter_map(move |number| {
            let before = number * most;
            let layout = Layout::new((leaves - before).min(most))?;
            Some(IndexRun { block: 1 + number * blocks_of_most, before, layout })
        })
    }

    /// Bytes of the file.
    pub(super) fn len(&self) -> u64 {
        self.blocks * BLOCK as u64
    }

    /// The block of the table with the checksum of block `number`, and the position of the checksum in it.
    pub(super) fn place_of_sum(&self, number: u64) -> (u64, usize) {
        let entry = number.saturating_sub(1);
        (self.table + entry / SUMS, usize::try_from(entry % SUMS).unwrap_or(0) * SUM)
    }
}

/// The blocks of the table of these checksums.
pub(super) fn table_of(sums: &[u32]) -> impl Iterator<Item = [u8; BLOCK]> {
    sums.chunks(usize::try_from(SUMS).unwrap_or(1)).map(|sums| {
        let mut block = [0; BLOCK];
        let (fields, _) = block.as_chunks_mut();
        for (field, sum) in fields.iter_mut().zip(sums) {
            *field = sum.to_le_bytes();
        }
        let sum = block_checksum(&block[..BLOCK - SUM]);
        block[BLOCK - SUM..].copy_from_slice(&sum.to_le_bytes());
        block
    })
}

/// Whether a block of the table has the right checksum of its own. Returns the stored and the computed one if not.
pub(super) fn check_table_block(block: &[u8; BLOCK]) -> Result<(), (u32, u32)> {
    let (covered, stored) = block.split_at(BLOCK - SUM);
    let (stored, computed) = (Decoder(stored).u32().unwrap_or(0), block_checksum(covered));
    if stored == computed { Ok(()) } else { Err((stored, computed)) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_back_as_written_and_any_changed_bit_is_refused() {
        let identity = IndexIdentity {
            store: StoreId([7; 16]),
            tree: TreeId(3),
            part: PartId(12),
            from: 5,
            to: 500,
            checksum: 99,
            key: [4; 16],
        };
        let block = identity.header();
        assert_eq!(IndexIdentity::parse(&block), Some(identity));
        for bit in 0..BLOCK * 8 {
            let mut changed = block;
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(IndexIdentity::parse(&changed), None, "bit {bit}");
        }
    }

    #[test]
    fn the_runs_lie_one_behind_the_other_and_every_block_has_a_checksum() {
        for (leaves, most) in [(1, 10), (10, 10), (11, 10), (5000, 700), (3_000_000, MAX_LEAVES)] {
            let file = FileLayout::with_runs_of(leaves, most).unwrap();
            let (mut block, mut before) = (1, 0);
            for run in file.runs() {
                assert_eq!((run.block, run.before), (block, before));
                assert!((1..=most).contains(&run.layout.leaves()));
                block += run.layout.blocks();
                before += run.layout.leaves();
            }
            assert_eq!((before, block), (leaves, file.table));
            let places: Vec<_> = (1..file.table).map(|number| file.place_of_sum(number)).collect();
            assert!(places.is_sorted() && places.iter().all(|(_, at)| *at < BLOCK - SUM));
            assert_eq!(places.last().unwrap().0 + 1, file.blocks);
            let sums = (1..file.table).map(|number| u32::try_from(number * 7).unwrap());
            let sums: Vec<u32> = sums.collect();
            let table: Vec<_> = table_of(&sums).collect();
            assert_eq!(table.len() as u64, file.blocks - file.table);
            for (sum, (holder, at)) in sums.iter().zip(places) {
                let block = &table[usize::try_from(holder - file.table).unwrap()];
                assert_eq!(check_table_block(block), Ok(()));
                assert_eq!(Decoder(&block[at..]).u32(), Some(*sum));
            }
        }
        assert_eq!(FileLayout::new(u64::MAX / 2), None);
    }
}
