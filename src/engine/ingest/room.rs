//! Backpressure: slows down inserts that come too fast, makes them wait, or refuses them.
//!
//! # Invariants
//!
//! - A waiting insert has requested the work that makes room, and requests it again after each change. If no worker can be
//!   started for it, the insert does the work itself.
//! - A thread of the store never waits for itself: its insert is refused or admitted.
//! - Listeners are called without the lock. The caller checks everything again after such a call.

use std::time::Duration;

use super::state::Ingest;
use crate::config::FlushPolicy;
use crate::engine::background::{Job, RETRY_START};
use crate::engine::limits::Pressure;
use crate::engine::shared::Engine;
use crate::error::Limit;
use crate::error::{Error, Result};
use crate::merkle::TreeName;
use crate::report::CheckpointReason;
use crate::report::Event;
use crate::sync::{Instant, MutexGuard};

/// Inserts that are slowed down sleep once for so many bytes, because short sleeps are inexact.
const PACE_BYTES: u64 = 64 << 10;

/// The room that an insert needs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Demand {
    /// Bytes of its leaves and their nodes.
    pub(super) bytes: u64,
    /// Whether the insert is a large batch.
    pub(super) large: bool,
}

/// The names of the trees of an insert. Called for events only.
pub(super) type Trees<'a> = &'a dyn Fn() -> Vec<TreeName>;

