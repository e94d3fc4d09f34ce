//! The hash functions, by their names.

use duramen::{Blake3, Hasher, HasherId, Keccak256, Rfc6962Sha256};

use crate::Hash;

/// A hash function of the library. Only what a verifier calls is passed on: the calls that hash many nodes side by side keep
/// their defaults, which makes the module for browsers 20 kB smaller.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Function {
    Blake3,
    Rfc6962Sha256,
    Keccak256,
}

impl Function {
    /// The one of this name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        let known = [Self::Blake3, Self::Rfc6962Sha256, Self::Keccak256];
        known.into_iter().find(|known| known.id().as_str() == name)
    }
}

impl Hasher for Function {
    fn id(&self) -> HasherId {
        match self {
            Self::Blake3 => Blake3.id(),
            Self::Rfc6962Sha256 => Rfc6962Sha256.id(),
            Self::Keccak256 => Keccak256.id(),
        }
    }

    fn leaf(&self, data: &[u8]) -> Hash {
        match self {
            Self::Blake3 => Blake3.leaf(data),
            Self::Rfc6962Sha256 => Rfc6962Sha256.leaf(data),
            Self::Keccak256 => Keccak256.leaf(data),
        }
    }

    fn node(&self, children: &[Hash]) -> Hash {
        match self {
            Self::Blake3 => Blake3.node(children),
            Self::Rfc6962Sha256 => Rfc6962Sha256.node(children),
            Self::Keccak256 => Keccak256.node(children),
        }
    }

    fn empty_root(&self) -> Hash {
        match self {
            Self::Blake3 => Blake3.empty_root(),
            Self::Rfc6962Sha256 => Rfc6962Sha256.empty_root(),
            Self::Keccak256 => Keccak256.empty_root(),
        }
    }
}
