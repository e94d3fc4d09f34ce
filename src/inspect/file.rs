//! A file at any path, opened for reading only.

use std::io::{self, IoSlice};
use std::ops::Range;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

use rustix::fs::OFlags;

use crate::fs::{File, Region, uninterrupted};
use crate::ids::ByteOffset;

/// A file opened for inspection.
#[derive(Debug)]
pub(super) struct Looked(std::fs::File);

impl Looked {
    pub(super) fn open(path: &Path) -> io::Result<Arc<dyn File>> {
        // Opening a FIFO would wait for a writer.
        let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
        let file = std::fs::OpenOptions::new().read(true).custom_flags(flags).open(path)?;
        if !uninterrupted(|| file.metadata())?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
        }
        Ok(Arc::new(Self(file)))
    }
}

fn refused<T>() -> io::Result<T> {
    Err(io::ErrorKind::Unsupported.into())
}

impl File for Looked {
    fn len(&self) -> io::Result<u64> {
        Ok(uninterrupted(|| self.0.metadata())?.len())
    }

    fn data(&self, from: ByteOffset) -> io::Result<Option<Range<u64>>> {
        crate::fs::data(&self.0, from.0)
    }

    fn read_at(&self, at: ByteOffset, buf: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(buf, at.0)
    }

    fn write_at(&self, _: ByteOffset, _: &mut [IoSlice<'_>]) -> io::Result<()> {
        refused()
    }

    fn sync(&self) -> io::Result<()> {
        refused()
    }

    fn allocate(&self, _: u64) -> io::Result<()> {
        refused()
    }

    fn start_writeback(&self, _: ByteOffset, _: u64) {}

    fn write_back(&self, _: ByteOffset, _: u64) -> io::Result<()> {
        refused()
    }

    fn drop_cache(&self) {}

    fn map(&self, _: u64) -> io::Result<Region> {
        refused()
    }
}
