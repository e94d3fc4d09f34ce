//! What is known of the index of a part.
//!
//! # Invariant
//!
//! What a thread found out about a file replaces only what was known of the same file: every renewal begins another
//! generation.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use super::index_file::IndexFile;
use crate::config::ReadMode;
use crate::fs::FileSystem;

/// Counts the searches of parts that had no useful index.
#[derive(Debug)]
pub(crate) struct Scans(AtomicU64);

impl Scans {
    pub(crate) fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Counts one more.
    pub(super) fn add_one(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// How many there were.
    pub(crate) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The index of a part, as far as it is known.
#[derive(Debug)]
pub(super) struct Finder {
    pub(super) fs: Arc<dyn FileSystem>,
    pub(super) mode: ReadMode,
    known: RwLock<Known>,
}

#[derive(Clone, Debug)]
pub(super) struct Known {
    /// How often the file was renewed or forgotten.
    pub(super) generation: u64,
    pub(super) state: State,
}

#[derive(Clone, Debug)]
pub(super) enum State {
    Unknown,
    /// It is missing or damaged.
    Useless,
    Open(Arc<IndexFile>),
}

impl Finder {
    pub(super) fn new(fs: &Arc<dyn FileSystem>, mode: ReadMode) -> Self {
        let known = RwLock::new(Known { generation: 0, state: State::Unknown });
        Self { fs: Arc::clone(fs), mode, known }
    }

    pub(super) fn known(&self) -> Known {
        self.known.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes what is known, unless it is of another generation by now.
    fn change(&self, generation: u64, next: Known) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.generation == generation {
            *known = next;
        }
    }

    /// Notes what the index of this generation is.
    pub(super) fn settle(&self, generation: u64, state: State) {
        self.change(generation, Known { generation, state });
    }

    /// Has the next question look for the file again.
    pub(super) fn forget(&self, generation: u64) {
        self.change(generation, Known { generation: generation + 1, state: State::Unknown });
    }

    /// As [`forget`](Self::forget), whatever is known. For the thread that gave the name to another file.
    pub(super) fn renew(&self) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        *known = Known { generation: known.generation + 1, state: State::Unknown };
    }

    /// Keeps an open index readable after its name is removed. One that cannot be kept is given up.
    pub(super) fn keep(&self) {
        let Known { generation, state } = self.known();
        if let State::Open(index) = state
            && index.keep().is_err()
        {
            self.settle(generation, State::Useless);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::sim::SimDisk;

    /// A thread opens the index, another one writes it again, and only then the first one notes what it found.
    #[test]
    fn what_a_thread_found_out_about_an_index_does_not_count_for_a_later_one() {
        let disk: Arc<dyn FileSystem> = Arc::new(SimDisk::new());
        let finder = Finder::new(&disk, ReadMode::Pread);
        let is_useless = || matches!(finder.known().state, State::Useless);
        let old = finder.known().generation;
        finder.renew();
        finder.settle(old, State::Useless);
        assert!(!is_useless());
        finder.settle(finder.known().generation, State::Useless);
        assert!(is_useless());
        // Two threads that met the same damage have one search look again, and not the next one too.
        let damaged = finder.known().generation;
        finder.forget(damaged);
        let again = finder.known().generation;
        finder.settle(again, State::Useless);
        finder.forget(damaged);
        assert!(is_useless() && finder.known().generation == again);
    }
}
