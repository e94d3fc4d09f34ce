//! A simulated disk with hooks that see its calls and may change what reads return.

use std::fmt;
use std::io::{self, IoSlice};
use std::path::PathBuf;
use std::sync::Arc;

use duramen::fs::{
    Access, ByteOffset, Dir, Entry, File, FileName, FileSystem, Place, Region, StoreLock, Watch,
    Wipeable,
};
use duramen::testing::sim::SimDisk;

/// Called with each file that is about to be created.
type OnCreate = dyn Fn(FileName) + Send + Sync;
/// Called with the bytes that a positional read of a file at an offset has found; may change them.
type OnRead = dyn Fn(FileName, u64, &mut [u8]) + Send + Sync;
/// Called with each file whose cached pages are about to be dropped.
type OnDropCache = dyn Fn(FileName) + Send + Sync;

/// Called before each fetch of random bytes; its error is that of the fetch.
type OnRandom = dyn Fn() -> io::Result<()> + Send + Sync;

/// The disk with its hooks. A clone is another handle of the same.
#[derive(Clone)]
pub struct Hooked {
    disk: SimDisk,
    on_create: Option<Arc<OnCreate>>,
    on_read: Option<Arc<OnRead>>,
    on_drop_cache: Option<Arc<OnDropCache>>,
    on_random: Option<Arc<OnRandom>>,
    /// Whether it reports changes.
    watched: bool,
}

impl Hooked {
    pub fn new(disk: &SimDisk) -> Self {
        Self {
            disk: disk.clone(),
            on_create: None,
            on_read: None,
            on_drop_cache: None,
            on_random: None,
            watched: true,
        }
    }

    pub fn on_create(self, hook: impl Fn(FileName) + Send + Sync + 'static) -> Self {
        Self { on_create: Some(Arc::new(hook)), ..self }
    }

    pub fn on_read(self, hook: impl Fn(FileName, u64, &mut [u8]) + Send + Sync + 'static) -> Self {
        Self { on_read: Some(Arc::new(hook)), ..self }
    }

    pub fn on_drop_cache(self, hook: impl Fn(FileName) + Send + Sync + 'static) -> Self {
        Self { on_drop_cache: Some(Arc::new(hook)), ..self }
    }

    pub fn on_random(self, hook: impl Fn() -> io::Result<()> + Send + Sync + 'static) -> Self {
        Self { on_random: Some(Arc::new(hook)), ..self }
    }

    /// The disk as a system has it that reports no changes.
    pub fn unwatched(self) -> Self {
        Self { watched: false, ..self }
    }

    fn file(&self, name: FileName, file: Arc<dyn File>) -> Arc<dyn File> {
        let (on_read, on_drop_cache) = (self.on_read.clone(), self.on_drop_cache.clone());
        Arc::new(HookedFile { name, file, on_read, on_drop_cache })
    }
}

impl fmt::Debug for Hooked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.disk.fmt(f)
    }
}

impl Place for Hooked {
    fn bind(&self) -> io::Result<Arc<dyn FileSystem>> {
        Ok(Arc::new(Bound { hooks: self.clone(), fs: self.disk.bind()? }))
    }

    fn make(&self) -> io::Result<Arc<dyn FileSystem>> {
        Ok(Arc::new(Bound { hooks: self.clone(), fs: self.disk.make()? }))
    }
}

/// The disk as a store has it.
#[derive(Debug)]
struct Bound {
    hooks: Hooked,
    fs: Arc<dyn FileSystem>,
}

impl FileSystem for Bound {
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
        if let Some(hook) = &self.hooks.on_create {
            hook(name);
        }
        Ok(self.hooks.file(name, self.fs.create(name)?))
    }

    fn open(&self, name: FileName, access: Access) -> io::Result<Arc<dyn File>> {
        Ok(self.hooks.file(name, self.fs.open(name, access)?))
    }

    fn open_to_wipe(&self, name: FileName) -> io::Result<Wipeable> {
        self.fs.open_to_wipe(name)
    }

    fn rename(&self, from: FileName, to: FileName) -> io::Result<()> {
        self.fs.rename(from, to)
    }

    fn remove(&self, name: FileName) -> io::Result<()> {
        self.fs.remove(name)
    }

    fn sync_dir(&self, dir: Dir) -> io::Result<()> {
        self.fs.sync_dir(dir)
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
        if let Some(hook) = &self.hooks.on_random {
            hook()?;
        }
        self.fs.random(out)
    }

    fn watch(&self) -> io::Result<Arc<dyn Watch>> {
        match self.hooks.watched {
            true => self.fs.watch(),
            false => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

struct HookedFile {
    /// The name it was opened by.
    name: FileName,
    file: Arc<dyn File>,
    on_read: Option<Arc<OnRead>>,
    on_drop_cache: Option<Arc<OnDropCache>>,
}

impl fmt::Debug for HookedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.file.fmt(f)
    }
}

impl File for HookedFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read_at(&self, at: ByteOffset, buf: &mut [u8]) -> io::Result<()> {
        self.file.read_at(at, buf)?;
        if let Some(hook) = &self.on_read {
            hook(self.name, at.0, buf);
        }
        Ok(())
    }

    fn write_at(&self, at: ByteOffset, bufs: &mut [IoSlice<'_>]) -> io::Result<()> {
        self.file.write_at(at, bufs)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync()
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
        if let Some(hook) = &self.on_drop_cache {
            hook(self.name);
        }
        self.file.drop_cache();
    }

    fn map(&self, len: u64) -> io::Result<Region> {
        self.file.map(len)
    }
}
