//! What the shipping thread and those who wait for it share.
//!
//! # Invariants
//!
//! - The watermark rises only after the slot is committed (R10).
//! - Every waiter gets an answer: the watermark, or the error with which the thread has ended. The thread ends with one
//!   in every case, also if it panics.
//! - No wait is on the thread that the shipper may have to wait for itself.
//! - A shipper that is abandoned makes no request any more, and has none under way.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use duramen::ship::FlusherThread;
use futures_util::future::{AbortHandle, AbortRegistration};

use crate::error::{Error, Result};

#[derive(Debug, Default)]
pub(super) struct State {
    /// Everything up to here is in the bucket.
    pub(super) remote: u64,
    /// Requests to ship now, and how many of them were carried out.
    requested: u64,
    carried_out: u64,
    stop: bool,
    abandoned: bool,
    /// What ends the request that is under way.
    request: Option<AbortHandle>,
    /// Since when the bucket has to take something and has not. `None` if it has everything.
    waits_since: Option<Instant>,
    ended: Option<Ended>,
    pub(super) slots: u64,
    pub(super) bytes: u64,
    pub(super) states: u64,
    pub(super) part_bytes: u64,
    pub(super) collected: u64,
    pub(super) last_error: Option<Error>,
}

#[derive(Clone, Debug)]
enum Ended {
    Closed,
    Failed(Error),
}

#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    flusher: FlusherThread,
}

/// What the thread is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Work {
    /// Ship, and note then that the requests up to this one are carried out.
    Ship(u64),
    /// Ship for the last time.
    Stop,
}

impl Shared {
    pub(super) fn new(flusher: FlusherThread) -> Self {
        Self { state: Mutex::default(), changed: Condvar::new(), flusher }
    }

    /// Fails on the flusher's thread of the store. The shipper may wait for a checkpoint, and that for the flusher.
    pub(super) fn check_may_wait(&self, call: &'static str) -> Result<()> {
        Ok(self.flusher.check_may_wait(call)?)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // A panic of the thread is answered as its end; the fields are right at any time.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until something is to be done: after `interval`, if there is one, or when it is requested.
    pub(super) fn next(&self, interval: Option<Duration>) -> Work {
        let until = interval.and_then(|interval| Instant::now().checked_add(interval));
        let mut state = self.lock();
        loop {
            if state.stop {
                return Work::Stop;
            }
            let now = Instant::now();
            if state.requested > state.carried_out || until.is_some_and(|until| until <= now) {
                return Work::Ship(state.requested);
            }
            state = match until {
                Some(until) => {
                    let wait = until.saturating_duration_since(now);
                    self.changed
                        .wait_timeout(state, wait)
                        .map_or_else(|poisoned| poisoned.into_inner().0, |(state, _)| state)
                }
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    /// Waits before the thread tries again what failed. Returns false if it is to stop.
    pub(super) fn pause(&self, wait: Duration) -> bool {
        let until = Instant::now() + wait;
        let mut state = self.lock();
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if state.stop || left.is_zero() {
                return !state.stop;
            }
            state = self
                .changed
                .wait_timeout(state, left)
                .map_or_else(|poisoned| poisoned.into_inner().0, |(state, _)| state);
        }
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }

    /// Notes that there may be something to ship.
    pub(super) fn begin_turn(&self) {
        self.change(|state| _ = state.waits_since.get_or_insert_with(Instant::now));
    }

    /// Notes that the bucket has everything.
    pub(super) fn end_turn(&self) {
        self.change(|state| (state.waits_since, state.last_error) = (None, None));
    }

    /// Notes that the bucket has taken something, with what it changes.
    pub(super) fn took(&self, change: impl FnOnce(&mut State)) {
        self.change(|state| {
            change(state);
            state.waits_since = state.waits_since.and(Some(Instant::now()));
        });
    }

    /// How long the bucket has taken nothing, although it had to.
    pub(super) fn waits(&self) -> Option<Duration> {
        self.lock().waits_since.map(|since| since.elapsed())
    }

    /// Ends the request that is under way, and every later one before it is made.
    pub(super) fn abandon(&self) {
        let mut request = None;
        self.change(|state| {
            (state.stop, state.abandoned) = (true, true);
            request = state.request.take();
        });
        if let Some(request) = request {
            request.abort();
        }
    }

    pub(super) fn is_abandoned(&self) -> bool {
        self.lock().abandoned
    }

    /// Whether the thread has ended.
    pub(super) fn has_ended(&self) -> bool {
        self.lock().ended.is_some()
    }

    /// A request begins, which lives until it is abandoned.
    pub(super) fn begin_request(&self) -> AbortRegistration {
        let (handle, registration) = AbortHandle::new_pair();
        let mut state = self.lock();
        match state.abandoned {
            true => handle.abort(),
            false => state.request = Some(handle),
        }
        registration
    }

    pub(super) fn carried_out(&self, request: u64) {
        self.change(|state| state.carried_out = state.carried_out.max(request));
    }

    /// Requests that everything is shipped now. Returns the number of the request.
    pub(super) fn request(&self) -> u64 {
        let mut state = self.lock();
        state.requested += 1;
        let request = state.requested;
        drop(state);
        self.changed.notify_all();
        request
    }

    pub(super) fn stop(&self) {
        self.change(|state| state.stop = true);
    }

    /// Notes that the thread has ended, and with what. The first end counts.
    pub(super) fn end(&self, error: Option<Error>) {
        self.change(|state| {
            let ended = error.map_or(Ended::Closed, Ended::Failed);
            state.ended.get_or_insert(ended);
        });
    }

    /// The error with which the thread has ended, if it has failed.
    pub(super) fn failure(&self) -> Option<Error> {
        match &self.lock().ended {
            Some(Ended::Failed(error)) => Some(error.clone()),
            _ => None,
        }
    }

    /// Waits until everything up to `wanted` is in the bucket. Returns false if it is not after `longest`.
    ///
    /// # Errors
    ///
    /// What the thread has ended with, and [`WouldWaitForItself`](duramen::Error::WouldWaitForItself) for `call` where
    /// it must not wait.
    pub(super) fn wait(
        &self,
        wanted: u64,
        longest: Option<Duration>,
        call: &'static str,
    ) -> Result<bool> {
        let until = longest.and_then(|longest| Instant::now().checked_add(longest));
        let mut state = self.lock();
        loop {
            if state.remote >= wanted {
                return Ok(true);
            }
            match &state.ended {
                Some(Ended::Failed(error)) => return Err(error.clone()),
                Some(Ended::Closed) => return Err(Error::Closed { remote: state.remote, wanted }),
                None => self.check_may_wait(call)?,
            }
            state = match until {
                Some(until) => {
                    let left = until.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Ok(false);
                    }
                    self.changed
                        .wait_timeout(state, left)
                        .map_or_else(|poisoned| poisoned.into_inner().0, |(state, _)| state)
                }
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }
}
