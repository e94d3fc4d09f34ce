//! Makes a new store from the parts and the log of one whose manifests are gone or damaged.
//!
//! # What can be trusted without a manifest
//!
//! - **Parts.** Each says which store, tree and leaves it is of, and has a checksum for every block. Its inner nodes are the
//!   hashes of its leaves and of those before it, so parts of two histories do not fit each other. The leaves of each part are
//!   hashed, and the result is compared with its nodes.
//! - **The log.** Leaves are bytes of the callers' choice and may look like groups of the log. What tells them apart is the
//!   *life* in each group, which callers do not know. It follows from a key in the manifest. But the first bytes of a
//!   segment are never leaves: what stands there with the store's id and the number of the file was written by the store,
//!   and shows the life of all groups in that segment. A segment without that, as the first one of a backup, is taken only
//!   with [`Options::unproven_log`].
//! - **A manifest that can be read**, also an older one, adds names, settings, erasures, keys of the log, and a root.
//!
//! # Invariants
//!
//! - The damaged store is only read.
//! - The new store cannot be opened before it is whole (`place.rs`).
//! - Leaves are taken in order and without a gap. What lies behind a gap is reported and not taken: its indexes would differ.
//! - Groups of the log count as they do at an opening: provisional ones only if a later group ends at a point.
//! - An entry that was erased, or that cannot be read, becomes an erased entry in the new store. So its leaf and the root stay.
//!
//! ```
//! # let dir = tempfile::tempdir()?;
//! # let (dir, new) = (dir.path().join("log"), dir.path().join("new"));
//! use duramen::{Accumulator, Config, recover};
//!
//! let log: Accumulator = Accumulator::open(Config::new(&dir))?;
//! log.insert_many(&[[1; 32]; 1000])?;
//! log.checkpoint()?;
//! log.insert_durable([2; 32])?;
//! let head = log.head()?;
//! log.close()?;
//! std::fs::remove_dir_all(dir.join("manifest"))?;
//! std::fs::create_dir(dir.join("manifest"))?;
//!
//! // No manifest says the tree's name.
//! let options = recover::Options::new().name(0, "main")?;
//! let report = recover::run(&Config::new(&dir), &Config::new(&new), &options)?;
//! assert!(report.is_whole());
//! assert_eq!(report.trees[0].head, head);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod cover;
mod facts;
mod log;
mod place;
mod report;
mod write;

use std::collections::BTreeMap;

pub use report::{Recovered, RecoveredTree, Skipped};

use crate::config::Config;
use crate::error::{Error, Result};
use crate::hashers::Hashers;
use crate::merkle::TreeName;

/// The options of a recovery.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    pub(crate) unproven_log: bool,
    pub(crate) names: BTreeMap<u32, TreeName>,
}

impl Options {
    /// Takes only what is proven to come from the store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether segments of the log are taken too of which nothing shows that the store wrote their groups. Whoever chose
    /// leaves of the store may have forged such groups, with leaves and trees of their own.
    #[must_use]
    pub fn unproven_log(mut self, yes: bool) -> Self {
        self.unproven_log = yes;
        self
    }

    /// The name of tree number `tree`, if no manifest and no record of the log says it. Without one it is `tree-NUMBER`.
    /// The first tree of a store has number 0.
    ///
    /// # Errors
    ///
    /// [`TreeName`](crate::Error::TreeName).
    pub fn name(mut self, tree: u32, name: impl AsRef<str>) -> Result<Self> {
        self.names.insert(tree, TreeName::new(name.as_ref())?);
        Ok(self)
    }
}

/// Makes a new store in `target` from what can be read of the store in `damaged`, and reports what is missing. The new store
/// has an id of its own. It is durable when this returns.
///
/// Nothing may write to the damaged store meanwhile; it is not locked. The new store cannot be opened before it is whole: after
/// a crash its directory is refused as that of a copy that was not finished. Trees with the caller's own hash functions need
/// [`Config::hasher`] in `damaged`. Of a tree whose settings nothing says, entries may have the length that their parts
/// have room for, 65,535 bytes or 64 MiB, and are not compressed.
///
/// Every leaf is read twice and hashed twice. Memory does not grow with the store: beside what the new store holds
/// ([`Config::max_memory`] in `target`) it is one group of the log, or some MiB of entries.
///
/// # Errors
///
/// [`NoStore`](crate::Error::NoStore) if the directory is missing or has no file of a store;
/// [`NotEmpty`](crate::Error::NotEmpty) unless `target` is missing or empty;
/// [`Locked`](crate::Error::Locked) if a process has the damaged store open; [`Config`](crate::Error::Config) if a
/// [name](Options::name) is for a tree of which nothing is there;
/// [`UnknownHasher`](crate::Error::UnknownHasher); [`Io`](crate::Error::Io). Damage is no error: the report has it. After an
/// error nothing is left in `target`, as far as it can be removed.
pub fn run(damaged: &Config, target: &Config, options: &Options) -> Result<Recovered> {
    let fs = damaged.bind()?;
    // A file system that cannot say it is taken at the caller's word.
    if fs.is_locked().unwrap_or_default() {
        return Err(Error::Locked { path: damaged.path.clone(), owner: fs.lock_owner() });
    }
    crate::backup::refuse_target(target)?;
    let hashers = Hashers::new(damaged.hashers.iter().cloned());
    let mut facts = facts::gather(&fs, &damaged.path)?;
    let log = log::scan(&*fs, &mut facts, options.unproven_log)?;
    write::write(&fs, damaged, target, &hashers, options, facts, &log)
}
