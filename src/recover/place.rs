//! Where the new store is made: in a directory inside of the target, which is an unfinished copy until the store is whole.
//!
//! # Invariants
//!
//! - Until everything is written the target has the mark of an unfinished copy and no manifest, so every open refuses it.
//! - Its files come into the target as those of a backup do, the manifest last.

use std::sync::Arc;
use std::time::Instant;

use crate::backup::Target;
use crate::config::Config;
use crate::error::Result;
use crate::fs::Place;
use crate::store::Store;

/// The name of the directory inside.
const INSIDE: &str = "unfinished";

/// The directory inside, which is removed when this is dropped.
struct Inside(Arc<dyn Place>);

impl Drop for Inside {
    fn drop(&mut self) {
        if let Err(error) = self.0.remove_all() {
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
    let inside = Inside(Arc::clone(&place));
    let mut config = target.clone();
    (config.place, config.path) = (place, target.path.join(INSIDE));
    let store = Store::open(config)?;
    let written = write(&store)?;
    store.copy_into(unfinished, started)?;
    store.close()?;
    drop(inside);
    Ok(written)
}
