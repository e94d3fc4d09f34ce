//! A store: many trees with one log.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use crate::accumulator::{Accumulator, DynAccumulator};
use crate::backup::Target;
use crate::batch::Batch;
use crate::config::{Config, TreeConfig};
use crate::durability::DurabilityToken;
use crate::engine::{self, Engine, TreeThen, Wanted};
use crate::entry::EntryConfig;
use crate::error::{Error, Result};
use crate::ids::Seq;
use crate::mark::{MarkInfo, MarkName};
use crate::merkle::{Hasher, StoreHead, TreeName, TreeSize};
use crate::report::{BackupInfo, CheckpointInfo, CheckpointReason, Compact, CompactInfo};
use crate::report::{RecoveryReport, RewindInfo, Stats, TreeInfo, TreeStats};
use crate::scrub;
use crate::shared::Shared;
use crate::snapshot::Snapshot;
use crate::sync::process::InProcess;

/// Many trees in one directory, with one log. Leaves that are inserted into several trees together
/// become durable with one fsync. After a crash all of them are there, or none.
///
/// Each tree has its own name, hash function and arity. A program uses a tree through a handle: an
/// [`Accumulator`] or a [`DynAccumulator`]. Trees cost little. An unused tree has no thread, no open
/// file and no node in memory, and is loaded on first use.
///
/// [`Accumulator::open`] opens a store with one tree, `main`. Such a store can be opened as a `Store` at
/// any time, and can get more trees.
///
/// All methods take `&self`. Clones are handles of the same store. The store is closed by
/// [`close`](Self::close), or when the last handle of the store and of its trees is dropped.
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
/// // A block: atomically visible, durable with one fsync, complete or absent after a crash.
/// let mut block = store.batch();
/// block.insert(&notes, [1; 32])?;
/// block.insert_many(&receipts, &[[2; 32], [3; 32]])?;
/// block.commit()?;
/// store.flush()?;
///
/// // One commitment to both trees, and a proof that leads from a tree's head to this commitment.
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
    /// Opens the store in `config`. Creates it, without trees, if it is missing.
    ///
    /// Everything that the opened store shows is durable. The cost is proportional to the log since the
    /// last checkpoint. For trees without leaves in this log, only their entries in the manifest are
    /// read.
    ///
    /// # Errors
    ///
    /// As [`Accumulator::open`]. Also [`UnknownHasher`](Error::UnknownHasher) if the log has leaves of a
    /// tree whose hash function is neither in the crate nor given by [`Config::hasher`].
    #[expect(clippy::needless_pass_by_value, reason = "a configuration is made for one store")]
    pub fn open(config: Config) -> Result<Self> {
        Ok(Self { shared: Shared::new(engine::open(&config, None)?) })
    }

    /// The tree `name` with hash function `H` and `N` children per node. Creates the tree if there is no
    /// tree with this name. The first call for a tree since the store was opened loads it: O(log size)
    /// blocks.
    ///
    /// Creating a tree writes a record to the log, like inserting a leaf. The tree is visible at once.
    /// The next flush makes it durable, at the latest together with its first durable leaf.
    /// [`Accumulator::created`] is the token for it.
    ///
    /// # Errors
    ///
    /// [`TreeName`](Error::TreeName) if the name is invalid; [`HasherMismatch`](Error::HasherMismatch)
    /// and [`ArityMismatch`](Error::ArityMismatch) if the tree was created with another hash function or
    /// arity; [`Damaged`](Error::Damaged) if a part of the tree is missing or wrong;
    /// [`TooManyTrees`](Error::TooManyTrees), [`Poisoned`](Error::Poisoned) and
    /// [`Closed`](Error::Closed) if the tree does not exist and cannot be created.
    pub fn tree<H: Hasher + Default, const N: usize>(
        &self,
        name: impl AsRef<str>,
    ) -> Result<Accumulator<H, N>> {
        self.tree_dyn(name, TreeConfig::of::<H, N>()).map(Accumulator::of)
    }

    /// As [`tree`](Self::tree), for a tree that keeps entries. See [`TreeConfig::entries`].
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// use duramen::{Blake3, Config, EntryConfig, Store};
    ///
    /// let store = Store::open(Config::new(dir.path().join("audit")))?;
    /// let log = store.tree_with_entries::<Blake3, 4>("requests", EntryConfig::new())?;
    /// let inserted = log.insert_entry("GET /index.html 200")?;
    /// assert_eq!(&*log.entry(inserted.index)?, b"GET /index.html 200");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`tree`](Self::tree). [`EntriesMismatch`](Error::EntriesMismatch) if the tree was created with
    /// other settings, or without entries; [`Config`](Error::Config) if a new tree cannot have them.
    pub fn tree_with_entries<H: Hasher + Default, const N: usize>(
        &self,
        name: impl AsRef<str>,
        entries: EntryConfig,
    ) -> Result<Accumulator<H, N>> {
        self.tree_dyn(name, TreeConfig::of::<H, N>().entries(entries)).map(Accumulator::of)
    }

    /// As [`tree`](Self::tree), with a hash function and an arity chosen at run time.
    ///
    /// # Errors
    ///
    /// As [`tree`](Self::tree).
    pub fn tree_dyn(&self, name: impl AsRef<str>, config: TreeConfig) -> Result<DynAccumulator> {
        let name = TreeName::new(name.as_ref())?;
        let TreeConfig { hasher, arity, entries, indexed, origin } = config;
        let wanted = Wanted { name, hasher, arity, entries, indexed, origin };
        let opened = self.shared.engine()?.open_tree(&wanted)?;
        DynAccumulator::of(&self.shared, opened)
    }

    /// The existing tree `name`, with the hash function and the arity that it was created with.
    ///
    /// # Errors
    ///
    /// [`NoTree`](Error::NoTree) if there is no such tree; [`UnknownHasher`](Error::UnknownHasher) if
    /// its hash function is neither in the crate nor given by [`Config::hasher`]; otherwise as
    /// [`tree`](Self::tree).
    pub fn existing_tree(&self, name: impl AsRef<str>) -> Result<DynAccumulator> {
        let engine = self.shared.engine()?;
        let slot = engine.slot(&TreeName::new(name.as_ref())?)?;
        engine.load(&slot)?;
        let created = engine.token_now();
        DynAccumulator::of(&self.shared, (slot, created))
    }

    /// All trees, by name.
    ///
    /// # Errors
    ///
    /// [`Forked`](Error::Forked).
    pub fn trees(&self) -> Result<Vec<TreeInfo>> {
        self.shared.engine()?.tree_infos()
    }

    /// Seals the tree `name` for ever. From now on inserts fail with [`TreeSealed`](Error::TreeSealed).
    /// Reads and proofs work as before. The token resolves once the seal is durable. A crash before that
    /// may undo the seal, together with everything accepted after it. Sealing a sealed tree changes
    /// nothing.
    ///
    /// # Errors
    ///
    /// [`NoTree`](Error::NoTree); [`Poisoned`](Error::Poisoned), [`Closed`](Error::Closed). The first
    /// call for the tree may also fail as [`existing_tree`](Self::existing_tree) does.
    pub fn seal(&self, name: impl AsRef<str>) -> Result<DurabilityToken> {
        self.shared.engine()?.seal(&TreeName::new(name.as_ref())?)
    }

    /// Drops the tree `name`. From now on there is no tree with this name, and a new tree may take the
    /// name. The token resolves once the drop is durable. A crash before that brings the tree back
    /// unchanged.
    ///
    /// The first checkpoint after the drop is durable frees the tree's space on the disk. If the
    /// [`CheckpointPolicy`](crate::CheckpointPolicy) has a trigger, this checkpoint is made soon.
    /// Handles of the tree insert nothing more. The data that these handles and snapshots can read stays
    /// readable while they live.
    ///
    /// # Errors
    ///
    /// [`NoTree`](Error::NoTree), [`Poisoned`](Error::Poisoned), [`Closed`](Error::Closed).
    pub fn drop_tree(&self, name: impl AsRef<str>) -> Result<DurabilityToken> {
        self.shared.engine()?.drop_tree(&TreeName::new(name.as_ref())?)
    }

    /// Gives the sizes that all trees have now a name, a block's hash say: a *mark*. The token resolves once the mark is
    /// durable, with everything accepted before it. A mark causes no flush of its own.
    ///
    /// [`snapshot_at`](Self::snapshot_at) reads all trees as they were at the mark. [`Batch::mark`] sets a mark with the
    /// leaves that it covers, so that after a crash both are there or neither. A mark stays until it is
    /// [dropped](Self::drop_mark), also when the store is opened again.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// use duramen::{Blake3, Config, Store};
    ///
    /// let store = Store::open(Config::new(dir.path().join("chain")))?;
    /// let notes = store.tree::<Blake3, 4>("notes")?;
    /// notes.insert([1; 32])?;
    /// store.mark("block 1")?.wait()?;
    /// let head = notes.head()?;
    /// notes.insert([2; 32])?;
    /// let then = store.snapshot_at("block 1")?;
    /// let notes = then.tree("notes")?.ok_or("no notes")?;
    /// assert_eq!(notes.head()?, head);
    /// let proof = notes.prove(0)?;
    /// # let _ = proof;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`MarkExists`](Error::MarkExists) if there is a mark of this name; [`TooManyMarks`](Error::TooManyMarks) at the
    /// limit of [`Config::max_marks`]; [`MarkName`](Error::MarkName); [`Poisoned`](Error::Poisoned),
    /// [`Closed`](Error::Closed).
    pub fn mark(&self, name: impl AsRef<str>) -> Result<DurabilityToken> {
        self.shared.engine()?.mark(&MarkName::new(name.as_ref())?)
    }

    /// Removes the mark `name`. The trees are unchanged. The token resolves once that is durable. A crash before that
    /// brings the mark back.
    ///
    /// # Errors
    ///
    /// [`NoMark`](Error::NoMark), [`MarkName`](Error::MarkName), [`Poisoned`](Error::Poisoned),
    /// [`Closed`](Error::Closed).
    pub fn drop_mark(&self, name: impl AsRef<str>) -> Result<DurabilityToken> {
        self.shared.engine()?.drop_mark(&MarkName::new(name.as_ref())?)
    }

    /// Rewinds all trees to the sizes that they had at the mark `name`, with one record: whatever happens, all of them are
    /// rewound or none. A tree that was created since then has no leaf afterwards; a tree that was dropped stays dropped.
    /// The mark stays, and later ones with more leaves are gone. Otherwise as
    /// [`DynAccumulator::rewind`](crate::DynAccumulator::rewind).
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// use duramen::{Blake3, Config, Store};
    ///
    /// let store = Store::open(Config::new(dir.path().join("chain")))?;
    /// let notes = store.tree::<Blake3, 4>("notes")?;
    /// notes.insert([1; 32])?;
    /// drop(store.mark("block 1")?);
    /// let head = store.head()?;
    /// notes.insert([2; 32])?;
    /// store.rewind_to("block 1")?;
    /// assert_eq!(store.head()?, head);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`NoMark`](Error::NoMark), [`MarkName`](Error::MarkName); [`TreeSealed`](Error::TreeSealed) if a tree that would lose
    /// leaves is sealed, and nothing is rewound then; otherwise as
    /// [`DynAccumulator::rewind`](crate::DynAccumulator::rewind).
    pub fn rewind_to(&self, name: impl AsRef<str>) -> Result<RewindInfo> {
        self.shared.engine()?.rewind_to(&MarkName::new(name.as_ref())?)
    }

    /// All marks, oldest first.
    ///
    /// # Errors
    ///
    /// [`Forked`](Error::Forked).
    pub fn marks(&self) -> Result<Vec<MarkInfo>> {
        Ok(self.shared.engine()?.marks())
    }

    /// All trees as they were at the mark `name`, for as long as the snapshot lives. Trees that were created later are
    /// not in it, and neither are trees that were dropped since.
    ///
    /// # Errors
    ///
    /// [`NoMark`](Error::NoMark), [`MarkName`](Error::MarkName), [`Forked`](Error::Forked).
    pub fn snapshot_at(&self, name: impl AsRef<str>) -> Result<StoreSnapshot> {
        let trees = self.shared.engine()?.moment_at(&MarkName::new(name.as_ref())?)?;
        Ok(StoreSnapshot { trees, engine: self.shared.kept_engine() })
    }

    /// An empty batch of leaves for trees of this store.
    pub fn batch(&self) -> Batch {
        Batch::new(Arc::clone(&self.shared))
    }

    /// All trees as they are now. The snapshot has all leaves of a [`Batch`] or none of them. O(trees).
    ///
    /// A tree that was not in use yet is loaded when the snapshot is first asked for it. What was pruned by then is not there.
    ///
    /// # Errors
    ///
    /// [`Forked`](Error::Forked).
    pub fn snapshot(&self) -> Result<StoreSnapshot> {
        let trees = self.shared.engine()?.moment()?;
        Ok(StoreSnapshot { trees, engine: self.shared.kept_engine() })
    }

    /// The heads of all trees as they are now, durable or not. A crash may undo the newest leaves, so
    /// use [`durable_head`](Self::durable_head) for heads that you sign or publish.
    ///
    /// [`StoreHead::commitment`] is one hash that commits to all heads.
    ///
    /// # Errors
    ///
    /// As [`StoreSnapshot::head`].
    pub fn head(&self) -> Result<StoreHead> {
        self.snapshot()?.head()
    }

    /// The heads of all trees at the last durable point. Sign these heads: no crash can undo them.
    ///
    /// # Errors
    ///
    /// As [`StoreSnapshot::head`].
    pub fn durable_head(&self) -> Result<StoreHead> {
        let trees = self.shared.engine()?.durable_moment()?;
        StoreSnapshot { trees, engine: self.shared.kept_engine() }.head()
    }

    /// Returns when everything accepted before the call is durable, in all trees. Costs one write and
    /// one fsync.
    ///
    /// # Errors
    ///
    /// As [`DynAccumulator::flush`].
    pub fn flush(&self) -> Result<()> {
        self.shared.engine()?.flush()
    }

    /// The sequence number up to which everything is durable.
    ///
    /// # Errors
    ///
    /// [`Forked`](Error::Forked) in a forked child.
    ///
    /// # Examples
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # use duramen::{Accumulator, Config};
    /// let log: Accumulator = Accumulator::open(Config::new(dir.path()))?;
    /// let inserted = log.insert([7; 32])?;
    /// inserted.token.wait()?;
    /// assert!(log.store().durable_seq()? >= inserted.token.seq());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn durable_seq(&self) -> Result<Seq> {
        Ok(self.shared.engine()?.durable_seq())
    }

    /// Requests a flush of everything accepted before the call, and returns at once. See
    /// [`DynAccumulator::flush_async`].
    ///
    /// # Errors
    ///
    /// As [`DynAccumulator::flush_async`].
    pub fn flush_async(&self) -> Result<DurabilityToken> {
        self.shared.engine()?.flush_soon()
    }

    /// Flushes, writes the new nodes of all trees to parts, and truncates the log. See
    /// [`DynAccumulator::checkpoint`].
    ///
    /// # Errors
    ///
    /// As [`DynAccumulator::checkpoint`].
    pub fn checkpoint(&self) -> Result<CheckpointInfo> {
        self.shared.engine()?.checkpoint(CheckpointReason::Manual)
    }

    /// Removes the data of erased entries from every file of the store. See [`DynAccumulator::compact`].
    ///
    /// # Errors
    ///
    /// As [`DynAccumulator::compact`].
    pub fn compact(&self, how: Compact) -> Result<CompactInfo> {
        self.shared.engine()?.compact(how)
    }

    /// Copies the store, with all its trees, to the directory `dir` while the store is in use. See
    /// [`DynAccumulator::snapshot_to`].
    ///
    /// # Errors
    ///
    /// As [`DynAccumulator::snapshot_to`].
    pub fn snapshot_to(&self, dir: impl Into<PathBuf>) -> Result<BackupInfo> {
        self.shared.engine()?.snapshot_to(&Config::new(dir))
    }

    /// The engine, for what keeps it longer than a call.
    pub(crate) fn kept_engine(&self) -> InProcess<Arc<Engine>> {
        self.shared.kept_engine()
    }

    /// Copies the store into a copy that was begun at `started`.
    pub(crate) fn copy_into(&self, target: Target<'_>, started: Instant) -> Result<BackupInfo> {
        self.shared.engine()?.copy_into(target, started)
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
        self.shared.engine()?.scrub(options, progress)
    }

    /// Has the store accept nothing more, or has it accept again. Meanwhile every insert, and every call that creates, seals or
    /// drops a tree, gives it an index or erases entries, fails with [`ReadOnly`](Error::ReadOnly), and so do inserts that wait
    /// for room. Everything else goes on: reads, proofs, flushes, checkpoints, merges, [`compact`](Self::compact), backups and
    /// scrubs.
    ///
    /// When `set_read_only(true)` returns, no insert is under way, and what is visible stays all there is: trees take no leaves
    /// and are neither created, sealed, dropped nor rewound, and marks neither set nor removed. It is not all
    /// durable: [`flush`](Self::flush) makes it so. The files do not say that a store is read-only. So it ends with
    /// `set_read_only(false)`, and with the process.
    ///
    /// ```
    /// use duramen::{Blake3, Config, Error, Store};
    ///
    /// let dir = tempfile::tempdir()?;
    /// let store = Store::open(Config::new(dir.path().join("store")))?;
    /// let log = store.tree::<Blake3, 4>("log")?;
    /// log.insert([1; 32])?;
    /// store.set_read_only(true)?;
    /// assert!(matches!(log.insert([2; 32]), Err(Error::ReadOnly)));
    /// assert_eq!(log.size().get(), 1);
    /// store.set_read_only(false)?;
    /// log.insert([2; 32])?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Closed`](Error::Closed), [`Poisoned`](Error::Poisoned), and
    /// [`WouldWaitForItself`](Error::WouldWaitForItself) on a thread of the store.
    pub fn set_read_only(&self, yes: bool) -> Result<()> {
        self.shared.engine()?.set_read_only(yes)
    }

    /// Whether the store accepts nothing because of [`set_read_only`](Self::set_read_only). False in a forked child.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        self.shared.engine().is_ok_and(Engine::is_read_only)
    }

    /// Counters, over all trees. In a forked child all of them are zero.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.shared.engine().map_or_else(|_| Stats::default(), Engine::stats)
    }

    /// Counters of each tree that was used since the store was opened, in the order of their creation. In a
    /// forked child there are none.
    #[must_use]
    pub fn tree_stats(&self) -> Vec<TreeStats> {
        self.shared.engine().map_or_else(|_| Vec::new(), Engine::tree_stats)
    }

    /// What opening the store found.
    #[must_use]
    pub fn recovery(&self) -> &RecoveryReport {
        self.shared.report()
    }

    /// Waits until the store's own threads are idle, so that the disk sees the same operations in the
    /// same order each time.
    #[cfg(any(test, feature = "testing"))]
    pub fn wait_idle(&self) {
        if let Ok(engine) = self.shared.engine() {
            engine.wait_idle();
        }
    }

    /// Ends the pause of [`Config::claim_idle`], if the store waits for its end, and waits until the store's own
    /// threads are idle.
    #[cfg(any(test, feature = "testing"))]
    pub fn end_pause(&self) {
        if let Ok(engine) = self.shared.engine() {
            engine.end_pause();
        }
    }

    /// Stops the threads, makes everything durable, makes a checkpoint if the policy requires one, and
    /// releases the store's lock. See [`Accumulator::close`]. Other handles of the store and of its
    /// trees can still read. All their other calls fail with [`Closed`](Error::Closed).
    ///
    /// # Errors
    ///
    /// As [`Accumulator::close`]; [`Closed`](Error::Closed) if the store was already closed.
    pub fn close(self) -> Result<()> {
        self.shared.close()
    }
}

