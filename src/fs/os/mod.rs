//! The operating system's file system.
//!
//! # Invariants
//!
//! - The path is followed once, by [`OsPlace`]. From then on every access goes through descriptors of
//!   the store's directory and of those in it, which an [`OsDirectory`] holds open: neither a rename of
//!   the directory nor a symbolic link leads it elsewhere. Only the store's own directory may be reached
//!   through a link, since its path comes from the user.
//! - A name is changed only after [`OsDirectory::check_place`], and, under the lock, after the file that
//!   it leads to was found to be the store's own. Between that look and the change another process can
//!   still exchange the file; the lock keeps every other store's process from doing that.
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
//! - Changes are watched on Linux alone, by inotify, which needs `/proc` for the directories that are open.
//! - Windows is not supported.

mod dir;
mod error;
mod file;
mod holes;
mod lock;
mod make;
mod map;
mod owner;
mod rename;
pub(crate) mod turns;
#[cfg(target_os = "linux")]
mod watch;
mod writeback;

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, Mode, OFlags, linkat, openat, unlinkat};
use rustix::io::{Errno, retry_on_intr};

use self::dir::{Id, Inner};
pub(crate) use self::error::uninterrupted;
use self::error::{WithPath, not_regular};
use self::file::OsFile;
pub(crate) use self::holes::data;
pub(crate) use self::owner::owner_in;
use self::turns::Turns;
use super::owned::Owned;
use super::{
    Access, Dir, Displaced, Displacement, Entry, File, FileKind, FileName, FileSystem, LockOwner,
    Place, StoreLock, Wipeable,
};
use crate::sync::Mutex;

/// The name of the lock file in the store's directory.
const LOCK: &str = "LOCK";

/// The name of the status file in the store's directory.
const STATUS: &str = "STATUS";

/// Whether two file systems are of the same directory, by whatever paths it was reached. False for those that are not the
/// operating system's.
pub(crate) fn is_same_directory(one: &dyn FileSystem, other: &dyn FileSystem) -> bool {
    let id = |fs: &dyn FileSystem| fs.os_dir(Dir::Root).and_then(|root| Id::of(root).ok());
    id(one).is_some_and(|one| id(other) == Some(one))
}

/// The path of a store's directory on the operating system's disks.
///
/// The value is a path and nothing else: it holds no descriptor, and making one touches no disk.
#[derive(Clone, Debug)]
pub struct OsPlace {
    /// The absolute path, for calls.
    path: PathBuf,
    /// The path as it was given, for messages.
    shown: PathBuf,
}

impl OsPlace {
    /// The store in the directory `path`, which need not exist yet.
    ///
    /// A relative path is taken from the working directory of this moment; changing that later does
    /// not move the store. Messages name it as it was given.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let shown = path.into();
        let path = std::path::absolute(&shown).unwrap_or_else(|_| shown.clone());
        Self { path, shown }
    }
}

impl Place for OsPlace {
    fn bind(&self) -> io::Result<Arc<dyn FileSystem>> {
        let root = dir::open_root(&self.path)?;
        Ok(Arc::new(OsDirectory::new(self.clone(), root)?))
    }

    fn make(&self) -> io::Result<Arc<dyn FileSystem>> {
        let root = make::make_dirs(&self.path, &self.shown)?;
        Ok(Arc::new(OsDirectory::new(self.clone(), root)?))
    }

    fn inside(&self, name: &str) -> Option<Arc<dyn Place>> {
        Some(Arc::new(Self { path: self.path.join(name), shown: self.shown.join(name) }))
    }

    fn remove_all(&self) -> io::Result<()> {
        match fs::remove_dir_all(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed.path(&self.shown, "remove the directory"),
        }
    }
}

/// A store's directory, open.
#[derive(Debug)]
struct OsDirectory {
    /// How it was reached.
    place: OsPlace,
    root: fs::File,
    id: Id,
    manifest: Inner,
    wal: Inner,
    parts: Inner,
    /// `None` until the lock is acquired.
    held: Mutex<Option<Held>>,
    /// Taken by a thread that changes a name, or compares it before a change.
    turns: Turns,
}

