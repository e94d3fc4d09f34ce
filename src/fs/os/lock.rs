//! The store's lock: an `flock` on a file that stays.
//!
//! # Invariant
//!
//! The lock belongs to the process that took it. A forked child would share the descriptor: it closes it
//! at once, so that it keeps no lock which a parent that was killed had, and does not release the lock
//! by dropping its copy of the guard. A fork by another thread between taking the lock and noting its
//! descriptor leaves the child with it.

use std::fs::File;
use std::io;
use std::path::Path;

use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::{Errno, retry_on_intr};

use super::{LOCK, dir, open_regular};
use crate::fs::{Dir, StoreLock};
use crate::sync::process::Kept;

pub(super) fn take(root: &Path) -> io::Result<OsLock> {
    let dir = dir::open(root, Dir::Root)?;
    let file = open_regular(&dir, LOCK, OFlags::CREATE | OFlags::RDWR)?;
    match retry_on_intr(|| flock(&file, FlockOperation::NonBlockingLockExclusive)) {
        Ok(()) => Ok(OsLock::new(file, std::process::id())),
        Err(Errno::WOULDBLOCK) => Err(io::Error::new(
            io::ErrorKind::WouldBlock,
            "the store is open already, in another process or in this one",
        )),
        Err(error) => Err(error.into()),
    }
}

#[derive(Debug)]
pub(super) struct OsLock {
    /// Taken where it is dropped.
    file: Option<File>,
    kept: Option<Kept>,
    owner: u32,
}

impl OsLock {
    fn new(file: File, owner: u32) -> Self {
        Self { kept: Some(Kept::from_children(&file)), file: Some(file), owner }
    }
}

impl StoreLock for OsLock {}

impl Drop for OsLock {
    fn drop(&mut self) {
        let (file, kept) = (self.file.take(), self.kept.take());
        if self.owner != std::process::id() {
            // In a child it was closed, and the number may be another file's.
            std::mem::forget((file, kept));
        } else if let Some(file) = file {
            // Closing would not release it if a child has the descriptor nevertheless. There is nobody
            // to tell about a failure, and closing releases it in every other case.
            let _ = flock(&file, FlockOperation::Unlock);
            drop(kept);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_that_is_dropped_is_free_even_if_a_child_has_its_descriptor() {
        let temp = tempfile::tempdir().unwrap();
        let lock = take(temp.path()).unwrap();
        let child = lock.file.as_ref().unwrap().try_clone().unwrap();
        drop(lock);
        take(temp.path()).unwrap();
        drop(child);
    }

    #[test]
    fn a_child_does_not_release_the_lock_of_its_parent() {
        let temp = tempfile::tempdir().unwrap();
        let lock = take(temp.path()).unwrap();
        let child = lock.file.as_ref().unwrap().try_clone().unwrap();
        drop(OsLock::new(child, lock.owner.wrapping_add(1)));
        assert_eq!(take(temp.path()).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }
}
