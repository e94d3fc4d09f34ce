//! Reads the index of a part.

use std::borrow::Borrow;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use super::format::{FileLayout, INDEX_VERSION, IndexIdentity, IndexRun, check_table_block};
use super::write::layout_of;
use crate::checksum::block_checksum;
use crate::codec::Decoder;
use crate::config::ReadMode;
use crate::error::{Damage, Error, Problem, ReadError, Result};
use crate::fs::{Access, FileName, FileSystem, backing};
use crate::ids::{ByteOffset, StoreId};
use crate::index::{BLOCK, Index, IndexKey, KeyedHash};
use crate::merkle::{Hash, prefetch};
use crate::part::bytes::{Block, Bytes};
use crate::part::checked::Checked;
use crate::part::format::{PART_BLOCK, seal_of};

/// Bytes that the processor fetches at a time.
const LINE: usize = 64;

/// An open index.
#[derive(Debug)]
pub(in crate::part) struct IndexFile {
    key: IndexKey,
    layout: FileLayout,
    bytes: Bytes,
    checked: Checked,
    runs: Vec<Run>,
    path: PathBuf,
}

/// An index of some of the leaves.
#[derive(Debug)]
struct Run {
    place: IndexRun,
    resident: OnceLock<Resident>,
}

/// What a search needs before it reads a block of records. `None` where the file is mapped.
#[derive(Debug)]
struct Resident {
    filter: Option<Vec<u8>>,
    fences: Option<Vec<u8>>,
}

impl Borrow<[u8; BLOCK]> for Block<'_> {
    fn borrow(&self) -> &[u8; BLOCK] {
        self
    }
}

