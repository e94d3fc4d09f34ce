//! Reads columns: a version, and the counts that limit how much of it may be read.
#![expect(unsafe_code, reason = "hands out slices of published slots")]

use std::sync::Arc;

use super::entries::{EntryBytes, EntryChunk, EntrySpan};
use super::layers::Layers;
use super::layout::{Layout, Place};
use super::version::{Archive, EntryHash, Version};
use crate::error::ReadError;
use crate::merkle::{Hash, Level, NodeIndex, NodeSource};

/// The complete nodes of a tree at one moment. Immutable and cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct View {
    pub(super) layout: Layout,
    pub(super) version: Arc<Version>,
    /// Leaves below this are published.
    pub(super) leaves: u64,
    /// Inner nodes complete at this size are published.
    pub(super) hashed: u64,
}

impl View {
    /// This view without its archive: what memory has.
    pub(super) fn without_archive(&self) -> Self {
        Self { version: Arc::new(self.version.without_archive()), ..self.clone() }
    }

    /// This view with another archive in the place of its own, which `over` is given.
    pub(crate) fn over(
        &self,
        over: impl FnOnce(Option<Arc<dyn Archive>>) -> Arc<dyn Archive>,
    ) -> Self {
        let archive = over(self.version.archive.clone());
        Self { version: Arc::new(self.version.over(archive)), ..self.clone() }
    }

    /// The number of leaves in the view.
    pub(crate) fn leaves(&self) -> u64 {
        self.leaves
    }

    /// The size up to which inner nodes can be read.
    pub(crate) fn hashed(&self) -> u64 {
        self.hashed
    }

    /// A run of adjacent nodes of `level` in memory, from `index` on and not beyond `end`. `None` if the
    /// node at `index` is not published or not in memory.
    #[inline(always)]
    pub(crate) fn run(&self, level: Level, index: u64, end: u64) -> Option<&[Hash]> {
        let end = end.min(self.published(level));
        if index >= end || index < self.layout.complete(level, self.version.memory_from) {
            return None;
        }
        let place = self.layout.place(level, index);
        let len = usize::try_from(end - index).unwrap_or(usize::MAX).min(place.room);
        self.slots(&place, len)
    }

    /// How many nodes of `level` are published.
    #[inline(always)]
    fn published(&self, level: Level) -> u64 {
        let limit = if level == Level::LEAVES { self.leaves } else { self.hashed };
        self.layout.complete(level, limit)
    }

    /// The `len` nodes from `place` on. All of them must be published, in memory and in one chunk.
    #[inline(always)]
    fn slots(&self, place: &Place, len: usize) -> Option<&[Hash]> {
        let slots = self.version.slots(place)?;
        // SAFETY: the slots have nodes below the published counts, which were loaded with Acquire when
        // this view was made, and at or above `memory_from`. So a writer has filled them. It filled them
        // in the memory of this version, or in smaller memory that was copied before this version was
        // made, because the version was loaded after the counts.
        Some(unsafe { slots.read(place.slot, len) })
    }

    /// Appends the leaves `[from, to)` to `runs`, borrowed from memory.
    pub(crate) fn leaf_runs<'a>(
        &'a self,
        from: u64,
        to: u64,
        runs: &mut Vec<&'a [Hash]>,
    ) -> Result<(), ReadError> {
        let mut at = from;
        while at < to {
            let level = Level::LEAVES;
            let run = self.run(level, at, to).ok_or(ReadError::Absent { level, at })?;
            at += run.len() as u64;
            runs.push(run);
        }
        Ok(())
    }
}

impl View {
    /// The entries `[from, to)`, borrowed from memory as runs of framed bytes.
    pub(crate) fn entry_slices(&self, from: u64, to: u64) -> Result<Vec<&[u8]>, ReadError> {
        let mut slices = Vec::new();
        let mut at = from;
        while at < to {
            let (chunk, end) = match (self.entry_chunk(at), self.layers()) {
                (Err(_), Some(layers)) if at < self.leaves => {
                    let (below, end) = layers.entry_slices(at, to)?;
                    slices.extend(below);
                    at = end;
                    continue;
                }
                (found, _) => found?,
            };
            let end = end.min(to);
            // SAFETY: the entries are below the published count, so they are written for good. See
            // `slots`.
            slices.push(unsafe { chunk.bytes(chunk.framed(at, end)) });
            at = end;
        }
        Ok(slices)
    }

