//! Opening a store with the hash function and arity it was made with.

use std::path::Path;

use duramen::{Arity, Config, DynAccumulator, Snapshot, Store, StoreReader, TreeConfig, TreeName};

use crate::args::HasherName;
use crate::error::Error;

/// The tree of a store that exists, for reading, also beside its writer. Nothing is created or changed.
pub(crate) fn read(dir: &Path, tree: &TreeName) -> Result<Snapshot, Error> {
    Ok(StoreReader::open(Config::new(dir))?.tree(tree)?)
}

/// Opens the tree of the store in `dir`, and creates both where they are missing. What is not asked for is as
/// the tree has it; what is asked for and contradicts it is refused.
pub(crate) fn open_or_create(
    config: Config,
    tree: &TreeName,
    hasher: Option<HasherName>,
    arity: Option<Arity>,
) -> Result<DynAccumulator, Error> {
    let store = Store::open(config)?;
    let (hasher, arity) = match store.existing_tree(tree) {
        Ok(found) => {
            let (stored, stored_arity) = (found.hasher().id(), found.arity());
            let stored = || HasherName::by_id(stored.as_str()).unwrap_or(HasherName::Blake3);
            (hasher.unwrap_or_else(stored), arity.unwrap_or(stored_arity))
        }
        Err(duramen::Error::NoTree { .. }) => {
            (hasher.unwrap_or(HasherName::Blake3), arity.unwrap_or(Arity::Four))
        }
        Err(error) => return Err(error.into()),
    };
    Ok(store.tree_dyn(tree, TreeConfig::new(hasher.hasher(), arity))?)
}
