//! Reads a part. Opening reads the header and the footer. A block is checked on the first read.
//! [`Bytes`] maps the file or reads it.
//!
//! # Invariants
//!
//! - When [`Part::read`] reads a block that is not marked as intact, it compares the block with its
//!   checksum and copies from the same buffer. Only this comparison marks the block.
//!   [`Part::read_reverified`] does the same for every block, marked or not. The same holds for a
//!   checksum that is read from a table.
//! - A marked block is not compared again. Mapped bytes of such a block do not change, unless the disk
//!   or another program changes a page that is loaded again. With [`ReadMode::Pread`] each later read
//!   goes to the file, and its bytes are trusted.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::bytes::{Block, Bytes};
use super::checked::Checked;
use super::finder::Finder;
use super::format::{
    BlockFault, Footer, PART_BLOCK, PART_BLOCK_LEN, PART_VERSION, PartIdentity, PartLayout,
    PartRef, SUMS_PER_BLOCK, seal_of,
};
use super::index_file::IndexFile;
use crate::checksum::block_checksum;
use crate::codec::Decoder;
use crate::config::ReadMode;
use crate::error::{Damage, Error, FormatFeature, Problem, ReadError, Result};
use crate::fs::{Access, FileKind, FileName, FileSystem, Region, backing};
use crate::ids::ByteOffset;
use crate::ids::StoreId;
use crate::merkle::{Hash, Level};

const NODE_LEN: u64 = size_of::<Hash>() as u64;

/// An open part.
#[derive(Debug)]
pub(crate) struct Part {
    identity: PartIdentity,
    reference: PartRef,
    layout: PartLayout,
    bytes: Bytes,
    checked: Checked,
    tables_sum: u32,
    /// The bundle that was decompressed last, by the index of its first entry.
    pub(super) last_bundle: Mutex<Option<(u64, Arc<[u8]>)>>,
    /// The entries that were found to hash to their leaves.
    pub(super) hashed: Checked,
    /// The bundles that were found to be as many entries as leaves, each of which hashes to its leaf.
    pub(super) whole: Checked,
    path: PathBuf,
    /// The part's index, once it was looked for.
    pub(super) finder: Finder,
}

impl Part {
    /// Opens a part that the manifest names. The header must be equal to `expected`.
    pub(crate) fn open(
        fs: &Arc<dyn FileSystem>,
        expected: &PartIdentity,
        reference: PartRef,
        mode: ReadMode,
    ) -> Result<Self> {
        let name = reference.number.file();
        let path = fs.display(name);
        let fail = |action, error: std::io::Error| match error.kind() {
            std::io::ErrorKind::NotFound => Damage::new(&path, 0, Problem::Missing).into(),
            _ => Error::io(action, &path, error),
        };
        let file = fs.open(name, Access::Read).map_err(|error| fail("open", error))?;
        let found = file.len().map_err(|error| fail("measure", error))?;
        let Some(layout) = PartLayout::of(expected, reference.entry_bytes) else {
            return Err(
                Damage::field(&path, 0, "range", "one that fits a file", reference.to).into()
            );
        };
        if found != layout.len() || found != reference.len {
            let problem = Problem::Truncated { expected: reference.len, found };
            return Err(Damage::new(&path, 0, problem).into());
        }
        let held = backing::too_few(&*file, 0..found).map_err(|error| fail("measure", error))?;
        if let Some(held) = held {
            let problem = Problem::Hollow { expected: found, found: held };
            return Err(Damage::new(&path, 0, problem).into());
        }
        let bytes = Bytes::open(fs, file, name, (found, reference.checksum), mode)?;
        let (header, footer) = (bytes.block(0)?, bytes.block(layout.footer)?);
        let footer_at = layout.footer * PART_BLOCK;

        let identity = PartIdentity::parse(&header).map_err(|fault| reject(&path, 0, fault))?;
        if identity != *expected {
            let (expected, found) = (expected.to_string(), identity.to_string());
            return Err(Damage::field(&path, 0, "identity", expected, found).into());
        }
        let parsed = Footer::parse(&footer).map_err(|fault| reject(&path, footer_at, fault))?;
        let wanted = Footer {
            number: reference.number,
            len: found,
            header: seal_of(&header),
            tables: parsed.tables,
            entry_bytes: reference.entry_bytes,
        };
        if parsed != wanted {
            let (expected, found) = (wanted.to_string(), parsed.to_string());
            return Err(Damage::field(&path, footer_at, "footer", expected, found).into());
        }
        if seal_of(&footer) != reference.checksum {
            let problem =
                Problem::Checksum { stored: reference.checksum, computed: seal_of(&footer) };
            return Err(Damage::new(&path, footer_at, problem).into());
        }
        let checked = Checked::new(layout.footer);
        let hashed = Checked::new(layout.entries.map_or(0, |_| expected.to - expected.from));
        let whole = Checked::new(layout.entries.map_or(0, |area| area.bundles));
        drop((header, footer));
        Ok(Self {
            identity,
            reference,
            layout,
            bytes,
            checked,
            tables_sum: parsed.tables,
            last_bundle: Mutex::default(),
            hashed,
            whole,
            path,
            finder: Finder::new(fs, mode),
        })
    }

