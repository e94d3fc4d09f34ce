//! What an error means for the program that meets it.
//!
//! # Invariant
//!
//! Every error has exactly one kind, and a new error does not compile without one.

use std::io;

use super::Error;

/// What an error means for the program that meets it: [`Error::kind`].
///
/// A server maps kinds to the status of its answers, a command to its exit status. Programs that need the facts match
/// [`Error`].
///
/// # Examples
///
/// ```
/// use duramen::{Config, ErrorKind, Reader};
///
/// # let dir = tempfile::tempdir()?;
/// let missing = Config::new(dir.path().join("missing"));
/// let error = Reader::open(missing, std::sync::Arc::new(duramen::Blake3), duramen::Arity::Four).unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::NotFound);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The call, its arguments or the configuration are wrong. The same call fails again.
    InvalidInput,
    /// There is no store, tree or mark of this name.
    NotFound,
    /// Something is there that must not be: a mark of this name, or files in a directory that must be empty.
    AlreadyExists,
    /// The store or the tree is another one than the caller expects, or is made in another way.
    Mismatch,
    /// What is asked for was there and was given up: erased, pruned, rewound or dropped.
    Gone,
    /// The store or the tree takes nothing any more: it is sealed, closed, read-only, or belongs to another process.
    Closed,
    /// Another call or process is in the way. The same call may succeed later.
    Busy,
    /// A number has reached its limit, or memory is short.
    LimitReached,
    /// The disk, a quota or the limit of a file's size is full.
    StorageFull,
    /// The system refuses access.
    PermissionDenied,
    /// A call to the operating system failed in another way.
    Io,
    /// A file of the store is damaged or missing.
    Damaged,
    /// A file has a format, or a tree a hash function, that this program does not know.
    Unsupported,
    /// A defect of this crate, of code that it calls, or of the machine's memory.
    Defect,
}

impl Error {
    /// What the error means for the program that meets it. [`Poisoned`](Self::Poisoned) and
    /// [`CheckpointsFail`](Self::CheckpointsFail) have the kind of their cause. O(1).
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Config { .. }
            | Self::BackupOfItself { .. }
            | Self::NoTiles { .. }
            | Self::TileOutOfRange { .. }
            | Self::TreeName(_)
            | Self::MarkName(_)
            | Self::ForeignTree { .. }
            | Self::IndexOutOfRange { .. }
            | Self::SizeOutOfRange { .. }
            | Self::OldBeyondNew { .. }
            | Self::NoSubtrees { .. }
            | Self::OutsideSubtree { .. }
            | Self::NoIndexes
            | Self::EntryMissing { .. }
            | Self::NoEntries { .. }
            | Self::NoIndex { .. }
            | Self::EntryTooLong { .. }
            | Self::NothingToErase
            | Self::EraseReason { .. }
            | Self::LeafRefused { .. }
            | Self::WouldWaitForItself { .. } => ErrorKind::InvalidInput,
            Self::NoStore { .. }
            | Self::NotAStore { .. }
            | Self::NoTree { .. }
            | Self::NoMark { .. } => ErrorKind::NotFound,
            Self::NotEmpty { .. } | Self::MarkExists { .. } => ErrorKind::AlreadyExists,
            Self::Displaced(_)
            | Self::BackupOfOther { .. }
            | Self::BackupDiverged { .. }
            | Self::OtherStore { .. }
            | Self::HasherMismatch { .. }
            | Self::ArityMismatch { .. }
            | Self::EntriesMismatch { .. }
            | Self::OtherBeginning(_) => ErrorKind::Mismatch,
            Self::Erased { .. }
            | Self::Pruned { .. }
            | Self::Rewound { .. }
            | Self::TreeDropped { .. } => ErrorKind::Gone,
            Self::TreeSealed { .. } | Self::Forked { .. } | Self::ReadOnly | Self::Closed => {
                ErrorKind::Closed
            }
            Self::Locked { .. } | Self::Backpressure { .. } | Self::WouldBlock { .. } => {
                ErrorKind::Busy
            }
            Self::TooManyMarks { .. }
            | Self::TooManyTrees { .. }
            | Self::TooManyErasures { .. }
            | Self::NoMemory { .. } => ErrorKind::LimitReached,
            Self::Io { source, .. } => of_system(source),
            Self::Damaged(_) => ErrorKind::Damaged,
            Self::UnknownHasher { .. } | Self::UnknownFormat { .. } => ErrorKind::Unsupported,
            Self::NodeAbsent { .. }
            | Self::MemoryChanged { .. }
            | Self::ThreadPanicked { .. }
            | Self::Panicked { .. } => ErrorKind::Defect,
            Self::Poisoned { source } | Self::CheckpointsFail { source, .. } => source.kind(),
        }
    }
}

fn of_system(error: &io::Error) -> ErrorKind {
    use io::ErrorKind as System;
    match error.kind() {
        System::StorageFull | System::QuotaExceeded | System::FileTooLarge => {
            ErrorKind::StorageFull
        }
        System::PermissionDenied | System::ReadOnlyFilesystem => ErrorKind::PermissionDenied,
        System::OutOfMemory => ErrorKind::LimitReached,
        _ => ErrorKind::Io,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn a_poisoned_store_has_the_kind_of_what_poisoned_it() {
        let failed = |kind| {
            let source = Arc::new(Error::io("write", "x", io::Error::from(kind)));
            let poisoned = Error::Poisoned { source };
            assert_eq!(
                Error::CheckpointsFail { held: 1, source: Arc::new(poisoned.clone()) }.kind(),
                poisoned.kind()
            );
            poisoned.kind()
        };
        assert_eq!(failed(io::ErrorKind::QuotaExceeded), ErrorKind::StorageFull);
        assert_eq!(failed(io::ErrorKind::ReadOnlyFilesystem), ErrorKind::PermissionDenied);
        assert_eq!(failed(io::ErrorKind::OutOfMemory), ErrorKind::LimitReached);
        assert_eq!(failed(io::ErrorKind::NotConnected), ErrorKind::Io);
    }
}
