//! Whether a witness cosigns: a pure function of the request and what is stored.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};

use super::request::{AddCheckpoint, RequestError};
use super::status::{SIZE_CONTENT_TYPE, WitnessStatus};
use crate::merkle::{Arity, Hasher, Rfc6962Sha256, TreeHead, TreeSize, VerifyError};
use crate::tlog::error::TlogError;
use crate::tlog::note::NoteVerifier;

/// A log that a witness cosigns for.
#[derive(Clone, Copy, Debug)]
pub struct KnownLog<'a> {
    /// The name of the log.
    pub origin: &'a str,
    /// The keys that are trusted for it.
    pub keys: &'a [&'a dyn NoteVerifier],
}

/// What a witness that accepted a checkpoint stores before it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The head that is the latest one from now on.
    pub head: TreeHead,
    /// Whether it is larger than the one before. Otherwise it is the same.
    pub advances: bool,
}

/// Whether a witness accepts a checkpoint.
///
/// `log` is what the witness knows of the log of the [claimed origin](AddCheckpoint::claimed_origin), `latest` the head
/// that it accepted last of that log. If it accepts, the caller replaces `latest` by the new head, atomically and only
/// if it is still `latest`, makes that durable, and then answers with [`cosigned_body`](super::cosigned_body).
///
/// ```
/// use duramen::tlog::witness::{AddCheckpoint, KnownLog, cosigned_body, decide};
/// # #[cfg(feature = "note")] {
/// use duramen::tlog::{Checkpoint, Cosigner, Ed25519Key, Ed25519Signer, SignedNote};
/// use duramen::{Arity, ConsistencyProof, Hasher, Rfc6962Sha256, TreeHead, TreeSize};
///
/// let log = Ed25519Signer::from_secret("example.com/log", &[1; 32])?;
/// let head = TreeHead { size: TreeSize(0), root: Rfc6962Sha256.empty_root() };
/// let checkpoint = Checkpoint::new("example.com/log", Rfc6962Sha256.id(), Arity::Two, head)?;
/// let note = SignedNote::sign(&checkpoint.to_string(), &log)?;
/// let request = AddCheckpoint::new(TreeSize(0), ConsistencyProof::from_hashes(vec![]), note)?;
///
/// let known = KnownLog { origin: "example.com/log", keys: &[&log.verifier()] };
/// assert_eq!(decide(&request, Some(known), None)?.head, head);
/// // Stored and durable: now it may answer.
/// let witness = Cosigner::new("witness.example/w1", Ed25519Key::from_secret(&[2; 32]))?;
/// let body = cosigned_body(&[request.note().signature(&witness.at(1_767_225_600))?]);
/// assert!(body.starts_with("\u{2014} witness.example/w1 "));
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// [`Refusal`] with the status of the answer. Nothing is stored then.
pub fn decide(
    request: &AddCheckpoint,
    log: Option<KnownLog<'_>>,
    latest: Option<&TreeHead>,
) -> Result<Accepted, Refusal> {
    let origin = request.claimed_origin();
    let unknown = || Refusal::UnknownOrigin { origin: origin.to_owned() };
    let log = log.filter(|log| log.origin == origin).ok_or_else(unknown)?;
    request.note().verify_checkpoint(log.keys, origin).map_err(Refusal::NotSigned)?;

    let (old, head) = (request.old(), request.claimed().head());
    if old > head.size {
        return Err(Refusal::OldBeyondNew { old, new: head.size });
    }
    let latest_size = latest.map_or(TreeSize(0), |latest| latest.size);
    if old != latest_size {
        return Err(Refusal::Conflict { latest: latest_size });
    }
    if head.size == TreeSize(0) && head.root != Rfc6962Sha256.empty_root() {
        return Err(Refusal::NotEmptyRoot);
    }
    let accepted = Accepted { head, advances: old < head.size };
    let Some(latest) = latest.filter(|latest| latest.size > TreeSize(0)) else {
        // The empty tree is a prefix of every tree.
        return match request.proof().hashes().len() {
            0 => Ok(accepted),
            found => Err(Refusal::ProofFromNothing { found }),
        };
    };
    if old == head.size && latest.root != head.root {
        return Err(Refusal::OtherRoot { size: old });
    }
    request
        .proof()
        .verify(&Rfc6962Sha256, Arity::Two, latest, &head)
        .map_err(Refusal::Inconsistent)?;
    Ok(accepted)
}

