//! The errors of the crate. Each is a sentence with facts.

mod damage;
mod displaced;
mod feature;
mod kind;
mod limit;
mod lock_owner;
mod other_beginning;
mod path;
mod printable;
mod read;

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

pub use damage::{Damage, Problem};
pub use displaced::{Displaced, Displacement};
pub use feature::FormatFeature;
pub use kind::ErrorKind;
pub use limit::Limit;
pub use lock_owner::LockOwner;
pub use other_beginning::OtherBeginning;
pub(crate) use path::PathError;
pub use printable::Printable;
pub(crate) use read::ReadError;

use crate::mark::{MarkName, MarkNameError};
use crate::merkle::{Arity, LeafIndex, Level, Subtree, TreeName, TreeNameError, TreeSize};
use crate::words;

/// The result of most calls of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of a store. Cloning is cheap: one failed flush answers many waiters.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A configuration value that cannot work. The call that was given the value returns this error.
    #[error("invalid configuration: {setting}: {reason}")]
    Config {
        /// The setting, by the name of the call that sets it.
        setting: &'static str,
        /// The value, and what is wrong with it.
        reason: String,
    },

    /// A call to the operating system failed.
    #[error("cannot {action} {}{}", Printable::new(path), at_byte(*offset))]
    Io {
        /// The operation, as a verb.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The offset in the file, in bytes. Set if a part was being read.
        offset: Option<u64>,
        /// The error of the operating system.
        #[source]
        source: Arc<io::Error>,
    },

    /// The store is open already, here or in another process.
    #[error("the store {} is already open{}", Printable::new(path), lock_owner::held_by(owner.as_ref()))]
    Locked {
        /// The store's directory.
        path: PathBuf,
        /// The process that has it open, as that process wrote it into the lock file. `None` if nothing is known.
        owner: Option<LockOwner>,
    },

    /// There is no store in the directory, and the call does not create one.
    #[error("there is no store in {}", Printable::new(path))]
    NoStore {
        /// The directory.
        path: PathBuf,
    },

    /// The directory has files that are not a store. Nothing was changed in it.
    #[error("{} is not a duramen store: it holds {}", Printable::new(path), Printable::new(found))]
    NotAStore {
        /// The directory.
        path: PathBuf,
        /// The first name found in the directory.
        found: OsString,
    },

    /// The target directory for a copy of a store is not empty. Nothing was changed in it.
    #[error("{} is not empty: it holds {}", Printable::new(path), Printable::new(found))]
    NotEmpty {
        /// The directory.
        path: PathBuf,
        /// The first name found in the directory.
        found: OsString,
    },

    /// The store's directory, or a name in it, is not the one that this process opened or wrote any
    /// more. Another process moved the directory, removed the lock file, or replaced a file. Nothing was
    /// changed, neither in the original directory nor in what the path leads to now. A store that is
    /// open for writing is poisoned. Acknowledged leaves are in the directory that was opened.
    #[error(transparent)]
    Displaced(Displaced),

    /// The directory that was given as a backup of a store holds another store. Nothing was changed.
    #[error("{} holds store {found}, which is not a backup of store {store}", Printable::new(path))]
    BackupOfOther {
        /// The directory.
        path: PathBuf,
        /// The store of which it was to be a backup, by its id.
        store: String,
        /// The store that is in the directory.
        found: String,
    },

    /// The backup in a directory is not an older one of the store, because it went on by itself: a tree has something there
    /// that the store does not have. The backup stays what it was.
    #[error(
        "the backup in {} cannot become one of this store: its tree {tree:?} {what}",
        Printable::new(path)
    )]
    BackupDiverged {
        /// The directory.
        path: PathBuf,
        /// The tree.
        tree: TreeName,
        /// What it has that the store does not have: the end of the sentence.
        what: &'static str,
    },

    /// The directory that was given for a backup is that of the store itself. Nothing was changed.
    #[error("{} is the store itself, and not a backup of it", Printable::new(path))]
    BackupOfItself {
        /// The directory.
        path: PathBuf,
    },

    /// The path leads to another store than the one that was opened. What was read before stays
    /// available.
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

    /// The tree cannot be published as tiles.
    #[error("the tree {tree:?} has no tiles: {reason}")]
    NoTiles {
        /// The tree.
        tree: TreeName,
        /// Why.
        reason: &'static str,
    },

    /// The tree does not have all hashes or entries of a tile.
    #[error("a tree of size {size} has no tile {index} of width {width} at level {level}")]
    TileOutOfRange {
        /// The level of the tile. 0 for a bundle of entries.
        level: u8,
        /// The number of the tile in its level.
        index: u64,
        /// The number of hashes or entries that were asked for.
        width: u16,
        /// The size of the tree.
        size: TreeSize,
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
        /// The hasher of the tree.
        stored: String,
        /// The hasher that the caller asked for.
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
        /// The arity of the tree.
        stored: u32,
        /// The arity that the caller asked for.
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

    /// No mark can have this name.
    #[error(transparent)]
    MarkName(#[from] MarkNameError),

    /// The store has a mark of this name. Nothing was marked, and nothing of a batch was inserted.
    #[error("there is a mark {mark:?} already")]
    MarkExists {
        /// The name.
        mark: MarkName,
    },

    /// The store has no mark of this name.
    #[error("there is no mark {mark:?}")]
    NoMark {
        /// The name.
        mark: MarkName,
    },

    /// The store has as many marks as [`Config::max_marks`](crate::Config::max_marks) allows. Nothing was marked, and
    /// nothing of a batch was inserted.
    #[error("the store has {}, and `max_marks` allows {most}", words::count(*found, "mark", "marks"))]
    TooManyMarks {
        /// How many marks there are.
        found: usize,
        /// The most that are allowed.
        most: usize,
    },

    /// The tree was sealed: it takes no more leaves. Nothing was inserted.
    #[error("the tree {tree:?} is sealed and takes no more leaves")]
    TreeSealed {
        /// The tree.
        tree: TreeName,
    },

    /// The tree was rewound to fewer leaves. A token of a leaf that was dropped before it was durable has this error, a
    /// tail that has returned dropped leaves, and a snapshot of a tree that was not loaded when it was taken.
    #[error("the tree {tree:?} was rewound to {}", words::leaves(size.get()))]
    Rewound {
        /// The tree.
        tree: TreeName,
        /// The number of its leaves after the rewind.
        size: TreeSize,
    },

    /// The tree was [pruned](crate::Accumulator::prune): what lies below its base is gone. The call needs a leaf there, or
    /// a tree of a size below it. From the base on everything can be read and proven.
    #[error(
        "the tree {tree:?} was pruned: nothing below index {base} is left, and {index} was asked for"
    )]
    Pruned {
        /// The tree.
        tree: TreeName,
        /// The index of the leaf, or the size, that was asked for.
        index: LeafIndex,
        /// The first leaf that the tree has, and the smallest size that it can answer for.
        base: TreeSize,
    },

    /// A tree that was to go on behind a frontier exists, and its first leaves are others. Nothing was changed.
    #[error(transparent)]
    OtherBeginning(Box<OtherBeginning>),

    /// The tree was dropped. Nothing was inserted. The data of the tree that is loaded can still be
    /// read.
    #[error("the tree {tree:?} was dropped")]
    TreeDropped {
        /// The tree.
        tree: TreeName,
    },

    /// A batch has leaves for a tree of another store, or of an earlier open of this store. Nothing was
    /// inserted.
    #[error("the tree {tree:?} does not belong to the store of the batch")]
    ForeignTree {
        /// The tree.
        tree: TreeName,
    },

    /// The store has used every possible tree number: 2^32 of them.
    #[error(
        "the store {} has created 4294967296 trees and can create no more",
        Printable::new(path)
    )]
    TooManyTrees {
        /// The store's directory.
        path: PathBuf,
    },

    /// The tree has a hash function that is neither in the crate nor given by the caller. See
    /// [`Config::hasher`](crate::Config::hasher).
    #[error(
        "the tree {tree:?} of the store {} has hasher {}, which this program does not know",
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

    /// The format of a file is unknown to this version. The file is intact, and another program wrote
    /// it.
    #[error(
        "{} has {feature} {found}; this program reads {}{supported}",
        Printable::new(path),
        feature.reads()
    )]
    UnknownFormat {
        /// The file.
        path: PathBuf,
        /// The unknown feature.
        feature: FormatFeature,
        /// The number of the feature in the file.
        found: u32,
        /// The version that this crate reads, or the highest number that it knows.
        supported: u32,
    },

    /// A file of the store is missing or has contents that it must not have.
    #[error(transparent)]
    Damaged(#[from] Box<Damage>),

    /// A node was found neither in memory nor in a part. This is a defect of this crate or of the
    /// machine's memory.
    #[error("node {index} of level {level} is neither in memory nor in a part")]
    NodeAbsent {
        /// The level of the node.
        level: Level,
        /// The index of the node in its level.
        index: u64,
    },

    /// The index is not below the size of the tree.
    #[error("index {index} is not in a tree of size {size}")]
    IndexOutOfRange {
        /// The requested index.
        index: LeafIndex,
        /// The size of the tree.
        size: TreeSize,
    },

    /// The tree is not this large yet.
    #[error("size {size} is beyond the tree's {}", words::leaves(current.0))]
    SizeOutOfRange {
        /// The requested size.
        size: TreeSize,
        /// The current size.
        current: TreeSize,
    },

    /// A consistency proof was requested from a larger tree to a smaller one.
    #[error("a tree of {} is larger than a tree of {} and cannot be its prefix", words::leaves(old.0), words::leaves(new.0))]
    OldBeyondNew {
        /// The size of the old tree.
        old: TreeSize,
        /// The size of the new tree.
        new: TreeSize,
    },

    /// A subtree was requested of a tree that has none.
    #[error("only trees with arity 2 have subtrees, this one has arity {arity}")]
    NoSubtrees {
        /// The arity of the tree.
        arity: Arity,
    },

    /// A proof was requested that a leaf is in a subtree where it is not.
    #[error("leaf {index} is not in the subtree {subtree}")]
    OutsideSubtree {
        /// The index of the leaf.
        index: LeafIndex,
        /// The subtree.
        subtree: Subtree,
    },

    /// There is not enough memory for this many leaves at once. A caller can read fewer.
    #[error("there is no memory for {} at once", words::leaves(*leaves))]
    NoMemory {
        /// The leaves requested.
        leaves: u64,
    },

    /// A proof of many leaves was requested without any index.
    #[error("a proof needs at least one index")]
    NoIndexes,

    /// The tree was made with other settings for entries.
    #[error(
        "the tree {tree:?} of the store {} was made {stored} and cannot be opened {asked}",
        Printable::new(path)
    )]
    EntriesMismatch {
        /// The store's directory.
        path: PathBuf,
        /// The tree.
        tree: TreeName,
        /// How the tree keeps entries, in words.
        stored: String,
        /// What the caller asked for, in words.
        asked: String,
    },

    /// The tree keeps entries, and the call has leaves without them. Nothing was inserted.
    #[error("the tree {tree:?} keeps entries and takes no leaves without them")]
    EntryMissing {
        /// The tree.
        tree: TreeName,
    },

    /// The tree keeps no entries: only their leaves can be inserted and read. Nothing was inserted.
    #[error("the tree {tree:?} keeps no entries")]
    NoEntries {
        /// The tree.
        tree: TreeName,
    },

    /// The tree has no index, so its leaves are not found by their hash. Give it one with
    /// [`add_index`](crate::DynAccumulator::add_index).
    #[error("the tree {tree:?} has no index")]
    NoIndex {
        /// The tree.
        tree: TreeName,
    },

    /// An entry is longer than the tree allows. Nothing of the batch was inserted.
    #[error(
        "entry {position} of the batch has {}, and the tree {tree:?} takes at most {longest}",
        words::bytes(*len)
    )]
    EntryTooLong {
        /// The tree.
        tree: TreeName,
        /// The entry's position in its batch, from 0.
        position: usize,
        /// Bytes of the entry.
        len: u64,
        /// The most that the tree accepts.
        longest: u32,
    },

    /// The entry was erased. Its leaf and all proofs are unchanged.
    #[error("entry {index} was erased at {}", words::moment(*at))]
    Erased {
        /// The index of the entry.
        index: LeafIndex,
        /// The moment of the erasure, by the clock of the machine that wrote it.
        at: SystemTime,
    },

    /// No entry was named to be erased: no range was given, or one is empty. Nothing was erased.
    #[error("nothing to erase: no range was given, or one is empty")]
    NothingToErase,

    /// The reason of an erasure is too long or has control characters. Nothing was erased.
    #[error("the reason of an erasure cannot be kept: {fault}")]
    EraseReason {
        /// What is wrong with the reason.
        fault: String,
    },

    /// The ranges are too many for one erasure, or those of all erasures for the store. Nothing was erased.
    #[error("too many erased ranges: {found}; at most {most} are possible")]
    TooManyErasures {
        /// How many ranges there would be.
        found: u64,
        /// The most that are possible.
        most: u64,
    },

    /// Memory of this process has changed by itself: an entry in it no longer hashes to its leaf. A checkpoint would have
    /// written the changed entry in place of the one that was inserted. It was not made, the log is kept, and the store
    /// takes nothing more. Reopen it in another process, and on another machine if this happens again.
    #[error(
        "entry {index} of the tree {tree:?} has changed in memory since it was inserted; it was not written, and the log is kept"
    )]
    MemoryChanged {
        /// The tree.
        tree: TreeName,
        /// The index of the entry.
        index: LeafIndex,
    },

    /// The hash function does not accept one of the leaves. Nothing of the batch was inserted.
    #[error(
        "leaf {position} of the batch is not a valid input of hasher {hasher} of the tree {tree:?}"
    )]
    LeafRefused {
        /// The tree. A [`MemoryAccumulator`](crate::MemoryAccumulator) has the name `main`.
        tree: TreeName,
        /// The leaf's position in its batch, from 0.
        position: usize,
        /// The hasher's name.
        hasher: String,
    },

    /// Writing the log failed earlier. The store accepts no more writes, and reads continue.
    /// Acknowledged leaves are safe: reopen the store once the cause is removed.
    #[error("the store is poisoned by an earlier failure")]
    Poisoned {
        /// The failure.
        #[source]
        source: Arc<Error>,
    },

    /// A background thread ended with a panic. This is a defect of this crate.
    #[error("the {thread} thread panicked")]
    ThreadPanicked {
        /// The thread.
        thread: &'static str,
    },

    /// A function called for this purpose panicked: the hash function, the file system, or, by a defect,
    /// this crate. Its result is not used.
    #[error("code that was called during a {during} panicked")]
    Panicked {
        /// The purpose.
        during: &'static str,
    },

    /// The call was made in a process that was forked from the process that opened the store. The store
    /// still belongs to the parent, and nothing was changed. A child must open its own stores.
    #[error(
        "the store was opened by process {opened_by} and cannot be used in process {process}, which is a fork of it"
    )]
    Forked {
        /// The process that opened the store.
        opened_by: u32,
        /// The process that called.
        process: u32,
    },

    /// The store accepts nothing at the moment, because [`set_read_only`](crate::Store::set_read_only) was called. Nothing was
    /// done. Reads go on.
    #[error("the store is read-only until its owner or an operator ends that")]
    ReadOnly,

    /// The store was closed before the call, or before the leaf became durable.
    #[error("the store is closed")]
    Closed,

    /// The call would have waited forever for its own thread. One of the store's threads called an event
    /// listener or a waker, which made this call. Nothing was done. The exception is
    /// [`close`](crate::Accumulator::close), which documents what it does.
    #[error("{call} was called on the store's {thread} thread and would wait for itself")]
    WouldWaitForItself {
        /// The name of the call.
        call: &'static str,
        /// The thread: the flusher, which writes the log, or a worker.
        thread: &'static str,
    },

    /// A limit is reached, and there was no room within the configured wait. Nothing was inserted.
    #[error("no room after {waited:?}: {}, {allowed} allowed", limit.held(*held))]
    Backpressure {
        /// The limit.
        limit: Limit,
        /// The current value, in the unit of the limit.
        held: u64,
        /// The allowed value.
        allowed: u64,
        /// How long the call waited.
        waited: Duration,
    },

    /// The insert would have to wait, and [`try_insert`](crate::DynAccumulator::try_insert) does not
    /// wait. Nothing was inserted. The work that makes room was requested.
    #[error("the insert would have to wait for room: the limit of {limit} is reached or near")]
    WouldBlock {
        /// The limit that is reached or near.
        limit: Limit,
        /// The wait before the next attempt, if inserts are slowed down. `None` if inserts wait until
        /// there is room.
        retry_in: Option<Duration>,
    },

    /// Only a checkpoint makes room, and the last checkpoint failed permanently. Nothing was inserted.
    /// Inserts continue once a call of `checkpoint` succeeds.
    #[error(
        "{} for a checkpoint, and checkpoints fail",
        words::count(*held, "byte waits", "bytes wait")
    )]
    CheckpointsFail {
        /// Bytes of nodes that are in no checkpoint.
        held: u64,
        /// The error of the last checkpoint.
        #[source]
        source: Arc<Error>,
    },
}