    /// The store that part or index `name` belongs to, if its header is readable.
    pub(crate) fn owner(fs: &dyn FileSystem, name: FileName) -> Result<Option<StoreId>> {
        if name.kind == FileKind::Index {
            return IndexFile::owner(fs, name);
        }
        let fail = |action, error| Error::io(action, fs.display(name), error);
        let file = fs.open(name, Access::Read).map_err(|error| fail("open", error))?;
        let mut header = [0; PART_BLOCK_LEN];
        if file.len().map_err(|error| fail("measure", error))? < PART_BLOCK {
            return Ok(None);
        }
        file.read_at(ByteOffset(0), &mut header).map_err(|error| fail("read", error))?;
        Ok(PartIdentity::parse(&header).ok().map(|identity| identity.store))
    }

    /// Keeps the part readable after its name is removed.
    pub(crate) fn keep(&self) -> Result<()> {
        self.finder.keep();
        self.bytes.keep()
    }

    pub(crate) fn reference(&self) -> PartRef {
        self.reference
    }

    pub(crate) fn identity(&self) -> &PartIdentity {
        &self.identity
    }

    pub(super) fn layout(&self) -> &PartLayout {
        &self.layout
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The first index of `level` behind this part.
    pub(crate) fn end(&self, level: Level) -> u64 {
        self.reference.to.checked_shr(u32::from(level.0) * self.identity.arity.bits()).unwrap_or(0)
    }

    /// Copies nodes of `level`, from `index` on, into `out`, as many as this part has. Returns how many.
    #[inline]
    pub(crate) fn read(
        &self,
        level: Level,
        index: u64,
        out: &mut [Hash],
    ) -> Result<usize, ReadError> {
        let len = self.visible(level, index, out.len());
        self.copy(level, index, &mut out[..len], false)
    }

    /// As [`read`](Self::read), of all leaves in the file: an index has those too that nothing reads.
    pub(super) fn read_file(
        &self,
        level: Level,
        index: u64,
        out: &mut [Hash],
    ) -> Result<usize, ReadError> {
        self.copy(level, index, out, false)
    }

    /// How many of `len` nodes of `level` from `index` on the tree has.
    #[inline]
    fn visible(&self, level: Level, index: u64, len: usize) -> usize {
        if self.reference.hidden == 0 {
            return len;
        }
        let left = self.end(level).saturating_sub(index);
        len.min(usize::try_from(left).unwrap_or(usize::MAX))
    }

    /// As [`read`](Self::read), but checks every block again, even blocks marked as intact. For a caller
    /// that is about to remove the part.
    pub(crate) fn read_reverified(
        &self,
        level: Level,
        index: u64,
        out: &mut [Hash],
    ) -> Result<usize, ReadError> {
        let len = self.visible(level, index, out.len());
        self.copy(level, index, &mut out[..len], true)
    }

    #[inline]
    fn copy(
        &self,
        level: Level,
        index: u64,
        out: &mut [Hash],
        reverify: bool,
    ) -> Result<usize, ReadError> {
        let column = self.layout.columns.get(usize::from(level.0)).filter(|_| !out.is_empty());
        let Some(column) = column.filter(|column| (column.first..column.end).contains(&index))
        else {
            return Err(ReadError::Absent { level, at: index });
        };
        let len = out.len().min(usize::try_from(column.end - index).unwrap_or(usize::MAX));
        let wanted = out[..len].as_flattened_mut();
        let start = column.block * PART_BLOCK + (index - column.first) * NODE_LEN;
        let (first, last) = (start / PART_BLOCK, (start + wanted.len() as u64 - 1) / PART_BLOCK);
        if reverify || !(first..=last).all(|number| self.is_checked(number)) {
            self.copy_intact(start, wanted, reverify)?;
        } else {
            self.bytes.read(start, wanted)?;
        }
        Ok(len)
    }

    /// Copies the bytes from `start` on, of blocks that are intact.
    #[inline]
    pub(super) fn copy_bytes(&self, start: u64, out: &mut [u8]) -> Result<(), ReadError> {
        let last = (start + out.len() as u64).saturating_sub(1) / PART_BLOCK;
        if (start / PART_BLOCK..=last).all(|number| self.is_checked(number)) {
            return self.bytes.read(start, out);
        }
        self.copy_intact(start, out, false)
    }

    /// Copies the bytes from `start` on. Checks every block that is not marked as intact. With
    /// `reverify` set, checks every block.
    #[cold]
    pub(super) fn copy_intact(
        &self,
        start: u64,
        out: &mut [u8],
        reverify: bool,
    ) -> Result<(), ReadError> {
        let mut skip = usize::try_from(start % PART_BLOCK).unwrap_or(0);
        let mut rest = out;
        for number in start / PART_BLOCK.. {
            let block = self.block(number, reverify)?;
            let bytes = &block[skip..];
            let (head, tail) = rest.split_at_mut(bytes.len().min(rest.len()));
            head.copy_from_slice(&bytes[..head.len()]);
            if tail.is_empty() {
                break;
            }
            (rest, skip) = (tail, 0);
        }
        Ok(())
    }

    /// The nodes `[index, index + count)` of `level` in mapped memory. `None` if the part is not mapped,
    /// if one of the nodes is not in this part, or if one of their blocks is not marked as intact.
    #[inline]
    pub(crate) fn borrow(&self, level: Level, index: u64, count: usize) -> Option<&[Hash]> {
        let column = self.layout.columns.get(usize::from(level.0))?;
        let end = index.checked_add(count as u64)?;
        if count == 0 || index < column.first || end > column.end.min(self.end(level)) {
            return None;
        }
        let start = column.block * PART_BLOCK + (index - column.first) * NODE_LEN;
        let behind = start + count as u64 * NODE_LEN;
        // Most groups of siblings are in one block.
        let (first, last) = (start / PART_BLOCK, (behind - 1) / PART_BLOCK);
        if !self.is_checked(first) || !(first..last).all(|number| self.is_checked(number + 1)) {
            return None;
        }
        Some(self.bytes.borrow(start..behind)?.as_chunks().0)
    }

    /// Bytes `[at, at + len)` in mapped memory, each block of them intact. `None` if the part is not
    /// mapped.
    pub(super) fn borrow_intact(
        &self,
        at: u64,
        len: u64,
        reverify: bool,
    ) -> Result<Option<&[u8]>, ReadError> {
        let Some(bytes) = self.borrow_bytes(at, len) else { return Ok(None) };
        for number in at / PART_BLOCK..(at + len).div_ceil(PART_BLOCK) {
            if reverify || !self.is_checked(number) {
                self.block(number, reverify)?;
            }
        }
        Ok(Some(bytes))
    }

    /// Bytes `[at, at + len)` in mapped memory, intact or not.
    pub(super) fn borrow_bytes(&self, at: u64, len: u64) -> Option<&[u8]> {
        self.bytes.borrow(at..at.checked_add(len)?)
    }

    /// All bytes in mapped memory, intact or not. `None` if the part is not mapped.
    pub(super) fn region(&self) -> Option<&Region> {
        self.bytes.region()
    }

    /// Whether all blocks of the bytes `[at, at + len)` are marked as intact.
    #[inline]
    pub(super) fn are_checked(&self, at: u64, len: u64) -> bool {
        (at / PART_BLOCK..at.saturating_add(len).div_ceil(PART_BLOCK))
            .all(|number| self.is_checked(number))
    }

    /// Whether the block is marked as intact.
    #[inline]
    fn is_checked(&self, number: u64) -> bool {
        self.checked.has(number)
    }

    /// Block `number`, of a column or of a table. Checks the returned bytes if the block is not marked
    /// as intact or `reverify` is set.
    fn block(&self, number: u64, reverify: bool) -> Result<Block<'_>, ReadError> {
        let block = self.bytes.block(number)?;
        if reverify || !self.is_checked(number) {
            self.verify(number, &block)?;
            self.checked.mark(number);
        }
        Ok(block)
    }

