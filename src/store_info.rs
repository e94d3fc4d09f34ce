//! What a store is, read without opening it.

use std::path::PathBuf;

use crate::config::Config;
use crate::directory::newest_manifest;
use crate::error::{Error, Result};
use crate::merkle::{Arity, TreeSize};

/// What a store is, read without opening it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreInfo {
    /// The name of the hash function.
    pub hasher: String,
    /// The arity.
    pub arity: Arity,
    /// The size at the last checkpoint; the log may hold more.
    pub checkpointed: TreeSize,
}

impl StoreInfo {
    /// Reads what the store at `path` is, also while a process has it open. Reads one small file and
    /// changes nothing.
    ///
    /// # Errors
    ///
    /// [`NoStore`](Error::NoStore) if there is none; else the error of its manifest.
    pub fn read(path: impl Into<PathBuf>) -> Result<Self> {
        let config = Config::new(path);
        let manifest = newest_manifest(&*config.bind()?, &config.path)?;
        let tree = manifest.trees.into_iter().next();
        let tree = tree.ok_or(Error::NoStore { path: config.path })?;
        let checkpointed = TreeSize(tree.size);
        Ok(Self { hasher: tree.hasher, arity: tree.arity, checkpointed })
    }
}
