//! Opening and listing the store's directories.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RawMode, Stat, openat, statat};
use rustix::io::{Errno, retry_on_intr};

use super::error::not_directory;
use super::{LOCK, STATUS};
use crate::fs::{Dir, Entry, FileName};

const FLAGS: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// The identity of a file or directory. The number of a file that is gone is used again. So the moment of birth, where the file
/// system knows it, tells a file that nobody holds open from one that was made in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Id {
    device: u64,
    inode: u64,
    born: (i64, i64),
}

impl Id {
    pub(super) fn of(open: impl AsFd) -> io::Result<Self> {
        Ok(retry_on_intr(|| look(open.as_fd(), "", Follow::Nothing))?)
    }

    /// What `base` in `dir` is; `None` if it is nothing. Links are not followed.
    pub(super) fn at(dir: impl AsFd, base: &str) -> io::Result<Option<Self>> {
        found(retry_on_intr(|| look(dir.as_fd(), base, Follow::Nothing)))
    }

    /// What `path` leads to; `None` if it leads nowhere.
    pub(super) fn by_path(path: &Path) -> io::Result<Option<Self>> {
        found(retry_on_intr(|| look(CWD, path, Follow::Links)))
    }
}

fn found(looked: rustix::io::Result<Id>) -> io::Result<Option<Id>> {
    match looked {
        Ok(id) => Ok(Some(id)),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Follow {
    Links,
    Nothing,
}

/// Looks at `path` as seen from `dir`, or at `dir` itself if it is empty.
#[cfg(target_os = "linux")]
fn look<P: rustix::path::Arg>(
    dir: BorrowedFd<'_>,
    path: P,
    follow: Follow,
) -> rustix::io::Result<Id> {
    use rustix::fs::{StatxFlags, makedev, statx};

    let links = if follow == Follow::Links { AtFlags::empty() } else { AtFlags::SYMLINK_NOFOLLOW };
    let wanted = StatxFlags::INO | StatxFlags::BTIME;
    let found = statx(dir, path, links | AtFlags::EMPTY_PATH, wanted)?;
    let device = makedev(found.stx_dev_major, found.stx_dev_minor);
    // Where the file system has no time of birth, this is zero for all files.
    let born = found.stx_btime;
    Ok(Id { device, inode: found.stx_ino, born: (born.tv_sec, i64::from(born.tv_nsec)) })
}

/// Looks at `path` as seen from `dir`, or at `dir` itself if it is empty.
#[cfg(not(target_os = "linux"))]
#[allow(clippy::cast_sign_loss, clippy::unnecessary_cast, reason = "types differ")]
fn look<P: rustix::path::Arg>(
    dir: BorrowedFd<'_>,
    path: P,
    follow: Follow,
) -> rustix::io::Result<Id> {
    let path = path.into_c_str()?;
    let links = if follow == Follow::Links { AtFlags::empty() } else { AtFlags::SYMLINK_NOFOLLOW };
    let found = match path.is_empty() {
        true => rustix::fs::fstat(dir)?,
        false => statat(dir, &*path, links)?,
    };
    #[cfg(target_vendor = "apple")]
    let born = (found.st_birthtime as i64, found.st_birthtime_nsec as i64);
    #[cfg(not(target_vendor = "apple"))]
    let born = (0, 0);
    Ok(Id { device: found.st_dev as u64, inode: found.st_ino as u64, born })
}

/// Opens the store's own directory, which may be reached through links.
pub(super) fn open_root(path: &Path) -> io::Result<File> {
    Ok(retry_on_intr(|| openat(CWD, path, FLAGS, Mode::empty()))?.into())
}

/// A directory in the store's.
#[derive(Debug)]
pub(super) enum Inner {
    Open(File, Id),
    Missing,
    /// A link, a file, or anything else that is not followed.
    Other,
}

impl Inner {
    pub(super) fn open(root: impl AsFd, dir: Dir) -> io::Result<Self> {
        match retry_on_intr(|| openat(&root, dir.path(), FLAGS | OFlags::NOFOLLOW, Mode::empty())) {
            Ok(open) => {
                let id = Id::of(&open)?;
                Ok(Self::Open(open.into(), id))
            }
            Err(Errno::NOENT) => Ok(Self::Missing),
            Err(Errno::NOTDIR | Errno::LOOP) => Ok(Self::Other),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) fn handle(&self) -> io::Result<&File> {
        match self {
            Self::Open(open, _) => Ok(open),
            Self::Missing => Err(io::ErrorKind::NotFound.into()),
            Self::Other => Err(not_directory()),
        }
    }
}

/// Hands every entry of a directory to `each`, with what the system says of it.
pub(super) fn each(
    handle: BorrowedFd<'_>,
    mut each: impl FnMut(&OsStr, FileType, &Stat),
) -> io::Result<()> {
    // This opens the directory again, with a cursor of its own.
    for found in retry_on_intr(|| rustix::fs::Dir::read_from(handle))? {
        let found = found?;
        let base = found.file_name();
        if matches!(base.to_bytes(), b"." | b"..") {
            continue;
        }
        let stat = match retry_on_intr(|| statat(handle, base, AtFlags::SYMLINK_NOFOLLOW)) {
            Ok(stat) => stat,
            // Removed since the directory was read.
            Err(Errno::NOENT) => continue,
            Err(error) => return Err(error.into()),
        };
        #[allow(clippy::useless_conversion, reason = "the width differs between platforms")]
        let file_type = FileType::from_raw_mode(RawMode::from(stat.st_mode));
        each(OsStr::from_bytes(base.to_bytes()), file_type, &stat);
    }
    Ok(())
}

pub(super) fn list(handle: BorrowedFd<'_>, dir: Dir) -> io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    each(handle, |base, file_type, stat| {
        if dir == Dir::Root && is_expected(base, file_type) {
            return;
        }
        entries.push(match FileName::parse(dir, base) {
            Some(name) if file_type == FileType::RegularFile => {
                Entry::File(name, u64::try_from(stat.st_size).unwrap_or(0))
            }
            _ => Entry::Other(base.to_owned()),
        });
    })?;
    Ok(entries)
}

/// The store's files in an inner directory.
pub(super) fn files(handle: BorrowedFd<'_>, dir: Dir) -> io::Result<Vec<(FileName, Id)>> {
    let mut files = Vec::new();
    each(handle, |base, file_type, _| {
        if let Some(name) = FileName::parse(dir, base)
            && file_type == FileType::RegularFile
        {
            files.push(name);
        }
    })?;
    let identified = files.into_iter().filter_map(|name| {
        Id::at(handle, &name.base()).transpose().map(|id| id.map(|id| (name, id)))
    });
    identified.collect()
}

/// Whether this entry of the root is the lock file, the status file, the socket for operators or an inner directory, and really is one, or the
/// directory that a file system keeps in its own root for what is found by checking it.
fn is_expected(base: &OsStr, file_type: FileType) -> bool {
    match file_type {
        FileType::RegularFile => base == LOCK || base == STATUS,
        // Where the process that has the store open listens for operators.
        FileType::Socket => base == "ADMIN",
        FileType::Directory => {
            base == "lost+found" || Dir::INNER.iter().any(|dir| dir.path() == base)
        }
        _ => false,
    }
}
