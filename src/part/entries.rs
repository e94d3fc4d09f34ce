//! Reads the entries of a part.
//!
//! # Invariants
//!
//! - Entries are handed out from blocks that were compared with their checksums, as nodes are. The first
//!   time that an entry is read, it is compared with its leaf.
//! - A bundle is marked as whole once its entries, as one run, were counted and each compared with its leaf. Such a run
//!   is handed out again without a look at its entries.
//! - A length or an offset in the file is compared with what there is before it is used. So a forged part
//!   with right checksums is damage and no panic.

use std::ops::Range;
use std::sync::{Arc, PoisonError};

use super::bundles::Record;
use super::compress;
use super::format::{EntryArea, PART_BLOCK, RECORD_LEN};
use super::reader::Part;
use crate::column::{EntryBytes, EntryHash, EntrySpan};
use crate::entry::{
    BUNDLE, Entries, EntrySource, Framing, Marks, STRIDE, StoredBundle, bundle_end,
};
use crate::error::{Damage, Error, Problem, ReadError, Result};
use crate::fs::backing;
use crate::merkle::Level;

/// Bytes that are read at a time where nothing is mapped.
const STEP: u64 = 256 << 10;
/// Longer bundles are decompressed again for each read.
const LARGEST_CACHED: u64 = 256 << 10;

/// The entries of a part that are in one bundle.
struct Bundle {
    /// Of the first entry.
    first: u64,
    /// Behind the last one.
    end: u64,
    record: Record,
    /// Where in the file the bundle begins.
    start: u64,
}

impl Bundle {
    /// Where the stride of entry `index` begins and ends in the bundle, and how many entries in the
    /// stride precede the entry.
    fn stride(&self, index: u64) -> (u64, u64, usize) {
        let at = usize::try_from(index - self.first).unwrap_or(0);
        let stride = at / STRIDE;
        let marks = &self.record.marks;
        let mark = |number: usize| marks.get(number).copied().unwrap_or(self.record.len);
        let start = stride.checked_sub(1).map_or(0, mark);
        (start, mark(stride), at % STRIDE)
    }
}

impl Part {
    /// Entry `index`. The first time that it is read, it is compared with its leaf.
    pub(super) fn entry(&self, index: u64, hash: EntryHash<'_>) -> Result<EntryBytes, ReadError> {
        let (area, framing) = self.entry_area(index)?;
        // Asked first: the processor then waits for this bit and for the entry at once.
        let known = self.is_hashed(index);
        let entry = match self.entry_in_place(&area, framing, index) {
            Some(entry) => entry,
            None => self.entry_of_bundle(&area, framing, index)?,
        };
        if !known {
            self.check_leaf(index, entry.get(), hash)?;
        }
        Ok(entry)
    }

    /// Entry `index`, by way of its bundle. It is not compared with its leaf.
    fn entry_of_bundle(
        &self,
        area: &EntryArea,
        framing: Framing,
        index: u64,
    ) -> Result<EntryBytes, ReadError> {
        let bundle = self.bundle(area, index, false)?;
        let (start, end, skip) = bundle.stride(index);
        let wrong = || self.wrong_bundle(bundle.start);
        if bundle.record.compressed {
            let bytes = self.decompressed(&bundle, false)?;
            let within = usize::try_from(start).ok().zip(usize::try_from(end).ok());
            let (start, end) = within.ok_or_else(wrong)?;
            let stride = bytes.get(start..end).ok_or_else(wrong)?;
            let (at, len) = locate_in(stride, framing, skip).ok_or_else(wrong)?;
            return Ok(EntryBytes::owned(bytes).slice(start + at, len));
        }
        let (at, len) = self.locate(&bundle, framing, start..end, skip)?;
        self.file_bytes(bundle.start + at, len)
    }

