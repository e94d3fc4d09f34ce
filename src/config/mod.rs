//! How a store is opened.

mod checkpoint;
mod compaction;
mod flush;
mod read_mode;
mod retry;
mod tree;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub(crate) use checkpoint::Since;
pub use checkpoint::{CheckpointPolicy, Install};
pub use compaction::CompactionPolicy;
pub use flush::FlushPolicy;
pub use read_mode::ReadMode;
pub(crate) use retry::Backoff;
pub use tree::TreeConfig;

use crate::error::{Error, Result};
use crate::fs::{FileSystem, OsPlace, Place};
use crate::hashers::Hashers;
use crate::merkle::Hasher;
use crate::report::{EventListener, Listeners};

/// How a store is opened: where, and under which policies.
///
/// **File size limits.** A write beyond `RLIMIT_FSIZE` raises SIGXFSZ, which ends a process that does nothing
/// about it. With a handler, or with the signal ignored, the write fails with `EFBIG` and is an error like
/// any other; the program `duramen` has a handler. This crate sets none: signals belong to the program.
///
/// ```
/// use std::time::Duration;
/// use duramen::{CheckpointPolicy, Config, FlushPolicy};
///
/// let config = Config::new("some/directory")
///     .flush_policy(FlushPolicy::Interval(Duration::from_millis(5)))
///     .checkpoint_policy(CheckpointPolicy::manual().wal_bytes(1 << 30));
/// # let _ = config;
/// ```
#[derive(Clone, Debug)]
pub struct Config {
    pub(crate) place: Arc<dyn Place>,
    pub(crate) path: PathBuf,
    pub(crate) create: bool,
    /// Those of the caller's own.
    pub(crate) hashers: Hashers,
    pub(crate) flush: FlushPolicy,
    pub(crate) checkpoint: CheckpointPolicy,
    pub(crate) install: Install,
    pub(crate) compaction: CompactionPolicy,
    pub(crate) merge_at_close: u64,
    pub(crate) backoff: Backoff,
    pub(crate) listeners: Listeners,
    pub(crate) max_unflushed_bytes: u64,
    pub(crate) max_uncheckpointed_bytes: Option<u64>,
    pub(crate) max_parts: Option<u64>,
    pub(crate) backpressure_wait: Option<Duration>,
    pub(crate) read_mode: ReadMode,
    pub(crate) huge_pages: bool,
    pub(crate) wal_segment_bytes: u64,
    pub(crate) wal_spare_bytes: u64,
    /// Bytes of leaves from which on a group of the log is written in pieces.
    pub(crate) group_bytes: u64,
}

/// Bytes of the smallest log segment: two groups.
pub(crate) const LEAST_SEGMENT_BYTES: u64 = 8 << 10;

