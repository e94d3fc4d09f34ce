//! Inserting: assigns indexes and sequence numbers, and slows down inserts that come too fast.
//!
//! # Invariants
//!
//! - Indexes are given in the order of calls: index, copy and publication happen under one lock. A large batch
//!   is copied without the lock. Until it is published every other insert waits, and nothing else does: its
//!   thread has the one writer of the tree, and waits for no other thread meanwhile.
//! - Under [`FlushPolicy::Manual`] the flusher and automatic checkpoints reach the last point that a caller
//!   named, and no further. A point is named under the lock under which inserts happen, so it lies between
//!   two of them.
//! - The hash function is foreign code, and its threads may be busy elsewhere. Nodes are hashed without the
//!   lock, when the batch has been inserted: no insert waits for them, and a panic there takes nothing back.
//! - What was inserted before a large batch is flushed apart from it, if it was not cut yet.
//! - Leaves that wait for the log behind a large batch count against the limit without it. So that batch holds
//!   up nothing but the next large one.
//! - Once ended, nothing is inserted any more, and every insert that waits for room fails.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use super::counted::Copied;
use super::limits::{Held, LONGEST_PACE, Limits, Pressure, pace};
use super::log::Cut;
use super::shared::{Engine, Job};
use super::tree::BATCH_FROM;
use crate::column::LeafWriter;
use crate::config::FlushPolicy;
use crate::durability::DurabilityToken;
use crate::error::Limit;
use crate::error::{Error, Result};
use crate::ids::Seq;
use crate::merkle::Hash;
use crate::report::CheckpointReason;
use crate::report::Event;
use crate::sync;
use crate::sync::{Instant, MutexGuard};

/// What the insertion lock guards.
#[derive(Debug)]
pub(crate) struct Ingest {
    /// By tree. That of a large batch which is being copied is with the thread that does so.
    writers: Vec<Option<LeafWriter>>,
    /// By tree: how many leaves were inserted.
    sizes: Vec<u64>,
    /// Whether a large batch is being copied.
    copying: bool,
    seq: Seq,
    /// What the flusher has cut.
    cut: Seq,
    /// The last point that the flusher has begun to make durable.
    taken: Seq,
    /// Points before large batches that it has not, oldest first.
    early: VecDeque<Cut>,
    /// The last point that a caller named; `None` where every insert ends at a point.
    named: Option<Cut>,
    /// What the log has, durable or not.
    written: Seq,
    /// The end of the last large batch.
    large_end: Seq,
    /// What the last checkpoint holds.
    checkpointed: Seq,
    copied: Copied,
    /// Parts that merging could make fewer.
    parts: u64,
    limits: Limits,
    /// From this sequence number on an insert has to look closer. Follows from the limits and from
    /// what is held.
    gate: u64,
    /// Bytes of nodes that came while slowed down and that no insert has waited for yet.
    debt: u64,
    /// When what came while slowed down should have been here at the earliest.
    due: Option<Instant>,
    /// Bytes per second that the last checkpoint took out of memory.
    drain: u64,
    /// Whether the flusher was notified that there is something new since the last cut.
    told: bool,
    /// Whether it was notified to hurry since the last cut.
    hurried: bool,
    waiting: usize,
    ended: Option<Error>,
}

/// Leaves that are flushed before their interval is over, so that the disk is not left idle and then
/// given everything at once: 8 MiB.
const HURRY_LEAVES: u64 = (8 << 20) / size_of::<Hash>() as u64;

impl Ingest {
    /// With `seq` leaves in the log and `checkpointed` of them in a checkpoint.
    pub(crate) fn new(
        writers: Vec<LeafWriter>,
        seq: Seq,
        checkpointed: Seq,
        limits: Limits,
        flush: FlushPolicy,
    ) -> Self {
        let sizes: Vec<u64> = writers.iter().map(LeafWriter::len).collect();
        let named = match flush {
            FlushPolicy::Manual => Some(Cut { seq, sizes: sizes.clone() }),
            FlushPolicy::Interval(_) => None,
        };
        let mut ingest = Self {
            writers: writers.into_iter().map(Some).collect(),
            sizes,
            copying: false,
            seq,
            cut: seq,
            taken: seq,
            early: VecDeque::new(),
            named,
            written: seq,
            large_end: seq,
            checkpointed,
            copied: Copied::default(),
            parts: 0,
            limits,
            gate: 0,
            debt: 0,
            due: None,
            drain: FIRST_DRAIN,
            told: false,
            hurried: false,
            waiting: 0,
            ended: None,
        };
        ingest.set_gate();
        ingest
    }

