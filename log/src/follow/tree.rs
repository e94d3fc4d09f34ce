//! The tree of a signed checkpoint, out of tiles that are each verified before they are used.
//!
//! All that is trusted is a size and a root. The partial tiles at the right edge must hash to the root; they are at most
//! eight. A full tile must hash to its place in the tile above it, which is verified in the same way.
//!
//! # Invariants
//!
//! - A hash that is handed out is of the tree with this root, unless SHA-256 is broken.
//! - The hashes are computed by the code that the gate of a log computes with, not by that of the store.

use std::collections::BTreeMap;
use std::sync::Arc;

use duramen::tlog::tiles::{EntryBundlePath, LogPath, TilePath, TileWidth, hashes_at, read_bundle};
use duramen::{TreeHead, TreeSize};

use super::fetch::{Source, SourceError};
use crate::recheck::{Hash, leaf_of, root_of, root_of_complete};

/// The levels on which a tree has tiles.
const LEVELS: u8 = 8;

/// Hashes that were verified.
type Verified = Arc<[Hash]>;

/// The tree of a head, whose tiles are fetched and verified as they are needed.
#[derive(Debug)]
pub(super) struct TileTree<'a> {
    source: &'a dyn Source,
    size: u64,
    /// The partial tile of each level, perhaps without hashes.
    edge: Vec<Verified>,
    /// Of each level the full tile that was used last, with its index.
    last: BTreeMap<u8, (u64, Verified)>,
}

/// Why a tree cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TileError {
    /// A resource was not delivered.
    #[error("{}{}", .0, hint(.0))]
    Source(#[source] SourceError),
    /// The tiles at the right edge are not those of the checkpoint.
    #[error(
        "the tiles of size {size} hash to the root {computed}, and the checkpoint has {signed}"
    )]
    Edge {
        /// The size of the checkpoint.
        size: u64,
        /// The root that the tiles have, in hexadecimal digits.
        computed: String,
        /// The root of the checkpoint.
        signed: String,
    },
    /// A tile has another length.
    #[error("{path} has {found} bytes instead of {expected}")]
    Length {
        /// The tile.
        path: String,
        /// How many bytes it must have.
        expected: usize,
        /// How many it has.
        found: usize,
    },
    /// A tile does not hash to its place in the tile above it.
    #[error("{path} does not hash to its place in the tile above it")]
    Tile {
        /// The tile.
        path: String,
    },
    /// A bundle cannot be read.
    #[error("{path} is no entry bundle: {reason}")]
    Bundle {
        /// The bundle.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// An entry is another one than the tree has.
    #[error("entry {index} in {path} is not the one that the tree has")]
    Entry {
        /// The bundle.
        path: String,
        /// The index of the entry.
        index: u64,
    },
}

impl From<SourceError> for TileError {
    fn from(error: SourceError) -> Self {
        Self::Source(error)
    }
}

/// What a status says that means no fault.
fn hint(error: &SourceError) -> &'static str {
    match error {
        SourceError::Missing { status: 410, .. } => {
            "; if the log is pruned, it is followed from its minimum index on"
        }
        _ => "",
    }
}

impl<'a> TileTree<'a> {
    /// The tree with this head. Fetches the right edge and verifies it.
    pub(super) fn open(source: &'a dyn Source, head: TreeHead) -> Result<Self, TileError> {
        let size = head.size.get();
        let mut edge = Vec::new();
        for level in 0..LEVELS {
            let hashes = match edge_tile(size, level) {
                Some(path) => tile(source, path)?,
                None => Vec::new(),
            };
            edge.push(Verified::from(hashes));
        }
        let tree = Self { source, size, edge, last: BTreeMap::new() };
        let computed = root_of_edge(&tree.edge);
        if computed != head.root {
            let (computed, signed) = (const_hex::encode(computed), const_hex::encode(head.root));
            return Err(TileError::Edge { size, computed, signed });
        }
        Ok(tree)
    }

