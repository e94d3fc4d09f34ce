//! Looking at a store from outside, without opening it.

use std::io;
use std::path::Path;

use super::files;
use super::manifest;
use super::manifest::Manifest;
use crate::error::{Error, Result};
use crate::fs::{FileSystem, StoreLock};

/// How often the newest manifest is looked for when each is gone before it can be read.
const TRIES: usize = 100;

/// The manifest in force, also while a process has the store open. `path` is for messages.
pub(crate) fn newest_manifest(fs: &dyn FileSystem, path: &Path) -> Result<Manifest> {
    // The newest may be replaced and removed between listing and reading; the next try sees that.
    for _ in 0..TRIES {
        let Some(newest) = newest_number(fs, path)? else { break };
        match manifest::read(fs, newest) {
            Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            read => return read,
        }
    }
    Err(Error::NoStore { path: path.to_owned() })
}

/// The number of the manifest in force; `None` if there is no store and one can be made.
pub(crate) fn newest_number(fs: &dyn FileSystem, path: &Path) -> Result<Option<u64>> {
    let newest = || Ok::<_, Error>(manifest::list(fs)?.0.last().copied());
    if let Some(newest) = newest()? {
        return Ok(Some(newest));
    }
    match files::check_empty(fs, path) {
        Ok(_) => Ok(None),
        // What was found may be of a store that is being made: then it has its manifest by now, which
        // comes before everything that an empty directory must not hold.
        Err(error) => newest()?.map_or(Err(error), |newest| Ok(Some(newest))),
    }
}

/// Acquires the store's lock, which keeps every writer out.
pub(crate) fn lock(fs: &dyn FileSystem, path: &Path) -> Result<Box<dyn StoreLock>> {
    fs.lock().map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => Error::Locked { path: path.to_owned() },
        _ => Error::io("lock", path, error),
    })
}
