//! The description of a store, read without opening the store.

use std::path::PathBuf;

use crate::config::Config;
use crate::directory::manifest::TreeEntry;
use crate::directory::newest_manifest;
use crate::error::Result;
use crate::merkle::TreeName;
use crate::report::TreeInfo;

/// The description of a store, read without opening the store.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreInfo {
    /// The store's id: 16 random bytes in the form of a UUID.
    pub store: String,
    /// The trees at the last checkpoint, by name. The log may have more leaves of these trees, and more
    /// trees.
    pub trees: Vec<TreeInfo>,
}

impl StoreInfo {
    /// Reads the description of the store at `path`. This also works while a process has the store open,
    /// or if its log or its parts are damaged. Reads one small file and changes nothing.
    ///
    /// # Errors
    ///
    /// [`NoStore`](crate::Error::NoStore) if there is no store; otherwise the error of its manifest.
    pub fn read(path: impl Into<PathBuf>) -> Result<Self> {
        let config = Config::new(path);
        let manifest = newest_manifest(&*config.bind()?, &config.path)?;
        let mut trees: Vec<_> = manifest.trees.iter().map(|entry| info(entry)).collect();
        trees.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        Ok(Self { store: manifest.store.to_string(), trees })
    }

    /// The tree of this name.
    #[must_use]
    pub fn tree(&self, name: &TreeName) -> Option<&TreeInfo> {
        self.trees.iter().find(|tree| tree.name == *name)
    }
}

fn info(entry: &TreeEntry) -> TreeInfo {
    let lengths = entry.parts.iter().map(|part| part.len);
    TreeInfo::asleep(&entry.spec, entry.size, (entry.sealed, entry.indexed), lengths)
}
