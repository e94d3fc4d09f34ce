//! The state behind checkpoints and merges: the manifest in force, what the last checkpoint has, the files that
//! backups read, and what is requested and retried.
//!
//! # Invariants
//!
//! - The checkpoint lock guards [`Live`], and serialises checkpoints and the installs of merges. A thread takes it
//!   before any other lock. Of the locks here it holds only this one across I/O. Inserts, flushes and reads never
//!   take it.
//! - A manifest comes into force only in [`Live::publish`], when it is durable.
//! - The number of a part or a manifest is assigned once, even if the part or manifest fails.
//! - The other locks in here are held for a few words. Only [`Upkeep`] takes others under its own: those of the
//!   flusher's clock and of the workers.

use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use super::alone::Alone;
use super::holds::Holds;
use super::log::FlushPoint;
use super::strays::Strays;
use super::tally::Tally;
use super::unerased::Unerased;
use super::upkeep::Upkeep;
use crate::config::Since;
use crate::directory::manifest::{Manifest, TreeEntry};
use crate::directory::manifests;
use crate::directory::manifests::Stored;
use crate::error::{Error, Result};
use crate::fs::FileSystem;
use crate::ids::{PartId, SegmentId};
use crate::random;
use crate::sync::{Mutex, MutexGuard};

/// The keeper of a store's checkpoints.
#[derive(Debug)]
pub(super) struct Keeper {
    live: Mutex<Live>,
    marks: Mutex<Marks>,
    holds: Holds,
    /// Whose turn it is to merge parts.
    alone: Alone,
    strays: Strays,
    /// Whether entries were erased, in this run or before.
    unerased: Unerased,
    upkeep: Upkeep,
    /// Held by the thread that writes indexes.
    indexing: Mutex<()>,
    /// The error of a call that found another directory in the store's place, until the store is poisoned with it.
    displaced: Mutex<Option<Error>>,
}

/// The last checkpoint, as the policy sees it.
#[derive(Debug)]
struct Marks {
    tally: Tally,
    log_bytes: u64,
    at: Instant,
}

impl Keeper {
    /// For a store whose last checkpoint has `checkpointed`. `erasing` says whether it has erased entries.
    pub(super) fn new(live: Live, checkpointed: Tally, erasing: bool) -> Self {
        let marks = Marks { tally: checkpointed, log_bytes: 0, at: Instant::now() };
        let (live, marks) = (Mutex::new(live), Mutex::new(marks));
        let (holds, upkeep) = (Holds::default(), Upkeep::default());
        let (indexing, displaced) = (Mutex::default(), Mutex::default());
        let (alone, strays) = (Alone::default(), Strays::default());
        let unerased = Unerased::new(erasing);
        Self { live, marks, holds, alone, strays, unerased, upkeep, indexing, displaced }
    }

    /// Takes the checkpoint lock.
    pub(super) fn lock(&self) -> MutexGuard<'_, Live> {
        self.live.lock()
    }

    /// Takes the checkpoint lock, unless another thread has it.
    pub(super) fn try_lock(&self) -> Option<MutexGuard<'_, Live>> {
        self.live.try_lock()
    }

    /// The manifest in force.
    pub(super) fn manifest(&self) -> Manifest {
        self.lock().manifest().clone()
    }

    /// How much was inserted and logged up to `point` since the last checkpoint. The log has `segments` segments.
    pub(super) fn since(&self, point: &FlushPoint, segments: u64) -> Since {
        let marks = self.marks.lock();
        Since {
            records: point.tally.seq.0.saturating_sub(marks.tally.seq.0),
            leaves: point.tally.leaves.saturating_sub(marks.tally.leaves),
            wal_bytes: point.log_bytes.saturating_sub(marks.log_bytes),
            wal_segments: segments,
            memory_bytes: point.tally.node_bytes_since(marks.tally),
            time: marks.at.elapsed(),
        }
    }

    /// Notes a checkpoint of `point`.
    pub(super) fn checkpointed(&self, point: &FlushPoint) {
        let (tally, log_bytes, at) = (point.tally, point.log_bytes, Instant::now());
        *self.marks.lock() = Marks { tally, log_bytes, at };
    }

    /// Notes an error of a call under the checkpoint lock, if it says that another directory is in the store's
    /// place.
    pub(super) fn note_if_displaced(&self, error: &Error) {
        if matches!(error, Error::Displaced(_)) {
            self.displaced.lock().get_or_insert_with(|| error.clone());
        }
    }

    /// Takes the noted error.
    pub(super) fn take_displaced(&self) -> Option<Error> {
        self.displaced.lock().take()
    }

    /// The holds on files of parts.
    pub(super) fn holds(&self) -> &Holds {
        &self.holds
    }

    /// The lock of the thread that writes indexes. A thread takes it before any other.
    pub(super) fn indexing(&self) -> &Mutex<()> {
        &self.indexing
    }

    /// Whose turn it is to merge parts.
    pub(super) fn alone(&self) -> &Alone {
        &self.alone
    }

    /// The files of parts that no manifest names and that are still there.
    pub(super) fn strays(&self) -> &Strays {
        &self.strays
    }

    /// Whether files may have data of erased entries.
    pub(super) fn unerased(&self) -> &Unerased {
        &self.unerased
    }

    /// What is requested and retried.
    pub(super) fn upkeep(&self) -> &Upkeep {
        &self.upkeep
    }
}

