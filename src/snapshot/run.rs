//! Entries that lie together in memory.

use std::fmt;
use std::iter::FusedIterator;
use std::ops::Range;

use crate::column::EntryBytes;
use crate::entry::Framing;
use crate::merkle::LeafIndex;

/// Adjacent entries, at least one. Shares memory as an [`Entry`](crate::Entry) does, and keeps that memory from being
/// freed. Cheap to clone.
#[derive(Clone)]
pub struct EntryRun {
    range: Range<u64>,
    /// `None` if the bytes are the data of one entry.
    framing: Option<Framing>,
    bytes: EntryBytes,
}

impl EntryRun {
    /// The entries of `range`, which are framed in `bytes`.
    pub(super) fn framed(framing: Framing, range: Range<u64>, bytes: EntryBytes) -> Self {
        Self { range, framing: Some(framing), bytes }
    }

    /// The entry `index`, whose data is `bytes`.
    pub(super) fn one(index: u64, bytes: EntryBytes) -> Self {
        Self { range: index..index + 1, framing: None, bytes }
    }

    /// The indexes of the entries.
    #[must_use]
    pub fn range(&self) -> Range<u64> {
        self.range.clone()
    }

    /// The index and the data of each entry, in order.
    pub fn iter(&self) -> RunEntries<'_> {
        let (range, framing) = (self.range.clone(), self.framing);
        RunEntries { range, framing, rest: self.bytes.get() }
    }
}

impl<'a> IntoIterator for &'a EntryRun {
    type Item = (LeafIndex, &'a [u8]);
    type IntoIter = RunEntries<'a>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Debug for EntryRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EntryRun").field("range", &self.range).finish_non_exhaustive()
    }
}

/// The entries of an [`EntryRun`]. Made by [`EntryRun::iter`].
#[must_use = "an iterator reads nothing until it is asked for items"]
#[derive(Clone)]
pub struct RunEntries<'a> {
    /// The entries that are still to come.
    range: Range<u64>,
    framing: Option<Framing>,
    rest: &'a [u8],
}

impl<'a> Iterator for RunEntries<'a> {
    type Item = (LeafIndex, &'a [u8]);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let index = self.range.start;
        if index >= self.range.end {
            return None;
        }
        // The run was counted when it was read, so the bytes end with its last entry.
        let (entry, rest) = match self.framing {
            Some(framing) => framing.split(self.rest)?,
            None => (self.rest, &[][..]),
        };
        (self.range.start, self.rest) = (index + 1, rest);
        Some((LeafIndex(index), entry))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = usize::try_from(self.range.end.saturating_sub(self.range.start));
        (left.unwrap_or(usize::MAX), left.ok())
    }
}

impl ExactSizeIterator for RunEntries<'_> {}
impl FusedIterator for RunEntries<'_> {}

impl fmt::Debug for RunEntries<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunEntries").field("range", &self.range).finish_non_exhaustive()
    }
}
