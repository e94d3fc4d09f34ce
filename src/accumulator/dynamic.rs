//! One tree of a store, with hash function and arity chosen at run time.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use super::{Inserted, InsertedMany};
use crate::config::Config;
use crate::durability::DurabilityToken;
use crate::engine;
use crate::engine::{Engine, Intake, Tree, Wanted};
use crate::error::{Error, Result};
use crate::merkle::{
    Arity, ConsistencyProof, Frontier, Hash, Hasher, InclusionProof, LeafIndex, MultiProof,
    TreeHead, TreeName, TreeSize,
};
use crate::report::BackupInfo;
use crate::report::{CheckpointInfo, CheckpointReason};
use crate::report::{RecoveryReport, Stats};
use crate::scrub;
use crate::shared::Shared;
use crate::snapshot::{Leaves, Snapshot};

/// An [`Accumulator`](crate::Accumulator) whose hash function and arity were chosen at run time. Clones are handles of the same tree.
#[derive(Clone)]
pub struct DynAccumulator {
    shared: Arc<Shared>,
    tree: Arc<Tree>,
    created: DurabilityToken,
}

impl DynAccumulator {
    /// Opens the tree `main` of the store that `config` describes, and creates both where they are missing. See
    /// [`Accumulator::open`](crate::Accumulator::open).
    ///
    /// # Errors
    ///
    /// As [`Accumulator::open`](crate::Accumulator::open).
    #[expect(clippy::needless_pass_by_value, reason = "a configuration is made for one store")]
    pub fn open(config: Config, hasher: Arc<dyn Hasher>, arity: Arity) -> Result<Self> {
        let wanted = Wanted { name: TreeName::main(), hasher, arity };
        let shared = Shared::new(engine::open(&config, Some(&wanted))?);
        let opened = shared.engine.open_tree(wanted)?;
        Ok(Self::of(&shared, opened))
    }

    /// Appends a leaf: visible when this returns, durable once the token resolves. Waits for room where a limit
    /// is reached, and sleeps where inserts come faster than checkpoints are written;
    /// [`try_insert`](Self::try_insert) does neither.
    ///
    /// Indexes follow the order of calls. Costs a lock and a copy; hashing is deferred until a root or a
    /// proof needs it.
    ///
    /// # Errors
    ///
    /// [`Poisoned`](Error::Poisoned) after a failure of the log, [`Backpressure`](Error::Backpressure)
    /// if there was no room in time or, under [`FlushPolicy::Manual`](crate::FlushPolicy), only a flush makes
    /// room, [`CheckpointsFail`](Error::CheckpointsFail) if only a checkpoint would make room and none can be
    /// made, [`LeafRefused`](Error::LeafRefused) for a leaf that the hash
    /// function does not take, [`WouldWaitForItself`](Error::WouldWaitForItself) where it would have to
    /// wait for room on the thread of the store that makes room. Nothing was inserted then.
    ///
    /// # Panics
    ///
    /// Where the hash function does. Nothing was inserted then either.
    pub fn insert(&self, leaf: Hash) -> Result<Inserted> {
        let leaf = std::slice::from_ref(&leaf);
        let (first, seq) = self.engine().insert(&self.tree, leaf, Intake::Insert)?;
        Ok(Inserted { index: LeafIndex(first), token: self.engine().token(seq) })
    }

    /// Appends a batch of leaves of any size, in order and without others between them: visible
    /// together, and after a crash there whole or not at all. An empty batch is durable at once.
    ///
    /// A large batch is hashed before this returns, after it was inserted: other inserts wait until it is in
    /// memory and no longer. Where the hash function panics meanwhile, the batch is there all the same, and
    /// the next call that needs its nodes panics.
    ///
    /// What was inserted before a batch of 1 MiB or more becomes durable without it. What is inserted after a
    /// batch is durable when the batch is.
    ///
    /// # Errors
    ///
    /// As [`insert`](Self::insert); nothing of the batch was inserted then.
    pub fn insert_many(&self, leaves: &[Hash]) -> Result<InsertedMany> {
        self.insert_batch(leaves, Intake::Insert)
    }