    /// Where in the bundle the data of an entry is, and its length: the entry behind `skip` others in `stride`. Only the
    /// blocks with lengths are read, so a damaged block makes no other entry unreadable than those that begin in it or
    /// behind it in the stride.
    fn locate(
        &self,
        bundle: &Bundle,
        framing: Framing,
        stride: Range<u64>,
        skip: usize,
    ) -> Result<(u64, u64), ReadError> {
        let wrong = || self.wrong_bundle(bundle.start);
        let mut prefix = [0; 4];
        let prefix = &mut prefix[..framing.prefix_len()];
        let mut at = stride.start;
        for left in (0..=skip).rev() {
            let data = at.checked_add(prefix.len() as u64).filter(|data| *data <= stride.end);
            let data = data.ok_or_else(wrong)?;
            self.copy_bytes(bundle.start + at, prefix)?;
            let len = framing.len_of(prefix) as u64;
            if len > stride.end - data {
                return Err(wrong());
            }
            if left == 0 {
                return Ok((data, len));
            }
            at = data + len;
        }
        Err(wrong())
    }

    /// Compares an entry with its leaf, unless that was done before.
    fn check_leaf(&self, index: u64, entry: &[u8], hash: EntryHash<'_>) -> Result<(), ReadError> {
        if self.is_hashed(index) {
            return Ok(());
        }
        let mut leaf = [[0; 32]];
        self.read(Level::LEAVES, index, &mut leaf)?;
        if hash(entry) != leaf[0] {
            let at = self.layout().entries.map_or(0, |area| area.block * PART_BLOCK);
            let problem = Problem::NotTheEntry { index };
            return Err(Damage::new(self.path(), at, problem).into());
        }
        self.hashed.mark(index - self.identity().from);
        Ok(())
    }

    /// Whether entry `index` was compared with its leaf.
    #[inline]
    fn is_hashed(&self, index: u64) -> bool {
        self.hashed.has(index - self.identity().from)
    }

    /// Adjacent entries from `from` on, of one bundle and below `to`, each compared with its leaf the first
    /// time that it is read.
    pub(super) fn entry_run(
        &self,
        from: u64,
        to: u64,
        hash: EntryHash<'_>,
    ) -> Result<EntrySpan, ReadError> {
        let (area, framing) = self.entry_area(from)?;
        let bundle = self.bundle(&area, from, false)?;
        let end = bundle.end.min(to);
        let number = self.bundle_in_part(from);
        let whole = (from, end) == (bundle.first, bundle.end);
        if whole && self.whole.has(number) {
            return Ok(EntrySpan { bytes: self.bundle_bytes(&bundle)?, end });
        }
        let bytes = self.framed_run(framing, &bundle, from, to)?;
        for (index, entry) in (from..).zip(Entries::new(framing, bytes.get())) {
            let wrong = || self.wrong_bundle(self.layout().entries.map_or(0, |area| area.block));
            self.check_leaf(index, entry.ok_or_else(wrong)?, hash)?;
        }
        if whole {
            self.whole.mark(number);
        }
        Ok(EntrySpan { bytes, end })
    }

    /// The entries from `from` on and below `to` that are in `bundle`, framed.
    fn framed_run(
        &self,
        framing: Framing,
        bundle: &Bundle,
        from: u64,
        to: u64,
    ) -> Result<EntryBytes, ReadError> {
        let end = bundle.end.min(to);
        if from == bundle.first && end == bundle.end {
            let bytes = self.bundle_bytes(bundle)?;
            self.check_count(framing, bundle, bytes.get())?;
            return Ok(bytes);
        }
        // Part of a bundle: from the stride of the first entry to that of the last.
        let (start, _, skip) = bundle.stride(from);
        let (_, behind, _) = bundle.stride(end - 1);
        let wrong = || self.wrong_bundle(bundle.start);
        let bytes = match bundle.record.compressed {
            true => {
                let bytes = EntryBytes::owned(self.decompressed(bundle, false)?);
                let at = usize::try_from(start).ok().zip(usize::try_from(behind - start).ok());
                let (at, len) = at.ok_or_else(wrong)?;
                bytes.slice(at, len)
            }
            false => self.file_bytes(bundle.start + start, behind - start)?,
        };
        let count = usize::try_from(end - from).unwrap_or(0);
        let framed = bytes.get();
        let mut entries = Entries::new(framing, framed);
        let mut len = |many: usize| {
            let entries = entries.by_ref().take(many).collect::<Option<Vec<_>>>()?;
            let whole = entries.len() == many;
            let len = |entry: &&[u8]| framing.framed_len(entry.len());
            whole.then(|| entries.iter().map(len).sum::<usize>())
        };
        let (before, wanted) = len(skip).zip(len(count)).ok_or_else(wrong)?;
        Ok(bytes.slice(before, wanted))
    }

