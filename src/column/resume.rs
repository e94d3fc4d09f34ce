//! Creates the columns of an empty, reopened or rewound tree, with their two writers.
#![expect(unsafe_code, reason = "fills slots that are never published")]

use std::sync::Arc;

use super::account::Account;
use super::layout::Layout;
use super::leaves::LeafWriter;
use super::nodes::NodeWriter;
use super::shared::{Columns, Filling};
use super::version::Archive;
use crate::error::ReadError;
use crate::merkle::{Hash, Level, NodeIndex, NodeSource};

/// Nodes that a reopened tree needs in memory to continue. They are nodes of `level` from `first` on
/// that are complete at the archived size and whose parent is not.
#[derive(Clone, Debug)]
pub(crate) struct Seed {
    pub(crate) level: Level,
    pub(crate) first: u64,
    pub(crate) nodes: Vec<Hash>,
}

impl Seed {
    /// The children of the nodes that are incomplete at `size`, read from `source`. O(log size) reads.
    pub(crate) fn read<S>(layout: Layout, size: u64, source: &S) -> Result<Vec<Self>, S::Error>
    where
        S: NodeSource + ?Sized,
    {
        let arity = layout.arity();
        let mut seeds = Vec::new();
        let mut level = Level::LEAVES;
        while layout.complete(level, size) > 0 {
            let end = layout.complete(level, size);
            let first = end >> arity.bits() << arity.bits();
            if first < end {
                let mut nodes = vec![[0; 32]; usize::try_from(end - first).unwrap_or(0)];
                source.read_nodes(level, NodeIndex(first), &mut nodes)?;
                seeds.push(Self { level, first, nodes });
            }
            level = level.up();
        }
        Ok(seeds)
    }
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
        Self::resume_in(Account::default(), layout, size, archive, seeds)
    }

    fn resume_in(
        account: Account,
        layout: Layout,
        size: u64,
        archive: Option<Arc<dyn Archive>>,
        seeds: &[Seed],
    ) -> (Arc<Self>, LeafWriter, NodeWriter) {
        let columns = Self::new(layout, size, archive, account);
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

    /// The columns of this tree cut at `size`, with their two writers. All nodes that are complete at this size are
    /// hashed. `prefix` is the length of an entry's length. These columns stay as they are. O(log size) copies.
    pub(crate) fn cut(
        &self,
        size: u64,
        prefix: usize,
    ) -> Result<(Arc<Self>, LeafWriter, NodeWriter), ReadError> {
        let (layout, view) = (self.layout(), self.view());
        let seeds = Seed::read(layout, size, &view)?;
        let archive = view.archive_below(size, prefix);
        Ok(Self::resume_in(self.account().clone(), layout, size, archive, &seeds))
    }

    /// The columns of an empty tree, with their two writers.
    pub(crate) fn empty(layout: Layout) -> (Arc<Self>, LeafWriter, NodeWriter) {
        Self::resume(layout, 0, None, &[])
    }
}