    /// Compares the bytes of a block with its checksum.
    fn verify(&self, number: u64, block: &[u8; PART_BLOCK_LEN]) -> Result<(), ReadError> {
        let stored = self.stored_sum(number)?;
        let computed = block_checksum(block);
        if computed != stored {
            let problem =
                Problem::Checksum { stored: u64::from(stored), computed: u64::from(computed) };
            return Err(ReadError::Damaged(Damage::new(&self.path, number * PART_BLOCK, problem)));
        }
        Ok(())
    }

    /// The checksum of block `number`, from a table or from the footer.
    fn stored_sum(&self, number: u64) -> Result<u32, ReadError> {
        // The blocks are in the order columns, first table, second table, and so on. Each table covers
        // the blocks before it: the first the columns, every later one the table before it.
        let mut covered = 1;
        for &(table, len) in &self.layout.tables {
            if number < table {
                let entry = number - covered;
                let holder = table + entry / SUMS_PER_BLOCK;
                let bytes = self.block(holder, false)?;
                let at = usize::try_from(entry % SUMS_PER_BLOCK).unwrap_or(0) * size_of::<u32>();
                return Ok(Decoder(&bytes[at..]).u32().unwrap_or(0));
            }
            if number < table + len && len == 1 {
                return Ok(self.tables_sum);
            }
            covered = table;
        }
        Ok(self.tables_sum)
    }
}

impl From<Box<Damage>> for ReadError {
    fn from(damage: Box<Damage>) -> Self {
        Self::Damaged(damage)
    }
}

fn reject(path: &std::path::Path, at: u64, fault: BlockFault) -> Error {
    match fault {
        BlockFault::Magic => Damage::field(path, at, "magic", "a part", "other bytes").into(),
        BlockFault::Fields => Damage::field(path, at, "fields", "valid ones", "others").into(),
        BlockFault::Version(found) => Error::UnknownFormat {
            path: path.into(),
            feature: FormatFeature::Version,
            found: u32::from(found),
            supported: u32::from(PART_VERSION),
        },
        BlockFault::Checksum { stored, computed } => {
            Damage::new(path, at, Problem::Checksum { stored, computed }).into()
        }
    }
}
