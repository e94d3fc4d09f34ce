//! The shared columns of one tree and the one writer of its leaves.
#![expect(unsafe_code, reason = "fills unpublished slots")]

use std::sync::Arc;

use super::chunk::Chunk;
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

/// How soon a chunk is expected to be full.
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
            let chunk = columns.chunk_for(&place, Filling::Slow);
            // SAFETY: no other thread has the columns yet, and these slots, being below the size at
            // which memory begins, are never published.
            unsafe { chunk.slots_mut(place.slot, seed.nodes.len()) }.copy_from_slice(&seed.nodes);
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
        // The counts first: the version loaded after them has every chunk they speak of.
        let hashed = self.hashed.load(Ordering::Acquire);
        let leaves = self.leaves.load(Ordering::Acquire);
        let version = early.unwrap_or_else(|| self.version.load_full());
        View { layout: self.layout, version, leaves, hashed }
    }

    /// Lets `archive`, which holds every node complete at `size`, answer for them, and drops the
    /// chunks that hold nothing else as soon as no view needs them.
    pub(crate) fn archive(&self, size: u64, archive: Arc<dyn Archive>) {
        let install = self.install.lock();
        if sync::defect("an archive is installed without the lock") {
            drop(install);
        }
        let next = self.version.load_full().archived(self.layout, size, archive);
        self.version.store(Arc::new(next));
    }

    /// Bytes of address space that the chunks in memory take; the last chunk of a tier is counted
    /// whole.
    pub(crate) fn memory_bytes(&self) -> u64 {
        let chunks = self.version.load_full().chunk_count();
        (chunks * self.layout.slots() * size_of::<Hash>()) as u64
    }

    pub(super) fn publish_hashed(&self, size: u64) {
        self.hashed.store(size, Ordering::Release);
    }

    /// Sees to it that `version` has the chunk for `place`: loads the newest one, and makes and
    /// installs the chunk if it is the next one of its tier.
    pub(super) fn ensure_chunk(&self, version: &mut Arc<Version>, place: &Place, filling: Filling) {
        if version.chunk(place).is_none() {
            self.chunk_for(place, filling);
            *version = self.version.load_full();
        }
    }

    /// The newest version.
    pub(super) fn version(&self) -> Arc<Version> {
        self.version.load_full()
    }

    /// The chunk for `place`, made and installed if it is the next one of its tier.
    pub(super) fn chunk_for(&self, place: &Place, filling: Filling) -> Arc<Chunk> {
        if let Some(chunk) = self.version.load_full().chunk(place) {
            return Arc::clone(chunk);
        }
        let huge = filling == Filling::Fast && self.layout.has_huge_pages();
        let chunk = Arc::new(Chunk::new(self.layout.slots(), huge));
        let _install = self.install.lock();
        let next = self.version.load_full().with_chunk(place.tier, place.chunk, Arc::clone(&chunk));
        self.version.store(Arc::new(next));
        chunk
    }
}

/// Appends leaves. There is one per tree.
#[derive(Debug)]
pub(crate) struct LeafWriter {
    pub(super) columns: Arc<Columns>,
    len: u64,
    /// The chunk that the last leaf went to, and its number.
    last: Option<(u64, Arc<Chunk>)>,
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
            let chunk = match &self.last {
                Some((number, chunk)) if *number == place.chunk => chunk,
                _ => {
                    // A tree that has filled a chunk will use all of the next one.
                    let fast = place.chunk > 0 || rest.len() >= place.room;
                    let filling = if fast { Filling::Fast } else { Filling::Slow };
                    let chunk = self.columns.chunk_for(&place, filling);
                    &self.last.insert((place.chunk, chunk)).1
                }
            };
            let (now, later) = rest.split_at(rest.len().min(place.room));
            // SAFETY: these slots are at or above `len`, so unpublished, and `&mut self` is the
            // only leaf writer.
            unsafe { chunk.slots_mut(place.slot, now.len()) }.copy_from_slice(now);
            at += now.len() as u64;
            rest = later;
        }
    }

    /// Publishes all leaves below `len`, which have been written.
    pub(crate) fn publish(&mut self, len: u64) {
        self.len = len;
        self.columns.leaves.store(len, Ordering::Release);
    }
}
