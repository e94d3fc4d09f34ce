//! Directories whose names last, and locks of directories.
//!
//! # Invariant
//!
//! - A lock is of the directory itself: no file in it can be removed to let another process in. Where a directory has
//!   several locks, each of a file, its holder compares the file with what [`leads_to`] finds.

use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use rustix::io::retry_on_intr;

/// Creates a directory that is missing, with those above it. Each name is durable before the next directory is made in it,
/// and all when this returns.
pub(crate) fn make(dir: &Path, mode: u32) -> io::Result<()> {
    let is_missing = |dir: &&Path| !dir.as_os_str().is_empty() && !dir.is_dir();
    let missing: Vec<_> = dir.ancestors().take_while(is_missing).collect();
    for dir in missing.into_iter().rev() {
        match DirBuilder::new().mode(mode).create(dir) {
            // Another process has made it meanwhile.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => {}
            made => made?,
        }
        sync(dir.parent().unwrap_or(Path::new("")))?;
    }
    Ok(())
}

/// Makes the names in a directory durable.
pub(crate) fn sync(dir: &Path) -> io::Result<()> {
    open(dir)?.sync_all()
}

/// Locks a directory for as long as the file lives. `None` if another one has the lock.
pub(crate) fn try_lock(dir: &Path) -> io::Result<Option<File>> {
    let dir = open(dir)?;
    match retry_on_intr(|| flock(&dir, FlockOperation::NonBlockingLockExclusive)) {
        Ok(()) => Ok(Some(dir)),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Whether a path leads to this file, and to no other one that has taken its place.
pub(crate) fn leads_to(path: &Path, file: &File) -> io::Result<bool> {
    match std::fs::symlink_metadata(path) {
        Ok(there) => {
            let file = file.metadata()?;
            Ok((there.dev(), there.ino()) == (file.dev(), file.ino()))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn open(dir: &Path) -> io::Result<File> {
    File::open(if dir.as_os_str().is_empty() { Path::new(".") } else { dir })
}
