//! The directory of a bucket whose address is `file://`.
//!
//! # Invariant
//!
//! - When a call returns, the names of the directory, of those above it and of those in it are durable. So what is
//!   acknowledged in a bucket is not lost with the directory that has it. Below that, `object_store` syncs what it makes.

use std::fs::{DirBuilder, File};
use std::io;
use std::path::Path;

/// Makes the directory `dir` and its missing parents, each name durable before the next.
pub(crate) fn make(dir: &Path) -> io::Result<()> {
    make_with_parents(dir)?;
    // A process that was killed may have left folders in it whose names were not durable yet.
    sync_what_was_there(dir)
}

fn make_with_parents(dir: &Path) -> io::Result<()> {
    let Some(parent) = dir.parent() else { return Ok(()) };
    if is_dir(dir)? {
        // It may have been made by a process that did not come to sync its parent.
        return sync_what_was_there(parent);
    }
    make_with_parents(parent)?;
    match DirBuilder::new().create(dir) {
        // Another process may be making it too.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => {}
        made => made?,
    }
    sync(parent)
}

fn is_dir(dir: &Path) -> io::Result<bool> {
    match std::fs::metadata(dir) {
        Ok(found) => Ok(found.is_dir()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn sync(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

fn sync_what_was_there(dir: &Path) -> io::Result<()> {
    match sync(dir) {
        Err(error) if not_ours(&error) => Ok(()),
        synced => synced,
    }
}

/// Whether syncing a directory that was there failed because it is none of ours: unreadable for this user, or on a file
/// system that cannot sync a directory.
fn not_ours(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::PermissionDenied
            | io::ErrorKind::InvalidInput
            | io::ErrorKind::Unsupported
            | io::ErrorKind::ReadOnlyFilesystem
    )
}
