//! Opening a store with the settings it was made with.

use std::path::Path;

use duramen::{
    Arity, Compression, Config, DynAccumulator, EntryConfig, Snapshot, Store, StoreReader,
    TreeConfig, TreeName,
};

use crate::args::HasherName;
use crate::error::Error;

/// The tree of a store that exists, for reading, also beside its writer. Nothing is created or changed.
pub(crate) fn read(dir: &Path, tree: &TreeName) -> Result<Snapshot, Error> {
    Ok(StoreReader::open(Config::new(dir))?.tree(tree)?)
}

/// What is asked of a tree. What is not asked for is as the tree has it.
pub(crate) struct Wanted<'a> {
    pub(crate) tree: &'a TreeName,
    /// Whether to make the tree if it is missing.
    pub(crate) create: bool,
    pub(crate) hasher: Option<HasherName>,
    pub(crate) arity: Option<Arity>,
    /// How entries are kept, if they are asked for.
    pub(crate) entries: Option<WantedEntries>,
    /// Whether the tree is to have an index. One that has an index keeps it.
    pub(crate) indexed: bool,
}

/// How a tree is asked to keep entries.
pub(crate) struct WantedEntries {
    pub(crate) longest: Option<u32>,
    /// The level of zstd.
    pub(crate) compress: Option<u8>,
    /// How a new tree keeps them, where nothing is asked for.
    pub(crate) new: EntryConfig,
}

/// Opens a tree, and creates it and its store where they are missing. What is asked for and contradicts the tree is
/// refused.
pub(crate) fn open_or_create(config: Config, wanted: &Wanted<'_>) -> Result<DynAccumulator, Error> {
    let store = Store::open(config)?;
    let existing = match store.existing_tree(wanted.tree) {
        Ok(found) => Some(found),
        Err(duramen::Error::NoTree { .. }) if wanted.create => None,
        Err(error) => return Err(error.into()),
    };
    let existing = existing.as_ref();
    let stored = existing.and_then(|tree| HasherName::by_id(tree.hasher().id().as_str()));
    let hasher = wanted.hasher.or(stored).unwrap_or(HasherName::Blake3);
    let arity = wanted.arity.or(existing.map(DynAccumulator::arity)).unwrap_or(Arity::Four);
    let tree = TreeConfig::new(hasher.hasher(), arity);
    let tree = match &wanted.entries {
        Some(asked) => {
            tree.entries(entries(asked, existing.and_then(DynAccumulator::entry_config))?)
        }
        None => tree,
    };
    let tree = if wanted.indexed { tree.indexed() } else { tree };
    Ok(store.tree_dyn(wanted.tree, tree)?)
}

/// How the tree is to keep entries: as asked for, and otherwise as it does.
fn entries(asked: &WantedEntries, stored: Option<EntryConfig>) -> Result<EntryConfig, Error> {
    let mut entries = stored.unwrap_or(asked.new);
    if let Some(bytes) = asked.longest {
        entries = entries.longest(bytes)?;
    }
    if let Some(level) = asked.compress {
        entries = entries.compression(Compression::zstd(level)?);
    }
    Ok(entries)
}
