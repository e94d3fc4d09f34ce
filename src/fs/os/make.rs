//! Making the store's directories so that a power cut does not take them back.

use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use rustix::fs::{Mode, mkdirat};
use rustix::io::{Errno, retry_on_intr};

use super::dir::{self, Inner};
use super::error::{WithPath, uninterrupted};
use crate::fs::Dir;

/// Makes the store's directory `path`, its missing parents and the inner directories, each name durable
/// before the next, and returns the store's directory. Errors name it `shown`.
pub(super) fn make_dirs(path: &Path, shown: &Path) -> io::Result<File> {
    make_with_parents(Made { path, shown: Some(shown) })?;
    let root = dir::open_root(path).path(shown, "open the directory")?;
    for inner in Dir::INNER {
        let named = shown.join(inner.path());
        match retry_on_intr(|| mkdirat(&root, inner.path(), Mode::RWXU)) {
            // What is there is checked below.
            Err(Errno::EXIST) => {}
            made => made.path(&named, "make the directory")?,
        }
        // Refuses a link or a file in its place before anything is written there.
        let opened = Inner::open(&root, inner).and_then(|inner| inner.handle().map(drop));
        opened.path(&named, "open the directory")?;
    }
    root.sync_all().path(shown, "sync the directory")?;
    Ok(root)
}

/// A directory that is made, or is one above.
#[derive(Clone, Copy)]
struct Made<'a> {
    /// Its absolute path.
    path: &'a Path,
    /// Its path as it was given, unless only names below it were.
    shown: Option<&'a Path>,
}

impl<'a> Made<'a> {
    fn parent(self) -> Option<Self> {
        let shown = self.shown.and_then(Path::parent).filter(|shown| !shown.as_os_str().is_empty());
        Some(Self { path: self.path.parent()?, shown })
    }

    /// The path for messages.
    fn shown(self) -> &'a Path {
        self.shown.unwrap_or(self.path)
    }
}

fn make_with_parents(made: Made<'_>) -> io::Result<()> {
    let Some(parent) = made.parent() else { return Ok(()) };
    if is_dir(made)? {
        // It may have been made by a process that did not come to sync its parent.
        return match sync(parent) {
            Err(error) if not_ours(&error) => Ok(()),
            synced => synced,
        };
    }
    make_with_parents(parent)?;
    make(made)?;
    sync(parent)
}

fn is_dir(made: Made<'_>) -> io::Result<bool> {
    match uninterrupted(|| std::fs::metadata(made.path)) {
        Ok(found) => Ok(found.is_dir()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).path(made.shown(), "look at"),
    }
}

fn make(made: Made<'_>) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(made.path) {
        // Another process may be making it too; what is there is checked when it is opened.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        done => done.path(made.shown(), "make the directory"),
    }
}

fn sync(made: Made<'_>) -> io::Result<()> {
    File::open(made.path).and_then(|dir| dir.sync_all()).path(made.shown(), "sync the directory")
}

/// Whether syncing the parent of a directory that was there failed because that parent is none of
/// ours: unreadable for this user, or on a file system that cannot sync a directory.
fn not_ours(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::PermissionDenied
            | io::ErrorKind::InvalidInput
            | io::ErrorKind::Unsupported
            | io::ErrorKind::ReadOnlyFilesystem
    )
}