    /// What is held, as an insert of `count` leaves sees it.
    fn held(&self, count: usize) -> Held {
        let (seq, checkpointed) = (self.seq.0, self.checkpointed.0);
        let large_end = if count < LARGE_FROM { self.large_end } else { Seq(0) };
        let written = self.written.max(large_end).0;
        let copied = self.copied.bytes();
        let relief = self.named.as_ref().is_none_or(|named| named.seq > self.checkpointed);
        Held { seq, written, checkpointed, copied, parts: self.parts, relief }
    }

    fn set_gate(&mut self) {
        self.gate = if self.copying { 0 } else { self.limits.gate(&self.held(1)) };
    }

    /// Everything that was inserted.
    fn all(&self) -> Cut {
        Cut { seq: self.seq, sizes: self.sizes.clone() }
    }

    /// Counts `count` leaves that were published in a tree.
    fn count(&mut self, tree: usize, count: u64) {
        self.sizes[tree] += count;
        self.seq = Seq(self.seq.0 + count);
    }

    /// Takes a tree's writer out for a large batch. Every insert waits from now on.
    fn begin_batch(&mut self, tree: usize) -> Option<LeafWriter> {
        let writer = self.writers[tree].take()?;
        self.copying = true;
        self.set_gate();
        let point = self.point();
        let known = self.early.back().map_or(self.taken, |early| early.seq);
        if point.seq > known {
            self.early.push_back(point);
        }
        Some(writer)
    }

    /// Takes the writer back.
    fn end_batch(&mut self, tree: usize, writer: LeafWriter) {
        self.writers[tree] = Some(writer);
        self.copying = false;
        self.set_gate();
    }

    pub(crate) fn seq(&self) -> Seq {
        self.seq
    }

    /// What the flusher is to make durable, and whether there is more: everything up to the last point, but
    /// what was inserted before a large batch without that batch.
    pub(crate) fn cut(&mut self) -> (Cut, bool) {
        let early = self.early.pop_front();
        let more = early.is_some();
        let cut = early.unwrap_or_else(|| self.point());
        self.taken = cut.seq;
        self.cut = self.cut.max(cut.seq);
        if !more {
            self.told = false;
            self.hurried = false;
        }
        (cut, more)
    }

    /// The last point, and everything there is, for the flusher to hand to the operating system. `None` if
    /// too little has come since the last time to make that necessary.
    pub(super) fn spill_cut(&mut self, least: u64) -> Option<(Cut, Cut)> {
        if self.unwritten_bytes() < least {
            return None;
        }
        self.cut = self.seq;
        self.hurried = false;
        Some((self.point(), self.all()))
    }

    /// The last point.
    pub(super) fn point(&self) -> Cut {
        self.named.clone().unwrap_or_else(|| self.all())
    }

    /// Makes a point of everything inserted so far, for a caller that requests it to be durable.
    pub(super) fn name_point(&mut self) -> Seq {
        if self.named.as_ref().is_some_and(|named| named.seq < self.seq) {
            self.named = Some(self.all());
            self.set_gate();
        }
        self.seq
    }

    /// Notes what the log has; returns whether an insert waits for that.
    pub(crate) fn written(&mut self, seq: Seq) -> bool {
        self.written = seq;
        self.set_gate();
        self.waiting > 0
    }

    /// Notes what a checkpoint holds and how many bytes per second it took out of memory, if that was
    /// measured; returns whether an insert waits for that.
    fn checkpointed(&mut self, seq: Seq, drain: Option<u64>) -> bool {
        self.checkpointed = seq;
        self.copied.reset();
        self.drain = drain.unwrap_or(self.drain);
        self.set_gate();
        self.waiting > 0
    }

