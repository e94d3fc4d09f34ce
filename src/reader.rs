//! One tree of a store that is opened for reading only.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use crate::config::{Config, TreeConfig};
use crate::engine::{Followed, Onto, copy_from_outside, follow};
use crate::engine::{Tree, Wanted};
use crate::entry::{EntryConfig, Erasure};
use crate::error::Result;
use crate::fs::FileSystem;
use crate::hashers::Hashers;
use crate::merkle::{
    Arity, ConsistencyProof, Hash, Hasher, InclusionProof, LeafIndex, TreeHead, TreeName, TreeSize,
};
use crate::report::BackupInfo;
use crate::snapshot::{Entries, Entry, FoundLeaves, Leaves, Snapshot};
use crate::sync::{ArcSwap, Mutex};

/// One tree of a store that is opened for reading only, with or without a running writer.
///
/// A reader takes no lock, starts no thread and changes nothing. It works on a read-only file system,
/// and the writer does not notice it. It shows what an open of the store would show now: the parts, and
/// the log up to its last complete group. [`refresh`](Self::refresh) reads what was written since.
///
/// **Which leaves a crash may undo.** The writer writes a group before it syncs it. The files do not yet
/// prove that leaves from [`durable_size`](Self::durable_size) on are durable. After a power cut the
/// store may continue without these leaves, and with other leaves in their place. Use
/// [`durable_head`](Self::durable_head) for heads that must stay valid, such as heads that are signed.
///
/// **Forks.** A reader belongs to the process that opened it. In a forked child, calls that can fail
/// return [`Error::Forked`](crate::Error::Forked), and the other calls return what the parent had read.
/// A child must open its own reader.
///
/// **Which store the reader shows.** The reader resolves the path once, when it is opened. If the path
/// leads to another directory later, or the directory has another store, [`refresh`](Self::refresh) and
/// [`snapshot_to`](Self::snapshot_to) fail. What was read before stays available.
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// # let dir = dir.path().join("log");
/// use duramen::{Accumulator, Config};
///
/// let writer: Accumulator = Accumulator::open(Config::new(&dir))?;
/// writer.insert_durable([1; 32])?;
/// let reader = Accumulator::<duramen::Blake3, 4>::open_read_only(Config::new(&dir))?;
/// assert_eq!(reader.head()?, writer.head()?);
///
/// writer.insert_durable([2; 32])?;
/// assert_eq!(reader.refresh()?.get(), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Reader {
    following: Arc<Following>,
}

/// What a reader and what follows it share.
pub(crate) struct Following {
    pub(crate) config: Config,
    wanted: Wanted,
    followed: Mutex<Followed>,
    /// The tree in `followed`, for calls that take no lock. In a forked child the lock may be held by a
    /// thread that exists only in the parent.
    tree: ArcSwap<Tree>,
}

impl Following {
    /// The tree as last read.
    pub(crate) fn tree(&self) -> Arc<Tree> {
        self.tree.load_full()
    }

    /// Reads what was written since the last refresh, and returns the tree.
    pub(crate) fn refresh(&self) -> Result<Arc<Tree>> {
        self.tree().check_process()?;
        let mut followed = self.followed.lock();
        followed.refresh(&self.config, Some(&self.wanted))?;
        let tree = followed.tree(&self.config, &self.wanted.name)?;
        self.tree.store(Arc::clone(&tree));
        Ok(tree)
    }

    /// Whether the tree, as last read, is sealed and no crash can undo that.
    pub(crate) fn is_sealed_for_good(&self) -> bool {
        self.followed.lock().is_sealed_for_good(self.tree().id())
    }

    /// The store's directory.
    pub(crate) fn fs(&self) -> Arc<dyn FileSystem> {
        Arc::clone(&self.followed.lock().fs)
    }
}

impl Reader {
    /// Opens the tree `main` of the store in `config`. O(log size) plus the log since the last
    /// checkpoint.
    ///
    /// # Errors
    ///
    /// [`NoStore`](crate::Error::NoStore) if there is no store. Nothing is created. Otherwise as
    /// [`Accumulator::open`](crate::Accumulator::open), but never [`Locked`](crate::Error::Locked).
    pub fn open(config: Config, hasher: Arc<dyn Hasher>, arity: Arity) -> Result<Self> {
        Self::open_tree(config, TreeName::main().as_str(), TreeConfig::new(hasher, arity))
    }