/// Why a witness does not cosign.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// 400: the request cannot be read.
    #[error("the request cannot be read: {0}")]
    Malformed(#[from] RequestError),
    /// 404: the witness does not cosign for this log.
    #[error("the log {origin:?} is unknown")]
    UnknownOrigin {
        /// The origin of the checkpoint.
        origin: String,
    },
    /// 403: no trusted key signed, or a signature by one is wrong.
    #[error("the checkpoint is not signed by its log: {0}")]
    NotSigned(#[source] TlogError),
    /// 400: the old size is larger than the checkpoint's.
    #[error("the old size {old} is larger than {new}, that of the checkpoint")]
    OldBeyondNew {
        /// The old size.
        old: TreeSize,
        /// The size of the checkpoint.
        new: TreeSize,
    },
    /// 409: the old size is another one than that of the latest checkpoint.
    #[error("the latest checkpoint that was cosigned has size {latest}")]
    Conflict {
        /// The size of the latest checkpoint; 0 if there is none.
        latest: TreeSize,
    },
    /// 422: the tree is empty and has the root of another tree.
    #[error("the root of an empty tree is the hash of nothing")]
    NotEmptyRoot,
    /// 422: a proof from size 0 has hashes.
    #[error("the proof from size 0 has no hash, this one has {found}")]
    ProofFromNothing {
        /// How many hashes there are.
        found: usize,
    },
    /// 422: another root of a size that was cosigned already.
    #[error("another root was cosigned for size {size}")]
    OtherRoot {
        /// The size.
        size: TreeSize,
    },
    /// 403: none of the witness's own keys cosigned the checkpoint, or a signature by one is wrong.
    #[error("the checkpoint is not cosigned by this witness: {0}")]
    NotCosigned(#[source] TlogError),
    /// 422: the subtree is not proven to be a part of the checkpoint.
    #[error("the subtree is not proven to be a part of the checkpoint: {0}")]
    NotAPart(#[source] VerifyError),
    /// 422: the checkpoint is not proven to extend the latest one.
    #[error("the checkpoint is not proven to extend the latest one: {0}")]
    Inconsistent(#[source] VerifyError),
}

impl Refusal {
    /// The status of the answer.
    #[must_use]
    pub const fn status(&self) -> WitnessStatus {
        match self {
            Self::Malformed(_) | Self::OldBeyondNew { .. } => WitnessStatus::BadRequest,
            Self::UnknownOrigin { .. } => WitnessStatus::NotFound,
            Self::NotSigned(_) | Self::NotCosigned(_) => WitnessStatus::Forbidden,
            Self::Conflict { .. } => WitnessStatus::Conflict,
            Self::NotEmptyRoot
            | Self::ProofFromNothing { .. }
            | Self::OtherRoot { .. }
            | Self::NotAPart(_)
            | Self::Inconsistent(_) => WitnessStatus::Unprocessable,
        }
    }

    /// The type of the answer's body.
    #[must_use]
    pub const fn content_type(&self) -> &'static str {
        match self {
            Self::Conflict { .. } => SIZE_CONTENT_TYPE,
            _ => "text/plain; charset=utf-8",
        }
    }

    /// The body of the answer: the size for a conflict, the reason in words otherwise.
    #[must_use]
    pub fn body(&self) -> String {
        match self {
            Self::Conflict { latest } => format!("{latest}\n"),
            other => other.to_string() + "\n",
        }
    }
}
