//! The store's lock: an `flock` on the directory and one on a file in it that stays. And those of parts: shared by
//! all who read one, exclusive for the thread that wipes it.
//!
//! # Invariants
//!
//! - The lock on the directory is the one that excludes: it cannot be removed. `LOCK` is what people and
//!   their tools look at. The directory is locked first, so that a process that is refused creates nothing.
//! - The lock belongs to the process that took it. A forked child would share the descriptors: it closes
//!   them at once, so that it keeps no lock which a parent that was killed had, and does not release the
//!   lock by dropping its copy of the guard. A fork by another thread between taking the lock and noting
//!   its descriptors leaves the child with them.
//! - The lock of a part belongs to the description that was opened, which a mapping keeps alive when the descriptor
//!   is closed. So it lasts as long as anybody can read the file through it, a forked child too.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::fs::{FlockOperation, Mode, OFlags, flock, openat};
use rustix::io::{Errno, retry_on_intr};

use super::{LOCK, open_regular, owner};
use crate::fs::StoreLock;
use crate::sync::process::Kept;

/// Locks the directory `root`, and the lock file in it once `check` has found that this is the right
/// directory. Returns what is locked: the directory and the file.
pub(super) fn acquire(
    root: &File,
    check: impl FnOnce() -> io::Result<()>,
) -> io::Result<(File, File)> {
    // A description of its own: the lock ends with it, and a child can close it alone.
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let dir = File::from(retry_on_intr(|| openat(root, ".", flags, Mode::empty()))?);
    exclude(&dir)?;
    check()?;
    let file = open_regular(root, LOCK, OFlags::CREATE | OFlags::RDWR)?;
    exclude(&file)?;
    Ok((dir, file))
}

