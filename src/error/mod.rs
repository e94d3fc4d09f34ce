//! Errors, as sentences with facts.

mod displaced;
mod feature;
mod limit;
mod path;
mod printable;

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

pub use displaced::{Displaced, Displacement};
pub use feature::FormatFeature;
pub use limit::Limit;
pub(crate) use path::PathError;
pub use printable::Printable;

use crate::merkle::{LeafIndex, Level, ProveError, TreeName, TreeNameError, TreeSize};
use crate::words;

/// The result of most calls of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of a store. Cloning is cheap: one failed flush answers many waiters.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A configuration value that cannot work.
    #[error("invalid configuration: {setting}: {reason}")]
    Config {
        /// The setting, by the name of the call that sets it.
        setting: &'static str,
        /// Its value, and what is wrong with it.
        reason: String,
    },

    /// A call to the operating system failed.
    #[error("cannot {action} {}{}", Printable::new(path), at_byte(*offset))]
    Io {
        /// What was being done, as a verb.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// Where in the file, in bytes from its start, if it was a place of a part that was read.
        offset: Option<u64>,
        /// What the system said.
        #[source]
        source: Arc<io::Error>,
    },

    /// The store is open already, here or in another process.
    #[error("the store {} is already open", Printable::new(path))]
    Locked {
        /// The store's directory.
        path: PathBuf,
    },

    /// There is no store in the directory, and the call does not create one.
    #[error("there is no store in {}", Printable::new(path))]
    NoStore {
        /// The directory.
        path: PathBuf,
    },

    /// The directory holds something other than a store. Nothing was changed in it.
    #[error("{} is not a duramen store: it holds {}", Printable::new(path), Printable::new(found))]
    NotAStore {
        /// The directory.
        path: PathBuf,
        /// The first name that was found in it.
        found: OsString,
    },

    /// A copy of a store was to be made in a directory that holds something. Nothing was changed in
    /// it.
    #[error("{} is not empty: it holds {}", Printable::new(path), Printable::new(found))]
    NotEmpty {
        /// The directory.
        path: PathBuf,
        /// The first name that was found in it.
        found: OsString,
    },

    /// A name in the store's directory, or the directory itself, is not what this process opened or
    /// put there any more: another process moved the directory, removed the lock file, or put something in the
    /// place of a file. Nothing was changed, neither there nor in what the path leads to now. A store
    /// that is open for writing is poisoned; what was acknowledged stands in the directory that it
    /// was opened in.
    #[error(transparent)]
    Displaced(Displaced),

    /// The path leads to another store than the one that was opened there. What was read before stays.
    #[error(
        "{} now holds store {found}, not store {opened}, which was opened there",
        Printable::new(path)
    )]
    OtherStore {
        /// The store's directory.
        path: PathBuf,
        /// The store that was opened, by its id.
        opened: String,
        /// The store that is there now.
        found: String,
    },

    /// The tree was made with another hash function.
    #[error(
        "the tree {tree:?} of the store {} was made with hasher {} and cannot be opened with {asked}",
        Printable::new(path),
        Printable::new(stored)
    )]
    HasherMismatch {
        /// The store's directory.
        path: PathBuf,
        /// The tree.
        tree: TreeName,
        /// The hasher that the tree has.
        stored: String,
        /// The hasher it was opened with.
        asked: String,
    },

    /// The tree was made with another arity.
    #[error(
        "the tree {tree:?} of the store {} was made with arity {stored} and cannot be opened with {asked}",
        Printable::new(path)
    )]
    ArityMismatch {
        /// The store's directory.
        path: PathBuf,
        /// The tree.
        tree: TreeName,
        /// The arity that the tree has.
        stored: u32,
        /// The arity it was opened with.
        asked: u32,
    },

    /// The store has no tree of this name, and the call does not create one.
    #[error("there is no tree {tree:?} in the store {}", Printable::new(path))]
    NoTree {
        /// The store's directory.
        path: PathBuf,
        /// The name.
        tree: TreeName,
    },

    /// No tree can have this name.
    #[error(transparent)]
    TreeName(#[from] TreeNameError),

    /// The tree was sealed: it takes no more leaves. Nothing was inserted.
    #[error("the tree {tree:?} is sealed and takes no more leaves")]
    TreeSealed {
        /// The tree.
        tree: TreeName,
    },

    /// The tree was dropped. Nothing was inserted. What was loaded of it can still be read.
    #[error("the tree {tree:?} was dropped")]
    TreeDropped {
        /// The tree.
        tree: TreeName,
    },

    /// A batch has leaves for a tree of another store, or of this one before it was opened again. Nothing was
    /// inserted.
    #[error("the tree {tree:?} is not one of the store that the batch is for")]
    ForeignTree {
        /// The tree.
        tree: TreeName,
    },

    /// The store has given out every number that a tree can have, 2^32 of them.
    #[error(
        "the store {} has created 4294967296 trees and can create no more",
        Printable::new(path)
    )]
    TooManyTrees {
        /// The store's directory.
        path: PathBuf,
    },

    /// The tree has a hash function that neither the crate has nor the caller has given: see
    /// [`Config::hasher`](crate::Config::hasher).
    #[error(
        "the tree {tree:?} of the store {} has hasher {}, which is not known here",
        Printable::new(path),
        Printable::new(hasher)
    )]
    UnknownHasher {
        /// The store's directory.
        path: PathBuf,
        /// The tree.
        tree: TreeName,
        /// The stable name of its hash function.
        hasher: String,
    },

    /// A file of a format that this version cannot read: it is intact, and another program wrote it.
    #[error(
        "{} has {feature} {found}; this program reads {}{supported}",
        Printable::new(path),
        feature.reads()
    )]
    UnknownFormat {
        /// The file.
        path: PathBuf,
        /// What of it is not known.
        feature: FormatFeature,
        /// Its number in the file.
        found: u32,
        /// The version this crate reads, or the highest number that it knows.
        supported: u32,
    },

    /// A file that belongs to the store is missing or holds something it must not.
    #[error(transparent)]
    Damaged(#[from] Box<Damage>),

    /// A node that should be there was found neither in memory nor in a part: a defect of this crate
    /// or of the machine's memory.
    #[error("node {index} of level {level} is neither in memory nor in a part")]
    NodeAbsent {
        /// The node's level.
        level: Level,
        /// The node's place in it.
        index: u64,
    },

    /// An index at or beyond the size it was asked at.
    #[error("index {index} is not in a tree of size {size}")]
    IndexOutOfRange {
        /// The index asked for.
        index: LeafIndex,
        /// The size of the tree.
        size: TreeSize,
    },

    /// A size that the tree does not have yet.
    #[error("size {size} is beyond the tree's {}", words::leaves(current.0))]
    SizeOutOfRange {
        /// The size asked for.
        size: TreeSize,
        /// The current size.
        current: TreeSize,
    },

    /// A proof that a larger tree is a prefix of a smaller one was asked for.
    #[error("a tree of {} is not a prefix of one of {}: it is larger", words::leaves(old.0), words::leaves(new.0))]
    OldBeyondNew {
        /// The size of the old tree.
        old: TreeSize,
        /// The size of the new tree.
        new: TreeSize,
    },

    /// There is no memory for so many leaves at once. Fewer can be read.
    #[error("there is no memory for {} at once", words::leaves(*leaves))]
    NoMemory {
        /// The leaves requested.
        leaves: u64,
    },

    /// A proof of many leaves was asked for, and no index was given.
    #[error("a proof needs at least one index")]
    NoIndexes,

    /// A leaf that the hash function cannot take. Nothing of its batch was inserted.
    #[error("leaf {position} of the batch is not a value that hasher {hasher} takes")]
    LeafRefused {
        /// The leaf's position in its batch, from 0.
        position: usize,
        /// The hasher's name.
        hasher: String,
    },

    /// Writing the log failed earlier. The store accepts nothing more; reads go on. Acknowledged leaves
    /// are safe: reopen the store once the cause is gone.
    #[error("the store is poisoned by an earlier failure")]
    Poisoned {
        /// The failure.
        #[source]
        source: Arc<Error>,
    },

    /// A background thread ended by a panic: a defect of this crate.
    #[error("the {thread} thread panicked")]
    ThreadPanicked {
        /// The thread.
        thread: &'static str,
    },

    /// Code that was called for this purpose panicked: the hash function, the file system, or this crate by
    /// a defect. Its result is not used.
    #[error("code that was called during a {during} panicked")]
    Panicked {
        /// The purpose.
        during: &'static str,
    },

    /// The call was made in a process that was forked from the one that opened the store. The store
    /// stays the parent's; nothing was changed. A child opens its own stores.
    #[error(
        "the store was opened by process {opened_by} and cannot be used in process {process}, which is a fork of it"
    )]
    Forked {
        /// The process that opened the store.
        opened_by: u32,
        /// The process that called.
        process: u32,
    },

    /// The store was closed before the call, or before the leaf was durable.
    #[error("the store is closed")]
    Closed,

    /// The call would have waited for the thread that it was made on, and so forever: one of the store's
    /// own threads called an event listener or a waker, which made the call. Nothing was done, except by
    /// [`close`](crate::Accumulator::close): see there.
    #[error("{call} was called on the store's {thread} thread, for which it would have to wait")]
    WouldWaitForItself {
        /// What was called.
        call: &'static str,
        /// The thread: the flusher, which writes the log, or a worker.
        thread: &'static str,
    },

    /// A limit is reached, and waiting for room took longer than configured. Nothing was inserted.
    #[error("no room after {waited:?}: {}, {allowed} allowed", limit.held(*held))]
    Backpressure {
        /// The limit.
        limit: Limit,
        /// What is held, in the limit's unit.
        held: u64,
        /// What is allowed.
        allowed: u64,
        /// How long the call waited.
        waited: Duration,
    },

    /// The insert would have had to wait, and [`try_insert`](crate::DynAccumulator::try_insert) does not.
    /// Nothing was inserted. What makes room was requested.
    #[error("the insert would have to wait: there are as many {limit} as there may be for now")]
    WouldBlock {
        /// The limit that is reached or near.
        limit: Limit,
        /// When to insert next, where inserts are slowed down; `None` where they stop until there is room.
        retry_in: Option<Duration>,
    },

    /// There is room only after a checkpoint, and the last one failed permanently. Nothing was inserted.
    /// Once a call of `checkpoint` succeeds, inserts go on.
    #[error(
        "{} for a checkpoint, and checkpoints fail",
        words::count(*held, "byte waits", "bytes wait")
    )]
    CheckpointsFail {
        /// Bytes of nodes that no checkpoint holds.
        held: u64,
        /// Why the last one failed.
        #[source]
        source: Arc<Error>,
    },
}

