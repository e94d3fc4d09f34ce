//! Which process this is: a forked child has the memory of a store but none of its threads.
//!
//! # Invariants
//!
//! - The count of forks is raised in every child before `fork` returns there, by the one thread that
//!   the child has. So all code in the child sees it, with a relaxed load and without a call to the
//!   system.
//! - A call in another process is refused before any lock is taken: the lock may have been held, at the
//!   moment of the fork, by a thread that is not there any more.
//! - If a listener or a waker returns in a child on a thread of the store's own, that thread takes no lock,
//!   waits for nothing and calls no further listener or waker. It ends, and as it is the child's only
//!   thread the child ends with it, as after `exit(0)`.
//!
//! Children made by a bare `clone` system call do not run the handlers of `pthread_atfork` and are not
//! noticed. Those of `posix_spawn`, and with it of [`std::process::Command`], run another program.
#![expect(unsafe_code, reason = "registers a handler with the C library, which closes descriptors")]

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};

use crate::error::{Error, Result};

/// How many forks lie between this process and the first one that asked.
static FORKS: AtomicU64 = AtomicU64::new(0);

/// The process in which something was made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Process {
    forks: u64,
    id: u32,
}

impl Process {
    /// This process, whose forks are counted from now on at the latest.
    ///
    /// # Errors
    ///
    /// Without memory for the handler.
    pub(crate) fn current() -> io::Result<Self> {
        watch()?;
        Ok(Self { forks: forks(), id: std::process::id() })
    }

    /// One that this is not.
    #[cfg(test)]
    pub(crate) fn another() -> Self {
        Self { forks: u64::MAX, id: 0 }
    }

    /// Whether this is still the same process.
    pub(crate) fn is_current(self) -> bool {
        forks() == self.forks
    }

    /// Refuses a forked child. One relaxed load.
    #[inline]
    pub(crate) fn check(self) -> Result<()> {
        if self.is_current() { Ok(()) } else { Err(self.forked()) }
    }

    #[cold]
    fn forked(self) -> Error {
        Error::Forked { opened_by: self.id, process: std::process::id() }
    }
}

/// A value that only the process gets in which it was made.
///
/// A handle of a store, which a forked child has too, keeps what has locks in one of these. So no call from
/// outside comes to a lock without the check, and one that forgets it does not compile. What runs on the
/// store's own threads needs none: those threads are not there in a child. The exception is a thread that a
/// listener or a waker has forked, and these are called through gates of their own
/// (`engine/gate.rs`, `durability/watermark.rs`), which check when they come back.
#[derive(Clone)]
pub(crate) struct InProcess<T> {
    value: T,
    process: Process,
}

impl<T> InProcess<T> {
    /// A value for `process` alone.
    pub(crate) fn new(value: T, process: Process) -> Self {
        Self { value, process }
    }

    /// The value.
    ///
    /// # Errors
    ///
    /// [`Forked`](Error::Forked) in a forked child.
    #[inline]
    pub(crate) fn get(&self) -> Result<&T> {
        self.process.check()?;
        Ok(&self.value)
    }

    /// The value, to change it.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub(crate) fn get_mut(&mut self) -> Result<&mut T> {
        self.process.check()?;
        Ok(&mut self.value)
    }

    /// The value in any process, for a caller that takes no lock of it and waits for nothing.
    #[inline]
    pub(crate) fn anywhere(&self) -> &T {
        &self.value
    }
}

/// How many forks there were on the way to this process. If a listener or a waker returns with another
/// number than it was called with, it returns in a child that has this thread alone.
pub(crate) fn forks() -> u64 {
    FORKS.load(Ordering::Relaxed)
}

/// Whether this process is the child of one that had forks counted.
pub(crate) fn is_child() -> bool {
    forks() > 0
}

/// Has forks counted. Threads that come here for the first time together may both register the handler:
/// a fork then counts twice, which is as good, and no thread waits for a lock.
pub(crate) fn watch() -> io::Result<()> {
    static WATCHED: AtomicBool = AtomicBool::new(false);
    // Neither model nor interpreter forks.
    if cfg!(any(duramen_loom, miri)) || WATCHED.load(Ordering::Relaxed) {
        return Ok(());
    }
    // SAFETY: the handler is called in a child whose parent may have had other threads. It does nothing
    // but change atomic numbers and close files, which needs neither locks nor memory.
    let failed = unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
    if failed != 0 {
        return Err(io::Error::from_raw_os_error(failed));
    }
    WATCHED.store(true, Ordering::Relaxed);
    Ok(())
}

extern "C" fn in_child() {
    FORKS.fetch_add(1, Ordering::Relaxed);
    for slot in &KEPT {
        let descriptor = slot.swap(NONE, Ordering::Relaxed);
        if descriptor != NONE {
            // SAFETY: its owner put it there, and does not use it in a child.
            unsafe { libc::close(descriptor) };
        }
    }
}

/// Descriptors that children do not get. Where there are more, children get those.
static KEPT: [AtomicI32; 128] = [const { AtomicI32::new(NONE) }; 128];
const NONE: RawFd = -1;

/// A descriptor that is closed in every child, where its owner must neither use nor close it.
#[derive(Debug)]
pub(crate) struct Kept(Option<&'static AtomicI32>);

impl Kept {
    pub(crate) fn from_children(owner: &impl AsRawFd) -> Self {
        let descriptor = owner.as_raw_fd();
        let free = |slot: &&AtomicI32| {
            slot.compare_exchange(NONE, descriptor, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        };
        Self(watch().ok().and_then(|()| KEPT.iter().find(free)))
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if let Some(slot) = self.0 {
            slot.store(NONE, Ordering::Relaxed);
        }
    }
}
