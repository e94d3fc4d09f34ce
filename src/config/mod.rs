//! How to open a store.

mod checkpoint;
mod compaction;
mod flush;
mod marks;
mod memory;
mod read_mode;
mod retention;
mod retry;
mod tree;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub(crate) use checkpoint::Since;
pub use checkpoint::{CheckpointPolicy, Install};
pub use compaction::CompactionPolicy;
pub use flush::FlushPolicy;
pub use marks::MarkPolicy;
pub use read_mode::ReadMode;
pub(crate) use retention::Kept;
pub use retention::RetentionPolicy;
pub(crate) use retry::Backoff;
pub use tree::TreeConfig;

use crate::error::{Error, Result};
use crate::fs::{FileSystem, OsPlace, Place};
use crate::hashers::Hashers;
use crate::merkle::{Hasher, TreeName};
use crate::report::{EventListener, Listeners};

/// How to open a store: its directory and its policies.
///
/// A call that is given a value that cannot work fails with [`Error::Config`], which names the call. So a
/// `Config` that exists has only values that work, and opening never fails because of one.
///
/// **File size limits.** A write beyond `RLIMIT_FSIZE` raises SIGXFSZ, which by default ends the
/// process. With a handler, or with the signal ignored, the write fails with `EFBIG` like any other
/// error. The program `duramen` installs a handler. This crate does not: signals belong to the program.
///
/// ```
/// use std::time::Duration;
/// use duramen::{CheckpointPolicy, Config, FlushPolicy};
///
/// let config = Config::new("some/directory")
///     .flush_policy(FlushPolicy::interval(Duration::from_millis(5))?)
///     .checkpoint_policy(CheckpointPolicy::manual().wal_bytes(1 << 30)?)
///     .max_unflushed_bytes(16 << 20)?;
/// # let _ = config;
/// # Ok::<(), duramen::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Config {
    pub(crate) place: Arc<dyn Place>,
    pub(crate) path: PathBuf,
    pub(crate) create: bool,
    /// The caller's own hash functions.
    pub(crate) hashers: Hashers,
    pub(crate) flush: FlushPolicy,
    pub(crate) claim_idle: Option<Duration>,
    pub(crate) checkpoint: CheckpointPolicy,
    pub(crate) install: Install,
    pub(crate) compaction: CompactionPolicy,
    pub(crate) merge_at_close: u64,
    pub(crate) backoff: Backoff,
    pub(crate) listeners: Listeners,
    pub(crate) max_memory: Option<u64>,
    max_unflushed_bytes: u64,
    max_uncheckpointed_bytes: Option<u64>,
    pub(crate) backpressure_wait: Option<Duration>,
    pub(crate) read_mode: ReadMode,
    pub(crate) huge_pages: bool,
    pub(crate) status_file: bool,
    pub(crate) wal_segment_bytes: u64,
    pub(crate) wal_spare_bytes: u64,
    /// A group of the log with at least this many bytes of leaves is written in pieces.
    group_bytes: u64,
    /// A manifest is written whole unless its base has at least this many bytes.
    pub(crate) whole_below: u64,
    pub(crate) max_marks: usize,
    pub(crate) mark_policy: MarkPolicy,
    pub(crate) retention: Retention,
}

/// What the trees of a store keep.
#[derive(Clone, Debug, Default)]
pub(crate) struct Retention {
    all: RetentionPolicy,
    named: HashMap<TreeName, RetentionPolicy>,
}

impl Retention {
    /// What the tree of this name keeps.
    pub(crate) fn of(&self, tree: &TreeName) -> &RetentionPolicy {
        self.named.get(tree).unwrap_or(&self.all)
    }

    /// How long trees keep leaves that are kept for a time.
    pub(crate) fn ages(&self) -> impl Iterator<Item = Duration> {
        [&self.all].into_iter().chain(self.named.values()).filter_map(RetentionPolicy::age)
    }

    /// Whether a tree may lose something.
    pub(crate) fn has_rules(&self) -> bool {
        self.all.has_rules() || self.named.values().any(RetentionPolicy::has_rules)
    }
}

