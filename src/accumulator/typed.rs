//! One tree of a store, with a hash function and an arity known at compile time.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use super::{DynAccumulator, Inserted, InsertedMany};
use crate::config::Config;
use crate::durability::DurabilityToken;
use crate::error::Result;
use crate::merkle::{
    Arity, Blake3, ConsistencyProof, Frontier, Hash, Hasher, InclusionProof, LeafIndex, MultiProof,
    TreeHead, TreeName, TreeSize, VerifyError,
};
use crate::reader::Reader;
use crate::report::BackupInfo;
use crate::report::CheckpointInfo;
use crate::report::{PruneInfo, RecoveryReport, RewindInfo, Stats, TreeStats};
use crate::scrub;
use crate::snapshot::{Entries, Entry, Leaves, Snapshot};

/// A durable Merkle accumulator with hash function `H` and `N` children per node.
///
/// An inserted leaf is visible at once: in [`head`](DynAccumulator::head), in proofs, to other threads.
/// The [`FlushPolicy`](crate::FlushPolicy) decides when the leaf becomes durable, and every insert
/// returns a [`DurabilityToken`] to wait on. After a crash the tree has exactly the first `n` inserted
/// leaves. All leaves that were durable are among them.
///
/// # Which calls block
///
/// | call | waits for |
/// | --- | --- |
/// | [`insert`](DynAccumulator::insert), `insert_many`, `insert_data`, `insert_entry`, `insert_entries` | room, if a limit is reached; up to 100 ms at a time, if inserts are slowed down near a limit; other threads that copy their leaves |
/// | [`try_insert`](DynAccumulator::try_insert), `try_insert_many`, `try_insert_entry` | other threads that copy less than 1 MiB of leaves; hashing of its own batch |
/// | [`insert_durable`](DynAccumulator::insert_durable), `insert_entry_durable`, [`flush`](DynAccumulator::flush) | a write and an fsync of the log; `insert_durable` also as `insert` |
/// | [`flush_async`](DynAccumulator::flush_async), `is_durable` of a token, polling one | nothing; `flush_async` takes the lock of inserts |
/// | `wait` of a token | the next flush; `wait_timeout` at most for its timeout |
/// | [`checkpoint`](DynAccumulator::checkpoint) | a flush, a running checkpoint, and writing the part |
/// | [`head`](DynAccumulator::head), `head_at`, `durable_head`, proofs, `leaf`, `leaves`, `leaves_iter`, `entry`, `entries`, `frontier` | hashing of leaves that are not hashed yet; reads of parts from the disk |
/// | [`snapshot`](DynAccumulator::snapshot), `size`, `durable_size` | nothing |
/// | [`stats`](DynAccumulator::stats) | other threads that copy less than 1 MiB of leaves |
/// | [`erase`](DynAccumulator::erase) | the lock of inserts |
/// | [`compact`](DynAccumulator::compact) | a flush, a running checkpoint or merge, and writing its parts and zeros |
/// | [`snapshot_to`](DynAccumulator::snapshot_to), [`scrub`](DynAccumulator::scrub) | a running flush or checkpoint, and their own reading and writing |
/// | [`open`](Self::open) | recovery: the log since the last checkpoint |
/// | [`close`](Self::close), drop | running background work, a flush, and a checkpoint if the policy requires one |
///
/// In an async runtime, insert with `try_insert`. To make leaves durable, use `flush_async` and await
/// its token.
///
/// All methods take `&self`, so threads can share an accumulator behind an `Arc`. The methods are those
/// of [`DynAccumulator`], which uses the same store with a hash function and an arity chosen at run
/// time.
///
/// A store belongs to the process that opened it. In a forked child every call that can fail returns
/// [`Error::Forked`](crate::Error::Forked) at once, whatever other threads were doing during the fork.
/// Dropping the accumulator in the child does nothing, and the parent is not affected. The child may
/// open a [`Reader`] to read the store.
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// use duramen::{Accumulator, Config};
///
/// let log: Accumulator = Accumulator::open(Config::new(dir.path().join("log")))?;
/// let first = log.insert([1; 32])?;
/// log.insert_data(b"some entry, hashed as a leaf")?;
/// log.flush()?;
/// assert!(first.token.is_durable());
///
/// let head = log.head()?;
/// let proof = log.prove(0)?;
/// Accumulator::<duramen::Blake3, 4>::verify(&head, 0, &[1; 32], &proof)?;
/// log.close()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Accumulator<H = Blake3, const N: usize = 4> {
    inner: DynAccumulator,
    hasher: PhantomData<fn() -> H>,
}

