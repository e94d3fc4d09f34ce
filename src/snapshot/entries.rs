//! Reads entries: one, or many in order.

use std::fmt;
use std::iter::FusedIterator;
use std::ops::{ControlFlow, Deref, Range};
use std::sync::Arc;

use super::run::EntryRun;
use crate::column::{EntryBytes, EntrySpan};
use crate::engine::{Floor, Tree};
use crate::entry::Framing;
use crate::error::{Error, ReadError, Result};
use crate::merkle::{LeafIndex, Level};

/// The data of one leaf. Dereferences to bytes.
///
/// An entry shares memory with the tree, with a mapped part, or with the other entries that were read with
/// it, and keeps that memory from being freed. [`Stats::pinned_bytes`](crate::Stats::pinned_bytes) counts
/// it. To keep few entries for long, copy their bytes. Cheap to clone.
#[derive(Clone)]
pub struct Entry {
    bytes: EntryBytes,
}

impl Entry {
    pub(super) fn new(bytes: EntryBytes) -> Self {
        Self { bytes }
    }
}

impl Deref for Entry {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        self.bytes.get()
    }
}

impl AsRef<[u8]> for Entry {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Entry {}

impl PartialEq<[u8]> for Entry {
    fn eq(&self, other: &[u8]) -> bool {
        **self == *other
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry").field("len", &self.len()).finish_non_exhaustive()
    }
}

/// The entries of a range, in order. There is one item per entry, which is an error if the entry cannot
/// be read or was erased. After an error the iterator continues with the next entry.
///
/// An item keeps its bytes from being freed, which costs more than to read a short entry. [`runs`](Self::runs) and
/// [`try_visit`](Self::try_visit) read the same entries as slices, at the speed of memory. Made by
/// [`Snapshot::entries`](crate::Snapshot::entries).
#[must_use = "an iterator reads nothing until it is asked for items"]
pub struct Entries {
    tree: Arc<Tree>,
    floor: Arc<Floor>,
    framing: Framing,
    /// The entries that are still to come.
    range: Range<u64>,
    /// The run with the next entries, if one was read.
    run: Option<Run>,
    /// How many entries of the tree were erased when the run was read.
    erased: u64,
}

/// A run of entries, some of which were read.
struct Run {
    span: EntrySpan,
    /// Where in the bytes the next entry begins.
    at: usize,
}

impl Entries {
    pub(crate) fn new(
        tree: Arc<Tree>,
        floor: Arc<Floor>,
        framing: Framing,
        range: Range<u64>,
    ) -> Self {
        let range = range.start..range.end.max(range.start);
        Self { tree, floor, framing, range, run: None, erased: 0 }
    }

