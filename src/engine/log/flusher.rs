//! The flusher: the one thread that writes the log.
//!
//! # Invariants
//!
//! - A group ends at a point, over all trees, or is provisional. Points are named, and groups are cut, under the
//!   lock under which inserts happen, and a large group is written as provisional ones that the last one has
//!   end at its point. So a batch counts whole or not at all, and no group goes beyond a point that is known
//!   when it is cut.
//! - What provisional groups hold is claimed only by a group that ends at a point, and that one is synced
//!   before it is claimed.
//! - The watermark rises after the fsync, and only here.
//! - The first error ends the thread: the store is poisoned and the log is not touched again.
//! - After each call of a listener or a waker it checks whether that returned in a forked child. There it
//!   ends, without a lock, a file or another such call.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::control::Work;
use crate::engine::{Engine, FlushPoint};
use crate::error::{Error, Result};
use crate::fs::defect;
use crate::fs::defect::Defect;
use crate::ids::Seq;
use crate::merkle::{Hash, TreeSize};
use crate::report::Event;
use crate::wal::{GroupEnd, LogWriter, Record};

/// The flusher's own state.
pub(crate) struct Flusher {
    engine: Arc<Engine>,
    log: LogWriter,
    /// What the last group reached.
    written: Seq,
    /// By tree.
    sizes: Vec<u64>,
    /// What the last group reached that ended at a point.
    point: FlushPoint,
    /// Bytes of log that were found when the store was opened.
    found_bytes: u64,
    /// Bytes of log that were reported.
    told_bytes: u64,
}

impl Flusher {
    pub(crate) fn new(engine: Arc<Engine>, log: LogWriter, point: FlushPoint) -> Self {
        let (written, sizes) = (point.seq, point.sizes.clone());
        let found_bytes = point.log_bytes;
        Self { engine, log, written, sizes, point, found_bytes, told_bytes: 0 }
    }

    /// Runs until it is stopped or the log fails. Either way every waiter has its answer when this
    /// returns.
    pub(crate) fn run(mut self) {
        let _guard = PoisonOnPanic(Arc::clone(&self.engine));
        self.engine.watermark.raise_from_here();
        let done = self.work();
        if !self.engine.process.is_current() {
            // A listener or a waker has forked and come back in the child: the store is not ours, nor
            // is it known what closing its files takes.
            std::mem::forget(self);
            return;
        }
        if let Err(error) = done {
            tracing::error!(%error, "the log failed; the store is poisoned");
            self.engine.poison(error);
        }
    }

    fn work(&mut self) -> Result<()> {
        loop {
            self.engine.process.check()?;
            let durable = self.engine.watermark.durable();
            match self.engine.control.next(durable, self.engine.flush_interval()) {
                Work::Flush => self.flush()?,
                Work::Spill => self.spill()?,
                Work::Tick => self.engine.checkpoint_if_due(),
                Work::Stop => {
                    self.flush()?;
                    return self.log.seal();
                }
            }
        }
    }

    /// Writes everything that is new up to the last point and makes it durable: what came before a large
    /// batch first.
    fn flush(&mut self) -> Result<()> {
        let mut more = true;
        while more {
            let cut;
            (cut, more) = self.engine.cut();
            self.flush_to(cut)?;
        }
        Ok(())
    }

    fn flush_to(&mut self, cut: Cut) -> Result<()> {
        let durable = self.engine.watermark.durable();
        if cut.seq == durable {
            return Ok(());
        }
        let leaves = cut.seq.0 - durable.0;
        let listeners = &self.engine.listeners;
        listeners.tell(|| Event::FlushBegun { leaves });
        self.engine.process.check()?;
        match self.write_and_sync(cut) {
            Ok((write, sync)) => {
                self.engine.process.check()?;
                let bytes = self.log.bytes_written() - std::mem::take(&mut self.told_bytes);
                self.told_bytes = self.log.bytes_written();
                let size = TreeSize(self.point.sizes.first().copied().unwrap_or(0));
                let durable = self.point.seq;
                let completed =
                    || Event::FlushCompleted { leaves, size, durable, bytes, write, sync };
                self.engine.listeners.tell(completed);
            }
            Err(error) => {
                self.engine.poison(error.clone());
                self.engine.process.check()?;
                let failed = || Event::FlushFailed { leaves, error: error.clone() };
                self.engine.listeners.tell(failed);
                return Err(error);
            }
        }
        self.engine.process.check()?;
        if self.log.wants_next_segment() {
            self.engine.request_segment();
        }
        self.engine.checkpoint_if_due();
        Ok(())
    }

