//! The one state of a simulated disk that all handles share, and how an operation passes through it.
//!
//! # Invariants
//!
//! - Stamps grow with the order in which changes take effect, so that every list of unsynced changes
//!   is in order. A sync covers what took effect before it was called, not what came while it was held.
//! - A stopped disk changes no more: no operation begins, and one that was held fails.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::time::Duration;

use crate::sync::{Condvar, Instant, Mutex, MutexGuard};

use super::choice::{Chooser, CrashChoice, Stamp};
use super::contents::{Contents, InodeId};
use super::fault::{Failure, Faults};
use super::identity::Identity;
use super::operation::Operation;
use crate::fs::FileName;

#[derive(Default)]
pub(super) struct Shared {
    state: Mutex<State>,
    /// A hold was reached or released, or there is something new for a watch.
    changed: Condvar,
}

/// The contents as each operation began.
pub(super) struct History {
    /// How many operations there were before the first that is recorded.
    pub(super) first: u64,
    pub(super) contents: Vec<Contents>,
}

impl History {
    /// The contents when this many operations had been done.
    pub(super) fn at(&self, operations: u64) -> Option<&Contents> {
        self.contents.get(usize::try_from(operations.checked_sub(self.first)?).ok()?)
    }
}

#[derive(Default)]
pub(super) struct State {
    pub(super) contents: Contents,
    /// How many handles each open file has.
    open: BTreeMap<InodeId, usize>,
    /// How many handles and mappings share each part that is read, or the one handle that excludes them.
    locks: BTreeMap<InodeId, FileLock>,
    pub(super) locked: bool,
    /// The bytes of the status file. A power cut takes it.
    pub(super) status: Option<Vec<u8>>,
    pub(super) identity: Identity,
    pub(super) trace: Vec<Operation>,
    pub(super) history: Option<History>,
    pub(super) faults: Faults,
    pub(super) stop_after: Option<u64>,
    /// How many bytes the disk holds, if that is limited.
    pub(super) space: Option<u64>,
    clock: Stamp,
    /// What random bytes follow from, if they are to be the same in every run.
    pub(super) random: Option<u64>,
    /// How many changes there were that a watch reports.
    pub(super) changes: u64,
}

/// A lock of a file, as `flock` has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FileLock {
    Shared(usize),
    Exclusive,
}

impl State {
    /// Whether the file is read or wiped.
    pub(super) fn is_shared(&self, id: InodeId) -> bool {
        self.locks.contains_key(&id)
    }

    /// Whether the file is being wiped.
    pub(super) fn wiping(&self, id: InodeId) -> bool {
        self.locks.get(&id) == Some(&FileLock::Exclusive)
    }

    pub(super) fn exclude(&mut self, id: InodeId) {
        self.locks.insert(id, FileLock::Exclusive);
    }

    pub(super) fn share(&mut self, id: InodeId) {
        let lock = self.locks.entry(id).or_insert(FileLock::Shared(0));
        if let FileLock::Shared(count) = lock {
            *count += 1;
        }
    }

    /// Ends one lock of the file.
    pub(super) fn unlock(&mut self, id: InodeId) {
        match self.locks.get_mut(&id) {
            Some(FileLock::Shared(count)) if *count > 1 => *count -= 1,
            _ => drop(self.locks.remove(&id)),
        }
    }

    pub(super) fn operations(&self) -> u64 {
        self.trace.len() as u64
    }

    pub(super) fn tick(&mut self) -> Stamp {
        self.clock += 1;
        self.clock
    }

    /// Gives later stamps than `other` has given.
    pub(super) fn continue_clock_of(&mut self, other: &Self) {
        self.clock = other.clock;
    }

    /// Fails once the disk has stopped.
    pub(super) fn running(&self) -> io::Result<()> {
        self.running_after(self.operations())
    }

