//! Which tiles and bundles a log has, and which are new.

use core::iter::FusedIterator;
use core::ops::Range;

use super::path::{EntryBundlePath, TilePath};
use super::width::{TILE_WIDTH, hashes_at};

/// The levels on which a tree of a 64-bit size has tiles.
const LEVELS: u8 = 8;

/// The tiles of a tree, level by level and from left to right: each full, but perhaps the last of its level.
///
/// ```
/// use duramen::tlog::tiles::Tiles;
///
/// let paths: Vec<String> = Tiles::between(256, 70_000).take(2).map(|tile| tile.to_string()).collect();
/// assert_eq!(paths, ["tile/0/001", "tile/0/002"]);
/// assert_eq!(Tiles::of(70_000).count(), 277);
/// ```
#[derive(Clone, Debug)]
#[must_use = "iterators do nothing until they are asked for items"]
pub struct Tiles {
    old: u64,
    new: u64,
    level: u8,
    indexes: Range<u64>,
}

impl Tiles {
    /// All tiles of a tree of `size` leaves.
    pub const fn of(size: u64) -> Self {
        Self::between(0, size)
    }

    /// The tiles of a tree of `new` leaves that a tree of `old` leaves does not have, or not as wide. None if `new` is
    /// not larger.
    pub const fn between(old: u64, new: u64) -> Self {
        Self { old, new, level: 0, indexes: changed(old, new) }
    }
}

impl Iterator for Tiles {
    type Item = TilePath;

    fn next(&mut self) -> Option<TilePath> {
        loop {
            if let Some(index) = self.indexes.next() {
                return TilePath::at(self.new, self.level, index);
            }
            if self.level + 1 >= LEVELS {
                return None;
            }
            self.level += 1;
            let level = self.level;
            self.indexes = changed(hashes_at(self.old, level), hashes_at(self.new, level));
        }
    }
}

// No level is left once `next` has returned `None`.
impl FusedIterator for Tiles {}

/// The entry bundles of a log, from left to right: each full, but perhaps the last.
#[derive(Clone, Debug)]
#[must_use = "iterators do nothing until they are asked for items"]
pub struct Bundles {
    new: u64,
    indexes: Range<u64>,
}

impl Bundles {
    /// All bundles of a log of `size` entries.
    pub const fn of(size: u64) -> Self {
        Self::between(0, size)
    }

    /// The bundles of a log of `new` entries that a log of `old` entries does not have, or not as wide. None if `new`
    /// is not larger.
    pub const fn between(old: u64, new: u64) -> Self {
        Self { new, indexes: changed(old, new) }
    }
}

impl Iterator for Bundles {
    type Item = EntryBundlePath;

    fn next(&mut self) -> Option<EntryBundlePath> {
        EntryBundlePath::at(self.new, self.indexes.next()?)
    }
}

impl FusedIterator for Bundles {}

/// The tiles whose width differs between so many hashes of a level.
const fn changed(old: u64, new: u64) -> Range<u64> {
    if new <= old {
        return 0..0;
    }
    old / TILE_WIDTH..new.div_ceil(TILE_WIDTH)
}
