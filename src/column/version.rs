//! What readers hold: the chunks in memory and the parts on disk, as of one moment.

use std::fmt;
use std::sync::Arc;

use super::chunk::{Chunk, Slots};
use super::layout::{Layout, Place};
use crate::error::ReadError;
use crate::merkle::{Hash, Level, NodeIndex};

/// Complete nodes that are no longer in memory: the parts of a store.
pub(crate) trait Archive: Send + Sync + fmt::Debug {
    /// Copies the nodes `[first, first + out.len())` of `level` into `out`.
    fn read_nodes(&self, level: Level, first: NodeIndex, out: &mut [Hash])
    -> Result<(), ReadError>;

    /// The nodes `[first, first + count)` of `level` as they lie in memory, if they do so side by
    /// side and are known to be intact. `None` means no more than that they must be read.
    fn borrow_nodes(&self, level: Level, first: NodeIndex, count: usize) -> Option<&[Hash]> {
        let _ = (level, first, count);
        None
    }
}

/// An immutable list of where every node is. Cheap to clone: a handful of `Arc`s.
#[derive(Clone, Debug)]
pub(crate) struct Version {
    tiers: Vec<Tier>,
    /// Memory holds every complete node that was not yet complete at this size; the archive holds
    /// the others.
    pub(super) memory_from: u64,
    pub(super) archive: Option<Arc<dyn Archive>>,
}

/// The chunks of one tier that are in memory, without gaps.
#[derive(Clone, Debug, Default)]
struct Tier {
    first: u64,
    chunks: Arc<[Chunk]>,
}

impl Tier {
    /// Where in the list the chunk with this number is, or would be.
    #[inline(always)]
    fn at(&self, number: u64) -> Option<usize> {
        usize::try_from(number.checked_sub(self.first)?).ok()
    }
}

impl Version {
    pub(super) fn new(memory_from: u64, archive: Option<Arc<dyn Archive>>) -> Self {
        Self { tiers: Vec::new(), memory_from, archive }
    }

    /// The chunk of `place`, if it is in memory.
    #[inline(always)]
    pub(super) fn chunk(&self, place: &Place) -> Option<&Chunk> {
        let tier = self.tiers.get(place.tier)?;
        tier.chunks.get(tier.at(place.chunk)?)
    }

    /// The memory that the slots of `place` are in, as far as there is any.
    #[inline(always)]
    pub(super) fn slots(&self, place: &Place) -> Option<&Slots> {
        self.chunk(place)?.level(place.level)
    }

    /// Whether the last chunk of a tier has all slots of its lowest level: the tree was appended to
    /// that much.
    pub(super) fn ends_full(&self, layout: Layout, tier: usize) -> bool {
        let last = self.tiers.get(tier).and_then(|tier| tier.chunks.last());
        let base = last.and_then(|chunk| chunk.level(0));
        base.is_some_and(|slots| slots.has(0, layout.base_slots()))
    }

    /// This version with `chunk` where `place` is: in the stead of the one that is there, or as one
    /// more at the end of its tier. The first chunk of a tier may have any number.
    pub(super) fn with_chunk(&self, place: &Place, chunk: &Chunk) -> Self {
        let mut next = self.clone();
        if next.tiers.len() <= place.tier {
            next.tiers.reserve_exact(place.tier + 1 - self.tiers.len());
            next.tiers.resize_with(place.tier + 1, Tier::default);
        }
        let tier = &mut next.tiers[place.tier];
        if tier.chunks.is_empty() {
            tier.first = place.chunk;
        }
        let at = tier.at(place.chunk).unwrap_or(usize::MAX).min(tier.chunks.len());
        debug_assert_eq!(tier.first + at as u64, place.chunk, "chunks have no gaps");
        let before = tier.chunks[..at].iter();
        let after = tier.chunks[at..].iter().skip(1);
        tier.chunks = before.chain([chunk]).chain(after).cloned().collect();
        next
    }

    /// This version with `archive` holding every node complete at `size`, and without the chunks
    /// that hold nothing else.
    pub(super) fn archived(&self, layout: Layout, size: u64, archive: Arc<dyn Archive>) -> Self {
        let mut next = self.clone();
        next.archive = Some(archive);
        let whole_chunks = size / layout.leaves_per_chunk();
        next.memory_from = next.memory_from.max(whole_chunks * layout.leaves_per_chunk());
        let mut keep_from = whole_chunks;
        for tier in &mut next.tiers {
            if tier.first < keep_from {
                let drop = tier.at(keep_from).unwrap_or(usize::MAX).min(tier.chunks.len());
                tier.chunks = Arc::from(&tier.chunks[drop..]);
                tier.first = keep_from;
            }
            keep_from /= layout.leaves_per_chunk();
        }
        next
    }

    /// How many slots are in memory.
    pub(super) fn slot_count(&self) -> usize {
        self.tiers.iter().flat_map(|tier| &*tier.chunks).map(Chunk::len).sum()
    }
}
