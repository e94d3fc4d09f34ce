//! All parts of one tree, as the archive of its columns.

use std::sync::Arc;

use super::base::Base;
use super::find::Opened;
use super::finder::Scans;
use super::format::PartRef;
use super::reader::Part;
use crate::column::{Archive, EntryBytes, EntryHash, EntrySpan};
use crate::error::ReadError;
use crate::index::KeyedHash;
use crate::merkle::{Hash, Level, NodeIndex, NodeSource};

/// The parts of a tree, oldest first. The first one begins at the base, or at 0 if there is none, and each later one at the
/// size at which the one before ends.
#[derive(Clone, Debug)]
pub(crate) struct PartSet {
    /// What is left below the parts, if the tree was pruned.
    base: Option<Arc<Base>>,
    parts: Arc<[Arc<Part>]>,
    /// The tree was rewound to this size, and no leaf of the parts counts from it on.
    bound: u64,
}

impl Default for PartSet {
    fn default() -> Self {
        Self::new(None, Vec::new())
    }
}

impl PartSet {
    /// The set of `parts`, which begin at `base`.
    pub(crate) fn new(base: Option<Arc<Base>>, parts: Vec<Arc<Part>>) -> Self {
        // An empty slice made from a vector would have memory of its own.
        let parts = if parts.is_empty() { Arc::default() } else { parts.into() };
        Self { base, parts, bound: u64::MAX }
    }

    /// The first leaf that is there: the others were pruned.
    pub(crate) fn base(&self) -> u64 {
        self.base.as_ref().map_or(0, |base| base.size())
    }

    /// What the tree has of the leaves before the parts, if it does not begin with its first leaf.
    pub(crate) fn before(&self) -> Option<&Arc<Base>> {
        self.base.as_ref()
    }

    /// This set for a tree that was rewound to `size`: without the parts that have no leaf below.
    pub(crate) fn cut(&self, size: u64) -> Self {
        let below = self.parts.iter().take_while(|part| part.reference().from < size);
        let base = self.base.clone();
        Self { base, parts: below.cloned().collect(), bound: self.bound.min(size) }
    }

    /// Whether every leaf of the parts counts, and those behind them in the manifest do: no rewind has cut the set.
    pub(crate) fn is_whole(&self) -> bool {
        self.bound == u64::MAX
    }

    /// This set with one more part at the end.
    pub(crate) fn with(&self, part: Arc<Part>) -> Self {
        Self::new(self.base.clone(), self.parts.iter().cloned().chain([part]).collect())
    }

    /// Removes the last part and returns its reference.
    pub(crate) fn take_last(&mut self) -> Option<PartRef> {
        let (last, before) = self.parts.split_last()?;
        let reference = last.reference();
        *self = Self::new(self.base.clone(), before.to_vec());
        Some(reference)
    }

    /// This set with `merged` in place of `inputs`. `None` unless the set has all inputs, side by side.
    pub(crate) fn merged(&self, inputs: &[Arc<Part>], merged: Arc<Part>) -> Option<Self> {
        let number = |part: &Arc<Part>| part.reference().number;
        let first = number(inputs.first()?);
        let at = self.parts.iter().position(|part| number(part) == first)?;
        let there = self.parts.get(at..at + inputs.len())?;
        if !there.iter().map(number).eq(inputs.iter().map(number)) {
            return None;
        }
        let mut parts = self.parts.to_vec();
        parts.splice(at..at + inputs.len(), [merged]);
        Some(Self::new(self.base.clone(), parts))
    }

    /// This set without what lies below `base`. `rest` has the leaves from the base on of the part that begins before it, if
    /// there is such a part.
    pub(crate) fn pruned(&self, base: Arc<Base>, rest: Option<Arc<Part>>) -> Self {
        let behind = self.parts.iter().filter(|part| part.reference().from >= base.size());
        let parts = rest.into_iter().chain(behind.cloned()).collect();
        Self::new(Some(base), parts)
    }

    pub(crate) fn parts(&self) -> &[Arc<Part>] {
        &self.parts
    }

    /// The position in the list of the part with this node, if a part has the node.
    fn holder(&self, level: Level, at: u64) -> usize {
        match &self.parts[..] {
            [_] => 0,
            parts => parts.partition_point(|part| part.end(level) <= at),
        }
    }

    /// How many leaves the parts have.
    pub(crate) fn end(&self) -> u64 {
        self.parts.last().map_or_else(|| self.base(), |part| part.reference().to).min(self.bound)
    }

