//! One tree of a store, with a hash function and an arity chosen at run time.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use super::{Inserted, InsertedMany};
use crate::config::Config;
use crate::durability::DurabilityToken;
use crate::engine;
use crate::engine::{Addition, Engine, Fixed, Intake, Slot, States, Tree, Wanted};
use crate::entry::EntryConfig;
use crate::error::{Error, Result};
use crate::ids::Seq;
use crate::merkle::{
    Arity, ConsistencyProof, Frontier, Hash, Hasher, InclusionProof, LeafIndex, MultiProof,
    TreeHead, TreeName, TreeSize,
};
use crate::report::BackupInfo;
use crate::report::{CheckpointInfo, CheckpointReason};
use crate::report::{PruneInfo, RecoveryReport, RewindInfo, Stats, TreeStats};
use crate::scrub;
use crate::shared::Shared;
use crate::snapshot::{Entries, Entry, Leaves, Snapshot};

/// An [`Accumulator`](crate::Accumulator) whose hash function and arity are chosen at run time. Clones
/// are handles of the same tree.
#[derive(Clone)]
pub struct DynAccumulator {
    shared: Arc<Shared>,
    slot: Arc<Slot>,
    states: Arc<States>,
    created: DurabilityToken,
}

impl DynAccumulator {
    /// Opens the tree `main` of the store in `config`. Creates the store and the tree if they are
    /// missing. See [`Accumulator::open`](crate::Accumulator::open).
    ///
    /// # Errors
    ///
    /// As [`Accumulator::open`](crate::Accumulator::open).
    #[expect(clippy::needless_pass_by_value, reason = "a configuration is made for one store")]
    pub fn open(config: Config, hasher: Arc<dyn Hasher>, arity: Arity) -> Result<Self> {
        let (name, entries, indexed) = (TreeName::main(), None, false);
        let wanted = Wanted { name, hasher, arity, entries, indexed, origin: None };
        let shared = Shared::new(engine::open(&config, Some(&wanted))?);
        let opened = shared.engine()?.open_tree(&wanted)?;
        Self::of(&shared, opened)
    }

    /// Appends a leaf. The leaf is visible when this call returns, and durable once the token resolves.
    /// Waits for room if a limit is reached, and sleeps if inserts come faster than checkpoints are
    /// written. [`try_insert`](Self::try_insert) does neither.
    ///
    /// Indexes follow the order of calls. The cost is a lock and a copy. Hashing is deferred until a
    /// root or a proof needs the nodes.
    ///
    /// # Errors
    ///
    /// [`Poisoned`](Error::Poisoned) after a failure of the log; [`Backpressure`](Error::Backpressure)
    /// if there was no room in time, or if only a flush makes room under
    /// [`FlushPolicy::Manual`](crate::FlushPolicy); [`CheckpointsFail`](Error::CheckpointsFail) if only
    /// a checkpoint makes room and checkpoints fail; [`LeafRefused`](Error::LeafRefused) if the hash
    /// function does not accept the leaf; [`WouldWaitForItself`](Error::WouldWaitForItself) if the call
    /// would wait for room on the thread of the store that makes room. After an error nothing was
    /// inserted.
    ///
    /// # Panics
    ///
    /// If the hash function panics. Nothing was then inserted.
    pub fn insert(&self, leaf: Hash) -> Result<Inserted> {
        let leaf = std::slice::from_ref(&leaf);
        let engine = self.engine()?;
        let (first, seq) = engine.insert(self.bare(leaf), Intake::Insert)?;
        Ok(self.inserted(engine, first, seq))
    }