/// A limit that leaves room for an insert. One may take more than the limit if nothing else is there.
fn room(setting: &'static str, bytes: u64) -> Result<u64> {
    if bytes == 0 {
        return Err(Error::config(setting, "0 leaves no room for an insert"));
    }
    Ok(bytes)
}

/// Bytes of the smallest possible log segment: two groups.
pub(crate) const LEAST_SEGMENT_BYTES: u64 = 8 << 10;

impl Config {
    /// The store in directory `path`, under the default policies. Opening creates the directory if it is
    /// missing.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        Self {
            place: Arc::new(OsPlace::new(path.clone())),
            path,
            create: true,
            hashers: Hashers::default(),
            flush: FlushPolicy::default(),
            claim_idle: None,
            checkpoint: CheckpointPolicy::default(),
            install: Install::default(),
            compaction: CompactionPolicy::default(),
            merge_at_close: 64 << 20,
            backoff: Backoff {
                first: Duration::from_millis(100),
                longest: Duration::from_secs(30),
            },
            listeners: Listeners::default(),
            max_memory: None,
            max_unflushed_bytes: 64 << 20,
            max_uncheckpointed_bytes: None,
            backpressure_wait: None,
            read_mode: ReadMode::default(),
            huge_pages: true,
            status_file: false,
            wal_segment_bytes: 64 << 20,
            wal_spare_bytes: 256 << 20,
            group_bytes: 32 << 20,
            whole_below: 16 << 10,
            max_marks: 1024,
            mark_policy: MarkPolicy::default(),
            retention: Retention::default(),
        }
    }

    /// How many [marks](crate::Store::mark) the store may have. One more is refused with
    /// [`Error::TooManyMarks`], until one is [dropped](crate::Store::drop_mark), unless the
    /// [policy](Self::mark_policy) is another one. A mark takes 12 bytes for each tree in memory, in the log and in a
    /// manifest, besides its name. Default: 1,024.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// use duramen::{Config, Error, Store};
    ///
    /// let store = Store::open(Config::new(dir.path().join("chain")).max_marks(1))?;
    /// store.mark("block 1")?.wait()?;
    /// assert!(matches!(store.mark("block 2"), Err(Error::TooManyMarks { most: 1, .. })));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn max_marks(mut self, marks: usize) -> Self {
        self.max_marks = marks;
        self
    }

    /// What happens to a mark where the store has as many as it may have. Default: [`MarkPolicy::Refuse`].
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// use duramen::{Config, MarkPolicy, Store};
    ///
    /// // A chain that can be rewound by two blocks.
    /// let config = Config::new(dir.path().join("chain")).max_marks(2).mark_policy(MarkPolicy::DropOldest);
    /// let store = Store::open(config)?;
    /// for block in ["block 1", "block 2", "block 3"] {
    ///     store.mark(block)?.wait()?;
    /// }
    /// let names: Vec<_> = store.marks()?.into_iter().map(|mark| mark.name.to_string()).collect();
    /// assert_eq!(names, ["block 2", "block 3"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn mark_policy(mut self, policy: MarkPolicy) -> Self {
        self.mark_policy = policy;
        self
    }

    /// Which leaves the trees keep: the others are pruned in the background. Default: all of them. A tree with a policy of
    /// [its own](Self::retention_of) does not follow this one.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// use duramen::{Config, RetentionPolicy, Store};
    ///
    /// let policy = RetentionPolicy::keep_all().newest(1000);
    /// let store = Store::open(Config::new(dir.path().join("metrics")).retention_policy(policy))?;
    /// let tree = store.tree::<duramen::Blake3, 4>("samples")?;
    /// tree.insert_many(&vec![[1; 32]; 50_000])?;
    /// let head = tree.head()?;
    /// store.checkpoint()?;
    /// while tree.base().get() == 0 {
    ///     std::thread::yield_now();
    /// }
    /// assert_eq!(tree.base().get(), 49_000);
    /// assert_eq!(tree.head()?, head);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn retention_policy(mut self, policy: RetentionPolicy) -> Self {
        self.retention.all = policy;
        self
    }

    /// As [`retention_policy`](Self::retention_policy), for the tree of this name alone.
    #[must_use]
    pub fn retention_of(mut self, tree: TreeName, policy: RetentionPolicy) -> Self {
        self.retention.named.insert(tree, policy);
        self
    }

    /// Whether opening creates a missing store (the default). Otherwise opening fails with
    /// [`Error::NoStore`].
    #[must_use]
    pub fn create(mut self, yes: bool) -> Self {
        self.create = yes;
        self
    }

    /// Adds a hash function of the caller, by its stable name. Opening needs it for trees with leaves in
    /// the log, before the caller opens these trees. The hash functions of this crate are built in. May
    /// be called several times.
    #[must_use]
    pub fn hasher(mut self, hasher: Arc<dyn Hasher>) -> Self {
        self.hashers.add(hasher);
        self
    }

    /// When inserts are made durable. Default: [`FlushPolicy::Interval`] of 10 ms.
    #[must_use]
    pub fn flush_policy(mut self, policy: FlushPolicy) -> Self {
        self.flush = policy;
        self
    }

    /// Has the store say in its log that the last group is durable, once it has written nothing for `pause`. A
    /// reader beside a writer knows that a group is durable when a later group says so. Without this, the last
    /// leaves before a pause are known to be durable after the pause, see
    /// [`Reader::tail`](crate::Reader::tail).
    ///
    /// Costs 4 KiB of the log for each pause, and no sync. Nothing is written if the log has to begin another
    /// segment for it. Default: off.
    ///
    /// ```
    /// use std::time::Duration;
    /// use duramen::Config;
    ///
    /// let config = Config::new("some/directory").claim_idle(Duration::from_millis(100))?;
    /// # let _ = config;
    /// # Ok::<(), duramen::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for a pause of zero.
    pub fn claim_idle(mut self, pause: Duration) -> Result<Self> {
        if pause.is_zero() {
            return Err(Error::config("claim_idle", "the pause (0 s) must be longer than zero"));
        }
        self.claim_idle = Some(pause);
        Ok(self)
    }

    /// When checkpoints are made. Default: at 128 MiB of log, at 32 MiB if the last one is 5 seconds ago,
    /// and at close if there is more than a little log.
    #[must_use]
    pub fn checkpoint_policy(mut self, policy: CheckpointPolicy) -> Self {
        self.checkpoint = policy;
        self
    }

    /// Which syncs a checkpoint uses. Default: [`Install::Strict`].
    #[must_use]
    pub fn install(mut self, install: Install) -> Self {
        self.install = install;
        self
    }

    /// When small parts are merged into larger ones in the background. Default: once there are more
    /// than four of one tier.
    #[must_use]
    pub fn compaction_policy(mut self, policy: CompactionPolicy) -> Self {
        self.compaction = policy;
        self
    }

    /// How many bytes of parts a merge at close may have. A merge of at most this many bytes runs to its
    /// end even while the store closes, and closing makes the remaining merges of this size. A larger
    /// merge begins only once the store has been open for as long as the merge may take, and closing
    /// abandons it. If the number of parts is more than twelve times the limit in the
    /// [`CompactionPolicy`], closing merges the smallest parts whatever their size. So the number of
    /// parts is bounded even if a store is open only briefly each time. Default: 64 MiB.
    #[must_use]
    pub fn merge_at_close_bytes(mut self, bytes: u64) -> Self {
        self.merge_at_close = bytes;
        self
    }

    /// How long to wait before a failed automatic checkpoint or merge is retried: `first`, then twice as
    /// long after each further failure, up to `longest`. Only transient failures are retried, such as a
    /// full disk or too many open files ([`Error::is_transient`]). After a permanent failure nothing
    /// starts automatically until a call of [`checkpoint`](crate::DynAccumulator::checkpoint) succeeds.
    /// Failures of the log are never retried. Default: 100 ms to 30 s.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if `first` is zero, or if `longest` is less than `first`.
    pub fn retry_wait(mut self, first: Duration, longest: Duration) -> Result<Self> {
        const SETTING: &str = "retry_wait";
        if first.is_zero() {
            return Err(Error::config(SETTING, "first is zero"));
        }
        if longest < first {
            let reason = format!("longest ({longest:?}) is less than first ({first:?})");
            return Err(Error::config(SETTING, reason));
        }
        self.backoff = Backoff { first, longest };
        Ok(self)
    }

    /// Adds a listener. A listener receives every event of the store, from the opening on. May be called
    /// several times.
    ///
    /// ```
    /// use duramen::{Config, Event};
    ///
    /// let config = Config::new("some/directory").listener(|event: &Event| {
    ///     if let Event::CheckpointFailed { error, retry_in, .. } = event {
    ///         eprintln!("checkpoint: {error}; next attempt in {retry_in:?}");
    ///     }
    /// });
    /// # let _ = config;
    /// ```
    #[must_use]
    pub fn listener(mut self, listener: impl EventListener) -> Self {
        self.listeners.add(Arc::new(listener));
        self
    }

    /// How many bytes of leaves may wait for the log. At this limit an insert under
    /// [`FlushPolicy::Interval`] waits for the flusher. Under [`FlushPolicy::Manual`] the store hands
    /// the bytes to the operating system without an fsync: the insert does not wait, and nothing is
    /// claimed to be durable. One batch may be larger than the limit. Inserts after a batch of 1 MiB or
    /// more are counted apart from it, so only the next such batch waits for it. Default: 64 MiB.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for 0, which leaves no room for an insert.
    pub fn max_unflushed_bytes(mut self, bytes: u64) -> Result<Self> {
        self.max_unflushed_bytes = room("max_unflushed_bytes", bytes)?;
        Ok(self)
    }

    /// How many bytes of nodes may be in memory without being in a checkpoint.
    ///
    /// An insert requests a checkpoint if more than a quarter of the limit is used, whatever the
    /// checkpoint policy says. The reason is
    /// [`CheckpointReason::Backpressure`](crate::CheckpointReason). If more than a quarter is not even
    /// written yet, inserts slow down increasingly, down to the rate at which checkpoints write, and
    /// merges yield the disk to checkpoints. At the limit an insert waits. If checkpoints fail
    /// permanently, an insert fails with [`Error::CheckpointsFail`]. Under [`FlushPolicy::Manual`] a
    /// checkpoint ends at the last flush. If the nodes since then alone reach the limit, an insert fails
    /// with [`Error::Backpressure`] and [`Limit::UnnamedBytes`](crate::Limit::UnnamedBytes). One batch
    /// may be larger than the limit.
    ///
    /// Default: 1 GiB if the checkpoint policy has a trigger besides closing. Otherwise there is no
    /// limit, so a program that makes its own checkpoints gets no others.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for 0, which leaves no room for an insert.
    pub fn max_uncheckpointed_bytes(mut self, bytes: u64) -> Result<Self> {
        self.max_uncheckpointed_bytes = Some(room("max_uncheckpointed_bytes", bytes)?);
        Ok(self)
    }

    /// How long an insert waits at a limit before it fails with [`Error::Backpressure`]. Default:
    /// without end. Where the system lets no thread start, the insert makes the checkpoint or the merge itself, which may take
    /// longer.
    #[must_use]
    pub fn backpressure_wait(mut self, wait: Duration) -> Self {
        self.backpressure_wait = Some(wait);
        self
    }

    /// How parts are read: mapped into memory, or by reads that can fail. Applies to everything that
    /// reads parts: proofs, merges, read-only readers, [`scrub`](crate::scrub). The results are the
    /// same. The log and the manifests are never mapped. Default: [`ReadMode::Mapped`].
    ///
    /// ```
    /// use duramen::{Config, ReadMode};
    ///
    /// let config = Config::new("some/directory").read_mode(ReadMode::Pread);
    /// # let _ = config;
    /// ```
    #[must_use]
    pub fn read_mode(mut self, mode: ReadMode) -> Self {
        self.read_mode = mode;
        self
    }

    /// Whether to request huge pages for nodes in memory that will be filled. Huge pages make filling
    /// faster. Memory is then allocated and freed in steps of 2 MiB. Default: yes.
    #[must_use]
    pub fn huge_pages(mut self, yes: bool) -> Self {
        self.huge_pages = yes;
        self
    }

    /// Whether the store writes its figures to the file `STATUS` in its directory, so that other processes can read them
    /// ([`inspect::status`](crate::inspect::status), `duramen stats`). The thread that writes the log writes the file
    /// after something has changed, at most every 100 ms. No insert waits for that, nothing is synced, and a store
    /// without work writes nothing. Under [`FlushPolicy::Manual`] leaves that come after a pause show with the next flush or
    /// checkpoint. Default: no.
    ///
    /// ```
    /// use duramen::{Accumulator, Blake3, Config, inspect};
    ///
    /// let dir = tempfile::tempdir()?;
    /// let config = Config::new(dir.path().join("log")).status_file(true);
    /// let log: Accumulator<Blake3, 4> = Accumulator::open(config.clone())?;
    /// log.insert([7; 32])?;
    /// log.close()?;
    /// let status = inspect::status(&config)?.ok_or("no status")?;
    /// assert_eq!((status.stats.durable, status.running), (1, false));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn status_file(mut self, yes: bool) -> Self {
        self.status_file = yes;
        self
    }

    /// The largest size of a log segment, in bytes. The first segment of a store has 256 KiB. Each next
    /// segment is twice as large as the last one if the last one was filled. Default: 64 MiB.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for less than 8 KiB, which two groups take.
    pub fn wal_segment_bytes(mut self, bytes: u64) -> Result<Self> {
        if bytes < LEAST_SEGMENT_BYTES {
            let reason = format!("{bytes} is less than {LEAST_SEGMENT_BYTES}");
            return Err(Error::config("wal_segment_bytes", reason));
        }
        self.wal_segment_bytes = bytes;
        Ok(self)
    }

    /// How many bytes of unneeded log segments are kept for reuse. Overwriting them is faster than
    /// writing new files. Default: 256 MiB. That is twice the log between two checkpoints under the
    /// default policy.
    #[must_use]
    pub fn wal_spare_bytes(mut self, bytes: u64) -> Self {
        self.wal_spare_bytes = bytes;
        self
    }

    /// Uses another file system than the operating system's, such as a simulated disk.
    #[cfg(any(test, feature = "testing"))]
    #[must_use]
    pub fn file_system(mut self, place: Arc<dyn Place>) -> Self {
        self.place = place;
        self
    }

    /// A group of the log with at least this many bytes of leaves is written in pieces. Default: 32 MiB.
    #[cfg(any(test, feature = "testing"))]
    #[must_use]
    pub fn wal_group_bytes(mut self, bytes: u64) -> Self {
        self.group_bytes = bytes;
        self
    }

    /// A manifest is written whole unless its base has at least this many bytes. Default: 16 KiB.
    #[cfg(any(test, feature = "testing"))]
    #[must_use]
    pub fn whole_manifests_below(mut self, bytes: u64) -> Self {
        self.whole_below = bytes;
        self
    }

    /// Opens the directory of an existing store. A caller that looks at a store several times keeps the
    /// result, so that it always looks at the same directory.
    ///
    /// # Errors
    ///
    /// [`NoStore`](Error::NoStore) if there is no directory.
    pub(crate) fn bind(&self) -> Result<Arc<dyn FileSystem>> {
        self.place.bind().map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Error::NoStore { path: self.path.clone() },
            _ => Error::io("open the directory", &self.path, error),
        })
    }

    /// Opens the directory, or creates it.
    pub(crate) fn make(&self) -> Result<Arc<dyn FileSystem>> {
        self.place.make().map_err(|error| Error::io("create", &self.path, error))
    }
}
