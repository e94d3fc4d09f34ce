//! One open file of the operating system. All I/O is positional: no call moves a cursor, so calls
//! from several threads do not disturb one another.

use std::fs::File as StdFile;
use std::io::{self, IoSlice};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use rustix::io::{pwrite, pwritev, retry_on_intr};

use super::error::uninterrupted;
use super::{holes, map, writeback};
use crate::fs::{File, Region};
use crate::ids::ByteOffset;
use crate::words::bytes;

/// The slices one call takes; Linux and Apple's systems have this limit.
const SLICES_PER_CALL: usize = 1024;
/// The bytes one call is given. Linux writes at most 2 GiB less a page, Apple refuses over 2 GiB.
const BYTES_PER_CALL: usize = 1 << 30;
/// The end of the largest file: offsets are signed to the operating system.
const END_OF_FILES: u64 = i64::MAX.unsigned_abs();

#[derive(Debug)]
pub(super) struct OsFile(StdFile);

impl OsFile {
    pub(super) fn new(file: StdFile) -> Self {
        Self(file)
    }

    fn grow(&self, from: u64, to: u64) -> io::Result<()> {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        {
            use rustix::fs::{FallocateFlags, fallocate};
            use rustix::io::Errno;

            let reserve = || fallocate(&self.0, FallocateFlags::empty(), from, to - from);
            match retry_on_intr(reserve) {
                Err(Errno::NOTSUP | Errno::NOSYS) => {}
                reserved => return Ok(reserved?),
            }
        }
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        let _ = from;
        self.0.set_len(to)
    }
}

impl File for OsFile {
    fn len(&self) -> io::Result<u64> {
        Ok(uninterrupted(|| self.0.metadata())?.len())
    }

    fn data(&self, from: ByteOffset) -> io::Result<Option<Range<u64>>> {
        holes::data(&self.0, from.0)
    }

    fn read_at(&self, at: ByteOffset, buf: &mut [u8]) -> io::Result<()> {
        let end = at.0.checked_add(buf.len() as u64).filter(|end| *end <= END_OF_FILES);
        if end.is_none() && !buf.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.0.read_exact_at(buf, at.0)
    }

    fn write_at(&self, at: ByteOffset, bufs: &mut [IoSlice<'_>]) -> io::Result<()> {
        write_all(at.0, bufs, |rest, offset| match one_call(rest) {
            Call::Slices(count) => pwritev(&self.0, &rest[..count], offset),
            Call::Start => pwrite(&self.0, &rest[0][..BYTES_PER_CALL], offset),
        })
    }

    fn sync(&self) -> io::Result<()> {
        // fdatasync on Linux, F_FULLFSYNC on Apple's systems.
        self.0.sync_data()
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        let old = self.len()?;
        if len > old { self.grow(old, len) } else { self.0.set_len(len) }
    }

    fn start_writeback(&self, at: ByteOffset, len: u64) {
        writeback::start(&self.0, at.0, len);
    }

    fn write_back(&self, at: ByteOffset, len: u64) -> io::Result<()> {
        writeback::finish(&self.0, at.0, len)
    }

    fn drop_cache(&self) {
        #[cfg(not(target_vendor = "apple"))]
        {
            // A hint: what the file system makes of it is its own business.
            let _ = rustix::fs::fadvise(&self.0, 0, None, rustix::fs::Advice::DontNeed);
        }
    }

    fn map(&self, len: u64) -> io::Result<Region> {
        let found = self.len()?;
        if found < len {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!("cannot map {} of a file of {found}", bytes(len)),
            ));
        }
        if len == 0 {
            return Ok(Region::owned(Arc::new([])));
        }
        let len = usize::try_from(len).map_err(|_| io::ErrorKind::OutOfMemory)?;
        Ok(Region::mapped(map::map(&self.0, len)?))
    }
}

