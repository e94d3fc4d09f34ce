//! A disk in memory behind a FUSE file, for a loop device: it records its writes and flushes, and fails.
//!
//! # Invariant
//!
//! The loop device does its I/O directly, so the events are what a disk would see, in the order in which
//! it would see them: what the file system wrote, and where it waited for a flush.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use anyhow::Result;
use fuser::{
    BackgroundSession, FileAttr, FileType, Filesystem, MountOption, ReplyAttr, ReplyData,
    ReplyEmpty, ReplyEntry, ReplyOpen, ReplyWrite, Request,
};

use testkit::random::Random;
use crate::system::{Loop, Mount};

const SECTOR: usize = 512;

/// What the disk received.
pub(crate) enum Event {
    Write(usize, Vec<u8>),
    Flush,
}

#[derive(Default)]
pub(crate) struct Tape {
    /// What is on the disk, flushed or not.
    bytes: Vec<u8>,
    /// What was on it at first.
    base: Vec<u8>,
    pub(crate) events: Vec<Event>,
    /// How many writes fail from now on.
    pub(crate) failing: u64,
    pub(crate) failed: u64,
}

impl Tape {
    /// What a power cut after `count` events leaves: all that was flushed, and of what was written since
    /// what `kept` says for each write.
    pub(crate) fn image(&self, count: usize, mut kept: impl FnMut() -> Kept) -> Vec<u8> {
        let mut image = self.base.clone();
        let flushed = self.events[..count]
            .iter()
            .rposition(|event| matches!(event, Event::Flush))
            .map_or(0, |at| at + 1);
        for (number, event) in self.events[..count].iter().enumerate() {
            let Event::Write(at, bytes) = event else { continue };
            let kept = if number < flushed { Kept::All } else { kept() };
            match kept {
                Kept::All => image[*at..at + bytes.len()].copy_from_slice(bytes),
                Kept::Nothing => {}
                Kept::Sectors(seed) => {
                    let mut random = Random(seed);
                    for (sector, piece) in bytes.chunks(SECTOR).enumerate() {
                        if random.below(2) == 0 {
                            let at = at + sector * SECTOR;
                            image[at..at + piece.len()].copy_from_slice(piece);
                        }
                    }
                }
            }
        }
        image
    }
}

/// What is left of a write.
pub(crate) enum Kept {
    All,
    Nothing,
    /// Sectors that follow from a number.
    Sectors(u64),
}

/// A disk, mounted.
pub(crate) struct Disk {
    // In the order in which they have to go.
    mount: Option<Mount>,
    device: Option<Loop>,
    session: Option<BackgroundSession>,
    tape: Arc<Mutex<Tape>>,
    pub(crate) dir: PathBuf,
}

impl Disk {
    /// Mounts a file system whose first image is `base`. `place` is an empty directory.
    pub(crate) fn new(base: Vec<u8>, place: &Path) -> Result<Self> {
        let tape = Tape { bytes: base.clone(), base, ..Tape::default() };
        let tape = Arc::new(Mutex::new(tape));
        let fuse = place.join("fuse");
        std::fs::create_dir_all(&fuse)?;
        let options = [MountOption::FSName("duramen-torture".to_owned())];
        let session = fuser::spawn_mount2(Server(Arc::clone(&tape)), &fuse, &options)?;
        let dir = place.join("mounted");
        let mut disk = Self { mount: None, device: None, session: Some(session), tape, dir };
        let device = Loop::new(&fuse.join(NAME))?;
        disk.mount = Some(Mount::new(&device.0, &disk.dir, &[])?);
        disk.device = Some(device);
        Ok(disk)
    }

    pub(crate) fn tape(&self) -> MutexGuard<'_, Tape> {
        self.tape.lock().unwrap()
    }

    pub(crate) fn shared_tape(&self) -> Arc<Mutex<Tape>> {
        Arc::clone(&self.tape)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.mount.take();
        self.device.take();
        self.session.take();
    }
}

const NAME: &str = "disk";
const FILE: u64 = 2;

struct Server(Arc<Mutex<Tape>>);

impl Server {
    fn attr(&self, ino: u64) -> FileAttr {
        let size = self.0.lock().unwrap().bytes.len() as u64;
        let (kind, perm, size) = match ino {
            FILE => (FileType::RegularFile, 0o600, size),
            _ => (FileType::Directory, 0o700, 0),
        };
        let time = SystemTime::UNIX_EPOCH;
        FileAttr {
            ino,
            size,
            blocks: size / 512,
            atime: time,
            mtime: time,
            ctime: time,
            crtime: time,
            kind,
            perm,
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        }
    }
}

const TTL: Duration = Duration::from_secs(3600);
/// Every access of the file comes here.
const DIRECT_IO: u32 = 1;

impl Filesystem for Server {
    fn lookup(&mut self, _: &Request<'_>, _: u64, name: &OsStr, reply: ReplyEntry) {
        if name == NAME {
            reply.entry(&TTL, &self.attr(FILE), 0);
        } else {
            reply.error(libc::ENOENT);
        }
    }

    fn getattr(&mut self, _: &Request<'_>, ino: u64, _: Option<u64>, reply: ReplyAttr) {
        reply.attr(&TTL, &self.attr(ino));
    }

    fn open(&mut self, _: &Request<'_>, _: u64, _: i32, reply: ReplyOpen) {
        reply.opened(0, DIRECT_IO);
    }

    fn read(
        &mut self,
        _: &Request<'_>,
        _: u64,
        _: u64,
        offset: i64,
        size: u32,
        _: i32,
        _: Option<u64>,
        reply: ReplyData,
    ) {
        let tape = self.0.lock().unwrap();
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(tape.bytes.len());
        let to = from.saturating_add(size as usize).min(tape.bytes.len());
        reply.data(&tape.bytes[from..to]);
    }

    fn write(
        &mut self,
        _: &Request<'_>,
        _: u64,
        _: u64,
        offset: i64,
        data: &[u8],
        _: u32,
        _: i32,
        _: Option<u64>,
        reply: ReplyWrite,
    ) {
        let mut tape = self.0.lock().unwrap();
        let at = usize::try_from(offset).unwrap_or(usize::MAX);
        if at.saturating_add(data.len()) > tape.bytes.len() {
            return reply.error(libc::ENOSPC);
        }
        if tape.failing > 0 {
            tape.failing -= 1;
            tape.failed += 1;
            return reply.error(libc::EIO);
        }
        tape.bytes[at..at + data.len()].copy_from_slice(data);
        tape.events.push(Event::Write(at, data.to_vec()));
        reply.written(u32::try_from(data.len()).unwrap_or(u32::MAX));
    }

    fn fsync(&mut self, _: &Request<'_>, _: u64, _: u64, _: bool, reply: ReplyEmpty) {
        self.0.lock().unwrap().events.push(Event::Flush);
        reply.ok();
    }

    fn flush(&mut self, _: &Request<'_>, _: u64, _: u64, _: u64, reply: ReplyEmpty) {
        reply.ok();
    }
}
