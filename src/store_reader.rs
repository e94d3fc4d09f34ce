//! A store opened for reading only, with all its trees.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::config::Config;
use crate::engine::{Followed, Onto, copy_from_outside, follow};
use crate::error::Result;
use crate::fs::FileSystem;
use crate::hashers::Hashers;
use crate::ids::{Seq, StoreId};
use crate::mark::{MarkInfo, MarkName};
use crate::merkle::{StoreHead, TreeName};
use crate::report::{BackupInfo, TreeInfo};
use crate::snapshot::Snapshot;
use crate::sync::Mutex;
use crate::sync::process::Process;

/// A store opened for reading only, with or without a running writer. It shows all trees, and gives the
/// same guarantees as a [`Reader`](crate::Reader) of one tree.
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// # let dir = dir.path().join("chain");
/// use duramen::{Blake3, Config, Store, StoreReader};
///
/// let store = Store::open(Config::new(&dir))?;
/// store.tree::<Blake3, 4>("notes")?.insert_durable([1; 32])?;
///
/// let reader = StoreReader::open(Config::new(&dir))?;
/// let notes = &reader.trees()?[0];
/// assert_eq!((notes.name.as_str(), notes.size.get()), ("notes", 1));
/// assert_eq!(reader.head()?, store.head()?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct StoreReader {
    config: Config,
    hashers: Hashers,
    process: Process,
    fs: Arc<dyn FileSystem>,
    store: StoreId,
    followed: Mutex<Followed>,
}

impl StoreReader {
    /// Opens the store in `config`. The cost is proportional to the log since the last checkpoint.
    ///
    /// # Errors
    ///
    /// As [`Reader::open`](crate::Reader::open).
    pub fn open(config: Config) -> Result<Self> {
        let hashers = Hashers::new(config.hashers.iter().cloned());
        let process = crate::engine::this_process(&config)?;
        let followed = follow(&config, &config.bind()?, &hashers, None)?;
        let (fs, store) = (Arc::clone(&followed.fs), followed.store);
        Ok(Self { config, hashers, process, fs, store, followed: Mutex::new(followed) })
    }

    fn with<T>(&self, look: impl FnOnce(&mut Followed) -> Result<T>) -> Result<T> {
        self.process.check()?;
        look(&mut self.followed.lock())
    }

    /// Reads what was written since the last refresh. Snapshots taken before do not change.
    ///
    /// # Errors
    ///
    /// As [`Reader::refresh`](crate::Reader::refresh). What was read before stays available.
    pub fn refresh(&self) -> Result<()> {
        self.with(|followed| followed.refresh(&self.config, None))
    }

    /// The store's id: 16 random bytes in the form of a UUID.
    #[must_use]
    pub fn store_id(&self) -> String {
        self.store.to_string()
    }

    /// All trees as last read, by name.
    ///
    /// # Errors
    ///
    /// [`Forked`](crate::Error::Forked).
    pub fn trees(&self) -> Result<Vec<TreeInfo>> {
        self.with(|followed| Ok(followed.infos()))
    }

    /// The tree `name` as last read. Loads the tree if it is not loaded yet.
    ///
    /// # Errors
    ///
    /// [`NoTree`](crate::Error::NoTree); [`UnknownHasher`](crate::Error::UnknownHasher) if its hash
    /// function is neither in the crate nor given by [`Config::hasher`];
    /// [`Damaged`](crate::Error::Damaged) and [`Io`](crate::Error::Io). These also occur if the writer
    /// has removed a part meanwhile. In that case retry after a [`refresh`](Self::refresh).
    pub fn tree(&self, name: impl AsRef<str>) -> Result<Snapshot> {
        let name = TreeName::new(name.as_ref())?;
        self.with(|followed| followed.tree(&self.config, &name).map(Snapshot::new))
    }

    /// The heads of all trees as last read. Omits trees that have leaves in the log and an unknown hash
    /// function.
    ///
    /// # Errors
    ///
    /// [`Damaged`](crate::Error::Damaged) if a part cannot be read.
    pub fn head(&self) -> Result<StoreHead> {
        self.with(|followed| followed.head())
    }

    /// All [marks](crate::Store::mark), oldest first, at the end of what was read.
    ///
    /// # Errors
    ///
    /// [`Forked`](crate::Error::Forked).
    pub fn marks(&self) -> Result<Vec<MarkInfo>> {
        self.with(|followed| Ok(followed.marks()))
    }

