//! The note in the directory of a store: up to which epoch it has everything that was written to the bucket.
//!
//! # Invariants
//!
//! - The note names an epoch only once the directory has all that was written under this epoch and those before it, or
//!   is itself the one that writes under it.
//! - The note is durable before anything is written under its epoch. So a directory whose note is older than what is in
//!   the bucket has missed something, and may not go on.

use std::fs::{self, File};
use std::io::Write;
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
    let mut fields = text.split_whitespace();
    let (own, epoch) = (fields.next(), fields.next().and_then(|epoch| epoch.parse().ok()));
    let own = own == Some(&const_hex::encode(store));
    Ok(epoch.filter(|_| own && fields.next().is_none()))
}

/// Writes the note of `dir`.
pub(crate) fn write(dir: &Path, store: StoreId, epoch: u64) -> Result<()> {
    let (path, tmp): (PathBuf, PathBuf) = (dir.join(NAME), dir.join("remote.tmp"));
    let mut file = File::create(&tmp).map_err(fail("create", &tmp))?;
    writeln!(file, "{} {epoch}", const_hex::encode(store)).map_err(fail("write", &tmp))?;
    file.sync_all().map_err(fail("sync", &tmp))?;
    fs::rename(&tmp, &path).map_err(fail("rename", &tmp))?;
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(fail("sync", dir))
}