    /// Notes how many parts there are that merging could make fewer; returns whether an insert waits for
    /// that.
    fn parts(&mut self, parts: u64) -> bool {
        let fewer = parts < std::mem::replace(&mut self.parts, parts);
        self.set_gate();
        fewer && self.waiting > 0
    }

    /// How long the inserts that have come since the last call of this are to wait.
    fn pay(&mut self, share: f64) -> Duration {
        let time = pace(std::mem::take(&mut self.debt), self.drain, share);
        let now = Instant::now();
        let (ahead, late) = self.due.map_or((Duration::ZERO, Duration::ZERO), |due| {
            (due.saturating_duration_since(now), now.saturating_duration_since(due))
        });
        // Inserting takes time too, which counts; time without inserts does not. Many threads share
        // one pace, and still none of them waits longer at a time.
        let wait = (ahead + time).saturating_sub(late.min(time)).min(LONGEST_PACE);
        self.due = now.checked_add(wait);
        wait
    }

    /// Where a checkpoint counts the bytes of nodes that it has written.
    pub(crate) fn copied(&self) -> Copied {
        self.copied.clone()
    }

    /// Bytes of nodes that no checkpoint holds.
    pub(crate) fn uncheckpointed_bytes(&self) -> u64 {
        self.limits.node_bytes(self.seq.0.saturating_sub(self.checkpointed.0))
    }

    /// Whether the checkpoint under way does not keep up with inserts.
    pub(crate) fn is_behind(&self) -> bool {
        self.limits.is_behind(&self.held(1))
    }

    /// Whether a checkpoint would relieve inserts.
    pub(crate) fn wants_checkpoint(&self) -> bool {
        self.limits.wants_checkpoint(&self.held(1))
    }

    pub(crate) fn end(&mut self, error: Error) {
        self.ended.get_or_insert(error);
    }

    pub(crate) fn check(&self) -> Result<()> {
        self.ended.clone().map_or(Ok(()), Err)
    }

    /// Bytes of leaves that the log does not have yet.
    pub(crate) fn unwritten_bytes(&self) -> u64 {
        (self.seq.0 - self.written.0) * size_of::<Hash>() as u64
    }
}

/// Bytes per second that a checkpoint is taken to write before there was one.
const FIRST_DRAIN: u64 = 256 << 20;
/// Bytes of nodes from which on the time of a checkpoint shows how fast the disk is.
const TELLING_BYTES: u64 = 16 << 20;
/// Bytes after which an insert that is slowed down sleeps: sleeping is not exact.
const PACE_BYTES: u64 = 64 << 10;

/// How leaves come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Intake {
    /// Waits for room. When it is durable is left to the flush policy and to other callers.
    Insert,
    /// As `Insert`, but is refused where it would have to wait.
    Try,
    /// As `Insert`, and makes a point of its end. The caller requests the flush.
    Durable,
}

/// Batches of so many leaves are copied without the lock: 1 MiB.
const LARGE_FROM: usize = if cfg!(duramen_loom) { 5 } else { (1 << 20) / size_of::<Hash>() };

/// A large batch that is being copied. It gives the tree's writer back however it ends.
struct Batch<'a> {
    engine: &'a Engine,
    tree: usize,
    writer: Option<LeafWriter>,
}

impl<'a> Batch<'a> {
    /// Publishes the `count` leaves that were copied, unless the store has ended meanwhile.
    fn publish(mut self, count: u64) -> Result<MutexGuard<'a, Ingest>> {
        let mut ingest = self.engine.ingest.lock();
        let open = ingest.check();
        if let Some(mut writer) = self.writer.take() {
            if open.is_ok() {
                writer.publish(writer.len() + count);
            }
            self.give_back(&mut ingest, writer);
        }
        open.map(|()| ingest)
    }

    fn give_back(&self, ingest: &mut Ingest, writer: LeafWriter) {
        ingest.end_batch(self.tree, writer);
        if ingest.waiting > 0 {
            self.engine.room.notify_all();
        }
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        if let Some(writer) = self.writer.take() {
            self.give_back(&mut self.engine.ingest.lock(), writer);
        }
    }
}

/// How an insert notifies the flusher.
enum Signal {
    Nothing,
    Dirty,
    Hurry(Seq),
    Spill,
}

