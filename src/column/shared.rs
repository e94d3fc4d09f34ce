//! What one tree's readers and writers share: the newest version, and how far it is filled.
//!
//! # Invariants
//!
//! - Only the one writer of a level gives that level more memory: the leaf writer that of the leaves,
//!   the node writer that of all others; `append_and_hash` holds both. It fills no slot meanwhile. So
//!   the copy of the level that it makes has every slot that was written, published or not, and
//!   nothing is written to the old memory any more.
//! - The copy is complete before the version with it is installed. So a reader that loads the new
//!   version finds all that was published before, and one that keeps the old version keeps the old
//!   memory, which holds all that its counts speak of.
//! - A slot is filled after the version with its memory was installed, and published after it was
//!   filled. So a reader that loads the version after a count finds memory for every slot below the
//!   count: that version, or a later one.
//! - A version is made from the newest one under `install`, and takes all levels from it but the one
//!   that it changes. So what two writers and a checkpoint install is never lost.
//! - An archive drops no chunk that a writer gives memory to: the nodes that the writer is about to
//!   fill are in it, so it is not archived whole.
#![expect(unsafe_code, reason = "copies the slots of a level that its one writer outgrows")]

use std::sync::Arc;

use super::chunk::{Chunk, Slots};
use super::layout::{Layout, Place};
use super::version::{Archive, Version};
use super::view::View;
use crate::merkle::Hash;
use crate::sync;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{ArcSwap, Mutex};

/// What one tree's readers and writers share.
#[derive(Debug)]
pub(crate) struct Columns {
    layout: Layout,
    /// Replaced under `install`; loaded by readers without it.
    version: ArcSwap<Version>,
    /// Serialises the three that replace the version: leaf writer, node writer, checkpoint. Held for
    /// the copy of a few pointers, never across I/O.
    install: Mutex<()>,
    leaves: AtomicU64,
    hashed: AtomicU64,
}

/// How soon memory is expected to be filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Filling {
    /// Perhaps never: its pages are taken one by one.
    Slow,
    /// Soon: huge pages pay.
    Fast,
}

impl Columns {
    /// The columns of a tree whose first `size` leaves and their complete nodes are in `archive`.
    pub(super) fn new(layout: Layout, size: u64, archive: Option<Arc<dyn Archive>>) -> Arc<Self> {
        Arc::new(Self {
            layout,
            version: ArcSwap::new(Arc::new(Version::new(size, archive))),
            install: Mutex::new(()),
            leaves: AtomicU64::new(size),
            hashed: AtomicU64::new(size),
        })
    }

    #[inline]
    pub(crate) fn layout(&self) -> Layout {
        self.layout
    }

    /// How many leaves are published.
    pub(crate) fn leaves(&self) -> u64 {
        self.leaves.load(Ordering::Acquire)
    }

    /// Everything that is published now. Lock-free.
    pub(crate) fn view(&self) -> View {
        let early = sync::defect("a view loads the version before the counts")
            .then(|| self.version.load_full());
        // The counts first: the version loaded after them has memory for every slot below them.
        let hashed = self.hashed.load(Ordering::Acquire);
        let leaves = self.leaves.load(Ordering::Acquire);
        let version = early.unwrap_or_else(|| self.version.load_full());
        View { layout: self.layout, version, leaves, hashed }
    }

    /// Lets `archive`, which holds every node complete at `size`, answer for them, and drops the
    /// chunks that hold nothing else as soon as no view needs them.
    pub(crate) fn archive(&self, size: u64, archive: Arc<dyn Archive>) {
        self.install(|newest| newest.archived(self.layout, size, archive));
    }

    /// Bytes that the slots in memory take; those that are not filled yet are counted too.
    pub(crate) fn memory_bytes(&self) -> u64 {
        (self.version.load_full().slot_count() * size_of::<Hash>()) as u64
    }

    #[inline]
    pub(super) fn publish_leaves(&self, len: u64) {
        self.leaves.store(len, Ordering::Release);
    }

    pub(super) fn publish_hashed(&self, size: u64) {
        self.hashed.store(size, Ordering::Release);
    }

    /// The newest version.
    pub(super) fn version(&self) -> Arc<Version> {
        self.version.load_full()
    }

    /// Sees to it that `version` has memory for the slots `[place.slot, place.slot + count)`: loads the
    /// newest one, and makes the memory if need be. Only for the one writer of the level.
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

    /// The memory of the level of `place`, with the slots `[place.slot, place.slot + count)` in it: what
    /// the newest version has, or more, in a version that is installed now. Only for the one writer of
    /// the level.
    pub(super) fn slots_for(&self, place: &Place, count: usize, filling: Filling) -> Slots {
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
            // No level of it is there, so its levels have no other memory and no other writer now.
            let chunk = Chunk::whole(self.layout, huge);
            let slots = chunk.level(place.level).cloned().unwrap_or_default();
            self.install(|newest| newest.with_chunk(place, &chunk));
            return slots;
        }
        let slots = Slots::new(first, end, huge);
        // SAFETY: the caller is the only writer of this level, and has the new slots to itself as
        // long as they are not installed.
        let copy = || unsafe { slots.copy_from(&old) };
        let late = sync::defect("a level is installed before its slots are copied");
        if !late {
            copy();
        }
        self.install(|newest| {
            // The other levels are those of the newest version: their writers may have been here.
            let chunk = newest.chunk(place).cloned().unwrap_or_default();
            newest.with_chunk(place, &chunk.with_level(place.level, &slots))
        });
        if late {
            copy();
        }
        slots
    }

    /// Replaces the newest version by the one that `change` makes of it.
    fn install(&self, change: impl FnOnce(&Version) -> Version) {
        let install = self.install.lock();
        if sync::defect("a version is installed without the lock") {
            drop(install);
        }
        let next = change(&self.version.load_full());
        self.version.store(Arc::new(next));
    }
}
