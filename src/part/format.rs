//! The bytes of a part. Pure.
//!
//! ```text
//! header block │ column of level 0 │ column of level 1 │ … │ entries │ directory │ checksum tables │ footer block
//! ```
//!
//! A part has the nodes that became complete between two sizes of the tree. Of level `k` these are the
//! nodes with an index in `[floor(from / N^k), floor(to / N^k))`. Columns start at multiples of
//! [`PART_BLOCK`]. In a tree that keeps entries, the entries of the leaves follow, bundle by bundle, and then
//! a directory with a record for each bundle. The first table has a CRC-32C for every block before it but
//! the header. If a table takes more
//! than one block, another table has a CRC-32C for each of its blocks, and so on. The last table is one
//! block, and the footer has its checksum. So every block can be checked on its own, and opening a part
//! reads two blocks.

use crate::checksum::checksum;
use crate::codec::{Decoder, Encoder};
use crate::entry::{BUNDLE, Erasures, Framing};
use crate::error::Printable;
use crate::ids::{StoreId, TreeId};
use crate::merkle::{Arity, Hash, Level};

use crate::ids::PartId;

/// The unit that one checksum covers: one page.
pub(crate) const PART_BLOCK: u64 = PART_BLOCK_LEN as u64;
pub(crate) const PART_BLOCK_LEN: usize = 4096;
/// Nodes in a block.
pub(crate) const NODES_PER_BLOCK: u64 = PART_BLOCK / size_of::<Hash>() as u64;
/// Checksums in a block of a table.
pub(crate) const SUMS_PER_BLOCK: u64 = PART_BLOCK / size_of::<u32>() as u64;

pub(crate) const PART_VERSION: u16 = 2;
const HEADER_MAGIC: [u8; 8] = *b"duraPRT\n";
const FOOTER_MAGIC: [u8; 8] = *b"duraEND\n";
const HASHER_LEN: usize = 32;
const BLOCK_LEN: usize = PART_BLOCK_LEN;
const CHECKSUM_AT: usize = BLOCK_LEN - 8;

/// The tree and the range of nodes of a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PartIdentity {
    pub(crate) store: StoreId,
    pub(crate) tree: TreeId,
    pub(crate) hasher: String,
    pub(crate) arity: Arity,
    pub(crate) number: PartId,
    /// The size of the tree at the end of the previous part.
    pub(crate) from: u64,
    /// The size of the tree at the end of this part.
    pub(crate) to: u64,
    /// How the part's entries are framed, if the tree keeps entries.
    pub(crate) entries: Option<Framing>,
}

/// The entry of a part in the manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PartRef {
    pub(crate) number: PartId,
    pub(crate) from: u64,
    pub(crate) to: u64,
    /// Bytes of the file.
    pub(crate) len: u64,
    /// The checksum of the footer. The footer has the checksums of the header and of the last table.
    pub(crate) checksum: u64,
    /// Bytes of the entries as they are stored. 0 in a tree without entries.
    pub(crate) entry_bytes: u64,
    /// How many entries the part does not have, because they were erased when it was written. Each is stored as
    /// an entry without data.
    pub(crate) erased: u64,
    /// How many leaves the file has behind `to`: the tree was rewound below them. Nothing reads them, and the next
    /// merge leaves them out.
    pub(crate) hidden: u64,
}

impl PartRef {
    /// Where the leaves of the file end, those that nothing reads included.
    pub(crate) fn file_end(&self) -> u64 {
        self.to.saturating_add(self.hidden)
    }

    /// The part of a tree that was rewound to `size`, and had these `erasures`. `None` if the part has no leaf below.
    pub(crate) fn cut(&self, size: u64, erasures: &Erasures) -> Option<Self> {
        if size >= self.to {
            return Some(*self);
        }
        if size <= self.from {
            return None;
        }
        // What is erased above the cut may be what the part lacks. So it lacks at least the rest.
        let above = erasures.count_in(size..self.to);
        let erased = self.erased.saturating_sub(above);
        Some(Self { to: size, hidden: self.file_end() - size, erased, ..*self })
    }
}

