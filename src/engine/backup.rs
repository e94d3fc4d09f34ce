//! Copying a store: one that is open here, or any from outside.

use std::sync::Arc;
use std::time::Instant;

use super::follow::{Followed, TRIES, check_place, newest_of};
use super::shared::Engine;
use crate::backup::{Failure, Target, closed_at};
use crate::config::Config;
use crate::directory::manifest::Manifest;
use crate::error::{Error, Result};
use crate::fs::FileSystem;
use crate::ids::StoreId;
use crate::merkle::{Arity, Hasher, TreeHead, TreeSize};
use crate::report::BackupInfo;

impl Engine {
    /// Copies what is in the store now to the file system of `target`.
    pub(crate) fn snapshot_to(&self, target: &Config) -> Result<BackupInfo> {
        let started = Instant::now();
        self.may_wait("snapshot_to")?;
        let mut target = Target::begin(target)?;
        self.flush()?;
        let (state, point, hold) = {
            let live = self.checkpoints.lock();
            let point = self.flushed.lock().clone();
            (closed_at(&live.manifest, point.position), point, self.hold(&live))
        };
        target.fill(&*self.fs, &state)?;
        drop(hold);
        let tree = self.trees.first().ok_or(Error::Closed)?;
        let size = TreeSize(point.sizes.first().copied().unwrap_or(0));
        let head = tree.head_at(size)?;
        target.finish(&state, head, started)
    }
}

/// Copies store `opened` in `fs`, which `config` names and another process may be writing to, to the
/// file system of `target`. Locks and changes nothing in it.
pub(crate) fn copy_from_outside(
    config: &Config,
    fs: &Arc<dyn FileSystem>,
    opened: StoreId,
    hasher: &Arc<dyn Hasher>,
    arity: Arity,
    target: &Config,
) -> Result<BackupInfo> {
    let started = Instant::now();
    let newest = || newest_of(config, &**fs, opened);
    // Before anything is made.
    check_place(config, &**fs, opened)?;
    newest()?;
    let mut target = Target::begin(target)?;
    let (mut last, mut tries) = (None, 0);
    loop {
        let manifest = newest()?;
        let copied = Followed::load(config, fs, Arc::clone(hasher), arity, &manifest)
            .map_err(Failure::Source)
            .and_then(|found| copy_found(&found, &manifest, &mut target));
        match copied {
            Ok((state, head)) => return target.finish(&state, head, started),
            Err(Failure::Target(error)) => return Err(error),
            Err(Failure::Source(error)) => {
                // The writer may have been at work there; then it is found otherwise the next time.
                let seen = (manifest.number, error.to_string());
                tries += 1;
                if tries == TRIES || last.as_ref() == Some(&seen) {
                    return Err(error);
                }
                last = Some(seen);
            }
        }
    }
}

fn copy_found(
    found: &Followed,
    manifest: &Manifest,
    target: &mut Target<'_>,
) -> Result<(Manifest, TreeHead), Failure> {
    let state = closed_at(manifest, found.end());
    target.fill(&*found.fs, &state)?;
    let size = TreeSize(found.tree.columns.leaves());
    let head = found.tree.head_at(size).map_err(Failure::Source)?;
    Ok((state, head))
}
