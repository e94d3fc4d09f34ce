//! Counts the nodes that a checkpoint writes.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::column::View;
use crate::entry::EntrySource;
use crate::error::Result;
use crate::merkle::{Hash, Level, NodeIndex, NodeSource};

/// Bytes of nodes that the checkpoint under way has written. The number guards no memory. It only sets how much
/// inserts are slowed down, so every access is relaxed, and the models leave it out.
#[derive(Clone, Debug, Default)]
pub(crate) struct Copied(Arc<AtomicU64>);

impl Copied {
    pub(crate) fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Called only by the one checkpoint under way, so a load and a store are enough.
    fn count(&self, bytes: u64) {
        self.0.store(self.bytes().saturating_add(bytes), Ordering::Relaxed);
    }

    /// Sets the count to zero: a checkpoint begins, or the one under way has ended.
    pub(crate) fn reset(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

/// A source that counts the bytes that are read from it.
pub(crate) struct Counted<'a, S> {
    pub(crate) source: &'a S,
    pub(crate) copied: Copied,
}

/// Entries in memory.
impl EntrySource for Counted<'_, View> {
    fn entry_bytes(&self, range: Range<u64>) -> Result<u64> {
        Ok(self.source.entry_bytes(range.start, range.end)?)
    }

    fn read_entries(
        &self,
        range: Range<u64>,
        out: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        self.source.entry_slices(range.start, range.end)?.into_iter().try_for_each(|slice| {
            self.copied.count(slice.len() as u64);
            out(slice)
        })
    }
}

impl<S: NodeSource> NodeSource for Counted<'_, S> {
    type Error = S::Error;

    fn read_nodes(&self, level: Level, first: NodeIndex, out: &mut [Hash]) -> Result<(), S::Error> {
        self.copied.count(size_of_val(out) as u64);
        self.source.read_nodes(level, first, out)
    }
}