    /// The hashes of a tile, verified. It is the partial one if that is at this place.
    pub(super) fn hashes(&mut self, level: u8, index: u64) -> Result<Verified, TileError> {
        if let Some(known) = self.known(level, index) {
            return Ok(known);
        }
        let Some(path) =
            TilePath::at(self.size, level, index).filter(|path| path.width().is_full())
        else {
            let path = format!("tile {index} of level {level}");
            return Err(TileError::Tile { path });
        };
        let fetched = tile(self.source, path)?;
        self.verify(path, fetched)
    }

    /// The hashes of the leaf tile at `index`, out of bytes that were fetched already.
    pub(super) fn leaves(
        &mut self,
        index: u64,
        fetched: Result<Vec<u8>, SourceError>,
    ) -> Result<Verified, TileError> {
        if let Some(known) = self.known(0, index) {
            return Ok(known);
        }
        let path = TilePath::at(self.size, 0, index)
            .ok_or_else(|| TileError::Tile { path: format!("tile {index} of level 0") })?;
        let hashes = hashes_in(path, &fetched?)?;
        self.verify(path, hashes)
    }

    fn known(&self, level: u8, index: u64) -> Option<Verified> {
        let full = hashes_at(self.size, level) / 256;
        if index == full {
            return self.edge.get(usize::from(level)).cloned();
        }
        let last = self.last.get(&level).filter(|(last, _)| *last == index);
        last.map(|(_, hashes)| Arc::clone(hashes))
    }

    /// Verifies a full tile by the one above it.
    fn verify(&mut self, path: TilePath, hashes: Vec<Hash>) -> Result<Verified, TileError> {
        let (level, index) = (path.level(), path.index());
        let above = self.hashes(level + 1, index / 256)?;
        let place = usize::try_from(index % 256).unwrap_or(usize::MAX);
        if above.get(place) != Some(&root_of_complete(&hashes)) {
            return Err(TileError::Tile { path: path.to_string() });
        }
        let verified = Verified::from(hashes);
        self.last.insert(level, (index, Arc::clone(&verified)));
        Ok(verified)
    }

    /// The root of the tree when it had `size` leaves, at most as many as it has now.
    pub(super) fn root_at(&mut self, size: TreeSize) -> Result<Hash, TileError> {
        let size = size.get();
        let mut edge = Vec::new();
        for level in 0..LEVELS {
            let hashes = match edge_tile(size, level) {
                Some(path) => {
                    let wide = self.hashes(level, path.index())?;
                    let width = usize::from(path.width().get());
                    let narrow = wide.get(..width);
                    Verified::from(
                        narrow.ok_or_else(|| TileError::Tile { path: path.to_string() })?,
                    )
                }
                None => Verified::from(Vec::new()),
            };
            edge.push(hashes);
        }
        Ok(root_of_edge(&edge))
    }

    /// The tiles that were verified last, with their paths: enough to compute again what was computed with them.
    pub(super) fn verified(&self) -> Vec<(String, Vec<u8>)> {
        let edge = (0..).zip(&self.edge).filter_map(|(level, hashes)| {
            Some((edge_tile(self.size, level)?.to_string(), hashes.concat()))
        });
        let last = self.last.iter().filter_map(|(level, (index, hashes))| {
            let path = TilePath::at(self.size, *level, *index)?;
            Some((path.to_string(), hashes.concat()))
        });
        edge.chain(last).collect()
    }
}

/// The entries of a bundle, if they are those with these leaves. `path` is that of the bundle in the tree; the bytes may
/// be those of a wider one.
pub(super) fn entries<'b>(
    path: EntryBundlePath,
    leaves: &[Hash],
    bytes: &'b [u8],
) -> Result<Vec<&'b [u8]>, TileError> {
    let width = path.width();
    let malformed = |reason: String| TileError::Bundle { path: path.to_string(), reason };
    let read = match read_bundle(bytes, width) {
        Ok(read) => read,
        Err(error) => match read_bundle(bytes, TileWidth::FULL) {
            Ok(wider) if !width.is_full() => wider,
            _ => return Err(malformed(error.to_string())),
        },
    };
    let entries: Vec<_> = read.into_iter().take(usize::from(width.get())).collect();
    let first = path.start_index().unwrap_or(0);
    for (index, (entry, leaf)) in (first..).zip(entries.iter().zip(leaves)) {
        if leaf_of(entry) != *leaf {
            return Err(TileError::Entry { path: path.to_string(), index });
        }
    }
    if entries.len() != leaves.len() {
        let (found, expected) = (entries.len(), leaves.len());
        return Err(malformed(format!("it has {found} entries instead of {expected}")));
    }
    Ok(entries)
}

