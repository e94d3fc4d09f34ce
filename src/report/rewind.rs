//! The report of a rewind.

use crate::ids::Seq;
use crate::mark::MarkName;
use crate::merkle::{TreeName, TreeSize};

/// What a rewind has dropped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RewindInfo {
    /// The position of the rewind in the store's order. Everything up to it is durable.
    pub seq: Seq,
    /// The trees that lost leaves.
    pub trees: Vec<TreeRewind>,
    /// The marks that are gone, because they had more leaves of one of these trees.
    pub marks: Vec<MarkName>,
}

/// One tree that was rewound.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TreeRewind {
    /// The tree.
    pub tree: TreeName,
    /// The number of its leaves before.
    pub before: TreeSize,
    /// The number of its leaves after.
    pub after: TreeSize,
}
