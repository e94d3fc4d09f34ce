//! The permanent settings of a tree.

use std::fmt;
use std::sync::Arc;

use crate::entry::EntryConfig;
use crate::merkle::{Arity, Hasher};

/// The settings with which a tree is created. They never change.
///
/// ```
/// use std::sync::Arc;
/// use duramen::{Arity, Blake3, TreeConfig};
///
/// let chosen = TreeConfig::new(Arc::new(Blake3), Arity::Sixteen);
/// assert_eq!(chosen.arity(), TreeConfig::of::<Blake3, 16>().arity());
/// ```
#[derive(Clone)]
pub struct TreeConfig {
    pub(crate) hasher: Arc<dyn Hasher>,
    pub(crate) arity: Arity,
    pub(crate) entries: Option<EntryConfig>,
}

impl TreeConfig {
    /// A tree with this hash function and this arity.
    #[must_use]
    pub fn new(hasher: Arc<dyn Hasher>, arity: Arity) -> Self {
        Self { hasher, arity, entries: None }
    }

    /// A tree with hash function `H` and `N` children per node. `N` must be 2, 4, 8 or 16, which is
    /// checked at compile time.
    #[must_use]
    pub fn of<H: Hasher + Default, const N: usize>() -> Self {
        Self::new(Arc::new(H::default()), Arity::of::<N>())
    }

    /// The same tree, but one that keeps the data of its leaves: its *entries*. Such a tree takes entries
    /// and no bare leaves.
    ///
    /// Opening a tree that exists keeps its settings. It fails with
    /// [`Error::EntriesMismatch`](crate::Error::EntriesMismatch) if `entries` differs from them; without
    /// this call it never does.
    ///
    /// ```
    /// use duramen::{EntryConfig, Rfc6962Sha256, TreeConfig};
    ///
    /// let log = TreeConfig::of::<Rfc6962Sha256, 2>().entries(EntryConfig::new());
    /// assert_eq!(log.entry_config(), Some(EntryConfig::new()));
    /// ```
    #[must_use]
    pub fn entries(self, entries: EntryConfig) -> Self {
        Self { entries: Some(entries), ..self }
    }

    /// How entries are kept, if they are.
    #[must_use]
    pub fn entry_config(&self) -> Option<EntryConfig> {
        self.entries
    }

    /// The hash function.
    #[must_use]
    pub fn hasher(&self) -> &dyn Hasher {
        &*self.hasher
    }

    /// How many children a complete node has.
    #[must_use]
    pub fn arity(&self) -> Arity {
        self.arity
    }
}

impl fmt::Debug for TreeConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TreeConfig")
            .field("hasher", &self.hasher.id())
            .field("arity", &self.arity)
            .field("entries", &self.entries)
            .finish()
    }
}
