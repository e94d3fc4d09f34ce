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
use crate::fs::{FileSystem, is_same_directory};
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
        self.copy_into(Target::begin(target)?, started)
    }

    /// Copies the store's current contents into `target`, which was begun at `started`.
    pub(crate) fn copy_into(&self, mut target: Target<'_>, started: Instant) -> Result<BackupInfo> {
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
    let place = target;
    let is_older = onto == Onto::Older && refuse_target(target).is_err();
    if is_older && is_same_directory(&**fs, &*target.bind()?) {
        return Err(Error::BackupOfItself { path: target.path.clone() });
    }
    let mut target = onto.begin(target, opened)?;
    // Under the lock of the copy: it cannot go on any more.
    let older = match is_older {
        true => Some(follow(place, &place.bind()?, hashers, None)?),
        false => None,
    };
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

/// Fails unless the `older` copy in `target` has nothing that `found` does not have. A tree that is gone may have been
/// dropped, and its name may be that of another tree now.
fn check_older(
    found: &mut Followed,
    config: &Config,
    target: &Config,
    older: &Followed,
) -> Result<(), Failure> {
    for tree in older.logged().iter() {
        let name = &tree.spec.name;
        let diverged = |what| {
            let (path, tree) = (target.path.clone(), name.clone());
            Err(Failure::Target(Error::BackupDiverged { path, tree, what }))
        };
        let Some(now) = found.logged().get(tree.spec.id) else {
            if u64::from(tree.spec.id.0) < found.logged().next() {
                continue;
            }
            return diverged("is not one of the store's");
        };
        if now.spec != tree.spec {
            return diverged("is not one of the store's");
        }
        if tree.size > now.size {
            return diverged("has leaves that the store does not have");
        }
        // What was pruned since needs no erasure any more.
        let begin = found.begin(tree.spec.id);
        if !now.erasures.has_all_of(&tree.erasures.behind(begin)) {
            return diverged("has erased entries that the store still has");
        }
        if tree.sealed && !now.sealed {
            return diverged("is sealed, and that of the store is not");
        }
        // Nothing can be compared if the hash function is not known.
        let Some(head) = older.head_of(tree).map_err(Failure::Target)? else { continue };
        let now = match found.tree(config, name) {
            Err(Error::UnknownHasher { .. }) => continue,
            now => now.map_err(Failure::Source)?,
        };
        if head.size < TreeSize(begin) {
            return diverged("ends before the leaf below which that of the store was pruned");
        }
        if now.head_at(head.size).map_err(Failure::Source)?.root != head.root {
            return diverged("has leaves that the store does not have");
        }
    }
    Ok(())
}