    /// Opens the tree `name` of the store in `config`. [`StoreReader`](crate::StoreReader) shows all
    /// trees.
    ///
    /// # Errors
    ///
    /// [`NoTree`](crate::Error::NoTree) if there is no tree with this name,
    /// [`TreeName`](crate::Error::TreeName) if the name is invalid; otherwise as [`open`](Self::open).
    pub fn open_tree(config: Config, name: impl AsRef<str>, tree: TreeConfig) -> Result<Self> {
        let TreeConfig { hasher, arity, entries, .. } = tree;
        let given = std::iter::once(Arc::clone(&hasher)).chain(config.hashers.iter().cloned());
        let hashers = Hashers::new(given);
        let (name, indexed) = (TreeName::new(name.as_ref())?, false);
        let wanted = Wanted { name, hasher, arity, entries, indexed, origin: None };
        let mut followed = follow(&config, &config.bind()?, &hashers, Some(&wanted))?;
        let tree = ArcSwap::new(followed.tree(&config, &wanted.name)?);
        let following = Following { config, wanted, followed: Mutex::new(followed), tree };
        Ok(Self { following: Arc::new(following) })
    }

    /// Reads what was written since the last refresh, and returns the current size. Snapshots taken
    /// before do not change. If a checkpoint wrote leaves to a part that were already read from the log,
    /// they are not read again.
    ///
    /// A damaged group becomes an error once a later group claims that it was durable. It may take a few
    /// refreshes until the later group is found.
    ///
    /// The size falls only if a crash undid leaves that were not durable, or an older copy of the store was restored
    /// in its directory.
    ///
    /// # Errors
    ///
    /// [`OtherStore`](crate::Error::OtherStore) if the path now leads to another store,
    /// [`Displaced`](crate::Error::Displaced) if it leads to another directory or nowhere,
    /// [`NoTree`](crate::Error::NoTree) if the tree was dropped; otherwise as [`open`](Self::open). What
    /// was read before stays available.
    pub fn refresh(&self) -> Result<TreeSize> {
        let tree = self.following.refresh()?;
        Ok(TreeSize(tree.columns.leaves()))
    }

    /// The number of leaves that were read.
    #[must_use]
    pub fn size(&self) -> TreeSize {
        self.snapshot().size()
    }

    /// How many of the leaves are known to be durable. These are the leaves of the last checkpoint, and
    /// the leaves in groups of the log that a later group claims durable.
    #[must_use]
    pub fn durable_size(&self) -> TreeSize {
        self.following.tree().durable()
    }

    /// The head of the tree at [`durable_size`](Self::durable_size). Sign and publish this head, because
    /// no power cut can undo it. See [`Snapshot::durable_head`].
    ///
    /// # Errors
    ///
    /// As [`Snapshot::head`].
    pub fn durable_head(&self) -> Result<TreeHead> {
        self.snapshot().durable_head()
    }

