//! Why bytes are not a proof, and why the contents of a proof contradict each other.

use alloc::string::String;

use super::kind::Kind;
use crate::merkle::hasher::HasherId;
use crate::merkle::types::{Arity, LeafIndex, TreeSize};
use crate::words::{bytes, hashes, leaves};

/// Why sizes, indexes and hashes do not fit together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClaimError {
    /// The tree has no leaf with this index.
    #[error("there is no leaf {index} in a tree of {}", leaves(size.0))]
    IndexBeyondSize {
        /// The claimed index.
        index: LeafIndex,
        /// The claimed size.
        size: TreeSize,
    },
    /// The old size is the larger one.
    #[error("a tree of {} is larger than a tree of {} and cannot be its prefix", leaves(old.0), leaves(new.0))]
    OldBeyondNew {
        /// The claimed size of the old tree.
        old: TreeSize,
        /// The claimed size of the new tree.
        new: TreeSize,
    },
    /// A proof of many leaves without any index.
    #[error("the proof names no index")]
    NoIndexes,
    /// The indexes are not strictly ascending.
    #[error("index {index} follows index {before}, but the indexes must be strictly ascending")]
    NotAscending {
        /// The previous index.
        before: LeafIndex,
        /// The index that is not larger.
        index: LeafIndex,
    },
    /// The hasher name is invalid.
    #[error("the name of a hash function is 1 to 32 lower-case letters, digits and '-'")]
    HasherName,
    /// The number of hashes differs from the number that the sizes and indexes require.
    #[error("the proof has {}; its place in the tree needs {expected}", hashes(*found))]
    HashCount {
        /// How many hashes the sizes and indexes require.
        expected: usize,
        /// How many the proof has.
        found: usize,
    },
    /// A proof of many leaves has fewer hashes than its indexes need. The exact number is not computed.
    #[error("the proof has {}, fewer than its place in the tree needs", hashes(*found))]
    HashesMissing {
        /// How many the proof has.
        found: usize,
    },
}

/// Why bytes are not the expected encoding.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The magic of a proof is missing.
    #[error("not a proof: the bytes do not begin with \"duPF\"")]
    NotAProof,
    /// The tree name is invalid.
    #[error(
        "the tree name in the proof is invalid: a name has 1 to 255 bytes of UTF-8, no control or hidden character and \
         no '/'"
    )]
    BadTreeName,
    /// The bytes end before the hashes begin.
    #[error("the proof is truncated: it has only {}", bytes(*found))]
    Truncated {
        /// How many bytes there are.
        found: usize,
    },
    /// A version of the format that this program does not know.
    #[error("the proof has format version {found}, this program knows version 1")]
    UnknownVersion {
        /// The version in the header.
        found: u8,
    },
    /// A kind of proof that this version of the format does not have.
    #[error("the proof is of the unknown kind {found}")]
    UnknownKind {
        /// The kind in the header.
        found: u8,
    },
    /// A proof of another kind.
    #[error("the proof is of the kind {found}; expected {expected}")]
    OtherKind {
        /// The kind that was expected.
        expected: Kind,
        /// The kind in the header.
        found: Kind,
    },
    /// An arity that no tree has.
    #[error("the proof is of a tree of arity {found}, but the arity is 2, 4, 8 or 16")]
    UnknownArity {
        /// The arity in the header.
        found: u8,
    },
    /// A tree of another arity.
    #[error("the proof is of a tree of arity {found}; expected {expected}")]
    OtherArity {
        /// The arity that was expected.
        expected: Arity,
        /// The arity in the header.
        found: Arity,
    },
    /// The hasher id is invalid.
    #[error("the hasher's id is not 1 to 32 lower-case ASCII letters, digits and '-'")]
    BadHasherId,
    /// A tree of another hasher.
    #[error("the proof is of a tree hashed with {found}; expected {expected}")]
    OtherHasher {
        /// The id that was expected.
        expected: HasherId,
        /// The id in the header.
        found: String,
    },
    /// Sizes, indexes and hashes that do not fit together.
    #[error("the sizes, indexes and hashes of the proof do not fit together")]
    Claim(#[from] ClaimError),
    /// A proof of many leaves has fewer bytes of hashes than its indexes need. The exact number is not
    /// computed: for a hostile proof this would cost far more than reading its bytes.
    #[error("the proof ends in {} of hashes, fewer than its place in the tree needs", bytes(*found))]
    HashesMissing {
        /// How many bytes there are.
        found: usize,
    },
    /// The number of bytes of hashes differs from the number that the sizes and indexes require.
    #[error("the proof ends in {} of hashes; its place in the tree needs {expected}", bytes(*found))]
    HashBytes {
        /// How many bytes the sizes and indexes require.
        expected: usize,
        /// How many there are.
        found: usize,
    },
}
