//! The insertion side of one tree. Pure.
//!
//! # Invariants
//!
//! - A tree has at most one inlet. Its leaves have one writer, which is in the inlet or with a large batch.

use std::sync::Arc;

use super::pending::{Pending, Slip};
use crate::column::LeafWriter;
use crate::engine::Tree;
use crate::engine::tally::Tally;
use crate::error::{Error, Result};

/// A tree that is open to inserts, with the writer of its leaves.
#[derive(Debug)]
pub(super) struct Inlet {
    pub(super) tree: Arc<Tree>,
    /// `None` while a thread copies a large batch: that thread has the writer.
    pub(super) writer: Option<LeafWriter>,
    /// How many leaves the store has accepted for the tree.
    pub(super) size: u64,
    pub(super) sealed: bool,
    /// The tree's place in the list of what came since the last point.
    open: Slip,
    /// The tree's place in the list of what came up to the last point.
    pub(super) named: Slip,
}

impl Inlet {
    pub(super) fn new(tree: &Arc<Tree>, writer: LeafWriter, sealed: bool) -> Self {
        let (open, named) = (Slip::default(), Slip::default());
        let (tree, size) = (Arc::clone(tree), writer.len());
        Self { tree, writer: Some(writer), size, sealed, open, named }
    }

    #[inline]
    pub(super) fn check(&self) -> Result<()> {
        if self.sealed {
            return Err(Error::TreeSealed { tree: self.tree.name().clone() });
        }
        Ok(())
    }

    /// Counts leaves that the writer has published, with `entries` bytes of entries.
    #[inline]
    pub(super) fn count(
        &mut self,
        count: u64,
        entries: u64,
        pending: &mut Pending,
        accepted: &mut Tally,
    ) {
        let first = self.size;
        self.size += count;
        pending.leaves(&self.tree, first, self.size, &mut self.open);
        accepted.add_leaves(self.tree.arity, count, entries);
    }
}
