//! The seam between the engine and the disk: every byte duramen reads or writes goes through here.
//!
//! # What a file system promises
//!
//! An implementation keeps these, and the engine relies on nothing else:
//!
//! - [`File::write_at`] makes bytes visible to later reads. They are durable only after a
//!   [`File::sync`] that was called after the write has returned `Ok`.
//! - [`File::sync`] makes every byte written to the file before the call durable, and the length
//!   that is needed to read it back. It says nothing about the file's name.
//! - A file's name, new or changed, and a name's absence after [`FileSystem::remove`], are durable
//!   only after a [`FileSystem::sync_dir`] of their directory has returned `Ok`.
//! - [`FileSystem::rename`] is atomic: after a crash the file is there under one of the two names.
//!   Two renames are not atomic together.
//! - After a failed `write_at` or `sync` the bytes in question may be durable, absent, or torn in
//!   units of 512 bytes, and a later `sync` that succeeds proves nothing about them. They may still
//!   be *readable* from the page cache without being on the disk.
//! - Any call may fail with any error. A failed call that changes names has either happened or not.
//!
//! Names are built from kinds and numbers, never from text that was read from a file, so nothing on
//! the disk can direct an access out of the store's directory.
//!
//! # Who reads a part
//!
//! A part is mapped, and what is mapped must not change. So a part that is opened with [`Access::Read`] counts as
//! read, in this process and every other, until that handle and every [`Region`] of it are dropped, and
//! [`FileSystem::open_to_wipe`] then says [`Wipeable::InUse`]. While a file is open to be wiped, opening it for
//! reading fails as if it were not there. A forked child reads what its parent read.
//!
//! # Which directory
//!
//! A path may lead elsewhere at any moment: a restore moves directories, a clean-up removes files. So
//! a [`Place`] says where a store is and does no I/O on its files; [`Place::bind`] follows the path
//! once and returns a [`FileSystem`], which stays with the directory that it found:
//!
//! - Every call of a `FileSystem` reaches the directories that were found when it was bound, wherever
//!   the path leads by now. It never reaches another store's.
//! - [`FileSystem::check_place`] fails with [`Displaced`] if the path, or the name of an inner
//!   directory, no longer leads to what was bound, or if the lock file is no longer the one that this
//!   `FileSystem` holds, or if a manifest of the store is gone or exchanged. Calls that create, rename or
//!   remove a name check this themselves, before they change anything.
//! - [`FileSystem::check_file`] does the same for one file. The engine asks for the segment in use before it
//!   acknowledges a group, and for what a manifest relies on before it publishes that manifest. So a copy that is
//!   restored file by file under a running writer is not written to.
//! - While the lock is held, a name is renamed, removed or opened for writing only if it leads to a file
//!   that was there when the lock was acquired, or that this `FileSystem` made since. Any other
//!   file is not the store's: the call fails with [`Displaced`] and leaves it alone.
//! - The lock excludes every other holder for as long as it is held, also after a process has
//!   removed or replaced the lock file.

pub(crate) mod backing;
mod name;
#[cfg(unix)]
pub(crate) mod os;
pub(crate) mod owned;
pub(crate) mod wipe;

#[cfg(not(unix))]
compile_error!("the storage engine needs a Unix system; build without the feature `std` elsewhere");

use std::ffi::OsString;
use std::fmt;
use std::io::{self, IoSlice};
use std::ops::{Deref, Range};
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use crate::error::{Displaced, Displacement, LockOwner};
pub use crate::ids::ByteOffset;
pub use name::{Dir, FileKind, FileName};
#[cfg(unix)]
pub use os::OsPlace;
#[cfg(unix)]
pub(crate) use os::{data, is_same_directory, owner_in, uninterrupted};

/// What a file is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Access {
    /// Reading only.
    Read,
    /// Reading and writing.
    ReadWrite,
}

/// One entry of a directory of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Entry {
    /// A regular file whose name the store would give, with its length in bytes.
    File(FileName, u64),
    /// Anything else, by its name: another name, a directory, a symbolic link, a FIFO.
    Other(OsString),
}

/// A file that is to be overwritten.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Wipeable {
    /// The file, open for writing. Nobody reads it, and it has no other name.
    Alone(Arc<dyn File>),
    /// Somebody reads the file.
    InUse {
        /// The length of the file in bytes.
        len: u64,
    },
    /// The file has another name: it is in a backup, say, which must not lose its bytes.
    Linked,
}