impl Engine {
    /// Appends `leaves` to a tree: visible when this returns, durable once the token resolves. They are
    /// one batch: after a crash all of them are there or none.
    pub(crate) fn insert(
        &self,
        tree: usize,
        leaves: &[Hash],
        how: Intake,
    ) -> Result<(Range<u64>, DurabilityToken)> {
        self.process.check()?;
        let hasher = &self.trees[tree].hasher;
        if let Some(position) = hasher.first_refused(leaves) {
            return Err(Error::LeafRefused { position, hasher: hasher.id().to_string() });
        }
        let count = leaves.len() as u64;
        let large = leaves.len() >= LARGE_FROM;
        let mut ingest = self.ingest.lock();
        ingest.check()?;
        if ingest.seq.0 >= ingest.gate || large {
            ingest = match how {
                Intake::Insert | Intake::Durable => self.make_way(ingest, leaves.len())?,
                Intake::Try => self.try_make_way(ingest, leaves.len())?,
            };
        }
        let first = ingest.sizes[tree];
        if leaves.is_empty() {
            return Ok((first..first, self.token(Seq(0))));
        }
        if large {
            ingest = self.append_unlocked(ingest, tree, leaves)?;
        } else if let Some(writer) = &mut ingest.writers[tree] {
            writer.append(leaves);
        }
        ingest.count(tree, count);
        let seq = ingest.seq;
        if large {
            ingest.large_end = seq;
            ingest.set_gate();
        }
        let signal = match how {
            Intake::Insert | Intake::Try => self.signal(&mut ingest),
            Intake::Durable => {
                ingest.name_point();
                Signal::Nothing
            }
        };
        drop(ingest);
        match signal {
            Signal::Nothing => {}
            Signal::Dirty => self.control.dirty(),
            Signal::Hurry(seq) => self.control.request(seq),
            Signal::Spill => self.control.spill(),
        }
        if leaves.len() >= BATCH_FROM && !sync::returns(|| self.trees[tree].hash_if_free()) {
            // Whoever needs the nodes next has them hashed again, and gets the panic.
            tracing::error!("the hash function panicked");
        }
        Ok((first..first + count, self.token(seq)))
    }

