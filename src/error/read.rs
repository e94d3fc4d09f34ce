//! Why a node of a tree could not be read, and what becomes of it in an answer.

use super::{Damage, Error};
use crate::merkle::{Level, ProveError, TreeSize};

/// Why a node could not be read.
#[derive(Clone, Debug)]
pub(crate) enum ReadError {
    /// The part with the node is damaged.
    Damaged(Box<Damage>),
    /// The part with the node cannot be read.
    Failed(Box<Error>),
    /// The node is neither in memory nor in a part.
    Absent { level: Level, at: u64 },
}

impl From<ReadError> for Error {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Damaged(damage) => Self::Damaged(damage),
            ReadError::Failed(error) => *error,
            ReadError::Absent { level, at } => Self::NodeAbsent { level, index: at },
        }
    }
}

impl From<ProveError<ReadError>> for Error {
    fn from(error: ProveError<ReadError>) -> Self {
        match error {
            ProveError::IndexBeyondSize { index, size } => Self::IndexOutOfRange { index, size },
            ProveError::NoIndexes => Self::NoIndexes,
            ProveError::OldBeyondNew { old, new } => Self::OldBeyondNew { old, new },
            ProveError::SubtreeBeyondSize { end, size } => {
                Self::SizeOutOfRange { size: TreeSize(end.get()), current: size }
            }
            ProveError::OutsideSubtree { index, subtree } => {
                Self::OutsideSubtree { index, subtree }
            }
            ProveError::Source(error) => error.into(),
        }
    }
}