    /// The heads that the trees had at the mark `name`. Trees that were created later are not in it, nor those that were
    /// dropped since, nor those with an unknown hash function.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// use duramen::{Blake3, Config, Store, StoreReader};
    ///
    /// # let path = dir.path().join("chain");
    /// let store = Store::open(Config::new(&path))?;
    /// store.tree::<Blake3, 4>("notes")?.insert([1; 32])?;
    /// store.mark("block 1")?;
    /// let head = store.head()?;
    /// store.tree::<Blake3, 4>("notes")?.insert([2; 32])?;
    /// store.flush()?;
    ///
    /// let reader = StoreReader::open(Config::new(&path))?;
    /// assert_eq!(reader.head_at("block 1")?, head);
    /// assert_eq!(reader.tree_at("block 1", "notes")?.size().get(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`NoMark`](crate::Error::NoMark), [`MarkName`](crate::Error::MarkName);
    /// [`Damaged`](crate::Error::Damaged) if a part cannot be read.
    pub fn head_at(&self, mark: impl AsRef<str>) -> Result<StoreHead> {
        let mark = MarkName::new(mark.as_ref())?;
        self.with(|followed| followed.head_at(&mark))
    }

    /// The tree `name` as it was at the mark `mark`.
    ///
    /// # Errors
    ///
    /// [`NoMark`](crate::Error::NoMark), [`MarkName`](crate::Error::MarkName); [`NoTree`](crate::Error::NoTree) if the
    /// tree was created later or was dropped since; otherwise as [`tree`](Self::tree).
    pub fn tree_at(&self, mark: impl AsRef<str>, name: impl AsRef<str>) -> Result<Snapshot> {
        let (mark, name) = (MarkName::new(mark.as_ref())?, TreeName::new(name.as_ref())?);
        let (tree, size) = self.with(|followed| followed.tree_at(&self.config, &mark, &name))?;
        Ok(Snapshot::of_size(tree, size))
    }

    /// The heads of all trees at their known durable sizes. Sign these heads.
    ///
    /// A new tree is among them once its creation is known to be durable, and a dropped one until its drop is.
    ///
    /// # Errors
    ///
    /// As [`head`](Self::head).
    pub fn durable_head(&self) -> Result<StoreHead> {
        self.with(|followed| followed.durable_head())
    }

    /// The position in the store's order up to which everything is known to be durable.
    ///
    /// # Errors
    ///
    /// [`Forked`](crate::Error::Forked).
    pub fn durable_seq(&self) -> Result<Seq> {
        self.with(|followed| Ok(followed.durable()))
    }

    /// Copies the store with all its trees. See [`Reader::snapshot_to`](crate::Reader::snapshot_to).
    ///
    /// # Errors
    ///
    /// As [`Reader::snapshot_to`](crate::Reader::snapshot_to).
    pub fn snapshot_to(&self, dir: impl Into<PathBuf>) -> Result<BackupInfo> {
        self.process.check()?;
        let target = Config::new(dir);
        copy_from_outside(&self.config, &self.fs, self.store, &self.hashers, &target, Onto::Empty)
    }

    /// Copies the store with all its trees to `dir`, which is missing, empty, or holds an older copy of the store, as
    /// [`snapshot_to`](Self::snapshot_to) made it. Parts that the older copy has are not copied again. The log is copied
    /// again.
    ///
    /// The older copy stays what it was until the new one is published, in one step. So after a crash or an error there is
    /// the one or the other. What only the older copy needs is removed afterwards.
    ///
    /// # Errors
    ///
    /// As [`snapshot_to`](Self::snapshot_to), for a directory that has something else too.
    /// [`BackupOfOther`](crate::Error::BackupOfOther) if the copy is one of another store, and
    /// [`BackupOfItself`](crate::Error::BackupOfItself) if it is this one;
    /// [`BackupDiverged`](crate::Error::BackupDiverged) if it went on by itself, and has a tree, leaves, erasures or a seal
    /// that this store does not have; [`Damaged`](crate::Error::Damaged) if a part in it is;
    /// [`Locked`](crate::Error::Locked) if it is open for writing.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let (dir, copy) = (dir.path().join("log"), dir.path().join("copy"));
    /// use duramen::{Accumulator, Config, StoreReader};
    ///
    /// let log: Accumulator = Accumulator::open(Config::new(&dir))?;
    /// for _ in 0..3 {
    ///     log.insert_many(&[[1; 32]; 1000])?;
    ///     log.checkpoint()?;
    ///     StoreReader::open(Config::new(&dir))?.update_backup(&copy)?;
    /// }
    /// assert_eq!(StoreReader::open(Config::new(&copy))?.head()?.trees()[0].head, log.head()?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn update_backup(&self, dir: impl Into<PathBuf>) -> Result<BackupInfo> {
        self.process.check()?;
        self.update_to(&Config::new(dir))
    }

    /// As [`update_backup`](Self::update_backup), to the place of `target`.
    #[cfg(any(test, feature = "testing", duramen_loom))]
    #[doc(hidden)]
    pub fn update_backup_config(&self, target: &Config) -> Result<BackupInfo> {
        self.update_to(target)
    }

    fn update_to(&self, target: &Config) -> Result<BackupInfo> {
        copy_from_outside(&self.config, &self.fs, self.store, &self.hashers, target, Onto::Older)
    }
}

impl fmt::Debug for StoreReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreReader")
            .field("path", &self.config.path)
            .field("store", &self.store_id())
            .finish_non_exhaustive()
    }
}
