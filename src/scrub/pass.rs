//! The pass over all parts of a tree. It compares every block with its checksum and every inner node
//! with the hash of its children, in one pass while the bytes are in the cache.
//!
//! # Invariants
//!
//! - Every block of every column is checked by exactly one piece of work: the piece with the first node
//!   of the block.
//! - A node is compared with the hash of its children *as they are stored*. So one damaged node shows as
//!   a mismatch of itself and of its parent, and nowhere else.

use std::collections::BTreeMap;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};

use rayon::prelude::*;

use super::Progress;
use super::pace::Pace;
use crate::entry::Erasures;
use crate::error::{Damage, Problem};
use crate::merkle::{Arity, Hash, Hasher, Level, Shape, TreeSize, prefetch};
use crate::part::{Base, NODES_PER_BLOCK, PART_BLOCK, PART_BLOCK_LEN, PartFrame, RawPart, Verdict};
use crate::sync::pool::scrub_pool;

/// Leaves per piece of work, as a power of two. The leaves and the nodes above them fit the second-level
/// cache of a core. Arities round down.
const PIECE_BITS: u32 = 14;
/// Pieces verified between two readings of the clock.
const BATCH: u64 = 512;
/// Nodes that vector instructions hash at once.
const LANES: usize = 16;
/// How many nodes ahead of the hashing the memory is prefetched.
const AHEAD_NODES: usize = 96;
/// Nodes read at a time on the levels above the pieces.
const STEP_NODES: u64 = 1 << 14;

/// The most absent blocks that a scrub handles one by one.
const MOST_ABSENT: u64 = 1 << 18;
/// Blocks read at a time when only checksums are compared.
const STEP_BLOCKS: u64 = 64;

/// The parts of one tree, as files.
pub(super) struct TreeParts {
    /// What is left below the parts, if the tree was pruned. The manifest has it, and its checksum is right.
    pub(super) base: Option<Arc<Base>>,
    pub(super) parts: Vec<RawPart>,
    pub(super) frames: Vec<PartFrame>,
    pub(super) hasher: Arc<dyn Hasher>,
    pub(super) arity: Arity,
    pub(super) size: u64,
    /// The erased entries. A part may have their data or not.
    pub(super) erasures: Arc<Erasures>,
}

/// A block of a column: the number of its part in the tree, and its number in the file.
pub(super) type BlockId = (usize, u64);

/// The results of the pass, before they are interpreted.
#[derive(Debug, Default)]
pub(super) struct Faults {
    /// Blocks that do not match their checksum or cannot be read.
    pub(super) blocks: BTreeMap<BlockId, BlockFault>,
    /// Inner nodes that are not the hash of their children as stored.
    pub(super) nodes: Vec<(Level, u64)>,
    pub(super) interrupted: bool,
}

/// Why a block cannot be trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum BlockFault {
    /// The damage, and whether the checksum itself may be wrong.
    Mismatch {
        damage: Box<Damage>,
        doubtful: bool,
    },
    Unreadable(Box<Damage>),
}

impl BlockFault {
    pub(super) fn damage(&self) -> &Damage {
        match self {
            Self::Mismatch { damage, .. } | Self::Unreadable(damage) => damage,
        }
    }
}

#[derive(Default)]
struct Found {
    blocks: Vec<(BlockId, BlockFault)>,
    nodes: Vec<(Level, u64)>,
}

/// Working memory of one thread.
#[derive(Default)]
struct Scratch {
    bytes: Vec<u8>,
    joined: Vec<Hash>,
    /// The hashes computed from the level below, followed by leftovers of earlier levels.
    computed: Vec<Hash>,
    /// The buffer for the hashes of this level.
    hashed: Vec<Hash>,
}

impl TreeParts {
    fn shape(&self) -> Shape {
        Shape::new(self.arity, TreeSize(self.size))
    }

