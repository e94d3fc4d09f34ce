//! Where each tree in use takes its leaves in. Pure.
//!
//! # Invariants
//!
//! - A tree has at most one inlet, and an inlet has the one writer of the tree's leaves, or a large batch has it.

use std::sync::Arc;

use super::pending::{Pending, Slip};
use crate::column::LeafWriter;
use crate::engine::Tree;
use crate::engine::tally::Tally;
use crate::error::{Error, Result};

/// The one writer of a tree's leaves.
#[derive(Debug)]
pub(super) struct Inlet {
    pub(super) tree: Arc<Tree>,
    /// With the thread that copies a large batch while one is copied.
    pub(super) writer: Option<LeafWriter>,
    /// How many leaves were accepted.
    pub(super) size: u64,
    pub(super) sealed: bool,
    /// In the list of what came since the last point.
    open: Slip,
    /// In the list of what came up to it.
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

    /// Counts leaves that were published.
    #[inline]
    pub(super) fn count(&mut self, count: u64, pending: &mut Pending, accepted: &mut Tally) {
        let first = self.size;
        self.size += count;
        pending.leaves(&self.tree, first, self.size, &mut self.open);
        accepted.add_leaves(self.tree.arity, count);
    }
}