impl Config {
    /// The store in directory `path`, which is created where it is missing, under the default
    /// policies.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        Self {
            place: Arc::new(OsPlace::new(path.clone())),
            path,
            create: true,
            hashers: Hashers::default(),
            flush: FlushPolicy::default(),
            checkpoint: CheckpointPolicy::default(),
            install: Install::default(),
            compaction: CompactionPolicy::default(),
            merge_at_close: 64 << 20,
            backoff: Backoff {
                first: Duration::from_millis(100),
                longest: Duration::from_secs(30),
            },
            listeners: Listeners::default(),
            max_unflushed_bytes: 64 << 20,
            max_uncheckpointed_bytes: None,
            max_parts: None,
            backpressure_wait: None,
            read_mode: ReadMode::default(),
            huge_pages: true,
            wal_segment_bytes: 64 << 20,
            wal_spare_bytes: 256 << 20,
            group_bytes: 32 << 20,
        }
    }

    /// Whether a store that is not there is created (the default), or opening it fails with
    /// [`Error::NoStore`].
    #[must_use]
    pub fn create(mut self, yes: bool) -> Self {
        self.create = yes;
        self
    }

    /// Adds a hash function of the caller's own, by its stable name, for trees that the store finds in its files
    /// before anybody asks for them: those that the log has leaves of. The hash functions of this crate are
    /// known. May be called several times.
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

    /// When checkpoints are made. Default: at 128 MiB of log and on close.
    #[must_use]
    pub fn checkpoint_policy(mut self, policy: CheckpointPolicy) -> Self {
        self.checkpoint = policy;
        self
    }

    /// Which syncs installing a checkpoint takes. Default: [`Install::Strict`].
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

    /// How many bytes of parts closing may merge. A merge of so many bytes or fewer runs to its end also while
    /// the store closes, and closing makes the merges that are left. A larger merge begins only once the store
    /// has been open for as long as the merge may take, and closing abandons it. Where there are more than
    /// twelve times as many parts as the [`CompactionPolicy`] says, closing merges the smallest ones whatever
    /// their bytes, so the number of parts is bounded however short the runs of a store are. Default: 64 MiB.
    #[must_use]
    pub fn merge_at_close_bytes(mut self, bytes: u64) -> Self {
        self.merge_at_close = bytes;
        self
    }

    /// How long to wait before an automatic checkpoint or a merge that failed is retried: `first`, then
    /// twice as long after each further failure, up to `longest`. Only transient failures are retried,
    /// such as a full disk or too many open files ([`Error::is_transient`]). After a permanent one
    /// nothing starts automatically until a call of [`checkpoint`](crate::DynAccumulator::checkpoint)
    /// succeeds. Failures of the log are never retried. Default: 100 ms to 30 s.
    #[must_use]
    pub fn retry_wait(mut self, first: Duration, longest: Duration) -> Self {
        self.backoff = Backoff { first, longest };
        self
    }

    /// Adds a listener, which receives every event of the store from opening it on. May be called several
    /// times.
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

    /// How many bytes of leaves may wait for the log. At the bound, an insert under
    /// [`FlushPolicy::Interval`] waits for the flusher; under [`FlushPolicy::Manual`] the bytes are
    /// handed to the operating system without an fsync, so that inserts need not wait and nothing is
    /// claimed to be durable. One batch may be larger than the bound; what is inserted behind a batch of 1 MiB or
    /// more counts apart from it, so that only the next such batch waits for it. Default: 64 MiB.
    #[must_use]
    pub fn max_unflushed_bytes(mut self, bytes: u64) -> Self {
        self.max_unflushed_bytes = bytes;
        self
    }

    /// How many bytes of nodes may be in memory that no checkpoint holds yet.
    ///
    /// An insert that finds more than a quarter of the limit requests a checkpoint, whatever the
    /// checkpoint policy says, with [`CheckpointReason::Backpressure`](crate::CheckpointReason). While
    /// more than a quarter is not even written, inserts slow down, the more the more that is, to the
    /// rate at which checkpoints write, and merges yield the disk to checkpoints. At the limit an insert
    /// waits. If checkpoints fail permanently, it fails with [`Error::CheckpointsFail`]. Under
    /// [`FlushPolicy::Manual`] a checkpoint reaches no further than the last flush: an insert that finds the
    /// limit reached by what came since fails with [`Error::Backpressure`] and
    /// [`Limit::UnnamedBytes`](crate::Limit::UnnamedBytes). One batch may be larger than the limit.
    ///
    /// Default: 1 GiB if the checkpoint policy has a trigger besides closing; else none, so that a
    /// program that calls for its checkpoints gets no others.
    #[must_use]
    pub fn max_uncheckpointed_bytes(mut self, bytes: u64) -> Self {
        self.max_uncheckpointed_bytes = Some(bytes);
        self
    }

    /// How many parts there may be before inserts wait for merges. They slow down from three quarters
    /// of it on. Without effect while the [`CompactionPolicy`] is `Off` or merges fail permanently:
    /// nothing would make the parts fewer then. Default: 1000, or twice what merging may leave if that
    /// is more.
    #[must_use]
    pub fn max_parts(mut self, parts: u64) -> Self {
        self.max_parts = Some(parts);
        self
    }

    /// How long an insert waits at a limit before it fails with [`Error::Backpressure`]. Default: as
    /// long as it takes.
    #[must_use]
    pub fn backpressure_wait(mut self, wait: Duration) -> Self {
        self.backpressure_wait = Some(wait);
        self
    }

    /// How parts are read: mapped into memory, or by reads that can fail. Applies to everything that
    /// reads them: proofs, merges, read-only readers, [`scrub`](crate::scrub). Answers are the same. The log
    /// and manifests are never mapped. Default: [`ReadMode::Mapped`].
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

    /// Whether to request huge pages from the system for nodes in memory, where they will be filled. They
    /// make filling faster; memory is then allocated and freed in steps of 2 MiB. Default: yes.
    #[must_use]
    pub fn huge_pages(mut self, yes: bool) -> Self {
        self.huge_pages = yes;
        self
    }

    /// The size that log segments grow to, in bytes. The first of a store is 256 KiB, each next one
    /// twice as large as the last if that was filled. Default: 64 MiB.
    #[must_use]
    pub fn wal_segment_bytes(mut self, bytes: u64) -> Self {
        self.wal_segment_bytes = bytes;
        self
    }

    /// How many bytes of log segments that are no longer needed are kept for reuse.
    /// Overwriting them is faster than writing new files. Default: 256 MiB, twice the log that
    /// the default policy lets grow between two checkpoints.
    #[must_use]
    pub fn wal_spare_bytes(mut self, bytes: u64) -> Self {
        self.wal_spare_bytes = bytes;
        self
    }

    /// Puts the store in another place than the operating system's file systems: on a simulated disk.
    #[cfg(any(test, feature = "testing"))]
    #[must_use]
    pub fn file_system(mut self, place: Arc<dyn Place>) -> Self {
        self.place = place;
        self
    }

    /// From so many bytes of leaves on a group of the log is written in pieces. Default: 32 MiB.
    #[cfg(any(test, feature = "testing"))]
    #[must_use]
    pub fn wal_group_bytes(mut self, bytes: u64) -> Self {
        self.group_bytes = bytes;
        self
    }

    /// Finds the directory of a store that is there. Whoever looks at a store several times keeps it,
    /// so that all looks are at one directory.
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

    /// Finds the directory, or makes it.
    pub(crate) fn make(&self) -> Result<Arc<dyn FileSystem>> {
        self.place.make().map_err(|error| Error::io("create", &self.path, error))
    }

    /// Refuses values that cannot work.
    pub(crate) fn check(&self) -> Result<()> {
        let refuse = |setting, reason: String| Err(Error::Config { setting, reason });
        if self.flush == FlushPolicy::Interval(Duration::ZERO) {
            let reason =
                "an interval of zero; use insert_durable where every insert must be durable";
            return refuse("flush_policy", reason.to_owned());
        }
        if let Some(fault) = self.checkpoint.fault() {
            return refuse("checkpoint_policy", fault.to_owned());
        }
        if let Some(fault) = self.compaction.fault() {
            return refuse("compaction_policy", fault);
        }
        let Backoff { first, longest } = self.backoff;
        if first.is_zero() {
            return refuse("retry_wait", "first is zero".to_owned());
        }
        if longest < first {
            let reason = format!("longest ({longest:?}) is less than first ({first:?})");
            return refuse("retry_wait", reason);
        }
        if self.max_unflushed_bytes == 0 {
            return refuse("max_unflushed_bytes", "0 leaves no room for an insert".to_owned());
        }
        if self.max_uncheckpointed_bytes == Some(0) {
            return refuse("max_uncheckpointed_bytes", "0 leaves no room for an insert".to_owned());
        }
        if let CompactionPolicy::Tiered(fan_in) = self.compaction
            && let Some(parts) = self.max_parts
            && parts - parts / 4 <= self.compaction.most()
        {
            let most = self.compaction.most();
            return refuse(
                "max_parts",
                format!(
                    "inserts slow down from three quarters of {parts} on, and compaction_policy \
                     Tiered({fan_in}) may leave {most} parts"
                ),
            );
        }
        if self.wal_segment_bytes < LEAST_SEGMENT_BYTES {
            let bytes = self.wal_segment_bytes;
            let reason = format!("{bytes} is less than {LEAST_SEGMENT_BYTES}");
            return refuse("wal_segment_bytes", reason);
        }
        Ok(())
    }
}
