//! What readers hold: the chunks in memory and the parts on disk, as of one moment.

use std::fmt;
use std::sync::Arc;

use super::chunk::Chunk;
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
    tiers: Vec<Arc<Tier>>,
    /// Memory holds every complete node that was not yet complete at this size; the archive holds
    /// the others.
    pub(super) memory_from: u64,
    pub(super) archive: Option<Arc<dyn Archive>>,
}

/// The chunks of one tier that are in memory, without gaps.
#[derive(Clone, Debug, Default)]
struct Tier {
    first: u64,
    chunks: Vec<Arc<Chunk>>,
}

impl Version {
    pub(super) fn new(memory_from: u64, archive: Option<Arc<dyn Archive>>) -> Self {
        Self { tiers: Vec::new(), memory_from, archive }
    }

    /// The chunk that holds `place`, if it is in memory.
    #[inline(always)]
    pub(super) fn chunk(&self, place: &Place) -> Option<&Arc<Chunk>> {
        let tier = self.tiers.get(place.tier)?;
        let at = usize::try_from(place.chunk.checked_sub(tier.first)?).ok()?;
        tier.chunks.get(at)
    }

    /// This version with one more chunk at the end of a tier. The first chunk of a tier may have any
    /// number.
    pub(super) fn with_chunk(&self, tier: usize, number: u64, chunk: Arc<Chunk>) -> Self {
        let mut next = self.clone();
        if next.tiers.len() <= tier {
            next.tiers.resize_with(tier + 1, Arc::default);
        }
        let tier = Arc::make_mut(&mut next.tiers[tier]);
        if tier.chunks.is_empty() {
            tier.first = number;
        }
        debug_assert_eq!(tier.first + tier.chunks.len() as u64, number, "chunks have no gaps");
        tier.chunks.push(chunk);
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
                let tier = Arc::make_mut(tier);
                let drop = usize::try_from(keep_from - tier.first).unwrap_or(usize::MAX);
                tier.chunks.drain(..drop.min(tier.chunks.len()));
                tier.first = keep_from;
            }
            keep_from /= layout.leaves_per_chunk();
        }
        next
    }

    /// How many chunks are in memory.
    pub(super) fn chunk_count(&self) -> usize {
        self.tiers.iter().map(|tier| tier.chunks.len()).sum()
    }
}