    /// Appends a leaf as [`insert`](Self::insert) does, but never waits for room and is never slowed down:
    /// where it would have to be, it fails at once. For threads that must not block, such as those of an
    /// async runtime. It takes the lock under which leaves are copied, as every insert does.
    ///
    /// # Errors
    ///
    /// [`WouldBlock`](Error::WouldBlock) where an insert would have to wait; else as
    /// [`insert`](Self::insert). Nothing was inserted then.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// use duramen::{Accumulator, Config, Error};
    ///
    /// let log: Accumulator = Accumulator::open(Config::new(dir.path().join("log")))?;
    /// match log.try_insert([7; 32]) {
    ///     Ok(inserted) => println!("leaf {}", inserted.index),
    ///     Err(Error::WouldBlock { retry_in, .. }) => println!("later, in {retry_in:?}"),
    ///     Err(error) => return Err(error.into()),
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn try_insert(&self, leaf: Hash) -> Result<Inserted> {
        let leaf = std::slice::from_ref(&leaf);
        let (first, seq) = self.engine().insert(&self.tree, leaf, Intake::Try)?;
        Ok(Inserted { index: LeafIndex(first), token: self.engine().token(seq) })
    }

    /// Appends a batch as [`insert_many`](Self::insert_many) does, but fails at once where it would have to
    /// wait for room. The batch itself is copied on the calling thread, and a large one hashed.
    ///
    /// # Errors
    ///
    /// As [`try_insert`](Self::try_insert); nothing of the batch was inserted then.
    pub fn try_insert_many(&self, leaves: &[Hash]) -> Result<InsertedMany> {
        self.insert_batch(leaves, Intake::Try)
    }

    /// Appends the leaf for raw `data`, hashed in the hash function's domain for leaves.
    ///
    /// # Errors
    ///
    /// As [`insert`](Self::insert).
    pub fn insert_data(&self, data: &[u8]) -> Result<Inserted> {
        self.insert(self.tree.hasher.leaf(data))
    }

    /// Appends a leaf and returns when it is durable. Threads that do this at the same time share
    /// fsyncs.
    ///
    /// # Errors
    ///
    /// As [`insert`](Self::insert), and [`WouldWaitForItself`](Error::WouldWaitForItself) on the thread that
    /// flushes. After [`Poisoned`](Error::Poisoned) the leaf may or may not be
    /// there when the store is opened again.
    pub fn insert_durable(&self, leaf: Hash) -> Result<LeafIndex> {
        self.engine().may_wait("insert_durable")?;
        let leaf = std::slice::from_ref(&leaf);
        let (first, seq) = self.engine().insert(&self.tree, leaf, Intake::Durable)?;
        self.engine().flush_to(seq, "insert_durable")?;
        Ok(LeafIndex(first))
    }

    /// Returns when everything inserted before the call is durable: one write and one fsync, shared
    /// with other threads that flush at the same time; none if there is nothing new.
    ///
    /// # Errors
    ///
    /// [`Poisoned`](Error::Poisoned) if the log could not be written,
    /// [`WouldWaitForItself`](Error::WouldWaitForItself) on the thread that flushes.
    pub fn flush(&self) -> Result<()> {
        self.engine().flush()
    }

    /// Asks for everything inserted before the call to be made durable now, without waiting for the
    /// interval, and returns at once. The token resolves when it is durable: await it, or
    /// [`wait`](DurabilityToken::wait) for it. Dropping it takes nothing back.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// use duramen::{Accumulator, Config};
    ///
    /// let log: Accumulator = Accumulator::open(Config::new(dir.path().join("log")))?;
    /// log.insert([7; 32])?;
    /// let durable = log.flush_async()?;
    /// // Other work is done here.
    /// durable.wait()?;
    /// assert_eq!(log.durable_size().get(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Poisoned`](Error::Poisoned) after a failure of the log, [`Closed`](Error::Closed). Failures of this
    /// flush are the token's.
    pub fn flush_async(&self) -> Result<DurabilityToken> {
        self.engine().flush_soon()
    }

