//! Why bytes are no proof, and why a proof does not belong to what it claims.

use alloc::string::String;

use super::kind::Kind;
use crate::merkle::hasher::HasherId;
use crate::merkle::types::{Arity, LeafIndex, TreeSize};
use crate::words::{bytes, hashes, leaves};

/// Why sizes, indexes and hashes do not belong together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClaimError {
    /// There is no such leaf.
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
    /// A proof of many leaves names none.
    #[error("the proof names no index")]
    NoIndexes,
    /// The indexes are not strictly ascending.
    #[error("index {index} follows index {before}, but the indexes must be strictly ascending")]
    NotAscending {
        /// The index before.
        before: LeafIndex,
        /// The index that is not larger.
        index: LeafIndex,
    },
    /// The name of the tree's hash function is none.
    #[error("the name of a hash function is 1 to 32 lower-case letters, digits and '-'")]
    HasherName,
    /// The number of hashes does not follow from sizes and indexes.
    #[error("the proof has {}; its place in the tree needs {expected}", hashes(*found))]
    HashCount {
        /// How many hashes follow from sizes and indexes.
        expected: usize,
        /// How many the proof has.
        found: usize,
    },
    /// A proof of many leaves has fewer hashes than its indexes need. How many these are is not counted to the
    /// end.
    #[error("the proof has {}, fewer than its place in the tree needs", hashes(*found))]
    HashesMissing {
        /// How many the proof has.
        found: usize,
    },
}

/// Why bytes are not the encoding that was expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The bytes do not begin as a proof does.
    #[error("not a proof: the bytes do not begin with \"duPF\"")]
    NotAProof,
    /// The name of a tree is none.
    #[error(
        "the proof does not name a tree: a name has 1 to 255 bytes of UTF-8, no control or hidden character and \
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
    /// Bytes that are no hasher's id.
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
    /// Sizes and indexes that do not belong together.
    #[error("the sizes, indexes and hashes of the proof do not fit together")]
    Claim(#[from] ClaimError),
    /// Fewer bytes of hashes than the indexes of a proof of many leaves ask for. How many these are is not
    /// counted to the end: the count of a hostile proof would cost far more than its bytes.
    #[error("the proof ends in {} of hashes, fewer than its place in the tree needs", bytes(*found))]
    HashesMissing {
        /// How many bytes there are.
        found: usize,
    },
    /// More or fewer bytes of hashes than sizes and indexes ask for.
    #[error("the proof ends in {} of hashes; its place in the tree needs {expected}", bytes(*found))]
    HashBytes {
        /// How many bytes follow from sizes and indexes.
        expected: usize,
        /// How many there are.
        found: usize,
    },
}
