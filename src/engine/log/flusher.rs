//! The flusher: the one thread that writes the log.
//!
//! # Invariants
//!
//! - A group ends at a point, over all trees, or is provisional. Points are named and groups are cut under the
//!   insertion lock. A large group is written as several provisional groups and a last one that ends at the point.
//!   So a batch counts whole or not at all, whatever its trees, and no group goes beyond a point that is known
//!   when the group is cut. A spill ends a group at the last point before it writes what is behind: later no group can.
//! - A group first creates trees, then has leaves, then erases entries, then sets and removes marks, then seals trees,
//!   then drops trees. So a tree has no record before it is created and none after it is dropped, no entry is erased
//!   before it is there, and a mark comes after the leaves that it covers.
//! - The record of a rewind has a group of its own, behind the group of everything before it. Both are synced together.
//! - The records of provisional groups count only once a group that ends at a point follows. They are claimed as
//!   durable only after that group is synced, also if an earlier point, which was written before them, is synced while
//!   they are in the log.
//! - A claim is an empty group that is not synced. The last point stays the one before it, so nothing relies on the
//!   claim until a group behind it is synced, or the store is closed, which syncs it.
//! - The watermark rises after the fsync, and only here.
//! - The first error ends the thread: it poisons the store and does not touch the log again.
//! - If a listener or a waker returns in a forked child, the flusher gets an error there and ends. It takes no
//!   lock, touches no file and makes no other such call.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::control::Work;
use super::flushed::{FlushPoint, News};
use super::source::{Group, LogSource};
use crate::engine::ingest::{Control, Cut, CutKind, Erasing, Stretch};
use crate::engine::tally::Tally;
use crate::engine::tree::Tree;
use crate::error::{Error, Result};
use crate::mark::encode_sizes;
use crate::merkle::{Hash, TreeSize};
use crate::mutant::mutant;
use crate::report::{Event, TreeFlush};
use crate::sync;
use crate::wal::{GroupEnd, LogWriter, Record};

/// The flusher's own state.
pub(crate) struct Flusher {
    source: Arc<dyn LogSource>,
    log: LogWriter,
    /// Where the last group that ended at a point ended.
    point: FlushPoint,
    /// What was written up to then and is not known to be durable.
    news: News,
    /// What was written behind it.
    behind: News,
    /// How many leaves are durable.
    durable_leaves: u64,
    /// Where the last group ended.
    written: Tally,
    /// Whether the last group is a claim.
    claimed: bool,
    /// Bytes of log that recovery found.
    found_bytes: u64,
    /// Bytes of log that events have reported.
    reported_bytes: u64,
}

impl Flusher {
    pub(crate) fn new(source: Arc<dyn LogSource>, log: LogWriter, point: FlushPoint) -> Self {
        let (written, found_bytes) = (point.tally, point.log_bytes);
        let (news, behind) = (News::default(), News::default());
        Self {
            source,
            log,
            point,
            news,
            behind,
            durable_leaves: written.leaves,
            written,
            claimed: false,
            found_bytes,
            reported_bytes: 0,
        }
    }

    /// Runs until the engine stops it or the log fails. Every waiter has its answer when this returns.
    pub(crate) fn run(mut self) {
        let _guard = PoisonOnPanic(Arc::clone(&self.source));
        self.source.begin();
        let done = self.work().or_else(|error| match error {
            Error::Forked { .. } => Err(error),
            error => {
                tracing::error!(%error, "the log failed; the store is poisoned");
                self.source.poison(error)
            }
        });
        if done.is_ok() {
            self.source.report();
        } else {
            // A listener or a waker has forked and returned in the child. The store belongs to the parent, and
            // closing its files could have any effect.
            std::mem::forget(self);
        }
    }

