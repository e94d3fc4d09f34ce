//! Turns of threads that change one name of a directory.
//!
//! # Invariants
//!
//! - A name is looked at and changed by one thread at a time. Another one would find it given up while the first one's call
//!   runs, and would take the file for one that another process has put there.
//! - A thread that has a turn takes no other one.

use crate::fs::FileName;
use crate::sync::{Condvar, Mutex};

/// The names that threads change now.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    taken: Mutex<Vec<FileName>>,
    given_back: Condvar,
}

/// The turn of a thread, until it is dropped.
#[derive(Debug)]
#[must_use = "dropping it ends the turn"]
pub(crate) struct Turn<'a, const N: usize> {
    turns: &'a Turns,
    names: [FileName; N],
}

impl Turns {
    /// Waits until no other thread changes one of `names`.
    pub(crate) fn take<const N: usize>(&self, names: [FileName; N]) -> Turn<'_, N> {
        let mut taken = self.taken.lock();
        while names.iter().any(|name| taken.contains(name)) {
            taken = self.given_back.wait(taken);
        }
        taken.extend(names);
        Turn { turns: self, names }
    }
}

impl<const N: usize> Drop for Turn<'_, N> {
    fn drop(&mut self) {
        self.turns.taken.lock().retain(|name| !self.names.contains(name));
        self.turns.given_back.notify_all();
    }
}
