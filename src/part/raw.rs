//! The file of a part as untrusted bytes, for the scrub, which looks for damage.
//!
//! # Invariant
//!
//! A checksum that matches proves the block intact, wherever the checksum was found. A checksum that
//! does not match proves the block damaged only if its own table block is proven intact.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::format::{
    BlockFault, Column, Footer, NODES_PER_BLOCK, PART_BLOCK, PART_BLOCK_LEN, PartIdentity,
    PartLayout, PartRef, RECORD_LEN, SUMS_PER_BLOCK, seal_of,
};
use crate::checksum::{block_checksum, checksum};
use crate::config::ReadMode;
use crate::error::{Damage, Error, Problem, Result};
use crate::fs::{Access, File, FileSystem, Region, backing};
use crate::ids::ByteOffset;
use crate::merkle::Level;

/// Checksums in a block of a table.
const SUMS_IN_BLOCK: usize = PART_BLOCK_LEN / size_of::<u32>();

/// The file of a part, open or missing.
#[derive(Debug)]
pub(crate) struct RawPart {
    pub(crate) identity: PartIdentity,
    pub(crate) reference: PartRef,
    layout: PartLayout,
    /// `None` if the file is missing.
    file: Option<Arc<dyn File>>,
    /// The whole file, mapped into memory. `None` if the read mode is not `Mapped`, if the length is
    /// wrong, or if mapping fails.
    map: Option<Region>,
    /// The actual length of the file.
    pub(crate) len: u64,
    /// The bytes of the file that the disk has stored, if they are too few for its length.
    held: Option<u64>,
    pub(crate) path: PathBuf,
}

/// The state of everything around the columns: header, tables and footer.
#[derive(Debug, Default)]
pub(crate) struct PartFrame {
    /// The checksums in the first table, one for each block of the columns from block 1 on.
    sums: Vec<u32>,
    /// For each block of the first table, whether it is proven intact.
    proven: Vec<bool>,
    pub(crate) header: Option<Box<Damage>>,
    pub(crate) footer: Option<Box<Damage>>,
    /// The damaged blocks of tables.
    pub(crate) tables: Vec<(u64, Box<Damage>)>,
}

/// The result of comparing a block with its checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Intact,
    Damaged {
        stored: u32,
        computed: u32,
    },
    /// The checksum does not match, and its table block is not proven intact.
    Doubtful {
        stored: u32,
        computed: u32,
    },
}

impl PartFrame {
    /// Compares block `number` of the columns with its checksum.
    #[inline]
    pub(crate) fn judge(&self, number: u64, block: &[u8]) -> Verdict {
        let computed = block_checksum(block);
        let entry = usize::try_from(number.wrapping_sub(1)).unwrap_or(usize::MAX);
        match self.sums.get(entry) {
            Some(stored) if *stored == computed => Verdict::Intact,
            stored => self.mismatch(number, stored.copied(), computed),
        }
    }

    #[cold]
    fn mismatch(&self, number: u64, stored: Option<u32>, computed: u32) -> Verdict {
        let holder = usize::try_from((number - 1) / SUMS_PER_BLOCK).unwrap_or(usize::MAX);
        let stored = stored.unwrap_or(!computed);
        if self.proven.get(holder).copied().unwrap_or(false) {
            Verdict::Damaged { stored, computed }
        } else {
            Verdict::Doubtful { stored, computed }
        }
    }

    /// The checksum to write for a block that is copied as it is and must stay damaged. Returns the old
    /// checksum if it does not match, and else one that does not match.
    pub(crate) fn keep_damaged(&self, number: u64, computed: u32) -> u32 {
        match self.judge_sum(number) {
            Some(stored) if stored != computed => stored,
            _ => !computed,
        }
    }

    fn judge_sum(&self, number: u64) -> Option<u32> {
        self.sums.get(usize::try_from(number.checked_sub(1)?).ok()?).copied()
    }

    /// Whether the header, the footer or a table is damaged.
    pub(crate) fn is_damaged(&self) -> bool {
        self.header.is_some() || self.footer.is_some() || !self.tables.is_empty()
    }
}