impl<H: Hasher + Default, const N: usize> Accumulator<H, N> {
    /// Opens the store in `config`. Creates the store if it is missing.
    ///
    /// Everything that the opened store shows is durable. O(log size) plus the log since the last
    /// checkpoint.
    ///
    /// # Errors
    ///
    /// [`Locked`](crate::Error::Locked) if the store is open elsewhere;
    /// [`HasherMismatch`](crate::Error::HasherMismatch) or
    /// [`ArityMismatch`](crate::Error::ArityMismatch) if the tree was created with another type;
    /// [`NotAStore`](crate::Error::NotAStore) if the directory has files that are not a store;
    /// [`Damaged`](crate::Error::Damaged) if a file of the store is missing or wrong;
    /// [`Config`](crate::Error::Config) if a value cannot work. After an error the store is unchanged.
    pub fn open(config: Config) -> Result<Self> {
        let inner = DynAccumulator::open(config, Arc::new(H::default()), Arity::of::<N>())?;
        Ok(Self { inner, hasher: PhantomData })
    }

    /// Opens the store in `config` for reading only, with or without a running writer. Takes no lock and
    /// changes nothing. See [`Reader`].
    ///
    /// # Errors
    ///
    /// As [`Reader::open`].
    pub fn open_read_only(config: Config) -> Result<Reader> {
        Reader::open(config, Arc::new(H::default()), Arity::of::<N>())
    }

    /// Verifies that `leaf` is at `index` in the tree of `head`. The caller must trust `head`. Needs no
    /// store.
    ///
    /// # Errors
    ///
    /// A [`VerifyError`] with the reason. Nothing was then proven.
    pub fn verify(
        head: &TreeHead,
        index: impl Into<LeafIndex>,
        leaf: &Hash,
        proof: &InclusionProof,
    ) -> Result<(), VerifyError> {
        proof.verify(&H::default(), Arity::of::<N>(), head, index.into(), leaf)
    }

    /// Verifies that each of `leaves` is at its index in the tree of `head`. The caller must trust
    /// `head`. The leaves may come in any order. Needs no store.
    ///
    /// # Errors
    ///
    /// A [`VerifyError`] with the reason. Nothing was then proven about any of the leaves.
    pub fn verify_many(
        head: &TreeHead,
        leaves: &[(LeafIndex, Hash)],
        proof: &MultiProof,
    ) -> Result<(), VerifyError> {
        proof.verify(&H::default(), Arity::of::<N>(), head, leaves)
    }

    /// Verifies that the tree of `old` is a prefix of the tree of `new`: no leaf was rewritten between
    /// the two heads. Needs no store.
    ///
    /// # Errors
    ///
    /// A [`VerifyError`] with the reason. Nothing was then proven.
    pub fn verify_consistency(
        old: &TreeHead,
        new: &TreeHead,
        proof: &ConsistencyProof,
    ) -> Result<(), VerifyError> {
        proof.verify(&H::default(), Arity::of::<N>(), old, new)
    }

