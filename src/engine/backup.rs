//! Copies a store: one that is open here, or any from outside.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use super::follow::{Followed, TRIES, check_place, follow, newest_of};
use super::log::Changed;
use super::shared::Engine;
use crate::backup::{Failure, Target, closed_at, refuse_target};
use crate::config::Config;
use crate::directory::manifest::Manifest;
use crate::error::{Error, Result};
use crate::fs::FileSystem;
use crate::hashers::Hashers;
use crate::ids::{StoreId, TreeId};
use crate::merkle::{NamedHead, StoreHead, TreeSize};
use crate::report::BackupInfo;

/// What may be in the directory that a store is copied to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Onto {
    /// Nothing.
    Empty,
    /// Nothing, or an older copy, which becomes the new one.
    Older,
}

impl Onto {
    fn begin(self, target: &Config, store: StoreId) -> Result<Target<'_>> {
        match self {
            Self::Empty => Target::begin(target),
            Self::Older => Target::onto(target, store),
        }
    }
}

impl Engine {
    /// Copies the store's current contents to the file system of `target`.
    pub(crate) fn snapshot_to(&self, target: &Config) -> Result<BackupInfo> {
        let started = Instant::now();
        self.check_may_wait("snapshot_to")?;
        let mut target = Target::begin(target)?;
        self.flush()?;
        let (state, changed, hold) = {
            let live = self.keeper.lock();
            let (point, changed, _) = self.log.changed();
            let state = closed_at(live.manifest(), point.position);
            (state, changed, self.hold(&live))
        };
        target.fill(&*self.fs, &state)?;
        drop(hold);
        let head = head_of(&state, &changed)?;
        target.finish(&state, head, started)
    }
}

/// The heads of all trees: those of `manifest`, updated by the trees that have `changed` since.
pub(crate) fn head_of(manifest: &Manifest, changed: &[Changed]) -> Result<StoreHead> {
    let mut heads: BTreeMap<TreeId, NamedHead> =
        manifest.trees.iter().map(|entry| (entry.spec.id, entry.head())).collect();
    for Changed { spec, tree, size, dropped, .. } in changed {
        if *dropped {
            heads.remove(&spec.id);
        } else if let Some(tree) = tree {
            heads.insert(spec.id, spec.at(tree.head_at(TreeSize(*size))?));
        }
    }
    // This does not fail: no two trees have the same name, and all names are valid.
    Ok(StoreHead::new(heads.into_values().collect()).unwrap_or_default())
}

/// Copies the store `opened` in `fs`, which `config` names, to the file system of `target`. Another process may
/// be writing to the store. Locks and changes nothing in it.
pub(crate) fn copy_from_outside(
    config: &Config,
    fs: &Arc<dyn FileSystem>,
    opened: StoreId,
    hashers: &Hashers,
    target: &Config,
    onto: Onto,
) -> Result<BackupInfo> {
    let started = Instant::now();
    let newest = || newest_of(config, &**fs, opened);
    // These fail before anything is written to the target.
    check_place(config, &**fs, opened)?;
    newest()?;
    let older = match onto {
        Onto::Older if refuse_target(target).is_err() => {
            Some(follow(target, &target.bind()?, hashers, None)?.head()?)
        }
        _ => None,
    };
    let place = target;
    let mut target = onto.begin(target, opened)?;
    let (mut last, mut tries) = (None, 0);
    loop {
        let manifest = newest()?;
        let number = manifest.number;
        let copied = Followed::load(config, fs, hashers, None, manifest.clone())
            .map_err(Failure::Source)
            .and_then(|mut found| {
                if let Some(older) = &older {
                    check_older(&mut found, config, place, older)?;
                }
                let state = closed_at(&manifest, found.end());
                target.fill(&*found.fs, &state)?;
                let head = found.head().map_err(Failure::Source)?;
                Ok((state, head))
            });
        match copied {
            Ok((state, head)) => return target.finish(&state, head, started),
            Err(Failure::Target(error)) => return Err(error),
            Err(Failure::Source(error)) => {
                // The writer may have interfered. Then the next try has another result.
                let seen = (number, error.to_string());
                tries += 1;
                if tries == TRIES || last.as_ref() == Some(&seen) {
                    return Err(error);
                }
                last = Some(seen);
            }
        }
    }
}

/// Fails unless each tree of the `older` copy in `target` is a prefix of the tree in `found`. A tree that is gone may have
/// been dropped.
fn check_older(
    found: &mut Followed,
    config: &Config,
    target: &Config,
    older: &StoreHead,
) -> Result<(), Failure> {
    for head in older.trees() {
        let tree = match found.tree(config, &head.name) {
            Err(Error::NoTree { .. } | Error::UnknownHasher { .. }) => continue,
            tree => tree.map_err(Failure::Source)?,
        };
        let is_prefix = head.head.size.get() <= tree.columns.leaves()
            && tree.head_at(head.head.size).map_err(Failure::Source)?.root == head.head.root;
        if !is_prefix {
            let (path, tree) = (target.path.clone(), head.name.clone());
            return Err(Failure::Target(Error::BackupDiverged { path, tree }));
        }
    }
    Ok(())
}