/// The manifest in force, and the next numbers.
#[derive(Debug)]
pub(super) struct Live {
    stored: Stored,
    numbers: Numbers,
    /// Manifests whose base has fewer bytes are written whole.
    whole_below: u64,
}

/// The numbers of the next manifest and of the next part.
#[derive(Clone, Copy, Debug)]
pub(super) struct Numbers {
    pub(super) manifest: u64,
    pub(super) part: u64,
}

/// The numbers of manifests and of parts that were assigned between two moments.
#[derive(Clone, Debug)]
pub(super) struct Given {
    pub(super) manifests: Range<u64>,
    pub(super) parts: Range<u64>,
}

impl Live {
    pub(super) fn new(stored: Stored, next: Numbers, whole_below: u64) -> Self {
        Self { stored, numbers: next, whole_below }
    }

    /// The manifest in force.
    pub(super) fn manifest(&self) -> &Manifest {
        &self.stored.manifest
    }

    /// Removes the manifests that are no longer needed.
    pub(super) fn remove_old(&self, fs: &dyn FileSystem) -> Result<()> {
        manifests::remove_old(fs, self.stored.manifest.number, &self.stored.base)
    }

    /// The next numbers.
    pub(super) fn numbers(&self) -> Numbers {
        self.numbers
    }

    /// The numbers that were assigned since the next ones were `before`.
    pub(super) fn given_since(&self, before: Numbers) -> Given {
        let Numbers { manifest, part } = self.numbers;
        Given { manifests: before.manifest..manifest, parts: before.part..part }
    }

    /// Assigns the number of a new part.
    pub(super) fn number_part(&mut self) -> PartId {
        let number = self.numbers.part;
        self.numbers.part += 1;
        PartId(number)
    }

    /// Fails with [`Displaced`](Error::Displaced) if the manifest in force, or one of the segments `log`, has lost its name.
    pub(super) fn check_stands(
        &self,
        fs: &dyn FileSystem,
        log: impl Iterator<Item = SegmentId>,
    ) -> Result<()> {
        let manifest = manifests::file(self.stored.manifest.number);
        manifests::check_files(fs, &[manifest])?;
        manifests::check_files(fs, &log.map(SegmentId::file).collect::<Vec<_>>())
    }

    /// Makes `next` durable in `fs`, and then the manifest in force. The segments `log` make up the log.
    /// `next_segment` is the number of its next new one.
    ///
    /// # Errors
    ///
    /// [`Displaced`](Error::Displaced) if a file that `next` relies on has lost its name.
    pub(super) fn publish(
        &mut self,
        fs: &dyn FileSystem,
        mut next: Manifest,
        log: impl Iterator<Item = SegmentId>,
        next_segment: u64,
    ) -> Result<()> {
        next.number = self.numbers.manifest;
        next.checkpoint = random::id(fs)?;
        next.next_segment = next_segment;
        next.next_part = self.numbers.part;
        self.numbers.manifest += 1;
        // What a manifest does not change is not looked at again: there can be ten thousand trees.
        let is_new = |entry: &&Arc<TreeEntry>| {
            let old = self.stored.manifest.tree(entry.spec.id);
            old.is_none_or(|old| !Arc::ptr_eq(old, entry))
        };
        let parts = next.trees.iter().filter(is_new).flat_map(|entry| &entry.parts);
        let parts = parts.map(|part| part.number.file());
        let relied_on: Vec<_> = parts.chain(log.map(SegmentId::file)).collect();
        self.stored.replace(fs, next, self.whole_below, &relied_on)
    }
}