    /// The correct length of all parts in bytes. Saturates, because a header may claim any length for a
    /// missing part.
    pub(super) fn full_len(&self) -> u64 {
        self.parts.iter().map(RawPart::full_len).fold(0, u64::saturating_add)
    }

    /// The bytes of all parts without those of entries.
    pub(super) fn node_len(&self) -> u64 {
        let entries = |part: &RawPart| {
            let blocks = part.entry_blocks();
            (blocks.end - blocks.start).saturating_mul(PART_BLOCK)
        };
        let entries = self.parts.iter().map(entries).fold(0, u64::saturating_add);
        self.full_len().saturating_sub(entries)
    }

    /// Whether too much of the tree is absent to handle its blocks one by one. A missing, truncated or
    /// hollow part may claim any length.
    pub(super) fn is_in_ruins(&self) -> bool {
        let absent = self.parts.iter().map(RawPart::blocks_absent).fold(0, u64::saturating_add);
        absent > MOST_ABSENT || self.parts.iter().any(RawPart::is_hollow)
    }

    /// Compares every present block with its checksum. Does not compare nodes with their children.
    pub(super) fn verify_apart(
        &self,
        mut pace: Option<&mut Pace>,
        progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Faults {
        let mut faults = Faults::default();
        let there = |part: &RawPart| part.blocks_there().end - part.blocks_there().start;
        let blocks = self.parts.iter().map(there).fold(0, u64::saturating_add);
        let total = blocks.saturating_mul(PART_BLOCK);
        let (mut done, mut bytes) = (0, Vec::new());
        for (number, part) in self.parts.iter().enumerate() {
            let blocks = part.blocks_there();
            let mut first = blocks.start;
            while first < blocks.end {
                let count = (blocks.end - first).min(STEP_BLOCKS);
                bytes.resize(usize::try_from(count).unwrap_or(0) * PART_BLOCK_LEN, 0);
                let mut found = Found::default();
                if part.read(first, &mut bytes).is_err() {
                    Self::read_what_can_be(part, (number, first), 0, &mut bytes, &mut found);
                }
                let id = (number, first);
                Blocks { first: id, skip: 0, judged: 0, bytes: &bytes }.judge(self, &mut found);
                faults.add(found);
                first += count;
                done += count * PART_BLOCK;
                if let Some(pace) = &mut pace {
                    pace.wait(done);
                }
                if progress(Progress { done, total }).is_break() {
                    faults.interrupted = true;
                    return faults;
                }
            }
        }
        faults
    }

    /// The height of the pieces: their levels without the one top node.
    fn height(&self) -> Level {
        Level(u8::try_from(PIECE_BITS / self.arity.bits()).unwrap_or(1))
    }

    /// Verifies everything. With a pace all work runs on the calling thread, otherwise on every core.
    pub(super) fn verify(
        &self,
        mut pace: Option<&mut Pace>,
        progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Faults {
        let mut faults = Faults::default();
        let (total, nodes) = (self.full_len(), self.node_len());
        let height = self.height();
        let bits = self.arity.bits() * u32::from(height.0);
        let pieces = self.size.div_ceil(1 << bits);
        let scratch = Mutex::new(Vec::<Scratch>::new());
        let read = AtomicU64::new(0);
        let tops = Mutex::new(Vec::new());
        let batch = if pace.is_some() { 1 } else { BATCH };
        let lock = |faults: &Mutex<Vec<Scratch>>| {
            faults.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
        };
        // The leaves of the pieces before were pruned.
        let mut at = self.base.as_ref().map_or(0, |base| base.size() >> bits);
        let pool = if pace.is_none() { scrub_pool() } else { None };
        while at < pieces {
            let end = pieces.min(at + batch);
            let work = |number: u64| {
                let mut own = lock(&scratch);
                let (found, top, bytes) = self.piece(number, &mut own);
                read.fetch_add(bytes, Ordering::Relaxed);
                scratch.lock().unwrap_or_else(PoisonError::into_inner).push(own);
                if let Some(top) = top {
                    tops.lock().unwrap_or_else(PoisonError::into_inner).push((number, top));
                }
                found
            };
            let found: Vec<Found> = match &pool {
                Some(pool) => pool.install(|| (at..end).into_par_iter().map(work).collect()),
                None => (at..end).map(work).collect(),
            };
            found.into_iter().for_each(|found| faults.add(found));
            let done = read.load(Ordering::Relaxed).min(nodes);
            if let Some(pace) = &mut pace {
                pace.wait(done);
            }
            if progress(Progress { done, total }).is_break() {
                faults.interrupted = true;
                return faults;
            }
            at = end;
        }
        let mut tops = tops.into_inner().unwrap_or_else(PoisonError::into_inner);
        tops.sort_unstable_by_key(|(number, _)| *number);
        let tops = tops.into_iter().map(|(_, top)| top).collect();
        faults.add(self.upper_levels(height, tops, &mut lock(&scratch)));
        if progress(Progress { done: nodes, total }).is_break() {
            faults.interrupted = true;
        }
        faults
    }

    /// Verifies the leaves of piece `number` and the levels above them, except the top node. Returns the
    /// hash of the top node, if it is complete, and the number of bytes read.
    fn piece(&self, number: u64, scratch: &mut Scratch) -> (Found, Option<Hash>, u64) {
        let mut found = Found::default();
        let height = self.height();
        let bits = self.arity.bits();
        let (mut read, mut above) = (0, 0);
        for level in (0..height.0).map(Level) {
            let wide = bits * u32::from(height.0 - level.0);
            let start = (number << wide).max(self.begin(level));
            let end = self.shape().complete(level).min((number + 1) << wide);
            if start >= end {
                return (found, None, read);
            }
            read += (end - start) * size_of::<Hash>() as u64;
            above = self.level(level, start..end, scratch, &mut found);
        }
        let top = scratch.computed[..above].first().copied();
        (found, top, read)
    }

    /// Verifies the nodes `range` of `level`. Compares them with the hashes in `scratch` that were
    /// computed from their children. Then stores the hashes of their parents in `scratch`, and returns
    /// the number of these parents.
    fn level(
        &self,
        level: Level,
        range: Range<u64>,
        scratch: &mut Scratch,
        found: &mut Found,
    ) -> usize {
        let Scratch { bytes, joined, computed, hashed } = scratch;
        let start = range.start;
        // The children of a node of the base were pruned, so there is nothing that it could be compared with.
        let based = self.based(level).end.saturating_sub(start).min(range.end - start);
        if level != Level::LEAVES && based > 0 {
            let based: Vec<_> = self.read_base(level, start, based);
            computed.splice(0..0, based);
        }
        let (nodes, mut blocks) = self.fetch(level, range, bytes, joined, found);
        let expected = (level != Level::LEAVES).then_some(&computed[..]);
        let mut parents = std::mem::take(hashed);
        let above = nodes.len() >> self.arity.bits();
        if parents.len() < above {
            parents.resize(above, [0; 32]);
        }
        let step = LANES << self.arity.bits();
        for (number, group) in nodes.chunks(step).enumerate() {
            let at = number * step;
            let ahead = (at + AHEAD_NODES).min(nodes.len());
            prefetch(&nodes[ahead..nodes.len().min(ahead + step)]);
            if let Some(expected) = expected
                && expected[at..at + group.len()] != *group
            {
                let expected = &expected[at..at + group.len()];
                let differ = expected.iter().zip(group).zip(start + at as u64..);
                let differ = differ.filter(|((computed, stored), _)| computed != stored);
                found.nodes.extend(differ.map(|(_, index)| (level, index)));
            }
            let complete = group.len() >> self.arity.bits();
            let first = at >> self.arity.bits();
            let children = &group[..complete << self.arity.bits()];
            self.hasher.nodes(self.arity, children, &mut parents[first..first + complete]);
            // After hashing: hashing keeps the core busy while the memory is loaded, and the bytes are
            // now in the first-level cache.
            blocks.judge_before(at + group.len(), self, found);
        }
        *hashed = std::mem::replace(computed, parents);
        blocks.judge(self, found);
        above
    }

    /// Verifies the levels from `level` on. `computed` has the nodes of `level`, computed from their
    /// children.
    fn upper_levels(&self, level: Level, computed: Vec<Hash>, scratch: &mut Scratch) -> Found {
        let mut found = Found::default();
        let mut level = level;
        let mut computed = computed;
        while self.shape().complete(level) > 0 {
            let complete = self.shape().complete(level);
            let mut parents = Vec::new();
            // The computed nodes begin behind those of the base.
            let first = self.based(level).end;
            let mut at = self.begin(level);
            while at < complete {
                let end = complete.min(at + STEP_NODES);
                let place =
                    |at: u64| usize::try_from(at.saturating_sub(first)).unwrap_or(usize::MAX);
                scratch.computed.clear();
                scratch.computed.extend_from_slice(&computed[place(at)..place(end)]);
                let above = self.level(level, at..end, scratch, &mut found);
                parents.extend_from_slice(&scratch.computed[..above]);
                at = end;
            }
            computed = parents;
            level = level.up();
        }
        found
    }

    /// The nodes of `level` that the base has.
    fn based(&self, level: Level) -> Range<u64> {
        self.base.as_ref().map_or(0..0, |base| base.nodes_of(level))
    }

    /// The first node of `level` that is there, in the base or in a part. It is the first child of its parent.
    fn begin(&self, level: Level) -> u64 {
        self.based(level).start
    }

    /// `count` nodes of the base.
    fn read_base(&self, level: Level, first: u64, count: u64) -> Vec<Hash> {
        let mut nodes = vec![[0; 32]; usize::try_from(count).unwrap_or(0)];
        if let Some(base) = &self.base {
            // They were counted by the same base.
            let _ = base.read(level, first, &mut nodes);
        }
        nodes
    }

    /// Returns the nodes `range` of `level` as stored, and their blocks, which the caller judges.
    /// Unreadable nodes are zero.
    fn fetch<'s>(
        &'s self,
        level: Level,
        range: Range<u64>,
        bytes: &'s mut Vec<u8>,
        joined: &'s mut Vec<Hash>,
        found: &mut Found,
    ) -> (&'s [Hash], Blocks<'s>) {
        let first = self.parts.partition_point(|part| part.end(level) <= range.start);
        let based = self.based(level).end.min(range.end);
        if range.start >= based
            && self.parts.get(first).is_some_and(|part| part.end(level) >= range.end)
        {
            return self.fetch_from(first, level, range, bytes, found);
        }
        joined.clear();
        let mut at = range.start;
        if at < based {
            joined.extend(self.read_base(level, at, based - at));
            at = based;
        }
        for number in first..self.parts.len() {
            let end = self.parts[number].end(level).min(range.end);
            if at < end {
                let (nodes, mut blocks) = self.fetch_from(number, level, at..end, bytes, found);
                joined.extend_from_slice(nodes);
                blocks.judge(self, found);
                at = end;
            }
        }
        (joined, Blocks { first: (0, 0), skip: 0, judged: 0, bytes: &[] })
    }

    /// The same for one part that has all these nodes.
    fn fetch_from<'s>(
        &'s self,
        number: usize,
        level: Level,
        range: Range<u64>,
        bytes: &'s mut Vec<u8>,
        found: &mut Found,
    ) -> (&'s [Hash], Blocks<'s>) {
        let part = &self.parts[number];
        let (first, skip) = part.place(level, range.start);
        let (last, _) = part.place(level, range.end - 1);
        let blocks = usize::try_from(last - first + 1).unwrap_or(0);
        let owned = usize::from(skip > 0);
        let bytes = match part.borrow(first, blocks) {
            Some(bytes) => bytes,
            None => {
                bytes.resize(blocks * PART_BLOCK_LEN, 0);
                if part.read(first, bytes).is_err() {
                    Self::read_what_can_be(part, (number, first), owned, bytes, found);
                }
                bytes
            }
        };
        debug_assert!(skip < NODES_PER_BLOCK);
        let skip = usize::try_from(skip).unwrap_or(0);
        let len = usize::try_from(range.end - range.start).unwrap_or(0);
        let nodes = &bytes.as_chunks().0[skip..skip + len];
        (nodes, Blocks { first: (number, first), skip, judged: owned, bytes })
    }

