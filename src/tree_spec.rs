//! What a tree is, for as long as it is there.

use std::fmt;
use std::sync::Arc;

use crate::error::Printable;
use crate::ids::TreeId;
use crate::merkle::{Arity, Hasher, HasherId, NamedHead, TreeHead, TreeName};

/// What was fixed when a tree was created. Two trees never have the same id, also if one is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TreeSpec {
    pub(crate) id: TreeId,
    pub(crate) name: TreeName,
    /// The stable name of its hash function, of the form that [`HasherId`] has.
    pub(crate) hasher: String,
    pub(crate) arity: Arity,
}

impl TreeSpec {
    pub(crate) fn new(id: TreeId, name: TreeName, hasher: &dyn Hasher, arity: Arity) -> Self {
        Self { id, name, hasher: hasher.id().to_string(), arity }
    }

    /// A tree as a file names it; `None` if no tree can have such a name or hash function.
    pub(crate) fn read(id: TreeId, name: &[u8], hasher: &[u8], arity: u16) -> Option<Arc<Self>> {
        let name = TreeName::new(str::from_utf8(name).ok()?).ok()?;
        let hasher = str::from_utf8(hasher).ok().filter(|hasher| HasherId::is_name(hasher))?;
        let arity = Arity::new(usize::from(arity))?;
        Some(Arc::new(Self { id, name, hasher: hasher.to_owned(), arity }))
    }

    /// The tree with this head.
    pub(crate) fn at(&self, head: TreeHead) -> NamedHead {
        NamedHead { name: self.name.clone(), hasher: self.hasher.clone(), arity: self.arity, head }
    }

    /// The arity as files have it.
    pub(crate) fn children(&self) -> u16 {
        u16::try_from(self.arity.children()).unwrap_or(0)
    }
}

impl fmt::Display for TreeSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, hasher, arity, .. } = self;
        write!(f, "tree {name:?}: {}, arity {arity}", Printable::new(hasher))
    }
}
