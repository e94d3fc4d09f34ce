//! Entries in memory.
//!
//! # Invariants
//!
//! - An entry lies in one chunk as a whole, framed, behind the entry before it. Its bytes and its end are
//!   written before the leaf with its index is published. So the published count of leaves also bounds
//!   the entries that may be read.
#![expect(unsafe_code, reason = "reads published slots")]

use std::sync::Arc;

use super::account::{Account, Charge};
use super::chunk::Slots;
use crate::fs::Region;

/// Adjacent entries in memory. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct EntryChunk {
    /// The index of the first entry.
    pub(super) first: u64,
    /// Bytes of the entries in all chunks before it, since the tree was loaded.
    pub(super) base: u64,
    pub(super) bytes: Slots<u8>,
    /// Where each entry ends in `bytes`.
    pub(super) ends: Slots<u32>,
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

/// Bytes of an entry, or of several framed ones. Cheap to clone.
#[derive(Clone)]
pub(crate) struct EntryBytes {
    held: Held,
    start: usize,
    len: usize,
}

/// Adjacent entries of a tree.
pub(crate) struct EntrySpan {
    /// The entries, framed. At least one.
    pub(crate) bytes: EntryBytes,
    /// The index behind the last one.
    pub(crate) end: u64,
}

#[derive(Clone)]
enum Held {
    Memory(Slots<u8>),
    Mapped(Region),
    Owned(Arc<[u8]>, Option<Arc<Charge>>),
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

    /// Bytes of a file that never change.
    #[inline]
    pub(crate) fn mapped(region: &Region, start: usize, len: usize) -> Self {
        Self { held: Held::Mapped(region.clone()), start, len }
    }

    /// Bytes that were read.
    pub(crate) fn owned(bytes: impl Into<Arc<[u8]>>) -> Self {
        let bytes = bytes.into();
        let len = bytes.len();
        Self { held: Held::Owned(bytes, None), start: 0, len }
    }

    /// The same bytes, in `account` for as long as they are held, if they were read.
    pub(super) fn charged(mut self, account: &Account) -> Self {
        if let Held::Owned(bytes, charge @ None) = &mut self.held {
            *charge = Some(Arc::new(account.charge(bytes.len())));
        }
        self
    }

    #[inline]
    pub(crate) fn get(&self) -> &[u8] {
        let Self { held, start, len } = self;
        match held {
            // SAFETY: the entries were published when this was made, and a published slot is never
            // written again. `slice` only makes the range smaller.
            Held::Memory(bytes) => unsafe { bytes.read(*start, *len) },
            Held::Mapped(region) => region.get(*start..*start + *len).unwrap_or_default(),
            Held::Owned(bytes, _) => bytes.get(*start..*start + *len).unwrap_or_default(),
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