/// Shares a file that was opened for reading. Where the file system knows no such locks, no wiper can exclude the
/// readers either: see [`is_alone`].
///
/// # Errors
///
/// `NotFound` while the file is being wiped: it is not part of the store any more.
pub(super) fn share(file: impl AsFd) -> io::Result<()> {
    match retry_on_intr(|| flock(&file, FlockOperation::NonBlockingLockShared)) {
        Err(Errno::WOULDBLOCK) => Err(io::ErrorKind::NotFound.into()),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Excludes all who would share the file, for as long as it is open. Returns false if another opener shares it, or if
/// that cannot be known.
pub(super) fn is_alone(file: impl AsFd) -> bool {
    retry_on_intr(|| flock(&file, FlockOperation::NonBlockingLockExclusive)).is_ok()
}

/// Whether a process has the lock of the directory `root`.
///
/// A shared lock is taken for that, for microseconds. [`exclude`] tries again, so no opener fails because of it.
pub(super) fn is_held(root: &File) -> io::Result<bool> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let dir = File::from(retry_on_intr(|| openat(root, ".", flags, Mode::empty()))?);
    match retry_on_intr(|| flock(&dir, FlockOperation::NonBlockingLockShared)) {
        Ok(()) => Ok(false),
        Err(Errno::WOULDBLOCK) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

/// How often a lock is tried that another opener has. That one may be refused itself.
const TRIES: u32 = 3;
/// How often a lock is tried that only looks have. A look is short, but its thread may have to wait for a processor.
const LOOKS: u32 = 1000;
const PAUSE: Duration = Duration::from_millis(1);

/// Whether no opener has the lock: looks share it.
fn only_looked_at(file: &impl AsFd) -> bool {
    let shared = retry_on_intr(|| flock(file, FlockOperation::NonBlockingLockShared)).is_ok();
    // Two openers that kept it would keep each other out.
    let _ = retry_on_intr(|| flock(file, FlockOperation::Unlock));
    shared
}

fn exclude(file: impl AsFd) -> io::Result<()> {
    let exclusive = || retry_on_intr(|| flock(&file, FlockOperation::NonBlockingLockExclusive));
    let mut locked = exclusive();
    let (mut held, mut looks) = (1, 1);
    while locked == Err(Errno::WOULDBLOCK) && held < TRIES && looks < LOOKS {
        match only_looked_at(&file) {
            true => looks += 1,
            false => held += 1,
        }
        std::thread::sleep(PAUSE);
        locked = exclusive();
    }
    match locked {
        Ok(()) => Ok(()),
        Err(Errno::WOULDBLOCK) => Err(io::Error::new(
            io::ErrorKind::WouldBlock,
            "the store is open already, in another process or in this one",
        )),
        Err(error) => Err(error.into()),
    }
}

#[derive(Debug)]
pub(super) struct OsLock {
    /// Taken where it is dropped: the file, then the directory.
    files: Option<[(File, Kept); 2]>,
    owner: u32,
}

impl OsLock {
    pub(super) fn new(dir: File, file: File) -> Self {
        let files = [file, dir].map(|file| {
            let kept = Kept::from_children(&file);
            (file, kept)
        });
        Self { files: Some(files), owner: std::process::id() }
    }
}

impl OsLock {
    /// Writes into the lock file which process has it.
    pub(super) fn name_owner(&self) {
        if let Some([(file, _), _]) = &self.files {
            owner::write(file);
        }
    }
}

impl StoreLock for OsLock {}

impl Drop for OsLock {
    fn drop(&mut self) {
        let files = self.files.take();
        if self.owner != std::process::id() {
            // In a child they were closed, and the numbers may be other files'.
            std::mem::forget(files);
            return;
        }
        if let Some([(file, _), _]) = &files {
            owner::clear(file);
        }
        for (file, kept) in files.into_iter().flatten() {
            // Closing would not release it if a child has the descriptor nevertheless. A failure has no
            // caller to go to, and closing releases the lock in every other case.
            let _ = flock(&file, FlockOperation::Unlock);
            drop(kept);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(path: &std::path::Path) -> io::Result<OsLock> {
        let (dir, file) = acquire(&File::open(path)?, || Ok(()))?;
        Ok(OsLock::new(dir, file))
    }

    fn copies(lock: &OsLock) -> [(File, Kept); 2] {
        let files = lock.files.as_ref().unwrap();
        [0, 1].map(|at| {
            let file = files[at].0.try_clone().unwrap();
            let kept = Kept::from_children(&file);
            (file, kept)
        })
    }

    #[test]
    fn a_lock_that_is_dropped_is_free_even_if_a_child_has_its_descriptor() {
        let temp = tempfile::tempdir().unwrap();
        let lock = take(temp.path()).unwrap();
        let child = copies(&lock);
        drop(lock);
        take(temp.path()).unwrap();
        drop(child);
    }

    #[test]
    fn a_child_does_not_release_the_lock_of_its_parent() {
        let temp = tempfile::tempdir().unwrap();
        let lock = take(temp.path()).unwrap();
        let files = Some(copies(&lock));
        drop(OsLock { files, owner: lock.owner.wrapping_add(1) });
        assert_eq!(take(temp.path()).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn a_look_at_the_lock_sees_whether_it_is_held_and_fails_no_opener() {
        let temp = tempfile::tempdir().unwrap();
        let root = File::open(temp.path()).unwrap();
        assert!(!is_held(&root).unwrap());
        let lock = take(temp.path()).unwrap();
        assert!(is_held(&root).unwrap());
        drop(lock);
        assert!(!is_held(&root).unwrap());
        std::thread::scope(|threads| {
            threads.spawn(|| (0..2000).for_each(|_| assert!(is_held(&root).is_ok())));
            for _ in 0..200 {
                drop(take(temp.path()).unwrap());
            }
        });
    }

    #[test]
    fn the_lock_excludes_without_its_file() {
        let temp = tempfile::tempdir().unwrap();
        let lock = take(temp.path()).unwrap();
        std::fs::remove_file(temp.path().join(LOCK)).unwrap();
        assert_eq!(take(temp.path()).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        assert!(!temp.path().join(LOCK).exists(), "who was refused made a lock file");
        drop(lock);
        take(temp.path()).unwrap();
    }
}
