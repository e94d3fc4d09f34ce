//! The numbers of statistics, one after the other, to be written and to be read.
//!
//! # Invariant
//!
//! What is written and what is read is one list. It names every field of a struct, so a field that is added has to be
//! added here.

use std::time::Duration;

use super::jobs::Reasons;
use super::{Distribution, JobStats, Stats, Times, TreeStats};

/// Writes each field, or sets it.
pub(crate) trait Fields {
    fn count(&mut self, field: &mut u64);
    fn time(&mut self, field: &mut Duration);
    fn flag(&mut self, field: &mut bool);
}

impl Stats {
    pub(crate) fn fields(&mut self, each: &mut impl Fields) {
        let Self {
            leaves,
            durable,
            pending,
            leaves_written,
            wal_bytes_written,
            groups,
            group_leaves,
            syncs,
            sync_time,
            longest_sync,
            sync_nanos,
            stalls,
            stall_time,
            refused,
            slowdowns,
            slowdown_time,
            unflushed_bytes,
            uncheckpointed_bytes,
            wal_segments,
            memory_bytes,
            pinned_bytes,
            checkpoints,
            failed_checkpoints,
            part_bytes_written,
            checkpoint_time,
            parts,
            compactions,
            failed_compactions,
            compaction_bytes_written,
            queued_jobs,
            active_jobs,
            checkpoint_jobs,
            compaction_jobs,
            segment_jobs,
            hash_jobs,
            reasons: Reasons(reasons),
        } = self;
        for field in [leaves, durable, pending, leaves_written, wal_bytes_written, groups] {
            each.count(field);
        }
        distribution(group_leaves, each);
        each.count(syncs);
        each.time(sync_time);
        each.time(longest_sync);
        distribution(sync_nanos, each);
        each.count(stalls);
        each.time(stall_time);
        each.count(refused);
        each.count(slowdowns);
        each.time(slowdown_time);
        for field in [
            unflushed_bytes,
            uncheckpointed_bytes,
            wal_segments,
            memory_bytes,
            pinned_bytes,
            checkpoints,
            failed_checkpoints,
            part_bytes_written,
        ] {
            each.count(field);
        }
        each.time(checkpoint_time);
        for field in [
            parts,
            compactions,
            failed_compactions,
            compaction_bytes_written,
            queued_jobs,
            active_jobs,
        ] {
            each.count(field);
        }
        for job in [checkpoint_jobs, compaction_jobs, segment_jobs, hash_jobs] {
            self::job(job, each);
        }
        reasons.iter_mut().for_each(|field| each.count(field));
    }
}

impl TreeStats {
    /// All but the name.
    pub(crate) fn fields(&mut self, each: &mut impl Fields) {
        let Self {
            tree: _,
            size,
            durable_size,
            pending,
            checkpointed_size,
            checkpoints,
            part_bytes_written,
            parts,
            compactions,
            failed_compactions,
            compaction_bytes_written,
            memory_bytes,
            pinned_bytes,
        } = self;
        for field in [
            &mut size.0,
            &mut durable_size.0,
            pending,
            &mut checkpointed_size.0,
            checkpoints,
            part_bytes_written,
            parts,
            compactions,
            failed_compactions,
            compaction_bytes_written,
            memory_bytes,
            pinned_bytes,
        ] {
            each.count(field);
        }
    }
}

fn distribution(of: &mut Distribution, each: &mut impl Fields) {
    let Distribution { count, sum, p50, p90, p99, p999, max } = of;
    for field in [count, sum, p50, p90, p99, p999, max] {
        each.count(field);
    }
}

fn job(of: &mut JobStats, each: &mut impl Fields) {
    let JobStats {
        completed,
        failed,
        retries,
        suspended,
        bytes,
        wait,
        build,
        sync,
        install,
        release,
    } = of;
    for field in [completed, failed, retries] {
        each.count(field);
    }
    each.flag(suspended);
    each.count(bytes);
    for Times { total, last, max } in [wait, build, sync, install, release] {
        for field in [total, last, max] {
            each.time(field);
        }
    }
}
