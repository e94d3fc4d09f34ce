//! Where a file has bytes on the disk and where it has holes.

use std::fs::File;
use std::io;
use std::ops::Range;

use super::error::uninterrupted;

/// The first stretch at or behind `from` that is no hole. Where the system, or the file system, has no
/// call for it, that is all that is left of the file.
pub(crate) fn data(file: &File, from: u64) -> io::Result<Option<Range<u64>>> {
    let len = uninterrupted(|| file.metadata())?.len();
    if from >= len {
        return Ok(None);
    }
    #[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
    {
        use rustix::fs::{SeekFrom, seek};
        use rustix::io::{Errno, retry_on_intr};

        // Nothing else looks at the cursor that this moves.
        let start = match retry_on_intr(|| seek(file, SeekFrom::Data(from))) {
            Ok(start) => start,
            Err(Errno::NXIO) => return Ok(None),
            Err(Errno::INVAL | Errno::NOTSUP | Errno::NOSYS) => return Ok(Some(from..len)),
            Err(error) => return Err(error.into()),
        };
        let end = match retry_on_intr(|| seek(file, SeekFrom::Hole(start))) {
            Ok(end) => end,
            // The file has become shorter.
            Err(Errno::NXIO) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        Ok((start < end).then_some(start..end))
    }
    #[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
    Ok(Some(from..len))
}
