//! Where the nodes of a tree of a given size are: index arithmetic, no hashes.
//!
//! # Invariants
//!
//! - Everything follows from (arity, size) alone, so nothing about a tree's shape has to be stored
//!   or believed.
//! - Every function is total: any size up to 2^64 - 1, any level, any index; none of them panics or
//!   overflows.
#![expect(
    clippy::cast_possible_truncation,
    reason = "levels are at most 64 and places in a group at most 16 here"
)]

use super::types::{Arity, LeafIndex, Level, NodeIndex, TreeSize};

/// The most levels a tree can have above its leaves: arity 2 and more than 2^63 leaves.
pub const MAX_DEPTH: usize = 64;

/// The shape of a tree of one arity and one size.
///
/// ```
/// use duramen::merkle::{Arity, Level, Shape, TreeSize};
///
/// let shape = Shape::new(Arity::Four, TreeSize(21));
/// assert_eq!(shape.complete(Level(0)), 21);
/// assert_eq!(shape.complete(Level(1)), 5);
/// assert_eq!(shape.nodes(Level(1)), 6); // the sixth is incomplete: it has one child
/// assert_eq!(shape.depth(), Level(3));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shape {
    arity: Arity,
    size: TreeSize,
}

/// The children of one node, as far as they exist at a size.
///
/// They are consecutive: first the complete ones, then perhaps the incomplete one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Group {
    /// The first child's place in its level.
    pub first: NodeIndex,
    /// How many children are complete: 0 to the arity.
    pub complete: usize,
    /// Whether the last child is the incomplete node of its level.
    pub edge: bool,
}

impl Group {
    /// How many children there are, the incomplete one included.
    #[must_use]
    pub const fn len(self) -> usize {
        self.complete + self.edge as usize
    }

    /// Whether there is no child at all.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.len() == 0
    }
}

impl Shape {
    /// The shape of a tree of `size` leaves.
    #[must_use]
    pub const fn new(arity: Arity, size: TreeSize) -> Self {
        Self { arity, size }
    }

    /// How many children a complete node has.
    #[must_use]
    pub const fn arity(self) -> Arity {
        self.arity
    }

    /// How many leaves the tree has.
    #[must_use]
    pub const fn size(self) -> TreeSize {
        self.size
    }

    /// How many complete nodes `level` has: floor(size / N^level).
    #[inline]
    #[must_use]
    pub const fn complete(self, level: Level) -> u64 {
        ancestor(self.arity, self.size.0, level)
    }

    /// Whether `level` ends in an incomplete node: size is not a multiple of N^level.
    ///
    /// Above the root this is true for every size but 0; ask for levels up to the [depth](Self::depth).
    #[inline]
    #[must_use]
    pub const fn has_edge(self, level: Level) -> bool {
        let bits = self.arity.bits() * level.0 as u32;
        if bits >= u64::BITS { self.size.0 != 0 } else { self.size.0 & ((1 << bits) - 1) != 0 }
    }

    /// How many nodes `level` has, the incomplete one included: ceil(size / N^level).
    #[inline]
    #[must_use]
    pub const fn nodes(self, level: Level) -> u64 {
        // Only level 0 can have 2^64 - 1 complete nodes, and it has no incomplete one.
        self.complete(level) + self.has_edge(level) as u64
    }

    /// The root's level: the lowest one with a single node. It is 0 for trees of up to one leaf.
    #[inline]
    #[must_use]
    pub const fn depth(self) -> Level {
        if self.size.0 == 0 {
            return Level(0);
        }
        let bits = u64::BITS - (self.size.0 - 1).leading_zeros();
        Level(bits.div_ceil(self.arity.bits()) as u8)
    }

    /// How many levels have at least one complete node, the leaves' included: how many columns a
    /// tree of this size fills.
    #[must_use]
    pub const fn columns(self) -> u8 {
        if self.size.0 == 0 {
            return 0;
        }
        (self.size.0.ilog2() / self.arity.bits()) as u8 + 1
    }

    /// The children that the incomplete node of the level above `level` has, empty if there is no
    /// such node.
    ///
    /// Of complete children there are at most N - 1 then.
    #[inline]
    #[must_use]
    pub const fn edge_children(self, level: Level) -> Group {
        let complete = self.complete(level);
        let beyond = complete & (self.arity.children() as u64 - 1);
        Group {
            first: NodeIndex(complete - beyond),
            complete: beyond as usize,
            edge: self.has_edge(level),
        }
    }

    /// The nodes of `level` that share their parent with node `index` of that level: itself and its
    /// siblings, clipped to the tree. Empty if the whole group is beyond the tree.
    #[inline]
    #[must_use]
    pub const fn group(self, level: Level, index: NodeIndex) -> Group {
        let children = self.arity.children() as u64;
        let first = index.0 & !(children - 1);
        let before = self.complete(level).saturating_sub(first);
        Group {
            first: NodeIndex(first),
            complete: if before > children { self.arity.children() } else { before as usize },
            // The incomplete node is the next after the complete ones; `first` lies beyond it if it
            // lies beyond the number of complete nodes.
            edge: before < children && first <= self.complete(level) && self.has_edge(level),
        }
    }

    /// The place of the node of `level` above leaf `index`.
    #[inline]
    #[must_use]
    pub const fn ancestor(self, index: LeafIndex, level: Level) -> NodeIndex {
        NodeIndex(ancestor(self.arity, index.0, level))
    }

