//! Entries in memory, and the only writer of a tree's entries.
//!
//! # Invariants
//!
//! - An entry lies in one chunk as a whole, framed, behind the entry before it. Its bytes and its end are
//!   written before the leaf with its index is published. So the published count of leaves also bounds
//!   the entries that may be read.
//! - A chunk is in the version before one of its entries is published. The chunks of a version follow
//!   each other without gaps.
//! - What was written and not published is undone before the next entry is written: by the writer alone,
//!   since no reader looks above the published count.
#![expect(unsafe_code, reason = "fills unpublished slots and reads published ones")]

use std::sync::Arc;

use super::chunk::Slots;
use super::shared::Columns;
use crate::entry::Framing;

/// Bytes of the first chunk of a tree. Each further one has twice as many as the one before.
const FIRST: usize = if cfg!(duramen_loom) { 8 } else { 1 << 10 };
/// Bytes of a chunk at most, unless it has only one entry.
const LARGEST: usize = if cfg!(duramen_loom) { 8 } else { 4 << 20 };
/// A chunk has room for one entry per so many bytes.
const BYTES_PER_END: usize = if cfg!(duramen_loom) { 4 } else { 16 };

/// Adjacent entries in memory. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct EntryChunk {
    /// The index of the first entry.
    pub(super) first: u64,
    /// Bytes of the entries in all chunks before it, since the tree was loaded.
    base: u64,
    bytes: Slots<u8>,
    /// Where each entry ends in `bytes`.
    ends: Slots<u32>,
}

impl EntryChunk {
    /// How many bytes the chunk has before its entry `at`.
    ///
    /// # Safety
    ///
    /// All entries before it are written. They are published, or the caller is the writer.
    #[inline]
    unsafe fn start(&self, at: usize) -> usize {
        if at == 0 {
            return 0;
        }
        // SAFETY: the caller guarantees that the entry before is written.
        let ends = unsafe { self.ends.read(at - 1, 1) };
        ends.first().map_or(0, |end| *end as usize)
    }

    /// The entries `[from, to)` of the tree as framed bytes, which the chunk has.
    ///
    /// # Safety
    ///
    /// As [`start`](Self::start), for the entries below `to`.
    #[inline]
    pub(super) unsafe fn framed(&self, from: u64, to: u64) -> FramedRun {
        let at = |index: u64| usize::try_from(index - self.first).unwrap_or(usize::MAX);
        // SAFETY: the caller guarantees it.
        let (start, end) = unsafe { (self.start(at(from)), self.start(at(to))) };
        FramedRun { start, len: end - start }
    }

    /// Bytes of all entries of the tree before entry `index`, since the tree was loaded.
    ///
    /// # Safety
    ///
    /// As [`start`](Self::start).
    pub(super) unsafe fn position(&self, index: u64) -> u64 {
        // SAFETY: the caller guarantees it.
        let start =
            unsafe { self.start(usize::try_from(index - self.first).unwrap_or(usize::MAX)) };
        self.base + start as u64
    }

    /// The bytes of `run`.
    ///
    /// # Safety
    ///
    /// As [`framed`](Self::framed), which returned `run`.
    #[inline]
    pub(super) unsafe fn bytes(&self, run: FramedRun) -> &[u8] {
        // SAFETY: the caller guarantees it.
        unsafe { self.bytes.read(run.start, run.len) }
    }

    /// The memory of the bytes.
    pub(super) fn memory(&self) -> &Slots<u8> {
        &self.bytes
    }

    /// Bytes of memory.
    pub(super) fn memory_bytes(&self) -> usize {
        self.bytes.len() + self.ends.len() * size_of::<u32>()
    }
}

/// Where some adjacent entries lie in a chunk.
#[derive(Clone, Copy, Debug)]
pub(super) struct FramedRun {
    pub(super) start: usize,
    pub(super) len: usize,
}

/// The end of what was written.
#[derive(Clone, Debug, Default)]
struct End {
    chunk: Option<EntryChunk>,
    /// Bytes and entries in that chunk.
    used: usize,
    count: usize,
}

/// Writes entries. Part of the only writer of a tree's leaves.
#[derive(Debug)]
pub(super) struct EntryWriter {
    framing: Framing,
    end: End,
    /// Where to go back to if what was written is not published. `chunk` is only set if another chunk
    /// was begun.
    undo: Option<Undo>,
    /// Bytes of the next chunk.
    next: usize,
}

#[derive(Debug)]
struct Undo {
    used: usize,
    count: usize,
    /// The chunk before, if another one was begun.
    begun: Option<Option<EntryChunk>>,
}

impl EntryWriter {
    pub(super) fn new(framing: Framing) -> Self {
        Self { framing, end: End::default(), undo: None, next: FIRST }
    }

    /// Writes `entries`, the first of them with index `first`, which is the number of published leaves.
    pub(super) fn write(&mut self, columns: &Columns, first: u64, entries: &[&[u8]]) {
        self.undo(columns, first);
        self.undo = Some(Undo { used: self.end.used, count: self.end.count, begun: None });
        let mut left: usize =
            entries.iter().map(|entry| self.framing.framed_len(entry.len())).sum();
        for (index, entry) in (first..).zip(entries) {
            let len = self.framing.framed_len(entry.len());
            if !self.has_room(len) {
                self.begin_chunk(columns, index, len, left);
            }
            self.push(entry, len);
            left -= len;
        }
    }

