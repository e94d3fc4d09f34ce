//! The way in: assigns indexes and sequence numbers, and holds back who comes too fast.
//!
//! # Invariants
//!
//! - Indexes are given in the order of calls: index, copy and publication happen under one lock.
//! - Once ended, nothing is inserted any more, and everyone who waits for room is told.

use std::ops::Range;
use std::sync::Arc;

use super::engine::Engine;
use crate::column::LeafWriter;
use crate::durability::{DurabilityToken, Seq};
use crate::error::{Error, Result};
use crate::flush::{Cut, FlushPolicy};
use crate::merkle::Hash;
use crate::sync::{Instant, MutexGuard};

/// What the insertion lock guards.
#[derive(Debug)]
pub(super) struct Ingest {
    /// By tree.
    writers: Vec<LeafWriter>,
    seq: Seq,
    /// What the flusher has cut.
    cut: Seq,
    /// What the log has, durable or not.
    written: Seq,
    /// Whether the flusher was told that there is something new since the last cut.
    told: bool,
    /// Whether it was told to hurry since the last cut.
    hurried: bool,
    waiting: usize,
    ended: Option<Error>,
}

/// Leaves that are flushed before their interval is over, so that the disk is not left idle and then
/// given everything at once: 8 MiB.
const HURRY_LEAVES: u64 = (8 << 20) / size_of::<Hash>() as u64;

impl Ingest {
    pub(super) fn new(writers: Vec<LeafWriter>, seq: Seq) -> Self {
        Self {
            writers,
            seq,
            cut: seq,
            written: seq,
            told: false,
            hurried: false,
            waiting: 0,
            ended: None,
        }
    }

    pub(super) fn seq(&self) -> Seq {
        self.seq
    }

    pub(super) fn cut(&mut self) -> Cut {
        self.cut = self.seq;
        self.told = false;
        self.hurried = false;
        Cut { seq: self.seq, sizes: self.writers.iter().map(LeafWriter::len).collect() }
    }

    /// Notes what the log has; tells whether somebody waits for that.
    pub(super) fn written(&mut self, seq: Seq) -> bool {
        self.written = seq;
        self.waiting > 0
    }

    pub(super) fn end(&mut self, error: Error) {
        self.ended.get_or_insert(error);
    }

    pub(super) fn check(&self) -> Result<()> {
        self.ended.clone().map_or(Ok(()), Err)
    }

    /// Bytes of leaves that the log does not have yet.
    pub(super) fn unwritten_bytes(&self) -> u64 {
        (self.seq.0 - self.written.0) * size_of::<Hash>() as u64
    }
}

/// What the flusher is told after an insert.
enum Signal {
    Nothing,
    Dirty,
    Hurry(Seq),
    Spill,
}

impl Engine {
    /// Appends `leaves` to a tree: visible when this returns, durable when the token says so. They
    /// are one batch: after a crash all of them are there or none.
    pub(crate) fn insert(
        &self,
        tree: usize,
        leaves: &[Hash],
    ) -> Result<(Range<u64>, DurabilityToken)> {
        let hasher = &self.trees[tree].hasher;
        if let Some(position) = hasher.first_refused(leaves) {
            return Err(Error::LeafRefused { position, hasher: hasher.id().to_string() });
        }
        let mut ingest = self.ingest.lock();
        ingest.check()?;
        if ingest.unwritten_bytes() >= self.settings.max_unflushed_bytes {
            ingest = self.wait_for_room(ingest)?;
        }
        let writer = &mut ingest.writers[tree];
        let first = writer.len();
        if leaves.is_empty() {
            return Ok((first..first, self.token(Seq(0))));
        }
        self.trees[tree].append(writer, leaves);
        let seq = Seq(ingest.seq.0 + leaves.len() as u64);
        ingest.seq = seq;
        let signal = self.signal(&mut ingest);
        drop(ingest);
        match signal {
            Signal::Nothing => {}
            Signal::Dirty => self.control.dirty(),
            Signal::Hurry(seq) => self.control.request(seq),
            Signal::Spill => self.control.spill(),
        }
        Ok((first..first + leaves.len() as u64, self.token(seq)))
    }

    /// Returns when everything inserted before the call is durable.
    pub(crate) fn flush(&self) -> Result<()> {
        let ingest = self.ingest.lock();
        ingest.check()?;
        let seq = ingest.seq;
        drop(ingest);
        self.flush_to(seq)
    }

    /// Returns when everything up to `seq` is durable.
    pub(crate) fn flush_to(&self, seq: Seq) -> Result<()> {
        if self.watermark.durable() >= seq {
            return Ok(());
        }
        self.control.request(seq);
        self.watermark.wait(seq)
    }

    fn token(&self, seq: Seq) -> DurabilityToken {
        DurabilityToken::new(seq, Arc::clone(&self.watermark))
    }

    fn signal(&self, ingest: &mut Ingest) -> Signal {
        let uncut = ingest.seq.0 - ingest.cut.0;
        match self.settings.flush {
            FlushPolicy::Interval(_) if uncut >= HURRY_LEAVES => {
                if std::mem::replace(&mut ingest.hurried, true) {
                    return Signal::Nothing;
                }
                Signal::Hurry(ingest.seq)
            }
            FlushPolicy::Interval(_) => {
                if std::mem::replace(&mut ingest.told, true) {
                    return Signal::Nothing;
                }
                Signal::Dirty
            }
            FlushPolicy::Manual => {
                let bytes = uncut * size_of::<Hash>() as u64;
                let early = bytes >= self.settings.max_unflushed_bytes / 2;
                if early && !std::mem::replace(&mut ingest.hurried, true) {
                    return Signal::Spill;
                }
                Signal::Nothing
            }
        }
    }

    /// Waits until the log has taken enough that more may come.
    fn wait_for_room<'a>(
        &'a self,
        mut ingest: MutexGuard<'a, Ingest>,
    ) -> Result<MutexGuard<'a, Ingest>> {
        let started = Instant::now();
        loop {
            let unflushed = ingest.unwritten_bytes();
            if unflushed < self.settings.max_unflushed_bytes {
                self.counters.stalled(started.elapsed());
                return Ok(ingest);
            }
            match self.settings.flush {
                FlushPolicy::Interval(_) => self.control.request(ingest.seq),
                FlushPolicy::Manual => self.control.spill(),
            }
            ingest.waiting += 1;
            ingest = match self.settings.backpressure_wait {
                None => self.room.wait(ingest),
                Some(limit) => {
                    let waited = started.elapsed();
                    if waited >= limit {
                        ingest.waiting -= 1;
                        self.counters.stalled(waited);
                        return Err(Error::Backpressure { unflushed, waited });
                    }
                    self.room.wait_for(ingest, limit - waited)
                }
            };
            ingest.waiting -= 1;
            ingest.check()?;
        }
    }
}
