//! Reads columns: a version, and the counts that limit how much of it may be read.
#![expect(unsafe_code, reason = "hands out slices of published slots")]

use std::sync::Arc;

use super::layout::{Layout, Place};
use super::version::Version;
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