impl IndexFile {
    /// Opens the index of the part that `expected` describes, whatever the key. `None` if there is no file.
    ///
    /// # Errors
    ///
    /// [`Damaged`](Error::Damaged) if the file is not the index of this part.
    pub(in crate::part) fn open(
        fs: &Arc<dyn FileSystem>,
        expected: &IndexIdentity,
        mode: ReadMode,
    ) -> Result<Option<Self>> {
        let name = expected.part.index_file();
        let path = fs.display(name);
        let file = match fs.open(name, Access::Read) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(|error| Error::io("open", &path, error))?,
        };
        let fail = |error| Error::io("read", &path, error);
        let layout = layout_of(expected).map_err(fail)?;
        let (wanted, found) = (layout.len(), file.len().map_err(fail)?);
        if found != wanted {
            let problem = Problem::Truncated { expected: wanted, found };
            return Err(Damage::new(&path, 0, problem).into());
        }
        if let Some(held) = backing::too_few(&*file, 0..found).map_err(fail)? {
            let problem = Problem::Hollow { expected: found, found: held };
            return Err(Damage::new(&path, 0, problem).into());
        }
        let mut block = [0; BLOCK];
        file.read_at(ByteOffset(0), &mut block).map_err(fail)?;
        let header = IndexIdentity::parse(&block);
        let own = header.as_ref().map(|header| IndexIdentity { key: [0; 16], ..header.clone() });
        let Some(header) = header.filter(|_| own.as_ref() == Some(expected)) else {
            let expected =
                format!("of the index of part {}, version {INDEX_VERSION}", expected.part);
            return Err(Damage::field(&path, 0, "header", expected, "another").into());
        };
        file.read_at(ByteOffset(wanted - PART_BLOCK), &mut block).map_err(fail)?;
        let bytes = Bytes::open(fs, file, name, (wanted, seal_of(&block)), mode)?;
        let runs = layout.runs().map(|place| Run { place, resident: OnceLock::new() }).collect();
        let (key, checked) = (IndexKey::new(header.key), Checked::new(layout.blocks));
        Ok(Some(Self { key, layout, bytes, checked, runs, path }))
    }

    /// What the header of an index says. `None` if it cannot be read.
    pub(super) fn header(fs: &dyn FileSystem, name: FileName) -> Result<Option<IndexIdentity>> {
        let fail = |error| Error::io("read", fs.display(name), error);
        let file = fs.open(name, Access::Read).map_err(fail)?;
        let mut block = [0; BLOCK];
        if file.len().map_err(fail)? < PART_BLOCK {
            return Ok(None);
        }
        file.read_at(ByteOffset(0), &mut block).map_err(fail)?;
        Ok(IndexIdentity::parse(&block))
    }

    /// The store that index `name` belongs to, if its header is readable.
    pub(in crate::part) fn owner(fs: &dyn FileSystem, name: FileName) -> Result<Option<StoreId>> {
        Ok(Self::header(fs, name)?.map(|header| header.store))
    }

    /// Keeps the file readable after its name is removed.
    pub(in crate::part) fn keep(&self) -> Result<()> {
        self.bytes.keep()
    }

    pub(in crate::part) fn path(&self) -> &Path {
        &self.path
    }

    /// The blocks of the indexes.
    pub(in crate::part) fn blocks(&self) -> std::ops::Range<u64> {
        1..self.layout.table
    }

    /// Compares block `number` with its checksum.
    pub(in crate::part) fn check(&self, number: u64) -> Result<(), ReadError> {
        if self.checked.has(number) { Ok(()) } else { self.block(number).map(drop) }
    }

    /// The leaves of the part that are equal to `leaf`, in rising order, counted from the first of the part.
    /// `is_leaf` compares one with it.
    ///
    /// A leaf that the part does not have costs no read in 239 of 240 cases.
    pub(in crate::part) fn find_all<'a>(
        &'a self,
        leaf: &Hash,
        is_leaf: impl Fn(u64) -> Result<bool, ReadError> + Copy + 'a,
    ) -> impl Iterator<Item = Result<u64, ReadError>> + 'a {
        let hash = self.key.hash(leaf);
        self.runs.iter().flat_map(move |run| {
            let (index, failed) = match self.index_of(run) {
                Ok(index) => (Some(index), None),
                Err(error) => (None, Some(Err(error))),
            };
            let first = run.place.block;
            let read = move |number: u64| self.block(first + number);
            let before = run.place.before;
            let is_leaf =
                move |offset: crate::index::LeafOffset| is_leaf(before + u64::from(offset.0));
            let hits = index.into_iter().flat_map(move |index| index.find_all(hash, read, is_leaf));
            let found = hits.map(move |hit| hit.map(move |offset| before + u64::from(offset.0)));
            failed.into_iter().chain(found)
        })
    }

    /// For each of `leaves`, whether the part may have it. `false` is certain. Reads no block of records.
    pub(in crate::part) fn may_contain_each(
        &self,
        leaves: &[Hash],
    ) -> Result<Vec<bool>, ReadError> {
        let runs = self.runs.iter().map(|run| self.index_of(run)).collect::<Result<Vec<_>, _>>()?;
        // All leaves are hashed first: the processor then waits for many lines of the filter at once.
        let hashes: Vec<_> = leaves.iter().map(|leaf| self.key.hash(leaf)).collect();
        Ok(hashes.iter().map(|hash| runs.iter().any(|run| run.may_contain(*hash))).collect())
    }

    /// As [`may_contain_each`](Self::may_contain_each), for one leaf by its hash.
    pub(in crate::part) fn may_contain(&self, hash: KeyedHash) -> Result<bool, ReadError> {
        for run in &self.runs {
            if self.index_of(run)?.may_contain(hash) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Reads a byte that [`may_contain`](Self::may_contain) will need, in a way that the processor need not wait
    /// for it before it goes on.
    pub(in crate::part) fn touch(&self, hash: KeyedHash) -> u8 {
        let touch = |run| self.index_of(run).map_or(0, |index| index.touch(hash));
        self.runs.iter().fold(0, |all, run| all | touch(run))
    }

    /// Has the processor fetch the records of a hash, if they are mapped, without waiting for them. They are needed if the
    /// filter does not rule the hash out.
    pub(in crate::part) fn prefetch(&self, hash: KeyedHash) {
        for run in &self.runs {
            let place = self.index_of(run).ok().and_then(|index| index.place(hash));
            let Some((number, at)) = place else { continue };
            let block = (run.place.block + number).saturating_mul(PART_BLOCK);
            if let Some(block) = self.bytes.borrow(block..block.saturating_add(PART_BLOCK)) {
                // The line in front of it, its own and the one behind it.
                let near = at.saturating_sub(LINE)..(at + 2 * LINE).min(block.len());
                prefetch(block.get(near).unwrap_or_default().as_chunks().0);
            }
        }
    }

    /// The index of a run. Reads and checks its filter and its fences the first time.
    fn index_of<'a>(&'a self, run: &'a Run) -> Result<Index<'a>, ReadError> {
        let (filter, fences) = self.areas(&run.place, &run.resident)?;
        Ok(Index::new(run.place.layout, filter, fences))
    }

    /// The place of a leaf in this index.
    pub(in crate::part) fn hash(&self, leaf: &Hash) -> KeyedHash {
        self.key.hash(leaf)
    }

    /// The filter and the fences of a run. Reads and checks them the first time.
    fn areas<'a>(
        &'a self,
        run: &IndexRun,
        resident: &'a OnceLock<Resident>,
    ) -> Result<(&'a [u8], &'a [u8]), ReadError> {
        let area = |blocks: std::ops::Range<u64>| run.block + blocks.start..run.block + blocks.end;
        let (filter, fences) = (area(run.layout.filter()), area(run.layout.fences()));
        if resident.get().is_none() {
            let made = Resident { filter: self.load(&filter)?, fences: self.load(&fences)? };
            // Another thread may have loaded them first.
            let _ = resident.set(made);
        }
        let bytes = |blocks: &std::ops::Range<u64>, loaded: Option<&'a Vec<u8>>| match loaded {
            Some(loaded) => Some(&loaded[..]),
            None => self.bytes.borrow(blocks.start * PART_BLOCK..blocks.end * PART_BLOCK),
        };
        let loaded = resident.get();
        Ok((
            bytes(&filter, loaded.and_then(|loaded| loaded.filter.as_ref())).unwrap_or_default(),
            bytes(&fences, loaded.and_then(|loaded| loaded.fences.as_ref())).unwrap_or_default(),
        ))
    }

    /// Checks some blocks. Returns a copy of them unless they are mapped.
    fn load(&self, blocks: &std::ops::Range<u64>) -> Result<Option<Vec<u8>>, ReadError> {
        let mapped = self.bytes.borrow(0..0).is_some();
        let mut copy = Vec::new();
        for number in blocks.clone() {
            let block = self.block(number)?;
            if !mapped {
                copy.extend_from_slice(&block[..]);
            }
        }
        Ok((!mapped).then_some(copy))
    }

    /// Block `number`, intact.
    fn block(&self, number: u64) -> Result<Block<'_>, ReadError> {
        let block = self.bytes.block(number)?;
        if !self.checked.has(number) {
            self.verify(number, &block)?;
            self.checked.mark(number);
        }
        Ok(block)
    }

    fn verify(&self, number: u64, block: &[u8; BLOCK]) -> Result<(), ReadError> {
        let (holder, at) = self.layout.place_of_sum(number);
        let table = self.bytes.block(holder)?;
        if !self.checked.has(holder) {
            check_table_block(&table).map_err(|sums| self.damaged(holder, sums))?;
            self.checked.mark(holder);
        }
        let (stored, computed) = (Decoder(&table[at..]).u32().unwrap_or(0), block_checksum(block));
        if stored == computed { Ok(()) } else { Err(self.damaged(number, (stored, computed))) }
    }

    #[cold]
    fn damaged(&self, number: u64, (stored, computed): (u32, u32)) -> ReadError {
        let (stored, computed) = (u64::from(stored), u64::from(computed));
        let at = number * PART_BLOCK;
        ReadError::Damaged(Damage::new(&self.path, at, Problem::Checksum { stored, computed }))
    }
}