    /// Flushes, writes the nodes that are new since the last checkpoint to a part file, and truncates
    /// the log before it. Inserts, flushes and reads go on meanwhile. When this returns, the next open
    /// replays only what came later.
    ///
    /// # Errors
    ///
    /// The error that kept it from being made. The last checkpoint then stays in force, nothing is
    /// lost, and a retry may succeed. [`WouldWaitForItself`](Error::WouldWaitForItself) on the thread that
    /// flushes.
    pub fn checkpoint(&self) -> Result<CheckpointInfo> {
        self.engine().checkpoint(CheckpointReason::Manual)
    }

    /// Copies the store to the directory `dir` while this one goes on: inserts, flushes, checkpoints,
    /// merges and reads do not wait. When this returns, the copy holds everything
    /// that was inserted before the call, is durable, and opens as a store that was closed in order.
    ///
    /// `dir` must be missing or empty. Parts, which never change, become hard links and take no
    /// space; onto another file system they are copied. The log is copied up to the last leaf
    /// that was durable at the moment, verified before and after. Parts are not verified:
    /// [`scrub::run`] of the copy does that.
    ///
    /// The copy is the same store, under the same store id, and goes on by itself: what is inserted
    /// there is not seen here. Never put files of the one into the other. Hard links share their
    /// bytes on the disk, so a copy that is to outlive the disk belongs on another one.
    ///
    /// Meanwhile this store keeps what the copy reads: log segments are not reused, and parts that were
    /// merged stay until it is done.
    ///
    /// # Errors
    ///
    /// [`NotEmpty`](Error::NotEmpty); [`Poisoned`](Error::Poisoned) if what was inserted could not be
    /// flushed; [`Io`](Error::Io) and [`Damaged`](Error::Damaged) of either directory. What was
    /// written to `dir` is removed, as far as that is possible; the lock's file and empty directories
    /// stay. A crash at the very beginning leaves a directory without any file of a store, one at the
    /// very end the whole copy. Any other leaves no manifest, and opening the directory fails with
    /// [`Damaged`](Error::Damaged): it is never taken for a smaller store.
    pub fn snapshot_to(&self, dir: impl Into<PathBuf>) -> Result<BackupInfo> {
        self.engine().snapshot_to(&Config::new(dir))
    }

    /// [`snapshot_to`](Self::snapshot_to) the file system of another configuration.
    ///
    /// # Errors
    ///
    /// As [`snapshot_to`](Self::snapshot_to).
    #[cfg(any(test, feature = "testing"))]
    #[doc(hidden)]
    pub fn snapshot_to_config(&self, target: &Config) -> Result<BackupInfo> {
        self.engine().snapshot_to(target)
    }

    /// How many leaves the tree has.
    #[must_use]
    pub fn size(&self) -> TreeSize {
        TreeSize(self.tree.columns.leaves())
    }

    /// How many leaves are durable: after any crash at least these are there.
    ///
    /// Under [`FlushPolicy::Manual`](crate::FlushPolicy) it is a size that a caller asked to be durable.
    #[must_use]
    pub fn durable_size(&self) -> TreeSize {
        self.tree.durable()
    }

    /// The head of the tree at [`durable_size`](Self::durable_size): the one to sign and to publish.
    ///
    /// [`head`](Self::head) shows leaves that a crash may take back. Others may come in their place, and then
    /// two trees of one size exist under one signature: what an append-only log must never do. No crash
    /// takes back anything under this head.
    ///
    /// # Errors
    ///
    /// As [`head`](Self::head).
    pub fn durable_head(&self) -> Result<TreeHead> {
        self.tree.head_at(self.durable_size())
    }

