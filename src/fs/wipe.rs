//! Overwrites files whose bytes must not stay on the disk.
//!
//! # Invariants
//!
//! - A file is overwritten only if it is not read and it has no other name, see
//!   [`FileSystem::open_to_wipe`]. So no mapping changes under a reader, and no hard link of a backup loses its
//!   bytes.
//! - A file is removed only after its zeros are durable. A power cut in between leaves the file, under its name,
//!   to be found by listing.
//!
//! The zeros go where the bytes were on a file system that writes in place, such as ext4 and XFS. On one that
//! writes elsewhere, and on a device that does, old bytes stay until they are used again.

use std::io::{self, IoSlice};
use std::sync::Arc;

use super::{ByteOffset, File, FileKind, FileName, FileSystem, Wipeable};
use crate::mutant::mutant;

/// Bytes written and handed to the device at a time, so that the log's own sync never waits for many.
const STEP: u64 = 256 << 10;

/// What became of a file that was to be wiped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wiped {
    /// All its bytes are zeros, durably. So many were written.
    Zeros { bytes: u64 },
    /// A reader has it open. It is unchanged.
    InUse {
        /// Bytes of the file.
        len: u64,
    },
    /// It has another name, and its bytes are unchanged.
    Linked,
}

/// Writes zeros over all bytes of `file` from `from` on, and makes them durable. Holes stay. Returns how many bytes
/// were written.
pub(crate) fn overwrite(file: &dyn File, from: u64) -> io::Result<u64> {
    let written = write_zeros(file, from)?;
    if written > 0 {
        file.sync()?;
    }
    Ok(written)
}

fn write_zeros(file: &dyn File, from: u64) -> io::Result<u64> {
    let zeros = vec![0; usize::try_from(STEP).unwrap_or(0)];
    let (mut at, mut written) = (from, 0);
    while let Some(data) = file.data(ByteOffset(at))? {
        at = at.max(data.start);
        while at < data.end {
            let len = (data.end - at).min(STEP);
            let step = &zeros[..usize::try_from(len).unwrap_or(0)];
            file.write_at(ByteOffset(at), &mut [IoSlice::new(step)])?;
            file.write_back(ByteOffset(at), len)?;
            at += len;
            written += len;
        }
    }
    Ok(written)
}

fn wipe_open(fs: &dyn FileSystem, name: FileName) -> io::Result<(Wiped, Option<Arc<dyn File>>)> {
    Ok(match fs.open_to_wipe(name)? {
        Wipeable::Alone(file) => {
            let bytes = match (mutant!(fs, NothingWiped), mutant!(fs, WipeUnsynced)) {
                (true, _) => 0,
                (_, true) => write_zeros(&*file, 0)?,
                _ => overwrite(&*file, 0)?,
            };
            (Wiped::Zeros { bytes }, Some(file))
        }
        Wipeable::InUse { len } => (Wiped::InUse { len }, None),
        Wipeable::Linked => (Wiped::Linked, None),
    })
}

/// Makes all bytes of a file zeros, durably, where it is not read and has no other name.
pub(crate) fn wipe(fs: &dyn FileSystem, name: FileName) -> io::Result<Wiped> {
    wipe_open(fs, name).map(|(wiped, _)| wiped)
}

/// Removes a file that nothing refers to. In a store in which entries were `erased`, a file that may have entries is
/// wiped first, and is left if it is in use.
pub(crate) fn give_up(fs: &dyn FileSystem, name: FileName, erased: bool) -> io::Result<Wiped> {
    match erased && matches!(name.kind, FileKind::Part | FileKind::Segment) {
        true => wipe_and_remove(fs, name),
        false => fs.remove(name).map(|()| Wiped::Zeros { bytes: 0 }),
    }
}

/// As [`wipe`], and removes the file unless it is in use.
pub(crate) fn wipe_and_remove(fs: &dyn FileSystem, name: FileName) -> io::Result<Wiped> {
    // The file stays open until its name is gone, so no reader begins to read zeros.
    let (wiped, _file) = wipe_open(fs, name)?;
    if !matches!(wiped, Wiped::InUse { .. }) {
        fs.remove(name)?;
    }
    Ok(wiped)
}