impl DynAccumulator {
    /// The store of the tree.
    #[must_use]
    pub fn store(&self) -> Store {
        Store { shared: Arc::clone(self.shared()) }
    }
}

impl<H, const N: usize> Accumulator<H, N> {
    /// The store of the tree. See [`DynAccumulator::store`].
    #[must_use]
    pub fn store(&self) -> Store {
        self.as_ref().store()
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("engine", &self.shared.engine().ok()).finish_non_exhaustive()
    }
}

/// All trees of a store as they were at one moment.
///
/// A snapshot copies nothing and may outlive its store. A tree cannot be read any more if it was not
/// loaded before the store was closed or the tree was dropped.
#[derive(Clone)]
pub struct StoreSnapshot {
    engine: InProcess<Arc<Engine>>,
    /// Sorted by name.
    trees: Vec<TreeThen>,
}

impl StoreSnapshot {
    /// The trees with their sizes, by name.
    pub fn trees(&self) -> impl Iterator<Item = (&TreeName, TreeSize)> {
        self.trees.iter().map(|then| (&then.slot.spec.name, then.size))
    }

    /// The tree `name` as it was. `None` if there was no such tree. Loads the tree if it was not used
    /// since the store was opened. O(log trees).
    ///
    /// # Errors
    ///
    /// [`TreeDropped`](Error::TreeDropped) if the tree was dropped since and was not loaded before; the
    /// errors of loading it, as in [`Store::existing_tree`].
    pub fn tree(&self, name: &str) -> Result<Option<Snapshot>> {
        let found = self.trees.binary_search_by(|then| then.slot.spec.name.as_str().cmp(name));
        let Ok(at) = found else { return Ok(None) };
        let then = &self.trees[at];
        Ok(Some(Snapshot::of_size(self.engine.get()?.load_then(then)?, then.size)))
    }

    /// The heads of all trees. Does not load trees that were not used since the store was opened.
    ///
    /// # Errors
    ///
    /// [`Damaged`](Error::Damaged) if a part cannot be read.
    pub fn head(&self) -> Result<StoreHead> {
        let head = |then: &TreeThen| match (then.tree(), then.slot.entry()) {
            (Some(tree), _) => Ok(then.slot.spec.at(tree.head_at(then.size)?)),
            // The tree was not loaded then, so the root in the manifest was current.
            (None, Some(entry)) if entry.size == then.size.get() => Ok(entry.head()),
            (None, Some(_)) => {
                let tree = self.engine.get()?.load_then(then)?;
                Ok(then.slot.spec.at(tree.head_at(then.size)?))
            }
            (None, None) => Err(Error::TreeDropped { tree: then.slot.spec.name.clone() }),
        };
        let heads = self.trees.iter().map(head).collect::<Result<_>>()?;
        // At one moment no two trees have the same name, and all names are valid.
        Ok(StoreHead::new(heads).unwrap_or_default())
    }
}

impl fmt::Debug for StoreSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.trees()).finish()
    }
}