    /// Calls `visit` with the index and the data of each entry that is still to come, until it breaks.
    ///
    /// # Errors
    ///
    /// The first error of reading. A later call continues behind the entry that could not be read.
    pub fn try_visit<B>(
        &mut self,
        mut visit: impl FnMut(LeafIndex, &[u8]) -> ControlFlow<B>,
    ) -> Result<ControlFlow<B>> {
        while self.range.start < self.range.end {
            let Run { span, mut at } = match self.take_run() {
                Ok(run) => run,
                Err(_) => {
                    // Perhaps only another entry of the run cannot be read.
                    let index = self.range.start;
                    self.range.start += 1;
                    if let ControlFlow::Break(value) =
                        visit(LeafIndex(index), self.one(index)?.get())
                    {
                        return Ok(ControlFlow::Break(value));
                    }
                    continue;
                }
            };
            let bytes = span.bytes.get();
            while at < bytes.len() && self.range.start < self.range.end {
                if self.is_stale() {
                    break;
                }
                let Some((entry, rest)) = self.framing.split(&bytes[at..]) else {
                    self.range.start += 1;
                    return Err(self.absent(self.range.start - 1));
                };
                let index = self.range.start;
                self.range.start += 1;
                at = bytes.len() - rest.len();
                if let ControlFlow::Break(value) = visit(LeafIndex(index), entry) {
                    self.run = (at < bytes.len()).then_some(Run { span, at });
                    return Ok(ControlFlow::Break(value));
                }
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// One entry alone.
    fn one(&self, index: u64) -> Result<EntryBytes> {
        self.tree.check_process()?;
        self.tree.entry(&self.floor, index, self.framing)
    }

    /// The run with the next entry.
    fn take_run(&mut self) -> Result<Run> {
        if let Some(run) = self.run.take()
            && !self.is_stale()
        {
            return Ok(run);
        }
        self.tree.check_process()?;
        self.erased = self.tree.erased();
        let span = self.tree.entry_run(&self.floor, self.range.start, self.range.end)?;
        Ok(Run { span, at: 0 })
    }

    /// The entries that are still to come, as runs that lie together in memory: bundles of 256 entries, or pieces of
    /// memory of up to 4 MiB.
    ///
    /// ```
    /// # use duramen::{DynAccumulator, EntryConfig, Rfc6962Sha256, Store, Config, TreeConfig};
    /// # let dir = tempfile::tempdir()?;
    /// # let store = Store::open(Config::new(dir.path()))?;
    /// # let kept = TreeConfig::of::<Rfc6962Sha256, 2>().entries(EntryConfig::new());
    /// # let log = store.tree_dyn("log", kept)?;
    /// log.insert_entries(&["first", "second"])?;
    /// for run in log.entries(0..2)?.runs() {
    ///     for (index, entry) in &run? {
    ///         println!("{index}: {} bytes", entry.len());
    ///     }
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn runs(self) -> EntryRuns {
        EntryRuns { entries: self }
    }

    /// The entries that are still to come of the run with the next one, or that one alone if not all of them can be
    /// read.
    fn next_run(&mut self) -> Option<Result<EntryRun>> {
        let first = self.range.start;
        if first >= self.range.end {
            return None;
        }
        Some(match self.take_run() {
            Ok(Run { span, at }) => {
                self.range.start = span.end;
                let bytes = span.bytes.slice(at, usize::MAX);
                Ok(EntryRun::framed(self.framing, first..span.end, bytes))
            }
            Err(_) => {
                self.range.start += 1;
                self.one(first).map(|bytes| EntryRun::one(first, bytes))
            }
        })
    }

    /// Whether the run may have entries that were erased since it was read.
    #[inline]
    fn is_stale(&self) -> bool {
        self.erased != self.tree.erased()
    }

    fn absent(&self, at: u64) -> Error {
        ReadError::Absent { level: Level::LEAVES, at }.into()
    }
}

impl Iterator for Entries {
    type Item = Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.range.start >= self.range.end {
            return None;
        }
        if self.run.is_none() || self.is_stale() {
            match self.take_run() {
                Ok(run) => self.run = Some(run),
                Err(_) => {
                    // Perhaps only another entry of the run cannot be read.
                    let entry = self.one(self.range.start);
                    self.range.start += 1;
                    return Some(entry.map(Entry::new));
                }
            }
        }
        // The run stays where it is: to move it out and in again takes longer than all else.
        let Run { span, at } = self.run.as_mut()?;
        self.range.start += 1;
        let bytes = span.bytes.get();
        let Some((entry, rest)) = bytes.get(*at..).and_then(|bytes| self.framing.split(bytes))
        else {
            self.run = None;
            return Some(Err(self.absent(self.range.start - 1)));
        };
        let (next, len, ends) = (bytes.len() - rest.len(), entry.len(), rest.is_empty());
        let entry = Entry::new(span.bytes.slice(next - len, len));
        *at = next;
        if ends {
            self.run = None;
        }
        Some(Ok(entry))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = usize::try_from(self.range.end - self.range.start);
        (left.unwrap_or(usize::MAX), left.ok())
    }

    fn nth(&mut self, n: usize) -> Option<Self::Item> {
        // Skipping does not read. Within the run it would have to step over entries.
        if n > 0 {
            self.run = None;
            self.range.start = self.range.start.saturating_add(n as u64).min(self.range.end);
        }
        self.next()
    }
}

impl FusedIterator for Entries {}

impl fmt::Debug for Entries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entries").field("range", &self.range).finish_non_exhaustive()
    }
}

/// The entries of a range, in order, as runs. An entry that cannot be read or was erased is an error of its own, and the
/// iterator continues behind it. Made by [`Entries::runs`].
#[must_use = "an iterator reads nothing until it is asked for items"]
pub struct EntryRuns {
    entries: Entries,
}

impl Iterator for EntryRuns {
    type Item = Result<EntryRun>;

    fn next(&mut self) -> Option<Self::Item> {
        self.entries.next_run()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let (left, most) = self.entries.size_hint();
        (left.min(1), most)
    }
}

impl FusedIterator for EntryRuns {}

impl fmt::Debug for EntryRuns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EntryRuns").field("entries", &self.entries).finish()
    }
}
