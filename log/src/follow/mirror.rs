//! A copy of a log in a store: the entries that a follower has verified.
//!
//! # Invariants
//!
//! - An entry is inserted only after it was verified against a checkpoint that is kept already.
//! - A checkpoint is shown only when all its entries are durable and the tree has its root.

use std::ops::ControlFlow;
use std::sync::Arc;

use duramen::tlog::tiles::MAX_ENTRY;
use duramen::{
    Arity, DynAccumulator, EntryConfig, Hasher, Rfc6962Sha256, Snapshot, Store, TreeConfig,
    TreeName,
};

use super::follower::{FollowError, Sink};

/// The tree of a store that is a copy of a log.
#[derive(Debug)]
pub struct Mirror {
    tree: DynAccumulator,
    stop: fn() -> bool,
}

/// Why a tree cannot be the copy of a log.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MirrorError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] duramen::Error),
    /// The tree is of another kind.
    #[error("the tree {tree:?} is not of SHA-256 with arity 2 and entries")]
    NotALog {
        /// The tree.
        tree: TreeName,
    },
}

impl Mirror {
    /// The copy in the tree `name` of `store`, which is created if it is missing. `stop` says whether no more entries are
    /// wanted.
    ///
    /// # Errors
    ///
    /// [`MirrorError`].
    pub fn open(store: &Store, name: &TreeName, stop: fn() -> bool) -> Result<Self, MirrorError> {
        let tree = match store.existing_tree(name) {
            Err(duramen::Error::NoTree { .. }) => {
                let longest = u32::try_from(MAX_ENTRY).unwrap_or(u32::MAX);
                let config = TreeConfig::new(Arc::new(Rfc6962Sha256), Arity::Two);
                store.tree_dyn(name, config.entries(EntryConfig::new().longest(longest)?))?
            }
            tree => tree?,
        };
        let is_log = tree.arity() == Arity::Two
            && tree.hasher().id() == Rfc6962Sha256.id()
            && tree.entry_config().is_some();
        match is_log {
            true => Ok(Self { tree, stop }),
            false => Err(MirrorError::NotALog { tree: name.clone() }),
        }
    }

    /// The tree as it is now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.tree.snapshot()
    }
}

impl Sink for Mirror {
    fn size(&self) -> u64 {
        self.tree.size().get()
    }

    fn fits(&self, root: &[u8; 32]) -> Result<(), FollowError> {
        match self.tree.head().map_err(of)?.root == *root {
            true => Ok(()),
            false => Err(FollowError::Sink {
                reason: format!(
                    "the {} entries of the tree {:?} are not the first ones of the log",
                    self.tree.size(),
                    self.tree.name()
                ),
                source: None,
            }),
        }
    }

    fn take(&mut self, entries: &[&[u8]]) -> Result<ControlFlow<()>, FollowError> {
        self.tree.insert_entries(entries).map_err(of)?;
        Ok(if (self.stop)() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    }

    fn keep(&mut self) -> Result<(), FollowError> {
        self.tree.flush().map_err(of)
    }
}

fn of(error: duramen::Error) -> FollowError {
    FollowError::Sink { reason: error.to_string(), source: Some(Box::new(error)) }
}