impl Error {
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        if let Some(displaced) = Displaced::find(&source) {
            return Self::Displaced(displaced.clone());
        }
        // What the system's file system failed with knows the call and the path better.
        match source.downcast::<PathError>() {
            Ok(PathError { action, path, source }) => {
                Self::Io { action, path, offset: None, source: Arc::new(source) }
            }
            Err(source) => {
                Self::Io { action, path: path.into(), offset: None, source: Arc::new(source) }
            }
        }
    }

    /// As [`io`](Self::io), of the bytes from `offset` on.
    pub(crate) fn io_at(
        action: &'static str,
        path: impl Into<PathBuf>,
        offset: u64,
        source: io::Error,
    ) -> Self {
        let offset = Some(offset);
        Self::Io { action, path: path.into(), offset, source: Arc::new(source) }
    }

    /// Whether this may pass without a change to the store: the disk or a quota is full, too many files
    /// are open, memory is short, a call was interrupted or timed out. An automatic checkpoint or a merge
    /// that fails with such an error is retried later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        use io::ErrorKind;
        let Self::Io { source, .. } = self else { return false };
        let open_files = [rustix::io::Errno::MFILE, rustix::io::Errno::NFILE];
        let number = os_error(source);
        open_files.iter().any(|errno| number == Some(errno.raw_os_error()))
            || matches!(
                source.kind(),
                ErrorKind::StorageFull
                    | ErrorKind::QuotaExceeded
                    | ErrorKind::Interrupted
                    | ErrorKind::WouldBlock
                    | ErrorKind::TimedOut
                    | ErrorKind::OutOfMemory
                    | ErrorKind::ResourceBusy
            )
    }

    pub(crate) fn poisoned(source: &Arc<Self>) -> Self {
        Self::Poisoned { source: Arc::clone(source) }
    }
}