    /// Stops the threads, makes everything durable, makes a checkpoint if the policy requires one, and
    /// releases the store's lock. Snapshots and tokens outlive the store.
    ///
    /// Dropping an accumulator does the same, but can only log an error.
    ///
    /// # Errors
    ///
    /// The error that kept the last leaves from becoming durable, or made the checkpoint fail. The store
    /// is closed nevertheless. In a forked child it stays open, because it belongs to the parent.
    ///
    /// [`WouldWaitForItself`](crate::Error::WouldWaitForItself) on one of the store's own threads,
    /// because closing waits for these threads. Another thread then closes the store and logs its
    /// errors. The same happens if the store is dropped on one of its own threads. The store may still
    /// be open when this call returns. Its tokens resolve once its leaves are durable. If the process
    /// ends earlier, the other leaves are lost.
    pub fn close(self) -> Result<()> {
        self.inner.close()
    }
}

impl<H, const N: usize> Accumulator<H, N> {
    pub(crate) fn of(inner: DynAccumulator) -> Self {
        Self { inner, hasher: PhantomData }
    }

    /// The same tree, for code that does not know the types.
    #[must_use]
    pub fn as_dyn(&self) -> &DynAccumulator {
        &self.inner
    }

    /// Appends a leaf. See
    /// [`DynAccumulator::insert`].
    ///
    /// # Errors
    ///
    /// As [`DynAccumulator::insert`].
    pub fn insert(&self, leaf: Hash) -> Result<Inserted> {
        self.inner.insert(leaf)
    }

    /// Appends a batch of leaves of any size. See [`DynAccumulator::insert_many`].
    ///
    /// # Errors
    ///
    /// As [`DynAccumulator::insert_many`].
    pub fn insert_many(&self, leaves: &[Hash]) -> Result<InsertedMany> {
        self.inner.insert_many(leaves)
    }

    /// Appends a leaf as [`insert`](Self::insert) does, but never waits for room and is never slowed
    /// down. See [`DynAccumulator::try_insert`].
    ///
    /// # Errors
    ///
    /// As [`DynAccumulator::try_insert`].
    pub fn try_insert(&self, leaf: Hash) -> Result<Inserted> {
        self.inner.try_insert(leaf)
    }

    /// Appends a batch as [`insert_many`](Self::insert_many) does, but fails at once if it would have to
    /// wait for room. See [`DynAccumulator::try_insert_many`].
    ///
    /// # Errors
    ///
    /// As [`DynAccumulator::try_insert_many`].
    pub fn try_insert_many(&self, leaves: &[Hash]) -> Result<InsertedMany> {
        self.inner.try_insert_many(leaves)
    }

    /// Appends the leaf for raw `data`, hashed with the leaf function of the hash function. See
    /// [`DynAccumulator::insert_data`].
    ///
    /// # Errors
    ///
    /// As [`DynAccumulator::insert_data`].
    pub fn insert_data(&self, data: &[u8]) -> Result<Inserted> {
        self.inner.insert_data(data)
    }

    /// Appends an entry to a tree that keeps entries. See
    /// [`DynAccumulator::insert_entry`].
    ///
    /// # Errors
    ///
    /// As [`DynAccumulator::insert_entry`].
    pub fn insert_entry(&self, entry: impl AsRef<[u8]>) -> Result<Inserted> {
        self.inner.insert_entry(entry)
    }

    /// Appends a batch of entries. See
    /// [`DynAccumulator::insert_entries`].
    ///
    /// # Errors
    ///
    /// As [`DynAccumulator::insert_entries`].
    pub fn insert_entries(&self, entries: &[impl AsRef<[u8]>]) -> Result<InsertedMany> {
        self.inner.insert_entries(entries)
    }

    /// Appends an entry, but fails at once if it would have to wait for room. See
    /// [`DynAccumulator::try_insert_entry`].
    ///
    /// # Errors
    ///
    /// As [`DynAccumulator::try_insert_entry`].
    pub fn try_insert_entry(&self, entry: impl AsRef<[u8]>) -> Result<Inserted> {
        self.inner.try_insert_entry(entry)
    }