/// What is known since the lock was acquired. It stays when the lock is released: nothing but the store's
/// own files is ever changed through this directory from then on.
#[derive(Debug)]
struct Held {
    /// The lock file.
    lock: Id,
    owned: Owned<Id>,
}

impl OsDirectory {
    fn new(place: OsPlace, root: fs::File) -> io::Result<Self> {
        let id = Id::of(&root)?;
        let shown = |dir: Dir| place.shown.join(dir.path());
        let inner = |dir: Dir| Inner::open(&root, dir).path(&shown(dir), "open the directory");
        let (manifest, wal, parts) = (inner(Dir::Manifest)?, inner(Dir::Wal)?, inner(Dir::Parts)?);
        Ok(Self {
            place,
            root,
            id,
            manifest,
            wal,
            parts,
            held: Mutex::default(),
            turns: Turns::default(),
        })
    }

    /// The path of a directory, for messages.
    fn dir_path(&self, dir: Dir) -> PathBuf {
        match dir {
            Dir::Root => self.place.shown.clone(),
            inner => self.place.shown.join(inner.path()),
        }
    }

    fn handle(&self, dir: Dir) -> io::Result<BorrowedFd<'_>> {
        match dir {
            Dir::Root => Ok(self.root.as_fd()),
            Dir::Manifest => self.manifest.handle().map(AsFd::as_fd),
            Dir::Wal => self.wal.handle().map(AsFd::as_fd),
            Dir::Parts => self.parts.handle().map(AsFd::as_fd),
        }
    }

    /// Fails unless `name` leads to one of the store's own files, or the lock was never acquired here.
    fn check_owned(&self, name: FileName) -> io::Result<()> {
        let held = self.held.lock();
        let Some(Held { owned, .. }) = &*held else { return Ok(()) };
        // The call that follows finds out that there is none.
        let Some(found) = Id::at(self.handle(name.dir())?, &name.base())? else { return Ok(()) };
        owned.check(name, found).map_err(|how| Displaced::error(self.display(name), how))
    }

    /// Fails unless `name` leads to `own`.
    fn compare_own(&self, name: FileName, own: Id) -> io::Result<()> {
        let path = self.display(name);
        let found = Id::at(self.handle(name.dir())?, &name.base()).path(&path, "look at")?;
        compare(&path, own, found)
    }

    /// Gives up a name that is about to be renamed or removed.
    fn give_up(&self, name: FileName) -> Option<Id> {
        self.held.lock().as_mut().and_then(|held| held.owned.given_up(name))
    }

    fn change_owned(&self, change: impl FnOnce(&mut Owned<Id>)) {
        if let Some(held) = &mut *self.held.lock() {
            change(&mut held.owned);
        }
    }
}

/// Whether nothing has this name for certain.
fn is_nothing(dir: BorrowedFd<'_>, name: FileName) -> bool {
    matches!(Id::at(dir, &name.base()), Ok(None))
}

/// Compares what was found under a name with what has to be there.
fn compare(path: &Path, expected: Id, found: Option<Id>) -> io::Result<()> {
    match found {
        Some(found) if found == expected => Ok(()),
        Some(_) => Err(Displaced::error(path, Displacement::Replaced)),
        None => Err(Displaced::error(path, Displacement::Removed)),
    }
}

impl FileSystem for OsDirectory {
    fn display(&self, file: FileName) -> PathBuf {
        self.dir_path(file.dir()).join(file.base())
    }

    fn check_place(&self) -> io::Result<()> {
        let OsPlace { path, shown } = &self.place;
        compare(shown, self.id, Id::by_path(path).path(shown, "look at")?)?;
        let inner =
            [(Dir::Manifest, &self.manifest), (Dir::Wal, &self.wal), (Dir::Parts, &self.parts)];
        for (dir, inner) in inner {
            if let Inner::Open(_, id) = inner {
                let path = self.dir_path(dir);
                compare(&path, *id, Id::at(&self.root, dir.path()).path(&path, "look at")?)?;
            }
        }
        if let Some(Held { lock, owned }) = &*self.held.lock() {
            let path = self.place.shown.join(LOCK);
            compare(&path, *lock, Id::at(&self.root, LOCK).path(&path, "look at")?)?;
            // A copy that is restored in place exchanges these under a running writer.
            for (name, own) in owned.manifests() {
                self.compare_own(name, own)?;
            }
        }
        Ok(())
    }