/// The partial tile of a level.
fn edge_tile(size: u64, level: u8) -> Option<TilePath> {
    let hashes = hashes_at(size, level);
    TilePath::new(level, hashes / 256, TileWidth::new(hashes % 256)?)
}

/// Fetches a tile. Instead of a partial one that is gone, the full one that replaced it.
fn tile(source: &dyn Source, path: TilePath) -> Result<Vec<Hash>, TileError> {
    match source.fetch(LogPath::Tile(path)) {
        Err(SourceError::Missing { .. }) if !path.width().is_full() => {
            let full = TilePath::new(path.level(), path.index(), TileWidth::FULL);
            let full = full.unwrap_or(path);
            let mut hashes = hashes_in(full, &source.fetch(LogPath::Tile(full))?)?;
            hashes.truncate(usize::from(path.width().get()));
            Ok(hashes)
        }
        fetched => hashes_in(path, &fetched?),
    }
}

/// Fetches a bundle. Instead of a partial one that is gone, the full one that replaced it.
pub(super) fn bundle(
    source: &dyn Source,
    path: EntryBundlePath,
    fetched: Result<Vec<u8>, SourceError>,
) -> Result<Vec<u8>, SourceError> {
    match fetched {
        Err(SourceError::Missing { .. }) if !path.width().is_full() => {
            let full = EntryBundlePath::new(path.index(), TileWidth::FULL);
            source.fetch(LogPath::Entries(full))
        }
        fetched => fetched,
    }
}

fn hashes_in(path: TilePath, bytes: &[u8]) -> Result<Vec<Hash>, TileError> {
    let expected = usize::from(path.width().get()) * 32;
    if bytes.len() != expected {
        let (path, found) = (path.to_string(), bytes.len());
        return Err(TileError::Length { path, expected, found });
    }
    Ok(bytes.as_chunks::<32>().0.to_vec())
}

/// The root over the partial tiles of all levels.
fn root_of_edge(edge: &[Verified]) -> Hash {
    let mut peaks = Vec::new();
    // From the greatest subtrees to the smallest.
    for hashes in edge.iter().rev() {
        let mut rest = &hashes[..];
        for bit in (0..8).rev() {
            if hashes.len() >> bit & 1 == 1 {
                let (complete, behind) = rest.split_at(1 << bit);
                peaks.push(root_of_complete(complete));
                rest = behind;
            }
        }
    }
    root_of(&peaks)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test panics when it fails")]
mod tests {
    use duramen::{Hasher, MemoryAccumulator, Rfc6962Sha256};

    use super::*;

    #[test]
    fn the_root_of_partial_tiles_is_that_of_the_tree() {
        let mut tree = MemoryAccumulator::<Rfc6962Sha256, 2>::new();
        let mut levels = vec![Vec::new()];
        for number in 0u32..70_000 {
            tree.push_data(&number.to_be_bytes()).unwrap();
            levels[0].push(leaf_of(&number.to_be_bytes()));
        }
        for level in 1..usize::from(LEVELS) {
            let above = levels[level - 1].chunks_exact(256).map(root_of_complete).collect();
            levels.push(above);
        }
        let snapshot = tree.snapshot();
        for size in (0..600).chain([65_535, 65_536, 65_537, 66_000, 69_999, 70_000]) {
            let partial = |level: u8| {
                let end = usize::try_from(hashes_at(size, level)).unwrap();
                Verified::from(&levels[usize::from(level)][end / 256 * 256..end])
            };
            let edge: Vec<Verified> = (0..LEVELS).map(partial).collect();
            assert_eq!(root_of_edge(&edge), snapshot.head_at(size).unwrap().root, "{size}");
        }
        assert_eq!(root_of_edge(&[]), Rfc6962Sha256.empty_root());
    }
}
