//! A copy of a store from which a scrub takes what is damaged. It is read as a follower reads a store: the parts, the
//! leaves in the manifest, and the log.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::follow::{Followed, follow};
use super::tree::Tree;
use crate::config::Config;
use crate::error::Result;
use crate::hashers::Hashers;
use crate::ids::StoreId;
use crate::merkle::{Hash, Level, NodeIndex, NodeSource};
use crate::scrub::Donor;
use crate::sync::Mutex;
use crate::tree_spec::TreeSpec;

/// A copy that is read from outside.
struct Copy {
    config: Config,
    path: PathBuf,
    store: StoreId,
    followed: Mutex<Followed>,
}

impl Copy {
    /// The tree of `spec`. `None` if the copy has none or another one.
    fn tree(&self, spec: &TreeSpec) -> Option<Arc<Tree>> {
        let tree = self.followed.lock().tree(&self.config, &spec.name).ok()?;
        (*tree.spec == *spec).then_some(tree)
    }
}

impl Donor for Copy {
    fn path(&self) -> &Path {
        &self.path
    }

    fn store(&self) -> StoreId {
        self.store
    }

    fn leaves(&self, spec: &TreeSpec, first: u64, out: &mut [Hash]) -> bool {
        let Some(tree) = self.tree(spec) else { return false };
        let view = tree.columns.view();
        if first < tree.base() {
            return false;
        }
        let end = first.checked_add(out.len() as u64);
        end.is_some_and(|end| end <= view.leaves())
            && view.read_nodes(Level::LEAVES, NodeIndex(first), out).is_ok()
    }

    fn entries(&self, spec: &TreeSpec, range: Range<u64>, out: &mut dyn FnMut(&[u8])) -> bool {
        let Some(tree) = self.tree(spec) else { return false };
        if tree.framing.is_none() || range.end > tree.columns.leaves() {
            return false;
        }
        let mut at = range.start;
        while at < range.end {
            let Ok(span) = tree.entry_run(&tree.floor(), at, range.end) else { return false };
            out(span.bytes.get());
            at = span.end;
        }
        true
    }
}

impl fmt::Debug for Copy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, store, .. } = self;
        f.debug_struct("Copy").field("path", path).field("store", store).finish_non_exhaustive()
    }
}

/// The copy in `config`, which is not trusted and neither locked nor changed.
pub(crate) fn donor(config: &Config) -> Result<Arc<dyn Donor>> {
    let hashers = Hashers::new(config.hashers.iter().cloned());
    let followed = follow(config, &config.bind()?, &hashers, None)?;
    let (store, path) = (followed.store, config.path.clone());
    let followed = Mutex::new(followed);
    Ok(Arc::new(Copy { config: config.clone(), path, store, followed }))
}
