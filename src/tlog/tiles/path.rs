//! The paths of tiles and entry bundles.

use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use super::width::{TILE_WIDTH, TileWidth, hashes_at};
use crate::merkle::{Hash, Level, NodeIndex, NodeSource};

/// The highest level that a path may name. A tree of 64-bit sizes has tiles up to level 7.
const MAX_LEVEL: u8 = 63;
/// How many levels of a tree of arity 2 a tile has.
const TILE_HEIGHT: u8 = 8;
const CHECKPOINT: &str = "checkpoint";

/// A tile: `tile/<L>/<N>[.p/<W>]`.
///
/// Tile `n` of level `l` has the complete nodes `[256 n, 256 n + width)` of level `8 l` of a tree of arity 2.
///
/// ```
/// use duramen::tlog::tiles::{TilePath, TileWidth};
///
/// let path: TilePath = "tile/0/x001/x234/067.p/112".parse()?;
/// assert_eq!((path.level(), path.index(), path.width().get()), (0, 1_234_067, 112));
/// assert_eq!(path.to_string(), "tile/0/x001/x234/067.p/112");
/// assert_eq!(TilePath::at(70_000, 0, 273), "tile/0/273.p/112".parse().ok());
/// assert!("tile/0/x000/001".parse::<TilePath>().is_err()); // it has a shorter one
/// # Ok::<(), duramen::tlog::tiles::PathError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TilePath {
    level: u8,
    index: u64,
    width: TileWidth,
}

impl TilePath {
    /// The path of a tile of any level up to 63, whether a tree has it or not. `None` beyond.
    #[must_use]
    pub const fn new(level: u8, index: u64, width: TileWidth) -> Option<Self> {
        if level > MAX_LEVEL {
            return None;
        }
        Some(Self { level, index, width })
    }

    /// The tile `index` of `level` as it is for a tree of `size` leaves, full or partial. `None` if it is empty.
    #[must_use]
    pub const fn at(size: u64, level: u8, index: u64) -> Option<Self> {
        match width_at(hashes_at(size, level), index) {
            Some(width) => Self::new(level, index, width),
            None => None,
        }
    }

    /// The level, 0 to 63.
    #[must_use]
    pub const fn level(self) -> u8 {
        self.level
    }

    /// The place of the tile in its level.
    #[must_use]
    pub const fn index(self) -> u64 {
        self.index
    }

    /// How many hashes the tile has.
    #[must_use]
    pub const fn width(self) -> TileWidth {
        self.width
    }

    /// Whether a tree of `size` leaves, or an earlier one of the same log, has this tile.
    #[must_use]
    pub const fn is_within(self, size: u64) -> bool {
        is_within(hashes_at(size, self.level), self.index, self.width)
    }

    /// The index of the first entry under the tile; `None` beyond 64 bits.
    #[must_use]
    pub const fn start_index(self) -> Option<u64> {
        entries_of(self.level, self.index)
    }

    /// The index behind the last entry under the full tile; `None` beyond 64 bits.
    #[must_use]
    pub const fn end_index(self) -> Option<u64> {
        match self.index.checked_add(1) {
            Some(next) => entries_of(self.level, next),
            None => None,
        }
    }

    /// Whether a log with this minimum index may refuse the tile: a full one, all of it before the index.
    #[must_use]
    pub const fn may_be_pruned(self, minimum_index: u64) -> bool {
        may_be_pruned(self.end_index(), self.width, minimum_index)
    }

    /// The hashes of the tile, out of the nodes of a tree of arity 2 that [has it](Self::is_within).
    ///
    /// # Errors
    ///
    /// What the source reports.
    pub fn read<S: NodeSource + ?Sized>(self, source: &S) -> Result<Vec<Hash>, S::Error> {
        let mut hashes = alloc::vec![[0; 32]; usize::from(self.width.get())];
        let level = Level(self.level.saturating_mul(TILE_HEIGHT));
        let first = NodeIndex(self.index.saturating_mul(TILE_WIDTH));
        source.read_nodes(level, first, &mut hashes)?;
        Ok(hashes)
    }
}

impl fmt::Display for TilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tile/{}/", self.level)?;
        write_place(f, self.index, self.width)
    }
}

impl FromStr for TilePath {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        let (level, place) = text
            .strip_prefix("tile/")
            .and_then(|rest| rest.split_once('/'))
            .ok_or(PathError::Form)?;
        let level = decimal(level).filter(|level| *level <= MAX_LEVEL.into());
        let level = level.and_then(|level| u8::try_from(level).ok()).ok_or(PathError::Level)?;
        let (index, width) = read_place(place)?;
        Ok(Self { level, index, width })
    }
}

/// An entry bundle: `tile/entries/<N>[.p/<W>]`. It has the entries whose leaves tile `n` of level 0 has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryBundlePath {
    index: u64,
    width: TileWidth,
}

impl EntryBundlePath {
    /// The path of a bundle, whether a log has it or not.
    #[must_use]
    pub const fn new(index: u64, width: TileWidth) -> Self {
        Self { index, width }
    }

    /// The bundle `index` as it is for a log of `size` entries, full or partial. `None` if it is empty.
    #[must_use]
    pub const fn at(size: u64, index: u64) -> Option<Self> {
        match width_at(size, index) {
            Some(width) => Some(Self::new(index, width)),
            None => None,
        }
    }

    /// The place of the bundle.
    #[must_use]
    pub const fn index(self) -> u64 {
        self.index
    }

    /// How many entries the bundle has.
    #[must_use]
    pub const fn width(self) -> TileWidth {
        self.width
    }