/// One level's nodes in a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Column {
    pub(crate) level: Level,
    pub(crate) first: u64,
    pub(crate) end: u64,
    /// The first block of the column.
    pub(crate) block: u64,
}

/// Where the entries of a part are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EntryArea {
    /// The first block of the entries.
    pub(crate) block: u64,
    /// Bytes of the entries as they are stored.
    pub(crate) bytes: u64,
    /// The first block of the directory, whose records follow each other without padding.
    pub(crate) directory: u64,
    /// How many bundles have an entry in this part. The first and the last may be incomplete.
    pub(crate) bundles: u64,
}

/// Bytes of a record in the directory of bundles.
pub(crate) const RECORD_LEN: usize = 152;

/// The layout of a part, in blocks. It follows from the arity, the two sizes and the bytes of the entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PartLayout {
    /// By level. A level without nodes has an empty column.
    pub(crate) columns: Vec<Column>,
    /// Of a part with entries.
    pub(crate) entries: Option<EntryArea>,
    /// The first block and the number of blocks of each table. The table of the columns comes first.
    pub(crate) tables: Vec<(u64, u64)>,
    /// The footer's block.
    pub(crate) footer: u64,
}

impl PartLayout {
    /// The layout of a part with these leaves, and with entries that take `entry_bytes`, if the tree
    /// keeps entries. `None` if the part would be longer than a file can be.
    pub(crate) fn new(arity: Arity, from: u64, to: u64, entry_bytes: Option<u64>) -> Option<Self> {
        let mut block = 1u64;
        let mut columns = Vec::new();
        for level in 0..=u8::MAX {
            let shift = u32::from(level) * arity.bits();
            let end = to.checked_shr(shift).unwrap_or(0);
            if end == 0 {
                break;
            }
            let first = from.checked_shr(shift).unwrap_or(0);
            columns.push(Column { level: Level(level), first, end, block });
            block += end.checked_sub(first)?.div_ceil(NODES_PER_BLOCK);
        }
        let entries = match entry_bytes {
            Some(bytes) => {
                let bundles = to.div_ceil(BUNDLE).checked_sub(from / BUNDLE)?;
                let directory = block.checked_add(bytes.div_ceil(PART_BLOCK))?;
                let len = bundles.checked_mul(RECORD_LEN as u64)?.div_ceil(PART_BLOCK);
                let area = EntryArea { block, bytes, directory, bundles };
                block = directory.checked_add(len)?;
                Some(area)
            }
            None => None,
        };
        let mut tables = Vec::new();
        let mut covered = block - 1;
        loop {
            let len = covered.div_ceil(SUMS_PER_BLOCK);
            tables.push((block, len));
            block += len;
            covered = len;
            if len <= 1 {
                break;
            }
        }
        let len = block.checked_add(1)?.checked_mul(PART_BLOCK)?;
        i64::try_from(len).ok()?;
        Some(Self { columns, entries, tables, footer: block })
    }

    /// The layout of the part of `identity`, whose entries take `entry_bytes`.
    pub(crate) fn of(identity: &PartIdentity, entry_bytes: u64) -> Option<Self> {
        let PartIdentity { arity, from, to, entries, .. } = identity;
        Self::new(*arity, *from, *to, entries.map(|_| entry_bytes))
    }

    /// Bytes of the file.
    pub(crate) fn len(&self) -> u64 {
        (self.footer + 1) * PART_BLOCK
    }
}

impl std::fmt::Display for PartIdentity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { store, tree, hasher, arity, number, from, to, entries } = self;
        let (tree, hasher) = (tree.0, Printable::new(hasher));
        let entries = match entries {
            Some(_) => ", with entries",
            None => "",
        };
        write!(
            f,
            "part {number} of store {store}, tree {tree}, {hasher}, arity {arity}, leaves from {from} up to {to}{entries}"
        )
    }
}