fn at_byte(offset: Option<u64>) -> String {
    offset.map_or_else(String::new, |offset| format!(" at byte {offset}"))
}

/// The operating system's number of an error, also of one that is wrapped to say more.
fn os_error(error: &io::Error) -> Option<i32> {
    error.raw_os_error().or_else(|| {
        let source = std::error::Error::source(error)?;
        os_error(source.downcast_ref()?)
    })
}

/// What is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The file.
    pub file: PathBuf,
    /// Where in it, in bytes from its start.
    pub offset: u64,
    /// What was found there.
    pub problem: Problem,
}

/// The kinds of damage.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Problem {
    /// The bytes do not match their checksum.
    Checksum {
        /// The checksum that stands in the file.
        stored: u64,
        /// The checksum of the bytes as they are.
        computed: u64,
    },
    /// A field has a value it must not have.
    Field {
        /// The field.
        field: &'static str,
        /// What it must be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// The file ends too early.
    Truncated {
        /// The length that is needed, in bytes.
        expected: u64,
        /// The length it has.
        found: u64,
    },
    /// Hardly any of the bytes are on the disk: the file has holes where something must stand.
    Hollow {
        /// The bytes that are needed.
        expected: u64,
        /// Those of them that the disk holds.
        found: u64,
    },
    /// The file is not there.
    Missing,
    /// The bytes do not come off the disk.
    Unreadable {
        /// What the system said.
        reason: String,
    },
    /// A node is not the hash of its children, and its block and theirs match their checksums.
    NotTheHash {
        /// The node's level; its children are one level below.
        level: Level,
        /// The node's place in it.
        index: u64,
    },
}

