//! The errors of a log.

use duramen::tlog::TlogError;
use duramen::{Hash, TreeName};

use crate::anchor::{AnchorError, Anchored};
use crate::damage::FoundDamage;

/// Why a log could not be opened, could not take an entry, or could not sign.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] duramen::Error),

    /// The anchor failed, or another process replaced it: that process signs for this log too.
    #[error(transparent)]
    Anchor(#[from] AnchorError),

    /// A text for a checkpoint or a note is not possible.
    #[error(transparent)]
    Text(#[from] TlogError),

    /// The tree cannot be published as a log.
    #[error("the tree {tree:?} cannot be a log: {reason}")]
    NotALog {
        /// The tree.
        tree: TreeName,
        /// What is wrong with it.
        reason: String,
    },

    /// The anchor is within the directory of the store. A copy of the store would have a copy of the anchor.
    #[error("the anchor {anchor} is within the store {store}; it must be outside")]
    AnchorInStore {
        /// The anchor's directory.
        anchor: String,
        /// The store's directory.
        store: String,
    },

    /// No key has the name of the log, by which readers find it: C2SP `tlog-policy` wants both to be equal.
    #[error("no key of the log {origin} has its name; they are named {found}")]
    KeyName {
        /// The name of the log.
        origin: String,
        /// The names of its keys.
        found: String,
    },

    /// There is no anchor. Either no head of the log was ever signed, or its anchor is lost or somewhere else.
    #[error(
        "the log {origin} of {size} leaves has no anchor; if its key never signed a head, ask for a first anchor"
    )]
    NoAnchor {
        /// The name of the log.
        origin: String,
        /// How many leaves the tree has.
        size: u64,
    },

    /// A first anchor is asked for, and there is one. To ask for it each time would accept a lost anchor.
    #[error("a first anchor is asked for, and there is one: {anchored}")]
    AnchorExists {
        /// What the anchor holds.
        anchored: Box<Anchored>,
    },

    /// The anchor is of another store. A log that moves to a new store must say so, because two stores with one anchor
    /// would answer the same indexes for other entries.
    #[error(
        "the anchor of the log {origin} is of the store {expected}, and this is the store {found}"
    )]
    OtherStore {
        /// The name of the log.
        origin: String,
        /// The store in the anchor, by its id.
        expected: String,
        /// This store.
        found: String,
    },

    /// The logs cannot be served together.
    #[error("{name:?} cannot be served: {reason}")]
    Served {
        /// The name of the log.
        name: String,
        /// What is wrong with it.
        reason: String,
    },

    /// The anchor is of another log.
    #[error("the anchor is of the log {found}, not of {expected}")]
    OtherLog {
        /// The name of this log.
        expected: String,
        /// The name in the anchor.
        found: String,
    },

    /// The store is older than a head that may have been signed. It was restored from a backup, or is a copy. Its
    /// tree can be read.
    #[error(
        "the store has {size} durable leaves, fewer than were signed: {anchored}; it is not served"
    )]
    RolledBack {
        /// How many leaves of the store are durable.
        size: u64,
        /// The last head that the log could sign.
        anchored: Box<Anchored>,
    },

    /// The store has other leaves than those that may have been signed. Its tree can be read.
    #[error(
        "the store has root {} at the size of the last head that was signed: {anchored}; it is not served",
        const_hex::encode(.found)
    )]
    Forked {
        /// The last head that the log could sign.
        anchored: Box<Anchored>,
        /// The store's root at its size.
        found: Hash,
    },

    /// A head is larger than the one in the anchor, and may not be put there now.
    #[error("the anchor holds {anchored}, and a head of size {size} may not replace it now")]
    NotAnchored {
        /// The size that is asked for.
        size: u64,
        /// The last head that the log could sign.
        anchored: Box<Anchored>,
    },

    /// What was read back from the disk is not what the store says. Nothing was signed, and nothing will be until the
    /// store was checked and the log opened again.
    #[error(
        "{what}; nothing is signed any more until the store is checked and the log opened again"
    )]
    Mismatch {
        /// What does not agree, with the facts.
        what: String,
    },

    /// Damage was found in what the log signs. See [`FoundDamage`].
    #[error(
        "the store is damaged: {found}; nothing is signed any more until it is repaired and the log opened again"
    )]
    Damaged {
        /// The damage.
        found: FoundDamage,
    },

    /// The log is only read, because of an earlier error.
    #[error("the log {origin} is only read: {reason}")]
    ReadOnly {
        /// The name of the log.
        origin: String,
        /// The error that made it so.
        reason: String,
    },

    /// The policy of witnesses cannot be used.
    #[error("the policy of witnesses cannot be used: {reason}")]
    Policy {
        /// What is wrong with it.
        reason: String,
    },

    /// Too few witnesses cosigned a checkpoint in time. It is not published; the one before stands.
    #[error("{cosigned} of {witnesses} witnesses cosigned the checkpoint of size {size} in time, too few for the policy{}", or_none(.reasons))]
    NotWitnessed {
        /// The size of the checkpoint.
        size: u64,
        /// How many cosigned it.
        cosigned: usize,
        /// How many witnesses the policy has.
        witnesses: usize,
        /// What became of the others, where it is known.
        reasons: String,
    },

    /// A signature failed.
    #[error("the signer {name} failed: {reason}")]
    Signer {
        /// The name of the key.
        name: String,
        /// What it reports.
        reason: String,
    },

    /// The log is being closed.
    #[error("the log is being closed")]
    Closing,
}

impl LogError {
    /// Whether the cause is a full disk.
    pub(crate) fn is_disk_full(&self) -> bool {
        is_disk_full(self)
    }
}

/// Whether the disk, or the quota, is full.
pub(crate) fn is_disk_full(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let shared = error.downcast_ref::<std::sync::Arc<std::io::Error>>().map(|error| &**error);
        let kind = error.downcast_ref().or(shared).map(std::io::Error::kind);
        let full = [std::io::ErrorKind::StorageFull, std::io::ErrorKind::QuotaExceeded];
        if kind.is_some_and(|kind| full.contains(&kind)) {
            return true;
        }
        cause = error.source();
    }
    false
}

fn or_none(reasons: &str) -> String {
    if reasons.is_empty() { String::new() } else { format!(" ({reasons})") }
}
