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

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::objects::StoreId;

const NAME: &str = "remote";

fn fail<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(std::io::Error) -> Error + 'a {
    move |error| Error::Io { action, path: path.to_owned(), reason: error.to_string() }
}

/// What the note says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Note {
    /// The directory has everything that was written up to this epoch.
    pub(crate) epoch: u64,
    /// The sequence number up to which the directory may have sent records under this epoch.
    pub(crate) sent: u64,
}

/// The note of `dir`, or `None` if it has none of this store.
pub(crate) fn read(dir: &Path, store: StoreId) -> Result<Option<Note>> {
    let path = dir.join(NAME);
    let text = match fs::read_to_string(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        text => text.map_err(fail("read", &path))?,
    };
    let fields: Vec<&str> = text.split_whitespace().collect();
    let [own, epoch, directory, sent] = fields[..] else { return Ok(None) };
    let own = own == const_hex::encode(store) && directory == inode(dir)?.to_string();
    let (Ok(epoch), Ok(sent)) = (epoch.parse(), sent.parse()) else { return Ok(None) };
    Ok(own.then_some(Note { epoch, sent }))
}

fn inode(dir: &Path) -> Result<u64> {
    fs::metadata(dir).map(|found| found.ino()).map_err(fail("look at", dir))
}

/// Writes the note of `dir`.
pub(crate) fn write(dir: &Path, store: StoreId, note: Note) -> Result<()> {
    let Note { epoch, sent } = note;
    let (path, tmp): (PathBuf, PathBuf) = (dir.join(NAME), dir.join("remote.tmp"));
    let mut file = File::create(&tmp).map_err(fail("create", &tmp))?;
    let line = format!("{} {epoch} {} {sent}\n", const_hex::encode(store), inode(dir)?);
    file.write_all(line.as_bytes()).map_err(fail("write", &tmp))?;
    file.sync_all().map_err(fail("sync", &tmp))?;
    fs::rename(&tmp, &path).map_err(fail("rename", &tmp))?;
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(fail("sync", dir))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_read_back_in_its_directory_for_its_store_and_nowhere_else() {
        let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let [dir, other] = dirs.each_ref().map(tempfile::TempDir::path);
        assert_eq!(read(dir, [7; 16]).unwrap(), None);
        let note = Note { epoch: 3, sent: 1_000 };
        write(dir, [7; 16], note).unwrap();
        assert_eq!(read(dir, [7; 16]).unwrap(), Some(note));
        assert_eq!(read(dir, [8; 16]).unwrap(), None);
        fs::copy(dir.join(NAME), other.join(NAME)).unwrap();
        assert_eq!(read(other, [7; 16]).unwrap(), None);
        for text in ["", "7", "x 1 2 3 4"] {
            fs::write(dir.join(NAME), text).unwrap();
            assert_eq!(read(dir, [7; 16]).unwrap(), None, "{text:?}");
        }
    }
}
