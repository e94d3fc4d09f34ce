//! Why a witness does not answer with a cosignature.

use duramen::TreeName;
use duramen::tlog::TlogError;
use duramen::tlog::witness::Refusal;

use crate::anchor::AnchorError;

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

    /// A cosignature has the time at which it was made, which is never 0.
    #[error(
        "the clock of this machine says that 1970 has not begun, so there is no time to cosign with"
    )]
    Clock,

    /// There is no key to cosign with.
    #[error("a witness has at least one key")]
    NoKey,

    /// Two keys are the same one of Ed25519. C2SP `tlog-cosignature` wants cosigners to have different ones.
    #[error("the keys {one} and {other} are the same Ed25519 key, and each needs one of its own")]
    SameKey {
        /// The name of the first one.
        one: String,
        /// The name of the second one.
        other: String,
    },

    /// The store has no records, and is not said to be new.
    #[error(
        "the store of the witness {name} has no records. If they are lost, the witness must not cosign any more; if it never cosigned, a new store is to be asked for"
    )]
    NewStore {
        /// The name of its first key.
        name: String,
    },

    /// The store is said to be new, and was one of a witness before.
    #[error(
        "a new store is asked for the witness {name}, and there is one: it is opened without that"
    )]
    NotNew {
        /// The name of its first key.
        name: String,
    },

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

    /// The anchor failed.
    #[error(transparent)]
    Anchor(#[from] AnchorError),

    /// The store has records, and no anchor says whether they are all.
    #[error(
        "the witness {name} has {records} records and no anchor: it may be a restored backup. If it is known that it cosigned nothing since, its first anchor is to be made"
    )]
    NoAnchor {
        /// The name of its first key.
        name: String,
        /// How many records the store has.
        records: u64,
    },

    /// The first anchor was to be made, and there is one.
    #[error("the witness {name} has an anchor already")]
    AnchorExists {
        /// The name of its first key.
        name: String,
    },

    /// The anchor is that of another witness.
    #[error("the anchor is of the witness {found}, not of {expected}")]
    OtherAnchor {
        /// The name of the first key.
        expected: String,
        /// The name in the anchor.
        found: String,
    },

    /// The store is older than the anchor: a restored backup. It does not know what was cosigned since.
    #[error(
        "the store of the witness is older than its anchor: the anchor has {anchored}, the store {found}; it must not cosign any more"
    )]
    RolledBack {
        /// What the anchor has.
        anchored: String,
        /// What the store has.
        found: String,
    },

    /// The records are not those that the anchor has.
    #[error(
        "the first {records} records of {tree} are not those that the anchor has: the store is another copy, which must not cosign"
    )]
    Forked {
        /// The tree of the records.
        tree: String,
        /// How many records the anchor has.
        records: u64,
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
