//! The store's lock: an `flock` on a file that stays.
//!
//! # Invariant
//!
//! The lock belongs to the process that took it. A forked child shares the descriptor, so it must
//! neither release the lock by dropping its copy of the guard nor keep it after the parent let go.

use std::fs::File;
use std::io;
use std::path::Path;

use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::{Errno, retry_on_intr};

use super::{LOCK, dir, open_regular};
use crate::fs::{Dir, StoreLock};

pub(super) fn take(root: &Path) -> io::Result<OsLock> {
    let dir = dir::open(root, Dir::Root)?;
    let file = open_regular(&dir, LOCK, OFlags::CREATE | OFlags::RDWR)?;
    match retry_on_intr(|| flock(&file, FlockOperation::NonBlockingLockExclusive)) {
        Ok(()) => Ok(OsLock { file, owner: std::process::id() }),
        Err(Errno::WOULDBLOCK) => Err(io::Error::new(
            io::ErrorKind::WouldBlock,
            "the store is open already, in another process or in this one",
        )),
        Err(error) => Err(error.into()),
    }
}

#[derive(Debug)]
pub(super) struct OsLock {
    file: File,
    owner: u32,
}

impl StoreLock for OsLock {}

impl Drop for OsLock {
    fn drop(&mut self) {
        if self.owner == std::process::id() {
            // Closing would not release it while a forked child has the descriptor. There is nobody
            // to tell about a failure, and closing releases it in every other case.
            let _ = flock(&self.file, FlockOperation::Unlock);
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
        let child = lock.file.try_clone().unwrap();
        drop(lock);
        take(temp.path()).unwrap();
        drop(child);
    }

    #[test]
    fn a_child_does_not_release_the_lock_of_its_parent() {
        let temp = tempfile::tempdir().unwrap();
        let lock = take(temp.path()).unwrap();
        let child = lock.file.try_clone().unwrap();
        drop(OsLock { file: child, owner: lock.owner.wrapping_add(1) });
        assert_eq!(take(temp.path()).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }
}
