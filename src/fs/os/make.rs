//! Making the store's directories so that a power cut does not take them back.

use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use rustix::fs::{Mode, mkdirat};
use rustix::io::{Errno, retry_on_intr};

use super::dir::{self, Inner};
use super::error::WithPath;
use crate::fs::Dir;

/// Makes the store's directory `path`, its missing parents and the inner directories, each name durable
/// before the next, and returns the store's directory.
pub(super) fn make_dirs(path: &Path) -> io::Result<File> {
    make_with_parents(path)?;
    let root = dir::open_root(path).path(path, "open the directory")?;
    for inner in Dir::INNER {
        let named = path.join(inner.path());
        match retry_on_intr(|| mkdirat(&root, inner.path(), Mode::RWXU)) {
            // What is there is checked below.
            Err(Errno::EXIST) => {}
            made => made.path(&named, "make the directory")?,
        }
        // Refuses a link or a file in its place before anything is written there.
        let opened = Inner::open(&root, inner).and_then(|inner| inner.handle().map(drop));
        opened.path(&named, "open the directory")?;
    }
    root.sync_all().path(path, "sync the directory")?;
    Ok(root)
}

fn make_with_parents(path: &Path) -> io::Result<()> {
    let Some(parent) = path.parent() else { return Ok(()) };
    if is_dir(path)? {
        // It may have been made by a process that did not come to sync its parent.
        return match sync(parent) {
            Err(error) if not_ours(&error) => Ok(()),
            synced => synced,
        };
    }
    make_with_parents(parent)?;
    make(path)?;
    sync(parent)
}

fn is_dir(path: &Path) -> io::Result<bool> {
    match std::fs::metadata(path) {
        Ok(found) => Ok(found.is_dir()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).path(path, "look at"),
    }
}

fn make(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        // Another process may be making it too; what is there is checked when it is opened.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made.path(path, "make the directory"),
    }
}

fn sync(path: &Path) -> io::Result<()> {
    File::open(path).and_then(|dir| dir.sync_all()).path(path, "sync the directory")
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
