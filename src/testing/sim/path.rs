//! What leads to a simulated disk, and can lead elsewhere later.
//!
//! A disk stands for one directory. Renaming directories changes which disk a path leads
//! to; exchanging an inner directory or the lock file changes its identity. The files of an inner
//! directory that is exchanged are not moved: what a store must do is fail before it looks at them.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::identity::Holder;
use super::state::{Shared, State};
use crate::fs::owned::Owned;
use crate::fs::{Dir, Displaced, Displacement, FileName};
use crate::sync::Mutex;

/// The path of the store's directory in messages.
pub(super) const ROOT: &str = "simulated";

/// A path that leads to a disk, or nowhere.
///
/// A clone is another handle of the same path.
#[derive(Clone)]
pub struct SimPath(Arc<Mutex<Option<Arc<Shared>>>>);

impl SimPath {
    pub(super) fn to(disk: Option<Arc<Shared>>) -> Self {
        Self(Arc::new(Mutex::new(disk)))
    }

    pub(super) fn point_to(&self, disk: Option<Arc<Shared>>) {
        *self.0.lock() = disk;
    }

    pub(super) fn disk(&self) -> Option<Arc<Shared>> {
        self.0.lock().clone()
    }
}

impl fmt::Debug for SimPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimPath").finish_non_exhaustive()
    }
}

/// How a store reached a disk, and what it found there.
pub(super) struct Bound {
    path: Option<SimPath>,
    inner: [u64; 3],
    /// Tells it apart from others that reached the same disk.
    id: u64,
}

impl Bound {
    pub(super) fn new(path: Option<SimPath>, state: &mut State) -> Self {
        let id = state.identity.another();
        Self { path, inner: state.identity.inner, id }
    }

    pub(super) fn holder<'a>(&self, state: &'a State) -> Option<&'a Holder> {
        state.identity.holders.get(&self.id)
    }

    pub(super) fn holder_mut<'a>(&self, state: &'a mut State) -> Option<&'a mut Holder> {
        state.identity.holders.get_mut(&self.id)
    }

    /// Locks the lock file, which is made if there is none. All files that are there are the store's.
    pub(super) fn hold(&self, state: &mut State) {
        let owned = Owned::new(state.contents.files());
        let lock = state.identity.lock.unwrap_or_else(|| state.identity.another());
        state.identity.lock = Some(lock);
        state.identity.holders.insert(self.id, Holder { lock, owned });
    }

    /// Fails if what was bound, or locked, is not what is there now.
    pub(super) fn check(&self, disk: &Arc<Shared>, state: &State) -> io::Result<()> {
        let fail = |path: PathBuf, how| Err(Displaced::error(path, how));
        if let Some(path) = &self.path {
            match path.disk() {
                None => return fail(ROOT.into(), Displacement::Removed),
                Some(found) if !Arc::ptr_eq(&found, disk) => {
                    return fail(ROOT.into(), Displacement::Replaced);
                }
                Some(_) => {}
            }
        }
        for ((dir, bound), found) in Dir::INNER.iter().zip(self.inner).zip(state.identity.inner) {
            if bound != found {
                return fail(Path::new(ROOT).join(dir.path()), Displacement::Replaced);
            }
        }
        let Some(holder) = self.holder(state) else { return Ok(()) };
        let path = Path::new(ROOT).join("LOCK");
        match state.identity.lock {
            Some(found) if found == holder.lock => {}
            Some(_) => return fail(path, Displacement::Replaced),
            None => return fail(path, Displacement::Removed),
        }
        holder.owned.manifests().try_for_each(|(name, _)| self.check_file(state, name))
    }

    /// Fails if a name of the store leads to another file or to none.
    pub(super) fn check_file(&self, state: &State, name: FileName) -> io::Result<()> {
        let Some(own) = self.holder(state).and_then(|holder| holder.owned.get(name)) else {
            return Ok(());
        };
        let how = match state.contents.find(name) {
            Ok(found) if found == own => return Ok(()),
            Ok(_) => Displacement::Replaced,
            Err(_) => Displacement::Removed,
        };
        Err(Displaced::error(Path::new(ROOT).join(name.dir().path()).join(name.base()), how))
    }
}
