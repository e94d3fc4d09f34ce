//! File descriptors of parts: opened on demand, with a limit on their number.
//!
//! # Invariants
//!
//! - At most [`MOST_OPEN`] handles of a process have a descriptor, plus those that are
//!   [kept](Handle::keep).
//! - A file that is reopened by name is the same file as before. It has the same length and the same
//!   footer, and the footer covers every other byte of the file.
//! - A part that may still be read is kept open before its name is removed.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};

use super::format::{PART_BLOCK, PART_BLOCK_LEN, seal_of};
use crate::fs::{Access, ByteOffset, File, FileName, FileSystem};

/// Some systems allow a process 256 descriptors, and the process needs others for its own work. Under
/// the default policy merging leaves at most 48 parts of a tree.
const MOST_OPEN: usize = 128;

/// A queue of the handles whose descriptor may be closed. The next candidate is in front.
static OPEN: Mutex<VecDeque<Weak<Handle>>> = Mutex::new(VecDeque::new());

/// The file of a part, open or closed.
#[derive(Debug)]
pub(super) struct Handle {
    fs: Arc<dyn FileSystem>,
    name: FileName,
    len: u64,
    /// The checksum of the footer.
    seal: u64,
    file: RwLock<Option<Arc<dyn File>>>,
    /// Whether the file was read since the last pass over the queue.
    used: AtomicBool,
    kept: AtomicBool,
}

impl Handle {
    /// A handle of the part `name`. `file` is the open file, `len` its length in bytes and `seal` the
    /// checksum of its footer.
    pub(super) fn new(
        fs: Arc<dyn FileSystem>,
        name: FileName,
        len: u64,
        seal: u64,
        file: Arc<dyn File>,
    ) -> Arc<Self> {
        let (file, used, kept) = (RwLock::new(Some(file)), true.into(), false.into());
        let handle = Arc::new(Self { fs, name, len, seal, file, used, kept });
        handle.opened();
        handle
    }

    /// Returns the file. Reopens it if it was closed.
    ///
    /// # Errors
    ///
    /// Any error of opening the file. `NotFound` if the name is gone. `InvalidData` if another file has
    /// the name.
    pub(super) fn file(self: &Arc<Self>) -> io::Result<Arc<dyn File>> {
        self.used.store(true, Ordering::Relaxed);
        if let Some(file) = &*self.file.read().unwrap_or_else(PoisonError::into_inner) {
            return Ok(Arc::clone(file));
        }
        let mut slot = self.file.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = &*slot {
            return Ok(Arc::clone(file));
        }
        let file = self.open()?;
        *slot = Some(Arc::clone(&file));
        drop(slot);
        self.opened();
        Ok(file)
    }

    /// Keeps the file open for as long as the handle lives.
    ///
    /// # Errors
    ///
    /// As [`file`](Self::file).
    pub(super) fn keep(self: &Arc<Self>) -> io::Result<()> {
        self.kept.store(true, Ordering::Relaxed);
        // Another thread may have closed the file before `kept` was set, but not after this lock was
        // held.
        drop(OPEN.lock().unwrap_or_else(PoisonError::into_inner));
        self.file().map(drop)
    }

    fn open(&self) -> io::Result<Arc<dyn File>> {
        let file = self.fs.open(self.name, Access::Read)?;
        let mut footer = [0; PART_BLOCK_LEN];
        let at = ByteOffset(self.len.saturating_sub(PART_BLOCK));
        if file.len()? == self.len {
            file.read_at(at, &mut footer)?;
            if seal_of(&footer) == self.seal {
                return Ok(file);
            }
        }
        Err(io::Error::new(io::ErrorKind::InvalidData, "another file has the part's name"))
    }

    /// Adds this handle to the queue, and closes other files if too many are open.
    fn opened(self: &Arc<Self>) {
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|handle| handle.strong_count() > 0);
        open.push_back(Arc::downgrade(self));
        // A handle that was used is skipped once.
        for _ in 0..2 * open.len() {
            if open.len() <= MOST_OPEN {
                break;
            }
            let Some(handle) = open.pop_front().and_then(|handle| handle.upgrade()) else {
                continue;
            };
            if handle.kept.load(Ordering::Relaxed) {
                continue;
            }
            let used = handle.used.swap(false, Ordering::Relaxed);
            // Never waits for a handle that is being read or opened.
            match handle.file.try_write() {
                Ok(mut file) if !used => drop(file.take()),
                _ => open.push_back(Arc::downgrade(&handle)),
            }
        }
    }
}
