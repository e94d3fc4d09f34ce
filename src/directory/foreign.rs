//! Finds files of another store among the files that nothing refers to.
//!
//! Files that nothing refers to are recycled or removed. A file of another store may have been copied
//! here by mistake. If the manifest was copied here by mistake, nothing refers to the files of this
//! store. In both cases no file may be touched.

use super::manifests;
use crate::error::{Damage, Result};
use crate::fs::{FileKind, FileName, FileSystem};
use crate::ids::StoreId;
use crate::part::Part;
use crate::wal;

/// Fails if a file belongs to another store than `store`. Checks the files in `unused` and the manifests
/// older than number `newest`. A file that is unreadable, or that names no store, passes: nothing needs
/// it.
pub(crate) fn refuse(
    fs: &dyn FileSystem,
    store: StoreId,
    newest: u64,
    unused: impl Iterator<Item = FileName>,
) -> Result<()> {
    let (manifests, _) = manifests::list(fs)?;
    let older = manifests.into_iter().filter(|number| *number < newest).map(manifests::file);
    for name in unused.filter(|name| !name.temporary).chain(older) {
        let owner = match name.kind {
            FileKind::Segment => wal::owner(fs, name),
            FileKind::Part | FileKind::Index => Part::owner(fs, name),
            FileKind::Manifest => manifests::owner(fs, name.number),
        };
        if let Some(found) = owner.unwrap_or_default().filter(|owner| *owner != store) {
            return Err(Damage::field(&fs.display(name), 0, "store id", store, found).into());
        }
    }
    Ok(())
}
