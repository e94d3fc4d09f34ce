//! Merges and compactions, of which at most one is under way.
//!
//! # Invariants
//!
//! - A merge or a compaction has the turn while it works. So a compaction meets no half-written part of another.
//! - Workers never wait for the turn: a compaction may have it for long, and requests the merges that were left out
//!   when it ends.

use crate::error::{Error, Result};
use crate::sync::{Condvar, Mutex, ThreadId, this_thread};

/// The turn, and who has it.
#[derive(Debug, Default)]
pub(crate) struct Alone {
    state: Mutex<State>,
    free: Condvar,
}

#[derive(Debug, Default)]
struct State {
    owner: Option<ThreadId>,
    /// How many threads wait. Workers leave the turn to them.
    waiting: usize,
}

/// The turn. Dropping it passes it on.
#[must_use = "dropping it passes the turn on"]
pub(crate) struct Turn<'a>(&'a Alone);

impl Alone {
    /// Takes the turn if it is free and no thread waits for it.
    pub(crate) fn try_begin(&self) -> Option<Turn<'_>> {
        let mut state = self.state.lock();
        if state.owner.is_some() || state.waiting > 0 {
            return None;
        }
        state.owner = Some(this_thread());
        Some(Turn(self))
    }

    /// Waits for the turn and takes it.
    ///
    /// # Errors
    ///
    /// [`WouldWaitForItself`](Error::WouldWaitForItself) if this thread has it: a listener of its events makes
    /// `call`.
    pub(crate) fn begin(&self, call: &'static str) -> Result<Turn<'_>> {
        let mut state = self.state.lock();
        if state.owner == Some(this_thread()) {
            return Err(Error::WouldWaitForItself { call, thread: "compacting" });
        }
        state.waiting += 1;
        while state.owner.is_some() {
            state = self.free.wait(state);
        }
        state.waiting -= 1;
        state.owner = Some(this_thread());
        Ok(Turn(self))
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.state.lock().owner = None;
        self.0.free.notify_all();
    }
}