    /// Size and root of the tree as it is now: everything visible, durable or not. A crash may take
    /// back the newest leaves, so a head that is to be signed or published comes from
    /// [`durable_head`](Self::durable_head).
    ///
    /// Costs O(N log size) hashes for the right edge, and one per N - 1 leaves for those that are not
    /// hashed yet.
    ///
    /// # Errors
    ///
    /// [`Damaged`](Error::Damaged) if a part cannot be read.
    pub fn head(&self) -> Result<TreeHead> {
        self.tree.head_at(self.size())
    }

    /// The head of the tree when it had `size` leaves. Any size up to the current one will do; none
    /// has to be kept for it. Above [`durable_size`](Self::durable_size) a crash may take it back: do not
    /// sign it.
    ///
    /// # Errors
    ///
    /// [`SizeOutOfRange`](Error::SizeOutOfRange) beyond the current size; [`Damaged`](Error::Damaged)
    /// if a part cannot be read.
    pub fn head_at(&self, size: impl Into<TreeSize>) -> Result<TreeHead> {
        let (size, current) = (size.into(), self.size());
        if size > current {
            return Err(Error::SizeOutOfRange { size, current });
        }
        self.tree.head_at(size)
    }

    /// The tree as it is now, for as long as the snapshot is held. O(1).
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::new(Arc::clone(&self.tree))
    }

    /// The proof that the leaf at `index` is in the tree as it is now, of durable leaves and others. One
    /// that goes out with a signed head is made at that head's size, by
    /// [`prove_at`](Self::prove_at) with [`durable_head`](Self::durable_head). For many proofs of one size
    /// take a [`snapshot`](Self::snapshot), which also has the head that they belong to.
    ///
    /// # Errors
    ///
    /// As [`Snapshot::prove`].
    pub fn prove(&self, index: impl Into<LeafIndex>) -> Result<InclusionProof> {
        self.snapshot().prove(index)
    }

    /// The proof that the leaf at `index` was in the tree when it had `size` leaves.
    ///
    /// # Errors
    ///
    /// As [`Snapshot::prove_at`].
    pub fn prove_at(
        &self,
        index: impl Into<LeafIndex>,
        size: impl Into<TreeSize>,
    ) -> Result<InclusionProof> {
        self.snapshot().prove_at(index, size)
    }

    /// One proof that the leaves at `indexes` are in the tree as it is now.
    ///
    /// # Errors
    ///
    /// As [`Snapshot::prove_many`].
    pub fn prove_many(&self, indexes: &[LeafIndex]) -> Result<MultiProof> {
        self.snapshot().prove_many(indexes)
    }

    /// One proof that the leaves at `indexes` were in the tree when it had `size` leaves.
    ///
    /// # Errors
    ///
    /// As [`Snapshot::prove_many_at`].
    pub fn prove_many_at(
        &self,
        indexes: &[LeafIndex],
        size: impl Into<TreeSize>,
    ) -> Result<MultiProof> {
        self.snapshot().prove_many_at(indexes, size)
    }

    /// The proof that the tree of `old` leaves is a prefix of the tree as it is now. Take a
    /// [`snapshot`](Self::snapshot) to learn the head that it leads to.
    ///
    /// # Errors
    ///
    /// As [`Snapshot::prove_consistency`].
    pub fn prove_consistency(&self, old: impl Into<TreeSize>) -> Result<ConsistencyProof> {
        self.snapshot().prove_consistency(old)
    }

    /// The proof that the tree of `old` leaves is a prefix of the tree of `new` leaves.
    ///
    /// # Errors
    ///
    /// As [`Snapshot::prove_consistency_between`].
    pub fn prove_consistency_between(
        &self,
        old: impl Into<TreeSize>,
        new: impl Into<TreeSize>,
    ) -> Result<ConsistencyProof> {
        self.snapshot().prove_consistency_between(old, new)
    }

    /// The frontier of the tree as it is now: the nodes needed to append leaves and to compute roots
    /// without any leaf.
    ///
    /// # Errors
    ///
    /// As [`Snapshot::frontier`].
    pub fn frontier(&self) -> Result<Frontier> {
        self.snapshot().frontier()
    }

    /// The frontier of the tree when it had `size` leaves.
    ///
    /// # Errors
    ///
    /// As [`Snapshot::frontier_at`].
    pub fn frontier_at(&self, size: impl Into<TreeSize>) -> Result<Frontier> {
        self.snapshot().frontier_at(size)
    }

    /// The leaf at `index`, from memory or from a part.
    ///
    /// # Errors
    ///
    /// As [`Snapshot::leaf`].
    pub fn leaf(&self, index: impl Into<LeafIndex>) -> Result<Hash> {
        self.snapshot().leaf(index)
    }

    /// The leaves of `range`, all in memory.
    ///
    /// # Errors
    ///
    /// As [`Snapshot::leaves`].
    pub fn leaves(&self, range: Range<u64>) -> Result<Vec<Hash>> {
        self.snapshot().leaves(range)
    }

    /// The leaves of `range`, one after the other. What comes later is not among them.
    ///
    /// # Errors
    ///
    /// As [`Snapshot::leaves_iter`].
    pub fn leaves_iter(&self, range: Range<u64>) -> Result<Leaves> {
        self.snapshot().leaves_iter(range)
    }

    /// Verifies every byte of the parts on disk and of the log as far as it is durable, while the
    /// store goes on. Repairs nothing, whatever `options` say: [`scrub::run`] does, for a closed store.
    ///
    /// Runs on the calling thread, and on every core where no rate is set. Waits for a checkpoint that is
    /// under way at the beginning; after that no checkpoint waits for the scrub.
    ///
    /// # Errors
    ///
    /// [`Io`](Error::Io) if a file cannot be opened. Damage is no error but a finding.
    pub fn scrub(
        &self,
        options: &scrub::Options,
        progress: scrub::OnProgress<'_>,
    ) -> Result<scrub::Report> {
        self.engine().scrub(options, progress)
    }

    /// The hash function.
    #[must_use]
    pub fn hasher(&self) -> &dyn Hasher {
        &*self.tree.hasher
    }

    /// How many children a complete node has.
    #[must_use]
    pub fn arity(&self) -> Arity {
        self.tree.arity
    }

    /// Counters. In a forked child all of them are zero.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.engine().stats()
    }

    /// What opening the store found.
    #[must_use]
    pub fn recovery(&self) -> &RecoveryReport {
        &self.engine().report
    }

    /// Waits until the store's own threads have nothing to do, so that the disk sees the same
    /// operations in the same order each time.
    #[cfg(any(test, feature = "testing"))]
    pub fn wait_idle(&self) {
        self.engine().wait_idle();
    }

    /// The tree's name.
    #[must_use]
    pub fn name(&self) -> &TreeName {
        self.tree.name()
    }

    /// Resolves once it is durable that the tree is there.
    pub fn created(&self) -> DurabilityToken {
        self.created.clone()
    }

    /// Closes the store that the tree is in. See [`Accumulator::close`](crate::Accumulator::close).
    ///
    /// # Errors
    ///
    /// As [`Accumulator::close`](crate::Accumulator::close).
    pub fn close(self) -> Result<()> {
        self.shared.close()
    }

    pub(crate) fn of(shared: &Arc<Shared>, (tree, created): (Arc<Tree>, DurabilityToken)) -> Self {
        Self { shared: Arc::clone(shared), tree, created }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    pub(crate) fn tree(&self) -> &Arc<Tree> {
        &self.tree
    }

    fn insert_batch(&self, leaves: &[Hash], how: Intake) -> Result<InsertedMany> {
        let (first, seq) = self.engine().insert(&self.tree, leaves, how)?;
        let range = first..first + leaves.len() as u64;
        Ok(InsertedMany { range, token: self.engine().token(seq) })
    }

    fn engine(&self) -> &Engine {
        &self.shared.engine
    }
}

impl AsRef<Self> for DynAccumulator {
    fn as_ref(&self) -> &Self {
        self
    }
}

impl fmt::Debug for DynAccumulator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accumulator")
            .field("tree", &self.tree)
            .field("durable", &self.durable_size())
            .finish_non_exhaustive()
    }
}
