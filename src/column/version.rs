//! The chunks in memory and the parts on disk, as readers see them at one moment.

use std::fmt;
use std::sync::Arc;

use super::account::Account;
use super::chunk::{Chunk, Slots};
use super::entries::{EntryBytes, EntryChunk, EntrySpan};
use super::layers::Layers;
use super::layout::{Layout, Place};
use crate::error::ReadError;
use crate::merkle::{Hash, Level, NodeIndex};

/// Makes the leaf of an entry.
pub(crate) type EntryHash<'a> = &'a dyn Fn(&[u8]) -> Hash;

/// Complete nodes that the columns do not have in memory of their own: the parts of a store, or what a tree had before it
/// was rewound.
pub(crate) trait Archive: Send + Sync + fmt::Debug {
    /// Copies the nodes `[first, first + out.len())` of `level` into `out`.
    fn read_nodes(&self, level: Level, first: NodeIndex, out: &mut [Hash])
    -> Result<(), ReadError>;

    /// The nodes `[first, first + count)` of `level`, borrowed from memory. They must be adjacent there
    /// and known to be intact. `None` only means that the caller must read them.
    fn borrow_nodes(&self, level: Level, first: NodeIndex, count: usize) -> Option<&[Hash]> {
        let _ = (level, first, count);
        None
    }

    /// The entry `index`, if there are entries. `hash` makes its leaf.
    fn entry(&self, index: u64, hash: EntryHash<'_>) -> Result<EntryBytes, ReadError> {
        let _ = hash;
        Err(ReadError::Absent { level: Level::LEAVES, at: index })
    }

    /// Adjacent entries from `from` on, and none behind `to`.
    fn entry_run(&self, from: u64, to: u64, hash: EntryHash<'_>) -> Result<EntrySpan, ReadError> {
        let _ = (to, hash);
        Err(ReadError::Absent { level: Level::LEAVES, at: from })
    }

    /// The layers of a tree that was rewound, if these are some.
    fn as_layers(&self) -> Option<&Layers> {
        None
    }
}

/// An immutable list of the places of all nodes. Cheap to clone: a handful of `Arc`s.
#[derive(Clone, Debug)]
pub(crate) struct Version {
    tiers: Vec<Tier>,
    /// Entries in memory, without gaps. The archive has all entries before them.
    entries: Arc<Vec<EntryChunk>>,
    /// The archive has every node that is complete at this size. Memory has all other complete nodes.
    pub(super) memory_from: u64,
    pub(super) archive: Option<Arc<dyn Archive>>,
    /// The account of the tree.
    pub(super) account: Account,
}

/// The chunks of one tier in memory, without gaps.
#[derive(Clone, Debug, Default)]
struct Tier {
    first: u64,
    chunks: Arc<[Chunk]>,
}

impl Tier {
    /// The position in the list of the chunk with this number, present or not.
    #[inline(always)]
    fn at(&self, number: u64) -> Option<usize> {
        usize::try_from(number.checked_sub(self.first)?).ok()
    }
}

impl Version {
    pub(super) fn new(
        memory_from: u64,
        archive: Option<Arc<dyn Archive>>,
        account: Account,
    ) -> Self {
        Self { tiers: Vec::new(), entries: Arc::default(), memory_from, archive, account }
    }

    /// The chunk of `place`, if it is in memory.
    #[inline(always)]
    pub(super) fn chunk(&self, place: &Place) -> Option<&Chunk> {
        let tier = self.tiers.get(place.tier)?;
        tier.chunks.get(tier.at(place.chunk)?)
    }

    /// The memory of the level of `place`, if there is any. It may have fewer slots than the level.
    #[inline(always)]
    pub(super) fn slots(&self, place: &Place) -> Option<&Slots<Hash>> {
        self.chunk(place)?.level(place.level)
    }

    /// The chunk of entry `index` with the index behind its last entry. `None` if no chunk has the entry,
    /// or if the entry was never written.
    pub(super) fn entry_chunk(&self, index: u64) -> Option<(&EntryChunk, u64)> {
        let behind = self.entries.partition_point(|chunk| chunk.first <= index);
        let chunk = self.entries.get(behind.checked_sub(1)?)?;
        Some((chunk, self.entries.get(behind).map_or(u64::MAX, |next| next.first)))
    }

    /// The first entry in memory, if there is one.
    pub(super) fn first_entry(&self) -> Option<u64> {
        self.entries.first().map(|chunk| chunk.first)
    }

    /// This version with one more chunk of entries.
    pub(super) fn with_entries(&self, chunk: &EntryChunk) -> Self {
        let entries = self.entries.iter().chain([chunk]).cloned().collect();
        Self { entries: Arc::new(entries), ..self.clone() }
    }

    /// This version without the chunks that begin at entry `index` or behind it.
    pub(super) fn without_entries(&self, index: u64) -> Self {
        let before = self.entries.iter().take_while(|chunk| chunk.first < index);
        Self { entries: Arc::new(before.cloned().collect()), ..self.clone() }
    }

    /// Whether the last chunk of a tier has memory for all slots of its lowest level, because enough was
    /// appended.
    pub(super) fn ends_full(&self, layout: Layout, tier: usize) -> bool {
        let last = self.tiers.get(tier).and_then(|tier| tier.chunks.last());
        let base = last.and_then(|chunk| chunk.level(0));
        base.is_some_and(|slots| slots.has(0, layout.base_slots()))
    }

    /// This version with `chunk` at `place`. Replaces the chunk there, or appends one to the tier. The
    /// first chunk of a tier may have any number.
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

    /// This version without its archive: what memory has.
    pub(super) fn without_archive(&self) -> Self {
        Self { archive: None, ..self.clone() }
    }

    /// This version with `archive` in the place of its own.
    pub(super) fn over(&self, archive: Arc<dyn Archive>) -> Self {
        Self { archive: Some(archive), ..self.clone() }
    }

    /// This version with `archive`, which has every node complete at `size`. Drops the chunks that have
    /// no other nodes. Unchanged if the archive lacks nodes that memory does not have.
    pub(super) fn archived(&self, layout: Layout, size: u64, archive: Arc<dyn Archive>) -> Self {
        let mut next = self.clone();
        if size < self.memory_from {
            // After a rewind, what the tree had before may lie between the parts and memory.
            let layers = self.archive.as_ref().and_then(|archive| archive.as_layers());
            if let Some(layers) = layers.and_then(|layers| layers.over(size, archive)) {
                next.archive = Some(Arc::new(layers));
            }
            return next;
        }
        next.archive = Some(archive);
        // The writer may still add to the last chunk.
        let kept = next.entries.partition_point(|chunk| chunk.first < size).saturating_sub(1);
        if kept > 0 {
            next.entries = Arc::new(next.entries[kept..].to_vec());
        }
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

    /// Bytes of all slots in memory.
    pub(super) fn memory_bytes(&self) -> usize {
        let nodes = self.tiers.iter().flat_map(|tier| &*tier.chunks).map(Chunk::len).sum::<usize>();
        let entries = self.entries.iter().map(EntryChunk::memory_bytes).sum::<usize>();
        nodes * size_of::<Hash>() + entries
    }
}
