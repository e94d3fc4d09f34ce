//! Why a witness does not answer with a cosignature.

use duramen::TreeName;
use duramen::tlog::TlogError;
use duramen::tlog::witness::Refusal;

/// Why a witness could not be opened, or cannot cosign.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WitnessError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] duramen::Error),

    /// A key cannot sign.
    #[error(transparent)]
    Text(#[from] TlogError),

    /// There is no key to cosign with.
    #[error("a witness has at least one key")]
    NoKey,

    /// The store has trees, and none of a witness.
    #[error("the store has the tree {tree:?} and is not one of a witness")]
    NotAWitness {
        /// A tree of the store.
        tree: TreeName,
    },

    /// A record is not what a witness writes.
    #[error("record {index} of the tree {tree:?} is not a cosigned checkpoint: {reason}")]
    Record {
        /// The tree.
        tree: TreeName,
        /// The index of the record.
        index: u64,
        /// What is wrong with it.
        reason: TlogError,
    },

    /// An earlier error left open what is durable.
    #[error("the witness has stopped, because an earlier write failed: {reason}")]
    Stopped {
        /// The error of that write.
        reason: String,
    },

    /// The work on a request ended without an answer.
    #[error("the work on the request was given up")]
    GivenUp,
}

/// Why a request is not answered with a cosignature.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Declined {
    /// The checkpoint is not to be cosigned. Another try with the same request has the same answer, unless the log comes
    /// to be known or another checkpoint is cosigned first.
    #[error(transparent)]
    Refused(#[from] Refusal),

    /// The witness cannot cosign now.
    #[error(transparent)]
    Failed(#[from] WitnessError),
}
