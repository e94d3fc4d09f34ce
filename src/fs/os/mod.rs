//! The operating system's file system.
//!
//! # Invariants
//!
//! - Every access goes through a descriptor of its directory, and neither that directory nor the
//!   file is reached through a symbolic link: only the store's own directory may be one, since its
//!   path comes from the user. So nothing that is planted in the store leads out of it.
//! - Nothing but a regular file is ever handed out, and opening never waits (a FIFO would).
//! - Directories are made from the top down, and each name is made durable before the next directory
//!   is made in it. So of the directories that are found, only the deepest can have a name that a
//!   power cut still takes back, and its parent is synced as well.
//!
//! # What platforms lack
//!
//! - A rename that does not replace is one system call on Linux and Apple's systems. Where the file
//!   system does not know it, and elsewhere, the file gets its second name by a hard link and then
//!   loses the first one: a crash in between leaves it under both names.
//! - Space is reserved on Linux alone; elsewhere, and on file systems without `fallocate`, a file that
//!   grows has a hole, and a full disk shows at the write.
//! - [`start_writeback`](super::File::start_writeback) does something on Linux alone,
//!   [`drop_cache`](super::File::drop_cache) does nothing on Apple's systems.
//! - Windows is not supported.

mod dir;
mod error;
mod file;
mod holes;
mod lock;
mod make;
mod map;
mod rename;
mod writeback;

use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, Mode, OFlags, linkat, openat, unlinkat};
use rustix::io::{Errno, retry_on_intr};

use super::os::error::{WithPath, not_regular};
use super::os::file::OsFile;
pub(crate) use super::os::holes::data;
use super::{Access, Dir, Entry, File, FileName, FileSystem, StoreLock};

/// The name of the lock file in the store's directory.
const LOCK: &str = "LOCK";

/// A store's directory on the operating system's disks.
///
/// The value is a path and nothing else: it holds no descriptor, and making one touches no disk.
#[derive(Clone, Debug)]
pub struct OsFileSystem {
    root: PathBuf,
}

impl OsFileSystem {
    /// The store in the directory `root`, which need not exist yet.
    ///
    /// A relative path is taken from the working directory of this moment; changing that later does
    /// not move the store.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        let root = root.into();
        let root = std::path::absolute(&root).unwrap_or(root);
        Self { root }
    }

    fn dir_path(&self, dir: Dir) -> PathBuf {
        match dir {
            Dir::Root => self.root.clone(),
            inner => self.root.join(inner.path()),
        }
    }
}

impl FileSystem for OsFileSystem {
    fn display(&self, file: FileName) -> PathBuf {
        self.dir_path(file.dir()).join(file.base())
    }

    fn make_dirs(&self) -> io::Result<()> {
        make::make_dirs(&self.root)
    }

    fn list(&self, dir: Dir) -> io::Result<Vec<Entry>> {
        match dir::list(&self.root, dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            listed => listed.path(&self.dir_path(dir), "list"),
        }
    }

    fn create(&self, name: FileName) -> io::Result<Arc<dyn File>> {
        let dir = dir::open(&self.root, name.dir())?;
        let flags =
            OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        let file = retry_on_intr(|| openat(&dir, name.base(), flags, mode))?;
        Ok(Arc::new(OsFile::new(file.into())))
    }

    fn open(&self, name: FileName, access: Access) -> io::Result<Arc<dyn File>> {
        let dir = dir::open(&self.root, name.dir())?;
        let flags = match access {
            Access::Read => OFlags::RDONLY,
            Access::ReadWrite => OFlags::RDWR,
        };
        let file = open_regular(&dir, &name.base(), flags)?;
        Ok(Arc::new(OsFile::new(file)))
    }

    fn rename(&self, from: FileName, to: FileName) -> io::Result<()> {
        if from.dir() != to.dir() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{from} and {to} are in different directories"),
            ));
        }
        let dir = dir::open(&self.root, from.dir())?;
        rename::without_replacing(dir.as_fd(), &from.base(), &to.base())
    }

    fn remove(&self, name: FileName) -> io::Result<()> {
        let dir = dir::open(&self.root, name.dir())?;
        Ok(unlinkat(&dir, name.base(), AtFlags::empty())?)
    }

    fn sync_dir(&self, dir: Dir) -> io::Result<()> {
        dir::open(&self.root, dir)
            .and_then(|handle| handle.sync_all())
            .path(&self.dir_path(dir), "sync")
    }

    fn link_from(&self, source: &dyn FileSystem, name: FileName) -> io::Result<()> {
        let Some(source) = source.os_path() else {
            return Err(io::ErrorKind::Unsupported.into());
        };
        let (from, to) = (dir::open(source, name.dir())?, dir::open(&self.root, name.dir())?);
        // Without AT_SYMLINK_FOLLOW a link that is planted there is not followed. It gets a second
        // name, and opening refuses that as it refuses the first.
        Ok(linkat(&from, name.base(), &to, name.base(), AtFlags::empty())?)
    }

    fn os_path(&self) -> Option<&Path> {
        Some(&self.root)
    }

    fn lock(&self) -> io::Result<Box<dyn StoreLock>> {
        let lock = lock::take(&self.root).path(&self.root.join(LOCK), "lock")?;
        Ok(Box::new(lock))
    }
}

/// Opens the regular file `base` in `dir`, with `flags` on top of those that keep it harmless.
fn open_regular(dir: impl AsFd, base: &str, flags: OFlags) -> io::Result<fs::File> {
    let harmless = OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let mode = Mode::RUSR | Mode::WUSR;
    let file = match retry_on_intr(|| openat(&dir, base, flags | harmless, mode)) {
        Ok(file) => fs::File::from(file),
        // A link, a directory opened for writing, a socket; BSDs say EMLINK or EFTYPE for a link,
        // which stay as they are.
        Err(Errno::LOOP | Errno::ISDIR | Errno::NXIO) => return Err(not_regular()),
        Err(error) => return Err(error.into()),
    };
    if file.metadata()?.is_file() { Ok(file) } else { Err(not_regular()) }
}
