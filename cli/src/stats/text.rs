//! A status for people.

use std::time::Duration;

use duramen::inspect::{Printable, count, utc};
use duramen::{JobStats, TreeStats};

use super::figures::steps;
use super::seen::Seen;

/// How many trees are named.
const TREES: usize = 20;

/// A time to three digits.
pub(super) fn short(time: Duration) -> String {
    match time.as_secs() {
        0 if time.is_zero() => "0 s".to_owned(),
        0 => format!("{time:.1?}"),
        seconds @ 1..60 => format!("{seconds} s"),
        seconds @ 60..7200 => format!("{} min", seconds / 60),
        seconds @ 7200..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

/// Bytes to three digits.
pub(super) fn size(bytes: u64) -> String {
    bytesize::ByteSize(bytes).display().iec().to_string()
}

/// What became of the process that wrote the status.
pub(super) fn process(seen: &Seen) -> String {
    let age = short(seen.age);
    let since = utc(seen.status.opened);
    let pid = seen.status.pid;
    match (seen.state(), seen.status.running) {
        ("open", _) => format!("open in process {pid} since {since}, written {age} ago"),
        ("closed", _) => format!("closed {age} ago by process {pid}, which opened it {since}"),
        ("poisoned", true) => {
            format!("POISONED, open in process {pid} since {since}, written {age} ago")
        }
        ("poisoned", false) => format!("POISONED {age} ago in process {pid}, which is gone"),
        _ => format!("process {pid} is gone without closing it, written {age} ago"),
    }
}

pub(super) fn whole(seen: &Seen) -> String {
    let (status, stats) = (&seen.status, &seen.status.stats);
    let leaves = |leaves| count(leaves, "leaf", "leaves");
    let mut text = format!("store {}\n{}\n", status.store, process(seen));
    if let Some(error) = seen.poison() {
        text += &format!("error {}\n", crate::error::one_line(error));
    }
    text += &format!(
        "leaves {} visible, {} durable, {} in the last checkpoint\n",
        stats.leaves, stats.durable, status.checkpointed
    );
    let oldest = status.oldest_unflushed.map_or_else(|| "none".to_owned(), short);
    text += &format!(
        "backlog {}, {} for the log, {} for a checkpoint, oldest {oldest}\n",
        leaves(stats.pending),
        size(stats.unflushed_bytes),
        size(stats.uncheckpointed_bytes),
    );
    text += &format!(
        "log {} in {}, {}\n",
        size(stats.wal_bytes_written),
        count(stats.groups, "group", "groups"),
        count(stats.wal_segments, "segment", "segments")
    );
    let nanos = |nanos| short(Duration::from_nanos(nanos));
    let syncs = &stats.sync_nanos;
    text += &format!(
        "syncs {}, p50 {}, p99 {}, longest {}\n",
        stats.syncs,
        nanos(syncs.p50),
        nanos(syncs.p99),
        nanos(syncs.max)
    );
    text += &job("checkpoints", &stats.checkpoint_jobs);
    text += &job("merges", &stats.compaction_jobs);
    text += &format!(
        "jobs {} waiting, {} running\nparts {}\nmemory {}, {} held by callers\n",
        stats.queued_jobs,
        stats.active_jobs,
        stats.parts,
        size(stats.memory_bytes),
        size(stats.pinned_bytes)
    );
    text += &format!(
        "inserts {} stalled for {}, {} slowed down for {}, {} refused\n",
        stats.stalls,
        short(stats.stall_time),
        stats.slowdowns,
        short(stats.slowdown_time),
        stats.refused
    );
    text += &disk(seen);
    text += &status.trees.iter().take(TREES).map(tree).collect::<String>();
    let more = status.used_trees.saturating_sub(TREES as u64);
    if more > 0 {
        text += &format!("and {}\n", count(more, "more tree", "more trees"));
    }
    text
}

/// Space where the store is.
pub(super) fn disk(seen: &Seen) -> String {
    let Some((free, all)) = seen.space else { return String::new() };
    let full = seen.full_in().map(|time| format!(", full in {}", short(time)));
    format!("disk {} free of {}{}\n", size(free), size(all), full.unwrap_or_default())
}

fn job(name: &str, of: &JobStats) -> String {
    let mut text = format!("{name} {}, {} failed, {}", of.completed, of.failed, size(of.bytes));
    if of.completed > 0 {
        let steps =
            steps(of).map(|(name, last, max)| format!("{name} {}/{}", short(last), short(max)));
        text += &format!("; last/longest: {}", steps.join(", "));
    }
    if of.suspended {
        text += "; SUSPENDED after a permanent failure";
    }
    text + "\n"
}

/// The steps of the last run, in less than 80 columns.
pub(super) fn last_steps(of: &JobStats) -> String {
    steps(of).map(|(name, last, _)| format!("{name} {}", short(last))).join(" ")
}

fn tree(tree: &TreeStats) -> String {
    format!(
        "tree {}: {} visible, {} durable, {} in the last checkpoint, {}\n",
        Printable::new(tree.tree.as_str()),
        tree.size,
        tree.durable_size,
        tree.checkpointed_size,
        count(tree.parts, "part", "parts")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_short() {
        for (millis, text) in [
            (0, "0 s"),
            (3, "3.0ms"),
            (59_999, "59 s"),
            (61_000, "1 min"),
            (7_200_000, "2 h"),
            (400_000_000, "4 days"),
        ] {
            assert_eq!(short(Duration::from_millis(millis)), text);
        }
    }
}
