//! The permanent settings of a tree.

use std::fmt;
use std::sync::Arc;

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
}

impl TreeConfig {
    /// A tree with this hash function and this arity.
    #[must_use]
    pub fn new(hasher: Arc<dyn Hasher>, arity: Arity) -> Self {
        Self { hasher, arity }
    }

    /// A tree with hash function `H` and `N` children per node. `N` must be 2, 4, 8 or 16, which is
    /// checked at compile time.
    #[must_use]
    pub fn of<H: Hasher + Default, const N: usize>() -> Self {
        Self::new(Arc::new(H::default()), Arity::of::<N>())
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
        let (hasher, arity) = (self.hasher.id(), self.arity);
        f.debug_struct("TreeConfig").field("hasher", &hasher).field("arity", &arity).finish()
    }
}
