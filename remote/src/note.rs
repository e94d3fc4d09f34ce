//! The note in the directory of a store: what the directory has of what was written to the bucket.
//!
//! # Invariants
//!
//! - The note names an epoch only once the directory has all that was written under this epoch and those before it, or
//!   is itself the one that writes under it.
//! - The note is durable before anything is written under its epoch. So a directory whose note is older than what is in
//!   the bucket has missed something, and may not go on.
//! - The note names a sequence number before records up to it are sent. So a directory was set back to an earlier state of
//!   itself, as by a disk image, if the bucket has more than its note names.
//! - A note counts only in the directory that it was written in, which it names by its inode: a copy of the directory is
//!   not what wrote to the bucket. A directory that was restored without a takeover gets no note, since the writer goes on.
//! - The note is written through the descriptor of the directory that is locked, so into no other one. What another program has
//!   put under its names is not followed, truncated, replaced or waited for: the call fails instead.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags, openat, renameat, statat};
use rustix::io::{Errno, retry_on_intr};

use crate::error::{Error, Result};
use crate::objects::StoreId;

const NAME: &str = "remote";
/// What becomes the note once it is durable.
const NEW: &str = "remote.tmp";
/// No note is longer.
const LONGEST: u64 = 256;

/// What the note says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Note {
    /// The directory has everything that was written up to this epoch.
    pub(crate) epoch: u64,
    /// The sequence number up to which the directory may have sent records under this epoch.
    pub(crate) sent: u64,
}

/// The directory of a store, open.
#[derive(Debug)]
pub(crate) struct NoteDir {
    dir: File,
    device: u64,
    inode: u64,
    /// For messages.
    path: PathBuf,
}

impl NoteDir {
    /// The open directory `dir`, which messages call `path`.
    pub(crate) fn of(dir: File, path: &Path) -> Result<Self> {
        let found = dir.metadata().map_err(|error| failed("look at", path, &error))?;
        Ok(Self { dir, device: found.dev(), inode: found.ino(), path: path.to_owned() })
    }

