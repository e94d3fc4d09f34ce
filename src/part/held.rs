//! The parts that a tree had before it was pruned, for snapshots that were taken before.

use std::sync::Arc;

use super::set::PartSet;
use crate::column::{Archive, EntryBytes, EntryHash, EntrySpan};
use crate::error::ReadError;
use crate::merkle::{Arity, Hash, Level, NodeIndex, Shape, TreeSize};

/// An archive that still has what was pruned since a snapshot was taken.
#[derive(Debug)]
pub(crate) struct Held {
    arity: Arity,
    /// What the tree had each time that it was pruned, oldest first. Each has every node that becomes complete between its
    /// own base and its end, and the base of each is at most the end of the one before.
    sets: Vec<PartSet>,
    /// What the tree has now.
    now: Option<Arc<dyn Archive>>,
}

impl Held {
    pub(crate) fn new(arity: Arity, sets: Vec<PartSet>, now: Option<Arc<dyn Archive>>) -> Self {
        Self { arity, sets, now }
    }

    /// Where node `at` of `level` is, and how far the nodes are there.
    fn place(&self, level: Level, at: u64) -> (Option<&dyn Archive>, u64) {
        let end = |set: &PartSet| Shape::new(self.arity, TreeSize(set.end())).complete(level);
        match self.sets.iter().find(|set| at < end(set)) {
            Some(set) => (Some(set), end(set)),
            None => (self.now.as_deref(), u64::MAX),
        }
    }
}

impl Archive for Held {
    fn read_nodes(
        &self,
        level: Level,
        first: NodeIndex,
        out: &mut [Hash],
    ) -> Result<(), ReadError> {
        let mut at = first.0;
        let mut rest = out;
        while !rest.is_empty() {
            let (place, end) = self.place(level, at);
            let len = usize::try_from(end - at).unwrap_or(usize::MAX).min(rest.len());
            let (now, later) = rest.split_at_mut(len);
            place.ok_or(ReadError::Absent { level, at })?.read_nodes(level, NodeIndex(at), now)?;
            at += now.len() as u64;
            rest = later;
        }
        Ok(())
    }

    fn borrow_nodes(&self, level: Level, first: NodeIndex, count: usize) -> Option<&[Hash]> {
        let (place, end) = self.place(level, first.0);
        if first.0.checked_add(count as u64)? > end {
            return None;
        }
        place?.borrow_nodes(level, first, count)
    }

    fn entry(&self, index: u64, hash: EntryHash<'_>) -> Result<EntryBytes, ReadError> {
        let (place, _) = self.place(Level::LEAVES, index);
        place.ok_or(ReadError::Absent { level: Level::LEAVES, at: index })?.entry(index, hash)
    }

    fn entry_run(&self, from: u64, to: u64, hash: EntryHash<'_>) -> Result<EntrySpan, ReadError> {
        let (place, end) = self.place(Level::LEAVES, from);
        let absent = ReadError::Absent { level: Level::LEAVES, at: from };
        place.ok_or(absent)?.entry_run(from, to.min(end), hash)
    }
}
