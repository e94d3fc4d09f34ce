//! What checkpoints and merges did for one tree, and the report of it.
//!
//! # Invariants
//!
//! - An insert touches nothing here.
//! - The counters of a checkpoint rise after its manifest is durable, before its end is reported.

use std::sync::atomic::{AtomicU64, Ordering};

use super::shared::Engine;
use super::tree::Tree;
use crate::merkle::{TreeName, TreeSize};
use crate::per_tree::PerTree;
use crate::report::{TreeCheckpoint, TreeStats};

/// The counters of a tree. They guard nothing, so relaxed order is enough.
#[derive(Debug, Default)]
pub(crate) struct Activity {
    checkpointed: AtomicU64,
    checkpoints: AtomicU64,
    part_bytes: AtomicU64,
    compactions: AtomicU64,
    failed_compactions: AtomicU64,
    compaction_bytes: AtomicU64,
}

impl Activity {
    /// Of a tree that has `size` leaves in the manifest in force.
    pub(super) fn stored(&self, size: u64) {
        self.checkpointed.store(size, Ordering::Relaxed);
    }

    /// Notes what a checkpoint has `written`.
    pub(super) fn checkpoint(&self, written: &TreeCheckpoint) {
        self.checkpointed.store(written.size.get(), Ordering::Relaxed);
        self.checkpoints.fetch_add(1, Ordering::Relaxed);
        self.part_bytes.fetch_add(written.bytes, Ordering::Relaxed);
    }

    /// Notes a merge into a part of so many bytes.
    pub(super) fn merged(&self, bytes: u64) {
        self.compactions.fetch_add(1, Ordering::Relaxed);
        self.compaction_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn merge_failed(&self) {
        self.failed_compactions.fetch_add(1, Ordering::Relaxed);
    }
}

impl Tree {
    /// What the store did for the tree, and what the tree is now.
    pub(crate) fn stats(&self) -> TreeStats {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let Activity { checkpointed, checkpoints, part_bytes, .. } = &self.activity;
        let Activity { compactions, failed_compactions, compaction_bytes, .. } = &self.activity;
        // Reads what a checkpoint has before what is durable, and that before what is visible, so that each is at
        // most the next.
        let checkpointed_size = TreeSize(get(checkpointed));
        let durable_size = self.durable();
        let size = TreeSize(self.columns.leaves());
        TreeStats {
            tree: self.name().clone(),
            size,
            durable_size,
            pending: size.get().saturating_sub(durable_size.get()),
            checkpointed_size,
            checkpoints: get(checkpoints),
            part_bytes_written: get(part_bytes),
            parts: self.parts().parts().len() as u64,
            compactions: get(compactions),
            failed_compactions: get(failed_compactions),
            compaction_bytes_written: get(compaction_bytes),
            memory_bytes: self.columns.memory_bytes() + self.table_bytes(),
            pinned_bytes: self.columns.pinned_bytes(),
        }
    }
}

impl Engine {
    /// The statistics of the trees that were used since the store was opened, by rising id. None in a forked child.
    pub(crate) fn tree_stats(&self) -> Vec<TreeStats> {
        if !self.process.is_current() {
            return Vec::new();
        }
        self.catalog.awake().iter().map(|tree| tree.stats()).collect()
    }

    /// The trees with something that no checkpoint has, by rising id: new leaves, durable or not, and a creation, a
    /// seal, an index or a drop that is durable.
    pub(super) fn uncheckpointed_trees(&self) -> Vec<TreeName> {
        let (_, changed) = self.log.changed();
        let named = |id, name: &TreeName| (id, name.clone());
        let changed = changed.iter().map(|change| named(change.spec.id, &change.spec.name));
        let mut trees: PerTree<TreeName> = changed.collect();
        for tree in self.catalog.awake() {
            if tree.durable().get() < tree.columns.leaves() {
                trees.insert(tree.id(), tree.name().clone());
            }
        }
        trees.values().cloned().collect()
    }
}
