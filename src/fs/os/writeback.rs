//! Handing dirty pages to the device early, where the operating system has a call for it.

use std::fs::File;
use std::io;

/// Starts writing `[at, at + len)` without waiting. Failures do not matter: the next sync is what
/// makes the bytes durable, and what reports their errors.
pub(super) fn start(file: &File, at: u64, len: u64) {
    let _ = sys::hand_over(file, at, len, sys::WRITE);
}

/// The same, and waits until the device has all of it. Linux reports an error of writing back once to
/// each open file: a caller of this gets the one that the next sync would have got.
pub(super) fn finish(file: &File, at: u64, len: u64) -> io::Result<()> {
    sys::hand_over(file, at, len, sys::WAIT_BEFORE | sys::WRITE | sys::WAIT_AFTER)
}

#[cfg(target_os = "linux")]
mod sys {
    use std::ffi::{c_int, c_uint};
    use std::fs::File;
    use std::io;
    use std::os::fd::AsRawFd;

    use rustix::io::Errno;

    pub(super) const WAIT_BEFORE: c_uint = 1;
    pub(super) const WRITE: c_uint = 2;
    pub(super) const WAIT_AFTER: c_uint = 4;

    pub(super) fn hand_over(file: &File, at: u64, len: u64, flags: c_uint) -> io::Result<()> {
        // A length of nought would mean the whole rest of the file.
        let (Ok(at), Ok(len @ 1..)) = (i64::try_from(at), i64::try_from(len)) else {
            return Ok(());
        };
        if sync_file_range(file.as_raw_fd(), at, len, flags) == 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        match Errno::from_io_error(&error) {
            // Not on this file system, or a range beyond what files can have.
            Some(Errno::NOSYS | Errno::INVAL | Errno::NOTSUP | Errno::SPIPE) => Ok(()),
            _ => Err(error),
        }
    }

    #[expect(unsafe_code, reason = "the C library's function has no safe wrapper elsewhere")]
    // SAFETY: this is the declaration of glibc and musl, whose offsets are 64 bits wide on every
    // architecture. The call reads and writes no memory of ours, so any arguments are safe.
    unsafe extern "C" {
        safe fn sync_file_range(fd: c_int, offset: i64, bytes: i64, flags: c_uint) -> c_int;
    }
}

#[cfg(not(target_os = "linux"))]
mod sys {
    use std::fs::File;
    use std::io;

    pub(super) const WAIT_BEFORE: u32 = 0;
    pub(super) const WRITE: u32 = 0;
    pub(super) const WAIT_AFTER: u32 = 0;

    #[expect(clippy::unnecessary_wraps, reason = "as on Linux")]
    pub(super) fn hand_over(_: &File, _: u64, _: u64, _: u32) -> io::Result<()> {
        Ok(())
    }
}