impl Damage {
    pub(crate) fn new(file: impl Into<PathBuf>, offset: u64, problem: Problem) -> Box<Self> {
        Box::new(Self { file: file.into(), offset, problem })
    }

    pub(crate) fn field(
        file: &Path,
        offset: u64,
        field: &'static str,
        expected: impl fmt::Display,
        found: impl fmt::Display,
    ) -> Box<Self> {
        let problem =
            Problem::Field { field, expected: expected.to_string(), found: found.to_string() };
        Self::new(file, offset, problem)
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, offset, problem } = self;
        let file = Printable::new(file);
        match problem {
            Problem::Checksum { stored, computed } => write!(
                f,
                "checksum mismatch in {file} at byte {offset}: stored {stored:#018x}, computed {computed:#018x}"
            ),
            Problem::Field { field, expected, found } => {
                write!(
                    f,
                    "wrong {field} in {file} at byte {offset}: expected {expected}, found {found}"
                )
            }
            Problem::Truncated { expected, found } => {
                write!(
                    f,
                    "{file} is cut short: expected {}, found {found}",
                    words::bytes(*expected)
                )
            }
            Problem::Hollow { expected, found } => write!(
                f,
                "{file} is hollow from byte {offset} on: of {} the disk holds {found}",
                words::bytes(*expected)
            ),
            Problem::Missing => write!(f, "{file} is missing"),
            Problem::Unreadable { reason } => {
                write!(f, "cannot read {file} at byte {offset}: {reason}")
            }
            Problem::NotTheHash { level, index } => write!(
                f,
                "node {index} of level {level} in {file} at byte {offset} is not the hash of its children"
            ),
        }
    }
}

impl std::error::Error for Damage {}

/// Why a node could not be read.
#[derive(Clone, Debug)]
pub(crate) enum ReadError {
    /// The part that holds it is damaged.
    Damaged(Box<Damage>),
    /// The part that holds it cannot be read.
    Failed(Box<Error>),
    /// It is nowhere.
    Absent { level: Level, at: u64 },
}

