//! The watermark: everything up to one sequence number is durable, and nothing is said of the rest.
//!
//! # Invariants
//!
//! - The watermark only rises, and only [`Watermark::advance`] raises it: after the fsync.
//! - Once ended, by a failure or by closing, it never rises again. The first end stays.
//! - Whoever waits for a number is woken when the watermark reaches it or ends: a waiter looks at
//!   both under the lock under which they change, so no change falls between look and sleep.

use std::task::Waker;
use std::time::{Duration, Instant};

use super::Seq;
use crate::error::{Error, Result};
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Condvar, Mutex};

/// Names one waiting future.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WakerId(u64);

#[derive(Debug)]
pub(crate) struct Watermark {
    /// A copy of what `state` says, for those who only look.
    durable: AtomicU64,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    durable: Seq,
    ended: Option<Error>,
    sleepers: usize,
    wakers: Vec<(WakerId, Seq, Waker)>,
    next_waker: u64,
}

impl State {
    /// The answer for `seq`, if there is one yet.
    fn answer(&self, seq: Seq) -> Option<Result<()>> {
        if self.durable >= seq {
            return Some(Ok(()));
        }
        self.ended.clone().map(Err)
    }
}

impl Watermark {
    pub(crate) fn new(durable: Seq) -> Self {
        let state = State { durable, ended: None, sleepers: 0, wakers: Vec::new(), next_waker: 0 };
        Self {
            durable: AtomicU64::new(durable.0),
            state: Mutex::new(state),
            changed: Condvar::new(),
        }
    }

    /// What is durable now.
    pub(crate) fn durable(&self) -> Seq {
        Seq(self.durable.load(Ordering::Acquire))
    }

    /// Declares everything up to `seq` durable. Only to be called after the fsync that made it so.
    /// Without effect after an end.
    pub(crate) fn advance(&self, seq: Seq) {
        let mut state = self.state.lock();
        if state.ended.is_some() || seq <= state.durable {
            return;
        }
        state.durable = seq;
        self.durable.store(seq.0, Ordering::Release);
        let ready = if state.wakers.is_empty() {
            Vec::new()
        } else {
            state.wakers.extract_if(.., |(_, wanted, _)| *wanted <= seq).collect()
        };
        let sleepers = state.sleepers;
        drop(state);
        self.wake(sleepers, ready);
    }

    /// Answers everyone who waits, now or later, for more than is durable with `error`.
    pub(crate) fn end(&self, error: Error) {
        let mut state = self.state.lock();
        if state.ended.is_some() {
            return;
        }
        state.ended = Some(error);
        let wakers = std::mem::take(&mut state.wakers);
        let sleepers = state.sleepers;
        drop(state);
        self.wake(sleepers, wakers);
    }

    fn wake(&self, sleepers: usize, wakers: Vec<(WakerId, Seq, Waker)>) {
        if sleepers > 0 {
            self.changed.notify_all();
        }
        for (_, _, waker) in wakers {
            waker.wake();
        }
    }

    /// Waits until `seq` is durable or the watermark has ended.
    pub(crate) fn wait(&self, seq: Seq) -> Result<()> {
        if self.durable() >= seq {
            return Ok(());
        }
        let mut state = self.state.lock();
        loop {
            if let Some(answer) = state.answer(seq) {
                return answer;
            }
            state.sleepers += 1;
            state = self.changed.wait(state);
            state.sleepers -= 1;
        }
    }

    /// As [`wait`](Self::wait), for at most `timeout`: `Ok(false)` if that was too short.
    pub(crate) fn wait_timeout(&self, seq: Seq, timeout: Duration) -> Result<bool> {
        if self.durable() >= seq {
            return Ok(true);
        }
        // A timeout too long for the clock is for ever.
        let Some(deadline) = Instant::now().checked_add(timeout) else {
            return self.wait(seq).map(|()| true);
        };
        let mut state = self.state.lock();
        loop {
            if let Some(answer) = state.answer(seq) {
                return answer.map(|()| true);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(false);
            }
            state.sleepers += 1;
            state = self.changed.wait_for(state, left);
            state.sleepers -= 1;
        }
    }

    /// The answer for `seq`, or else `waker` is kept until there is one. `id` names the waker that
    /// an earlier call left; the new name replaces it.
    pub(crate) fn poll(
        &self,
        seq: Seq,
        id: &mut Option<WakerId>,
        waker: &Waker,
    ) -> Option<Result<()>> {
        let mut state = self.state.lock();
        if let Some(answer) = state.answer(seq) {
            if let Some(id) = id.take() {
                state.wakers.retain(|(other, ..)| *other != id);
            }
            return Some(answer);
        }
        if let Some(id) = *id
            && let Some((_, _, old)) = state.wakers.iter_mut().find(|(other, ..)| *other == id)
        {
            old.clone_from(waker);
            return None;
        }
        let new = WakerId(state.next_waker);
        state.next_waker += 1;
        state.wakers.push((new, seq, waker.clone()));
        *id = Some(new);
        None
    }

    /// Forgets a waker that [`poll`](Self::poll) kept.
    pub(crate) fn forget(&self, id: WakerId) {
        self.state.lock().wakers.retain(|(other, ..)| *other != id);
    }
}
