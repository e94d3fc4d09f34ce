//! Opening a store with the settings it was made with.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use duramen::{
    Arity, Compression, Config, DynAccumulator, EntryConfig, Snapshot, Store, StoreReader,
    TreeConfig, TreeName,
};

use crate::args::{HasherName, LockArgs};
use crate::error::Error;
use crate::memory;

/// The tree of a store that exists, for reading, also beside its writer. Nothing is created or changed.
pub(crate) fn read(dir: &Path, tree: &TreeName) -> Result<Snapshot, Error> {
    Ok(StoreReader::open(Config::new(dir))?.tree(tree)?)
}

/// How often a store that is open elsewhere is looked at again.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// A store for writing, which writes its figures for `duramen stats`.
pub(crate) fn open(config: &Config, lock: LockArgs) -> Result<Store, Error> {
    let store = locked(lock, || Store::open(config.clone().status_file(true)))?;
    let recovery = store.recovery();
    if recovery.torn.is_some() || recovery.dropped_leaves > 0 {
        tracing::warn!("opened after {recovery}");
    } else if !recovery.clean {
        tracing::info!("opened after {recovery}");
    }
    Ok(store)
}

/// A store that exists, for writing.
pub(crate) fn open_existing(dir: &Path, lock: LockArgs) -> Result<Store, Error> {
    open(&memory::bounded(Config::new(dir).create(false), None)?, lock)
}

/// Runs what locks a store, again and again while the store is open elsewhere and the caller will wait.
pub(crate) fn locked<T>(
    lock: LockArgs,
    mut open: impl FnMut() -> Result<T, duramen::Error>,
) -> Result<T, Error> {
    let begun = Instant::now();
    let longest = lock.wait_lock.unwrap_or_default();
    loop {
        match open() {
            Err(duramen::Error::Locked { .. }) if begun.elapsed() < longest => {
                thread::sleep(LOOK_AGAIN.min(longest.saturating_sub(begun.elapsed())));
            }
            opened => return Ok(opened?),
        }
    }
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
pub(crate) fn open_or_create(
    config: &Config,
    wanted: &Wanted<'_>,
    lock: LockArgs,
) -> Result<DynAccumulator, Error> {
    let store = open(config, lock)?;
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
