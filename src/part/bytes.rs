//! The bytes of a part: mapped into memory, or read on demand.
//!
//! # Invariants
//!
//! - With [`ReadMode::Pread`] every access to the bytes of a part is a call that can fail.
//! - A [`Block`] that was read is a buffer of its own. A check of its bytes stays valid, whatever a
//!   later read of the same place returns.

use std::ops::{Deref, Range};
use std::path::PathBuf;
use std::sync::Arc;

use super::format::{PART_BLOCK, PART_BLOCK_LEN};
use super::handle::Handle;
use crate::config::ReadMode;
use crate::error::{Damage, Error, Problem, ReadError, Result};
use crate::fs::{File, FileName, FileSystem, Region};
use crate::ids::ByteOffset;

/// The bytes of an open part.
#[derive(Debug)]
pub(crate) struct Bytes {
    source: Source,
    len: u64,
    path: PathBuf,
}

#[derive(Debug)]
enum Source {
    Mapped(Region),
    File(Arc<Handle>),
}

/// One block: mapped memory, or a buffer that was read.
pub(crate) enum Block<'a> {
    Mapped(&'a [u8; PART_BLOCK_LEN]),
    Read(Box<[u8; PART_BLOCK_LEN]>),
}

impl Deref for Block<'_> {
    type Target = [u8; PART_BLOCK_LEN];

    fn deref(&self) -> &Self::Target {
        match self {
            Self::Mapped(block) => block,
            Self::Read(block) => block,
        }
    }
}

impl Bytes {
    /// Opens the bytes of `file`, which has this name. It has `len` bytes, and `seal` is the checksum at its end.
    pub(super) fn open(
        fs: &Arc<dyn FileSystem>,
        file: Arc<dyn File>,
        name: FileName,
        (len, seal): (u64, u64),
        mode: ReadMode,
    ) -> Result<Self> {
        let path = fs.display(name);
        let source = match mode {
            ReadMode::Mapped => {
                let region = file.map(len).map_err(|error| Error::io("map", &path, error))?;
                region.expect_random_reads();
                Source::Mapped(region)
            }
            ReadMode::Pread => Source::File(Handle::new(Arc::clone(fs), name, len, seal, file)),
        };
        Ok(Self { source, len, path })
    }

    /// Keeps the bytes readable after the name of the file is removed.
    pub(super) fn keep(&self) -> Result<()> {
        match &self.source {
            Source::Mapped(_) => Ok(()),
            Source::File(file) => file.keep().map_err(|error| Error::io("open", &self.path, error)),
        }
    }

    /// Copies the bytes at `at` into `out`.
    #[inline]
    pub(crate) fn read(&self, at: u64, out: &mut [u8]) -> Result<(), ReadError> {
        match &self.source {
            Source::Mapped(region) => {
                let start = usize::try_from(at).unwrap_or(usize::MAX);
                let end = start.saturating_add(out.len());
                out.copy_from_slice(region.get(start..end).ok_or_else(|| self.short(self.len))?);
                Ok(())
            }
            Source::File(handle) => {
                let file = handle.file().map_err(|error| self.not_opened(error))?;
                file.read_at(ByteOffset(at), out).map_err(|error| self.failed(&*file, at, error))
            }
        }
    }

    /// The bytes in mapped memory. `None` if the part is not mapped.
    #[inline]
    pub(super) fn region(&self) -> Option<&Region> {
        match &self.source {
            Source::Mapped(region) => Some(region),
            Source::File(_) => None,
        }
    }

    /// The bytes of `range` in mapped memory. `None` if the part is not mapped.
    #[inline]
    pub(crate) fn borrow(&self, range: Range<u64>) -> Option<&[u8]> {
        let Source::Mapped(region) = &self.source else { return None };
        region.get(usize::try_from(range.start).ok()?..usize::try_from(range.end).ok()?)
    }

    /// Block `number`.
    pub(crate) fn block(&self, number: u64) -> Result<Block<'_>, ReadError> {
        let at = number.saturating_mul(PART_BLOCK);
        if let Source::Mapped(region) = &self.source {
            let rest = usize::try_from(at).ok().and_then(|at| region.get(at..));
            let block = rest.and_then(<[u8]>::first_chunk);
            return block.map(Block::Mapped).ok_or_else(|| self.short(self.len));
        }
        let mut block = Box::new([0; PART_BLOCK_LEN]);
        self.read(at, &mut block[..])?;
        Ok(Block::Read(block))
    }

    #[cold]
    fn not_opened(&self, error: std::io::Error) -> ReadError {
        if error.kind() == std::io::ErrorKind::NotFound {
            return ReadError::Damaged(Damage::new(&self.path, 0, Problem::Missing));
        }
        ReadError::Failed(Box::new(Error::io("open", &self.path, error)))
    }

    #[cold]
    fn failed(&self, file: &dyn File, at: u64, error: std::io::Error) -> ReadError {
        // The file was long enough when it was opened.
        if error.kind() == std::io::ErrorKind::UnexpectedEof {
            return self.short(file.len().unwrap_or(at));
        }
        ReadError::Failed(Box::new(Error::io_at("read", &self.path, at, error)))
    }

    #[cold]
    fn short(&self, found: u64) -> ReadError {
        let problem = Problem::Truncated { expected: self.len, found };
        ReadError::Damaged(Damage::new(&self.path, 0, problem))
    }
}
