//! The one writer of a tree's inner nodes: hashes complete groups, long after their leaves came.
#![expect(unsafe_code, reason = "fills unpublished slots from published ones, in parallel")]

use std::sync::Arc;

use rayon::prelude::*;

use super::writer::Columns;
use crate::merkle::{Hasher, Level};

/// Hashes inner nodes. There is one per tree.
#[derive(Debug)]
pub(crate) struct NodeWriter {
    columns: Arc<Columns>,
    /// Every inner node complete at this size is written and published.
    hashed: u64,
}

/// Fewer leaves than this are hashed on the calling thread.
const PARALLEL_FROM: u64 = 1 << 14;
/// Leaves per block: with the nodes above them they stay in a core's cache.
const BLOCK_BITS: u32 = 12;

impl NodeWriter {
    pub(super) fn new(columns: Arc<Columns>, hashed: u64) -> Self {
        Self { columns, hashed }
    }

    /// Writes and publishes every inner node that is complete at `size`. Does nothing if that is
    /// done already. O(leaves since the last call / (N - 1)) hashes.
    ///
    /// `size` must not be beyond the published leaves.
    pub(crate) fn hash_to(&mut self, hasher: &dyn Hasher, size: u64) {
        let size = size.min(self.columns.leaves());
        let from = self.hashed;
        if size <= from {
            return;
        }
        let arity = self.columns.layout().arity();
        if size / arity.children() as u64 > from / arity.children() as u64 {
            // Blocks are subtrees: the nodes inside one depend on no other.
            let block_height = BLOCK_BITS / arity.bits();
            let block = 1u64 << (block_height * arity.bits());
            let low = Level(u8::try_from(block_height).unwrap_or(u8::MAX));
            if size - from < PARALLEL_FROM {
                self.hash_levels(hasher, Level::LEAVES, low, from, size);
            } else {
                self.reserve(from, size);
                let this = &*self;
                (from / block..size.div_ceil(block)).into_par_iter().for_each(|number| {
                    let start = from.max(number * block);
                    let end = size.min((number + 1) * block);
                    this.hash_levels(hasher, Level::LEAVES, low, start, end);
                });
            }
            self.hash_levels(hasher, low, Level(u8::MAX), from, size);
        }
        self.hashed = size;
        self.columns.publish_hashed(size);
    }

    /// Makes the chunks for all nodes complete at `size`, in order, so that blocks hashed side by
    /// side find them.
    fn reserve(&self, from: u64, size: u64) {
        let layout = self.columns.layout();
        let mut level = Level::LEAVES;
        while layout.complete(level, size) > 0 {
            let mut at = layout.complete(level, from);
            while at < layout.complete(level, size) {
                let place = layout.place(level, at);
                self.columns.chunk_for(&place, place.chunk > 0);
                at += place.room as u64;
            }
            level = level.up();
        }
    }

    /// Hashes the nodes of the levels above `low`, up to `high`, that are complete at `size` and
    /// were not at `from`.
    fn hash_levels(&self, hasher: &dyn Hasher, low: Level, high: Level, from: u64, size: u64) {
        let layout = self.columns.layout();
        let mut level = low;
        while level < high {
            let parents = layout.complete(level.up(), from)..layout.complete(level.up(), size);
            if layout.complete(level.up(), size) == 0 {
                break;
            }
            self.hash_run(hasher, level, parents);
            level = level.up();
        }
    }

    /// Hashes the parents `range` of the children in `level`.
    fn hash_run(&self, hasher: &dyn Hasher, level: Level, range: std::ops::Range<u64>) {
        let layout = self.columns.layout();
        let arity = layout.arity();
        let mut at = range.start;
        while at < range.end {
            let children = layout.place(level, at << arity.bits());
            let parents = layout.place(level.up(), at);
            let groups = (children.room / arity.children()).min(parents.room);
            let len = usize::try_from(range.end - at).unwrap_or(usize::MAX).min(groups);
            let below = self.columns.chunk_for(&children, false);
            let above = self.columns.chunk_for(&parents, false);
            // SAFETY: children are leaves below the published count (loaded with Acquire by
            // `hash_to`), seeds, or nodes that this writer has written: on this thread or, in
            // another block, before the join that came before this call. Parents are above
            // `hashed`, so unpublished, and `&mut self` in `hash_to` makes this the only node
            // writer; blocks have no parent in common. Children and parents are different slots.
            unsafe {
                let children = below.slots(children.slot, len * arity.children());
                hasher.nodes(arity, children, above.slots_mut(parents.slot, len));
            }
            at += len as u64;
        }
    }
}