    fn work(&mut self) -> Result<()> {
        loop {
            let work = self.source.next();
            match work {
                Work::Report => self.source.report(),
                Work::Flush => self.flush()?,
                Work::Spill => self.spill()?,
                Work::Claim => self.claimed |= self.log.claim()?,
                Work::Roll => self.roll()?,
                Work::Tick => self.source.checkpoint_if_due(),
                Work::Stop => {
                    self.flush()?;
                    self.settle_claim()?;
                    return self.log.seal();
                }
            }
            if !matches!(work, Work::Report | Work::Tick) {
                self.source.report_change();
            }
        }
    }

    /// Writes everything new up to the last point and makes it durable. What came before a large batch goes first.
    fn flush(&mut self) -> Result<()> {
        let mut more = true;
        while more {
            let cut;
            (cut, more) = self.source.cut();
            if cut.kind == CutKind::BeforeRewind {
                // The rewind follows, and is synced together with this.
                self.write_point(cut)?;
                continue;
            }
            self.flush_to(cut)?;
        }
        Ok(())
    }

    /// Flushes, and leaves the segment if the log then ends at a point.
    fn roll(&mut self) -> Result<()> {
        self.flush()?;
        let left = self.log.ends_at_point();
        if left {
            let done = self.log.leave_segment();
            if let Err(error) = done {
                self.source.poison(error.clone())?;
                return Err(error);
            }
            // The segment was synced, and the next one has no group yet.
            self.claimed = false;
            let (position, bytes) = (self.log.position(), self.log.bytes_written());
            let log_bytes = self.found_bytes + bytes;
            self.point = FlushPoint { position, log_bytes, ..self.point };
            self.source.flushed(self.point, News::default())?;
        }
        self.source.rolled(left);
        Ok(())
    }

    fn flush_to(&mut self, cut: Cut) -> Result<()> {
        if cut.tally.seq == self.source.durable() {
            return Ok(());
        }
        let leaves = cut.tally.leaves - self.durable_leaves;
        let gate = self.source.gate();
        let trees = match gate.is_empty() {
            true => Vec::new(),
            false => {
                let all = self.behind.stretches.iter().chain(&cut.stretches);
                // What was spilled behind a point that the log has is none of this.
                let new = all.filter(|_| cut.tally.seq > self.point.tally.seq);
                sizes_after(self.news.stretches.iter().chain(new))
            }
        };
        gate.tell(|| Event::FlushBegun { leaves, trees: trees.clone() })?;
        match self.write_and_sync(cut) {
            Ok((write, sync)) => {
                self.durable_leaves = self.point.tally.leaves;
                let bytes = self.log.bytes_written() - self.reported_bytes;
                self.reported_bytes = self.log.bytes_written();
                let durable = self.point.tally.seq;
                let completed =
                    || Event::FlushCompleted { leaves, trees, durable, bytes, write, sync };
                self.source.gate().tell(completed)?;
            }
            Err(forked @ Error::Forked { .. }) => return Err(forked),
            Err(error) => {
                self.source.poison(error.clone())?;
                let failed = || Event::FlushFailed { leaves, trees, error: error.clone() };
                self.source.gate().tell(failed)?;
                return Err(error);
            }
        }
        if self.log.wants_next_segment() {
            self.source.request_segment();
        }
        self.source.claim_later();
        self.source.checkpoint_if_due();
        Ok(())
    }

    /// Makes a claim durable that ends the log, so that the log ends at a durable point behind it.
    fn settle_claim(&mut self) -> Result<()> {
        if !std::mem::take(&mut self.claimed) {
            return Ok(());
        }
        self.log.sync()?;
        self.point.position = self.log.position();
        self.point.log_bytes = self.found_bytes + self.log.bytes_written();
        self.source.flushed(self.point, News::default())
    }

