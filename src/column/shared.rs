//! The state that the readers and writers of one tree share: the newest version, and how far it is
//! filled.
//!
//! # Invariants
//!
//! - Only the single writer of a level gives the level more memory. This is the leaf writer for leaves
//!   and the node writer for all other levels. `append_and_hash` holds both. The writer fills no slot
//!   meanwhile. So its copy of the level has every written slot, published or not, and nothing is
//!   written to the old memory any more.
//! - The copy is complete before the version with it is installed. So a reader that loads the new
//!   version finds everything that was published before. A reader that keeps the old version also keeps
//!   the old memory, which has every slot below the reader's counts.
//! - A slot is filled after the version with its memory was installed, and published after it was
//!   filled. So a reader that loads the version after a count gets this version or a later one, with
//!   memory for every slot below the count.
//! - A new version is made from the newest one under the lock `install`. It changes one level and keeps
//!   all others. So a version that one of the two writers or a checkpoint installs is never lost.
//! - An archive drops no chunk to which a writer adds memory. The nodes that the writer is about to fill
//!   are in this chunk, so the archive does not have all of the chunk.
#![expect(unsafe_code, reason = "copies the slots of a level that its one writer outgrows")]

use std::sync::Arc;

use super::account::Account;
use super::chunk::{Chunk, Slots};
use super::entries::EntryChunk;
use super::layout::{Layout, Place};
use super::version::{Archive, Version};
use super::view::View;
use crate::merkle::Hash;
use crate::sync;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{ArcSwap, Mutex};

/// The shared state of one tree's columns.
#[derive(Debug)]
pub(crate) struct Columns {
    layout: Layout,
    /// Replaced under `install`. Readers load it without the lock.
    version: ArcSwap<Version>,
    /// Serialises the leaf writer, the node writer and the checkpoint, which replace the version. Held
    /// while a few pointers are copied, never across I/O.
    install: Mutex<()>,
    leaves: AtomicU64,
    hashed: AtomicU64,
    /// All memory of the tree that is still allocated.
    account: Account,
}

/// How soon memory is expected to be filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Filling {
    /// Perhaps never. The memory takes one small page at a time.
    Slow,
    /// Soon. Huge pages are worth their cost.
    Fast,
}

impl Columns {
    /// The columns of a tree. `archive` has the first `size` leaves and their complete nodes. Its memory is in `account`.
    pub(super) fn new(
        layout: Layout,
        size: u64,
        archive: Option<Arc<dyn Archive>>,
        account: Account,
    ) -> Arc<Self> {
        Arc::new(Self {
            layout,
            version: ArcSwap::new(Arc::new(Version::new(size, archive, account.clone()))),
            install: Mutex::new(()),
            leaves: AtomicU64::new(size),
            hashed: AtomicU64::new(size),
            account,
        })
    }

    #[inline]
    pub(crate) fn layout(&self) -> Layout {
        self.layout
    }

    /// The number of published leaves.
    pub(crate) fn leaves(&self) -> u64 {
        self.leaves.load(Ordering::Acquire)
    }

    /// Everything that is published now. Lock-free.
    pub(crate) fn view(&self) -> View {
        let early = sync::defect("a view loads the version before the counts")
            .then(|| self.version.load_full());
        // Loads the counts first, so that the version loaded after them has memory for every slot below
        // them.
        let hashed = self.hashed.load(Ordering::Acquire);
        let leaves = self.leaves.load(Ordering::Acquire);
        let version = early.unwrap_or_else(|| self.version.load_full());
        View { layout: self.layout, version, leaves, hashed }
    }

    /// Makes `archive` answer for every node that is complete at `size`. Chunks that have no other nodes
    /// are freed when the last view of them is dropped. Changes nothing if the archive does not have all that the one
    /// before it has.
    pub(crate) fn archive(&self, size: u64, archive: Arc<dyn Archive>) {
        self.install(|newest| newest.archived(self.layout, size, archive));
    }

    /// Bytes of all slots in memory, including slots that are not filled yet.
    pub(crate) fn memory_bytes(&self) -> u64 {
        self.version.load_full().memory_bytes() as u64
    }