impl PartIdentity {
    pub(crate) fn header(&self) -> [u8; BLOCK_LEN] {
        let mut out = Encoder::default();
        out.bytes(&HEADER_MAGIC)
            .u16(PART_VERSION)
            .u16(u16::try_from(self.arity.children()).unwrap_or(0))
            .u32(self.tree.0)
            .bytes(&self.store.0)
            .u64(self.number.0)
            .u64(self.from)
            .u64(self.to);
        let hasher_at = out.0.len();
        let prefix = self.entries.map_or(0, Framing::prefix_len);
        out.bytes(self.hasher.as_bytes())
            .pad_to(hasher_at + HASHER_LEN)
            .u16(u16::try_from(prefix).unwrap_or(0));
        sealed(out)
    }

    pub(crate) fn parse(block: &[u8; BLOCK_LEN]) -> Result<Self, BlockFault> {
        let mut fields = unsealed(block, HEADER_MAGIC)?;
        Self::fields(&mut fields).ok_or(BlockFault::Fields)
    }

    fn fields(fields: &mut Decoder<'_>) -> Option<Self> {
        let arity = Arity::new(usize::from(fields.u16()?))?;
        let tree = TreeId(fields.u32()?);
        let store = StoreId(fields.array()?);
        let number = PartId(fields.u64()?);
        let from = fields.u64()?;
        let to = fields.u64()?;
        let name: [u8; HASHER_LEN] = fields.array()?;
        let len = name.iter().position(|byte| *byte == 0).unwrap_or(HASHER_LEN);
        let hasher = String::from_utf8(name[..len].to_vec()).ok()?;
        let entries = match fields.u16()? {
            0 => None,
            2 => Some(Framing::Short),
            4 => Some(Framing::Long),
            _ => return None,
        };
        Some(Self { store, tree, hasher, arity, number, from, to, entries })
    }
}

/// The last block of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Footer {
    pub(crate) number: PartId,
    pub(crate) len: u64,
    /// The header block's checksum.
    pub(crate) header: u64,
    /// The last table's checksum.
    pub(crate) tables: u32,
    /// Bytes of the entries as they are stored.
    pub(crate) entry_bytes: u64,
}

impl std::fmt::Display for Footer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { number, len, header, tables, entry_bytes } = self;
        write!(
            f,
            "part {number}, {len} bytes, {entry_bytes} of them entries, checksums {header:#018x} of the header and {tables:#010x} of the tables"
        )
    }
}

impl Footer {
    pub(crate) fn block(&self) -> [u8; BLOCK_LEN] {
        let mut out = Encoder::default();
        out.bytes(&FOOTER_MAGIC)
            .u16(PART_VERSION)
            .u16(0)
            .u32(self.tables)
            .u64(self.number.0)
            .u64(self.len)
            .u64(self.header)
            .u64(self.entry_bytes);
        sealed(out)
    }

    pub(crate) fn parse(block: &[u8; BLOCK_LEN]) -> Result<Self, BlockFault> {
        let mut fields = unsealed(block, FOOTER_MAGIC)?;
        Self::fields(&mut fields).ok_or(BlockFault::Fields)
    }

    fn fields(fields: &mut Decoder<'_>) -> Option<Self> {
        fields.u16()?;
        let tables = fields.u32()?;
        let number = PartId(fields.u64()?);
        let len = fields.u64()?;
        let header = fields.u64()?;
        let entry_bytes = fields.u64()?;
        Some(Self { number, len, header, tables, entry_bytes })
    }
}

/// Why a block is not a valid header or footer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BlockFault {
    Magic,
    Version(u16),
    Fields,
    Checksum { stored: u64, computed: u64 },
}

impl std::fmt::Display for BlockFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Magic => f.write_str("it does not begin as a header or footer does"),
            Self::Version(found) => write!(
                f,
                "it has format version {found}, and this program reads version {PART_VERSION}"
            ),
            Self::Fields => f.write_str("its fields contradict each other"),
            Self::Checksum { stored, computed } => {
                write!(f, "checksum stored {stored:#018x}, computed {computed:#018x}")
            }
        }
    }
}

/// The checksum at the end of a header or footer block.
pub(crate) fn seal_of(block: &[u8; BLOCK_LEN]) -> u64 {
    Decoder(&block[CHECKSUM_AT..]).u64().unwrap_or(0)
}

fn sealed(mut out: Encoder) -> [u8; BLOCK_LEN] {
    out.pad_to(CHECKSUM_AT);
    let sum = checksum(&out.0);
    out.u64(sum);
    let mut block = [0; BLOCK_LEN];
    block.copy_from_slice(&out.0);
    block
}