    /// Writes `cut`, if the log does not have it yet, and syncs the log. Returns how long each took.
    fn write_and_sync(&mut self, cut: Cut) -> Result<(Duration, Duration)> {
        let started = Instant::now();
        self.write_point(cut)?;
        let written = started.elapsed();
        if mutant!(self.source.fs(), AcknowledgeBeforeSync) {
            self.source.flushed(self.point, std::mem::take(&mut self.news))?;
        }
        tracing::trace_span!("sync").in_scope(|| self.log.sync())?;
        self.claimed = false;
        let synced = started.elapsed() - written;
        self.source.synced(synced);
        self.source.flushed(self.point, std::mem::take(&mut self.news))?;
        Ok((written, synced))
    }

    /// Writes everything new, if inserts need that. The group up to the last point ends at that point, the rest is
    /// provisional. Does not sync.
    fn spill(&mut self) -> Result<()> {
        let Some((point, all)) = self.source.spill_cut() else { return Ok(()) };
        // Also if its records were spilled before a caller named it: no group can end there once later ones are written.
        self.write_point(point)?;
        if all.tally.seq > self.written.seq {
            self.write(all, GroupEnd::Provisional)?;
        }
        Ok(())
    }

    /// Writes `cut` as a group that ends at a point, unless the log has that point already.
    fn write_point(&mut self, cut: Cut) -> Result<()> {
        if cut.tally.seq <= self.point.tally.seq {
            return Ok(());
        }
        self.write(cut, GroupEnd::Point)
    }

    /// Writes everything in `cut`, which follows the last group. Splits off provisional groups while `cut` is too
    /// large for one group, and ends the last group as `end` says.
    fn write(&mut self, mut cut: Cut, end: GroupEnd) -> Result<()> {
        if let [first, _, ..] = &cut.stretches[..]
            && mutant!(self.source.fs(), BatchSplit)
        {
            let (from, to) = (first.from, first.to);
            let bytes =
                (to - from) * size_of::<Hash>() as u64 + first.tree.entry_bytes(from, to)?;
            let piece = cut.split(self.written, bytes)?;
            self.write_group(piece, GroupEnd::Point)?;
        }
        if mutant!(self.source.fs(), MarkEarly) {
            let piece = cut.split_marks(self.written);
            if !piece.controls.is_empty() {
                self.write_group(piece, GroupEnd::Point)?;
            }
        }
        let mut most = self.piece_bytes();
        // A piece has at least one leaf, however long its entry is.
        while cut.tally.leaves - self.written.leaves > 1
            && cut.tally.leaf_bytes_since(self.written) > most
        {
            let piece = cut.split(self.written, most)?;
            self.write_group(piece, GroupEnd::Provisional)?;
            most = self.piece_bytes();
        }
        self.write_group(cut, end)
    }

    /// How many bytes of leaves and entries one group should have at most: as many as fit the segment, unless it is
    /// nearly full.
    fn piece_bytes(&self) -> u64 {
        let most = self.source.group_bytes();
        let room = self.log.room();
        if room >= most / 8 { room.min(most) } else { most }
    }

