//! The hash functions that a store can find by name.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::merkle::{Blake3, Hasher, Rfc6962Sha256};
use crate::tree_spec::TreeSpec;

/// Hash functions by their stable names: those of the crate, and those that the caller has given.
#[derive(Clone, Default)]
pub(crate) struct Hashers(Vec<Arc<dyn Hasher>>);

impl Hashers {
    /// Those of the crate and `given`, which come first.
    pub(crate) fn new(given: impl IntoIterator<Item = Arc<dyn Hasher>>) -> Self {
        let mut all: Vec<Arc<dyn Hasher>> = given.into_iter().collect();
        all.extend([Arc::new(Blake3) as Arc<dyn Hasher>, Arc::new(Rfc6962Sha256)]);
        #[cfg(feature = "keccak")]
        all.push(Arc::new(crate::merkle::Keccak256));
        #[cfg(feature = "poseidon")]
        all.push(Arc::new(crate::merkle::PoseidonBn254));
        Self(all)
    }

    pub(crate) fn add(&mut self, hasher: Arc<dyn Hasher>) {
        self.0.push(hasher);
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<dyn Hasher>> {
        self.0.iter()
    }

    /// The one of a tree of the store at `path`.
    ///
    /// # Errors
    ///
    /// [`UnknownHasher`](Error::UnknownHasher) if there is none of that name.
    pub(crate) fn of(&self, path: &Path, spec: &TreeSpec) -> Result<Arc<dyn Hasher>> {
        self.find(&spec.hasher).ok_or_else(|| Error::UnknownHasher {
            path: path.to_owned(),
            tree: spec.name.clone(),
            hasher: spec.hasher.clone(),
        })
    }

    /// The one of this name.
    pub(crate) fn find(&self, name: &str) -> Option<Arc<dyn Hasher>> {
        self.0.iter().find(|hasher| hasher.id().as_str() == name).cloned()
    }
}

impl fmt::Debug for Hashers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|hasher| hasher.id())).finish()
    }
}
