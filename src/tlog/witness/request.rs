//! The body of a request to cosign a checkpoint.

use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use crate::merkle::{ConsistencyProof, TreeSize};
use crate::tlog::base64;
use crate::tlog::checkpoint::{Checkpoint, hash, number};
use crate::tlog::error::TlogError;
use crate::tlog::note::SignedNote;

/// The most hashes of a proof in a request.
pub const MAX_PROOF_HASHES: usize = 63;

/// The body of a request `add-checkpoint`: the size that the witness cosigned last, a consistency proof from it, and
/// the checkpoint.
///
/// ```
/// use duramen::tlog::SignedNote;
/// use duramen::tlog::witness::AddCheckpoint;
/// use duramen::{ConsistencyProof, TreeSize};
///
/// let note: SignedNote = "example.com/log\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n\n\u{2014} name AAAAAAA=\n".parse()?;
/// let request = AddCheckpoint::new(TreeSize(0), ConsistencyProof::from_hashes(vec![]), note)?;
/// assert!(request.to_string().starts_with("old 0\n\nexample.com/log\n0\n"));
/// assert_eq!(request.to_string().parse(), Ok(request));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddCheckpoint {
    old: TreeSize,
    proof: ConsistencyProof,
    note: SignedNote,
    /// The note's text. No signature of it was verified.
    claimed: Checkpoint,
}

impl AddCheckpoint {
    /// The request to cosign the checkpoint in `note`, which `proof` leads to from size `old`.
    ///
    /// # Errors
    ///
    /// [`RequestError::TooManyHashes`] if the proof has more than [`MAX_PROOF_HASHES`], [`RequestError::Checkpoint`] if
    /// the note is no checkpoint.
    pub fn new(
        old: TreeSize,
        proof: ConsistencyProof,
        note: SignedNote,
    ) -> Result<Self, RequestError> {
        if proof.hashes().len() > MAX_PROOF_HASHES {
            return Err(RequestError::TooManyHashes { most: MAX_PROOF_HASHES });
        }
        let claimed = note.unverified_text().parse().map_err(RequestError::Checkpoint)?;
        Ok(Self { old, proof, note, claimed })
    }

    /// The size of the checkpoint that the witness cosigned last, as far as the sender knows.
    #[must_use]
    pub const fn old(&self) -> TreeSize {
        self.old
    }

    /// The proof from that size to the checkpoint.
    #[must_use]
    pub const fn proof(&self) -> &ConsistencyProof {
        &self.proof
    }

    /// The checkpoint with its signatures.
    #[must_use]
    pub const fn note(&self) -> &SignedNote {
        &self.note
    }

    /// The name of the log, which nothing was verified of yet: what a witness finds its keys and its state by.
    #[must_use]
    pub fn claimed_origin(&self) -> &str {
        self.claimed.origin()
    }

    /// The checkpoint, which nothing was verified of yet.
    pub(super) const fn claimed(&self) -> &Checkpoint {
        &self.claimed
    }
}

impl fmt::Display for AddCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "old {}", self.old)?;
        let mut hashes = self.proof.hashes().iter();
        hashes.try_for_each(|hash| writeln!(f, "{}", base64::encode(hash)))?;
        write!(f, "\n{}", self.note)
    }
}

impl FromStr for AddCheckpoint {
    type Err = RequestError;

    fn from_str(text: &str) -> Result<Self, RequestError> {
        let (first, mut rest) = text.split_once('\n').ok_or(RequestError::NoOldSize)?;
        let old = first.strip_prefix("old ").ok_or(RequestError::NoOldSize)?;
        let old = TreeSize(number(old, "old size").map_err(|_| RequestError::NoOldSize)?);
        let mut hashes = Vec::new();
        let note = loop {
            let (line, behind) = rest.split_once('\n').ok_or(RequestError::NoCheckpoint)?;
            rest = behind;
            match line {
                "" => break rest,
                _ if hashes.len() == MAX_PROOF_HASHES => {
                    return Err(RequestError::TooManyHashes { most: MAX_PROOF_HASHES });
                }
                line => hashes.push(
                    hash(line, "hash")
                        .map_err(|_| RequestError::ProofLine { line: hashes.len() + 2 })?,
                ),
            }
        };
        let note = note.parse().map_err(RequestError::Checkpoint)?;
        Self::new(old, ConsistencyProof::from_hashes(hashes), note)
    }
}

/// Why a text is no request to cosign a checkpoint. The answer to it has the status 400.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The first line is not that of the old size.
    #[error(
        "the first line is not `old NUMBER` with a decimal number below 2^64 without leading zeros"
    )]
    NoOldSize,
    /// The first line is not that of a subtree.
    #[error("the first line is not `subtree START END` of a subtree")]
    NoSubtree,
    /// The subtree ends behind the checkpoint.
    #[error("the subtree ends at {end}, and the checkpoint has size {size}")]
    SubtreeBeyond {
        /// The end of the subtree.
        end: u64,
        /// The size of the checkpoint.
        size: TreeSize,
    },
    /// A line of the proof is no hash.
    #[error("line {line} is not Base 64 of a hash of 32 bytes")]
    ProofLine {
        /// The line, counted from 1.
        line: usize,
    },
    /// The proof has too many hashes.
    #[error("the proof has more than {most} hashes")]
    TooManyHashes {
        /// The limit.
        most: usize,
    },
    /// There is no empty line with a checkpoint behind it.
    #[error("the request ends before its checkpoint")]
    NoCheckpoint,
    /// The checkpoint cannot be read.
    #[error("the checkpoint cannot be read: {0}")]
    Checkpoint(#[source] TlogError),
}