impl From<ReadError> for Error {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Damaged(damage) => Self::Damaged(damage),
            ReadError::Failed(error) => *error,
            ReadError::Absent { level, at } => Self::NodeAbsent { level, index: at },
        }
    }
}

impl From<ProveError<ReadError>> for Error {
    fn from(error: ProveError<ReadError>) -> Self {
        match error {
            ProveError::IndexBeyondSize { index, size } => Self::IndexOutOfRange { index, size },
            ProveError::NoIndexes => Self::NoIndexes,
            ProveError::OldBeyondNew { old, new } => Self::OldBeyondNew { old, new },
            ProveError::Source(error) => error.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merkle::codec::{ClaimError, DecodeError};
    use crate::merkle::{FrontierError, VerifyError};
    use crate::report::RecoveryReport;

    #[test]
    fn an_error_about_one_thing_has_the_singular() {
        let limits =
            [Limit::UnflushedBytes, Limit::UncheckpointedBytes, Limit::UnnamedBytes, Limit::Parts];
        let no_room = |limit| {
            let waited = Duration::ZERO;
            Error::Backpressure { limit, held: 1, allowed: 1, waited }.to_string()
        };
        let damage = |problem| Damage { file: "f".into(), offset: 0, problem }.to_string();
        let (index, size, one) = (LeafIndex(7), TreeSize(1), TreeSize(1));
        let closed = Arc::new(Error::Closed);
        let mut texts = vec![
            Error::SizeOutOfRange { size: TreeSize(7), current: one }.to_string(),
            Error::OldBeyondNew { old: TreeSize(2), new: one }.to_string(),
            Error::NoMemory { leaves: 1 }.to_string(),
            Error::CheckpointsFail { held: 1, source: closed }.to_string(),
            damage(Problem::Truncated { expected: 1, found: 0 }),
            damage(Problem::Hollow { expected: 1, found: 0 }),
            VerifyError::IndexBeyondSize { index, size }.to_string(),
            VerifyError::OldBeyondNew { old: TreeSize(2), new: one }.to_string(),
            VerifyError::OtherSize { claimed: one, trusted: TreeSize(2) }.to_string(),
            VerifyError::OtherIndexes { claimed: 1, asked: 2 }.to_string(),
            VerifyError::HashCount { expected: 2, found: 1 }.to_string(),
            VerifyError::HashesMissing { found: 1 }.to_string(),
            VerifyError::RootMismatch { size, computed: [0; 32], trusted: [1; 32] }.to_string(),
            ClaimError::IndexBeyondSize { index, size }.to_string(),
            ClaimError::OldBeyondNew { old: TreeSize(2), new: one }.to_string(),
            ClaimError::HashCount { expected: 2, found: 1 }.to_string(),
            ClaimError::HashesMissing { found: 1 }.to_string(),
            DecodeError::Truncated { found: 1 }.to_string(),
            DecodeError::HashesMissing { found: 1 }.to_string(),
            DecodeError::HashBytes { expected: 2, found: 1 }.to_string(),
            FrontierError::NodeCount { size, expected: 1, found: 1 }.to_string(),
            FrontierError::Full { size, more: 1 }.to_string(),
            crate::tlog::TlogError::NotSignedByKnownKey { signatures: 1 }.to_string(),
            RecoveryReport {
                checkpointed: 1,
                replayed_leaves: 1,
                replayed_groups: 1,
                dropped_leaves: 1,
                removed: vec!["f".into()],
                ..RecoveryReport::default()
            }
            .to_string(),
        ];
        texts.extend(limits.map(no_room));
        let plurals = ["leaves", "bytes", "parts", "hashes", "nodes", "indexes", "groups", "files"];
        for text in texts {
            let words: Vec<&str> = text.split(' ').collect();
            for pair in words.windows(2).filter(|pair| pair[0] == "1") {
                assert!(!plurals.contains(&pair[1].trim_end_matches([',', ';'])), "{text}");
            }
            assert!(!text.contains("1 unflushed bytes"), "{text}");
        }
    }
}
