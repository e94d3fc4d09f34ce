//! Files of parts that no manifest names, and that may have data of erased entries.
//!
//! # Invariants
//!
//! - A file is listed here before it is wiped for the first time, and until it is removed. So a file that is
//!   read, or that could not be written to, is tried again. After a restart it is found by listing the directory.
//! - A file that a reader of this process has to open again is left to the next open of the store.
//! - One thread at a time removes a file that is listed. A second one would find the name gone from the store's own, and take the
//!   file for one that another process has put there.

use std::collections::BTreeMap;

use crate::fs::FileName;
use crate::fs::wipe::Wiped;
use crate::part::PartRef;
use crate::sync::{Mutex, MutexGuard};

/// The files, with their lengths where they are read.
#[derive(Debug, Default)]
pub(super) struct Strays {
    /// The turn of the thread that gives files up. Taken before the list's own lock.
    turn: Mutex<()>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    files: BTreeMap<FileName, u64>,
    /// The lengths of the files that the next open wipes.
    left: Vec<u64>,
    /// Bytes of zeros written over such files so far.
    wiped: u64,
}

impl Strays {
    pub(super) fn add(&self, name: FileName) {
        self.state.lock().files.entry(name).or_default();
    }

    /// The turn to give up `name`, for as long as the guard lives. `None` if it is not listed any more.
    pub(super) fn turn(&self, name: FileName) -> Option<MutexGuard<'_, ()>> {
        let turn = self.turn.lock();
        self.state.lock().files.contains_key(&name).then_some(turn)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.state.lock().files.is_empty()
    }

    /// Counts a part that is left to the next open.
    pub(super) fn leave(&self, part: &PartRef) {
        if part.entry_bytes > 0 {
            self.state.lock().left.push(part.len);
        }
    }

    /// The lengths of all files that are not wiped.
    pub(super) fn lengths(&self) -> Vec<u64> {
        let state = self.state.lock();
        state.files.values().chain(&state.left).copied().collect()
    }

    /// The files to wipe.
    pub(super) fn files(&self) -> Vec<FileName> {
        self.state.lock().files.keys().copied().collect()
    }

    pub(super) fn wiped_bytes(&self) -> u64 {
        self.state.lock().wiped
    }

    pub(super) fn note(&self, name: FileName, wiped: Wiped) {
        let mut state = self.state.lock();
        match wiped {
            Wiped::InUse { len } => {
                state.files.insert(name, len);
            }
            Wiped::Zeros { bytes } => {
                state.files.remove(&name);
                state.wiped += bytes;
            }
            Wiped::Linked => {
                state.files.remove(&name);
            }
        }
    }

    pub(super) fn is_gone(&self, name: FileName) {
        self.state.lock().files.remove(&name);
    }
}
