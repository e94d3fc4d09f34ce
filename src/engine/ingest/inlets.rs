//! Where each tree in use takes its leaves in. Pure.
//!
//! # Invariants
//!
//! - A tree has at most one inlet. Its place never changes while the tree has it, so the tree may keep the
//!   place: an insert finds its inlet with one lookup, however many trees there are.
//! - A place that was kept is believed only if the inlet there is of the same tree: places are used again,
//!   ids are not.

use std::sync::Arc;

use super::pending::{Pending, Slip};
use crate::column::LeafWriter;
use crate::engine::Tree;
use crate::engine::tally::Tally;
use crate::error::{Error, Result};
use crate::ids::TreeId;
use crate::per_tree::PerTree;

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

/// The inlets of the trees in use.
#[derive(Debug, Default)]
pub(super) struct Inlets {
    places: PerTree<usize>,
    all: Vec<Option<Inlet>>,
    /// Places that are used again.
    free: Vec<usize>,
}

impl Inlets {
    pub(super) fn insert(&mut self, inlet: Inlet) {
        let place = self.free.pop().unwrap_or(self.all.len());
        inlet.tree.keep_place(place);
        self.remove(inlet.tree.id());
        self.places.insert(inlet.tree.id(), place);
        if place == self.all.len() {
            self.all.push(None);
        }
        if let Some(empty) = self.all.get_mut(place) {
            *empty = Some(inlet);
        }
    }

    pub(super) fn remove(&mut self, id: TreeId) -> Option<Inlet> {
        let place = self.places.remove(id)?;
        self.free.push(place);
        self.all.get_mut(place)?.take()
    }

    pub(super) fn by_id(&self, id: TreeId) -> Option<&Inlet> {
        self.all.get(*self.places.get(id)?)?.as_ref()
    }

    /// Of `tree`, if it takes leaves here.
    #[inline]
    pub(super) fn get(&self, tree: &Tree) -> Option<&Inlet> {
        let inlet = self.all.get(tree.place()?)?.as_ref()?;
        (inlet.tree.id() == tree.id()).then_some(inlet)
    }

    /// As [`get`](Self::get).
    #[inline]
    pub(super) fn get_mut(&mut self, tree: &Tree) -> Option<&mut Inlet> {
        let inlet = self.all.get_mut(tree.place()?)?.as_mut()?;
        (inlet.tree.id() == tree.id()).then_some(inlet)
    }

    /// By rising id.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Inlet> {
        self.places.values().filter_map(|place| self.all.get(*place)?.as_ref())
    }
}