/// Writes all of `bufs` from `offset` on, in as many calls as that takes: one may write less than it was
/// given, or be interrupted.
fn write_all(
    mut offset: u64,
    bufs: &mut [IoSlice<'_>],
    mut call: impl FnMut(&[IoSlice<'_>], u64) -> rustix::io::Result<usize>,
) -> io::Result<()> {
    let mut rest = bufs;
    // Drops empty slices at the front, so that a call that writes nothing is always a failure.
    IoSlice::advance_slices(&mut rest, 0);
    while !rest.is_empty() {
        let written = retry_on_intr(|| call(rest, offset))?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        IoSlice::advance_slices(&mut rest, written);
        offset = offset.saturating_add(written as u64);
    }
    Ok(())
}

/// What the next call writes.
#[derive(Debug, PartialEq, Eq)]
enum Call {
    /// This many whole slices, at least one.
    Slices(usize),
    /// The first [`BYTES_PER_CALL`] bytes of the first slice, which is longer.
    Start,
}

/// As many whole slices as one call takes. `bufs` is not empty.
fn one_call(bufs: &[IoSlice<'_>]) -> Call {
    let mut room = BYTES_PER_CALL;
    let fits = |buf: &&IoSlice<'_>| match room.checked_sub(buf.len()) {
        Some(left) => {
            room = left;
            true
        }
        None => false,
    };
    match bufs.iter().take(SLICES_PER_CALL).take_while(fits).count() {
        0 => Call::Start,
        count => Call::Slices(count),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rustix::io::Errno;

    use super::*;

    /// How one call to the system goes.
    #[derive(Clone, Copy, Debug)]
    enum Way {
        /// It takes at most so many bytes.
        Takes(usize),
        Interrupted,
        Fails(i32),
    }

    fn way() -> impl Strategy<Value = Way> {
        let fails = [Errno::NOSPC, Errno::FBIG, Errno::IO, Errno::ROFS];
        prop_oneof![
            8 => (1..40_usize).prop_map(Way::Takes),
            3 => Just(Way::Interrupted),
            1 => proptest::sample::select(fails.map(Errno::raw_os_error).to_vec()).prop_map(Way::Fails),
        ]
    }

    proptest! {
        #[test]
        fn short_and_interrupted_writes_go_on_where_they_ended_and_failures_are_told(
            bufs in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..30), 0..12),
            ways in proptest::collection::vec(way(), 0..60),
        ) {
            const START: usize = 5;
            let all = bufs.concat();
            let mut disk = vec![0; START];
            let mut ways = ways.into_iter();
            let mut failed = None;
            let mut slices: Vec<_> = bufs.iter().map(|buf| IoSlice::new(buf)).collect();
            let done = write_all(START as u64, &mut slices, |rest, offset| {
                assert_eq!(offset, disk.len() as u64, "a gap, or bytes written twice");
                assert!(failed.is_none(), "a call after one that failed");
                let bytes = rest.iter().flat_map(|slice| slice.iter().copied());
                let most = match ways.next() {
                    Some(Way::Takes(most)) => most,
                    Some(Way::Interrupted) => return Err(Errno::INTR),
                    Some(Way::Fails(error)) => {
                        failed = Some(error);
                        return Err(Errno::from_raw_os_error(error));
                    }
                    None => usize::MAX,
                };
                let before = disk.len();
                disk.extend(bytes.take(most));
                Ok(disk.len() - before)
            });
            prop_assert_eq!(done.err().and_then(|error| error.raw_os_error()), failed);
            let written = &disk[START..];
            prop_assert_eq!(written, &all[..written.len()]);
            prop_assert!(failed.is_some() || written.len() == all.len());
        }
    }

    #[test]
    fn a_call_that_takes_nothing_is_a_failure_and_not_tried_for_ever() {
        let error = write_all(0, &mut [IoSlice::new(b"x")], |_, _| Ok(0)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WriteZero);
    }

    #[test]
    fn a_call_takes_no_more_slices_than_the_system_allows() {
        let slices = vec![IoSlice::new(b"x"); SLICES_PER_CALL + 1];
        assert_eq!(one_call(&slices), Call::Slices(SLICES_PER_CALL));
        assert_eq!(one_call(&slices[..3]), Call::Slices(3));
    }

    #[test]
    fn a_call_takes_no_more_bytes_than_the_system_allows() {
        // Zeroed memory that is never touched costs no memory.
        let large = vec![0; BYTES_PER_CALL + 1];
        let whole = IoSlice::new(&large[..BYTES_PER_CALL]);
        let byte = IoSlice::new(b"x");
        assert_eq!(one_call(&[IoSlice::new(&large), byte]), Call::Start);
        assert_eq!(one_call(&[byte, IoSlice::new(&large)]), Call::Slices(1));
        assert_eq!(one_call(&[whole, byte]), Call::Slices(1));
        assert_eq!(one_call(&[byte, whole]), Call::Slices(1));
        let half = IoSlice::new(&large[..BYTES_PER_CALL / 2]);
        assert_eq!(one_call(&[half, half, byte]), Call::Slices(2));
    }
}
