//! Where the new store is made: in a directory inside of the target, which is an unfinished copy until the store is whole.
//!
//! # Invariants
//!
//! - Until everything is written the target has the mark of an unfinished copy and no manifest, so every open refuses it.
//! - Its files come into the target as those of a backup do, the manifest last.
//! - The directory inside is removed only while its path leads to it: another recovery may have made its own one there.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use crate::backup::Target;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::fs::{Dir, FileSystem, Place};
use crate::store::Store;

/// The name of the directory inside.
const INSIDE: &str = "unfinished";

/// The directory inside, which is removed when this is dropped.
struct Inside {
    place: Arc<dyn Place>,
    /// The directory that was made there.
    made: Arc<dyn FileSystem>,
}

impl Inside {
    fn make(place: Arc<dyn Place>, path: &Path) -> Result<Self> {
        match place.make() {
            Ok(made) => Ok(Self { place, made }),
            Err(error) => {
                // A part of the directories may have been made.
                if place.bind().is_ok_and(|found| is_unused(&*found)) {
                    let _ = place.remove_all();
                }
                Err(Error::io("create", path, error))
            }
        }
    }
}

/// Whether a directory has no file of a store, and no other recovery has its lock.
fn is_unused(fs: &dyn FileSystem) -> bool {
    let is_empty = |dir: &Dir| fs.list(*dir).is_ok_and(|files| files.is_empty());
    Dir::INNER.iter().all(is_empty) && fs.is_locked().is_ok_and(|locked| !locked)
}

impl Drop for Inside {
    fn drop(&mut self) {
        let removed = self.made.check_place().and_then(|()| self.place.remove_all());
        if let Err(error) = removed {
            tracing::warn!(%error, "cannot remove the directory in which a store was recovered");
        }
    }
}

/// Has `write` write a store, and makes that the store of `target` if it succeeds. If it fails, nothing is left.
pub(super) fn finished<T>(target: &Config, write: impl FnOnce(&Store) -> Result<T>) -> Result<T> {
    let Some(place) = target.place.inside(INSIDE) else {
        // A disk without such directories. What an error leaves there is a store with fewer leaves.
        let store = Store::open(target.clone())?;
        let written = write(&store)?;
        store.close()?;
        return Ok(written);
    };
    let started = Instant::now();
    let unfinished = Target::begin(target)?;
    let mut config = target.clone();
    (config.place, config.path) = (Arc::clone(&place), target.path.join(INSIDE));
    let inside = Inside::make(place, &config.path)?;
    let store = Store::open(config)?;
    let written = write(&store)?;
    store.copy_into(unfinished, started)?;
    store.close()?;
    drop(inside);
    Ok(written)
}

#[cfg(test)]
mod tests {
    use std::{fs, io};

    use super::*;
    use crate::fs::OsPlace;

    /// A place in which only a part of the directories can be made.
    #[derive(Debug)]
    struct Full(OsPlace);

    impl Place for Full {
        fn bind(&self) -> io::Result<Arc<dyn FileSystem>> {
            self.0.bind()
        }

        fn make(&self) -> io::Result<Arc<dyn FileSystem>> {
            self.0.make()?;
            Err(io::ErrorKind::StorageFull.into())
        }

        fn remove_all(&self) -> io::Result<()> {
            self.0.remove_all()
        }
    }

    #[test]
    fn what_was_made_before_an_error_is_removed_unless_another_recovery_uses_it() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join(INSIDE);
        let begin = || {
            let begun = Inside::make(Arc::new(Full(OsPlace::new(&dir))), &dir);
            assert!(matches!(begun, Err(Error::Io { .. })));
            dir.exists()
        };
        assert!(!begin());
        // Another one has just begun.
        let other = OsPlace::new(&dir).make().unwrap();
        let lock = other.lock().unwrap();
        assert!(begin());
        drop(lock);
        assert!(!begin());
        fs::create_dir_all(dir.join("parts")).unwrap();
        fs::write(dir.join("parts/00000001.part"), "of another").unwrap();
        assert!(begin());
    }
}