    /// Appends an entry and returns when it is durable. See
    /// [`DynAccumulator::insert_entry_durable`].
    ///
    /// # Errors
    ///
    /// As [`DynAccumulator::insert_entry_durable`].
    pub fn insert_entry_durable(&self, entry: impl AsRef<[u8]>) -> Result<LeafIndex> {
        self.inner.insert_entry_durable(entry)
    }

    /// Appends a leaf and returns when it is durable. See
    /// [`DynAccumulator::insert_durable`].
    ///
    /// # Errors
    ///
    /// As [`DynAccumulator::insert_durable`].
    pub fn insert_durable(&self, leaf: Hash) -> Result<LeafIndex> {
        self.inner.insert_durable(leaf)
    }

    /// Returns when everything inserted before the call is durable. See
    /// [`DynAccumulator::flush`].
    ///
    /// # Errors
    ///
    /// As [`DynAccumulator::flush`].
    pub fn flush(&self) -> Result<()> {
        self.inner.flush()
    }

    /// Requests a flush of everything inserted before the call, without waiting for the interval, and
    /// returns at once. See [`DynAccumulator::flush_async`].
    ///
    /// # Errors
    ///
    /// As [`DynAccumulator::flush_async`].
    pub fn flush_async(&self) -> Result<DurabilityToken> {
        self.inner.flush_async()
    }

    /// Flushes, writes the new nodes since the last checkpoint to a part file, and truncates the log
    /// before it. See [`DynAccumulator::checkpoint`].
    ///
    /// # Errors
    ///
    /// As [`DynAccumulator::checkpoint`].
    pub fn checkpoint(&self) -> Result<CheckpointInfo> {
        self.inner.checkpoint()
    }

    /// Copies the store to the directory `dir` while the store is in use. See
    /// [`DynAccumulator::snapshot_to`].
    ///
    /// # Errors
    ///
    /// As [`DynAccumulator::snapshot_to`].
    pub fn snapshot_to(&self, dir: impl Into<PathBuf>) -> Result<BackupInfo> {
        self.inner.snapshot_to(dir)
    }

    /// [`snapshot_to`](Self::snapshot_to) the file system of another configuration. See
    /// [`DynAccumulator::snapshot_to_config`].
    ///
    /// # Errors
    ///
    /// As [`DynAccumulator::snapshot_to_config`].
    #[cfg(any(test, feature = "testing"))]
    #[doc(hidden)]
    pub fn snapshot_to_config(&self, target: &Config) -> Result<BackupInfo> {
        self.inner.snapshot_to_config(target)
    }

    /// Rewinds the tree to `size` leaves. See [`DynAccumulator::rewind`].
    ///
    /// # Errors
    ///
    /// As [`DynAccumulator::rewind`].
    pub fn rewind(&self, size: impl Into<TreeSize>) -> Result<RewindInfo> {
        self.inner.rewind(size)
    }

    /// Prunes the tree: drops the leaves below index `below` from memory and disk. Roots and proofs of all sizes and indexes
    /// from there on stay what they are. See [`DynAccumulator::prune`].
    ///
    /// # Errors
    ///
    /// As [`DynAccumulator::prune`].
    pub fn prune(&self, below: impl Into<LeafIndex>) -> Result<PruneInfo> {
        self.inner.prune(below)
    }

    /// The first leaf that the tree has. See [`DynAccumulator::base`].
    #[must_use]
    pub fn base(&self) -> TreeSize {
        self.inner.base()
    }

    /// The number of leaves in the tree. See [`DynAccumulator::size`].
    #[must_use]
    pub fn size(&self) -> TreeSize {
        self.inner.size()
    }

    /// The number of durable leaves. See [`DynAccumulator::durable_size`].
    #[must_use]
    pub fn durable_size(&self) -> TreeSize {
        self.inner.durable_size()
    }

    /// The head of the tree at [`durable_size`](Self::durable_size). See
    /// [`DynAccumulator::durable_head`].
    ///
    /// # Errors
    ///
    /// As [`DynAccumulator::durable_head`].
    pub fn durable_head(&self) -> Result<TreeHead> {
        self.inner.durable_head()
    }

