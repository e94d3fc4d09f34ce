//! A file system that leaves out or repeats calls that a store relies on.
//!
//! It stands between a store and its disk, and does what a store with a bug, or a disk that lies, would do.
//! A harness that finds nothing wrong with such a store would find nothing wrong with any:
//!
//! ```
//! use std::sync::Arc;
//!
//! use duramen::testing::faulty::{Faulty, Flaw};
//! use duramen::testing::sim::{CrashChoice, SimDisk};
//! use duramen::{Accumulator, CheckpointPolicy, Config};
//!
//! let disk = SimDisk::new();
//! let careless = Faulty::new(disk.clone(), Flaw::ManifestNameNotSynced);
//! let config = |place| Config::new("log").file_system(place);
//! let log: Accumulator = Accumulator::open(config(Arc::new(careless)))?;
//! log.insert_durable([7; 32])?;
//!
//! // The leaf is durable, and the manifest that leads to it is not.
//! let left = disk.crash(CrashChoice::NothingKept);
//! let found: Result<Accumulator, _> = Accumulator::open(config(Arc::new(left)));
//! assert!(found.map_or(true, |log| log.size().get() == 0));
//! # Ok::<(), duramen::Error>(())
//! ```

use std::fmt;
use std::io::{self, IoSlice};
use std::ops::Range;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::fs::{
    Access, Dir, Entry, File, FileKind, FileName, FileSystem, Place, Region, Wipeable,
};
use crate::fs::{ByteOffset, StoreLock, Watch};
use crate::wal::frame;
use crate::wal::frame::{Frame, GROUP_HEADER_LEN, GroupHeader};

#[cfg(duramen_mutants)]
pub use crate::mutant::Mutant;

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Flaw {
    /// Parts are not synced.
    PartNotSynced,
    /// The directory of parts is not synced.
    PartNameNotSynced,
    /// Manifests are not synced.
    ManifestNotSynced,
    /// The directory of manifests is not synced.
    ManifestNameNotSynced,
    /// The directory of segments is not synced.
    SegmentNameNotSynced,
    /// A segment is not synced after the frame that names the next one was written to it.
    RollNotSynced,
    /// A segment that was opened and not written to is not synced: what was replayed of it is shown before it is
    /// durable.
    ReplayNotSynced,
    /// A sync of a segment that failed is retried.
    SyncTriedAgain,
    /// What the system caches of segments is not dropped before it is read.
    CacheTrusted,
    /// All calls are made, and the engine makes a mistake.
    #[cfg(duramen_mutants)]
    Engine(Mutant),
}

/// A place whose file system has a flaw.
#[derive(Clone)]
pub struct Faulty {
    place: Arc<dyn Place>,
    flaw: Flaw,
}

impl Faulty {
    /// The file system of `place` with this flaw.
    #[must_use]
    pub fn new(place: impl Place, flaw: Flaw) -> Self {
        Self { place: Arc::new(place), flaw }
    }

    fn flawed(&self, fs: Arc<dyn FileSystem>) -> Arc<dyn FileSystem> {
        Arc::new(FaultyFs { fs, flaw: self.flaw })
    }
}

impl fmt::Debug for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} with {:?}", self.place, self.flaw)
    }
}

impl Place for Faulty {
    fn bind(&self) -> io::Result<Arc<dyn FileSystem>> {
        self.place.bind().map(|fs| self.flawed(fs))
    }

    fn make(&self) -> io::Result<Arc<dyn FileSystem>> {
        self.place.make().map(|fs| self.flawed(fs))
    }
}

#[derive(Debug)]
struct FaultyFs {
    fs: Arc<dyn FileSystem>,
    flaw: Flaw,
}

impl FaultyFs {
    fn file(&self, name: FileName, file: Arc<dyn File>) -> Arc<dyn File> {
        let (written, rolled) = (AtomicBool::new(false), AtomicBool::new(false));
        Arc::new(FaultyFile { kind: name.kind, file, flaw: self.flaw, written, rolled })
    }

    /// Gives the file `from` the name `to`. Where there is one of that name, its bytes are overwritten instead.
    #[cfg(duramen_mutants)]
    fn overwrite(&self, from: FileName, to: FileName) -> io::Result<()> {
        let old = match self.fs.open(to, Access::ReadWrite) {
            Ok(old) => old,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return self.fs.rename(from, to);
            }
            Err(error) => return Err(error),
        };
        let new = self.fs.open(from, Access::Read)?;
        let bytes = new.map(new.len()?)?;
        old.allocate(bytes.len() as u64)?;
        old.write_at(ByteOffset(0), &mut [IoSlice::new(&bytes)])?;
        old.sync()?;
        self.fs.remove(from)
    }
}

impl FileSystem for FaultyFs {
    fn display(&self, file: FileName) -> PathBuf {
        self.fs.display(file)
    }

    fn check_place(&self) -> io::Result<()> {
        self.fs.check_place()
    }

    fn check_file(&self, name: FileName) -> io::Result<()> {
        self.fs.check_file(name)
    }

    fn list(&self, dir: Dir) -> io::Result<Vec<Entry>> {
        self.fs.list(dir)
    }

    fn create(&self, name: FileName) -> io::Result<Arc<dyn File>> {
        Ok(self.file(name, self.fs.create(name)?))
    }

    fn open(&self, name: FileName, access: Access) -> io::Result<Arc<dyn File>> {
        Ok(self.file(name, self.fs.open(name, access)?))
    }

