//! What tells the flusher to work.
//!
//! # Invariants
//!
//! - A request for a sequence number is not forgotten before the flusher has taken it, and the
//!   flusher takes requests before it looks which leaves there are. So whatever was inserted before
//!   a request is in the group that answers it.
//! - Without requests and without new leaves the flusher sleeps, with no timer.

use std::time::{Duration, Instant};

use crate::durability::Seq;
use crate::sync::{Condvar, Mutex};

/// What the flusher is to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// Write what is new and sync it.
    Flush,
    /// Write what is new; no sync.
    Spill,
    /// Look whether a checkpoint is due.
    Tick,
    /// Flush for the last time and end.
    Stop,
}

/// How often the flusher offers its core to others, after a group that somebody waited for, before it
/// sleeps. A thread that inserts durably in a loop asks again within microseconds, and to be woken
/// takes longer than that.
const PATIENCE: u32 = if cfg!(duramen_loom) { 0 } else { 16 };

#[derive(Debug, Default)]
pub(crate) struct Control {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Somebody waits until this is durable.
    wanted: Seq,
    /// Since when leaves wait that nobody has asked to flush.
    dirty_since: Option<Instant>,
    spill: bool,
    /// When to look at the checkpoint policy.
    tick: Option<Instant>,
    stop: bool,
    /// The last group was asked for. Whoever waited for it is likely to ask again at once.
    answered: bool,
    /// The flusher waits.
    asleep: bool,
}

impl Control {
    /// Asks for everything up to `seq` to be made durable now.
    pub(crate) fn request(&self, seq: Seq) {
        let mut state = self.state.lock();
        if state.wanted < seq {
            state.wanted = seq;
            drop(state);
            self.changed.notify_one();
        }
    }

    /// Tells that the first leaf since the last group has come.
    pub(crate) fn dirty(&self) {
        let mut state = self.state.lock();
        if state.dirty_since.is_none() {
            state.dirty_since = Some(Instant::now());
            drop(state);
            self.changed.notify_one();
        }
    }

    /// Asks for what is new to be handed to the operating system.
    pub(crate) fn spill(&self) {
        self.state.lock().spill = true;
        self.changed.notify_one();
    }

    /// Asks for [`Work::Tick`] at `when`.
    pub(crate) fn tick_at(&self, when: Option<Instant>) {
        self.state.lock().tick = when;
    }

    /// Asks the flusher to end.
    pub(crate) fn stop(&self) {
        self.state.lock().stop = true;
        self.changed.notify_one();
    }

    /// Whether the flusher sleeps and nothing asks it to wake up now.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn is_idle(&self, durable: Seq) -> bool {
        let state = self.state.lock();
        state.asleep && !state.stop && !state.spill && state.wanted <= durable
    }

    /// Waits for work. `durable` is what is durable now; leaves are flushed `interval` after they
    /// made the store dirty, if there is one.
    pub(crate) fn next(&self, durable: Seq, interval: Option<Duration>) -> Work {
        let mut state = self.state.lock();
        let mut patience = if std::mem::take(&mut state.answered) { PATIENCE } else { 0 };
        loop {
            if state.stop {
                return Work::Stop;
            }
            let now = Instant::now();
            let flush_at = match (interval, state.dirty_since) {
                // An interval beyond the clock's end is never over.
                (Some(interval), Some(since)) => since.checked_add(interval),
                _ => None,
            };
            if state.wanted > durable || flush_at.is_some_and(|at| at <= now) {
                state.answered = state.wanted > durable;
                state.dirty_since = None;
                state.spill = false;
                return Work::Flush;
            }
            if std::mem::take(&mut state.spill) {
                return Work::Spill;
            }
            if state.tick.is_some_and(|at| at <= now) {
                state.tick = None;
                return Work::Tick;
            }
            if patience > 0 {
                patience -= 1;
                drop(state);
                std::thread::yield_now();
                state = self.state.lock();
                continue;
            }
            let wake_at = [flush_at, state.tick].into_iter().flatten().min();
            state.asleep = true;
            state = match wake_at {
                Some(at) => self.changed.wait_for(state, at.saturating_duration_since(now)),
                None => self.changed.wait(state),
            };
            state.asleep = false;
        }
    }
}
