//! The figures of a store and of its trees, with their names. Names and units are those of `/metrics` of a served log.

use std::time::Duration;

use duramen::inspect::StoreStatus;
use duramen::{JobStats, TreeStats};

/// What a figure is of.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value {
    Count(u64),
    Time(Duration),
}

impl Value {
    pub(super) fn json(self) -> serde_json::Value {
        match self {
            Self::Count(count) => count.into(),
            Self::Time(time) => time.as_secs_f64().into(),
        }
    }

    pub(super) fn text(self) -> String {
        match self {
            Self::Count(count) => count.to_string(),
            Self::Time(time) => format!("{}.{:09}", time.as_secs(), time.subsec_nanos()),
        }
    }
}

/// A figure. A name that ends in `_total` is one that only grows while the store is open.
pub(super) struct Figure {
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    pub(super) value: Value,
}

fn count(name: &'static str, help: &'static str, value: u64) -> Figure {
    Figure { name, help, value: Value::Count(value) }
}

fn time(name: &'static str, help: &'static str, value: Duration) -> Figure {
    Figure { name, help, value: Value::Time(value) }
}

/// The figures of the whole store.
pub(super) fn of_store(status: &StoreStatus) -> Vec<Figure> {
    let stats = &status.stats;
    let sync = |nanos| Duration::from_nanos(nanos);
    vec![
        count("leaves", "Leaves of all trees.", stats.leaves),
        count("durable_leaves", "Leaves that are known to be durable.", stats.durable),
        count("checkpointed_leaves", "Leaves in the last checkpoint.", status.checkpointed),
        count("pending_leaves", "Leaves that are not durable yet.", stats.pending),
        count("unflushed_bytes", "Bytes that are not in the log yet.", stats.unflushed_bytes),
        time(
            "oldest_unflushed_seconds",
            "Age of the oldest leaf that no group has.",
            status.oldest_unflushed.unwrap_or_default(),
        ),
        count(
            "uncheckpointed_bytes",
            "Bytes in memory that no part has yet.",
            stats.uncheckpointed_bytes,
        ),
        count("memory_bytes", "Memory that the trees take.", stats.memory_bytes),
        count("pinned_bytes", "Memory that only callers still hold.", stats.pinned_bytes),
        count("groups_total", "Groups of the log written.", stats.groups),
        count("log_bytes_total", "Bytes written to the log.", stats.wal_bytes_written),
        count("log_segments", "Segments of the log.", stats.wal_segments),
        count("syncs_total", "Syncs of the log.", stats.syncs),
        time("sync_seconds_total", "Time of the syncs of the log.", stats.sync_time),
        time("sync_p50_seconds", "Median of the syncs.", sync(stats.sync_nanos.p50)),
        time("sync_p99_seconds", "99 in 100 syncs took at most this.", sync(stats.sync_nanos.p99)),
        time("sync_max_seconds", "The longest sync.", sync(stats.sync_nanos.max)),
        count("stalls_total", "Inserts that waited for room.", stats.stalls),
        time("stall_seconds_total", "Time that inserts waited for room.", stats.stall_time),
        count("slowdowns_total", "Inserts that were slowed down.", stats.slowdowns),
        time("slowdown_seconds_total", "Time of slowing down.", stats.slowdown_time),
        count("refused_total", "Inserts that were refused.", stats.refused),
        count("checkpoints_total", "Checkpoints of the store.", stats.checkpoints),
        count("failed_checkpoints_total", "Checkpoints that failed.", stats.failed_checkpoints),
        time("checkpoint_seconds_total", "Time of checkpoints.", stats.checkpoint_time),
        count("part_bytes_total", "Bytes of parts written.", stats.part_bytes_written),
        count("parts", "Parts of all trees.", stats.parts),
        count("merges_total", "Merges of parts.", stats.compactions),
        count("failed_merges_total", "Merges that failed.", stats.failed_compactions),
        count(
            "merge_bytes_total",
            "Bytes of parts written by merges.",
            stats.compaction_bytes_written,
        ),
        count("queued_jobs", "Background jobs that wait.", stats.queued_jobs),
        count("active_jobs", "Background jobs that run.", stats.active_jobs),
    ]
}

/// The steps of a kind of work: the last time of each, and the longest.
pub(super) fn steps(of: &JobStats) -> [(&'static str, Duration, Duration); 5] {
    let step = |name, times: duramen::Times| (name, times.last, times.max);
    [
        step("wait", of.wait),
        step("build", of.build),
        step("sync", of.sync),
        step("install", of.install),
        step("release", of.release),
    ]
}

/// The figures of one tree.
pub(super) fn of_tree(tree: &TreeStats) -> Vec<Figure> {
    vec![
        count("tree_leaves", "Leaves of the tree.", tree.size.get()),
        count("tree_durable_leaves", "Durable leaves of the tree.", tree.durable_size.get()),
        count(
            "tree_checkpointed_leaves",
            "Leaves of the tree in the last checkpoint.",
            tree.checkpointed_size.get(),
        ),
        count("tree_parts", "Parts of the tree.", tree.parts),
        count("tree_memory_bytes", "Memory that the tree takes.", tree.memory_bytes),
        count("tree_checkpoints_total", "Checkpoints with leaves of the tree.", tree.checkpoints),
        count("tree_part_bytes_total", "Bytes written for the tree.", tree.part_bytes_written),
        count("tree_merges_total", "Merges of parts of the tree.", tree.compactions),
        count("tree_failed_merges_total", "Merges that failed.", tree.failed_compactions),
    ]
}
