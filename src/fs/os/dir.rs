//! Opening and listing the store's directories.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawMode, openat, statat};
use rustix::io::{Errno, retry_on_intr};

use super::LOCK;
use super::error::not_directory;
use crate::fs::{Dir, Entry, FileName};

/// Opens a directory of the store. The store's own may be reached through links, the inner ones not.
pub(super) fn open(root: &Path, dir: Dir) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = retry_on_intr(|| openat(rustix::fs::CWD, root, flags, Mode::empty()))?;
    if dir == Dir::Root {
        return Ok(root.into());
    }
    let inner = || openat(&root, dir.path(), flags | OFlags::NOFOLLOW, Mode::empty());
    match retry_on_intr(inner) {
        Ok(inner) => Ok(inner.into()),
        Err(Errno::NOTDIR | Errno::LOOP) => Err(not_directory()),
        Err(error) => Err(error.into()),
    }
}

pub(super) fn list(root: &Path, dir: Dir) -> io::Result<Vec<Entry>> {
    let handle = open(root, dir)?;
    let mut entries = Vec::new();
    for found in retry_on_intr(|| rustix::fs::Dir::read_from(&handle))? {
        let found = found?;
        let base = found.file_name();
        if matches!(base.to_bytes(), b"." | b"..") {
            continue;
        }
        let stat = match retry_on_intr(|| statat(handle.as_fd(), base, AtFlags::SYMLINK_NOFOLLOW)) {
            Ok(stat) => stat,
            // Removed since the directory was read.
            Err(Errno::NOENT) => continue,
            Err(error) => return Err(error.into()),
        };
        #[allow(clippy::useless_conversion, reason = "the width differs between platforms")]
        let file_type = FileType::from_raw_mode(RawMode::from(stat.st_mode));
        let text = base.to_string_lossy();
        if dir == Dir::Root && is_ours(&text, file_type) {
            continue;
        }
        entries.push(match FileName::parse(dir, &text) {
            Some(name) if file_type == FileType::RegularFile => {
                Entry::File(name, u64::try_from(stat.st_size).unwrap_or(0))
            }
            _ => Entry::Other(text.into_owned()),
        });
    }
    Ok(entries)
}

/// Whether this entry of the root is the lock file or an inner directory, and really is one.
fn is_ours(base: &str, file_type: FileType) -> bool {
    match file_type {
        FileType::RegularFile => base == LOCK,
        FileType::Directory => Dir::INNER.iter().any(|dir| dir.path() == base),
        _ => false,
    }
}
