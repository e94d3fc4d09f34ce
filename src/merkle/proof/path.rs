//! Which nodes a consistency proof is made of: index arithmetic, no hashes.

use crate::merkle::shape::{Group, Shape};
use crate::merkle::types::{Arity, LeafIndex, Level, NodeIndex, TreeSize};

/// The path of a consistency proof between two sizes, 0 < old < new.
#[derive(Clone, Copy)]
pub(super) struct Path {
    new: Shape,
    /// The last leaf of the old tree: the path's nodes of level `start` and above are above it.
    last: LeafIndex,
    /// The highest level on which the old tree has only complete nodes.
    start: Level,
    /// Whether the old tree is one complete node.
    old_is_complete: bool,
}

impl Path {
    /// `None` if the proof between these sizes is empty.
    pub(super) const fn new(arity: Arity, old: TreeSize, new: TreeSize) -> Option<Self> {
        if old.0 == 0 || old.0 >= new.0 {
            return None;
        }
        #[expect(clippy::cast_possible_truncation, reason = "there are at most 64 levels")]
        let start = Level((old.0.trailing_zeros() / arity.bits()) as u8);
        Some(Self {
            new: Shape::new(arity, new),
            last: LeafIndex(old.0 - 1),
            start,
            old_is_complete: Shape::new(arity, old).complete(start) == 1,
        })
    }

    /// The lowest level of the path on which the node above leaf `index` of the old tree stands in
    /// the path's group.
    pub(super) fn meeting(self, index: LeafIndex) -> Level {
        let parent = |leaf, level: Level| self.new.ancestor(leaf, level.up());
        let mut level = self.start;
        while parent(index, level) != parent(self.last, level) {
            level = level.up();
        }
        level
    }

    /// How many hashes the proof has.
    pub(super) fn hashes(self) -> usize {
        self.steps().map(Step::hashes).sum()
    }

    pub(super) fn steps(self) -> impl Iterator<Item = Step> {
        (self.start.0..self.new.depth().0).map(move |level| {
            let level = Level(level);
            let node: NodeIndex = self.new.ancestor(self.last, level);
            Step {
                level,
                group: self.new.group(level, node),
                own: self.new.place(node),
                whole_group: level == self.start && !self.old_is_complete,
            }
        })
    }
}

/// One level of the path.
#[derive(Clone, Copy)]
pub(super) struct Step {
    pub(super) level: Level,
    /// The path's node and its siblings in the new tree.
    pub(super) group: Group,
    /// Which of them is the path's node. Those before it are in the old tree too.
    pub(super) own: usize,
    /// Whether the proof holds the path's node as well.
    pub(super) whole_group: bool,
}

impl Step {
    pub(super) const fn hashes(self) -> usize {
        self.group.len() - !self.whole_group as usize
    }
}