    /// For each of `leaves`, which are different, the first leaf below `end` that is equal to it.
    pub(crate) fn find_each(
        &self,
        leaves: &[Hash],
        end: u64,
        scans: &Scans,
    ) -> Result<Vec<Option<u64>>, ReadError> {
        let end = end.min(self.bound);
        let mut first = vec![None; leaves.len()];
        for part in self.parts.iter().take_while(|part| part.reference().from < end) {
            part.find_each(leaves, &mut first, end, scans)?;
        }
        Ok(first)
    }

    /// The first leaf below `end` that is equal to `leaf`.
    pub(crate) fn find(
        &self,
        leaf: &Hash,
        end: u64,
        scans: &Scans,
    ) -> Result<Option<u64>, ReadError> {
        struct Asked<'a> {
            part: &'a Part,
            index: Option<(Opened, KeyedHash)>,
        }
        let end = end.min(self.bound);
        let parts = self.parts.iter().take_while(|part| part.reference().from < end);
        let asked = parts.map(|part| {
            let with_hash = |opened: Opened| {
                let hash = opened.1.hash(leaf);
                (opened, hash)
            };
            Asked { part, index: part.index().map(with_hash) }
        });
        let asked: Vec<_> = asked.collect();
        // A byte of every filter is read first, and nothing else is done: the processor then waits for all of them at once.
        let indexes = asked.iter().filter_map(|asked| asked.index.as_ref());
        let touched = indexes.map(|((_, index), hash)| index.touch(*hash));
        std::hint::black_box(touched.fold(0, |all, byte| all | byte));
        // The records of a single part come meanwhile. Of several parts, most records would be fetched for nothing.
        if let [Asked { index: Some(((_, index), hash)), .. }] = &asked[..] {
            index.prefetch(*hash);
        }
        for Asked { part, index } in asked {
            // A filter that cannot be read rules out nothing. The search in its part handles that.
            let ruled_out = |((_, index), hash): &(Opened, KeyedHash)| {
                index.may_contain(*hash).is_ok_and(|may| !may)
            };
            if index.as_ref().is_some_and(ruled_out) {
                continue;
            }
            let opened = index.map(|(opened, _)| opened);
            if let Some(first) = part.find_with(opened, leaf, end, 1, scans)?.first() {
                return Ok(Some(*first));
            }
        }
        Ok(None)
    }

    pub(crate) fn references(&self) -> Vec<PartRef> {
        self.parts.iter().map(|part| part.reference()).collect()
    }
}

impl NodeSource for PartSet {
    type Error = ReadError;

    fn read_nodes(
        &self,
        level: Level,
        first: NodeIndex,
        out: &mut [Hash],
    ) -> Result<(), ReadError> {
        Archive::read_nodes(self, level, first, out)
    }
}

impl PartSet {
    /// The part with the leaf `index`.
    fn of_leaf(&self, index: u64) -> Result<&Arc<Part>, ReadError> {
        let level = Level::LEAVES;
        let part = self.parts.get(self.holder(level, index)).filter(|_| index >= self.base());
        part.ok_or(ReadError::Absent { level, at: index })
    }
}

impl Archive for PartSet {
    fn entry(&self, index: u64, hash: EntryHash<'_>) -> Result<EntryBytes, ReadError> {
        self.of_leaf(index)?.entry(index, hash)
    }

    fn entry_run(&self, from: u64, to: u64, hash: EntryHash<'_>) -> Result<EntrySpan, ReadError> {
        let part = self.of_leaf(from)?;
        part.entry_run(from, to.min(part.reference().to), hash)
    }

    fn borrow_nodes(&self, level: Level, first: NodeIndex, count: usize) -> Option<&[Hash]> {
        self.parts.get(self.holder(level, first.0))?.borrow(level, first.0, count)
    }

    fn read_nodes(
        &self,
        level: Level,
        first: NodeIndex,
        out: &mut [Hash],
    ) -> Result<(), ReadError> {
        let (first, rest) = match &self.base {
            Some(base) => {
                let read = base.read(level, first.0, out)?;
                (first.0 + read as u64, &mut out[read..])
            }
            None => (first.0, out),
        };
        if rest.is_empty() {
            return Ok(());
        }
        // Most reads are of one group of siblings, and most groups are in one part.
        let mut number = self.holder(level, first);
        let mut at = first;
        let mut rest = rest;
        loop {
            let part = self.parts.get(number).ok_or(ReadError::Absent { level, at })?;
            let read = part.read(level, at, rest)?;
            if read == rest.len() {
                return Ok(());
            }
            at += read as u64;
            rest = &mut rest[read..];
            // The next part may have no nodes of this level.
            number += 1;
            while self.parts.get(number).is_some_and(|part| part.end(level) <= at) {
                number += 1;
            }
        }
    }
}
