//! A tree that does not go on behind a frontier.

use crate::merkle::{Hash, Hex, TreeName, TreeSize};
use crate::words;

/// The first leaves of a tree are not those of the frontier that it was to go on behind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the tree {tree:?} does not go on behind the frontier of {}: {}", words::leaves(size.0), self.why())]
#[non_exhaustive]
pub struct OtherBeginning {
    /// The tree.
    pub tree: TreeName,
    /// How many leaves the frontier has.
    pub size: TreeSize,
    /// The root of the frontier.
    pub expected: Hash,
    /// How many leaves the tree has.
    pub current: TreeSize,
    /// The root that the tree had at that size. `None` if it has fewer leaves.
    pub found: Option<Hash>,
}

impl OtherBeginning {
    fn why(&self) -> String {
        match &self.found {
            Some(found) => {
                format!("its root there is {}, expected {}", Hex(found), Hex(&self.expected))
            }
            None => format!("it has {}", words::leaves(self.current.0)),
        }
    }
}