/// The fields behind the magic and the version of an intact block.
fn unsealed(block: &[u8; BLOCK_LEN], magic: [u8; 8]) -> Result<Decoder<'_>, BlockFault> {
    if !block.starts_with(&magic) {
        return Err(BlockFault::Magic);
    }
    let (covered, _) = block.split_at(CHECKSUM_AT);
    let (stored, computed) = (seal_of(block), checksum(covered));
    if stored != computed {
        return Err(BlockFault::Checksum { stored, computed });
    }
    let mut fields = Decoder(&covered[magic.len()..]);
    match fields.u16() {
        Some(PART_VERSION) => Ok(fields),
        Some(version) => Err(BlockFault::Version(version)),
        None => Err(BlockFault::Fields),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pieces_of_a_part_lie_one_behind_the_other() {
        for arity in Arity::ALL {
            let ranges = [(0, 1), (0, 5), (3, 4), (0, 1_000_000), (999, 5_000_000)];
            let entries = [None, Some(0), Some(1), Some(4096), Some(1 << 33)];
            for ((from, to), entry_bytes) in
                ranges.into_iter().flat_map(|range| entries.map(|bytes| (range, bytes)))
            {
                let layout = PartLayout::new(arity, from, to, entry_bytes).unwrap();
                let mut block = 1;
                for column in &layout.columns {
                    assert_eq!(column.block, block);
                    block += (column.end - column.first).div_ceil(NODES_PER_BLOCK);
                }
                assert_eq!(layout.entries.is_some(), entry_bytes.is_some());
                if let (Some(area), Some(bytes)) = (layout.entries, entry_bytes) {
                    assert_eq!((area.block, area.bytes), (block, bytes));
                    block += bytes.div_ceil(PART_BLOCK);
                    assert_eq!(area.directory, block);
                    // Every bundle that has a leaf of the part.
                    assert_eq!(area.bundles, (to - 1) / BUNDLE - from / BUNDLE + 1);
                    block += (area.bundles * RECORD_LEN as u64).div_ceil(PART_BLOCK);
                }
                let mut covered = block - 1;
                for &(at, len) in &layout.tables {
                    assert_eq!(at, block);
                    assert_eq!(len, covered.div_ceil(SUMS_PER_BLOCK));
                    block += len;
                    covered = len;
                }
                assert_eq!(covered, 1);
                assert_eq!(layout.footer, block);
            }
        }
    }

    #[test]
    fn a_part_of_impossible_size_has_no_layout() {
        assert_eq!(PartLayout::new(Arity::Two, 0, u64::MAX, None), None);
        assert_eq!(PartLayout::new(Arity::Two, 10, 5, None), None);
        assert_eq!(PartLayout::new(Arity::Two, 0, 5, Some(u64::MAX)), None);
        assert_eq!(PartLayout::new(Arity::Two, 0, 5, Some(u64::MAX / 2)), None);
    }

    #[test]
    fn header_and_footer_are_read_back_as_written_and_any_changed_bit_is_refused() {
        let identity = PartIdentity {
            store: StoreId([9; 16]),
            tree: TreeId(3),
            hasher: "blake3".into(),
            arity: Arity::Eight,
            number: PartId(12),
            from: 5,
            to: 500,
            entries: Some(Framing::Short),
        };
        let footer =
            Footer { number: PartId(12), len: 8192, header: 77, tables: 99, entry_bytes: 12_345 };
        assert_eq!(PartIdentity::parse(&identity.header()).as_ref(), Ok(&identity));
        assert_eq!(Footer::parse(&footer.block()), Ok(footer));
        for bit in (0..BLOCK_LEN * 8).step_by(7) {
            let mut block = identity.header();
            block[bit / 8] ^= 1 << (bit % 8);
            assert!(PartIdentity::parse(&block).is_err(), "bit {bit}");
            let mut block = footer.block();
            block[bit / 8] ^= 1 << (bit % 8);
            assert!(Footer::parse(&block).is_err(), "bit {bit}");
        }
    }
}
