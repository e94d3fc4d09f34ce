//! The smallest group commit there is: threads hand a few bytes each to one writer, which overwrites a
//! written file with what has gathered, syncs it and wakes them. No log format, no tree.

use std::sync::{Condvar, Mutex, PoisonError};

use anyhow::Result;

use super::device::WrittenFile;

const BLOCK: usize = 4096;

#[derive(Debug, Default)]
struct State {
    gathered: Vec<u8>,
    submitted: u64,
    durable: u64,
    stopped: bool,
}

/// The meeting point of the threads and the writer.
#[derive(Debug, Default)]
pub struct GroupCommit {
    state: Mutex<State>,
    work: Condvar,
    done: Condvar,
}

impl GroupCommit {
    /// Hands over `bytes` and waits until they are on the disk, or until the writer has stopped.
    pub fn submit(&self, bytes: &[u8]) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.gathered.extend_from_slice(bytes);
        state.submitted += 1;
        let mine = state.submitted;
        self.work.notify_one();
        while state.durable < mine && !state.stopped {
            state = self.done.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Writes until [`stop`](Self::stop), in whole blocks.
    pub fn write_until_stopped(&self, file: &WrittenFile) -> Result<()> {
        let mut at = 0;
        let mut group = Vec::new();
        loop {
            let last = {
                let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
                while state.gathered.is_empty() && !state.stopped {
                    state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
                if state.stopped {
                    return Ok(());
                }
                group.clear();
                std::mem::swap(&mut group, &mut state.gathered);
                state.submitted
            };
            group.resize(group.len().next_multiple_of(BLOCK), 0);
            let written = file.overwrite(at, &group);
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            match written {
                Ok(next) => {
                    at = next;
                    state.durable = last;
                }
                Err(error) => {
                    state.stopped = true;
                    self.done.notify_all();
                    return Err(error);
                }
            }
            self.done.notify_all();
        }
    }

    /// Ends the writer and releases the threads that still wait.
    pub fn stop(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).stopped = true;
        self.work.notify_all();
        self.done.notify_all();
    }
}