    fn running_after(&self, operations: u64) -> io::Result<()> {
        match self.stop_after {
            Some(last) if operations >= last => {
                Err(io::Error::other(format!("the simulated disk stopped after operation {last}")))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn opened(&mut self, id: InodeId) {
        *self.open.entry(id).or_default() += 1;
    }

    pub(super) fn closed(&mut self, id: InodeId) {
        if let Some(count) = self.open.get_mut(&id) {
            *count -= 1;
            if *count == 0 {
                self.open.remove(&id);
                self.sweep();
            }
        }
    }

    pub(super) fn sweep(&mut self) {
        self.contents.sweep(|id| self.open.contains_key(&id));
    }

    /// Fails if reading these bytes of a file is to fail.
    pub(super) fn readable(&self, file: FileName, range: &Range<u64>) -> io::Result<()> {
        self.running()?;
        self.faults.read_error(file, range).map_or(Ok(()), |error| Err(error.into()))
    }

    /// How long a file may get that takes `taken` bytes of room now.
    pub(super) fn longest(&self, taken: u64) -> u64 {
        self.space.map_or(u64::MAX, |space| {
            let free = space.saturating_sub(self.contents.used());
            taken.saturating_add(free)
        })
    }
}

impl Shared {
    pub(super) fn new(contents: Contents) -> Self {
        let state = State { contents, ..State::default() };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Waits until something has changed, without the lock.
    pub(super) fn wait_for_change<'a>(
        &'a self,
        state: MutexGuard<'a, State>,
    ) -> MutexGuard<'a, State> {
        self.changed.wait(state)
    }

    /// Waits until `done` returns true. It is called again whenever a hold is reached or released, and
    /// after each change that a watch reports.
    pub(super) fn wait(&self, mut done: impl FnMut(&State) -> bool) {
        let mut state = self.lock();
        while !done(&state) {
            state = self.changed.wait(state);
        }
    }

    /// As [`wait`](Self::wait), at most for `longest`. Returns whether it is done.
    pub(super) fn wait_for(&self, longest: Duration, mut done: impl FnMut(&State) -> bool) -> bool {
        // A time that is too long for the clock never ends.
        let deadline = Instant::now().checked_add(longest);
        let mut state = self.lock();
        loop {
            if done(&state) {
                return true;
            }
            let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
            state = match left {
                Some(left) if left.is_zero() => return false,
                Some(left) => self.changed.wait_for(state, left),
                None => self.changed.wait(state),
            };
        }
    }

    pub(super) fn notify(&self) {
        self.changed.notify_all();
    }

    /// Runs one operation: counts and traces it, waits while it is held, and lets it do what a fault
    /// leaves of it. All of its effect is in `act`, which gets the stamps and what to keep.
    pub(super) fn operate<T>(
        &self,
        operation: impl FnOnce(&mut State) -> io::Result<Operation>,
        act: impl FnOnce(&mut State, &mut Step) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut state = self.lock();
        state.running()?;
        let operation = operation(&mut state)?;
        if let State { history: Some(history), contents, .. } = &mut *state {
            history.contents.push(contents.clone());
        }
        state.trace.push(operation);
        let number = state.operations();
        let begun = state.tick();
        let failure = state.faults.failure(number, &operation);
        if let Some(hold) = state.faults.held_by(number, &operation) {
            self.notify();
            while state.faults.holds(hold) {
                state = self.changed.wait(state);
            }
            state.running_after(number - 1)?;
        }
        let now = state.tick();
        let kept = failure.map_or(CrashChoice::AllKept, |failure| failure.kept);
        let mut step = Step { begun, now, failure, chooser: state.contents.chooser(kept) };
        let done = act(&mut state, &mut step);
        if operation.is_watched() {
            state.changes += 1;
            self.notify();
        }
        failure.map_or(done, |failure| Err(failure.error.into()))
    }
}

/// What an operation has to know while it acts.
pub(super) struct Step {
    /// Changes with a lower stamp took effect before the operation was called.
    pub(super) begun: Stamp,
    /// The stamp of what the operation changes.
    pub(super) now: Stamp,
    /// How it fails, if it does.
    pub(super) failure: Option<Failure>,
    /// What is kept of it: everything, unless it fails.
    pub(super) chooser: Chooser,
}

impl Step {
    /// Whether an operation that happens or not does happen.
    pub(super) fn happens(&mut self) -> io::Result<()> {
        // The error is replaced by that of the fault.
        if self.chooser.coin() { Ok(()) } else { Err(io::ErrorKind::Other.into()) }
    }
}