    fn open_to_wipe(&self, name: FileName) -> io::Result<Wipeable> {
        Ok(match self.fs.open_to_wipe(name)? {
            Wipeable::Alone(file) => Wipeable::Alone(self.file(name, file)),
            other => other,
        })
    }

    fn rename(&self, from: FileName, to: FileName) -> io::Result<()> {
        #[cfg(duramen_mutants)]
        if self.flaw == Flaw::Engine(Mutant::PartOverwritten) && to.kind == FileKind::Part {
            return self.overwrite(from, to);
        }
        self.fs.rename(from, to)
    }

    fn remove(&self, name: FileName) -> io::Result<()> {
        self.fs.remove(name)
    }

    fn sync_dir(&self, dir: Dir) -> io::Result<()> {
        match (self.flaw, dir) {
            (Flaw::PartNameNotSynced, Dir::Parts)
            | (Flaw::ManifestNameNotSynced, Dir::Manifest)
            | (Flaw::SegmentNameNotSynced, Dir::Wal) => Ok(()),
            _ => self.fs.sync_dir(dir),
        }
    }

    fn lock(&self) -> io::Result<Box<dyn StoreLock>> {
        self.fs.lock()
    }

    fn is_locked(&self) -> io::Result<bool> {
        self.fs.is_locked()
    }

    fn status_file(&self, access: Access) -> io::Result<Arc<dyn File>> {
        self.fs.status_file(access)
    }

    fn random(&self, out: &mut [u8]) -> io::Result<()> {
        self.fs.random(out)
    }

    fn link_from(&self, source: &dyn FileSystem, name: FileName) -> io::Result<()> {
        self.fs.link_from(source, name)
    }

    fn os_dir(&self, dir: Dir) -> Option<BorrowedFd<'_>> {
        self.fs.os_dir(dir)
    }

    fn watch(&self) -> io::Result<Arc<dyn Watch>> {
        self.fs.watch()
    }

    #[cfg(duramen_mutants)]
    fn mutant(&self) -> Option<Mutant> {
        match self.flaw {
            Flaw::Engine(mutant) => Some(mutant),
            _ => None,
        }
    }
}

/// An open file.
struct FaultyFile {
    kind: FileKind,
    file: Arc<dyn File>,
    flaw: Flaw,
    /// Whether something was written through this handle.
    written: AtomicBool,
    /// Whether what was written last names the next segment.
    rolled: AtomicBool,
}

impl FaultyFile {
    /// Whether a sync is left out.
    fn skips_sync(&self) -> bool {
        match (self.flaw, self.kind) {
            (Flaw::PartNotSynced, FileKind::Part)
            | (Flaw::ManifestNotSynced, FileKind::Manifest) => true,
            (Flaw::RollNotSynced, FileKind::Segment) => self.rolled.load(Ordering::Relaxed),
            (Flaw::ReplayNotSynced, FileKind::Segment) => !self.written.load(Ordering::Relaxed),
            _ => false,
        }
    }
}

impl fmt::Debug for FaultyFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.file.fmt(f)
    }
}

impl File for FaultyFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn data(&self, from: ByteOffset) -> io::Result<Option<Range<u64>>> {
        self.file.data(from)
    }

    fn read_at(&self, at: ByteOffset, buf: &mut [u8]) -> io::Result<()> {
        self.file.read_at(at, buf)
    }

    fn write_at(&self, at: ByteOffset, bufs: &mut [IoSlice<'_>]) -> io::Result<()> {
        self.written.store(true, Ordering::Relaxed);
        if self.flaw == Flaw::RollNotSynced && self.kind == FileKind::Segment {
            let bytes: Vec<u8> = bufs.iter().flat_map(|buf| buf.iter().copied()).collect();
            self.rolled.store(names_next_segment(&bytes), Ordering::Relaxed);
        }
        self.file.write_at(at, bufs)
    }

    fn sync(&self) -> io::Result<()> {
        if self.skips_sync() {
            return Ok(());
        }
        let synced = self.file.sync();
        if self.flaw == Flaw::SyncTriedAgain && self.kind == FileKind::Segment {
            return synced.or_else(|_| self.file.sync());
        }
        synced
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.file.allocate(len)
    }

    fn start_writeback(&self, at: ByteOffset, len: u64) {
        self.file.start_writeback(at, len);
    }

    fn write_back(&self, at: ByteOffset, len: u64) -> io::Result<()> {
        self.file.write_back(at, len)
    }

    fn drop_cache(&self) {
        if self.flaw != Flaw::CacheTrusted || self.kind != FileKind::Segment {
            self.file.drop_cache();
        }
    }

    fn map(&self, len: u64) -> io::Result<Region> {
        self.file.map(len)
    }
}

/// Whether these bytes are a group with the frame that names the next segment.
fn names_next_segment(bytes: &[u8]) -> bool {
    let Some((head, _)) = bytes.split_first_chunk::<GROUP_HEADER_LEN>() else { return false };
    let Ok(header) = GroupHeader::decode(head) else { return false };
    let len = usize::try_from(header.len).unwrap_or(usize::MAX);
    let Some(body) = bytes.get(GROUP_HEADER_LEN..len) else { return false };
    let frames = frame::frames(body, header.frames);
    frames.is_ok_and(|frames| matches!(frames.last(), Some(Frame::Roll { .. })))
}
