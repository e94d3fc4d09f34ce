//! Files of another store among those that nothing refers to.
//!
//! Such files are recycled or removed. A file of another store got there by mistake, and so may have
//! the manifest: then it is this store's files that nothing refers to. Neither may be touched.

use super::manifest;
use crate::error::{Damage, Result};
use crate::fs::{FileKind, FileName, FileSystem};
use crate::ids::StoreId;
use crate::part::Part;
use crate::wal;

/// Refuses files of another store than `store`: those of `unused`, and manifests older than number
/// `newest`. Files that do not say whose they are, or cannot be read, pass: nothing needs them.
pub(crate) fn refuse(
    fs: &dyn FileSystem,
    store: StoreId,
    newest: u64,
    unused: impl Iterator<Item = FileName>,
) -> Result<()> {
    let (manifests, _) = manifest::list(fs)?;
    let older = manifests.into_iter().filter(|number| *number < newest).map(manifest::file);
    for name in unused.filter(|name| !name.temporary).chain(older) {
        let owner = match name.kind {
            FileKind::Segment => wal::owner(fs, name),
            FileKind::Part => Part::owner(fs, name),
            FileKind::Manifest => manifest::owner(fs, name.number),
        };
        if let Some(found) = owner.unwrap_or_default().filter(|owner| *owner != store) {
            return Err(Damage::field(&fs.display(name), 0, "store id", store, found).into());
        }
    }
    Ok(())
}