    /// Keeps what was written, which is being published.
    #[inline]
    pub(super) fn keep(&mut self) {
        self.undo = None;
    }

    /// Undoes what was written behind the published leaves.
    pub(super) fn undo(&mut self, columns: &Columns, published: u64) {
        let Some(Undo { used, count, begun }) = self.undo.take() else { return };
        if let Some(chunk) = begun {
            self.end.chunk = chunk;
            columns.drop_entries(published);
        }
        (self.end.used, self.end.count) = (used, count);
    }

    #[inline]
    fn has_room(&self, len: usize) -> bool {
        let End { chunk, used, count } = &self.end;
        chunk.as_ref().is_some_and(|chunk| chunk.bytes.has(*used, len) && chunk.ends.has(*count, 1))
    }

    /// Begins a chunk with entry `first`, which takes `len` bytes. `left` bytes come at once.
    #[cold]
    fn begin_chunk(&mut self, columns: &Columns, first: u64, len: usize, left: usize) {
        let size = self.next.max(left.min(LARGEST)).max(len);
        self.next = (size * 2).min(LARGEST);
        let ends = (size / BYTES_PER_END).max(2);
        let base = self.end.chunk.as_ref().map_or(0, |chunk| chunk.base + self.end.used as u64);
        let chunk = EntryChunk {
            first,
            base,
            bytes: Slots::new(0, size, false),
            ends: Slots::new(0, ends, false),
        };
        columns.add_entries(&chunk);
        let before = self.end.chunk.replace(chunk);
        if let Some(undo) = &mut self.undo {
            undo.begun.get_or_insert(before);
        }
        (self.end.used, self.end.count) = (0, 0);
    }

    #[inline]
    fn push(&mut self, entry: &[u8], len: usize) {
        let End { chunk: Some(chunk), used, count } = &mut self.end else { return };
        let prefix = self.framing.prefix(entry.len());
        // SAFETY: these slots are behind everything that was published: `used` and `count` are the ends
        // of what this writer, the only one, has written and kept. So no reader has them.
        let (bytes, ends) = unsafe { (chunk.bytes.write(*used, len), chunk.ends.write(*count, 1)) };
        let (head, data) = bytes.split_at_mut(len - entry.len());
        head.copy_from_slice(prefix.bytes());
        data.copy_from_slice(entry);
        *used += len;
        *count += 1;
        // A chunk of more than 4 MiB has one entry, of at most 64 MiB.
        ends.fill(u32::try_from(*used).unwrap_or(u32::MAX));
    }
}

/// Bytes of an entry, or of several framed ones. Cheap to clone.
#[derive(Clone)]
pub(crate) struct EntryBytes {
    held: Held,
    start: usize,
    len: usize,
}

#[derive(Clone)]
enum Held {
    Memory(Slots<u8>),
    Archived(Arc<dyn ArchivedBytes>),
    Owned(Arc<[u8]>),
}

/// Bytes of an archive that are in memory for as long as it lives, and never change.
pub(crate) trait ArchivedBytes: Send + Sync {
    /// The bytes `[start, start + len)`. Empty if they are not in memory.
    fn get(&self, start: usize, len: usize) -> &[u8];
}

impl EntryBytes {
    /// The bytes of `run` in `chunk`.
    ///
    /// # Safety
    ///
    /// The entries of the run are published.
    pub(super) unsafe fn in_memory(chunk: &EntryChunk, run: FramedRun) -> Self {
        Self { held: Held::Memory(chunk.memory().clone()), start: run.start, len: run.len }
    }

    /// Bytes of an archive.
    pub(crate) fn archived(archive: Arc<dyn ArchivedBytes>, start: usize, len: usize) -> Self {
        Self { held: Held::Archived(archive), start, len }
    }

    /// Bytes that were read.
    pub(crate) fn owned(bytes: impl Into<Arc<[u8]>>) -> Self {
        let bytes = bytes.into();
        let len = bytes.len();
        Self { held: Held::Owned(bytes), start: 0, len }
    }

    #[inline]
    pub(crate) fn get(&self) -> &[u8] {
        let Self { held, start, len } = self;
        match held {
            // SAFETY: the entries were published when this was made, and a published slot is never
            // written again. `slice` only makes the range smaller.
            Held::Memory(bytes) => unsafe { bytes.read(*start, *len) },
            Held::Archived(archive) => archive.get(*start, *len),
            Held::Owned(bytes) => bytes.get(*start..*start + *len).unwrap_or_default(),
        }
    }

    /// The bytes `[start, start + len)` of these. As many of them as there are.
    #[inline]
    pub(crate) fn slice(&self, start: usize, len: usize) -> Self {
        let start = start.min(self.len);
        let len = len.min(self.len - start);
        Self { held: self.held.clone(), start: self.start + start, len }
    }
}
