//! Tiles and entry bundles: the forms in which C2SP `tlog-tiles` publishes a log, read out of the columns.
//!
//! Nothing is stored for them. The tile of level `L` is a run of column `8 L` of a tree of arity 2, and a bundle is a
//! run of framed entries. Both never change, so every partial width of every size that the tree ever had can be read.
//!
//! # Invariants
//!
//! - What is returned has exactly the width that was asked for, and only nodes and entries below the snapshot's size.

use super::Snapshot;
use crate::entry::Framing;
use crate::error::{Error, ReadError, Result};
use crate::merkle::{Arity, Hash, Hasher, Level, NodeIndex, NodeSource, Rfc6962Sha256, Shape};
use crate::part::Base;

/// Hashes in a full tile, and entries in a full bundle.
const TILE_WIDTH: u64 = 256;
/// Levels of the tree that a tile spans.
const TILE_HEIGHT: u8 = 8;

impl Snapshot {
    /// A tile of C2SP `tlog-tiles`: `width` hashes, 32 bytes each, of tile `index` at tile level `level`. `width` is
    /// between 1 and 256.
    ///
    /// Hash `i` is the root of the complete subtree over the `256^level` leaves from `(256 index + i) 256^level` on.
    /// A tile never changes, and no tile is stored: a partial tile of a past size is read like any other.
    ///
    /// ```
    /// use duramen::{Hasher, MemoryAccumulator, Rfc6962Sha256};
    ///
    /// let mut log = MemoryAccumulator::<Rfc6962Sha256, 2>::new();
    /// log.extend(&vec![Rfc6962Sha256.leaf(b"entry"); 70_000])?;
    /// let snapshot = log.snapshot();
    /// assert_eq!(snapshot.tile(0, 273, 112)?.len(), 112 * 32);
    /// assert_eq!(snapshot.tile(2, 0, 1)?.len(), 32);
    /// assert!(snapshot.tile(2, 0, 2).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Pruned`] if the full tile has no hash of a leaf that is left: a tile at the [base](Self::base) stays whole, but not
    /// if the tree began [behind a frontier](crate::TreeConfig::begun_behind), which has no tiles;
    /// [`Error::NoTiles`] for a tree that is not of SHA-256 and arity 2; [`Error::TileOutOfRange`] if the snapshot
    /// does not have all of the hashes, or if the width is not between 1 and 256; [`Error::Damaged`] if a part cannot be
    /// read.
    pub fn tile(&self, level: u8, index: u64, width: u16) -> Result<Vec<u8>> {
        self.check_tiled()?;
        let missing = || Error::TileOutOfRange { level, index, width, size: self.size };
        let bits = u32::from(level) * u32::from(TILE_HEIGHT);
        // No tree has a column of this height.
        let complete = self.size.0.checked_shr(bits).unwrap_or(0);
        let first = within(index, width, complete).ok_or_else(missing)?;
        let column = Level(u8::try_from(bits).map_err(|_| missing())?);
        if !Base::has_tile(self.base(), column, first) {
            return Err(self.tree.pruned(first << bits, self.floor.base()));
        }
        let mut hashes: Vec<Hash> = vec![[0; 32]; usize::from(width)];
        let view = self.tree.view_from(&self.floor, self.size.0);
        let read = view.read_nodes(column, NodeIndex(first), &mut hashes);
        // A tree that began behind a frontier does not have the beginnings of its first tiles.
        if matches!(read, Err(ReadError::Absent { .. }))
            && first < Shape::new(Arity::Two, self.base()).complete(column)
        {
            return Err(self.tree.pruned(first << bits, self.floor.base()));
        }
        read?;
        Ok(hashes.into_flattened())
    }

    /// An entry bundle of C2SP `tlog-tiles`: `width` entries from entry `256 index` on, each with its length before it,
    /// two bytes, big-endian. `width` is between 1 and 256.
    ///
    /// # Errors
    ///
    /// As [`tile`](Self::tile); also [`Error::NoEntries`] if the tree keeps no entries, and [`Error::NoTiles`] if its
    /// entries may be longer than 65,535 bytes, because such a length has no place in a bundle; [`Error::Erased`] if
    /// one of the entries was erased: nothing can stand in its place.
    pub fn entry_bundle(&self, index: u64, width: u16) -> Result<Vec<u8>> {
        self.check_tiled()?;
        if self.framing()? != Framing::Short {
            let reason =
                "its entries may be longer than the 65,535 bytes that a bundle has a length for";
            return Err(Error::NoTiles { tree: self.name().clone(), reason });
        }
        let missing = || Error::TileOutOfRange { level: 0, index, width, size: self.size };
        let first = within(index, width, self.size.0).ok_or_else(missing)?;
        let (mut at, end) = (first, first + u64::from(width));
        let mut bundle = Vec::new();
        while at < end {
            let run = self.tree.entry_run(&self.floor, at, end)?.bytes;
            let (mut rest, before) = (run.get(), at);
            while let Some((_, behind)) = Framing::Short.split(rest) {
                rest = behind;
                at += 1;
            }
            if at == before || at > end || !rest.is_empty() {
                return Err(ReadError::Absent { level: Level::LEAVES, at: before }.into());
            }
            bundle.extend_from_slice(run.get());
        }
        Ok(bundle)
    }

    fn check_tiled(&self) -> Result<()> {
        self.tree.check_process()?;
        if self.arity() == Arity::Two && self.hasher().id() == Rfc6962Sha256.id() {
            return Ok(());
        }
        let reason = "tiles are of trees of SHA-256 with arity 2";
        Err(Error::NoTiles { tree: self.name().clone(), reason })
    }
}

/// The first of the `width` items of tile `index`, if all of them are among `complete` items.
fn within(index: u64, width: u16, complete: u64) -> Option<u64> {
    let width = u64::from(width);
    let first = index.checked_mul(TILE_WIDTH)?;
    let fits = (1..=TILE_WIDTH).contains(&width) && first.checked_add(width)? <= complete;
    fits.then_some(first)
}