impl Engine {
    /// Admits an insert that must not wait, or refuses it. Requests room if it runs short.
    pub(super) fn try_admit<'a>(
        &'a self,
        mut ingest: MutexGuard<'a, Ingest>,
        demand: Demand,
    ) -> Result<MutexGuard<'a, Ingest>> {
        if ingest.copying {
            return Err(Error::WouldBlock { limit: Limit::LargeBatch, retry_in: None });
        }
        match ingest.limits.pressure(&ingest.held(demand.large)) {
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
                ingest.debt += demand.bytes;
                if ingest.debt >= PACE_BYTES {
                    self.ask_for_room(&ingest, limit)?;
                    // This insert is admitted; the next one has to wait.
                    ingest.pay(share);
                }
                Ok(ingest)
            }
        }
    }

    /// Slows down or waits until there is room for `demand`, for an insert into `trees`. Calls listeners without
    /// the lock.
    pub(super) fn wait_for_admission<'a>(
        &'a self,
        mut ingest: MutexGuard<'a, Ingest>,
        demand: Demand,
        trees: Trees<'_>,
    ) -> Result<MutexGuard<'a, Ingest>> {
        let mut stall = None;
        let mut paid = false;
        loop {
            while ingest.copying {
                ingest = self.inflow.wait(ingest, None)?;
            }
            let pressure = ingest.limits.pressure(&ingest.held(demand.large));
            match (pressure, stall) {
                (Pressure::Full { limit, held, allowed }, None) => {
                    stall = Some((limit, Instant::now()));
                    let begun =
                        || Event::BackpressureBegun { trees: trees(), limit, held, allowed };
                    ingest = self.tell_unlocked(ingest, begun)?;
                }
                (Pressure::Full { limit, held, allowed }, Some((_, since))) => {
                    let waited = self.wait_for_room(ingest, limit, held, allowed, since);
                    if let Err(error) = &waited {
                        let waited = since.elapsed();
                        self.counters.stalled(waited, matches!(error, Error::Backpressure { .. }));
                        self.gate.tell(|| ended(trees(), limit, waited, false))?;
                    }
                    ingest = waited?;
                }
                (_, Some((limit, since))) => {
                    let waited = since.elapsed();
                    self.counters.stalled(waited, false);
                    stall = None;
                    let ended = || ended(trees(), limit, waited, true);
                    ingest = self.tell_unlocked(ingest, ended)?;
                }
                (Pressure::Slow(limit, share), None) if !paid => {
                    ingest.debt += demand.bytes;
                    if ingest.debt < PACE_BYTES {
                        return Ok(ingest);
                    }
                    self.ask_for_room(&ingest, limit)?;
                    // The pace follows from the work of the store's own threads, so they do not wait for it.
                    if self.check_may_wait_for_all("insert").is_err() {
                        return Ok(ingest);
                    }
                    let wait = ingest.pay(share);
                    ingest = self.slow_down(ingest, wait)?;
                    // Other inserts may have taken the room meanwhile.
                    paid = true;
                }
                (Pressure::Nothing | Pressure::Slow(..), None) => return Ok(ingest),
            }
        }
    }

    /// Calls the listeners, if there are any. Releases the lock meanwhile.
    fn tell_unlocked<'a>(
        &'a self,
        ingest: MutexGuard<'a, Ingest>,
        event: impl FnOnce() -> Event,
    ) -> Result<MutexGuard<'a, Ingest>> {
        if self.gate.is_empty() {
            return Ok(ingest);
        }
        drop(ingest);
        self.gate.tell(event)?;
        let ingest = self.inflow.lock();
        ingest.check_accepts()?;
        Ok(ingest)
    }

    /// Fails on a thread that has to run for room to be made: on the flusher, and on a worker where a worker
    /// makes the room.
    fn check_may_wait_for_room(&self, limit: Limit) -> Result<()> {
        self.log.refuse_on_flusher("insert")?;
        if limit != Limit::UnflushedBytes && self.background.is_here() {
            return Err(Error::WouldWaitForItself { call: "insert", thread: "worker" });
        }
        Ok(())
    }

    /// Requests the work that makes room.
    fn ask_for_room(&self, ingest: &Ingest, limit: Limit) -> Result<()> {
        match (limit, self.settings.flush) {
            (Limit::UnflushedBytes, FlushPolicy::Interval { .. }) => {
                self.log.request(ingest.accepted().seq);
            }
            (Limit::UnflushedBytes, FlushPolicy::Manual) => self.log.spill(),
            (Limit::UncheckpointedBytes, _) => {
                let held = ingest.uncheckpointed_bytes();
                self.request_checkpoint(CheckpointReason::Backpressure)
                    .map_err(|source| Error::CheckpointsFail { held, source })?;
            }
            (Limit::Parts, _) => self.request_job(Job::Compact),
            // Nothing to request: a caller's flush ends the first limit, the batch's own thread the second.
            (Limit::UnnamedBytes | Limit::LargeBatch, _) => {}
        }
        Ok(())
    }

    /// Waits once for a change. Fails if the insert has waited too long.
    fn wait_for_room<'a>(
        &'a self,
        ingest: MutexGuard<'a, Ingest>,
        limit: Limit,
        held: u64,
        allowed: u64,
        since: Instant,
    ) -> Result<MutexGuard<'a, Ingest>> {
        self.check_may_wait_for_room(limit)?;
        self.ask_for_room(&ingest, limit)?;
        if limit == Limit::UnnamedBytes {
            // The caller that could name a point may be the one that would wait here.
            return Err(Error::Backpressure { limit, held, allowed, waited: since.elapsed() });
        }
        let left = match self.settings.backpressure_wait {
            None => None,
            Some(longest) => {
                let waited = since.elapsed();
                if waited >= longest {
                    return Err(Error::Backpressure { limit, held, allowed, waited });
                }
                Some(longest - waited)
            }
        };
        let lends = matches!(limit, Limit::UncheckpointedBytes | Limit::Parts)
            && self.background.is_short();
        if !lends {
            return self.inflow.wait(ingest, left);
        }
        // The flusher may find a worker meanwhile.
        let left = left.map_or(RETRY_START, |left| left.min(RETRY_START));
        let ingest = self.inflow.wait(ingest, Some(left))?;
        drop(ingest);
        self.background.lend();
        // The job has called listeners.
        self.process.check()?;
        let ingest = self.inflow.lock();
        ingest.check_accepts()?;
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
            let slow = matches!(ingest.limits.pressure(&ingest.held(false)), Pressure::Slow(..));
            if waited >= time || !slow {
                self.counters.slowed_down(waited);
                return Ok(ingest);
            }
            ingest = self.inflow.wait(ingest, Some(time - waited))?;
        }
    }
}

fn ended(trees: Vec<TreeName>, limit: Limit, waited: Duration, admitted: bool) -> Event {
    Event::BackpressureEnded { trees, limit, waited, admitted }
}
