//! The only writer of a tree's entries, which is part of the writer of its leaves.
//!
//! # Invariants
//!
//! - A chunk is in the version before one of its entries is published. The chunks of a version follow
//!   each other without gaps.
//! - What was written and not published is undone before the next entry is written: by the writer alone,
//!   since no reader looks above the published count.
#![expect(unsafe_code, reason = "fills unpublished slots")]

use super::chunk::Slots;
use super::entries::EntryChunk;
use super::shared::Columns;
use crate::entry::Framing;
use crate::sync::pool::pool;

/// Bytes of the first chunk of a tree. Each further one has twice as many as the one before.
const FIRST: usize = if cfg!(duramen_loom) { 8 } else { 1 << 10 };
/// Bytes of a chunk at most, unless it has only one entry.
const LARGEST: usize = if cfg!(duramen_loom) { 8 } else { 4 << 20 };
/// A chunk has room for one entry per so many bytes.
const BYTES_PER_END: usize = if cfg!(duramen_loom) { 4 } else { 16 };

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
            bytes: Slots::new(0, size, false, columns.account()),
            ends: Slots::new(0, ends, false, columns.account()),
        };
        if size >= LARGEST {
            populate(chunk.bytes.clone());
        }
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

/// Has a thread that hashes get the pages of a chunk: a tree that has filled as much before will soon fill all of it, and
/// each page would make the writer wait. Without such a thread they come when they are first written.
fn populate(bytes: Slots<u8>) {
    if let Some(pool) = pool() {
        pool.spawn(move || bytes.populate());
    }
}