    /// The directory at `path`.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = retry_on_intr(|| openat(rustix::fs::CWD, path, flags, Mode::empty()));
        Self::of(dir.map_err(|error| failed("open", path, &error.into()))?.into(), path)
    }

    /// Whether `path` leads to this directory.
    pub(crate) fn is_at(&self, path: &Path) -> Result<bool> {
        match std::fs::metadata(path) {
            Ok(found) => Ok((found.dev(), found.ino()) == (self.device, self.inode)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(failed("look at", path, &error)),
        }
    }

    /// The note, or `None` if there is none of this store.
    pub(crate) fn read(&self, store: StoreId) -> Result<Option<Note>> {
        let Some(text) = self.text()? else { return Ok(None) };
        let Some((own, note, directory)) = parse(&text) else { return Ok(None) };
        let is_ours = own == const_hex::encode(store) && directory == self.inode;
        Ok(is_ours.then_some(note))
    }

    /// Writes the note.
    pub(crate) fn write(&self, store: StoreId, note: Note) -> Result<()> {
        let path = self.path.join(NAME);
        if self.text()?.is_some_and(|text| parse(&text).is_none()) {
            return Err(not_ours("replace", path));
        }
        let Note { epoch, sent } = note;
        let own = format!("{} ", const_hex::encode(store));
        let line = format!("{own}{epoch} {} {sent}\n", self.inode);
        let new = self.path.join(NEW);
        let file = self.create(&own)?;
        file.write_all_at(line.as_bytes(), 0).map_err(|error| failed("write", &new, &error))?;
        file.sync_all().map_err(|error| failed("sync", &new, &error))?;
        if !self.leads_to(&file).map_err(|error| failed("look at", &new, &error))? {
            return Err(not_ours("rename", new));
        }
        retry_on_intr(|| renameat(&self.dir, NEW, &self.dir, NAME))
            .map_err(|error| failed("rename", &new, &error.into()))?;
        self.dir.sync_all().map_err(|error| failed("sync", &self.path, &error))
    }

    /// The bytes of the note that is there. Of a file that is too long they are no note.
    fn text(&self) -> Result<Option<String>> {
        let path = self.path.join(NAME);
        let file = match self.open_regular(NAME, OFlags::RDONLY) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed("read", &path, &error)),
        };
        let mut bytes = Vec::new();
        let read = file.take(LONGEST + 1).read_to_end(&mut bytes);
        read.map_err(|error| failed("read", &path, &error))?;
        Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// An empty file for the note to come. One that an earlier call has left is used again: it is empty, or begins with
    /// `own`.
    fn create(&self, own: &str) -> Result<File> {
        let path = self.path.join(NEW);
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::NOFOLLOW;
        let mode = Mode::RUSR | Mode::WUSR;
        match retry_on_intr(|| openat(&self.dir, NEW, flags | OFlags::CLOEXEC, mode)) {
            Ok(file) => return Ok(file.into()),
            Err(Errno::EXIST) => {}
            Err(error) => return Err(failed("create", &path, &error.into())),
        }
        let Ok(file) = self.open_regular(NEW, OFlags::RDWR) else {
            return Err(not_ours("create", path));
        };
        match is_begun(&file, own).map_err(|error| failed("read", &path, &error))? {
            true => file.set_len(0).map_err(|error| failed("write", &path, &error))?,
            false => return Err(not_ours("create", path)),
        }
        Ok(file)
    }

    /// Opens a regular file. Follows no link and waits for no other end of a FIFO.
    fn open_regular(&self, name: &str, flags: OFlags) -> io::Result<File> {
        let harmless = OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let opened: OwnedFd =
            match retry_on_intr(|| openat(&self.dir, name, flags | harmless, Mode::empty())) {
                Err(Errno::LOOP | Errno::NXIO | Errno::ISDIR) => return Err(not_regular()),
                opened => opened?,
            };
        let file = File::from(opened);
        if file.metadata()?.is_file() { Ok(file) } else { Err(not_regular()) }
    }

    /// Whether the name of the note to come leads to `file`.
    fn leads_to(&self, file: &File) -> io::Result<bool> {
        let own = rustix::fs::fstat(file)?;
        match retry_on_intr(|| statat(&self.dir, NEW, AtFlags::SYMLINK_NOFOLLOW)) {
            Ok(found) => Ok((found.st_dev, found.st_ino) == (own.st_dev, own.st_ino)),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

/// Whether a file can be one that a write of a note has left, and has no other name.
fn is_begun(file: &File, own: &str) -> io::Result<bool> {
    let found = file.metadata()?;
    if found.nlink() != 1 || found.len() > LONGEST {
        return Ok(false);
    }
    let mut bytes = Vec::new();
    let mut reader = file;
    reader.read_to_end(&mut bytes)?;
    let zeros = bytes.iter().all(|byte| *byte == 0);
    Ok(zeros || bytes.starts_with(own.as_bytes()) || own.as_bytes().starts_with(&bytes))
}

/// The store, what the note says, and the inode of its directory. Before the number of records was noted it was missing.
fn parse(text: &str) -> Option<(String, Note, u64)> {
    let fields: Vec<&str> = text.strip_suffix('\n')?.split(' ').collect();
    let (own, epoch, directory, sent) = match fields[..] {
        [own, epoch, directory, sent] => (own, epoch, directory, sent),
        [own, epoch, directory] => (own, epoch, directory, "0"),
        _ => return None,
    };
    let is_hex = own.len() == 32 && own.bytes().all(|byte| byte.is_ascii_hexdigit());
    let note = Note { epoch: epoch.parse().ok()?, sent: sent.parse().ok()? };
    is_hex.then_some((own.to_owned(), note, directory.parse().ok()?))
}

fn failed(action: &'static str, path: &Path, error: &io::Error) -> Error {
    Error::Io { action, path: path.to_owned(), reason: error.to_string() }
}

fn not_ours(action: &'static str, path: PathBuf) -> Error {
    let reason = "it is a file of another program: move it elsewhere".to_owned();
    Error::Io { action, path, reason }
}

fn not_regular() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file")
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    const OWN: StoreId = [7; 16];
    const NOTE: Note = Note { epoch: 3, sent: 1_000 };

    fn at(dir: &Path) -> NoteDir {
        NoteDir::open(dir).unwrap()
    }

    #[test]
    fn a_note_is_read_back_in_its_directory_for_its_store_and_nowhere_else() {
        let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let [dir, other] = dirs.each_ref().map(tempfile::TempDir::path);
        assert_eq!(at(dir).read(OWN).unwrap(), None);
        at(dir).write(OWN, NOTE).unwrap();
        assert_eq!(at(dir).read(OWN).unwrap(), Some(NOTE));
        assert_eq!(at(dir).read([8; 16]).unwrap(), None);
        fs::copy(dir.join(NAME), other.join(NAME)).unwrap();
        assert_eq!(at(other).read(OWN).unwrap(), None);
        // Its own store replaces it.
        at(other).write([8; 16], NOTE).unwrap();
        assert_eq!(at(other).read([8; 16]).unwrap(), Some(NOTE));
        for text in ["", "7", "x 1 2 3 4"] {
            fs::write(dir.join(NAME), text).unwrap();
            assert_eq!(at(dir).read(OWN).unwrap(), None, "{text:?}");
        }
    }

    #[test]
    fn what_another_program_has_put_there_is_refused_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let victim = dir.path().join("victim");
        let store = dir.path().join("store");
        fs::create_dir(&store).unwrap();
        let text = || fs::read_to_string(&victim).unwrap();
        for (name, is_link) in [(NAME, true), (NEW, true), (NAME, false), (NEW, false)] {
            fs::write(&victim, "precious").unwrap();
            let planted = store.join(name);
            match is_link {
                true => symlink("../victim", &planted).unwrap(),
                false => fs::hard_link(&victim, &planted).unwrap(),
            }
            let error = at(&store).write(OWN, NOTE).unwrap_err();
            assert!(error.to_string().contains(name), "{error}");
            assert_eq!(text(), "precious", "{name} {is_link}");
            assert!(planted.symlink_metadata().is_ok());
            fs::remove_file(planted).unwrap();
        }
        // What an earlier call has left is ours.
        for left in
            [String::new(), const_hex::encode(OWN), format!("{} 3 4", const_hex::encode(OWN))]
        {
            fs::write(store.join(NEW), left).unwrap();
            at(&store).write(OWN, NOTE).unwrap();
            assert_eq!(at(&store).read(OWN).unwrap(), Some(NOTE));
            assert!(!store.join(NEW).exists());
        }
    }

    #[test]
    fn neither_a_fifo_nor_an_endless_file_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join(NAME);
        let mode = Mode::RUSR | Mode::WUSR;
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        assert!(at(dir.path()).read(OWN).is_err());
        fs::remove_file(&fifo).unwrap();
        let long = File::create(&fifo).unwrap();
        long.set_len(8 << 40).unwrap();
        assert_eq!(at(dir.path()).read(OWN).unwrap(), None);
        at(dir.path()).write(OWN, NOTE).unwrap_err();
    }

    #[test]
    fn the_note_goes_into_the_directory_that_was_opened_wherever_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let (path, moved) = (dir.path().join("store"), dir.path().join("moved"));
        fs::create_dir(&path).unwrap();
        let notes = at(&path);
        fs::rename(&path, &moved).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(!notes.is_at(&path).unwrap() && notes.is_at(&moved).unwrap());
        notes.write(OWN, NOTE).unwrap();
        assert_eq!(at(&moved).read(OWN).unwrap(), Some(NOTE));
        assert_eq!(fs::read_dir(&path).unwrap().count(), 0);
    }
}