    /// Size and root of the tree as it is now. See
    /// [`DynAccumulator::head`].
    ///
    /// # Errors
    ///
    /// As [`DynAccumulator::head`].
    pub fn head(&self) -> Result<TreeHead> {
        self.inner.head()
    }

    /// The head of the tree when it had `size` leaves. See
    /// [`DynAccumulator::head_at`].
    ///
    /// # Errors
    ///
    /// As [`DynAccumulator::head_at`].
    pub fn head_at(&self, size: impl Into<TreeSize>) -> Result<TreeHead> {
        self.inner.head_at(size)
    }

    /// The tree as it is now, for as long as the snapshot lives. See [`DynAccumulator::snapshot`].
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.inner.snapshot()
    }

    /// The proof that the leaf at `index` is in the tree as it is now, durable or not. See
    /// [`DynAccumulator::prove`].
    ///
    /// # Errors
    ///
    /// As [`DynAccumulator::prove`].
    pub fn prove(&self, index: impl Into<LeafIndex>) -> Result<InclusionProof> {
        self.inner.prove(index)
    }

    /// The proof that the leaf at `index` was in the tree when it had `size` leaves. See
    /// [`DynAccumulator::prove_at`].
    ///
    /// # Errors
    ///
    /// As [`DynAccumulator::prove_at`].
    pub fn prove_at(
        &self,
        index: impl Into<LeafIndex>,
        size: impl Into<TreeSize>,
    ) -> Result<InclusionProof> {
        self.inner.prove_at(index, size)
    }

    /// One proof that the leaves at `indexes` are in the tree as it is now. See
    /// [`DynAccumulator::prove_many`].
    ///
    /// # Errors
    ///
    /// As [`DynAccumulator::prove_many`].
    pub fn prove_many(&self, indexes: &[LeafIndex]) -> Result<MultiProof> {
        self.inner.prove_many(indexes)
    }

    /// One proof that the leaves at `indexes` were in the tree when it had `size` leaves. See
    /// [`DynAccumulator::prove_many_at`].
    ///
    /// # Errors
    ///
    /// As [`DynAccumulator::prove_many_at`].
    pub fn prove_many_at(
        &self,
        indexes: &[LeafIndex],
        size: impl Into<TreeSize>,
    ) -> Result<MultiProof> {
        self.inner.prove_many_at(indexes, size)
    }

    /// The proof that the tree of `old` leaves is a prefix of the tree as it is now. See
    /// [`DynAccumulator::prove_consistency`].
    ///
    /// # Errors
    ///
    /// As [`DynAccumulator::prove_consistency`].
    pub fn prove_consistency(&self, old: impl Into<TreeSize>) -> Result<ConsistencyProof> {
        self.inner.prove_consistency(old)
    }

    /// The proof that the tree of `old` leaves is a prefix of the tree of `new` leaves. See
    /// [`DynAccumulator::prove_consistency_between`].
    ///
    /// # Errors
    ///
    /// As [`DynAccumulator::prove_consistency_between`].
    pub fn prove_consistency_between(
        &self,
        old: impl Into<TreeSize>,
        new: impl Into<TreeSize>,
    ) -> Result<ConsistencyProof> {
        self.inner.prove_consistency_between(old, new)
    }

    /// The frontier of the tree as it is now. See
    /// [`DynAccumulator::frontier`].
    ///
    /// # Errors
    ///
    /// As [`DynAccumulator::frontier`].
    pub fn frontier(&self) -> Result<Frontier> {
        self.inner.frontier()
    }

    /// The frontier of the tree when it had `size` leaves. See
    /// [`DynAccumulator::frontier_at`].
    ///
    /// # Errors
    ///
    /// As [`DynAccumulator::frontier_at`].
    pub fn frontier_at(&self, size: impl Into<TreeSize>) -> Result<Frontier> {
        self.inner.frontier_at(size)
    }

    /// The leaf at `index`, from memory or from a part. See
    /// [`DynAccumulator::leaf`].
    ///
    /// # Errors
    ///
    /// As [`DynAccumulator::leaf`].
    pub fn leaf(&self, index: impl Into<LeafIndex>) -> Result<Hash> {
        self.inner.leaf(index)
    }

    /// The entry at `index`. See
    /// [`DynAccumulator::entry`].
    ///
    /// # Errors
    ///
    /// As [`DynAccumulator::entry`].
    pub fn entry(&self, index: impl Into<LeafIndex>) -> Result<Entry> {
        self.inner.entry(index)
    }

    /// The entries of `range`, in order. See
    /// [`DynAccumulator::entries`].
    ///
    /// # Errors
    ///
    /// As [`DynAccumulator::entries`].
    pub fn entries(&self, range: Range<u64>) -> Result<Entries> {
        self.inner.entries(range)
    }

    /// The leaves of `range`. See
    /// [`DynAccumulator::leaves`].
    ///
    /// # Errors
    ///
    /// As [`DynAccumulator::leaves`].
    pub fn leaves(&self, range: Range<u64>) -> Result<Vec<Hash>> {
        self.inner.leaves(range)
    }

    /// The leaves of `range`, in order. See [`DynAccumulator::leaves_iter`].
    ///
    /// # Errors
    ///
    /// As [`DynAccumulator::leaves_iter`].
    pub fn leaves_iter(&self, range: Range<u64>) -> Result<Leaves> {
        self.inner.leaves_iter(range)
    }

    /// Verifies every byte of the parts on disk, and of the durable part of the log, while the store is
    /// in use. See [`DynAccumulator::scrub`].
    ///
    /// # Errors
    ///
    /// As [`DynAccumulator::scrub`].
    pub fn scrub(
        &self,
        options: &scrub::Options,
        progress: scrub::OnProgress<'_>,
    ) -> Result<scrub::Report> {
        self.inner.scrub(options, progress)
    }

    /// The hash function. See
    /// [`DynAccumulator::hasher`].
    #[must_use]
    pub fn hasher(&self) -> &dyn Hasher {
        self.inner.hasher()
    }

    /// How many children a complete node has. See
    /// [`DynAccumulator::arity`].
    #[must_use]
    pub fn arity(&self) -> Arity {
        self.inner.arity()
    }

    /// Counters. See
    /// [`DynAccumulator::stats`].
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.inner.stats()
    }

    /// Counters of this tree alone. See [`DynAccumulator::tree_stats`].
    ///
    /// # Errors
    ///
    /// As [`DynAccumulator::tree_stats`].
    pub fn tree_stats(&self) -> Result<TreeStats> {
        self.inner.tree_stats()
    }

    /// What opening the store found. See
    /// [`DynAccumulator::recovery`].
    #[must_use]
    pub fn recovery(&self) -> &RecoveryReport {
        self.inner.recovery()
    }

    /// Waits until the store's own threads are idle, so that the disk sees the same operations in the
    /// same order each time. See [`DynAccumulator::wait_idle`].
    #[cfg(any(test, feature = "testing"))]
    pub fn wait_idle(&self) {
        self.inner.wait_idle();
    }

    /// The tree's name. See
    /// [`DynAccumulator::name`].
    #[must_use]
    pub fn name(&self) -> &TreeName {
        self.inner.name()
    }

    /// Resolves once the creation of the tree is durable. See [`DynAccumulator::created`].
    pub fn created(&self) -> DurabilityToken {
        self.inner.created()
    }
}

impl<H, const N: usize> AsRef<DynAccumulator> for Accumulator<H, N> {
    fn as_ref(&self) -> &DynAccumulator {
        &self.inner
    }
}

impl<H, const N: usize> Clone for Accumulator<H, N> {
    fn clone(&self) -> Self {
        Self::of(self.inner.clone())
    }
}

impl<H, const N: usize> fmt::Debug for Accumulator<H, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}
