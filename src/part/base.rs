//! What is left of a tree below the leaf at which it was pruned, or began behind a frontier.
//!
//! # Invariants
//!
//! - A base has the complete nodes at its size whose parent is incomplete there: the frontier of that size. The parts
//!   behind it have every node that becomes complete later. So together they have every node that a root or a proof of
//!   sizes and indexes from the base on needs.
//! - In a tree that is published as tiles it also has the beginning of each tile that the parts go on with: of level
//!   `8 L` the nodes from the last multiple of 256 on. So every tile can be read that has a node behind the base, and
//!   no client of the log needs another one for what is behind it. A tree that began behind a frontier does not have them: those
//!   tiles cannot be read.

use std::ops::Range;

use crate::error::ReadError;
use crate::merkle::{Arity, Frontier, Hash, Level, NodeIndex, NodeSource, Shape, TreeSize};

/// Nodes in a tile.
const TILE_WIDTH: u64 = 256;
/// Levels of a tree that a tile spans.
const TILE_HEIGHT: u8 = 8;

/// The nodes that a pruned tree keeps of its first leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Base {
    frontier: Frontier,
    /// The beginnings of tiles, by rising level, if the tree has tiles.
    tiles: Vec<Hash>,
}

/// The levels of tiles of a tree of this shape, with the nodes of each that its base has.
fn begun_tiles(shape: Shape) -> impl Iterator<Item = (Level, Range<u64>)> {
    let levels = (0..shape.columns()).step_by(usize::from(TILE_HEIGHT)).map(Level);
    levels.map(move |level| {
        let end = shape.complete(level);
        (level, end - end % TILE_WIDTH..end)
    })
}

impl Base {
    /// The base of the first `size` leaves of `source`, of a tree that has tiles or not.
    pub(crate) fn of<S>(
        source: &S,
        arity: Arity,
        size: u64,
        has_tiles: bool,
    ) -> Result<Self, S::Error>
    where
        S: NodeSource + ?Sized,
    {
        let frontier = Frontier::read(source, arity, TreeSize(size))?;
        let mut tiles = Vec::new();
        if has_tiles {
            for (level, range) in begun_tiles(Shape::new(arity, TreeSize(size))) {
                let have = tiles.len();
                tiles.resize(have + usize::try_from(range.end - range.start).unwrap_or(0), [0; 32]);
                if have < tiles.len() {
                    source.read_nodes(level, NodeIndex(range.start), &mut tiles[have..])?;
                }
            }
        }
        Ok(Self { frontier, tiles })
    }

    /// The base of a tree that goes on behind `origin`. It has no beginnings of tiles.
    pub(crate) fn begun(origin: Frontier) -> Self {
        Self { frontier: origin, tiles: Vec::new() }
    }

    /// The base of `size` leaves with these nodes, from left to right, and these beginnings of tiles. `None` if they are too
    /// many or too few, or if there is no leaf.
    pub(crate) fn from_nodes(
        arity: Arity,
        size: u64,
        nodes: Vec<Hash>,
        tiles: Vec<Hash>,
    ) -> Option<Self> {
        let frontier = Frontier::from_nodes(arity, TreeSize(size), nodes).ok()?;
        let fits = tiles.is_empty() || tiles.len() == Self::tile_nodes(arity, size);
        (size > 0 && fits).then_some(Self { frontier, tiles })
    }

    /// How many nodes of tiles the base of a tree with tiles has.
    pub(crate) fn tile_nodes(arity: Arity, size: u64) -> usize {
        let nodes = begun_tiles(Shape::new(arity, TreeSize(size)));
        let nodes: u64 = nodes.map(|(_, range)| range.end - range.start).sum();
        usize::try_from(nodes).unwrap_or(usize::MAX)
    }

    /// Whether the base has beginnings of tiles. Of a tree that was pruned it does if the tree has tiles.
    pub(crate) fn has_tiles(&self) -> bool {
        !self.tiles.is_empty()
    }

    /// The beginnings of tiles, by rising level. Empty in a tree without tiles.
    pub(crate) fn tiles(&self) -> &[Hash] {
        &self.tiles
    }

    /// Whether the base of a tree with tiles that begins at `size` has what lies below it of the tile of nodes of `level`
    /// that begins at node `first`.
    pub(crate) fn has_tile(size: TreeSize, level: Level, first: u64) -> bool {
        let complete = Shape::new(Arity::Two, size).complete(level);
        first >= complete - complete % TILE_WIDTH
    }

    /// The nodes of `level` from `first` on that are in the beginning of a tile.
    fn tile(&self, level: Level, first: u64) -> Option<&[Hash]> {
        let mut rest = &self.tiles[..];
        for (at, range) in begun_tiles(self.shape()) {
            let (here, above) =
                rest.split_at_checked(usize::try_from(range.end - range.start).ok()?)?;
            if at == level && range.contains(&first) {
                return here.get(usize::try_from(first - range.start).ok()?..);
            }
            rest = above;
        }
        None
    }

    /// The first leaf that the tree has.
    pub(crate) fn size(&self) -> u64 {
        self.frontier.size().get()
    }

    pub(crate) fn frontier(&self) -> &Frontier {
        &self.frontier
    }

    fn shape(&self) -> Shape {
        Shape::new(self.frontier.arity(), self.frontier.size())
    }

