//! Descriptors of parts: opened when they are needed, and never too many at a time.
//!
//! # Invariants
//!
//! - Of all the handles of a process at most [`MOST_OPEN`] have a descriptor, and those that are
//!   [kept](Handle::keep).
//! - What is opened again under its name is the file that was there before: it has the same length and the
//!   same footer, which covers every other byte of it.
//! - A part that may still be read is kept open before its name is removed.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};

use super::format::{PART_BLOCK, PART_BLOCK_LEN, seal_of};
use crate::fs::{Access, ByteOffset, File, FileName, FileSystem};

/// A process may have 256 descriptors where the system is stingy, and needs others for its own work.
/// Merging leaves 48 parts of a tree at most under the default policy.
const MOST_OPEN: usize = 128;

/// Those that have a descriptor which may be closed, the one that has waited longest first.
static OPEN: Mutex<VecDeque<Weak<Handle>>> = Mutex::new(VecDeque::new());

/// A part's file, open or to be opened.
#[derive(Debug)]
pub(super) struct Handle {
    fs: Arc<dyn FileSystem>,
    name: FileName,
    len: u64,
    /// The checksum of the footer.
    seal: u64,
    file: RwLock<Option<Arc<dyn File>>>,
    /// Whether it was read since it was last passed over.
    used: AtomicBool,
    kept: AtomicBool,
}

impl Handle {
    /// A handle of the part `name`, which `file` is, `len` bytes long and with a footer that has the
    /// checksum `seal`.
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

    /// The file, opened again if it must be.
    ///
    /// # Errors
    ///
    /// Whatever opening reports, `NotFound` if the name is gone, and `InvalidData` if another file has it.
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
        // It may have been closed before it was kept, and not since.
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

    /// Notes that there is one descriptor more, and closes another where there are too many.
    fn opened(self: &Arc<Self>) {
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|handle| handle.strong_count() > 0);
        open.push_back(Arc::downgrade(self));
        // One that was used is passed over once.
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
            // One that is being read or opened is not waited for.
            match handle.file.try_write() {
                Ok(mut file) if !used => drop(file.take()),
                _ => open.push_back(Arc::downgrade(&handle)),
            }
        }
    }
}