    /// Bytes of all memory of the tree that is still allocated, because the newest version has it or because
    /// something holds it: chunks, and entries that were read from parts.
    pub(crate) fn allocated_bytes(&self) -> u64 {
        self.account.bytes()
    }

    /// Those of [`allocated_bytes`](Self::allocated_bytes) that the newest version does not have.
    pub(crate) fn pinned_bytes(&self) -> u64 {
        let newest = self.memory_bytes();
        self.account.bytes().saturating_sub(newest)
    }

    pub(super) fn account(&self) -> &Account {
        &self.account
    }

    /// Adds memory for entries. Only for the leaf writer.
    pub(super) fn add_entries(&self, chunk: &EntryChunk) {
        self.install(|newest| newest.with_entries(chunk));
    }

    /// Removes the memory of entries from `index` on, none of which is published. Only for the leaf
    /// writer.
    pub(super) fn drop_entries(&self, index: u64) {
        self.install(|newest| newest.without_entries(index));
    }

    #[inline]
    pub(super) fn publish_leaves(&self, len: u64) {
        self.leaves.store(len, Ordering::Release);
    }

    pub(super) fn publish_hashed(&self, size: u64) {
        self.hashed.store(size, Ordering::Release);
    }

    /// Takes nodes for hashed that are not there: a mistake that tests have to notice.
    #[cfg(duramen_mutants)]
    pub(crate) fn pretend_hashed(&self, size: u64) {
        self.publish_hashed(size);
    }

    #[cfg(not(duramen_mutants))]
    pub(crate) fn pretend_hashed(&self, _: u64) {}

    /// The newest version.
    pub(super) fn version(&self) -> Arc<Version> {
        self.version.load_full()
    }

    /// Makes sure that `version` has memory for the slots `[place.slot, place.slot + count)`. Loads the
    /// newest version, and makes the memory if it is missing. Only for the single writer of the level.
    pub(super) fn ensure(
        &self,
        version: &mut Arc<Version>,
        place: &Place,
        count: usize,
        filling: Filling,
    ) {
        if !version.slots(place).is_some_and(|slots| slots.has(place.slot, count)) {
            self.slots_for(place, count, filling);
            *version = self.version.load_full();
        }
    }

    /// Returns memory of the level of `place` with the slots `[place.slot, place.slot + count)`. This is
    /// the memory in the newest version, if it has the slots. Otherwise makes larger memory and installs
    /// a version with it. Only for the single writer of the level.
    pub(super) fn slots_for(&self, place: &Place, count: usize, filling: Filling) -> Slots<Hash> {
        let version = self.version.load_full();
        let old = version.slots(place).cloned().unwrap_or_default();
        if old.has(place.slot, count) {
            return old;
        }
        let huge = filling == Filling::Fast && self.layout.has_huge_pages();
        let first = old.first().unwrap_or(place.slot);
        let end = self.layout.reach(place, first, place.slot + count);
        let all = place.level == 0 && (first, end) == (0, place.level_end());
        if version.chunk(place).is_none() && (all || version.ends_full(self.layout, place.tier)) {
            // No level of the chunk exists yet, so no level has other memory or another writer at work.
            let chunk = Chunk::whole(self.layout, huge, &self.account);
            let slots = chunk.level(place.level).cloned().unwrap_or_default();
            self.install(|newest| newest.with_chunk(place, &chunk));
            return slots;
        }
        let slots = Slots::new(first, end, huge, &self.account);
        // SAFETY: the caller is the only writer of this level. No other thread has the new slots until
        // they are installed.
        let copy = || unsafe { slots.copy_from(&old) };
        let late = sync::defect("a level is installed before its slots are copied");
        if !late {
            copy();
        }
        self.install(|newest| {
            // Takes the other levels from the newest version, because their writers may have changed it
            // meanwhile.
            let chunk = newest.chunk(place).cloned().unwrap_or_default();
            newest.with_chunk(place, &chunk.with_level(place.level, &slots))
        });
        if late {
            copy();
        }
        slots
    }

    /// Replaces the newest version with the result of `change`.
    fn install(&self, change: impl FnOnce(&Version) -> Version) {
        let install = self.install.lock();
        if sync::defect("a version is installed without the lock") {
            drop(install);
        }
        let next = change(&self.version.load_full());
        self.version.store(Arc::new(next));
    }
}