    fn check_count(
        &self,
        framing: Framing,
        bundle: &Bundle,
        bytes: &[u8],
    ) -> Result<(), ReadError> {
        let wanted = bundle.end - bundle.first;
        let mut count = 0;
        for entry in Entries::new(framing, bytes) {
            if entry.is_none() || count == wanted {
                return Err(self.wrong_bundle(bundle.start));
            }
            count += 1;
        }
        if count == wanted { Ok(()) } else { Err(self.wrong_bundle(bundle.start)) }
    }

    /// All bytes of a bundle, decompressed.
    fn bundle_bytes(&self, bundle: &Bundle) -> Result<EntryBytes, ReadError> {
        match bundle.record.compressed {
            true => Ok(EntryBytes::owned(self.decompressed(bundle, false)?)),
            false => self.file_bytes(bundle.start, bundle.record.len),
        }
    }

    /// Bytes of the file, without a copy if it is mapped.
    fn file_bytes(&self, at: u64, len: u64) -> Result<EntryBytes, ReadError> {
        if self.borrow_intact(at, len, false)?.is_some()
            && let Some(region) = self.region()
            && let (Ok(at), Ok(len)) = (usize::try_from(at), usize::try_from(len))
        {
            return Ok(EntryBytes::mapped(region, at, len));
        }
        Ok(EntryBytes::owned(self.read_intact(at, len, false)?))
    }

    fn decompressed(&self, bundle: &Bundle, reverify: bool) -> Result<Arc<[u8]>, ReadError> {
        let lock = || self.last_bundle.lock().unwrap_or_else(PoisonError::into_inner);
        if !reverify
            && let Some((first, bytes)) = &*lock()
            && *first == bundle.first
        {
            return Ok(Arc::clone(bytes));
        }
        let Record { stored, len, .. } = bundle.record;
        let stored = self.read_intact(bundle.start, stored, reverify)?;
        let bytes = compress::decompress(&stored, len)
            .map_err(|error| self.no_memory(bundle.start, error))?;
        let bytes: Arc<[u8]> = bytes.ok_or_else(|| self.wrong_bundle(bundle.start))?.into();
        if len <= LARGEST_CACHED {
            *lock() = Some((bundle.first, Arc::clone(&bytes)));
        }
        Ok(bytes)
    }

    /// The number of the bundle with entry `index` among those of this part.
    pub(super) fn bundle_in_part(&self, index: u64) -> u64 {
        index / BUNDLE - self.identity().from / BUNDLE
    }

    /// The entries of this part that are in the bundle of entry `index`.
    fn bundle(&self, area: &EntryArea, index: u64, reverify: bool) -> Result<Bundle, ReadError> {
        let (from, to) = (self.identity().from, self.identity().to);
        let at = area.directory * PART_BLOCK + self.bundle_in_part(index) * RECORD_LEN as u64;
        let mut bytes = [0; RECORD_LEN];
        match reverify {
            true => self.copy_intact(at, &mut bytes, true)?,
            false => self.copy_bytes(at, &mut bytes)?,
        }
        let record = Record::decode(&bytes, area).ok_or_else(|| {
            let expected = "one that fits the part's entries";
            Damage::field(self.path(), at, "record of a bundle", expected, "another")
        })?;
        let (first, end) = ((index / BUNDLE * BUNDLE).max(from), bundle_end(index).min(to));
        let start = area.block * PART_BLOCK + record.start;
        Ok(Bundle { first, end, record, start })
    }

    /// Where the part has its entries, if it has entry `index`.
    fn entry_area(&self, index: u64) -> Result<(EntryArea, Framing), ReadError> {
        let identity = self.identity();
        let within = (identity.from..self.reference().to).contains(&index);
        let area = self.layout().entries.zip(identity.entries).filter(|_| within);
        area.ok_or(ReadError::Absent { level: Level::LEAVES, at: index })
    }

