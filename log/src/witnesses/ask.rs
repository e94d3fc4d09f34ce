//! Asks one witness for a cosignature: C2SP `tlog-witness`, the side of the client.
//!
//! # Invariants
//!
//! - A witness is told a size of the log that the log has, with a right proof, whatever it answered before.

use std::fmt;
use std::time::{Duration, Instant};

use duramen::inspect::is_printable;
use duramen::tlog::witness::{AddCheckpoint, Answer, AnswerError, RequestError};
use duramen::tlog::{NoteSignature, SignedNote};
use duramen::{ConsistencyProof, Snapshot, TreeHead, TreeSize};

use crate::client::{Client, FetchError, Fetched};

/// The longest answer that is read: a hundred signatures of ML-DSA-44 are shorter.
const MOST_ANSWER: usize = 512 << 10;

/// How often a request is sent again from another size. Once is enough, unless others have it cosign too.
const MOST_CONFLICTS: usize = 3;

/// A way to send a request to a witness.
pub(crate) trait Ask: Send + Sync + fmt::Debug {
    /// Sends the body of a request `add-checkpoint`, and returns the answer within `time`.
    fn send(&self, body: &str, time: Duration) -> Result<Fetched, FetchError>;
}

/// A witness that is reached over HTTP.
#[derive(Debug)]
pub(crate) struct Http {
    client: Client,
    url: String,
}

impl Http {
    /// The witness with this submission prefix.
    pub(crate) fn new(prefix: &str) -> Self {
        Self { client: Client::new(1), url: format!("{prefix}/add-checkpoint") }
    }
}

impl Ask for Http {
    fn send(&self, body: &str, time: Duration) -> Result<Fetched, FetchError> {
        self.client.post(&self.url, body, MOST_ANSWER, time)
    }
}

/// What is to be cosigned.
#[derive(Debug)]
pub(super) struct Wanted<'a> {
    pub(super) note: &'a SignedNote,
    pub(super) head: TreeHead,
    /// The tree, at least as large as the head.
    pub(super) snapshot: &'a Snapshot,
    pub(super) until: Instant,
}

/// Asks for cosignatures of a checkpoint. `known` is the size that the witness cosigned last, as far as is known; what it
/// says about that is taken over. The signatures that come back are not verified.
pub(super) fn cosignatures(
    witness: &dyn Ask,
    wanted: &Wanted<'_>,
    known: &mut TreeSize,
) -> Result<Vec<NoteSignature>, AskError> {
    let size = wanted.head.size;
    // After a restore of the log the witness may know more than the log, and says so.
    *known = (*known).min(size);
    for _ in 0..MOST_CONFLICTS {
        let time = wanted.until.saturating_duration_since(Instant::now());
        if time.is_zero() {
            return Err(AskError::Late);
        }
        let request = AddCheckpoint::new(*known, proof(wanted, *known)?, wanted.note.clone())?;
        let fetched = witness.send(&request.to_string(), time)?;
        let body = String::from_utf8_lossy(&fetched.body);
        match Answer::read(fetched.status, fetched.content_type.as_deref(), &body)? {
            Answer::Cosigned(signatures) => {
                *known = size;
                return Ok(signatures);
            }
            Answer::Conflict { latest } if latest > size => {
                return Err(AskError::Ahead { latest, size });
            }
            Answer::Conflict { latest } if latest == *known => {
                return Err(AskError::Senseless { size: latest });
            }
            Answer::Conflict { latest } => *known = latest,
            Answer::Refused(status) => {
                return Err(AskError::Refused { status: status.code(), reason: start_of(&body) });
            }
            _ => return Err(AskError::Refused { status: fetched.status, reason: start_of(&body) }),
        }
    }
    Err(AskError::Conflicts { size: *known })
}

fn proof(wanted: &Wanted<'_>, old: TreeSize) -> Result<ConsistencyProof, AskError> {
    if old == TreeSize(0) || old == wanted.head.size {
        return Ok(ConsistencyProof::from_hashes(Vec::new()));
    }
    let proof = wanted.snapshot.prove_consistency_between(old, wanted.head.size);
    Ok(proof.map_err(Box::new)?)
}

/// What a witness says, as far as it fits a line.
fn start_of(text: &str) -> String {
    text.chars().take(200).map(|c| if is_printable(c) { c } else { ' ' }).collect()
}

/// Why a witness did not cosign.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error(transparent)]
    Answer(#[from] AnswerError),
    #[error("there is no request: {0}")]
    Request(#[from] RequestError),
    #[error("no proof can be made: {0}")]
    Store(#[from] Box<duramen::Error>),
    #[error("its time is over")]
    Late,
    #[error("it answers {status}: {reason}")]
    Refused { status: u16, reason: String },
    /// Either the witness is wrong, or this is not the only history of the log.
    #[error("it says that it cosigned size {latest}, and the log asks for size {size}")]
    Ahead { latest: TreeSize, size: TreeSize },
    #[error("it answers a request from size {size} that it cosigned size {size} last")]
    Senseless { size: TreeSize },
    #[error("others have it cosign at the same time, size {size} last")]
    Conflicts { size: TreeSize },
}

impl AskError {
    /// Whether it may be the mark of a second history of the log.
    pub(super) fn is_grave(&self) -> bool {
        matches!(self, Self::Ahead { .. } | Self::Refused { status: 422, .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_witness_says_is_one_line_that_steers_no_terminal() {
        let said = format!("no\nforged\u{1b}[31m\u{202e}\u{9b}{}", "x".repeat(1000));
        let shown = start_of(&said);
        assert!(
            shown.starts_with("no forged [31m  x") && shown.chars().count() == 200,
            "{shown:?}"
        );
    }
}