    /// Writes what was cut, if the log does not have it yet, and syncs the log. Returns how long each
    /// took.
    fn write_and_sync(&mut self, cut: Cut) -> Result<(Duration, Duration)> {
        let started = Instant::now();
        self.write_point(cut)?;
        let written = started.elapsed();
        if defect::has(&*self.engine.fs, Defect::AcknowledgeBeforeSync) {
            self.engine.flushed(self.point.clone());
        }
        self.log.sync()?;
        let synced = started.elapsed() - written;
        self.engine.counters.synced(synced);
        self.engine.flushed(self.point.clone());
        Ok((written, synced))
    }

    /// Writes everything that is new, if inserts need that: up to the last point as one that ends there,
    /// the rest as a provisional group. No sync.
    fn spill(&mut self) -> Result<()> {
        let Some((point, all)) = self.engine.spill_cut() else { return Ok(()) };
        // What was written before is claimed by a flush, not here.
        if point.seq > self.written {
            self.write_point(point)?;
        }
        if all.seq > self.written {
            self.write(all, GroupEnd::Provisional)?;
        }
        Ok(())
    }

    /// Has the log reach the point `cut`, unless it does already.
    fn write_point(&mut self, cut: Cut) -> Result<()> {
        if cut.seq <= self.point.seq {
            return Ok(());
        }
        self.write(cut, GroupEnd::Point)
    }

    /// Writes everything from the last group to `cut`: one group that is `end`, and before it provisional ones
    /// as long as there is more than one of them should hold.
    fn write(&mut self, cut: Cut, end: GroupEnd) -> Result<()> {
        let mut most = self.piece_leaves();
        while cut.seq.0 - self.written.0 > most {
            let piece = self.piece(&cut, most);
            self.write_group(piece, GroupEnd::Provisional)?;
            most = self.piece_leaves();
        }
        self.write_group(cut, end)
    }

    /// How many leaves one group should hold at most: they should fit the segment where the log stands, if
    /// that is not too full.
    fn piece_leaves(&self) -> u64 {
        let most = self.engine.settings.group_bytes;
        let room = self.log.room();
        let bytes = if room >= most / 8 { room.min(most) } else { most };
        (bytes / size_of::<Hash>() as u64).max(1)
    }

    /// The first `count` leaves of those that the log does not have, tree by tree.
    fn piece(&self, cut: &Cut, count: u64) -> Cut {
        let mut left = count;
        let mut sizes = self.sizes.clone();
        for (size, to) in sizes.iter_mut().zip(&cut.sizes) {
            let now = (to - *size).min(left);
            *size += now;
            left -= now;
        }
        Cut { seq: Seq(self.written.0 + count - left), sizes }
    }

    /// Writes one group with everything from the last group to `cut`; with nothing in it if that is where
    /// the last one ended.
    fn write_group(&mut self, cut: Cut, end: GroupEnd) -> Result<()> {
        // The views keep the chunks alive while the log is written straight out of them.
        let views: Vec<_> = self.engine.trees.iter().map(|tree| tree.columns.view()).collect();
        let mut records = Vec::new();
        for (number, (tree, view)) in self.engine.trees.iter().zip(&views).enumerate() {
            let (from, to) = (self.sizes[number], cut.sizes[number]);
            if from < to {
                let runs = view.leaf_runs(from, to)?;
                records.push(Record { tree: tree.id, first: from, runs });
            }
        }
        self.log.append(&records, cut.seq, end)?;
        let leaves = cut.seq.0 - self.written.0;
        self.engine.counters.written(leaves, self.log.bytes_written());
        let Cut { seq, sizes } = cut;
        self.written = seq;
        self.sizes.clone_from(&sizes);
        if end == GroupEnd::Point {
            let position = self.log.position();
            let log_bytes = self.found_bytes + self.log.bytes_written();
            self.point = FlushPoint { seq, sizes, position, log_bytes };
        }
        self.engine.written(seq);
        Ok(())
    }
}

/// What the leaves were when a group was cut.
#[derive(Clone, Debug)]
pub(crate) struct Cut {
    pub(crate) seq: Seq,
    /// By tree.
    pub(crate) sizes: Vec<u64>,
}

/// Poisons the store when the thread unwinds: a defect of this crate, on which no thread may wait
/// forever.
struct PoisonOnPanic(Arc<Engine>);

impl Drop for PoisonOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() && self.0.process.is_current() {
            self.0.poison(Error::ThreadPanicked { thread: "flusher" });
        }
    }
}
