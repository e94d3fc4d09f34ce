//! A store: many trees, one log.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::accumulator::{Accumulator, DynAccumulator};
use crate::batch::Batch;
use crate::config::{Config, TreeConfig};
use crate::durability::DurabilityToken;
use crate::engine::{self, Engine, Slot, Wanted};
use crate::error::{Error, Result};
use crate::merkle::{Hasher, StoreHead, TreeName, TreeSize};
use crate::report::{BackupInfo, CheckpointInfo, CheckpointReason};
use crate::report::{RecoveryReport, Stats, TreeInfo};
use crate::scrub;
use crate::shared::Shared;
use crate::snapshot::Snapshot;

/// Many trees in one directory, with one log: what is inserted into several of them together is durable by one
/// fsync, and after a crash all of it is there or none.
///
/// Each tree has a name, a hash function and an arity of its own, and is used through a handle, an
/// [`Accumulator`] or a [`DynAccumulator`]. Trees cost little: an unused one holds no thread, no open
/// file and no node in memory, and is loaded when it is first asked for.
///
/// [`Accumulator::open`] is a store with one tree, `main`. It can be opened as a `Store` at any time, and get
/// further trees.
///
/// All methods take `&self`. Clones are handles of the same store. It is closed by [`close`](Self::close), or
/// when the last handle of it and of its trees is dropped.
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// use duramen::{Blake3, Config, FlushPolicy, Rfc6962Sha256, Store};
///
/// let config = Config::new(dir.path().join("chain")).flush_policy(FlushPolicy::Manual);
/// let store = Store::open(config)?;
/// let notes = store.tree::<Blake3, 4>("notes")?;
/// let receipts = store.tree::<Rfc6962Sha256, 2>("receipts")?;
///
/// // A block: visible at one moment, durable by one fsync, whole or absent after a crash.
/// let mut block = store.batch();
/// block.insert(&notes, [1; 32])?;
/// block.insert_many(&receipts, &[[2; 32], [3; 32]])?;
/// block.commit()?;
/// store.flush()?;
///
/// // One commitment to both trees, and a proof from a tree's head up to it.
/// let head = store.durable_head()?;
/// let proof = head.prove("receipts").ok_or("no such tree")?;
/// let commitment = head.commitment();
/// assert_eq!(*proof.verify(&commitment)?, receipts.head()?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
}

impl Store {
    /// Opens the store that `config` describes, and creates it, without trees, where it is missing.
    ///
    /// Everything that the opened store shows is durable. Costs the log since the last checkpoint; of trees
    /// that have nothing there, only what the manifest says of them is read.
    ///
    /// # Errors
    ///
    /// As [`Accumulator::open`], and [`UnknownHasher`](Error::UnknownHasher) if the log has leaves of a tree whose
    /// hash function neither the crate has nor [`Config::hasher`] has given.
    #[expect(clippy::needless_pass_by_value, reason = "a configuration is made for one store")]
    pub fn open(config: Config) -> Result<Self> {
        Ok(Self { shared: Shared::new(engine::open(&config, None)?) })
    }

    /// The tree `name` with hash function `H` and `N` children per node, which is created where there is none of
    /// that name. The first call for a tree since the store was opened loads it: O(log size) blocks.
    ///
    /// Creating a tree is a record of the log like a leaf: it is there at once, and durable by the next flush, or
    /// with the first of its leaves that is. [`Accumulator::created`] is the token for it.
    ///
    /// # Errors
    ///
    /// [`TreeName`](Error::TreeName) for a name that no tree can have; [`HasherMismatch`](Error::HasherMismatch) and
    /// [`ArityMismatch`](Error::ArityMismatch) if there is another tree of this name;
    /// [`Damaged`](Error::Damaged) if a part of the tree is missing or wrong;
    /// [`TooManyTrees`](Error::TooManyTrees), [`Poisoned`](Error::Poisoned) and [`Closed`](Error::Closed) if it would
    /// have to be created and cannot be.
    pub fn tree<H: Hasher + Default, const N: usize>(
        &self,
        name: impl AsRef<str>,
    ) -> Result<Accumulator<H, N>> {
        self.tree_dyn(name, TreeConfig::of::<H, N>()).map(Accumulator::of)
    }

    /// As [`tree`](Self::tree), with hash function and arity chosen at run time.
    ///
    /// # Errors
    ///
    /// As [`tree`](Self::tree).
    pub fn tree_dyn(&self, name: impl AsRef<str>, config: TreeConfig) -> Result<DynAccumulator> {
        let name = TreeName::new(name.as_ref())?;
        let TreeConfig { hasher, arity } = config;
        let opened = self.shared.engine.open_tree(Wanted { name, hasher, arity })?;
        Ok(DynAccumulator::of(&self.shared, opened))
    }

