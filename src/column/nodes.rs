//! The only writer of a tree's inner nodes. It hashes complete groups, often long after their leaves
//! were appended.
#![expect(unsafe_code, reason = "fills unpublished slots from published ones, in parallel")]

use std::ops::Range;
use std::sync::Arc;

use rayon::prelude::*;

use super::leaves::LeafWriter;
use super::shared::{Columns, Filling};
use super::version::Version;
use crate::merkle::{Hash, Hasher, Level};
use crate::sync::pool::pool;

/// Hashes inner nodes. There is one per tree.
#[derive(Debug)]
pub(crate) struct NodeWriter {
    columns: Arc<Columns>,
    /// Every inner node that is complete at this size is written and published.
    hashed: u64,
}

/// Fewer leaves than this are hashed on the calling thread.
const PARALLEL_FROM: u64 = 1 << 14;
/// A level above every level that a tree can have.
const TOP: Level = Level(u8::MAX);
/// Leaves per block: a block and the nodes above it fit the cache of a core.
const BLOCK_BITS: u32 = 12;

impl NodeWriter {
    pub(super) fn new(columns: Arc<Columns>, hashed: u64) -> Self {
        Self { columns, hashed }
    }

    /// Writes and publishes every inner node that is complete at `size`. Does nothing if they are
    /// already written. O(leaves since the last call / (N - 1)) hashes.
    ///
    /// `size` must not exceed the number of published leaves.
    pub(crate) fn hash_to(&mut self, hasher: &dyn Hasher, size: u64) {
        let size = size.min(self.columns.leaves());
        let from = self.hashed;
        if size <= from {
            return;
        }
        let arity = self.columns.layout().arity();
        if size >> arity.bits() > from >> arity.bits() {
            let low = self.block_height();
            let mut version = self.columns.version();
            if size - from < PARALLEL_FROM {
                self.hash_levels(hasher, &mut version, Level::LEAVES..low, from, size);
            } else {
                self.reserve(&mut version, Level::LEAVES.up(), from, size);
                self.each_block(from, size, |start, end| {
                    let mut version = Arc::clone(&version);
                    self.hash_levels(hasher, &mut version, Level::LEAVES..low, start, end);
                });
            }
            self.hash_levels(hasher, &mut version, low..TOP, from, size);
        }
        self.hashed = size;
        self.columns.publish_hashed(size);
    }

    /// Appends a large batch of leaves and hashes the nodes that become complete. Works block by block,
    /// on every core, while the leaves are in the cache. Equal to [`LeafWriter::append`] and then
    /// [`hash_to`](Self::hash_to). If `hasher` panics, nothing is appended.
    pub(crate) fn append_and_hash(
        &mut self,
        hasher: &dyn Hasher,
        writer: &mut LeafWriter,
        leaves: &[Hash],
    ) {
        debug_assert!(Arc::ptr_eq(&self.columns, &writer.columns), "writers of one tree");
        let from = writer.len();
        self.hash_to(hasher, from);
        writer.forget_slots();
        let size = from + leaves.len() as u64;
        let low = self.block_height();
        let mut version = self.columns.version();
        self.reserve(&mut version, Level::LEAVES, from, size);
        self.each_block(from, size, |start, end| {
            let offset = |at: u64| usize::try_from(at - from).unwrap_or(usize::MAX);
            let mut version = Arc::clone(&version);
            self.copy_leaves(&mut version, start, &leaves[offset(start)..offset(end)]);
            self.hash_levels(hasher, &mut version, Level::LEAVES..low, start, end);
        });
        self.hash_levels(hasher, &mut version, low..TOP, from, size);
        // The hash function is foreign code and may panic. So nothing is published before its last call
        // has returned.
        writer.publish(size);
        self.hashed = size;
        self.columns.publish_hashed(size);
    }

    /// The height of the subtrees that are hashed in parallel.
    fn block_height(&self) -> Level {
        let arity = self.columns.layout().arity();
        Level(u8::try_from(BLOCK_BITS / arity.bits()).unwrap_or(u8::MAX))
    }