/// Where a store's directory is, or will be. See the [module](self) for what it promises.
pub trait Place: Send + Sync + fmt::Debug + 'static {
    /// Follows the path to the store's directory and returns that directory. Creates nothing.
    ///
    /// # Errors
    ///
    /// `NotFound` if nothing is there; `NotADirectory` if something else is; else whatever the disk
    /// reports.
    fn bind(&self) -> io::Result<Arc<dyn FileSystem>>;

    /// Creates the store's directory and the directories in it where they are missing, makes their
    /// names durable, those of missing parents too, and returns the directory. Existing directories
    /// are left as they are.
    ///
    /// # Errors
    ///
    /// Whatever the disk reports; a part of the directories may then exist.
    fn make(&self) -> io::Result<Arc<dyn FileSystem>>;

    /// The place of a store in the directory `name` inside of this one, which no store reads. `None` if this disk has no
    /// such directories, which is what this does where it is not implemented.
    fn inside(&self, name: &str) -> Option<Arc<dyn Place>> {
        let _ = name;
        None
    }

    /// Removes the store's directory with everything in it. Only for places that [`inside`](Place::inside) made. Succeeds
    /// if it is missing.
    ///
    /// # Errors
    ///
    /// `Unsupported` where it is not implemented; else whatever the disk reports.
    fn remove_all(&self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// One store's directory on some disk, found once. See the [module](self) for what it promises.
pub trait FileSystem: Send + Sync + fmt::Debug + 'static {
    /// The name of `file` as a user knows it, for messages.
    fn display(&self, file: FileName) -> PathBuf;

    /// Returns whether the path, the inner directories and, if the lock is held, the lock file and the
    /// store's own manifests are still those of this directory.
    ///
    /// # Errors
    ///
    /// [`Displaced`] if one of them is not; else whatever the disk reports.
    fn check_place(&self) -> io::Result<()>;

    /// Fails if `name` is this store's and no longer leads to the store's own file. A name that is not the store's
    /// passes, and so does every name before the lock is acquired.
    ///
    /// # Errors
    ///
    /// [`Displaced`] if the name leads to another file or to none; else whatever the disk reports.
    fn check_file(&self, name: FileName) -> io::Result<()>;

    /// Lists a directory of the store, in no particular order. The directories of the store itself,
    /// the lock file, the status file and the directory `lost+found` of a file system's root are not listed. A directory
    /// that was missing when this was bound is listed as empty.
    ///
    /// # Errors
    ///
    /// Whatever the disk reports.
    fn list(&self, dir: Dir) -> io::Result<Vec<Entry>>;

    /// Creates an empty file and opens it for reading and writing.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` if the name is taken by anything; [`Displaced`]. After any other error the file
    /// may be there, and is the store's.
    fn create(&self, name: FileName) -> io::Result<Arc<dyn File>>;

    /// Opens an existing regular file.
    ///
    /// # Errors
    ///
    /// `NotFound` if there is none; `InvalidInput` if the name is not a regular file (links are not
    /// followed); [`Displaced`] if it is opened for writing under the lock and is not this store's.
    fn open(&self, name: FileName, access: Access) -> io::Result<Arc<dyn File>>;

    /// Opens an existing regular file to be overwritten, unless that would change what others see. Never
    /// waits. Where it is not implemented, every file is in use.
    ///
    /// # Errors
    ///
    /// As [`open`](FileSystem::open) for writing.
    fn open_to_wipe(&self, name: FileName) -> io::Result<Wipeable> {
        let len = self.open(name, Access::Read)?.len()?;
        Ok(Wipeable::InUse { len })
    }

    /// Renames a file within one directory without replacing anything.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` if `to` is taken; `InvalidInput` if it is in another directory; [`Displaced`].
    fn rename(&self, from: FileName, to: FileName) -> io::Result<()>;

    /// Removes a file's name. Open handles and mappings of it stay readable.
    ///
    /// # Errors
    ///
    /// `NotFound` if there is none; [`Displaced`].
    fn remove(&self, name: FileName) -> io::Result<()>;

    /// Makes the names in a directory durable as they are now.
    ///
    /// # Errors
    ///
    /// Whatever the disk reports; the names are then in doubt.
    fn sync_dir(&self, dir: Dir) -> io::Result<()>;

    /// Acquires the store's exclusive lock, which is held until the returned guard is dropped or the
    /// process ends. Never waits. The files that are there now are from now on this store's own.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if it is held, in this process or another, and then nothing was created;
    /// [`Displaced`] if the path leads elsewhere by now.
    fn lock(&self) -> io::Result<Box<dyn StoreLock>>;

    /// The process that has the lock, as it says itself: a hint for messages, which may be wrong. `None` if nothing
    /// is known, which is what this says where it is not implemented.
    fn lock_owner(&self) -> Option<LockOwner> {
        None
    }

    /// Whether a process has the lock now: this one or another. For the lock of a running store, which no other process can
    /// get meanwhile.
    ///
    /// # Errors
    ///
    /// `Unsupported` where it is not implemented; else whatever the disk reports.
    fn is_locked(&self) -> io::Result<bool> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Opens the status file of the store. For writing it is created where it is missing. It is a hint beside the
    /// store: no list has it, nothing is synced for it, and a power cut may take it or tear it.
    ///
    /// # Errors
    ///
    /// `NotFound` if there is none to read; `InvalidInput` if the name is not a regular file (links are not followed),
    /// or if a file to be written has another name as well; `Unsupported` where it is not implemented.
    fn status_file(&self, access: Access) -> io::Result<Arc<dyn File>> {
        let _ = access;
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Fills `out` with random bytes that cannot be guessed.
    ///
    /// # Errors
    ///
    /// Whatever the system reports; `out` is then not to be used.
    fn random(&self, out: &mut [u8]) -> io::Result<()> {
        getrandom::fill(out).map_err(io::Error::from)
    }

    /// Gives the file `name` of the store in `source` the same name here as well, by a hard link: one
    /// file with two names. Whether it was done is known, but it is durable only after a
    /// [`sync_dir`](FileSystem::sync_dir).
    ///
    /// # Errors
    ///
    /// `Unsupported` if this file system has no links, which is what this does where it is not
    /// implemented; else whatever the disk reports, above all where the two are on different ones.
    /// The caller copies the file then.
    fn link_from(&self, source: &dyn FileSystem, name: FileName) -> io::Result<()> {
        let _ = (source, name);
        Err(io::ErrorKind::Unsupported.into())
    }

    /// A descriptor of `dir` if it is a directory of the operating system's. Only for
    /// [`link_from`](FileSystem::link_from).
    fn os_dir(&self, dir: Dir) -> Option<BorrowedFd<'_>> {
        let _ = dir;
        None
    }

    /// Begins to watch the store for what a reader beside its writer has to know: writes to the log, new
    /// manifests, and a store's directory that is moved away. Changes by any process count.
    ///
    /// # Errors
    ///
    /// `Unsupported` where the system reports no changes, which is what this does where it is not
    /// implemented; else whatever the system reports. The caller then looks from time to time instead.
    fn watch(&self) -> io::Result<Arc<dyn Watch>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// The mistake that the engine on this file system makes, for tests that must notice it.
    #[cfg(duramen_mutants)]
    #[doc(hidden)]
    fn mutant(&self) -> Option<crate::mutant::Mutant> {
        None
    }
}