    /// Which child of its parent node `index` of any level is, counted from 0: less than N.
    #[inline]
    #[must_use]
    pub const fn place(self, index: NodeIndex) -> usize {
        (index.0 & (self.arity.children() as u64 - 1)) as usize
    }

    /// How many complete nodes have an incomplete parent or none: what a
    /// [`Frontier`](crate::merkle::Frontier) of this size holds. It is the sum of the digits of the
    /// size, written to base N.
    ///
    /// At most 64, 96, 148 and 240 for arity 2, 4, 8 and 16.
    #[must_use]
    pub const fn frontier_nodes(self) -> usize {
        let mut nodes = 0;
        let mut level = Level::LEAVES;
        while level.0 < self.columns() {
            nodes += self.place(NodeIndex(self.complete(level)));
            level = level.up();
        }
        nodes
    }

    /// On how many levels, from the leaves up, the node above leaf `index` stands in a group of N
    /// complete nodes. On the levels beyond, up to the root, it stands in the last group of its
    /// level: the [children of an incomplete node](Self::edge_children).
    ///
    /// 0 if the tree has no such leaf.
    #[inline]
    #[must_use]
    pub const fn full_levels(self, index: LeafIndex) -> Level {
        if index.0 >= self.size.0 {
            return Level(0);
        }
        // The node above `index` is complete as long as its place differs from the number of
        // complete nodes, which is the place of the incomplete one. A group is full if its parent
        // is complete.
        let bits = u64::BITS - (index.0 ^ self.size.0).leading_zeros();
        Level(bits.div_ceil(self.arity.bits()) as u8 - 1)
    }

    /// How many siblings an inclusion proof of leaf `index` has, 0 if the tree has no such leaf.
    ///
    /// At most 64, 96, 148 and 240 for arity 2, 4, 8 and 16.
    #[inline]
    #[must_use]
    pub const fn inclusion_siblings(self, index: LeafIndex) -> usize {
        if index.0 >= self.size.0 {
            return 0;
        }
        let (mut level, depth) = (self.full_levels(index), self.depth());
        let mut siblings = level.0 as usize * (self.arity.children() - 1);
        while level.0 < depth.0 {
            siblings += self.edge_children(level).len() - 1;
            level = level.up();
        }
        siblings
    }
}

/// `index / N^level`, which is 0 where the power exceeds 64 bits.
#[inline]
const fn ancestor(arity: Arity, index: u64, level: Level) -> u64 {
    let bits = arity.bits() * level.0 as u32;
    if bits >= u64::BITS { 0 } else { index >> bits }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_agree_with_division_by_powers() {
        for arity in Arity::ALL {
            for size in (0..2000).chain([u64::MAX - 1, u64::MAX, 1 << 63, (1 << 63) + 1]) {
                let shape = Shape::new(arity, TreeSize(size));
                let mut power: u128 = 1;
                for level in (0..=70).map(Level) {
                    let size = u128::from(size);
                    assert_eq!(u128::from(shape.complete(level)), size / power);
                    assert_eq!(u128::from(shape.nodes(level)), size.div_ceil(power));
                    assert_eq!(shape.has_edge(level), size % power != 0);
                    let single = size.div_ceil(power) <= 1;
                    assert_eq!(single, level >= shape.depth(), "{arity} {size} {level}");
                    assert_eq!(level.0 < shape.columns(), size / power > 0);
                    power = power.saturating_mul(arity.children() as u128);
                }
            }
        }
    }

    #[test]
    fn a_group_holds_exactly_the_nodes_that_exist() {
        for arity in Arity::ALL {
            for size in 0..300 {
                let shape = Shape::new(arity, TreeSize(size));
                for level in (0..=shape.depth().0).map(Level) {
                    for index in 0..size + 20 {
                        let group = shape.group(level, NodeIndex(index));
                        let n = arity.children() as u64;
                        let first = index / n * n;
                        let exist = (first..first + n).filter(|i| *i < shape.nodes(level)).count();
                        let complete =
                            (first..first + n).filter(|i| *i < shape.complete(level)).count();
                        assert_eq!(group.first, NodeIndex(first));
                        assert_eq!((group.len(), group.complete), (exist, complete));
                    }
                    if shape.has_edge(level.up()) && level < shape.depth() {
                        let last = NodeIndex(shape.nodes(level) - 1);
                        assert_eq!(shape.edge_children(level), shape.group(level, last));
                    }
                }
            }
        }
    }

    #[test]
    fn the_full_levels_are_those_with_full_groups() {
        for arity in Arity::ALL {
            for size in 1..300 {
                let shape = Shape::new(arity, TreeSize(size));
                for index in (0..size).map(LeafIndex) {
                    let full = shape.full_levels(index);
                    let mut siblings = 0;
                    for level in (0..shape.depth().0).map(Level) {
                        let group = shape.group(level, shape.ancestor(index, level));
                        assert_eq!(group.complete == arity.children(), level < full);
                        if level >= full {
                            assert_eq!(group, shape.edge_children(level));
                        }
                        siblings += group.len() - 1;
                    }
                    assert_eq!(shape.inclusion_siblings(index), siblings);
                }
            }
        }
    }

    #[test]
    fn the_largest_tree_has_the_most_siblings_that_are_documented() {
        for (arity, most) in Arity::ALL.into_iter().zip([64, 96, 148, 240]) {
            let shape = Shape::new(arity, TreeSize(u64::MAX));
            assert_eq!(shape.frontier_nodes(), most);
            assert_eq!(shape.inclusion_siblings(LeafIndex(0)), most);
        }
    }
}
