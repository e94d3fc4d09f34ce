//! Open files and the lock of the simulated disk.

use std::fmt;
use std::io::{self, IoSlice};
use std::sync::Arc;

use super::contents::InodeId;
use super::inode::space;
use super::operation::Operation;
use super::state::{Shared, State, Step};
use crate::fs::{Access, File, FileName, Region, StoreLock};
use crate::ids::ByteOffset;

/// The end of the largest file, as for the operating system.
const END_OF_FILES: u64 = i64::MAX.unsigned_abs();

pub(super) struct SimFile {
    shared: Arc<Shared>,
    id: InodeId,
    access: Access,
    /// The lock that the handle and its mappings have.
    lock: Option<Arc<HeldLock>>,
}

/// A lock of a file, until the handle and all its mappings are dropped.
struct HeldLock {
    shared: Arc<Shared>,
    id: InodeId,
}

impl Drop for HeldLock {
    fn drop(&mut self) {
        self.shared.lock().unlock(self.id);
    }
}

impl SimFile {
    /// A handle that `State::opened` has counted.
    pub(super) fn new(shared: Arc<Shared>, id: InodeId, access: Access) -> Self {
        Self { shared, id, access, lock: None }
    }

    /// This handle, which shares the file with others that read it.
    pub(super) fn sharing(mut self, state: &mut State) -> Self {
        state.share(self.id);
        self.lock = Some(self.held());
        self
    }

    /// This handle, which excludes all who would read the file.
    pub(super) fn wiping(mut self, state: &mut State) -> Self {
        state.exclude(self.id);
        self.lock = Some(self.held());
        self
    }

    fn held(&self) -> Arc<HeldLock> {
        Arc::new(HeldLock { shared: Arc::clone(&self.shared), id: self.id })
    }

    fn name(&self, state: &State) -> io::Result<FileName> {
        Ok(state.contents.file(self.id)?.names.last())
    }

    fn read(&self, at: u64, buf: &mut [u8]) -> io::Result<()> {
        let mut state = self.shared.lock();
        let mut waits = false;
        loop {
            let name = self.name(&state)?;
            if !state.faults.holds_read(name, waits) {
                break;
            }
            waits = true;
            state = self.shared.wait_for_change(state);
        }
        let end = at.saturating_add(buf.len() as u64);
        state.readable(self.name(&state)?, &(at..end))?;
        let cache = state.contents.file(self.id)?.cache();
        if !buf.is_empty() && end > cache.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        cache.read(at, buf);
        Ok(())
    }

    fn change<T>(
        &self,
        operation: impl FnOnce(FileName) -> Operation,
        act: impl FnOnce(&mut State, &mut Step) -> io::Result<T>,
    ) -> io::Result<T> {
        self.shared.operate(
            |state| Ok(operation(self.name(state)?)),
            |state, step| {
                if self.access == Access::Read {
                    let message = "the file is open for reading only";
                    return Err(io::Error::new(io::ErrorKind::PermissionDenied, message));
                }
                act(state, step)
            },
        )
    }
}

impl File for SimFile {
    fn len(&self) -> io::Result<u64> {
        let state = self.shared.lock();
        state.running()?;
        Ok(state.contents.file(self.id)?.cache().len())
    }

    fn read_at(&self, at: ByteOffset, buf: &mut [u8]) -> io::Result<()> {
        self.read(at.0, buf)
    }

    fn write_at(&self, at: ByteOffset, bufs: &mut [IoSlice<'_>]) -> io::Result<()> {
        let bytes = bufs.iter().fold(Vec::new(), |mut bytes, buf| {
            bytes.extend_from_slice(buf);
            bytes
        });
        let len = bytes.len() as u64;
        self.change(
            |file| Operation::Write { file, at, len },
            |state, step| {
                let end = at.0.checked_add(len).filter(|end| *end <= END_OF_FILES);
                if end.is_none() && len > 0 {
                    return Err(io::ErrorKind::FileTooLarge.into());
                }
                let longest = state.longest(state.contents.file(self.id)?.space());
                let room = usize::try_from(longest.saturating_sub(at.0)).unwrap_or(usize::MAX);
                let file = state.contents.file_mut(self.id)?;
                let fits = &bytes[..bytes.len().min(room)];
                file.write(step.now, at.0, fits, &mut step.chooser);
                if fits.len() < bytes.len() {
                    return Err(io::ErrorKind::StorageFull.into());
                }
                Ok(())
            },
        )
    }

    fn sync(&self) -> io::Result<()> {
        self.shared.operate(
            |state| Ok(Operation::Sync(self.name(state)?)),
            |state, step| {
                let file = state.contents.file_mut(self.id)?;
                match step.failure {
                    None => file.settle(step.begun, &mut step.chooser),
                    Some(_) => file.settle_badly(step.begun, &mut step.chooser),
                }
                Ok(())
            },
        )
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.change(
            |file| Operation::Allocate { file, len },
            |state, step| {
                step.happens()?;
                if len > END_OF_FILES {
                    return Err(io::ErrorKind::FileTooLarge.into());
                }
                let taken = state.contents.file(self.id)?.space();
                if space(len) > taken && space(len) > state.longest(taken) {
                    return Err(io::ErrorKind::StorageFull.into());
                }
                state.contents.file_mut(self.id)?.set_len(step.now, len);
                Ok(())
            },
        )
    }

    fn start_writeback(&self, _at: ByteOffset, _len: u64) {}

    fn write_back(&self, at: ByteOffset, len: u64) -> io::Result<()> {
        self.shared.operate(
            |state| Ok(Operation::WriteBack { file: self.name(state)?, at, len }),
            |state, step| {
                if step.failure.is_some() {
                    let file = state.contents.file_mut(self.id)?;
                    file.settle_badly(step.begun, &mut step.chooser);
                }
                Ok(())
            },
        )
    }

    fn drop_cache(&self) {
        let mut state = self.shared.lock();
        if state.running().is_ok()
            && let Ok(file) = state.contents.file_mut(self.id)
        {
            file.drop_cache();
        }
    }

    fn map(&self, len: u64) -> io::Result<Region> {
        if self.len()? < len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let size = usize::try_from(len).map_err(|_| io::ErrorKind::OutOfMemory)?;
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(size).map_err(|_| io::ErrorKind::OutOfMemory)?;
        bytes.resize(size, 0);
        self.read(0, &mut bytes)?;
        Ok(match &self.lock {
            Some(lock) => Region::holding(bytes.into(), Arc::clone(lock) as _),
            None => Region::owned(bytes.into()),
        })
    }
}

impl fmt::Debug for SimFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name(&self.shared.lock()).map(|name| name.to_string());
        f.debug_struct("SimFile").field("name", &name).field("access", &self.access).finish()
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        self.shared.lock().closed(self.id);
    }
}

pub(super) struct SimLock(Arc<Shared>);

impl SimLock {
    /// Releases a lock that is held.
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self(shared)
    }
}

impl StoreLock for SimLock {}

impl fmt::Debug for SimLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SimLock")
    }
}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.0.lock().locked = false;
    }
}
