//! How many hashes a tile has, and how many a level of tiles.

use core::fmt;

/// How many hashes a full tile has, and how many entries a full bundle.
pub const TILE_WIDTH: u64 = 256;

/// How many hashes a tile has: 1 to 255 if it is partial, 256 if it is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TileWidth(u16);

impl TileWidth {
    /// The width of a full tile.
    pub const FULL: Self = Self(256);

    /// The width of `hashes`, if it is one: 1 to 256.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "at most 256")]
    pub const fn new(hashes: u64) -> Option<Self> {
        if hashes == 0 || hashes > TILE_WIDTH {
            return None;
        }
        Some(Self(hashes as u16))
    }

    /// How many hashes there are.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }

    /// Whether the tile is full.
    #[must_use]
    pub const fn is_full(self) -> bool {
        self.0 == Self::FULL.0
    }
}

impl fmt::Display for TileWidth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How many hashes all tiles of `level` have together for a tree of `size` leaves: `floor(size / 256^level)`.
///
/// ```
/// use duramen::tlog::tiles::hashes_at;
///
/// assert_eq!([0, 1, 2, 3].map(|level| hashes_at(70_000, level)), [70_000, 273, 1, 0]);
/// ```
#[must_use]
pub const fn hashes_at(size: u64, level: u8) -> u64 {
    let bits = 8 * level as u32;
    if bits >= u64::BITS { 0 } else { size >> bits }
}

/// The width of the partial tile of `level` for a tree of `size` leaves: `floor(size / 256^level) mod 256`. `None` if
/// there is none.
#[must_use]
pub const fn partial_width(size: u64, level: u8) -> Option<TileWidth> {
    TileWidth::new(hashes_at(size, level) % TILE_WIDTH)
}
