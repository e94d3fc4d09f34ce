//! The status file of a store on the simulated disk.
//!
//! # Invariant
//!
//! It is no part of a store's truth. So its writes are no operations of the disk: they move no power cut to another
//! place, and a crashed disk has no such file.

use std::fmt;
use std::io::{self, ErrorKind, IoSlice};
use std::sync::Arc;

use super::state::Shared;
use crate::fs::{Access, File, Region};
use crate::ids::ByteOffset;

pub(super) struct SimStatus {
    shared: Arc<Shared>,
    access: Access,
}

impl SimStatus {
    /// Opens the file. For writing it is created where it is missing.
    pub(super) fn open(shared: &Arc<Shared>, access: Access) -> io::Result<Self> {
        let mut state = shared.lock();
        state.running()?;
        match access {
            Access::Read if state.status.is_none() => return Err(ErrorKind::NotFound.into()),
            Access::Read => {}
            Access::ReadWrite => drop(state.status.get_or_insert_default()),
        }
        drop(state);
        Ok(Self { shared: Arc::clone(shared), access })
    }

    /// Looks at the bytes, or changes them.
    fn bytes<T>(&self, look: impl FnOnce(&mut Vec<u8>) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.shared.lock();
        state.running()?;
        look(state.status.as_mut().ok_or(ErrorKind::NotFound)?)
    }

    fn write(&self, change: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> io::Result<()> {
        match self.access {
            Access::Read => Err(ErrorKind::PermissionDenied.into()),
            Access::ReadWrite => self.bytes(change),
        }
    }
}

fn place(at: u64) -> io::Result<usize> {
    usize::try_from(at).map_err(|_| ErrorKind::InvalidInput.into())
}

impl File for SimStatus {
    fn len(&self) -> io::Result<u64> {
        self.bytes(|bytes| Ok(bytes.len() as u64))
    }

    fn read_at(&self, at: ByteOffset, buf: &mut [u8]) -> io::Result<()> {
        self.bytes(|bytes| {
            let from = bytes.get(place(at.0)?..).ok_or(ErrorKind::UnexpectedEof)?;
            buf.copy_from_slice(from.get(..buf.len()).ok_or(ErrorKind::UnexpectedEof)?);
            Ok(())
        })
    }

    fn write_at(&self, at: ByteOffset, bufs: &mut [IoSlice<'_>]) -> io::Result<()> {
        self.write(|bytes| {
            let mut at = place(at.0)?;
            for buf in bufs {
                let end = at + buf.len();
                bytes.resize(bytes.len().max(end), 0);
                bytes[at..end].copy_from_slice(buf);
                at = end;
            }
            Ok(())
        })
    }

    fn sync(&self) -> io::Result<()> {
        self.bytes(|_| Ok(()))
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.write(|bytes| {
            bytes.resize(place(len)?, 0);
            Ok(())
        })
    }

    fn start_writeback(&self, _at: ByteOffset, _len: u64) {}

    fn write_back(&self, _at: ByteOffset, _len: u64) -> io::Result<()> {
        Ok(())
    }

    fn drop_cache(&self) {}

    fn map(&self, len: u64) -> io::Result<Region> {
        self.bytes(|bytes| {
            let mapped = bytes.get(..place(len)?).ok_or(ErrorKind::UnexpectedEof)?;
            Ok(Region::owned(mapped.into()))
        })
    }
}

impl fmt::Debug for SimStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimStatus").field("access", &self.access).finish_non_exhaustive()
    }
}