    fn check_file(&self, name: FileName) -> io::Result<()> {
        let Some(Held { owned, .. }) = &*self.held.lock() else { return Ok(()) };
        owned.get(name).map_or(Ok(()), |own| self.compare_own(name, own))
    }

    fn list(&self, dir: Dir) -> io::Result<Vec<Entry>> {
        match self.handle(dir).and_then(|handle| dir::list(handle, dir)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            listed => listed.path(&self.dir_path(dir), "list"),
        }
    }

    fn create(&self, name: FileName) -> io::Result<Arc<dyn File>> {
        self.check_place()?;
        let _turn = self.turns.take([name]);
        let dir = self.handle(name.dir())?;
        let flags =
            OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        // The system may fail before it looks at the name, and then cannot say whose a file of that name is.
        if Id::at(dir, &name.base())?.is_some() {
            return Err(Errno::EXIST.into());
        }
        match retry_on_intr(|| openat(dir, name.base(), flags, mode)) {
            Ok(file) => {
                let id = Id::of(&file)?;
                self.change_owned(|owned| owned.made(name, id));
                Ok(Arc::new(OsFile::new(file.into())))
            }
            // These come before the system makes a name.
            Err(error @ (Errno::EXIST | Errno::MFILE | Errno::NFILE)) => Err(error.into()),
            Err(error) => {
                // There was no such name. If there is one now, the call has made it nevertheless.
                if let Ok(Some(id)) = Id::at(dir, &name.base()) {
                    self.change_owned(|owned| owned.made(name, id));
                }
                Err(error.into())
            }
        }
    }

    fn open(&self, name: FileName, access: Access) -> io::Result<Arc<dyn File>> {
        let flags = match access {
            Access::Read => OFlags::RDONLY,
            Access::ReadWrite => OFlags::RDWR,
        };
        let _turn = (access == Access::ReadWrite).then(|| self.turns.take([name]));
        let file = open_regular(self.handle(name.dir())?, &name.base(), flags)?;
        if access == Access::Read && name.kind == FileKind::Part {
            lock::share(&file)?;
            // It may have been wiped and removed between its opening and its lock.
            if uninterrupted(|| file.metadata())?.nlink() == 0 {
                return Err(io::ErrorKind::NotFound.into());
            }
        }
        if access == Access::ReadWrite
            && let Some(Held { owned, .. }) = &*self.held.lock()
        {
            let checked = owned.check(name, Id::of(&file)?);
            checked.map_err(|how| Displaced::error(self.display(name), how))?;
        }
        Ok(Arc::new(OsFile::new(file)))
    }

    fn open_to_wipe(&self, name: FileName) -> io::Result<Wipeable> {
        self.check_place()?;
        let _turn = self.turns.take([name]);
        self.check_owned(name)?;
        let file = open_regular(self.handle(name.dir())?, &name.base(), OFlags::RDWR)?;
        let found = uninterrupted(|| file.metadata())?;
        if !lock::is_alone(&file) {
            return Ok(Wipeable::InUse { len: found.len() });
        }
        if uninterrupted(|| file.metadata())?.nlink() != 1 {
            return Ok(Wipeable::Linked);
        }
        Ok(Wipeable::Alone(Arc::new(OsFile::new(file))))
    }

