//! Looking at a store from outside, without opening it.

use std::io;

use super::files;
use super::manifest;
use super::manifest::Manifest;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::fs::StoreLock;

/// How often the newest manifest is looked for when each is gone before it can be read.
const TRIES: usize = 100;

/// The manifest in force, also while a process has the store open.
pub(crate) fn newest_manifest(config: &Config) -> Result<Manifest> {
    let fs = &*config.fs;
    // The newest may be replaced and removed between listing and reading; the next try sees that.
    for _ in 0..TRIES {
        let (numbers, _) = manifest::list(fs)?;
        let Some(newest) = numbers.last() else {
            files::check_empty(fs, &config.path)?;
            break;
        };
        match manifest::read(fs, *newest) {
            Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            read => return read,
        }
    }
    Err(Error::NoStore { path: config.path.clone() })
}

/// The store's lock, which keeps every writer out.
pub(crate) fn lock(config: &Config) -> Result<Box<dyn StoreLock>> {
    config.fs.lock().map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => Error::Locked { path: config.path.clone() },
        _ => Error::io("lock", &config.path, error),
    })
}
