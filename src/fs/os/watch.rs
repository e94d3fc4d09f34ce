//! Notices changes of a store's directory, by inotify.
//!
//! The watches are on the directories that the store has open and not on their paths, so that they stay with
//! these directories. The kernel reports one change for many writes that were not looked at yet.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fs::inotify::{CreateFlags, WatchFlags, add_watch, init};
use rustix::io::{Errno, read, retry_on_intr, write};

use crate::fs::Watch;

/// A watch of one store's directory.
#[derive(Debug)]
pub(super) struct Inotify {
    events: OwnedFd,
    /// Readable once the watch is interrupted.
    interrupted: OwnedFd,
}

impl Inotify {
    /// Watches the store's directory and, in it, those of the log and of the manifests.
    pub(super) fn new(
        root: BorrowedFd<'_>,
        log: BorrowedFd<'_>,
        manifests: BorrowedFd<'_>,
    ) -> io::Result<Self> {
        let events = init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        let interrupted = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let moved = WatchFlags::MOVE_SELF | WatchFlags::DELETE_SELF;
        // The name of a manifest is given by a rename, or by a link where that cannot be had.
        let published = WatchFlags::MOVED_TO | WatchFlags::CREATE;
        let inner = WatchFlags::MOVED_FROM | WatchFlags::MOVED_TO | WatchFlags::DELETE;
        let watches = [(log, WatchFlags::MODIFY), (manifests, published), (root, moved | inner)];
        for (dir, what) in watches {
            let path = format!("/proc/self/fd/{}", dir.as_raw_fd());
            add_watch(&events, path, what)?;
        }
        Ok(Self { events, interrupted })
    }

    /// Takes what was reported so far.
    fn take(&self) -> io::Result<()> {
        let mut bytes = [0; 4096];
        loop {
            match retry_on_intr(|| read(&self.events, &mut bytes)) {
                Ok(0) | Err(Errno::AGAIN) => return Ok(()),
                Ok(_) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl Watch for Inotify {
    fn wait(&self, longest: Option<Duration>) -> io::Result<bool> {
        // A time that is too long for the clock never ends.
        let deadline = longest.and_then(|longest| Instant::now().checked_add(longest));
        loop {
            let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
            let timeout = left.and_then(|left| Timespec::try_from(left).ok());
            let mut on = [self.events.as_fd(), self.interrupted.as_fd()]
                .map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
            match poll(&mut on, timeout.as_ref()) {
                Ok(_) => {}
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            }
            let [events, interrupted] = on.map(|on| !on.revents().is_empty());
            if interrupted {
                return Ok(false);
            }
            if events {
                self.take()?;
                return Ok(true);
            }
            if left.is_some_and(|left| left.is_zero()) {
                return Ok(false);
            }
        }
    }

    fn interrupt(&self) {
        // It fails only if it was interrupted before.
        let _ = write(&self.interrupted, &1_u64.to_ne_bytes());
    }
}
