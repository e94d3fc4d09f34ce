//! Creates the columns of an empty or reopened tree, with their two writers.
#![expect(unsafe_code, reason = "fills slots that are never published")]

use std::sync::Arc;

use super::layout::Layout;
use super::leaves::LeafWriter;
use super::nodes::NodeWriter;
use super::shared::{Columns, Filling};
use super::version::Archive;
use crate::merkle::{Hash, Level};

/// Nodes that a reopened tree needs in memory to continue. They are nodes of `level` from `first` on
/// that are complete at the archived size and whose parent is not.
#[derive(Clone, Debug)]
pub(crate) struct Seed {
    pub(crate) level: Level,
    pub(crate) first: u64,
    pub(crate) nodes: Vec<Hash>,
}

impl Columns {
    /// The columns of a tree, with their two writers. `archive` has the first `size` leaves and their
    /// complete nodes. `seeds` has, for each level, the complete children of the incomplete node above.
    pub(crate) fn resume(
        layout: Layout,
        size: u64,
        archive: Option<Arc<dyn Archive>>,
        seeds: &[Seed],
    ) -> (Arc<Self>, LeafWriter, NodeWriter) {
        let columns = Self::new(layout, size, archive);
        for seed in seeds {
            let place = layout.place(seed.level, seed.first);
            let slots = columns.slots_for(&place, seed.nodes.len(), Filling::Slow);
            // SAFETY: no other thread has the columns yet. These slots are below the size at which
            // memory begins, so they are never published.
            unsafe { slots.write(place.slot, seed.nodes.len()) }.copy_from_slice(&seed.nodes);
        }
        let leaves = LeafWriter::new(Arc::clone(&columns), size);
        let nodes = NodeWriter::new(Arc::clone(&columns), size);
        (columns, leaves, nodes)
    }

    /// The columns of an empty tree, with their two writers.
    pub(crate) fn empty(layout: Layout) -> (Arc<Self>, LeafWriter, NodeWriter) {
        Self::resume(layout, 0, None, &[])
    }
}