    /// Writes one group with everything in `cut`, which follows the last group. `cut` may be empty.
    fn write_group(&mut self, cut: Cut, end: GroupEnd) -> Result<()> {
        let Cut { tally, stretches, controls, .. } = cut;
        let (number, leaves) = (tally.seq.0, tally.leaves - self.written.leaves);
        let _span = tracing::trace_span!("group", seq = number, leaves).entered();
        // The views keep the chunks alive while the log is written straight out of them.
        let views: Vec<_> = stretches.iter().map(|stretch| stretch.tree.columns.view()).collect();
        let mut runs = Vec::with_capacity(stretches.len());
        let mut ends = Vec::with_capacity(stretches.len());
        let mut entries = Vec::with_capacity(stretches.len());
        for (Stretch { tree, from, to }, view) in stretches.iter().zip(&views) {
            view.leaf_runs(*from, *to, &mut runs)?;
            ends.push(runs.len());
            entries.push(match tree.framing {
                None => None,
                Some(_) => Some(view.entry_slices(*from, *to)?),
            });
        }
        let created: Vec<_> = controls.iter().filter_map(Control::created).collect();
        let mut records = Vec::with_capacity(stretches.len() + controls.len());
        for (spec, origin) in &created {
            records.push(Record::create(spec, origin.as_ref().map(|origin| origin.frontier())));
        }
        let mut start = 0;
        for ((Stretch { tree, from, .. }, end), entries) in stretches.iter().zip(ends).zip(&entries)
        {
            let (tree, first, runs) = (tree.id(), *from, &runs[start..end]);
            records.push(match entries {
                None => Record::Leaves { tree, first, runs },
                Some(entries) => Record::Entries { tree, first, runs, entries },
            });
            start = end;
        }
        records.extend(controls.iter().filter_map(|control| match control {
            Control::Erased(tree, Erasing { at, ranges, payload, .. }) => {
                Some(Record::Erase { tree: tree.id(), at: *at, ranges: *ranges, payload })
            }
            _ => None,
        }));
        let mark = |control: &Control| match control {
            Control::Marked(mark, _) => Some(mark.payload()),
            Control::Rewound(trees, _) => {
                let size = |(tree, size): &(Arc<Tree>, u64)| (tree.id(), *size);
                Some(encode_sizes(&trees.iter().map(size).collect::<Vec<_>>()))
            }
            _ => None,
        };
        let payloads: Vec<_> = controls.iter().map(mark).collect();
        records.extend(controls.iter().zip(&payloads).filter_map(|mark| match mark {
            (Control::Marked(mark, _), Some(payload)) => {
                Some(Record::Mark { sizes: mark.sizes().len() as u64, payload })
            }
            (Control::Unmarked(name, _), _) => Some(Record::Unmark { name }),
            (Control::Rewound(trees, _), Some(payload)) => {
                Some(Record::Rewind { sizes: trees.len() as u64, payload })
            }
            _ => None,
        }));
        records.extend(controls.iter().filter_map(|control| match control {
            Control::Sealed(tree) => Some(Record::Seal { tree: tree.id() }),
            Control::Indexed(tree) => Some(Record::Index { tree: tree.id() }),
            _ => None,
        }));
        records.extend(controls.iter().filter_map(|control| match control {
            Control::Dropped(spec, _) => Some(Record::Drop { tree: spec.id }),
            _ => None,
        }));
        self.log.append(&records, tally.seq, end)?;
        let leaves = tally.leaves - self.written.leaves;
        let log_bytes = self.log.bytes_written();
        self.written = tally;
        if end == GroupEnd::Point {
            let position = self.log.position();
            self.point = FlushPoint { tally, position, log_bytes: self.found_bytes + log_bytes };
        }
        self.source.written(&Group {
            tally,
            leaves,
            log_bytes,
            stretches: &stretches,
            views: &views,
        });
        drop(views);
        self.behind.add(News { stretches, controls });
        if end == GroupEnd::Point || sync::defect("a spill is reported with the point before it") {
            self.news.add(std::mem::take(&mut self.behind));
        }
        Ok(())
    }
}

/// The sizes of the trees after `stretches`.
fn sizes_after<'a>(stretches: impl Iterator<Item = &'a Stretch>) -> Vec<TreeFlush> {
    let mut sizes = std::collections::BTreeMap::new();
    for Stretch { tree, to, .. } in stretches {
        sizes.insert(tree.id(), (tree, *to));
    }
    let flush = |(tree, size): (&Arc<Tree>, u64)| TreeFlush {
        tree: tree.name().clone(),
        size: TreeSize(size),
    };
    sizes.into_values().map(flush).collect()
}

/// Poisons the store when the flusher panics. A panic is a defect of this crate, and no thread may then wait
/// forever.
struct PoisonOnPanic(Arc<dyn LogSource>);

impl Drop for PoisonOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // This fails only in a forked child, where there is nothing to poison.
            let _ = self.0.poison(Error::ThreadPanicked { thread: "flusher" });
        }
    }
}
