//! The calls that change the disk, as they are counted and traced.

use std::fmt;

use crate::fs::{Dir, FileKind, FileName};
use crate::ids::ByteOffset;
use crate::words::bytes;

/// A call that changes the simulated disk. The disk numbers them from 1, whether they succeed or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// [`Place::make`](crate::fs::Place::make).
    MakeDirs,
    /// [`FileSystem::create`](crate::fs::FileSystem::create).
    Create(FileName),
    /// [`File::write_at`](crate::fs::File::write_at), with all its slices together.
    Write {
        /// The file.
        file: FileName,
        /// Where its first byte goes.
        at: ByteOffset,
        /// How many bytes it has.
        len: u64,
    },
    /// [`File::write_back`](crate::fs::File::write_back).
    WriteBack {
        /// The file.
        file: FileName,
        /// Where its first byte is.
        at: ByteOffset,
        /// How many bytes it has.
        len: u64,
    },
    /// [`File::sync`](crate::fs::File::sync).
    Sync(FileName),
    /// [`File::allocate`](crate::fs::File::allocate).
    Allocate {
        /// The file.
        file: FileName,
        /// Its new length in bytes.
        len: u64,
    },
    /// [`FileSystem::rename`](crate::fs::FileSystem::rename).
    Rename {
        /// The old name.
        from: FileName,
        /// The new name.
        to: FileName,
    },
    /// [`FileSystem::remove`](crate::fs::FileSystem::remove).
    Remove(FileName),
    /// [`FileSystem::sync_dir`](crate::fs::FileSystem::sync_dir).
    SyncDir(Dir),
}

/// An [`Operation`] without what it works on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the names are those of the operations")]
pub enum OperationKind {
    MakeDirs,
    Create,
    Write,
    WriteBack,
    Sync,
    Allocate,
    Rename,
    Remove,
    SyncDir,
}

impl Operation {
    /// Which call it was.
    #[must_use]
    pub const fn kind(&self) -> OperationKind {
        match self {
            Self::MakeDirs => OperationKind::MakeDirs,
            Self::Create(_) => OperationKind::Create,
            Self::Write { .. } => OperationKind::Write,
            Self::WriteBack { .. } => OperationKind::WriteBack,
            Self::Sync(_) => OperationKind::Sync,
            Self::Allocate { .. } => OperationKind::Allocate,
            Self::Rename { .. } => OperationKind::Rename,
            Self::Remove(_) => OperationKind::Remove,
            Self::SyncDir(_) => OperationKind::SyncDir,
        }
    }

    /// Whether a watch of the store reports it: a write to the log, or the name of a new manifest.
    pub(super) fn is_watched(&self) -> bool {
        match self {
            Self::Write { file, .. } => file.kind == FileKind::Segment,
            Self::Rename { to, .. } => to.kind == FileKind::Manifest,
            _ => false,
        }
    }

    /// The file it worked on, under the name it had before; `None` for directories.
    #[must_use]
    pub const fn file(&self) -> Option<FileName> {
        match self {
            Self::MakeDirs | Self::SyncDir(_) => None,
            Self::Create(file) | Self::Sync(file) | Self::Remove(file) => Some(*file),
            Self::Write { file, .. }
            | Self::WriteBack { file, .. }
            | Self::Allocate { file, .. } => Some(*file),
            Self::Rename { from, .. } => Some(*from),
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MakeDirs => f.write_str("make the directories"),
            Self::Create(file) => write!(f, "create {file}"),
            Self::Write { file, at, len } => write!(f, "write {} at {at} of {file}", bytes(*len)),
            Self::WriteBack { file, at, len } => {
                write!(f, "hand over {} at {at} of {file}", bytes(*len))
            }
            Self::Sync(file) => write!(f, "sync {file}"),
            Self::Allocate { file, len } => write!(f, "set the length of {file} to {len}"),
            Self::Rename { from, to } => write!(f, "rename {from} to {to}"),
            Self::Remove(file) => write!(f, "remove {file}"),
            Self::SyncDir(Dir::Root) => f.write_str("sync the store's directory"),
            Self::SyncDir(dir) => write!(f, "sync {}/", dir.path()),
        }
    }
}

/// Which operations a fault or a hold is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct When {
    nth: u64,
    /// Counts operations from the beginning of the disk, or matching ones from now on.
    absolute: bool,
    kind: Option<OperationKind>,
    file: Option<FileKind>,
}

impl When {
    /// The operation with this number, whatever it does. They are numbered from 1 for each disk.
    #[must_use]
    pub const fn operation(number: u64) -> Self {
        Self { nth: number, absolute: true, kind: None, file: None }
    }

    /// The `nth` operation of this kind from now on; the next one is the first.
    #[must_use]
    pub const fn nth(kind: OperationKind, nth: u64) -> Self {
        Self { nth, absolute: false, kind: Some(kind), file: None }
    }

    /// The same, among operations on files of this kind alone.
    #[must_use]
    pub const fn on(self, file: FileKind) -> Self {
        Self { file: Some(file), ..self }
    }

    fn concerns(&self, operation: &Operation) -> bool {
        self.kind.is_none_or(|kind| kind == operation.kind())
            && self.file.is_none_or(|file| operation.file().is_some_and(|name| name.kind == file))
    }
}

/// Watches for the operation that a [`When`] means.
#[derive(Clone, Copy, Debug)]
pub(super) struct Watch {
    when: When,
    seen: u64,
}

impl Watch {
    pub(super) fn new(when: When) -> Self {
        Self { when, seen: 0 }
    }

    /// Looks at the next operation: whether it is the one, or, with `for_ever`, the one or one of
    /// those that concern `when` and come after.
    pub(super) fn matches(&mut self, number: u64, operation: &Operation, for_ever: bool) -> bool {
        if !self.when.concerns(operation) {
            return false;
        }
        self.seen += 1;
        let count = if self.when.absolute { number } else { self.seen };
        count == self.when.nth || (for_ever && count > self.when.nth)
    }
}