    /// Appends a batch of leaves of any size. The leaves are adjacent and in order. They become visible
    /// together, and after a crash all of them are there, or none. An empty batch is durable at once.
    ///
    /// A large batch is hashed after it was inserted and before this call returns. Other inserts wait
    /// only until the batch is in memory. If the hash function panics meanwhile, the batch is inserted
    /// nevertheless, and the next call that needs its nodes panics.
    ///
    /// Leaves inserted before a batch of 1 MiB or more become durable without waiting for the batch.
    /// Leaves inserted after a batch become durable together with the batch or later.
    ///
    /// # Errors
    ///
    /// As [`insert`](Self::insert). After an error nothing of the batch was inserted.
    pub fn insert_many(&self, leaves: &[Hash]) -> Result<InsertedMany> {
        self.insert_batch(leaves, Intake::Insert)
    }

    /// Appends a leaf as [`insert`](Self::insert) does, but never waits for room and is never slowed
    /// down. Fails at once instead. For threads that must not block, such as the threads of an async
    /// runtime. Takes the lock under which leaves are copied, as every insert does.
    ///
    /// # Errors
    ///
    /// [`WouldBlock`](Error::WouldBlock) if the insert would have to wait; otherwise as
    /// [`insert`](Self::insert). After an error nothing was inserted.
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
        let engine = self.engine()?;
        let (first, seq) = engine.insert(self.bare(leaf), Intake::Try)?;
        Ok(self.inserted(engine, first, seq))
    }

    /// Appends a batch as [`insert_many`](Self::insert_many) does, but fails at once if it would have to
    /// wait for room. The calling thread copies the batch, and hashes it if it is large.
    ///
    /// # Errors
    ///
    /// As [`try_insert`](Self::try_insert). After an error nothing of the batch was inserted.
    pub fn try_insert_many(&self, leaves: &[Hash]) -> Result<InsertedMany> {
        self.insert_batch(leaves, Intake::Try)
    }

    /// Appends the leaf for raw `data`, hashed with the leaf function of the hash function. A tree that
    /// keeps entries keeps the data, as [`insert_entry`](Self::insert_entry) does. Another tree forgets it.
    ///
    /// # Errors
    ///
    /// As [`insert`](Self::insert), and [`EntryTooLong`](Error::EntryTooLong) in a tree that keeps entries.
    pub fn insert_data(&self, data: &[u8]) -> Result<Inserted> {
        let leaf = self.fixed().hasher.leaf(data);
        let engine = self.engine()?;
        let (first, seq) = engine.insert(self.one(&leaf, &data, true), Intake::Insert)?;
        Ok(self.inserted(engine, first, seq))
    }

    /// Appends an entry to a tree that keeps entries, see [`TreeConfig::entries`]. The leaf is the hash of
    /// the entry. Entry and leaf are visible when this call returns. They are in the same group of the log,
    /// so one fsync makes both durable, and after a crash both are there or neither.
    ///
    /// The cost is that of [`insert`](Self::insert), a hash, and a copy of the entry. Until a checkpoint
    /// writes the entry to a part, it takes its length and 6 to 12 bytes of memory besides its leaf.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// use duramen::{Config, EntryConfig, Rfc6962Sha256, Store, TreeConfig};
    ///
    /// let store = Store::open(Config::new(dir.path().join("audit")))?;
    /// let kept = TreeConfig::of::<Rfc6962Sha256, 2>().entries(EntryConfig::new());
    /// let log = store.tree_dyn("requests", kept)?;
    /// let inserted = log.insert_entry(br#"{"user": 17, "action": "login"}"#)?;
    /// inserted.token.wait()?;
    /// let entry = log.entry(inserted.index)?;
    /// assert_eq!(log.leaf(inserted.index)?, log.hasher().leaf(&entry));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`insert`](Self::insert). [`EntryTooLong`](Error::EntryTooLong) with both lengths;
    /// [`NoEntries`](Error::NoEntries) if the tree keeps no entries. After an error nothing was inserted.
    ///
    /// [`TreeConfig::entries`]: crate::TreeConfig::entries
    pub fn insert_entry(&self, entry: impl AsRef<[u8]>) -> Result<Inserted> {
        let entry = entry.as_ref();
        let leaf = self.fixed().hasher.leaf(entry);
        let engine = self.engine()?;
        let (first, seq) = engine.insert(self.one(&leaf, &entry, false), Intake::Insert)?;
        Ok(self.inserted(engine, first, seq))
    }

    /// Appends a batch of entries, as [`insert_entry`](Self::insert_entry) and
    /// [`insert_many`](Self::insert_many) do. Large batches are hashed on every core.
    ///
    /// # Errors
    ///
    /// As [`insert_entry`](Self::insert_entry). After an error nothing of the batch was inserted.
    pub fn insert_entries(&self, entries: &[impl AsRef<[u8]>]) -> Result<InsertedMany> {
        self.insert_entry_batch(entries, Intake::Insert)
    }

    /// Appends an entry as [`insert_entry`](Self::insert_entry) does, but fails at once if it would have to
    /// wait for room. See [`try_insert`](Self::try_insert).
    ///
    /// # Errors
    ///
    /// [`WouldBlock`](Error::WouldBlock); otherwise as [`insert_entry`](Self::insert_entry).
    pub fn try_insert_entry(&self, entry: impl AsRef<[u8]>) -> Result<Inserted> {
        let entry = entry.as_ref();
        let leaf = self.fixed().hasher.leaf(entry);
        let engine = self.engine()?;
        let (first, seq) = engine.insert(self.one(&leaf, &entry, false), Intake::Try)?;
        Ok(self.inserted(engine, first, seq))
    }

    /// Appends an entry and returns when it is durable. Threads that call this at the same time share
    /// fsyncs.
    ///
    /// # Errors
    ///
    /// As [`insert_entry`](Self::insert_entry) and [`insert_durable`](Self::insert_durable).
    pub fn insert_entry_durable(&self, entry: impl AsRef<[u8]>) -> Result<LeafIndex> {
        const CALL: &str = "insert_entry_durable";
        let engine = self.engine()?;
        engine.check_may_wait(CALL)?;
        let entry = entry.as_ref();
        let leaf = self.fixed().hasher.leaf(entry);
        let (first, seq) = engine.insert(self.one(&leaf, &entry, false), Intake::Durable)?;
        engine.flush_to(seq, CALL)?;
        self.inserted(engine, first, seq).token.wait()?;
        Ok(LeafIndex(first))
    }

    /// Appends a leaf and returns when it is durable. Threads that call this at the same time share
    /// fsyncs.
    ///
    /// # Errors
    ///
    /// As [`insert`](Self::insert). Also [`WouldWaitForItself`](Error::WouldWaitForItself) on the
    /// flusher's thread. After [`Poisoned`](Error::Poisoned) the leaf may or may not be there when the
    /// store is opened again.
    pub fn insert_durable(&self, leaf: Hash) -> Result<LeafIndex> {
        let engine = self.engine()?;
        engine.check_may_wait("insert_durable")?;
        let leaf = std::slice::from_ref(&leaf);
        let (first, seq) = engine.insert(self.bare(leaf), Intake::Durable)?;
        engine.flush_to(seq, "insert_durable")?;
        self.inserted(engine, first, seq).token.wait()?;
        Ok(LeafIndex(first))
    }

    /// Rewinds the tree to `size` leaves: drops the leaves from there on, with their entries, erasures and hits of the
    /// index, and the marks that have more leaves of this tree. Other leaves may follow at the same indexes. Returns when
    /// that is durable, with one fsync, and costs as little for many leaves as for few.
    ///
    /// **Visible** to this process at once, and to others through the log. An insert of another thread comes before the
    /// rewind, and is dropped if it is above the size, or after it. Snapshots that were taken before keep what they have.
    ///
    /// **Durable** when the call returns: whatever happens then, no dropped leaf comes back. A token of a dropped leaf that
    /// was not durable when the rewind was accepted resolves with [`Rewound`](Error::Rewound); one that was durable stays
    /// so. Sequence numbers are not used again.
    ///
    /// **After an error** of the log the store is poisoned, and the next open shows the tree as before or after.
    ///
    /// Rewind no tree that others rely on, such as a log whose heads were signed: a head above `size` can never be
    /// proven again. `duramen-log` refuses to serve a tree below the last head that it signed.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// use duramen::{Accumulator, Config};
    ///
    /// let chain: Accumulator = Accumulator::open(Config::new(dir.path().join("chain")))?;
    /// chain.insert_many(&[[1; 32], [2; 32], [3; 32]])?;
    /// let then = chain.snapshot();
    /// let done = chain.rewind(1)?;
    /// assert_eq!(done.trees[0].before.get(), 3);
    /// chain.insert([4; 32])?;
    /// assert_eq!(chain.leaf(1)?, [4; 32]);
    /// assert_eq!(then.leaf(1)?, [2; 32]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`SizeOutOfRange`](Error::SizeOutOfRange) above the tree's size; [`Pruned`](Error::Pruned) below its
    /// [base](Self::base); [`TreeSealed`](Error::TreeSealed),
    /// [`TreeDropped`](Error::TreeDropped); [`WouldWaitForItself`](Error::WouldWaitForItself) on the flusher's thread;
    /// [`Poisoned`](Error::Poisoned), [`Closed`](Error::Closed), [`Damaged`](Error::Damaged) if a part cannot be read.
    pub fn rewind(&self, size: impl Into<TreeSize>) -> Result<RewindInfo> {
        self.engine()?.rewind(&self.slot, size.into().get())
    }

    /// Prunes the tree: drops the leaves below index `below`, with their entries, erasures, hits of the index and all nodes
    /// that only they need, from memory and disk. Returns when that is durable.
    ///
    /// What stays is the *base*: at most `(N - 1) · log N (below)` nodes, in the manifest. With it the roots, inclusion proofs
    /// and consistency proofs of all sizes and indexes from `below` on stay what they are, for ever. The size, the indexes and
    /// the numbers of leaves do not change.
    ///
    /// **Visible** to this process at once, to others with their next refresh. A call that needs a leaf below the base, or a
    /// tree of a size below it, fails with [`Pruned`](Error::Pruned) from then on. Snapshots that were taken before keep what
    /// they have, and with it the space on the disk, until the last of them is dropped; [`PruneInfo::held_bytes`] says how
    /// much that is. Marks stay, since they are about other trees too: what is asked about this tree at a mark below its base
    /// is [`Pruned`](Error::Pruned), and so is a rewind to it. [`insert_unique`](Self::insert_unique) does not find pruned
    /// leaves, and inserts such a leaf again.
    ///
    /// **Durable** when the call returns: a checkpoint is made first unless there is one with these leaves, then a manifest.
    /// Files are removed only once that manifest is durable. The part with leaves on both sides of the cut is written again
    /// without those below, so about `below` leaves' share of the space is free afterwards. Inserts, flushes and reads go on
    /// meanwhile; merges wait, and rewinds wait at the end.
    ///
    /// **After an error** the tree is as it was. If the power fails, the next open shows the tree as before or after.
    ///
    /// A tree that is sealed can be pruned. Nothing is dropped if the tree begins at `below` or later already.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// use duramen::{Accumulator, Blake3, Config, Error, TreeSize};
    ///
    /// let log: Accumulator = Accumulator::open(Config::new(dir.path().join("log")))?;
    /// log.insert_many(&vec![[7; 32]; 10_000])?;
    /// let head = log.head()?;
    /// let done = log.prune(9_000)?;
    /// assert_eq!(done.base, TreeSize(9_000));
    /// assert!(done.bytes < done.bytes_before);
    ///
    /// // The root and the proofs of what is left are those of the whole tree.
    /// assert_eq!(log.head()?, head);
    /// let proof = log.prove(9_999)?;
    /// proof.verify(&Blake3, duramen::Arity::Four, &head, 9_999.into(), &[7; 32])?;
    /// assert!(matches!(log.leaf(8_999), Err(Error::Pruned { .. })));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`SizeOutOfRange`](Error::SizeOutOfRange) above the tree's size; [`TreeDropped`](Error::TreeDropped);
    /// [`WouldWaitForItself`](Error::WouldWaitForItself) on a thread of the store's own;
    /// [`Poisoned`](Error::Poisoned), [`Closed`](Error::Closed), [`Damaged`](Error::Damaged) if a part cannot be read,
    /// [`Io`](Error::Io).
    pub fn prune(&self, below: impl Into<LeafIndex>) -> Result<PruneInfo> {
        self.engine()?.prune(&self.slot, below.into().get())
    }

    /// The first leaf that the tree has: those before it were [pruned](Self::prune). 0 for a tree that was never pruned.
    #[must_use]
    pub fn base(&self) -> TreeSize {
        TreeSize(self.tree().base())
    }

    /// Returns when everything inserted before the call is durable. Costs one write and one fsync,
    /// shared with other threads that flush at the same time. Costs nothing if there is nothing new.
    ///
    /// # Errors
    ///
    /// [`Poisoned`](Error::Poisoned) if the log could not be written,
    /// [`WouldWaitForItself`](Error::WouldWaitForItself) on the flusher's thread.
    pub fn flush(&self) -> Result<()> {
        self.engine()?.flush()
    }

    /// Requests a flush of everything inserted before the call, without waiting for the interval, and
    /// returns at once. The token resolves when the flush is done: await the token, or call
    /// [`wait`](DurabilityToken::wait). Dropping the token does not cancel the flush.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// use duramen::{Accumulator, Config};
    ///
    /// let log: Accumulator = Accumulator::open(Config::new(dir.path().join("log")))?;
    /// log.insert([7; 32])?;
    /// let durable = log.flush_async()?;
    /// // The program does other work here.
    /// durable.wait()?;
    /// assert_eq!(log.durable_size().get(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Poisoned`](Error::Poisoned) after a failure of the log, [`Closed`](Error::Closed). The token
    /// reports failures of this flush.
    pub fn flush_async(&self) -> Result<DurabilityToken> {
        self.engine()?.flush_soon()
    }

    /// Flushes, writes the new nodes since the last checkpoint to a part file, and truncates the log
    /// before it. Inserts, flushes and reads continue meanwhile. When this call returns, the next open
    /// replays only what came later.
    ///
    /// # Errors
    ///
    /// The error that made the checkpoint fail. The last checkpoint then stays in force, nothing is
    /// lost, and a retry may succeed. [`WouldWaitForItself`](Error::WouldWaitForItself) on the flusher's
    /// thread.
    pub fn checkpoint(&self) -> Result<CheckpointInfo> {
        self.engine()?.checkpoint(CheckpointReason::Manual)
    }

    /// Copies the store to the directory `dir` while the store is in use: inserts, flushes, checkpoints,
    /// merges and reads do not wait. When this call returns, the copy is durable and has everything that
    /// was inserted before the call. It opens like a store that was closed cleanly.
    ///
    /// `dir` must be missing or empty. Parts never change, so they become hard links and take no space.
    /// On another file system they are copied. The log is copied up to the last durable leaf, and is
    /// verified before and after. Parts are not verified. [`scrub::run`] of the copy verifies them.
    ///
    /// The copy has the same store id as this store, but is independent: leaves that are inserted in the
    /// copy are not in this store. Never put files of one into the other. Hard links share their bytes
    /// on the disk, so a copy that must survive the loss of the disk belongs on another disk.
    ///
    /// Meanwhile this store keeps all files that the copy reads. Log segments are not reused, and merged
    /// parts stay until the copy is done.
    ///
    /// # Errors
    ///
    /// [`NotEmpty`](Error::NotEmpty); [`Poisoned`](Error::Poisoned) if the leaves could not be flushed;
    /// [`Io`](Error::Io) and [`Damaged`](Error::Damaged) for either directory. After an error the files
    /// in `dir` are removed as far as possible. The lock file and empty directories stay. A crash at the
    /// very beginning leaves a directory without any file of a store. A crash at the very end leaves the
    /// complete copy. A crash at any other time leaves no manifest. Opening the directory then fails
    /// with [`Damaged`](Error::Damaged), so an incomplete copy is never taken for a smaller store.
    pub fn snapshot_to(&self, dir: impl Into<PathBuf>) -> Result<BackupInfo> {
        self.engine()?.snapshot_to(&Config::new(dir))
    }

    /// [`snapshot_to`](Self::snapshot_to) the file system of another configuration.
    ///
    /// # Errors
    ///
    /// As [`snapshot_to`](Self::snapshot_to).
    #[cfg(any(test, feature = "testing"))]
    #[doc(hidden)]
    pub fn snapshot_to_config(&self, target: &Config) -> Result<BackupInfo> {
        self.engine()?.snapshot_to(target)
    }

    /// The number of leaves in the tree.
    #[must_use]
    pub fn size(&self) -> TreeSize {
        TreeSize(self.tree().columns.leaves())
    }

    /// The number of durable leaves. After any crash at least these leaves are there.
    ///
    /// Under [`FlushPolicy::Manual`](crate::FlushPolicy) this is a size that a caller asked to be
    /// durable.
    #[must_use]
    pub fn durable_size(&self) -> TreeSize {
        self.tree().durable()
    }

    /// The head of the tree at [`durable_size`](Self::durable_size). Sign and publish this head.
    ///
    /// [`head`](Self::head) includes leaves that a crash may undo. Other leaves may then take their
    /// place. If such a head was signed, there are two different trees of one size under one signature,
    /// which an append-only log must never allow. No crash can undo a leaf of the durable head.
    ///
    /// # Errors
    ///
    /// As [`head`](Self::head).
    pub fn durable_head(&self) -> Result<TreeHead> {
        let tree = self.tree();
        tree.head_at(tree.durable())
    }

    /// Size and root of the tree as it is now: everything visible, durable or not. A crash may undo the
    /// newest leaves, so use [`durable_head`](Self::durable_head) for a head that you sign or publish.
    ///
    /// Costs O(N log size) hashes for the right edge, plus one hash per N - 1 leaves that are not hashed
    /// yet.
    ///
    /// # Errors
    ///
    /// [`Damaged`](Error::Damaged) if a part cannot be read.
    pub fn head(&self) -> Result<TreeHead> {
        let tree = self.tree();
        tree.head_at(TreeSize(tree.columns.leaves()))
    }

    /// The head of the tree when it had `size` leaves. Any size up to the current one works, without
    /// preparation. A crash may undo a head above [`durable_size`](Self::durable_size): do not sign such
    /// a head.
    ///
    /// # Errors
    ///
    /// [`SizeOutOfRange`](Error::SizeOutOfRange) beyond the current size; [`Damaged`](Error::Damaged)
    /// if a part cannot be read.
    pub fn head_at(&self, size: impl Into<TreeSize>) -> Result<TreeHead> {
        let tree = self.tree();
        let (size, current) = (size.into(), TreeSize(tree.columns.leaves()));
        if size > current {
            return Err(Error::SizeOutOfRange { size, current });
        }
        tree.head_at(size)
    }

    /// The tree as it is now, for as long as the snapshot lives. O(1).
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::new(self.tree())
    }

    /// The proof that the leaf at `index` is in the tree as it is now, durable or not. For a proof that
    /// goes with a signed head, use [`prove_at`](Self::prove_at) with the size of
    /// [`durable_head`](Self::durable_head). For many proofs of one size take a
    /// [`snapshot`](Self::snapshot), which also has the head for these proofs.
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

    /// The proof that the tree of `old` leaves is a prefix of the tree as it is now. A
    /// [`snapshot`](Self::snapshot) gives the proof together with the head for it.
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
    /// without reading any leaf.
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

    /// The entry at `index`, from memory or from a part.
    ///
    /// # Errors
    ///
    /// As [`Snapshot::entry`].
    pub fn entry(&self, index: impl Into<LeafIndex>) -> Result<Entry> {
        self.snapshot().entry(index)
    }

    /// The entries of `range`, in order. Entries that come later are not included.
    ///
    /// # Errors
    ///
    /// As [`Snapshot::entries`].
    pub fn entries(&self, range: Range<u64>) -> Result<Entries> {
        self.snapshot().entries(range)
    }

    /// How the tree keeps entries, if it does.
    #[must_use]
    pub fn entry_config(&self) -> Option<EntryConfig> {
        self.fixed().spec.entries
    }

    /// The leaves of `range`, all in memory.
    ///
    /// # Errors
    ///
    /// As [`Snapshot::leaves`].
    pub fn leaves(&self, range: Range<u64>) -> Result<Vec<Hash>> {
        self.snapshot().leaves(range)
    }

    /// The leaves of `range`, in order. Leaves that come later are not included.
    ///
    /// # Errors
    ///
    /// As [`Snapshot::leaves_iter`].
    pub fn leaves_iter(&self, range: Range<u64>) -> Result<Leaves> {
        self.snapshot().leaves_iter(range)
    }

    /// Verifies every byte of the parts on disk, and of the durable part of the log, while the store is
    /// in use. Never repairs, whatever `options` say: [`scrub::run`] repairs a closed store.
    ///
    /// Runs on every core, or only on the calling thread if a rate is set. Waits at the start for a
    /// running checkpoint. After that no checkpoint waits for the scrub.
    ///
    /// # Errors
    ///
    /// [`Io`](Error::Io) if a file cannot be opened. Damage is a finding, not an error.
    pub fn scrub(
        &self,
        options: &scrub::Options,
        progress: scrub::OnProgress<'_>,
    ) -> Result<scrub::Report> {
        self.engine()?.scrub(options, progress)
    }

    /// The hash function.
    #[must_use]
    pub fn hasher(&self) -> &dyn Hasher {
        &*self.states.fixed.hasher
    }

    /// How many children a complete node has.
    #[must_use]
    pub fn arity(&self) -> Arity {
        self.fixed().arity
    }

    /// Counters of the store, over all its trees. In a forked child all of them are zero.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.engine().map_or_else(|_| Stats::default(), Engine::stats)
    }

    /// The leaves of each part of the tree on the disk, in order. What is behind the last one is in the log and in memory,
    /// or in the manifest. A checkpoint adds a part at most, and a merge makes one of several.
    ///
    /// # Errors
    ///
    /// [`Forked`](crate::Error::Forked) in a forked child.
    pub fn part_ranges(&self) -> Result<Vec<Range<u64>>> {
        let tree = self.tree();
        tree.check_process()?;
        let parts = tree.parts().references();
        Ok(parts.iter().map(|part| part.from..part.to).collect())
    }

    /// Counters of this tree alone. It holds nothing and waits for nothing but the brief lock of the list of
    /// parts.
    ///
    /// ```
    /// use duramen::{Accumulator, Blake3, Config};
    ///
    /// # let dir = tempfile::tempdir()?;
    /// let log = Accumulator::<Blake3, 4>::open(Config::new(dir.path()))?;
    /// log.insert([7; 32])?;
    /// log.checkpoint()?;
    /// let stats = log.tree_stats()?;
    /// assert_eq!((stats.size.get(), stats.checkpointed_size.get()), (1, 1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Forked`](Error::Forked) in a forked child.
    pub fn tree_stats(&self) -> Result<TreeStats> {
        let tree = self.tree();
        tree.check_process()?;
        Ok(tree.stats())
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
        if let Ok(engine) = self.engine() {
            engine.wait_idle();
        }
    }

    /// The tree's name.
    #[must_use]
    pub fn name(&self) -> &TreeName {
        self.fixed().name()
    }

    /// Resolves once the creation of the tree is durable.
    pub fn created(&self) -> DurabilityToken {
        self.created.clone()
    }

    /// Closes the store of the tree. See [`Accumulator::close`](crate::Accumulator::close).
    ///
    /// # Errors
    ///
    /// As [`Accumulator::close`](crate::Accumulator::close).
    pub fn close(self) -> Result<()> {
        self.shared.close()
    }

    /// A handle of the tree of `slot`.
    ///
    /// # Errors
    ///
    /// [`TreeDropped`](Error::TreeDropped) if the tree is not awake.
    pub(crate) fn of(
        shared: &Arc<Shared>,
        (slot, created): (Arc<Slot>, DurabilityToken),
    ) -> Result<Self> {
        let dropped = || Error::TreeDropped { tree: slot.spec.name.clone() };
        let states = Arc::clone(slot.states().ok_or_else(dropped)?);
        Ok(Self { shared: Arc::clone(shared), slot, states, created })
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// The tree as it is now: a rewind replaces it.
    pub(crate) fn tree(&self) -> Arc<Tree> {
        self.states.current()
    }

    pub(crate) fn slot(&self) -> &Arc<Slot> {
        &self.slot
    }

    pub(crate) fn fixed(&self) -> &Arc<Fixed> {
        &self.states.fixed
    }

    #[inline]
    fn inserted(&self, engine: &Engine, first: u64, seq: Seq) -> Inserted {
        let token = engine.token_of_leaf(seq, self.fixed().id(), first + 1);
        Inserted { index: LeafIndex(first), token }
    }

    fn insert_batch(&self, leaves: &[Hash], how: Intake) -> Result<InsertedMany> {
        let engine = self.engine()?;
        let (first, seq) = engine.insert(self.bare(leaves), how)?;
        let range = first..first + leaves.len() as u64;
        let token = engine.token_of_leaf(seq, self.fixed().id(), range.end);
        Ok(InsertedMany { range, token })
    }

    fn insert_entry_batch(
        &self,
        entries: &[impl AsRef<[u8]>],
        how: Intake,
    ) -> Result<InsertedMany> {
        let entries: Vec<&[u8]> = entries.iter().map(AsRef::as_ref).collect();
        let leaves = self.fixed().leaves_of(&entries);
        let addition = Addition { tree: self.fixed(), leaves: &leaves, entries: &entries };
        let engine = self.engine()?;
        let (first, seq) = engine.insert(addition, how)?;
        let range = first..first + entries.len() as u64;
        let token = engine.token_of_leaf(seq, self.fixed().id(), range.end);
        Ok(InsertedMany { range, token })
    }

    /// One entry with its `leaf`. The leaf alone, if the tree keeps no entries and `or_forget` is set.
    fn one<'a>(&'a self, leaf: &'a Hash, entry: &'a &'a [u8], or_forget: bool) -> Addition<'a> {
        let forget = or_forget && self.fixed().framing.is_none();
        let entries = if forget { &[] } else { std::slice::from_ref(entry) };
        Addition { tree: self.fixed(), leaves: std::slice::from_ref(leaf), entries }
    }

    fn bare<'a>(&'a self, leaves: &'a [Hash]) -> Addition<'a> {
        Addition { tree: self.fixed(), leaves, entries: &[] }
    }

    pub(super) fn engine(&self) -> Result<&Engine> {
        self.shared.engine()
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
            .field("tree", &self.tree())
            .field("durable", &self.durable_size())
            .finish_non_exhaustive()
    }
}