    /// The indexes of the nodes of `level` in the frontier. They end where those of the parts begin.
    pub(crate) fn nodes_of(&self, level: Level) -> Range<u64> {
        let end = self.shape().complete(level);
        let count = self.shape().place(NodeIndex(end)) as u64;
        end - count..end
    }

    /// Copies nodes of `level` from `first` on into `out`, as many as the base has there. Returns how many: 0 behind the
    /// base.
    ///
    /// # Errors
    ///
    /// [`Absent`](ReadError::Absent) if `first` was pruned.
    pub(crate) fn read(
        &self,
        level: Level,
        first: u64,
        out: &mut [Hash],
    ) -> Result<usize, ReadError> {
        let range = self.nodes_of(level);
        if first >= range.end {
            return Ok(0);
        }
        // The nodes go from the highest level to the lowest.
        let shape = self.shape();
        let above = (level.0 + 1..shape.columns()).map(Level);
        let before: usize = above.map(|above| shape.place(NodeIndex(shape.complete(above)))).sum();
        let skip = first.checked_sub(range.start).and_then(|skip| usize::try_from(skip).ok());
        let count = usize::try_from(range.end - range.start).unwrap_or(0);
        let nodes = self.frontier.nodes().get(before..before + count).unwrap_or_default();
        let nodes = skip.and_then(|skip| nodes.get(skip..)).filter(|nodes| !nodes.is_empty());
        let nodes = nodes.or_else(|| self.tile(level, first));
        let nodes = nodes.ok_or(ReadError::Absent { level, at: first })?;
        let len = nodes.len().min(out.len());
        out[..len].copy_from_slice(&nodes[..len]);
        Ok(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::column::{Columns, Layout};
    use crate::merkle::Blake3;

    #[test]
    fn a_base_has_the_nodes_of_its_tree_whose_parent_is_incomplete_and_no_others() {
        for arity in Arity::ALL {
            let (columns, mut leaves, mut nodes) = Columns::empty(Layout::new(arity));
            leaves.append(&(0..200u8).map(|byte| [byte; 32]).collect::<Vec<_>>());
            nodes.hash_to(&Blake3, 200);
            let view = columns.view();
            for size in 1..=200 {
                let base = Base::of(&view, arity, size, false).unwrap();
                assert_eq!(base.size(), size);
                let shape = Shape::new(arity, TreeSize(size));
                for level in (0..9).map(Level) {
                    let (has, complete) = (base.nodes_of(level), shape.complete(level));
                    assert_eq!(has.end, complete);
                    for index in 0..complete + 3 {
                        let mut out = [[0; 32]; 16];
                        let read = base.read(level, index, &mut out);
                        if index >= complete {
                            assert_eq!(read.unwrap(), 0);
                        } else if index < has.start {
                            assert!(read.is_err());
                        } else {
                            let count = usize::try_from(complete - index).unwrap();
                            assert_eq!(read.unwrap(), count);
                            let mut expected = vec![[0; 32]; count];
                            view.read_nodes(level, NodeIndex(index), &mut expected).unwrap();
                            assert_eq!(out[..count], expected);
                        }
                    }
                }
            }
        }
        assert!(Base::from_nodes(Arity::Two, 0, Vec::new(), Vec::new()).is_none());
        assert!(Base::from_nodes(Arity::Two, 3, vec![[1; 32]], Vec::new()).is_none());
        assert!(Base::from_nodes(Arity::Two, 1, vec![[1; 32]], vec![[1; 32]; 2]).is_none());
    }

    #[test]
    fn the_base_of_a_tree_with_tiles_has_those_that_go_on_behind_it() {
        let (columns, mut leaves, mut nodes) = Columns::empty(Layout::new(Arity::Two));
        let leaf = |at: u32| {
            let mut leaf = [0; 32];
            leaf[..4].copy_from_slice(&at.to_le_bytes());
            leaf
        };
        leaves.append(&(0..70_000).map(leaf).collect::<Vec<_>>());
        nodes.hash_to(&Blake3, 70_000);
        let view = columns.view();
        for size in [1, 255, 256, 257, 65_535, 65_536, 65_537, 66_000, 70_000] {
            let base = Base::of(&view, Arity::Two, size, true).unwrap();
            assert_eq!(base.tiles().len(), Base::tile_nodes(Arity::Two, size));
            let nodes = base.frontier().nodes().to_vec();
            let again = Base::from_nodes(Arity::Two, size, nodes, base.tiles().to_vec());
            assert_eq!(again.as_ref(), Some(&base));
            for level in [Level(0), Level(8), Level(16)] {
                let complete = Shape::new(Arity::Two, TreeSize(size)).complete(level);
                for first in (0..=complete).step_by(256) {
                    let mut out = vec![[0; 32]; 256];
                    let has = Base::has_tile(TreeSize(size), level, first);
                    assert_eq!(has, first + 256 > complete);
                    if first >= complete {
                        assert_eq!(base.read(level, first, &mut out).unwrap(), 0);
                        continue;
                    }
                    let Ok(read) = base.read(level, first, &mut out) else {
                        assert!(!has, "{level:?} {first} of {size}");
                        continue;
                    };
                    assert!(has && read as u64 == complete - first);
                    let mut expected = vec![[0; 32]; read];
                    view.read_nodes(level, NodeIndex(first), &mut expected).unwrap();
                    assert_eq!(out[..read], expected);
                }
            }
        }
    }
}