    /// The tree as last read, for as long as the snapshot lives. Every read and every proof uses a
    /// snapshot.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::new(self.following.tree())
    }

    /// Size and root. A power cut may undo them: sign and publish [`durable_head`](Self::durable_head)
    /// instead.
    ///
    /// # Errors
    ///
    /// As [`Snapshot::head`].
    pub fn head(&self) -> Result<TreeHead> {
        self.snapshot().head()
    }

    /// The head of the tree when it had `size` leaves.
    ///
    /// # Errors
    ///
    /// As [`Snapshot::head_at`].
    pub fn head_at(&self, size: impl Into<TreeSize>) -> Result<TreeHead> {
        self.snapshot().head_at(size)
    }

    /// The index of the first leaf that is equal to `leaf` in the tree as last read.
    ///
    /// # Errors
    ///
    /// As [`Snapshot::find`].
    pub fn find(&self, leaf: &Hash) -> Result<Option<LeafIndex>> {
        self.snapshot().find(leaf)
    }

    /// The indexes of all leaves of the tree as last read that are equal to `leaf`, in rising order.
    ///
    /// # Errors
    ///
    /// As [`Snapshot::find_all`].
    pub fn find_all(&self, leaf: &Hash) -> Result<FoundLeaves> {
        self.snapshot().find_all(leaf)
    }

    /// The first leaf that is equal to `leaf`, and the proof that it is in the tree as last read.
    ///
    /// # Errors
    ///
    /// As [`Snapshot::prove_leaf`].
    pub fn prove_leaf(&self, leaf: &Hash) -> Result<Option<(LeafIndex, InclusionProof)>> {
        self.snapshot().prove_leaf(leaf)
    }

    /// The proof that the leaf at `index` is in the tree as last read.
    ///
    /// # Errors
    ///
    /// As [`Snapshot::prove`].
    pub fn prove(&self, index: impl Into<LeafIndex>) -> Result<InclusionProof> {
        self.snapshot().prove(index)
    }

    /// The proof that the tree of `old` leaves is a prefix of the tree as last read.
    ///
    /// # Errors
    ///
    /// As [`Snapshot::prove_consistency`].
    pub fn prove_consistency(&self, old: impl Into<TreeSize>) -> Result<ConsistencyProof> {
        self.snapshot().prove_consistency(old)
    }

    /// The leaf at `index`.
    ///
    /// # Errors
    ///
    /// As [`Snapshot::leaf`].
    pub fn leaf(&self, index: impl Into<LeafIndex>) -> Result<Hash> {
        self.snapshot().leaf(index)
    }

    /// The entry at `index` of the tree as last read.
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
        self.following.tree().spec.entries
    }

    /// All erasures of the tree as last read, oldest first.
    ///
    /// # Errors
    ///
    /// As [`Snapshot::erasures`].
    pub fn erasures(&self) -> Result<Vec<Erasure>> {
        self.snapshot().erasures()
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

    /// Copies the store to the directory `dir`, which must be missing or empty. Works like
    /// [`DynAccumulator::snapshot_to`](crate::DynAccumulator::snapshot_to), but from outside: a running
    /// writer is not stopped and does not notice.
    ///
    /// Reads the store again first. The copy has at least everything that was durable before the call.
    /// It also has everything else in the log up to its last complete group. The copy is read back and
    /// verified. If the writer removes or reuses a file while it is being copied, the copy starts again,
    /// up to a hundred times.
    ///
    /// # Errors
    ///
    /// [`NotEmpty`](crate::Error::NotEmpty); [`Io`](crate::Error::Io) for `dir`, which is not retried;
    /// otherwise as [`refresh`](Self::refresh).
    pub fn snapshot_to(&self, dir: impl Into<PathBuf>) -> Result<BackupInfo> {
        self.copy_to(&Config::new(dir))
    }

    /// [`snapshot_to`](Self::snapshot_to) the file system of another configuration.
    ///
    /// # Errors
    ///
    /// As [`snapshot_to`](Self::snapshot_to).
    #[cfg(any(test, feature = "testing"))]
    #[doc(hidden)]
    pub fn snapshot_to_config(&self, target: &Config) -> Result<BackupInfo> {
        self.copy_to(target)
    }

    fn copy_to(&self, target: &Config) -> Result<BackupInfo> {
        self.following.tree().check_process()?;
        let Following { config, wanted, followed, .. } = &*self.following;
        let (fs, store) = {
            let followed = followed.lock();
            (Arc::clone(&followed.fs), followed.store)
        };
        let given = std::iter::once(Arc::clone(&wanted.hasher));
        let hashers = Hashers::new(given.chain(config.hashers.iter().cloned()));
        copy_from_outside(config, &fs, store, &hashers, target, Onto::Empty)
    }

    /// The hash function.
    #[must_use]
    pub fn hasher(&self) -> Arc<dyn Hasher> {
        Arc::clone(&self.following.tree().hasher)
    }

    /// How many children a complete node has.
    #[must_use]
    pub fn arity(&self) -> Arity {
        self.following.tree().arity
    }

    pub(crate) fn following(&self) -> &Arc<Following> {
        &self.following
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader")
            .field("path", &self.following.config.path)
            .field("size", &self.size())
            .field("durable", &self.durable_size())
            .finish_non_exhaustive()
    }
}
