//! How far a length is believed that stands in a file, or is a file's own.
//!
//! # Invariant
//!
//! What a number from the disk makes this process allocate or walk through is at most [`MOST`] times the
//! bytes that the disk really holds, and [`FREE`] bytes more. A file with a hole can be of any length and
//! take no room, and its checksums can be right.

use std::io;
use std::ops::Range;

use super::{ByteOffset, File};

/// How many bytes of a file are believed for each that the disk holds. A file system that compresses
/// keeps at least one page for 128 KiB that are not all zeros, and a tree of equal leaves has a sixteenth
/// or more of its nodes above them, which are not.
const MOST: u64 = 1024;
/// What is believed in any case.
const FREE: u64 = 1 << 20;

/// How many bytes the disk holds of `range` if those are too few for it to be what was written;
/// `None` if they are enough.
///
/// # Errors
///
/// Whatever the disk reports.
pub(crate) fn too_few(file: &dyn File, range: Range<u64>) -> io::Result<Option<u64>> {
    let wanted = range.end.saturating_sub(range.start).saturating_sub(FREE).div_ceil(MOST);
    let mut held = 0_u64;
    let mut at = range.start;
    while held < wanted {
        let Some(data) = file.data(ByteOffset(at))? else { return Ok(Some(held)) };
        let data = data.start.max(at)..data.end.min(range.end);
        if data.is_empty() {
            return Ok(Some(held));
        }
        held += data.end - data.start;
        at = data.end;
    }
    Ok(None)
}

/// `len` zeros, if there is memory for them.
///
/// # Errors
///
/// `OutOfMemory`.
pub(crate) fn zeros(len: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    resize(&mut bytes, len)?;
    Ok(bytes)
}

/// Makes `bytes` as long as `len` says, if there is memory for that.
///
/// # Errors
///
/// `OutOfMemory`.
pub(crate) fn resize(bytes: &mut Vec<u8>, len: u64) -> io::Result<()> {
    let len = usize::try_from(len).map_err(|_| io::ErrorKind::OutOfMemory)?;
    bytes.try_reserve(len.saturating_sub(bytes.len())).map_err(|_| io::ErrorKind::OutOfMemory)?;
    bytes.resize(len, 0);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::IoSlice;

    use super::*;
    use crate::fs::Region;

    /// A file of which only stretches are there.
    #[derive(Debug)]
    struct Holes(Vec<Range<u64>>);

    impl File for Holes {
        fn len(&self) -> io::Result<u64> {
            Ok(1 << 50)
        }

        fn data(&self, from: ByteOffset) -> io::Result<Option<Range<u64>>> {
            let later = self.0.iter().find(|data| data.end > from.0);
            Ok(later.map(|data| data.start.max(from.0)..data.end))
        }

        fn read_at(&self, _: ByteOffset, _: &mut [u8]) -> io::Result<()> {
            Err(io::ErrorKind::Unsupported.into())
        }

        fn write_at(&self, _: ByteOffset, _: &mut [IoSlice<'_>]) -> io::Result<()> {
            Err(io::ErrorKind::Unsupported.into())
        }

        fn sync(&self) -> io::Result<()> {
            Err(io::ErrorKind::Unsupported.into())
        }

        fn allocate(&self, _: u64) -> io::Result<()> {
            Err(io::ErrorKind::Unsupported.into())
        }

        fn start_writeback(&self, _: ByteOffset, _: u64) {}

        fn write_back(&self, _: ByteOffset, _: u64) -> io::Result<()> {
            Err(io::ErrorKind::Unsupported.into())
        }

        fn drop_cache(&self) {}

        fn map(&self, _: u64) -> io::Result<Region> {
            Err(io::ErrorKind::Unsupported.into())
        }
    }

    #[test]
    fn a_length_is_believed_as_far_as_the_disk_holds_bytes_for_it() {
        let page = 4096;
        let full = Holes(std::iter::once(0..1 << 50).collect());
        assert_eq!(too_few(&full, 0..1 << 50).unwrap(), None);
        let none = Holes(Vec::new());
        assert_eq!(too_few(&none, 0..FREE).unwrap(), None);
        assert_eq!(too_few(&none, 0..FREE + 1).unwrap(), Some(0));
        let ends = Holes(vec![0..page, (1 << 45) - page..1 << 45]);
        assert_eq!(too_few(&ends, 0..1 << 45).unwrap(), Some(2 * page));
        assert_eq!(too_few(&ends, 0..FREE + 1024 * page).unwrap(), None);
        assert_eq!(too_few(&ends, page..FREE + 2 * page).unwrap(), Some(0));
        // One page of every 4 MiB is as much as a file system that compresses would keep.
        let some = Holes((0..1024).map(|at| at * 1024 * page..(at * 1024 + 1) * page).collect());
        assert_eq!(too_few(&some, 0..1024 * 1024 * page).unwrap(), None);
        assert_eq!(too_few(&some, 0..2048 * 1024 * page).unwrap(), Some(1024 * page));
    }

    #[test]
    fn memory_that_is_not_there_is_an_error() {
        assert_eq!(zeros(5).unwrap(), [0; 5]);
        assert_eq!(zeros(u64::MAX).unwrap_err().kind(), io::ErrorKind::OutOfMemory);
        assert_eq!(zeros(1 << 62).unwrap_err().kind(), io::ErrorKind::OutOfMemory);
    }
}