/// Holds a store's lock while it lives.
pub trait StoreLock: Send + Sync + fmt::Debug {}

/// Notices changes of a store while it lives. Made by [`FileSystem::watch`].
pub trait Watch: Send + Sync + fmt::Debug {
    /// Waits for a change, at most for `longest`, and returns whether there was one: since the watch
    /// began, or since the last call that returned true. A change that comes later than the return of a
    /// call is reported by the next call. A call may report a change where there was none.
    ///
    /// # Errors
    ///
    /// Whatever the system reports.
    fn wait(&self, longest: Option<Duration>) -> io::Result<bool>;

    /// Has every [`wait`](Self::wait), now and later, return false at once.
    fn interrupt(&self);
}

/// One open file. All calls may be made from several threads at once.
pub trait File: Send + Sync + fmt::Debug + 'static {
    /// The file's length in bytes.
    ///
    /// # Errors
    ///
    /// Whatever the disk reports.
    fn len(&self) -> io::Result<u64>;

    /// Whether the file has no bytes.
    ///
    /// # Errors
    ///
    /// As [`len`](File::len).
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// The first stretch of bytes at or behind `from` that may be something else than zeros: what lies
    /// before it is a hole, which takes no room on the disk and is zeros. `None` if there is no such
    /// stretch. Where the disk knows nothing of holes, which is what this says where it is not
    /// implemented, the stretch is all that is left of the file.
    ///
    /// # Errors
    ///
    /// Whatever the disk reports.
    fn data(&self, from: ByteOffset) -> io::Result<Option<Range<u64>>> {
        let len = self.len()?;
        Ok((from.0 < len).then_some(from.0..len))
    }

    /// Fills `buf` from the bytes at `at`; interrupted and short reads are resumed.
    ///
    /// # Errors
    ///
    /// `UnexpectedEof` if the file ends before `buf` is full; else whatever the disk reports.
    fn read_at(&self, at: ByteOffset, buf: &mut [u8]) -> io::Result<()>;

    /// Writes all of `bufs`, one after the other, at `at`, growing the file where needed;
    /// interrupted and short writes are resumed. `bufs` may be used up as scratch space.
    ///
    /// # Errors
    ///
    /// Whatever the disk reports; any part of the bytes may then have been written.
    fn write_at(&self, at: ByteOffset, bufs: &mut [IoSlice<'_>]) -> io::Result<()>;

    /// Makes everything written so far durable. See the [module](self).
    ///
    /// # Errors
    ///
    /// Whatever the disk reports. A later success proves nothing about bytes written before.
    fn sync(&self) -> io::Result<()>;

    /// Sets the file's length to `len` and, when growing, reserves the space, which reads as zeros.
    ///
    /// # Errors
    ///
    /// `StorageFull` if there is no room; else whatever the disk reports.
    fn allocate(&self, len: u64) -> io::Result<()>;

    /// Starts handing the written bytes `[at, at + len)` to the device without waiting. A hint: it
    /// promises nothing and cannot fail.
    fn start_writeback(&self, at: ByteOffset, len: u64);

    /// Hands the written bytes `[at, at + len)` to the device and waits until it has taken them, so
    /// that a large file written in steps never fills the device's queue, in which the syncs of
    /// other files have to stand. It makes nothing durable, and does nothing where the system has no
    /// call for it.
    ///
    /// # Errors
    ///
    /// Whatever the disk reports. Bytes of the file may be lost then, and a later
    /// [`sync`](File::sync) need not report it again.
    fn write_back(&self, at: ByteOffset, len: u64) -> io::Result<()>;

    /// Asks the operating system to forget cached pages of this file, so that the next read comes
    /// from the device. Dirty pages stay. A hint: it promises nothing and cannot fail.
    fn drop_cache(&self);

    /// The file's first `len` bytes as memory. The bytes must not be written while it lives.
    ///
    /// # Errors
    ///
    /// `UnexpectedEof` if the file is shorter than `len`; else whatever the disk reports.
    fn map(&self, len: u64) -> io::Result<Region>;
}

/// A file's bytes as memory: mapped, or read into a buffer.
#[derive(Clone)]
pub struct Region(Bytes);

#[derive(Clone)]
enum Bytes {
    Mapped(Arc<memmap2::Mmap>),
    Owned(Arc<[u8]>),
    /// With what has to live as long as a mapping would.
    #[cfg(any(test, feature = "testing"))]
    Held {
        bytes: Arc<[u8]>,
        _held: Arc<dyn Send + Sync>,
    },
}

impl Region {
    /// Wraps a read-only mapping.
    #[must_use]
    pub(crate) fn mapped(map: memmap2::Mmap) -> Self {
        Self(Bytes::Mapped(Arc::new(map)))
    }

    /// Says that the bytes will be read here and there: a page that is not in memory is then fetched
    /// alone, and not together with its neighbours. A hint; without a mapping it does nothing.
    pub fn expect_random_reads(&self) {
        #[cfg(unix)]
        if let Bytes::Mapped(map) = &self.0 {
            // Without it reading is only slower.
            let _ = map.advise(memmap2::Advice::Random);
        }
    }

    /// Wraps bytes that were read.
    #[must_use]
    pub fn owned(bytes: Arc<[u8]>) -> Self {
        Self(Bytes::Owned(bytes))
    }

    /// Wraps bytes that were read. Keeps `held` until the region and all its clones are dropped.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn holding(bytes: Arc<[u8]>, held: Arc<dyn Send + Sync>) -> Self {
        Self(Bytes::Held { bytes, _held: held })
    }

    /// Brings `len` bytes at `at` into memory now and returns whether they are there. Where a disk fails,
    /// reading mapped bytes ends the process; this returns false instead. It returns false as well where
    /// the operating system cannot do it.
    #[must_use]
    pub fn populate(&self, at: usize, len: usize) -> bool {
        match &self.0 {
            #[cfg(target_os = "linux")]
            Bytes::Mapped(map) => {
                at.checked_add(len).is_some_and(|end| end <= map.len())
                    && map.advise_range(memmap2::Advice::PopulateRead, at, len).is_ok()
            }
            #[cfg(not(target_os = "linux"))]
            Bytes::Mapped(_) => false,
            Bytes::Owned(bytes) => at.checked_add(len).is_some_and(|end| end <= bytes.len()),
            #[cfg(any(test, feature = "testing"))]
            Bytes::Held { bytes, .. } => at.checked_add(len).is_some_and(|end| end <= bytes.len()),
        }
    }
}

impl Deref for Region {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Bytes::Mapped(map) => map,
            Bytes::Owned(bytes) => bytes,
            #[cfg(any(test, feature = "testing"))]
            Bytes::Held { bytes, .. } => bytes,
        }
    }
}

impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Region").field("len", &self.len()).finish_non_exhaustive()
    }
}