    /// The tree `name` as it is, with the hash function that it was made with.
    ///
    /// # Errors
    ///
    /// [`NoTree`](Error::NoTree) if there is none; [`UnknownHasher`](Error::UnknownHasher) if its hash function is
    /// neither one of the crate nor given by [`Config::hasher`]; else as [`tree`](Self::tree).
    pub fn existing_tree(&self, name: impl AsRef<str>) -> Result<DynAccumulator> {
        let engine = &self.shared.engine;
        let slot = engine.slot(&TreeName::new(name.as_ref())?)?;
        let tree = engine.load(&slot)?;
        let created = engine.token(engine.ingest.lock().accepted().seq);
        Ok(DynAccumulator::of(&self.shared, (tree, created)))
    }

    /// All trees, by name.
    ///
    /// # Errors
    ///
    /// [`Forked`](Error::Forked).
    pub fn trees(&self) -> Result<Vec<TreeInfo>> {
        self.shared.engine.tree_infos()
    }

    /// Has the tree `name` take no more leaves, for ever: inserts fail with [`TreeSealed`](Error::TreeSealed) from now
    /// on. It is read and proven as before. The token resolves once that is durable; a crash before may take it
    /// back, together with everything that was accepted later. Sealing a sealed tree changes nothing.
    ///
    /// # Errors
    ///
    /// [`NoTree`](Error::NoTree); [`Poisoned`](Error::Poisoned), [`Closed`](Error::Closed); of the first call for the tree as
    /// [`existing_tree`](Self::existing_tree).
    pub fn seal(&self, name: impl AsRef<str>) -> Result<DurabilityToken> {
        self.shared.engine.seal(&TreeName::new(name.as_ref())?)
    }

    /// Drops the tree `name`: there is none of that name from now on, and a new one may get it. The token resolves
    /// once that is durable; a crash before brings the tree back as it was.
    ///
    /// Its space on the disk is freed by the first checkpoint after the drop is durable. Where the
    /// [`CheckpointPolicy`](crate::CheckpointPolicy) has a trigger, that checkpoint is made soon. Handles of the tree
    /// insert nothing more; what they and snapshots can read stays readable while they live.
    ///
    /// # Errors
    ///
    /// [`NoTree`](Error::NoTree), [`Poisoned`](Error::Poisoned), [`Closed`](Error::Closed).
    pub fn drop_tree(&self, name: impl AsRef<str>) -> Result<DurabilityToken> {
        self.shared.engine.drop_tree(&TreeName::new(name.as_ref())?)
    }

    /// An empty batch of leaves for trees of this store.
    pub fn batch(&self) -> Batch {
        Batch::new(Arc::clone(&self.shared))
    }

    /// All trees as they are at this moment: of a [`Batch`] it has everything or nothing. O(trees).
    ///
    /// # Errors
    ///
    /// [`Forked`](Error::Forked).
    pub fn snapshot(&self) -> Result<StoreSnapshot> {
        let engine = Arc::clone(&self.shared.engine);
        Ok(StoreSnapshot { trees: engine.moment()?, engine })
    }

    /// The heads of all trees at this moment, durable or not. A crash may take back the newest leaves: what is
    /// signed or published comes from [`durable_head`](Self::durable_head).
    ///
    /// [`StoreHead::commitment`] is one hash that commits to all of them.
    ///
    /// # Errors
    ///
    /// As [`StoreSnapshot::head`].
    pub fn head(&self) -> Result<StoreHead> {
        self.snapshot()?.head()
    }

    /// The heads of all trees at the last point that is durable, the one to sign: no crash takes anything of it
    /// back.
    ///
    /// # Errors
    ///
    /// As [`StoreSnapshot::head`].
    pub fn durable_head(&self) -> Result<StoreHead> {
        let engine = Arc::clone(&self.shared.engine);
        StoreSnapshot { trees: engine.durable_moment()?, engine }.head()
    }

    /// Returns when everything accepted before the call is durable, in all trees: one write and one fsync.
    ///
    /// # Errors
    ///
    /// As [`DynAccumulator::flush`].
    pub fn flush(&self) -> Result<()> {
        self.shared.engine.flush()
    }

    /// Asks for everything accepted before the call to be made durable now, and returns at once. See
    /// [`DynAccumulator::flush_async`].
    ///
    /// # Errors
    ///
    /// As [`DynAccumulator::flush_async`].
    pub fn flush_async(&self) -> Result<DurabilityToken> {
        self.shared.engine.flush_soon()
    }

    /// Flushes, writes what is new in all trees to parts, and truncates the log. See
    /// [`DynAccumulator::checkpoint`].
    ///
    /// # Errors
    ///
    /// As [`DynAccumulator::checkpoint`].
    pub fn checkpoint(&self) -> Result<CheckpointInfo> {
        self.shared.engine.checkpoint(CheckpointReason::Manual)
    }