    /// Reads block by block, from `first` on, after reading all blocks at once failed.
    #[cold]
    fn read_what_can_be(
        part: &RawPart,
        first: BlockId,
        owned: usize,
        bytes: &mut [u8],
        found: &mut Found,
    ) {
        for (at, block) in bytes.chunks_exact_mut(PART_BLOCK_LEN).enumerate() {
            let id = first.1 + at as u64;
            if let Err(damage) = part.read(id, block) {
                block.fill(0);
                if at >= owned {
                    found.blocks.push(((first.0, id), BlockFault::Unreadable(damage)));
                }
            }
        }
    }
}

/// Adjacent blocks of one part.
struct Blocks<'a> {
    first: BlockId,
    /// How many nodes of the first block precede the requested ones.
    skip: usize,
    /// How many blocks are already judged. The first one may belong to the piece of work with its first
    /// node.
    judged: usize,
    bytes: &'a [u8],
}

impl Blocks<'_> {
    /// Judges the blocks that end before requested node `end` and are not judged yet.
    fn judge_before(&mut self, end: usize, tree: &TreeParts, found: &mut Found) {
        let end = (self.skip + end) * size_of::<Hash>() / PART_BLOCK_LEN;
        self.judge_to(end, tree, found);
    }

    /// Judges the remaining blocks.
    fn judge(&mut self, tree: &TreeParts, found: &mut Found) {
        self.judge_to(self.bytes.len() / PART_BLOCK_LEN, tree, found);
    }

    fn judge_to(&mut self, end: usize, tree: &TreeParts, found: &mut Found) {
        let (number, first) = self.first;
        let blocks = self.bytes.chunks_exact(PART_BLOCK_LEN);
        for block in blocks.take(end).skip(self.judged) {
            let at = first + self.judged as u64;
            self.judged += 1;
            let (stored, computed, doubtful) = match tree.frames[number].judge(at, block) {
                Verdict::Intact => continue,
                Verdict::Damaged { stored, computed } => (stored, computed, false),
                Verdict::Doubtful { stored, computed } => (stored, computed, true),
            };
            found.mismatch(&tree.parts[number], (number, at), stored, computed, doubtful);
        }
    }
}

impl Found {
    #[cold]
    fn mismatch(
        &mut self,
        part: &RawPart,
        id: BlockId,
        stored: u32,
        computed: u32,
        doubtful: bool,
    ) {
        let problem =
            Problem::Checksum { stored: u64::from(stored), computed: u64::from(computed) };
        let damage = Damage::new(&part.path, id.1 * PART_BLOCK, problem);
        self.blocks.push((id, BlockFault::Mismatch { damage, doubtful }));
    }
}

impl Faults {
    fn add(&mut self, found: Found) {
        for (id, fault) in found.blocks {
            // An unreadable block does not match its checksum either. Being unreadable counts.
            match fault {
                BlockFault::Unreadable(_) => drop(self.blocks.insert(id, fault)),
                BlockFault::Mismatch { .. } => drop(self.blocks.entry(id).or_insert(fault)),
            }
        }
        self.nodes.extend(found.nodes);
    }
}
