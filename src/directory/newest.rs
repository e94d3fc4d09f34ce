//! Reads the state of a store from outside, without opening the store.
//!
//! # Invariant
//!
//! A name alone never makes a far number count. Counting comes at most [`FARTHEST`](FileName::FARTHEST) further
//! from one manifest to the next. A file beyond that is the store's only if it is a whole manifest with that
//! number. Within that distance the newest file counts whatever is in it, so a damaged manifest is never passed
//! over for an older one.

use std::io;
use std::path::Path;

use super::files;
use super::manifest::Manifest;
use super::manifests;
use crate::error::{Error, Problem, Result};
use crate::fs::{FileName, FileSystem, StoreLock};

/// How often to retry if the newest manifest disappears before it can be read.
const TRIES: usize = 100;

/// Reads the manifest in force, even while a process has the store open. `path` is for messages.
pub(crate) fn newest_manifest(fs: &dyn FileSystem, path: &Path) -> Result<Manifest> {
    // A writer may replace and remove the newest manifest between listing and reading. The next attempt
    // finds the new one.
    for _ in 0..TRIES {
        let Some(newest) = newest_number(fs, path)? else { break };
        match manifests::read(fs, newest) {
            Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            // Or both the newest manifest and its base.
            Err(Error::Damaged(damage))
                if damage.problem == Problem::Missing
                    && newest_number(fs, path)? != Some(newest) => {}
            read => return read.map(|stored| stored.manifest),
        }
    }
    Err(Error::NoStore { path: path.to_owned() })
}

/// The number of the manifest in force. `None` if there is no store and one can be created.
pub(crate) fn newest_number(fs: &dyn FileSystem, path: &Path) -> Result<Option<u64>> {
    let newest = || in_force(fs, manifests::list(fs)?.0);
    if let Some(newest) = newest()? {
        return Ok(Some(newest));
    }
    match files::check_empty(fs, path) {
        Ok(_) => Ok(None),
        // The files may belong to a store that is being created. Such a store already has its manifest:
        // the manifest comes before every file that an empty directory must not have.
        Err(error) => newest()?.map_or(Err(error), |newest| Ok(Some(newest))),
    }
}

/// Which of `numbers`, the numbers of the manifests in the directory in ascending order, is that of the manifest
/// in force.
pub(crate) fn in_force(
    fs: &dyn FileSystem,
    numbers: impl IntoIterator<Item = u64>,
) -> Result<Option<u64>> {
    let mut newest = None;
    for number in numbers {
        let near = newest.is_none_or(|newest: u64| number - newest <= FileName::FARTHEST + 1);
        if near || is_manifest(fs, number)? {
            newest = Some(number);
        }
    }
    Ok(newest)
}

/// Whether the file with this number is a whole manifest with this number, of any version.
fn is_manifest(fs: &dyn FileSystem, number: u64) -> Result<bool> {
    match manifests::read_alone(fs, number) {
        Ok(_) | Err(Error::UnknownFormat { .. }) => Ok(true),
        Err(Error::Damaged(_)) => Ok(false),
        Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Acquires the store's lock, which excludes every other writer.
pub(crate) fn lock(fs: &dyn FileSystem, path: &Path) -> Result<Box<dyn StoreLock>> {
    fs.lock().map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => {
            Error::Locked { path: path.to_owned(), owner: fs.lock_owner() }
        }
        _ => Error::io("lock", path, error),
    })
}
