//! Opening a store with the settings it was made with.

use std::path::Path;

use duramen::{
    Arity, Compression, Config, DynAccumulator, EntryConfig, Snapshot, Store, StoreReader,
    TreeConfig, TreeName,
};

use crate::args::{AppendArgs, HasherName};
use crate::error::Error;

/// The tree of a store that exists, for reading, also beside its writer. Nothing is created or changed.
pub(crate) fn read(dir: &Path, tree: &TreeName) -> Result<Snapshot, Error> {
    Ok(StoreReader::open(Config::new(dir))?.tree(tree)?)
}

/// Opens the tree that `args` names, and creates it and its store where they are missing. What is not asked
/// for is as the tree has it; what is asked for and contradicts it is refused.
pub(crate) fn open_or_create(config: Config, args: &AppendArgs) -> Result<DynAccumulator, Error> {
    let store = Store::open(config)?;
    let existing = match store.existing_tree(&args.tree) {
        Ok(found) => Some(found),
        Err(duramen::Error::NoTree { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    let existing = existing.as_ref();
    let stored = existing.and_then(|tree| HasherName::by_id(tree.hasher().id().as_str()));
    let hasher = args.hasher.or(stored).unwrap_or(HasherName::Blake3);
    let arity = args.arity.or(existing.map(DynAccumulator::arity)).unwrap_or(Arity::Four);
    let tree = TreeConfig::new(hasher.hasher(), arity);
    let tree = match args.entries {
        true => tree.entries(entries(args, existing.and_then(DynAccumulator::entry_config))),
        false => tree,
    };
    Ok(store.tree_dyn(&args.tree, tree)?)
}

/// How the tree is to keep entries: as asked for, and otherwise as it does.
fn entries(args: &AppendArgs, stored: Option<EntryConfig>) -> EntryConfig {
    let mut entries = stored.unwrap_or_default();
    if let Some(bytes) = args.longest {
        entries = entries.longest(bytes);
    }
    if let Some(level) = args.compress {
        entries = entries.compression(Compression::Zstd(level));
    }
    entries
}