impl RawPart {
    /// Opens the file that the manifest names, whatever its contents. In a missing file every block is
    /// unreadable.
    pub(crate) fn open(
        fs: &dyn FileSystem,
        identity: PartIdentity,
        reference: PartRef,
        mode: ReadMode,
    ) -> Result<Self> {
        let name = reference.number.file();
        let path = fs.display(name);
        let Some(layout) = PartLayout::of(&identity, reference.entry_bytes) else {
            let expected = "one that fits a file";
            return Err(Damage::field(&path, 0, "range", expected, reference.to).into());
        };
        let file = match fs.open(name, Access::Read) {
            Ok(file) => Some(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(Error::io("open", path, error)),
        };
        let len = match &file {
            Some(file) => file.len().map_err(|error| Error::io("measure", &path, error))?,
            None => 0,
        };
        let held = match &file {
            Some(file) => backing::too_few(&**file, 0..len)
                .map_err(|error| Error::io("measure", &path, error))?,
            None => None,
        };
        let mappable = mode == ReadMode::Mapped && len == layout.len() && held.is_none();
        let map = file.as_ref().filter(|_| mappable).and_then(|file| file.map(len).ok());
        Ok(Self { identity, reference, layout, file, map, len, held, path })
    }

    /// The part in a file at any path, judged by its own header and footer. `None` if the range in the
    /// header is too large for a file.
    pub(crate) fn of_file(
        path: &Path,
        file: Arc<dyn File>,
        len: u64,
        identity: PartIdentity,
    ) -> Option<Self> {
        // The frame reports an unreadable footer as damage.
        let mut footer = [0; PART_BLOCK_LEN];
        let _ = file.read_at(ByteOffset(len.saturating_sub(PART_BLOCK)), &mut footer);
        let entry_bytes = Footer::parse(&footer).map_or(0, |footer| footer.entry_bytes);
        let layout = PartLayout::of(&identity, entry_bytes)?;
        let reference = PartRef {
            number: identity.number,
            from: identity.from,
            to: identity.to,
            len: layout.len(),
            checksum: seal_of(&footer),
            entry_bytes,
            // A part does not say it of itself.
            erased: 0,
            hidden: 0,
        };
        let path = path.to_path_buf();
        let held = backing::too_few(&*file, 0..len).unwrap_or(None);
        Some(Self { identity, reference, layout, file: Some(file), map: None, len, held, path })
    }

    /// The number of blocks of the tables.
    pub(crate) fn table_blocks(&self) -> u64 {
        self.layout.tables.iter().map(|(_, len)| len).sum()
    }

    pub(super) fn layout(&self) -> &PartLayout {
        &self.layout
    }

    pub(super) fn file(&self) -> Option<&dyn File> {
        self.file.as_deref()
    }

    /// Block `number` of the entries or the directory with the padding behind its bytes set to zero.
    /// `None` if the block has no padding.
    pub(crate) fn without_padding(
        &self,
        number: u64,
        block: &[u8; PART_BLOCK_LEN],
    ) -> Option<[u8; PART_BLOCK_LEN]> {
        let area = self.layout.entries?;
        let records = area.bundles * RECORD_LEN as u64;
        let end = match number < area.directory {
            true => area.block * PART_BLOCK + area.bytes,
            false => area.directory * PART_BLOCK + records,
        };
        let used = usize::try_from(end.checked_sub(number * PART_BLOCK)?).ok()?;
        let mut cut = *block;
        cut.get_mut(used..).filter(|padding| !padding.is_empty())?.fill(0);
        Some(cut)
    }

    pub(crate) fn is_missing(&self) -> bool {
        self.file.is_none()
    }

    /// Whether the disk has stored hardly any of the file's bytes. The scrub reads no block of such a
    /// file, because the file may claim any number of blocks.
    pub(crate) fn is_hollow(&self) -> bool {
        self.held.is_some()
    }

    /// The blocks of the columns that the file has. Empty for a hollow file, whose blocks are not read.
    pub(crate) fn blocks_there(&self) -> Range<u64> {
        let all = self.column_blocks();
        let there = match self.file {
            Some(_) if !self.is_hollow() => self.len.div_ceil(PART_BLOCK),
            _ => 0,
        };
        all.start..all.end.min(there).max(all.start)
    }

    /// The number of blocks of the columns that are missing from the file.
    pub(crate) fn blocks_absent(&self) -> u64 {
        let (all, there) = (self.column_blocks(), self.blocks_there());
        (all.end - all.start) - (there.end - there.start)
    }

    /// The length that the file must have.
    pub(crate) fn full_len(&self) -> u64 {
        self.layout.len()
    }

    /// The damage of the file as a whole, if any.
    pub(crate) fn file_damage(&self) -> Option<Box<Damage>> {
        let damage = |problem| Some(Damage::new(&self.path, 0, problem));
        if self.is_missing() {
            return damage(Problem::Missing);
        }
        if let Some(found) = self.held {
            return damage(Problem::Hollow { expected: self.len, found });
        }
        let expected = self.full_len();
        (self.len != expected)
            .then(|| Damage::new(&self.path, 0, Problem::Truncated { expected, found: self.len }))
    }

    /// The first index of `level` behind this part.
    pub(crate) fn end(&self, level: Level) -> u64 {
        let bits = u32::from(level.0) * self.identity.arity.bits();
        self.reference.to.checked_shr(bits).unwrap_or(0)
    }

    /// The first index of `level` in this part or behind it.
    pub(crate) fn first(&self, level: Level) -> u64 {
        let bits = u32::from(level.0) * self.identity.arity.bits();
        self.reference.from.checked_shr(bits).unwrap_or(0)
    }

    /// The block of node `index` of `level`, and the position of the node in this block, in nodes. The
    /// node must be in this part.
    pub(crate) fn place(&self, level: Level, index: u64) -> (u64, u64) {
        let Some(column) = self.layout.columns.get(usize::from(level.0)) else { return (0, 0) };
        let at = index - column.first;
        (column.block + at / NODES_PER_BLOCK, at % NODES_PER_BLOCK)
    }

    /// The level and the nodes in block `number`. `None` if the block is not in a column.
    pub(crate) fn nodes_of(&self, number: u64) -> Option<(Level, Range<u64>)> {
        let holds = |column: &&Column| column.block <= number && column.first < column.end;
        let column = self.layout.columns.iter().rev().find(holds)?;
        let first = column.first.checked_add((number - column.block) * NODES_PER_BLOCK)?;
        (first < column.end).then(|| (column.level, first..column.end.min(first + NODES_PER_BLOCK)))
    }

    /// As [`nodes_of`](Self::nodes_of), without the nodes that are hidden because the tree was rewound. `None` if the block has
    /// no other ones.
    pub(crate) fn visible_nodes_of(&self, number: u64) -> Option<(Level, Range<u64>)> {
        let (level, nodes) = self.nodes_of(number)?;
        let nodes = nodes.start..nodes.end.min(self.end(level));
        (!nodes.is_empty()).then_some((level, nodes))
    }

    /// The blocks of the columns.
    pub(crate) fn column_blocks(&self) -> Range<u64> {
        1..self.layout.tables.first().map_or(self.layout.footer, |(block, _)| *block)
    }

    /// Whether the file ends before the entries and their directory do.
    pub(crate) fn lacks_entries(&self) -> bool {
        let blocks = self.entry_blocks();
        !blocks.is_empty() && blocks.end > self.len.div_ceil(PART_BLOCK)
    }

    /// The blocks of the entries and of their directory. Empty in a tree without entries.
    pub(crate) fn entry_blocks(&self) -> Range<u64> {
        let end = self.column_blocks().end;
        self.layout.entries.map_or(end, |area| area.block)..end
    }

    pub(crate) fn footer_block(&self) -> u64 {
        self.layout.footer
    }

    /// Fills `out` with whole blocks from `first` on.
    pub(crate) fn read(&self, first: u64, out: &mut [u8]) -> Result<(), Box<Damage>> {
        let at = first * PART_BLOCK;
        let read = match &self.file {
            Some(file) => file.read_at(ByteOffset(at), out),
            None => return Err(Damage::new(&self.path, at, Problem::Missing)),
        };
        read.map_err(|error| unreadable(&self.path, at, &error))
    }

    /// `count` whole blocks from `first` on, in mapped memory. `None` unless the operating system
    /// confirms that the pages are loaded. Reading a mapped page that the disk cannot deliver would end
    /// the process.
    pub(crate) fn borrow(&self, first: u64, count: usize) -> Option<&[u8]> {
        let map = self.map.as_ref()?;
        let at = usize::try_from(first * PART_BLOCK).ok()?;
        let len = count * PART_BLOCK_LEN;
        map.populate(at, len).then(|| map.get(at..at + len)).flatten()
    }

    /// Reads the header, the tables and the footer, and reports the damaged ones.
    ///
    /// The manifest has the checksum of the footer. The footer follows from the header and from the
    /// checksum of the last table. So the last table can be proven intact even if the footer is damaged.
    pub(crate) fn frame(&self) -> PartFrame {
        let mut frame = PartFrame::default();
        if self.is_hollow() {
            return frame;
        }
        let mut block = [0; PART_BLOCK_LEN];
        let header = self.identity.header();
        frame.header = self
            .read(0, &mut block)
            .err()
            .or_else(|| (block != header).then(|| differs(&self.path, 0, "header", &block)));

        let tables: Vec<_> = self.layout.tables.iter().map(|table| self.table(*table)).collect();
        let last = tables.last().and_then(|table| table.first());
        let footer_of = |tables: u32| {
            let (number, len) = (self.reference.number, self.layout.len());
            let entry_bytes = self.reference.entry_bytes;
            Footer { number, len, header: seal_of(&header), tables, entry_bytes }.block()
        };
        let at = self.layout.footer * PART_BLOCK;
        let found = self.read(self.layout.footer, &mut block);
        let proven_sum =
            [last.and_then(|last| last.as_ref().ok().map(|last| block_checksum(&last[..])))]
                .into_iter()
                .flatten()
                .chain(Footer::parse(&block).ok().map(|footer| footer.tables))
                .find(|sum| seal_of(&footer_of(*sum)) == self.reference.checksum);
        let intact = proven_sum.is_some_and(|sum| block == footer_of(sum));
        frame.footer =
            found.err().or_else(|| (!intact).then(|| differs(&self.path, at, "footer", &block)));

        // From the last table, which is one block, to the first.
        let mut expected: Vec<Option<u32>> = vec![proven_sum];
        let mut entries = Vec::new();
        for (&(start, _), blocks) in self.layout.tables.iter().zip(&tables).rev() {
            frame.proven = Vec::with_capacity(blocks.len());
            entries.clear();
            let mut next = Vec::new();
            for (number, bytes) in blocks.iter().enumerate() {
                let wanted = expected.get(number).copied().flatten();
                let at = start + number as u64;
                let proven = match bytes {
                    Ok(bytes) => wanted == Some(block_checksum(&bytes[..])),
                    Err(_) => false,
                };
                if !proven {
                    let damage = match bytes {
                        Err(damage) => damage.clone(),
                        Ok(bytes) => Damage::new(
                            &self.path,
                            at * PART_BLOCK,
                            Problem::Checksum {
                                stored: u64::from(wanted.unwrap_or(0)),
                                computed: u64::from(block_checksum(&bytes[..])),
                            },
                        ),
                    };
                    frame.tables.push((at, damage));
                }
                frame.proven.push(proven);
                match bytes {
                    Ok(bytes) => entries.extend(
                        bytes.as_chunks().0.iter().map(|sum: &[u8; 4]| u32::from_le_bytes(*sum)),
                    ),
                    // A placeholder: it can match no real block, except by chance.
                    Err(_) => entries.extend([0; SUMS_IN_BLOCK]),
                }
                let from = entries.len() - SUMS_IN_BLOCK;
                // A checksum that matches proves its block intact, even if its own table is not proven.
                next.extend(entries[from..].iter().map(|sum| Some(*sum)));
            }
            expected = next;
        }
        let blocks = self.column_blocks();
        entries.truncate(usize::try_from(blocks.end - blocks.start).unwrap_or(usize::MAX));
        frame.sums = entries;
        frame.tables.sort_unstable_by_key(|(block, _)| *block);
        frame
    }

    /// The blocks of one table up to the end of the file, plus the first block behind the end. The limit
    /// is needed because a header may claim any number of blocks.
    fn table(
        &self,
        (start, len): (u64, u64),
    ) -> Vec<Result<Box<[u8; PART_BLOCK_LEN]>, Box<Damage>>> {
        let there = match self.file {
            Some(_) => self.len.div_ceil(PART_BLOCK).saturating_sub(start),
            None => 0,
        };
        let one = |number| {
            let mut block = Box::new([0; PART_BLOCK_LEN]);
            self.read(start + number, &mut block[..]).map(|()| block)
        };
        (0..len.min(there + 1)).map(one).collect()
    }
}

/// The header of a part.
pub(crate) fn read_header(block: &[u8; PART_BLOCK_LEN]) -> Result<PartIdentity, BlockFault> {
    PartIdentity::parse(block)
}

/// The damage of a header or footer that differs from the expected one.
fn differs(path: &Path, at: u64, field: &'static str, block: &[u8; PART_BLOCK_LEN]) -> Box<Damage> {
    let (stored, computed) = (seal_of(block), checksum(&block[..PART_BLOCK_LEN - 8]));
    if stored == computed {
        return Damage::field(path, at, field, "the one of this part", "another one");
    }
    Damage::new(path, at, Problem::Checksum { stored, computed })
}

fn unreadable(path: &Path, at: u64, error: &io::Error) -> Box<Damage> {
    Damage::new(path, at, Problem::Unreadable { reason: error.to_string() })
}
