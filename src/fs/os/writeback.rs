//! Handing dirty pages to the device early, where the operating system has a call for it.

use std::fs::File;

/// Starts writing `[at, at + len)` without waiting. Failures do not matter: the next sync is what
/// makes the bytes durable, and what reports their errors.
#[cfg(target_os = "linux")]
pub(super) fn start(file: &File, at: u64, len: u64) {
    use std::os::fd::AsRawFd;

    // A length of nought would mean the whole rest of the file.
    if let (Ok(at), Ok(len @ 1..)) = (i64::try_from(at), i64::try_from(len)) {
        let _ = sys::sync_file_range(file.as_raw_fd(), at, len, sys::SYNC_FILE_RANGE_WRITE);
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn start(_file: &File, _at: u64, _len: u64) {}

#[cfg(target_os = "linux")]
mod sys {
    use std::ffi::{c_int, c_uint};

    pub(super) const SYNC_FILE_RANGE_WRITE: c_uint = 2;

    #[expect(unsafe_code, reason = "the C library's function has no safe wrapper elsewhere")]
    // SAFETY: this is the declaration of glibc and musl, whose offsets are 64 bits wide on every
    // architecture. The call reads and writes no memory of ours, so any arguments are safe.
    unsafe extern "C" {
        pub(super) safe fn sync_file_range(
            fd: c_int,
            offset: i64,
            bytes: i64,
            flags: c_uint,
        ) -> c_int;
    }
}