    fn rename(&self, from: FileName, to: FileName) -> io::Result<()> {
        if from.dir() != to.dir() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{from} and {to} are in different directories"),
            ));
        }
        self.check_place()?;
        let _turn = self.turns.take([from, to]);
        self.check_owned(from)?;
        let dir = self.handle(from.dir())?;
        let own = self.give_up(from);
        let renamed = rename::without_replacing(dir, &from.base(), &to.base());
        // A call that failed may have happened nevertheless.
        let happened = renamed.is_ok() || is_nothing(dir, from);
        if let Some(own) = own {
            self.change_owned(|owned| owned.made(if happened { to } else { from }, own));
        }
        renamed
    }

    fn remove(&self, name: FileName) -> io::Result<()> {
        self.check_place()?;
        let _turn = self.turns.take([name]);
        self.check_owned(name)?;
        let dir = self.handle(name.dir())?;
        let own = self.give_up(name);
        let removed = retry_on_intr(|| unlinkat(dir, name.base(), AtFlags::empty()));
        // A call that failed may have happened nevertheless.
        if let Some(own) = own
            && removed.is_err()
            && !is_nothing(dir, name)
        {
            self.change_owned(|owned| owned.made(name, own));
        }
        Ok(removed?)
    }

    fn sync_dir(&self, dir: Dir) -> io::Result<()> {
        let synced = match dir {
            Dir::Root => self.root.sync_all(),
            Dir::Manifest => self.manifest.handle().and_then(fs::File::sync_all),
            Dir::Wal => self.wal.handle().and_then(fs::File::sync_all),
            Dir::Parts => self.parts.handle().and_then(fs::File::sync_all),
        };
        synced.path(&self.dir_path(dir), "sync")
    }

    fn link_from(&self, source: &dyn FileSystem, name: FileName) -> io::Result<()> {
        let Some(from) = source.os_dir(name.dir()) else {
            return Err(io::ErrorKind::Unsupported.into());
        };
        self.check_place()?;
        let to = self.handle(name.dir())?;
        // Without AT_SYMLINK_FOLLOW a link that is planted there is not followed. It gets a second
        // name, and opening refuses that as it refuses the first.
        retry_on_intr(|| linkat(from, name.base(), to, name.base(), AtFlags::empty()))?;
        if let Some(id) = Id::at(to, &name.base())? {
            self.change_owned(|owned| owned.made(name, id));
        }
        Ok(())
    }

    #[cfg(target_os = "linux")]
    fn watch(&self) -> io::Result<Arc<dyn super::Watch>> {
        let (log, manifests) = (self.handle(Dir::Wal)?, self.handle(Dir::Manifest)?);
        Ok(Arc::new(watch::Inotify::new(self.root.as_fd(), log, manifests)?))
    }

    fn os_dir(&self, dir: Dir) -> Option<BorrowedFd<'_>> {
        self.handle(dir).ok()
    }

    fn lock(&self) -> io::Result<Box<dyn StoreLock>> {
        let path = self.place.shown.join(LOCK);
        let (dir, file) = lock::acquire(&self.root, || self.check_place()).path(&path, "lock")?;
        let mut files = Vec::new();
        for inner in Dir::INNER {
            if let Ok(handle) = self.handle(inner) {
                files.extend(dir::files(handle, inner).path(&self.dir_path(inner), "list")?);
            }
        }
        *self.held.lock() = Some(Held { lock: Id::of(&file)?, owned: Owned::new(files) });
        let lock = lock::OsLock::new(dir, file);
        // The lock file may have been removed, or the directory moved, before both were locked.
        self.check_place()?;
        lock.name_owner();
        Ok(Box::new(lock))
    }

    fn lock_owner(&self) -> Option<LockOwner> {
        owner::read(&self.root)
    }

    fn is_locked(&self) -> io::Result<bool> {
        lock::is_held(&self.root)
    }

    fn status_file(&self, access: Access) -> io::Result<Arc<dyn File>> {
        let flags = match access {
            Access::Read => OFlags::RDONLY,
            Access::ReadWrite => OFlags::RDWR | OFlags::CREATE,
        };
        let file = open_regular(&self.root, STATUS, flags)?;
        if access == Access::ReadWrite && uninterrupted(|| file.metadata())?.nlink() != 1 {
            let message = "the file has another name as well";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        Ok(Arc::new(OsFile::new(file)))
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
    if uninterrupted(|| file.metadata())?.is_file() { Ok(file) } else { Err(not_regular()) }
}
