//! Random values, with an error where the system has none to give.

use crate::error::{Error, Result};
use crate::fs::{FileKind, FileName, FileSystem};

/// `N` random bytes from the file system of a store.
pub(crate) fn bytes<const N: usize>(fs: &dyn FileSystem) -> Result<[u8; N]> {
    let mut bytes = [0; N];
    fs.random(&mut bytes).map_err(|error| {
        let path = fs.display(FileName::new(FileKind::Manifest, 0));
        let store = path.ancestors().nth(2).unwrap_or(&path);
        Error::io("get random bytes for", store, error)
    })?;
    Ok(bytes)
}

/// A random identifier: a UUID of version 4.
pub(crate) fn id(fs: &dyn FileSystem) -> Result<[u8; 16]> {
    let id = uuid::Builder::from_random_bytes(bytes(fs)?).into_uuid();
    Ok(*id.as_bytes())
}