    /// Calls `hash` for the leaves of every block in `[from, size)`, on every core. A block is a
    /// subtree, so its nodes depend on no other block.
    fn each_block(&self, from: u64, size: u64, hash: impl Fn(u64, u64) + Sync) {
        let bits = u32::from(self.block_height().0) * self.columns.layout().arity().bits();
        let block = |number: u64| {
            let start = from.max(number << bits);
            let end = size.min((number + 1) << bits);
            hash(start, end);
        };
        let numbers = (from >> bits)..((size - 1) >> bits) + 1;
        match pool() {
            Some(pool) => pool.install(|| numbers.into_par_iter().for_each(block)),
            None => numbers.for_each(block),
        }
    }

    /// Makes memory, in order, for the nodes of `level` and above that are complete at `size`. So the
    /// blocks that are hashed in parallel find their slots.
    fn reserve(&self, version: &mut Arc<Version>, mut level: Level, from: u64, size: u64) {
        let layout = self.columns.layout();
        while layout.complete(level, size) > 0 {
            let filling = if level == Level::LEAVES { Filling::Fast } else { Filling::Slow };
            let (mut at, end) = (layout.complete(level, from), layout.complete(level, size));
            while at < end {
                let place = layout.place(level, at);
                let count = usize::try_from(end - at).unwrap_or(usize::MAX).min(place.room);
                self.columns.ensure(version, &place, count, filling);
                at += count as u64;
            }
            level = level.up();
        }
    }

    /// Writes leaves from index `at` on. Does not publish them.
    fn copy_leaves(&self, version: &mut Arc<Version>, mut at: u64, mut leaves: &[Hash]) {
        while !leaves.is_empty() {
            let place = self.columns.layout().place(Level::LEAVES, at);
            let (now, later) = leaves.split_at(leaves.len().min(place.room));
            self.columns.ensure(version, &place, now.len(), Filling::Fast);
            let Some(slots) = version.slots(&place) else { return };
            // SAFETY: only `append_and_hash` calls this. It holds the only leaf writer, these slots
            // are above its length, so unpublished, and no two blocks have a leaf in common.
            unsafe { slots.write(place.slot, now.len()) }.copy_from_slice(now);
            at += now.len() as u64;
            leaves = later;
        }
    }

    /// Hashes the parents of the nodes in `levels`: the parents that are complete at `size` but not at
    /// `from`.
    fn hash_levels(
        &self,
        hasher: &dyn Hasher,
        version: &mut Arc<Version>,
        levels: Range<Level>,
        from: u64,
        size: u64,
    ) {
        let layout = self.columns.layout();
        let mut level = levels.start;
        while level < levels.end {
            let parents = layout.complete(level.up(), from)..layout.complete(level.up(), size);
            if parents.end == 0 {
                break;
            }
            self.hash_run(hasher, version, level, parents);
            level = level.up();
        }
    }

    /// Hashes the parents `range` from their children in `level`.
    fn hash_run(
        &self,
        hasher: &dyn Hasher,
        version: &mut Arc<Version>,
        level: Level,
        range: Range<u64>,
    ) {
        let layout = self.columns.layout();
        let arity = layout.arity();
        let mut at = range.start;
        while at < range.end {
            let children = layout.place(level, at << arity.bits());
            let parents = layout.place(level.up(), at);
            let groups = (children.room / arity.children()).min(parents.room);
            let len = usize::try_from(range.end - at).unwrap_or(usize::MAX).min(groups);
            self.columns.ensure(version, &parents, len, Filling::Slow);
            let (Some(below), Some(above)) = (version.slots(&children), version.slots(&parents))
            else {
                // Children stay in memory until their parent is hashed, so this branch is unreachable.
                debug_assert!(false, "children of unhashed nodes are in memory");
                return;
            };
            // SAFETY: the children are written. Either they are leaves below the published count, which
            // `hash_to` loaded with Acquire. Or they are leaves that this block has copied, or seeds. Or
            // they are nodes that this writer has written: on this thread, or in another block, before
            // the join that precedes this call. A call after a panic of `hasher` may fill slots again,
            // but none of them was published. The parents are above `hashed`, so they are unpublished.
            // `&mut self` in both callers makes this the only node writer, and no two blocks have a
            // parent in common. Children and parents are different slots.
            unsafe {
                let children = below.read(children.slot, len * arity.children());
                hasher.nodes(arity, children, above.write(parents.slot, len));
            }
            at += len as u64;
        }
    }
}