    /// Bytes of the entries `[from, to)`, framed. They must be in memory.
    pub(crate) fn entry_bytes(&self, from: u64, to: u64) -> Result<u64, ReadError> {
        if from >= to {
            return Ok(0);
        }
        if self.entry_chunk(from).is_err() && self.layers().is_some() {
            return Ok(self.entry_slices(from, to)?.iter().map(|slice| slice.len() as u64).sum());
        }
        let ((first, _), (last, _)) = (self.entry_chunk(from)?, self.entry_chunk(to - 1)?);
        // SAFETY: as in `entry_slices`.
        Ok(unsafe { last.position(to) - first.position(from) })
    }

    /// The entry `index`, from memory or from the archive. `prefix` is the length of an entry's length.
    /// `hash` makes the leaf of an entry.
    #[inline]
    pub(crate) fn entry(
        &self,
        index: u64,
        prefix: usize,
        hash: EntryHash<'_>,
    ) -> Result<EntryBytes, ReadError> {
        let Ok((chunk, _)) = self.entry_chunk(index) else {
            let read = self.entry_archive(index)?.entry(index, hash)?;
            return Ok(read.charged(&self.version.account));
        };
        // SAFETY: as in `entry_slices`.
        let framed = unsafe { EntryBytes::in_memory(chunk, chunk.framed(index, index + 1)) };
        Ok(framed.slice(prefix, usize::MAX))
    }

    /// Adjacent entries from `from` on, and none behind `to`.
    pub(crate) fn entry_run(
        &self,
        from: u64,
        to: u64,
        hash: EntryHash<'_>,
    ) -> Result<EntrySpan, ReadError> {
        let Ok((chunk, end)) = self.entry_chunk(from) else {
            // What the archive has behind the entries in memory is of before a rewind.
            let to = to.min(self.version.first_entry().unwrap_or(self.leaves));
            let EntrySpan { bytes, end } = self.entry_archive(from)?.entry_run(from, to, hash)?;
            return Ok(EntrySpan { bytes: bytes.charged(&self.version.account), end });
        };
        let end = end.min(to);
        // SAFETY: as in `entry_slices`.
        let bytes = unsafe { EntryBytes::in_memory(chunk, chunk.framed(from, end)) };
        Ok(EntrySpan { bytes, end })
    }

    /// The chunk with the published entry `index`, and where it ends.
    #[inline]
    fn entry_chunk(&self, index: u64) -> Result<(&EntryChunk, u64), ReadError> {
        let absent = ReadError::Absent { level: Level::LEAVES, at: index };
        if index >= self.leaves {
            return Err(absent);
        }
        let (chunk, end) = self.version.entry_chunk(index).ok_or(absent)?;
        Ok((chunk, end.min(self.leaves)))
    }

    /// What the tree had before it was rewound, if the columns go on from that.
    fn layers(&self) -> Option<&Layers> {
        self.version.archive.as_ref()?.as_layers()
    }

    fn entry_archive(&self, index: u64) -> Result<&Arc<dyn Archive>, ReadError> {
        let absent = ReadError::Absent { level: Level::LEAVES, at: index };
        let archive = if index < self.leaves { self.version.archive.as_ref() } else { None };
        archive.ok_or(absent)
    }
}

impl NodeSource for View {
    type Error = ReadError;

    fn read_nodes(
        &self,
        level: Level,
        first: NodeIndex,
        out: &mut [Hash],
    ) -> Result<(), ReadError> {
        let mut at = first.0;
        let end = at.saturating_add(out.len() as u64);
        let mut rest = out;
        // The archive has a prefix of the level, and memory has the rest.
        let archived = self.layout.complete(level, self.version.memory_from).min(end);
        if at < archived {
            let archive = self.version.archive.as_ref().ok_or(ReadError::Absent { level, at })?;
            let len = usize::try_from(archived - at).unwrap_or(usize::MAX);
            let (head, tail) = rest.split_at_mut(len.min(rest.len()));
            archive.read_nodes(level, NodeIndex(at), head)?;
            (at, rest) = (archived, tail);
        }
        while at < end {
            let run = self.run(level, at, end).ok_or(ReadError::Absent { level, at })?;
            let (head, tail) = rest.split_at_mut(run.len());
            head.copy_from_slice(run);
            at += run.len() as u64;
            rest = tail;
        }
        Ok(())
    }

    #[inline(always)]
    fn borrow_nodes(&self, level: Level, first: NodeIndex, count: usize) -> Option<&[Hash]> {
        let end = first.0.checked_add(count as u64)?;
        let archived = self.layout.complete(level, self.version.memory_from);
        if end <= archived {
            return self.version.archive.as_ref()?.borrow_nodes(level, first, count);
        }
        let place = self.layout.place(level, first.0);
        if first.0 < archived || end > self.published(level) || count > place.room {
            return None;
        }
        self.slots(&place, count)
    }
}
