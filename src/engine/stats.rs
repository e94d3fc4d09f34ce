//! The statistics of a running store and of its trees.
//!
//! # Invariant
//!
//! Counters that belong together are raised together, or read in an order in which they agree once the store is
//! idle: leaves are durable or pending, the groups' leaves are those written, the reasons of checkpoints add up
//! to the checkpoints.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::shared::Engine;
use super::tree::Tree;
use crate::column::Columns;
use crate::merkle::{TreeName, TreeSize};
use crate::per_tree::PerTree;
use crate::report::{Stats, TreeStats, Work};

impl Engine {
    pub(crate) fn stats(&self) -> Stats {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let time = |counter: &AtomicU64| Duration::from_nanos(get(counter));
        let counters = &self.counters;
        // Reads what is durable before what is visible, so that never more is durable than visible.
        let durable = self.log.point().tally.leaves;
        let accepted = self.inflow.accepted();
        let leaves = accepted.leaves;
        let group_leaves = counters.group_leaves.distribution();
        let sync_nanos = counters.sync_nanos.distribution();
        let work = self.work();
        let awake = self.catalog.awake();
        let bytes =
            |of: fn(&Columns) -> u64| awake.iter().map(|tree| of(&tree.columns)).sum::<u64>();
        let tables = awake.iter().map(|tree| tree.table_bytes()).sum::<u64>();
        let (queued_jobs, active_jobs) = self.background.counts();
        Stats {
            leaves,
            durable,
            pending: leaves - durable,
            leaves_written: group_leaves.sum,
            wal_bytes_written: get(&counters.log_bytes),
            groups: group_leaves.count,
            group_leaves,
            syncs: sync_nanos.count,
            sync_time: Duration::from_nanos(sync_nanos.sum),
            longest_sync: Duration::from_nanos(sync_nanos.max),
            sync_nanos,
            stalls: get(&counters.stalls),
            stall_time: time(&counters.stall_nanos),
            refused: get(&counters.refused),
            slowdowns: get(&counters.slowdowns),
            slowdown_time: time(&counters.slowdown_nanos),
            unflushed_bytes: accepted.unwritten_bytes,
            uncheckpointed_bytes: accepted.uncheckpointed_bytes,
            wal_segments: self.log.segments_in_use(),
            memory_bytes: bytes(Columns::memory_bytes) + tables,
            pinned_bytes: bytes(Columns::pinned_bytes) + self.catalog.dropped_bytes(),
            checkpoints: work.checkpoint.completed,
            failed_checkpoints: work.checkpoint.failed,
            part_bytes_written: work.checkpoint.bytes,
            checkpoint_time: time(&counters.checkpoint_nanos),
            parts: get(&counters.parts),
            compactions: work.compaction.completed,
            failed_compactions: work.compaction.failed,
            compaction_bytes_written: work.compaction.bytes,
            queued_jobs,
            active_jobs,
            checkpoint_jobs: work.checkpoint,
            compaction_jobs: work.compaction,
            segment_jobs: work.segment,
            hash_jobs: work.hash,
            reasons: work.reasons,
        }
    }
}

impl Engine {
    /// What background work has done so far.
    pub(crate) fn work(&self) -> Work {
        let mut work = self.background.done();
        let suspended = self.keeper.upkeep().suspended();
        work.checkpoint.suspended = suspended.checkpoint;
        work.compaction.suspended = suspended.compaction;
        work
    }
}

impl Tree {
    /// What the store did for the tree, and what the tree is now.
    pub(crate) fn stats(&self) -> TreeStats {
        let done = self.activity.done();
        // Reads what a checkpoint has before what is durable, and that before what is visible, so that each is at
        // most the next.
        let checkpointed_size = TreeSize(self.activity.checkpointed());
        let durable_size = self.durable();
        let size = TreeSize(self.columns.leaves());
        TreeStats {
            tree: self.name().clone(),
            size,
            durable_size,
            pending: size.get().saturating_sub(durable_size.get()),
            checkpointed_size,
            checkpoints: done.checkpoints,
            part_bytes_written: done.part_bytes,
            parts: self.parts().parts().len() as u64,
            compactions: done.compactions,
            failed_compactions: done.failed_compactions,
            compaction_bytes_written: done.compaction_bytes,
            memory_bytes: self.columns.memory_bytes() + self.table_bytes(),
            pinned_bytes: self.columns.pinned_bytes(),
        }
    }
}

impl Engine {
    /// The statistics of the trees that were used since the store was opened, by rising id.
    pub(crate) fn tree_stats(&self) -> Vec<TreeStats> {
        self.catalog.awake().iter().map(|tree| tree.stats()).collect()
    }

    /// The trees with something that no checkpoint has, by rising id: new leaves, durable or not, and a creation, a
    /// seal, an index or a drop that is durable.
    pub(super) fn uncheckpointed_trees(&self) -> Vec<TreeName> {
        let (_, changed, _) = self.log.changed();
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
