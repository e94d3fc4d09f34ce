//! Directories whose names last, and locks of directories.
//!
//! # Invariants
//!
//! - Each name is durable before the next directory is made in it. So of the directories that are found, only the deepest
//!   can have a name that a power cut still takes back.
//! - A lock is of the directory itself: no file in it can be removed to let another process in. Where a directory has
//!   several locks, each of a file, its holder compares the file with what [`leads_to`] finds.
//! - The holder of a directory's lock changes names in it only after [`check`] has found that its path still leads to it.

use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use rustix::io::retry_on_intr;

/// Creates a directory that is missing, with those above it. Each name is durable before the next directory is made in it,
/// and all when this returns, also that of a directory that was there.
pub(crate) fn make(dir: &Path, mode: u32) -> io::Result<()> {
    make_with_parents(&std::path::absolute(or_here(dir))?, mode)
}

fn make_with_parents(dir: &Path, mode: u32) -> io::Result<()> {
    let Some(parent) = dir.parent() else { return Ok(()) };
    if dir.is_dir() {
        // It may have been made by a process that was killed before it synced the parent.
        return match sync(parent) {
            Err(error) if cannot_be_synced(&error) => Ok(()),
            synced => synced,
        };
    }
    make_with_parents(parent, mode)?;
    match DirBuilder::new().mode(mode).create(dir) {
        // Another process has made it meanwhile.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => {}
        made => made?,
    }
    sync(parent)
}

/// Whether a directory around one that was there is not this user's to sync, or is on a file system that cannot sync it.
fn cannot_be_synced(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::PermissionDenied
            | io::ErrorKind::InvalidInput
            | io::ErrorKind::Unsupported
            | io::ErrorKind::ReadOnlyFilesystem
    )
}

/// Makes the names in a directory durable.
pub(crate) fn sync(dir: &Path) -> io::Result<()> {
    #[cfg(test)]
    tests::SYNCED.with_borrow_mut(|synced| synced.push(dir.to_owned()));
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

/// The path of a locked directory leads elsewhere.
#[derive(Debug, thiserror::Error)]
#[error("its directory was moved, removed or replaced meanwhile")]
struct Displaced;

/// Fails unless a path, which may be a link, leads to this directory. [`is_displaced`] knows the error.
pub(crate) fn check(path: &Path, dir: &File) -> io::Result<()> {
    let there = match std::fs::metadata(or_here(path)) {
        Err(error)
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
        {
            return Err(io::Error::other(Displaced));
        }
        there => there?,
    };
    let dir = dir.metadata()?;
    match (there.dev(), there.ino()) == (dir.dev(), dir.ino()) {
        true => Ok(()),
        false => Err(io::Error::other(Displaced)),
    }
}

/// Whether an error is that of [`check`] for a directory that is no longer at its path.
pub(crate) fn is_displaced(error: &io::Error) -> bool {
    matches!(error.get_ref(), Some(inner) if inner.is::<Displaced>())
}

fn open(dir: &Path) -> io::Result<File> {
    File::open(or_here(dir))
}

/// The directory of a name without one is the current one.
fn or_here(dir: &Path) -> &Path {
    if dir.as_os_str().is_empty() { Path::new(".") } else { dir }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test panics when it fails")]
pub(crate) mod tests {
    use std::cell::RefCell;
    use std::path::PathBuf;

    use super::*;

    thread_local! {
        /// The directories that this thread has synced.
        pub(crate) static SYNCED: RefCell<Vec<PathBuf>> = const { RefCell::new(Vec::new()) };
    }

    #[test]
    fn the_name_of_a_directory_is_synced_by_whoever_finds_it_as_well() {
        let temp = tempfile::tempdir().unwrap();
        let (outer, inner) = (temp.path().join("a"), temp.path().join("a/b"));
        make(&inner, 0o700).unwrap();
        assert!(SYNCED.take().ends_with(&[temp.path().to_owned(), outer]));
        // As a process leaves it that was killed before it synced the name.
        let left = inner.join("c");
        std::fs::create_dir(&left).unwrap();
        make(&left, 0o700).unwrap();
        assert_eq!(SYNCED.take(), [&*inner]);
        make(&left.join("d"), 0o700).unwrap();
        assert_eq!(SYNCED.take(), [&*inner, &*left]);
        std::fs::write(temp.path().join("file"), "").unwrap();
        make(&temp.path().join("file"), 0o700).unwrap_err();
        make(&temp.path().join("file/below"), 0o700).unwrap_err();
        for here in ["", "."] {
            make(Path::new(here), 0o700).unwrap();
            check(Path::new(here), &open(Path::new(here)).unwrap()).unwrap();
        }
    }
}
