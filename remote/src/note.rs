//! The note in the directory of a store: up to which epoch it has everything that was written to the bucket.
//!
//! # Invariants
//!
//! - The note names an epoch only once the directory has all that was written under this epoch and those before it, or
//!   is itself the one that writes under it.
//! - The note is durable before anything is written under its epoch. So a directory whose note is older than what is in
//!   the bucket has missed something, and may not go on.
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

/// The epoch in the note of `dir`, or `None` if it has none of this store.
pub(crate) fn read(dir: &Path, store: StoreId) -> Result<Option<u64>> {
    let path = dir.join(NAME);
    let text = match fs::read_to_string(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        text => text.map_err(fail("read", &path))?,
    };
    let fields: Vec<&str> = text.split_whitespace().collect();
    let [own, epoch, directory] = fields[..] else { return Ok(None) };
    let own = own == const_hex::encode(store) && directory == inode(dir)?.to_string();
    Ok(epoch.parse().ok().filter(|_| own))
}

fn inode(dir: &Path) -> Result<u64> {
    fs::metadata(dir).map(|found| found.ino()).map_err(fail("look at", dir))
}

/// Writes the note of `dir`.
pub(crate) fn write(dir: &Path, store: StoreId, epoch: u64) -> Result<()> {
    let (path, tmp): (PathBuf, PathBuf) = (dir.join(NAME), dir.join("remote.tmp"));
    let mut file = File::create(&tmp).map_err(fail("create", &tmp))?;
    let line = format!("{} {epoch} {}\n", const_hex::encode(store), inode(dir)?);
    file.write_all(line.as_bytes()).map_err(fail("write", &tmp))?;
    file.sync_all().map_err(fail("sync", &tmp))?;
    fs::rename(&tmp, &path).map_err(fail("rename", &tmp))?;
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(fail("sync", dir))
}