    /// Bytes `[at, at + len)` of the file, each block of them intact.
    fn read_intact(&self, at: u64, len: u64, reverify: bool) -> Result<Vec<u8>, ReadError> {
        let mut bytes = backing::zeros(len).map_err(|error| self.no_memory(at, error))?;
        self.copy_intact(at, &mut bytes, reverify)?;
        Ok(bytes)
    }

    #[cold]
    fn no_memory(&self, at: u64, error: std::io::Error) -> ReadError {
        ReadError::Failed(Box::new(Error::io_at("read", self.path(), at, error)))
    }

    #[cold]
    fn wrong_bundle(&self, at: u64) -> ReadError {
        let expected = "as many entries as leaves";
        Damage::field(self.path(), at, "bundle of entries", expected, "other bytes").into()
    }
}

/// Where in `stride` the data of the entry behind `skip` others is, and its length.
#[inline]
pub(super) fn locate_in(stride: &[u8], framing: Framing, skip: usize) -> Option<(usize, usize)> {
    let mut rest = stride;
    for _ in 0..skip {
        (_, rest) = framing.split(rest)?;
    }
    let (entry, behind) = framing.split(rest)?;
    Some((stride.len() - behind.len() - entry.len(), entry.len()))
}

/// The entries of one part, for a merge: every block is verified again.
impl EntrySource for Part {
    fn entry_bytes(&self, range: Range<u64>) -> Result<u64> {
        let (area, _) = self.entry_area(range.start)?;
        let bundle = self.bundle(&area, range.start, false)?;
        if (bundle.first, bundle.end) == (range.start, range.end) {
            return Ok(bundle.record.len);
        }
        let mut len = 0;
        self.read_entries(range, &mut |bytes| {
            len += bytes.len() as u64;
            Ok(())
        })?;
        Ok(len)
    }

    fn read_entries(
        &self,
        range: Range<u64>,
        out: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        let (area, framing) = self.entry_area(range.start)?;
        let bundle = self.bundle(&area, range.start, true)?;
        let whole = (bundle.first, bundle.end) == (range.start, range.end);
        if !whole || bundle.record.compressed {
            let bytes = match bundle.record.compressed {
                true => self.decompressed(&bundle, true)?,
                false => self.read_intact(bundle.start, bundle.record.len, true)?.into(),
            };
            let skip = usize::try_from(range.start - bundle.first).unwrap_or(0);
            let count = usize::try_from(range.end - range.start).unwrap_or(0);
            let mut read = 0;
            for entry in Entries::new(framing, &bytes).skip(skip).take(count) {
                let entry = entry.ok_or_else(|| self.wrong_bundle(bundle.start))?;
                out(framing.prefix(entry.len()).bytes())?;
                out(entry)?;
                read += 1;
            }
            return if read == count {
                Ok(())
            } else {
                Err(self.wrong_bundle(bundle.start).into())
            };
        }
        let mut marks = Marks::new(framing);
        let mut at = 0;
        while at < bundle.record.len {
            let len = (bundle.record.len - at).min(STEP);
            let bytes = self.read_intact(bundle.start + at, len, true)?;
            marks.add(&bytes);
            out(&bytes)?;
            at += len;
        }
        let whole = marks.count() == Some(range.end - range.start);
        if whole { Ok(()) } else { Err(self.wrong_bundle(bundle.start).into()) }
    }

    fn stored(&self, range: Range<u64>) -> Result<Option<StoredBundle>> {
        let (area, _) = self.entry_area(range.start)?;
        let bundle = self.bundle(&area, range.start, true)?;
        let Record { stored, len, compressed, marks, .. } = bundle.record;
        let whole = (bundle.first, bundle.end) == (range.start, range.end);
        if !whole || stored > compress::LONGEST {
            return Ok(None);
        }
        let bytes = self.read_intact(bundle.start, stored, true)?;
        Ok(Some(StoredBundle { bytes, compressed, len, marks }))
    }
}