    /// Copies the store, with all its trees, to the directory `dir` while this one goes on. See
    /// [`DynAccumulator::snapshot_to`].
    ///
    /// # Errors
    ///
    /// As [`DynAccumulator::snapshot_to`].
    pub fn snapshot_to(&self, dir: impl Into<PathBuf>) -> Result<BackupInfo> {
        self.shared.engine.snapshot_to(&Config::new(dir))
    }

    /// Verifies every byte of the parts of all trees and of the log. See [`DynAccumulator::scrub`].
    ///
    /// # Errors
    ///
    /// As [`DynAccumulator::scrub`].
    pub fn scrub(
        &self,
        options: &scrub::Options,
        progress: scrub::OnProgress<'_>,
    ) -> Result<scrub::Report> {
        self.shared.engine.scrub(options, progress)
    }

    /// Counters, over all trees. In a forked child all of them are zero.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.shared.engine.stats()
    }

    /// What opening the store found.
    #[must_use]
    pub fn recovery(&self) -> &RecoveryReport {
        &self.shared.engine.report
    }

    /// Waits until the store's own threads have nothing to do, so that the disk sees the same
    /// operations in the same order each time.
    #[cfg(any(test, feature = "testing"))]
    pub fn wait_idle(&self) {
        self.shared.engine.wait_idle();
    }

    /// Stops the threads, makes everything durable, makes a checkpoint if the policy asks for one, and
    /// releases the store's lock. See [`Accumulator::close`]. Other handles of the store and of its trees go on
    /// reading, and every other call of theirs fails with [`Closed`](Error::Closed).
    ///
    /// # Errors
    ///
    /// As [`Accumulator::close`]; [`Closed`](Error::Closed) if it was closed before.
    pub fn close(self) -> Result<()> {
        self.shared.close()
    }
}

impl DynAccumulator {
    /// The store that the tree is in.
    #[must_use]
    pub fn store(&self) -> Store {
        Store { shared: Arc::clone(self.shared()) }
    }
}

impl<H, const N: usize> Accumulator<H, N> {
    /// The store that the tree is in. See [`DynAccumulator::store`].
    #[must_use]
    pub fn store(&self) -> Store {
        self.as_ref().store()
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("engine", &self.shared.engine).finish_non_exhaustive()
    }
}

/// All trees of a store as they were at one moment.
///
/// It copies nothing. It outlives the store that it was taken from, but a tree that was not used before the store
/// was closed, or was dropped since, can be read no more.
pub struct StoreSnapshot {
    engine: Arc<Engine>,
    /// By name.
    trees: Vec<(Arc<Slot>, TreeSize)>,
}

impl StoreSnapshot {
    /// The trees with their sizes, by name.
    pub fn trees(&self) -> impl Iterator<Item = (&TreeName, TreeSize)> {
        self.trees.iter().map(|(slot, size)| (&slot.spec.name, *size))
    }

    /// The tree `name` as it was; `None` if there was none. Loads it if it was not used since the store was
    /// opened. O(log trees).
    ///
    /// # Errors
    ///
    /// [`TreeDropped`](Error::TreeDropped) if it was dropped since and had not been loaded, and the errors of loading
    /// it, as of [`Store::existing_tree`].
    pub fn tree(&self, name: &str) -> Result<Option<Snapshot>> {
        let found = self.trees.binary_search_by(|(slot, _)| slot.spec.name.as_str().cmp(name));
        let Ok(at) = found else { return Ok(None) };
        let (slot, size) = &self.trees[at];
        Ok(Some(Snapshot::of_size(self.engine.load(slot)?, *size)))
    }

    /// The heads of all trees. Trees that were not used since the store was opened are not loaded for it.
    ///
    /// # Errors
    ///
    /// [`Damaged`](Error::Damaged) if a part cannot be read.
    pub fn head(&self) -> Result<StoreHead> {
        let head = |(slot, size): &(Arc<Slot>, TreeSize)| match (slot.tree(), slot.entry()) {
            // Its root is in the manifest: it had no leaf since.
            (_, Some(entry)) if entry.size == size.get() => Ok(entry.head()),
            (Some(tree), _) => Ok(slot.spec.at(tree.head_at(*size)?)),
            (None, _) => Err(Error::TreeDropped { tree: slot.spec.name.clone() }),
        };
        let heads = self.trees.iter().map(head).collect::<Result<_>>()?;
        // No two trees have one name at one moment, and all names are of the form that they must have.
        Ok(StoreHead::new(heads).unwrap_or_default())
    }
}

impl fmt::Debug for StoreSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.trees()).finish()
    }
}