    /// Whether a log of `size` entries, or an earlier one, has this bundle.
    #[must_use]
    pub const fn is_within(self, size: u64) -> bool {
        is_within(size, self.index, self.width)
    }

    /// The index of the first entry; `None` beyond 64 bits.
    #[must_use]
    pub const fn start_index(self) -> Option<u64> {
        self.index.checked_mul(TILE_WIDTH)
    }

    /// The index behind the last entry of the full bundle; `None` beyond 64 bits.
    #[must_use]
    pub const fn end_index(self) -> Option<u64> {
        self.leaves().end_index()
    }

    /// Whether a log with this minimum index may refuse the bundle: a full one, all of it before the index.
    #[must_use]
    pub const fn may_be_pruned(self, minimum_index: u64) -> bool {
        may_be_pruned(self.end_index(), self.width, minimum_index)
    }

    /// The tile of the leaves of these entries.
    #[must_use]
    pub const fn leaves(self) -> TilePath {
        TilePath { level: 0, index: self.index, width: self.width }
    }
}

impl fmt::Display for EntryBundlePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("tile/entries/")?;
        write_place(f, self.index, self.width)
    }
}

impl FromStr for EntryBundlePath {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        let place = text.strip_prefix("tile/entries/").ok_or(PathError::Form)?;
        let (index, width) = read_place(place)?;
        Ok(Self { index, width })
    }
}

/// Any resource of a tiled log, by its path below the prefix of the log, without a slash in front.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum LogPath {
    /// The latest signed checkpoint, `checkpoint`: the only one that changes.
    Checkpoint,
    /// Hashes of the tree.
    Tile(TilePath),
    /// Entries.
    Entries(EntryBundlePath),
}

impl fmt::Display for LogPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Checkpoint => f.write_str(CHECKPOINT),
            Self::Tile(path) => path.fmt(f),
            Self::Entries(path) => path.fmt(f),
        }
    }
}

impl FromStr for LogPath {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        match text {
            CHECKPOINT => Ok(Self::Checkpoint),
            _ if text.starts_with("tile/entries/") => text.parse().map(Self::Entries),
            _ => text.parse().map(Self::Tile),
        }
    }
}

/// Why a text is no path of a tile or an entry bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PathError {
    /// The path has another form.
    #[error(
        "the path is none of `checkpoint`, `tile/LEVEL/INDEX[.p/WIDTH]` and `tile/entries/INDEX[.p/WIDTH]`"
    )]
    Form,
    /// The level is no decimal number from 0 to 63.
    #[error("the level of a tile is a decimal number from 0 to 63 without leading zeros")]
    Level,
    /// The index is not written as it must be.
    #[error(
        "the index of a tile is in groups of three digits, all but the last behind an x, and below 2^64"
    )]
    Index,
    /// The width of a partial tile is no decimal number from 1 to 255.
    #[error("the width of a partial tile is a decimal number from 1 to 255 without leading zeros")]
    Width,
}

const fn width_at(hashes: u64, index: u64) -> Option<TileWidth> {
    let Some(first) = index.checked_mul(TILE_WIDTH) else { return None };
    let rest = hashes.saturating_sub(first);
    TileWidth::new(if rest < TILE_WIDTH { rest } else { TILE_WIDTH })
}

const fn is_within(hashes: u64, index: u64, width: TileWidth) -> bool {
    match width_at(hashes, index) {
        Some(most) => width.get() <= most.get(),
        None => false,
    }
}

/// How many entries are before tile `index` of `level`.
const fn entries_of(level: u8, index: u64) -> Option<u64> {
    let bits = 8 * (level as u32 + 1);
    if index == 0 {
        return Some(0);
    }
    if bits > index.leading_zeros() {
        return None;
    }
    Some(index << bits)
}

const fn may_be_pruned(end: Option<u64>, width: TileWidth, minimum_index: u64) -> bool {
    match end {
        Some(end) => width.is_full() && end <= minimum_index,
        None => false,
    }
}

fn write_place(f: &mut fmt::Formatter<'_>, index: u64, width: TileWidth) -> fmt::Result {
    let mut power = 1;
    while index / power >= 1000 {
        power *= 1000;
    }
    while power > 1 {
        write!(f, "x{:03}/", index / power % 1000)?;
        power /= 1000;
    }
    write!(f, "{:03}", index % 1000)?;
    if width.is_full() { Ok(()) } else { write!(f, ".p/{width}") }
}

/// Reads `<N>[.p/<W>]`.
fn read_place(text: &str) -> Result<(u64, TileWidth), PathError> {
    let (index, width) = match text.split_once(".p/") {
        Some((index, width)) => (index, partial(width).ok_or(PathError::Width)?),
        None => (text, TileWidth::FULL),
    };
    Ok((read_index(index).ok_or(PathError::Index)?, width))
}

fn read_index(text: &str) -> Option<u64> {
    let mut index: u64 = 0;
    let mut groups = text.split('/').peekable();
    let mut first = true;
    while let Some(group) = groups.next() {
        let is_last = groups.peek().is_none();
        let digits = if is_last { group } else { group.strip_prefix('x')? };
        if digits.len() != 3 || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
            return None;
        }
        // A first group of zeros has a shorter form without it.
        if first && !is_last && digits == "000" {
            return None;
        }
        index = index.checked_mul(1000)?.checked_add(digits.parse().ok()?)?;
        first = false;
    }
    Some(index)
}

fn partial(text: &str) -> Option<TileWidth> {
    TileWidth::new(decimal(text)?).filter(|width| !width.is_full())
}

fn decimal(text: &str) -> Option<u64> {
    let canonical =
        text.bytes().all(|digit| digit.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| canonical)
}
