//! One file of the simulated disk, apart from its name: what reads see, what is on the disk, and
//! the changes on their way from the one to the other.
//!
//! # Invariants
//!
//! - `durable` changes in [`settle`](Inode::settle) alone, by changes that are unsynced, and a change
//!   is settled once. So what a failed sync lost stays lost, whatever is synced later.
//! - `cache` shows every write at once, and is taken back to `durable` by
//!   [`drop_cache`](Inode::drop_cache) only where nothing is unsynced.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::choice::{Chooser, Stamp, take_before};
use super::image::{Image, SECTOR, Sector, SectorIndex, cut, pieces};
use super::names::Names;

/// States that were not synced, oldest first.
type Unsynced<T> = Vec<(Stamp, T)>;

#[derive(Clone, Debug)]
pub(super) struct Inode {
    pub(super) names: Names,
    cache: Arc<Image>,
    durable: Arc<Image>,
    sectors: BTreeMap<SectorIndex, Unsynced<Sector>>,
    lengths: Unsynced<u64>,
    /// Whether a failed sync may have left the cache with bytes that will never be durable.
    stale: bool,
}

impl Inode {
    pub(super) fn new(names: Names, content: Image) -> Self {
        let content = Arc::new(content);
        Self {
            names,
            cache: Arc::clone(&content),
            durable: content,
            sectors: BTreeMap::new(),
            lengths: Vec::new(),
            stale: false,
        }
    }

    /// What reads see.
    pub(super) fn cache(&self) -> &Image {
        &self.cache
    }

    /// The room the file takes on the disk, in bytes.
    pub(super) fn space(&self) -> u64 {
        space(self.cache.len())
    }

    /// Writes those sectors that `chooser` picks.
    pub(super) fn write(&mut self, stamp: Stamp, at: u64, bytes: &[u8], chooser: &mut Chooser) {
        let cache = Arc::make_mut(&mut self.cache);
        let mut end = 0;
        for piece in pieces(at, bytes.len()) {
            if chooser.coin() {
                let mut sector = *cache.sector(piece.index);
                end = at + piece.bytes.end as u64;
                sector[piece.within].copy_from_slice(&bytes[piece.bytes]);
                let sector = Arc::new(sector);
                self.sectors.entry(piece.index).or_default().push((stamp, Arc::clone(&sector)));
                cache.put(piece.index, sector);
            }
        }
        if end > cache.len() {
            cache.set_len(end);
            self.lengths.push((stamp, end));
        } else if end > self.durable.len() && self.lengths.is_empty() {
            // A failed sync has lost the length; these bytes cannot be read without it.
            self.lengths.push((stamp, cache.len()));
        }
    }

    pub(super) fn set_len(&mut self, stamp: Stamp, len: u64) {
        let cache = Arc::make_mut(&mut self.cache);
        let first = len / SECTOR as u64;
        for index in cache.kept(first).collect::<Vec<_>>() {
            let sector = if index == first { cut(&cache.sector(index), len) } else { zeros() };
            self.sectors.entry(index).or_default().push((stamp, sector));
        }
        cache.set_len(len);
        self.lengths.push((stamp, len));
    }

    /// Decides what becomes durable of the changes made before `before`; none of them is unsynced
    /// any more.
    pub(super) fn settle(&mut self, before: Stamp, chooser: &mut Chooser) {
        if self.sectors.is_empty() && self.lengths.is_empty() {
            return;
        }
        chooser.next_group();
        let durable = Arc::make_mut(&mut self.durable);
        self.sectors.retain(|index, unsynced| {
            let settled = take_before(unsynced, before);
            durable.put(*index, chooser.sector(&durable.sector(*index), &settled));
            !unsynced.is_empty()
        });
        let settled = take_before(&mut self.lengths, before);
        let len = chooser.state(&settled).map_or(durable.len(), |index| settled[index].1);
        durable.set_len(len);
    }

    /// As [`settle`](Self::settle), for a sync that fails: the cache then shows more than the disk has.
    pub(super) fn settle_badly(&mut self, before: Stamp, chooser: &mut Chooser) {
        self.stale = true;
        self.settle(before, chooser);
    }

    /// Forgets what is cached of sectors that are not dirty.
    pub(super) fn drop_cache(&mut self) {
        if std::mem::take(&mut self.stale) {
            let mut cache = Image::clone(&self.durable);
            cache.set_len(self.cache.len());
            for (index, unsynced) in &self.sectors {
                if let Some((_, sector)) = unsynced.last() {
                    cache.put(*index, Arc::clone(sector));
                }
            }
            self.cache = Arc::new(cache);
        }
    }

    /// The file as after a power cut, under the name that was left to it.
    pub(super) fn after_crash(&self, names: Names, chooser: &mut Chooser) -> Self {
        let mut left = Arc::clone(&self.durable);
        // As `settle`, of everything.
        if !(self.sectors.is_empty() && self.lengths.is_empty()) {
            chooser.next_group();
            let durable = Arc::make_mut(&mut left);
            for (index, unsynced) in &self.sectors {
                durable.put(*index, chooser.sector(&durable.sector(*index), unsynced));
            }
            let kept = chooser.state(&self.lengths);
            durable.set_len(kept.map_or(durable.len(), |index| self.lengths[index].1));
        }
        let (cache, durable) = (Arc::clone(&left), left);
        Self { names, cache, durable, sectors: BTreeMap::new(), lengths: Vec::new(), stale: false }
    }

    /// The stamps of all unsynced changes of the content.
    pub(super) fn unsynced(&self) -> impl Iterator<Item = Stamp> {
        let sectors = self.sectors.values().flatten().map(|(stamp, _)| *stamp);
        sectors.chain(self.lengths.iter().map(|(stamp, _)| *stamp))
    }
}

/// The room `len` bytes take on the disk.
pub(super) fn space(len: u64) -> u64 {
    len.div_ceil(SECTOR as u64).saturating_mul(SECTOR as u64)
}

fn zeros() -> Sector {
    Arc::new([0; SECTOR])
}
