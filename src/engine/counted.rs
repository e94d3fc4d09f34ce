//! Nodes that are counted as a checkpoint writes them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::merkle::{Hash, Level, NodeIndex, NodeSource};

/// Bytes of nodes that the checkpoint under way has written. The number guards no memory: it says how
/// much inserts are slowed down, so all of it is relaxed, and the models do not look at it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Copied(Arc<AtomicU64>);

impl Copied {
    pub(crate) fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Only the one checkpoint that is under way counts.
    fn count(&self, bytes: u64) {
        self.0.store(self.bytes().saturating_add(bytes), Ordering::Relaxed);
    }

    /// Another checkpoint begins, or there is none.
    pub(crate) fn reset(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

/// A source that counts what is read of it.
pub(crate) struct Counted<'a, S> {
    pub(crate) source: &'a S,
    pub(crate) copied: Copied,
}

impl<S: NodeSource> NodeSource for Counted<'_, S> {
    type Error = S::Error;

    fn read_nodes(&self, level: Level, first: NodeIndex, out: &mut [Hash]) -> Result<(), S::Error> {
        self.copied.count(size_of_val(out) as u64);
        self.source.read_nodes(level, first, out)
    }
}
