//! The shared columns of one tree and the one writer of its leaves.
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
#![expect(unsafe_code, reason = "fills unpublished slots")]

use std::sync::Arc;

use super::chunk::{Chunk, Slots};
use super::layout::{Layout, Place};
use super::nodes::NodeWriter;
use super::version::{Archive, Version};
use super::view::View;
use crate::merkle::{Hash, Level};
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

/// Nodes that a reopened tree needs in memory to go on: those of `level` from `first` on, complete
/// at the archived size, whose parent is not.
#[derive(Clone, Debug)]
pub(crate) struct Seed {
    pub(crate) level: Level,
    pub(crate) first: u64,
    pub(crate) nodes: Vec<Hash>,
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
    /// The columns of a tree whose first `size` leaves and their complete nodes are in `archive`,
    /// with their two writers. `seeds` holds, per level, the complete children of the incomplete
    /// node above.
    pub(crate) fn resume(
        layout: Layout,
        size: u64,
        archive: Option<Arc<dyn Archive>>,
        seeds: &[Seed],
    ) -> (Arc<Self>, LeafWriter, NodeWriter) {
        let columns = Arc::new(Self {
            layout,
            version: ArcSwap::new(Arc::new(Version::new(size, archive))),
            install: Mutex::new(()),
            leaves: AtomicU64::new(size),
            hashed: AtomicU64::new(size),
        });
        for seed in seeds {
            let place = layout.place(seed.level, seed.first);
            let slots = columns.slots_for(&place, seed.nodes.len(), Filling::Slow);
            // SAFETY: no other thread has the columns yet, and these slots, being below the size at
            // which memory begins, are never published.
            unsafe { slots.write(place.slot, seed.nodes.len()) }.copy_from_slice(&seed.nodes);
        }
        let leaves = LeafWriter { columns: Arc::clone(&columns), len: size, last: None };
        let nodes = NodeWriter::new(Arc::clone(&columns), size);
        (columns, leaves, nodes)
    }

    /// The columns of an empty tree, with their two writers.
    pub(crate) fn empty(layout: Layout) -> (Arc<Self>, LeafWriter, NodeWriter) {
        Self::resume(layout, 0, None, &[])
    }

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

/// Appends leaves. There is one per tree.
#[derive(Debug)]
pub(crate) struct LeafWriter {
    pub(super) columns: Arc<Columns>,
    len: u64,
    /// The number of the chunk that the last leaf went to, and its memory for leaves.
    last: Option<(u64, Slots)>,
}

impl LeafWriter {
    /// How many leaves were appended.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Appends `leaves` and publishes them together: a reader sees all of them or none.
    pub(crate) fn append(&mut self, leaves: &[Hash]) {
        self.write(leaves);
        self.publish(self.len + leaves.len() as u64);
    }

    /// Writes `leaves` where the next ones belong, and publishes nothing. What is written next takes their
    /// place, unless [`publish`](Self::publish) is called before.
    pub(crate) fn write(&mut self, leaves: &[Hash]) {
        let mut rest = leaves;
        let mut at = self.len;
        while !rest.is_empty() {
            let place = self.columns.layout.place(Level::LEAVES, at);
            let (now, later) = rest.split_at(rest.len().min(place.room));
            let slots = match &self.last {
                Some((chunk, slots))
                    if *chunk == place.chunk && slots.has(place.slot, now.len()) =>
                {
                    slots
                }
                _ => {
                    // A tree that has filled a chunk will use all of the next one.
                    let fast = place.chunk > 0 || now.len() == place.room;
                    let filling = if fast { Filling::Fast } else { Filling::Slow };
                    let slots = self.columns.slots_for(&place, now.len(), filling);
                    &self.last.insert((place.chunk, slots)).1
                }
            };
            // SAFETY: these slots are at or above `len`, so unpublished, and `&mut self` is the
            // only leaf writer.
            unsafe { slots.write(place.slot, now.len()) }.copy_from_slice(now);
            at += now.len() as u64;
            rest = later;
        }
    }

    /// Looks up the memory for leaves again at the next call: the node writer is about to replace it.
    pub(super) fn forget_slots(&mut self) {
        self.last = None;
    }

    /// Publishes all leaves below `len`, which have been written.
    pub(crate) fn publish(&mut self, len: u64) {
        self.len = len;
        self.columns.leaves.store(len, Ordering::Release);
    }
}