    /// Copies and publishes a large batch. The lock is released while it is copied.
    fn append_unlocked<'a>(
        &'a self,
        mut ingest: MutexGuard<'a, Ingest>,
        tree: usize,
        leaves: &[Hash],
    ) -> Result<MutexGuard<'a, Ingest>> {
        let Some(writer) = ingest.begin_batch(tree) else { return Ok(ingest) };
        drop(ingest);
        let mut batch = Batch { engine: self, tree, writer: Some(writer) };
        if let Some(writer) = &mut batch.writer {
            writer.write(leaves);
        }
        batch.publish(leaves.len() as u64)
    }

    /// Returns when everything inserted before the call is durable.
    pub(crate) fn flush(&self) -> Result<()> {
        self.process.check()?;
        let seq = self.name_point("flush")?;
        self.flush_to(seq, "flush")
    }

    /// Asks for everything inserted before the call to be made durable now. The token says when it is.
    pub(crate) fn flush_soon(&self) -> Result<DurabilityToken> {
        self.process.check()?;
        let mut ingest = self.ingest.lock();
        ingest.check()?;
        let seq = ingest.name_point();
        drop(ingest);
        self.control.request(seq);
        Ok(self.token(seq))
    }

    /// Makes a point of everything inserted so far, for a caller of `call` that will wait until it is durable.
    fn name_point(&self, call: &'static str) -> Result<Seq> {
        let mut ingest = self.ingest.lock();
        ingest.check()?;
        if ingest.seq > self.watermark.durable() {
            self.watermark.refuse_here(call)?;
        }
        Ok(ingest.name_point())
    }

    /// Returns when the last point is durable: under [`FlushPolicy::Manual`] the last one that a caller
    /// named, else everything inserted before the call.
    pub(super) fn flush_point(&self) -> Result<()> {
        self.process.check()?;
        let ingest = self.ingest.lock();
        ingest.check()?;
        let seq = ingest.point().seq;
        drop(ingest);
        self.flush_to(seq, "flush")
    }

    /// Returns when everything up to `seq`, which is a point or lies before one, is durable, for a caller
    /// of `call`.
    pub(crate) fn flush_to(&self, seq: Seq, call: &'static str) -> Result<()> {
        if self.watermark.durable() >= seq {
            return Ok(());
        }
        self.watermark.refuse_here(call)?;
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
                let early = bytes >= self.settings.spill_bytes();
                if early && !std::mem::replace(&mut ingest.hurried, true) {
                    return Signal::Spill;
                }
                Signal::Nothing
            }
        }
    }

    /// Admits an insert that must not wait, or refuses it. Asks for room either way.
    fn try_make_way<'a>(
        &'a self,
        mut ingest: MutexGuard<'a, Ingest>,
        count: usize,
    ) -> Result<MutexGuard<'a, Ingest>> {
        if ingest.copying {
            return Err(Error::WouldBlock { limit: Limit::LargeBatch, retry_in: None });
        }
        match ingest.limits.pressure(&ingest.held(count)) {
            Pressure::Nothing => Ok(ingest),
            Pressure::Full { limit: limit @ Limit::UnnamedBytes, held, allowed } => {
                Err(Error::Backpressure { limit, held, allowed, waited: Duration::ZERO })
            }
            Pressure::Full { limit, .. } => {
                self.ask_for_room(&ingest, limit)?;
                Err(Error::WouldBlock { limit, retry_in: None })
            }
            Pressure::Slow(limit, share) => {
                let now = Instant::now();
                let early = ingest.due.map(|due| due.saturating_duration_since(now));
                if let Some(early) = early.filter(|early| !early.is_zero()) {
                    return Err(Error::WouldBlock { limit, retry_in: Some(early) });
                }
                ingest.debt += ingest.limits.node_bytes(count as u64);
                if ingest.debt >= PACE_BYTES {
                    self.ask_for_room(&ingest, limit)?;
                    // This one is let in; the wait is that of the next one.
                    ingest.pay(share);
                }
                Ok(ingest)
            }
        }
    }

    /// Slows down or waits until `count` leaves may come. Calls listeners without the lock.
    fn make_way<'a>(
        &'a self,
        mut ingest: MutexGuard<'a, Ingest>,
        count: usize,
    ) -> Result<MutexGuard<'a, Ingest>> {
        let mut stall = None;
        let mut paid = false;
        loop {
            while ingest.copying {
                ingest.waiting += 1;
                ingest = self.room.wait(ingest);
                ingest.waiting -= 1;
                ingest.check()?;
            }
            let pressure = ingest.limits.pressure(&ingest.held(count));
            match (pressure, stall) {
                (Pressure::Full { limit, held, allowed }, None) => {
                    stall = Some((limit, Instant::now()));
                    let begun = || Event::BackpressureBegun { limit, held, allowed };
                    ingest = self.tell_unlocked(ingest, begun)?;
                }
                (Pressure::Full { limit, held, allowed }, Some((_, since))) => {
                    let waited = self.wait_for_room(ingest, limit, held, allowed, since);
                    if let Err(error) = &waited {
                        let waited = since.elapsed();
                        self.counters.stalled(waited, matches!(error, Error::Backpressure { .. }));
                        let ended = || Event::BackpressureEnded { limit, waited, admitted: false };
                        self.listeners.tell(ended);
                    }
                    ingest = waited?;
                }
                (_, Some((limit, since))) => {
                    let waited = since.elapsed();
                    self.counters.stalled(waited, false);
                    stall = None;
                    let ended = || Event::BackpressureEnded { limit, waited, admitted: true };
                    ingest = self.tell_unlocked(ingest, ended)?;
                }
                (Pressure::Slow(limit, share), None) if !paid => {
                    ingest.debt += ingest.limits.node_bytes(count as u64);
                    if ingest.debt < PACE_BYTES {
                        return Ok(ingest);
                    }
                    self.ask_for_room(&ingest, limit)?;
                    // The store's own threads do not wait for the pace that they set: other threads do.
                    if self.may_wait_for_all("insert").is_err() {
                        return Ok(ingest);
                    }
                    let wait = ingest.pay(share);
                    ingest = self.slow_down(ingest, wait)?;
                    // Others may have filled up what there was room for.
                    paid = true;
                }
                (Pressure::Nothing | Pressure::Slow(..), None) => return Ok(ingest),
            }
        }
    }

    /// Calls the listeners, if there are any, with the lock released meanwhile.
    fn tell_unlocked<'a>(
        &'a self,
        ingest: MutexGuard<'a, Ingest>,
        event: impl FnOnce() -> Event,
    ) -> Result<MutexGuard<'a, Ingest>> {
        if self.listeners.is_empty() {
            return Ok(ingest);
        }
        drop(ingest);
        self.listeners.tell(event);
        // A listener may have forked.
        self.process.check()?;
        let ingest = self.ingest.lock();
        ingest.check()?;
        Ok(ingest)
    }

    /// Fails on a thread that has to run for room to be made: on the flusher, and on a worker where a worker
    /// makes it.
    fn may_wait_for_room(&self, limit: Limit) -> Result<()> {
        self.watermark.refuse_here("insert")?;
        if limit != Limit::UnflushedBytes && self.jobs.are_here() {
            return Err(Error::WouldWaitForItself { call: "insert", thread: "worker" });
        }
        Ok(())
    }

    /// Requests the work that makes room.
    fn ask_for_room(&self, ingest: &Ingest, limit: Limit) -> Result<()> {
        match (limit, self.settings.flush) {
            (Limit::UnflushedBytes, FlushPolicy::Interval(_)) => self.control.request(ingest.seq),
            (Limit::UnflushedBytes, FlushPolicy::Manual) => self.control.spill(),
            (Limit::UncheckpointedBytes, _) => {
                let held = ingest.uncheckpointed_bytes();
                self.request_checkpoint(CheckpointReason::Backpressure)
                    .map_err(|source| Error::CheckpointsFail { held, source })?;
            }
            (Limit::Parts, _) => self.request_job(Job::Compact),
            // Only a flush that is called for makes room, and for a batch its thread alone.
            (Limit::UnnamedBytes | Limit::LargeBatch, _) => {}
        }
        Ok(())
    }

    /// Waits once for a change; fails when that has taken too long.
    fn wait_for_room<'a>(
        &'a self,
        mut ingest: MutexGuard<'a, Ingest>,
        limit: Limit,
        held: u64,
        allowed: u64,
        since: Instant,
    ) -> Result<MutexGuard<'a, Ingest>> {
        self.may_wait_for_room(limit)?;
        self.ask_for_room(&ingest, limit)?;
        if limit == Limit::UnnamedBytes {
            // The caller that could name a point may be the one that would wait here.
            return Err(Error::Backpressure { limit, held, allowed, waited: since.elapsed() });
        }
        ingest.waiting += 1;
        ingest = match self.settings.backpressure_wait {
            None => self.room.wait(ingest),
            Some(longest) => {
                let waited = since.elapsed();
                if waited >= longest {
                    ingest.waiting -= 1;
                    return Err(Error::Backpressure { limit, held, allowed, waited });
                }
                self.room.wait_for(ingest, longest - waited)
            }
        };
        ingest.waiting -= 1;
        ingest.check()?;
        Ok(ingest)
    }

    /// Waits for `time`, or until there is no more pressure.
    fn slow_down<'a>(
        &'a self,
        mut ingest: MutexGuard<'a, Ingest>,
        time: Duration,
    ) -> Result<MutexGuard<'a, Ingest>> {
        let started = Instant::now();
        loop {
            let waited = started.elapsed();
            let slow = matches!(ingest.limits.pressure(&ingest.held(1)), Pressure::Slow(..));
            if waited >= time || !slow {
                self.counters.slowed_down(waited);
                return Ok(ingest);
            }
            ingest.waiting += 1;
            ingest = self.room.wait_for(ingest, time - waited);
            ingest.waiting -= 1;
            ingest.check()?;
        }
    }

    /// Called by a checkpoint that holds everything up to `seq`, and that took `leaves` leaves out of memory
    /// in the time `took`.
    pub(crate) fn made_room(&self, seq: Seq, leaves: u64, took: Duration) {
        let mut ingest = self.ingest.lock();
        let bytes = u128::from(ingest.limits.node_bytes(leaves));
        let drain = bytes * 1_000_000_000 / took.as_nanos().max(1);
        let drain = u64::try_from(drain).unwrap_or(u64::MAX);
        // The time of a small one is that of its syncs.
        let telling = bytes >= u128::from(TELLING_BYTES);
        let waiting = ingest.checkpointed(seq, telling.then_some(drain));
        drop(ingest);
        if waiting {
            self.room.notify_all();
        }
    }

    /// Notes how many parts there are that merging could make fewer.
    pub(crate) fn limit_parts(&self, parts: u64) {
        let waiting = self.ingest.lock().parts(parts);
        if waiting {
            self.room.notify_all();
        }
    }

    /// Wakes the inserts that wait for room: what they wait for may never come.
    pub(crate) fn look_for_room_again(&self) {
        let waiting = if sync::defect("waiting inserts are told without their lock") {
            true
        } else {
            self.ingest.lock().waiting > 0
        };
        if waiting {
            self.room.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::config::{CheckpointPolicy, Config};
    use crate::merkle::{Arity, Blake3};
    use crate::sync::JoinHandle;

    fn open(dir: &tempfile::TempDir) -> (Arc<Engine>, JoinHandle<()>) {
        let config = Config::new(dir.path())
            .flush_policy(FlushPolicy::Interval(Duration::from_millis(1)))
            .checkpoint_policy(CheckpointPolicy::manual());
        crate::engine::open(&config, Arc::new(Blake3), Arity::Four).unwrap()
    }

    fn begin(engine: &Engine) -> Batch<'_> {
        let mut writer = engine.ingest.lock().begin_batch(0).unwrap();
        writer.write(&[[8; 32]; 3]);
        Batch { engine, tree: 0, writer: Some(writer) }
    }

    fn wait_until_one_waits(engine: &Engine) {
        while engine.ingest.lock().waiting == 0 {
            thread::sleep(Duration::from_micros(10));
        }
    }

    const LEAF: &[Hash] = &[[7; 32]];

    #[test]
    fn while_a_large_batch_is_copied_inserts_wait_and_a_flush_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let (engine, flusher) = open(&dir);
        for given_up in [true, false] {
            let (before, _) = engine.insert(0, LEAF, Intake::Insert).unwrap();
            let batch = begin(&engine);
            let refused = engine.insert(0, LEAF, Intake::Try).unwrap_err();
            let large = Limit::LargeBatch;
            assert!(matches!(refused, Error::WouldBlock { limit, .. } if limit == large));
            engine.flush().unwrap();
            thread::scope(|threads| {
                let after = threads.spawn(|| engine.insert(0, LEAF, Intake::Insert).unwrap().0);
                wait_until_one_waits(&engine);
                let count = if given_up {
                    // As by a panic.
                    drop(batch);
                    0
                } else {
                    let mut ingest = batch.publish(3).unwrap();
                    ingest.count(0, 3);
                    3
                };
                let first = before.end + count;
                assert_eq!(after.join().unwrap(), first..first + 1);
            });
        }
        engine.flush().unwrap();
        engine.close(flusher).unwrap();
    }

    #[test]
    fn a_store_that_is_closed_while_a_large_batch_is_copied_has_nothing_of_it() {
        let dir = tempfile::tempdir().unwrap();
        let (engine, flusher) = open(&dir);
        drop(engine.insert(0, LEAF, Intake::Insert).unwrap());
        let batch = begin(&engine);
        thread::scope(|threads| {
            let after = threads.spawn(|| engine.insert(0, LEAF, Intake::Insert));
            wait_until_one_waits(&engine);
            engine.close(flusher).unwrap();
            assert!(matches!(after.join().unwrap(), Err(Error::Closed)));
        });
        assert!(matches!(batch.publish(3), Err(Error::Closed)));
        assert_eq!(engine.trees[0].columns.leaves(), 1);
        drop(engine);
        let (engine, flusher) = open(&dir);
        assert_eq!(engine.trees[0].columns.leaves(), 1);
        engine.close(flusher).unwrap();
    }
}
