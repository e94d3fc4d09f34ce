//! A copy of a store from which a scrub takes what is damaged. It is read as a follower reads a store: the parts, the
//! leaves in the manifest, and the log.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::follow::{Followed, follow};
use super::tree::Tree;
use crate::config::Config;
use crate::error::Result;
use crate::hashers::Hashers;
use crate::ids::StoreId;
use crate::merkle::{Hash, Level, NodeIndex, NodeSource};
use crate::scrub::{Donor, Options};
use crate::sync::Mutex;
use crate::tree_spec::TreeSpec;

/// A copy that is read from outside.
struct Copy {
    config: Config,
    path: PathBuf,
    store: StoreId,
    followed: Mutex<Followed>,
}

impl Copy {
    /// The tree of `spec`. `None` if the copy has none or another one.
    fn tree(&self, spec: &TreeSpec) -> Option<Arc<Tree>> {
        let tree = self.followed.lock().tree(&self.config, &spec.name).ok()?;
        (*tree.spec == *spec).then_some(tree)
    }
}

impl Donor for Copy {
    fn path(&self) -> &Path {
        &self.path
    }

    fn store(&self) -> StoreId {
        self.store
    }

    fn leaves(&self, spec: &TreeSpec, first: u64, out: &mut [Hash]) -> bool {
        let Some(tree) = self.tree(spec) else { return false };
        let view = tree.columns.view();
        let end = first.checked_add(out.len() as u64);
        end.is_some_and(|end| end <= view.leaves())
            && view.read_nodes(Level::LEAVES, NodeIndex(first), out).is_ok()
    }

    fn entries(&self, spec: &TreeSpec, range: Range<u64>, out: &mut dyn FnMut(&[u8])) -> bool {
        let Some(tree) = self.tree(spec) else { return false };
        if tree.framing.is_none() || range.end > tree.columns.leaves() {
            return false;
        }
        let mut at = range.start;
        while at < range.end {
            let Ok(span) = tree.entry_run(at, range.end) else { return false };
            out(span.bytes.get());
            at = span.end;
        }
        true
    }
}

impl fmt::Debug for Copy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, store, .. } = self;
        f.debug_struct("Copy").field("path", path).field("store", store).finish_non_exhaustive()
    }
}

impl Options {
    /// Takes from the store in `config`, a backup of the scrubbed one, what cannot be rebuilt: leaves, entries, and
    /// whole parts. With [`repair`](Self::repair) it goes into new parts, and without it the report says what would.
    ///
    /// The backup is not trusted. Leaves are taken only if the hashes above them lead to an intact node, or to the
    /// root in the manifest. Entries are taken only if they hash to their leaves, and an entry that is erased in the
    /// store stays erased. The backup is neither locked nor changed, may be older than the store, and may be in use.
    ///
    /// Missing and damaged entries of a part are taken if the backup has all of them. Trees with the caller's own hash
    /// functions need [`Config::hasher`] in this `config` too. What the log of the backup has is held in memory.
    ///
    /// # Errors
    ///
    /// As [`StoreReader::open`](crate::StoreReader::open). A scrub with these options fails with
    /// [`OtherStore`](crate::Error::OtherStore) if the backup is one of another store.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let (dir, copy) = (dir.path().join("log"), dir.path().join("copy"));
    /// use std::ops::ControlFlow;
    ///
    /// use duramen::{Accumulator, Config, scrub};
    ///
    /// let log: Accumulator = Accumulator::open(Config::new(&dir))?;
    /// log.insert_many(&[[1; 32]; 1000])?;
    /// log.checkpoint()?;
    /// log.snapshot_to(&copy)?;
    /// log.close()?;
    ///
    /// let options = scrub::Options::new().repair(true).backup(&Config::new(&copy))?;
    /// let report = scrub::run(&Config::new(&dir), &options, &mut |_| ControlFlow::Continue(()))?;
    /// assert!(report.is_clean());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn backup(self, config: &Config) -> Result<Self> {
        let hashers = Hashers::new(config.hashers.iter().cloned());
        let followed = follow(config, &config.bind()?, &hashers, None)?;
        let (store, path) = (followed.store, config.path.clone());
        let copy = Copy { config: config.clone(), path, store, followed: Mutex::new(followed) };
        Ok(self.with_donor(Arc::new(copy)))
    }
}