impl Error {
    /// The error of the call `setting` for a value that cannot work.
    pub(crate) fn config(setting: &'static str, reason: impl Into<String>) -> Self {
        Self::Config { setting, reason: reason.into() }
    }

    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        if let Some(displaced) = Displaced::find(&source) {
            return Self::Displaced(displaced.clone());
        }
        // The operating system's file system reports the call and the path more exactly.
        match source.downcast::<PathError>() {
            Ok(PathError { action, path, source }) => {
                Self::Io { action, path, offset: None, source: Arc::new(source) }
            }
            Err(source) => {
                Self::Io { action, path: path.into(), offset: None, source: Arc::new(source) }
            }
        }
    }

    /// As [`io`](Self::io), for the bytes from `offset` on.
    pub(crate) fn io_at(
        action: &'static str,
        path: impl Into<PathBuf>,
        offset: u64,
        source: io::Error,
    ) -> Self {
        let offset = Some(offset);
        Self::Io { action, path: path.into(), offset, source: Arc::new(source) }
    }

    /// Whether the cause may go away without a change to the store: the disk or a quota is full, too
    /// many files are open, memory is short, a call was interrupted or timed out. A failed automatic
    /// checkpoint or merge with such an error is retried later.
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

/// The operating system's number of an error, even if the error is wrapped in another one.
fn os_error(error: &io::Error) -> Option<i32> {
    error.raw_os_error().or_else(|| {
        let source = std::error::Error::source(error)?;
        os_error(source.downcast_ref()?)
    })
}

#[cfg(test)]
mod tests;
