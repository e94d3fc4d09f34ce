//! One tree of a store that is opened for reading only.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use crate::config::{Config, TreeConfig};
use crate::engine::{Followed, copy_from_outside, follow};
use crate::engine::{Tree, Wanted};
use crate::error::Result;
use crate::hashers::Hashers;
use crate::merkle::{
    Arity, ConsistencyProof, Hash, Hasher, InclusionProof, LeafIndex, TreeHead, TreeName, TreeSize,
};
use crate::report::BackupInfo;
use crate::snapshot::{Leaves, Snapshot};
use crate::sync::{ArcSwap, Mutex};

/// One tree of a store that is opened for reading only, beside its writer or without one.
///
/// It takes no lock, starts no thread and changes nothing: it works on a read-only file system, and
/// the writer does not notice. It shows what opening the store would show at this moment: the parts,
/// and the log up to its last whole group. [`refresh`](Self::refresh) reads what was written since.
///
/// **What may be taken back.** The writer writes a group before it syncs it. Leaves from
/// [`durable_size`](Self::durable_size) on were written, but nothing in the files says yet that they
/// are durable: after a power cut the store may go on without them, and with others in their place.
/// A reader belongs to the process that opened it. In a forked child, calls that can fail do so with
/// [`Error::Forked`](crate::Error::Forked), and the others answer with what the parent had read; a child opens
/// a reader of its own.
///
/// Heads that must stand, such as those that are signed, come from [`durable_head`](Self::durable_head).
///
/// **Which store it is.** The path is followed once, when it is opened. If it leads to another directory
/// later, or the directory holds another store, [`refresh`](Self::refresh) and
/// [`snapshot_to`](Self::snapshot_to) fail, and what was read before stays as it was.
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
    config: Config,
    wanted: Wanted,
    followed: Mutex<Followed>,
    /// The tree of what was followed, for calls that take no lock: in a forked child another thread of the
    /// parent may have held it.
    tree: ArcSwap<Tree>,
}

impl Reader {
    /// Opens the tree `main` of the store that `config` names. O(log size) plus the log since the last checkpoint.
    ///
    /// # Errors
    ///
    /// [`NoStore`](crate::Error::NoStore) if there is none; nothing is created. Else as
    /// [`Accumulator::open`](crate::Accumulator::open), but never
    /// [`Locked`](crate::Error::Locked).
    pub fn open(config: Config, hasher: Arc<dyn Hasher>, arity: Arity) -> Result<Self> {
        Self::open_tree(config, TreeName::main().as_str(), TreeConfig::new(hasher, arity))
    }

    /// Opens the tree `name` of the store that `config` names. [`StoreReader`](crate::StoreReader) shows all trees.
    ///
    /// # Errors
    ///
    /// [`NoTree`](crate::Error::NoTree) if there is no tree of this name, [`TreeName`](crate::Error::TreeName) if there can
    /// be none; else as [`open`](Self::open).
    pub fn open_tree(config: Config, name: impl AsRef<str>, tree: TreeConfig) -> Result<Self> {
        config.check()?;
        let TreeConfig { hasher, arity } = tree;
        let given = std::iter::once(Arc::clone(&hasher)).chain(config.hashers.iter().cloned());
        let hashers = Hashers::new(given);
        let wanted = Wanted { name: TreeName::new(name.as_ref())?, hasher, arity };
        let mut followed = follow(&config, &config.bind()?, &hashers, Some(&wanted))?;
        let tree = ArcSwap::new(followed.tree(&config, &wanted.name)?);
        Ok(Self { config, wanted, followed: Mutex::new(followed), tree })
    }

    /// Reads what was written since the last time and returns the size now. Snapshots taken before stay
    /// as they are. What a checkpoint has written that was read in the log before is not read again.
    ///
    /// A damaged group is an error once a later group says that it was durable; it may take a few refreshes
    /// until that is found.
    ///
    /// The size falls only if a crash took back leaves that were not durable.
    ///
    /// # Errors
    ///
    /// [`OtherStore`](crate::Error::OtherStore) if the path leads to another store by now,
    /// [`Displaced`](crate::Error::Displaced) if it leads to another directory otherwise, or nowhere,
    /// [`NoTree`](crate::Error::NoTree) if the tree was dropped; else as [`open`](Self::open). What was read before
    /// stays.
    pub fn refresh(&self) -> Result<TreeSize> {
        self.tree.load_full().check_process()?;
        let mut followed = self.followed.lock();
        followed.refresh(&self.config, Some(&self.wanted))?;
        let tree = followed.tree(&self.config, &self.wanted.name)?;
        let size = TreeSize(tree.columns.leaves());
        self.tree.store(tree);
        Ok(size)
    }

    /// How many leaves were found.
    #[must_use]
    pub fn size(&self) -> TreeSize {
        self.snapshot().size()
    }

    /// How many of them are known to be durable: at least those of the last checkpoint, and those in
    /// groups of the log that a later group names as durable.
    #[must_use]
    pub fn durable_size(&self) -> TreeSize {
        self.tree.load_full().durable()
    }

    /// The head of the tree at [`durable_size`](Self::durable_size): the one to sign and to publish, since no
    /// power cut takes it back. See [`Snapshot::durable_head`].
    ///
    /// # Errors
    ///
    /// As [`Snapshot::head`].
    pub fn durable_head(&self) -> Result<TreeHead> {
        self.snapshot().durable_head()
    }

    /// The tree as it was found, for as long as the snapshot lives. Every read and every proof goes through
    /// a snapshot.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::new(self.tree.load_full())
    }

    /// Size and root. They may be taken back by a power cut: sign and publish
    /// [`durable_head`](Self::durable_head) instead.
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

    /// The proof that the leaf at `index` is in the tree as it was found.
    ///
    /// # Errors
    ///
    /// As [`Snapshot::prove`].
    pub fn prove(&self, index: impl Into<LeafIndex>) -> Result<InclusionProof> {
        self.snapshot().prove(index)
    }

    /// The proof that the tree of `old` leaves is a prefix of the tree as it was found.
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

    /// Makes a copy of the store in the directory `dir`, which must be missing or empty, as
    /// [`DynAccumulator::snapshot_to`](crate::DynAccumulator::snapshot_to) does, but from outside: the
    /// writer, if there is one, is not stopped and does not notice.
    ///
    /// Reads the store again first. The copy holds at least what was durable before the call, and all that
    /// was written to the log besides, up to its last whole group. It is read back and verified. If the
    /// writer removed or reused a file while it was being copied, the copy starts again, up to a hundred
    /// times.
    ///
    /// # Errors
    ///
    /// [`NotEmpty`](crate::Error::NotEmpty); else as [`refresh`](Self::refresh), and
    /// [`Io`](crate::Error::Io) of `dir`, which is not retried.
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
        self.tree.load_full().check_process()?;
        let (fs, store) = {
            let followed = self.followed.lock();
            (Arc::clone(&followed.fs), followed.store)
        };
        let given = std::iter::once(Arc::clone(&self.wanted.hasher));
        let hashers = Hashers::new(given.chain(self.config.hashers.iter().cloned()));
        copy_from_outside(&self.config, &fs, store, &hashers, target)
    }

    /// The hash function.
    #[must_use]
    pub fn hasher(&self) -> Arc<dyn Hasher> {
        Arc::clone(&self.tree.load_full().hasher)
    }

    /// How many children a complete node has.
    #[must_use]
    pub fn arity(&self) -> Arity {
        self.tree.load_full().arity
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader")
            .field("path", &self.config.path)
            .field("size", &self.size())
            .field("durable", &self.durable_size())
            .finish_non_exhaustive()
    }
}
