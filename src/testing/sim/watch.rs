//! Notices changes of a simulated disk.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::state::{Shared, State};
use crate::fs::Watch;

/// A watch of the store on a disk.
pub(super) struct SimWatch {
    disk: Arc<Shared>,
    /// How many changes were reported.
    reported: AtomicU64,
    interrupted: AtomicBool,
}

impl SimWatch {
    pub(super) fn new(disk: Arc<Shared>) -> Self {
        let reported = AtomicU64::new(disk.lock().changes);
        Self { disk, reported, interrupted: AtomicBool::new(false) }
    }
}

impl Watch for SimWatch {
    fn wait(&self, longest: Option<Duration>) -> io::Result<bool> {
        let mut changed = false;
        let done = |state: &State| {
            if self.interrupted.load(Ordering::Relaxed) {
                return true;
            }
            changed = self.reported.swap(state.changes, Ordering::Relaxed) != state.changes;
            changed
        };
        match longest {
            Some(longest) => drop(self.disk.wait_for(longest, done)),
            None => self.disk.wait(done),
        }
        Ok(changed)
    }

    fn interrupt(&self) {
        // Under the lock, so that no wait lies between its look and its sleep.
        let state = self.disk.lock();
        self.interrupted.store(true, Ordering::Relaxed);
        drop(state);
        self.disk.notify();
    }
}

impl fmt::Debug for SimWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimWatch").finish_non_exhaustive()
    }
}
