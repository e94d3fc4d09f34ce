//! The body of a request to cosign a subtree, and whether a witness does.

use alloc::borrow::ToOwned;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use super::decide::Refusal;
use super::request::{MAX_PROOF_HASHES, RequestError};
use crate::merkle::{Hash, Rfc6962Sha256, Subtree, SubtreeProof};
use crate::tlog::base64;
use crate::tlog::checkpoint::{Checkpoint, hash, number};
use crate::tlog::note::{NoteVerifier, SignedNote};

/// The body of a request `sign-subtree`: a subtree, its root, a proof that a checkpoint has it, and that checkpoint with a
/// cosignature of the witness.
///
/// ```
/// use duramen::Hasher;
/// use duramen::merkle::{Rfc6962Sha256, Subtree, SubtreeProof};
/// use duramen::tlog::SignedNote;
/// use duramen::tlog::witness::SignSubtree;
///
/// let note: SignedNote = "example.com/log\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n\n\u{2014} name AAAAAAA=\n".parse()?;
/// let (part, root) = (Subtree::new(0, 0)?, Rfc6962Sha256.empty_root());
/// let request = SignSubtree::new(part, root, SubtreeProof::from_hashes(vec![]), note)?;
/// assert!(request.to_string().starts_with("subtree 0 0\n47DEQpj8"));
/// assert_eq!(request.to_string().parse(), Ok(request));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignSubtree {
    subtree: Subtree,
    root: Hash,
    proof: SubtreeProof,
    note: SignedNote,
    /// The note's text. No signature of it was verified.
    claimed: Checkpoint,
}

impl SignSubtree {
    /// The request to cosign the root `root` of `subtree`, which `proof` proves to be a part of the checkpoint in `note`.
    ///
    /// # Errors
    ///
    /// [`RequestError::TooManyHashes`] if the proof has more than [`MAX_PROOF_HASHES`], [`RequestError::Checkpoint`] if
    /// the note is no checkpoint, [`RequestError::SubtreeBeyond`] if the subtree ends behind it.
    pub fn new(
        subtree: Subtree,
        root: Hash,
        proof: SubtreeProof,
        note: SignedNote,
    ) -> Result<Self, RequestError> {
        if proof.hashes().len() > MAX_PROOF_HASHES {
            return Err(RequestError::TooManyHashes { most: MAX_PROOF_HASHES });
        }
        let claimed: Checkpoint =
            note.unverified_text().parse().map_err(RequestError::Checkpoint)?;
        let (end, size) = (subtree.end().get(), claimed.head().size);
        if end > size.get() {
            return Err(RequestError::SubtreeBeyond { end, size });
        }
        Ok(Self { subtree, root, proof, note, claimed })
    }

    /// The subtree.
    #[must_use]
    pub const fn subtree(&self) -> Subtree {
        self.subtree
    }

    /// The root of the subtree, which nothing was verified of yet.
    #[must_use]
    pub const fn claimed_root(&self) -> &Hash {
        &self.root
    }

    /// The name of the log, which nothing was verified of yet.
    #[must_use]
    pub fn claimed_origin(&self) -> &str {
        self.claimed.origin()
    }
}

impl fmt::Display for SignSubtree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "subtree {} {}", self.subtree.start(), self.subtree.end())?;
        writeln!(f, "{}", base64::encode(&self.root))?;
        let mut hashes = self.proof.hashes().iter();
        hashes.try_for_each(|hash| writeln!(f, "{}", base64::encode(hash)))?;
        write!(f, "\n{}", self.note)
    }
}

impl FromStr for SignSubtree {
    type Err = RequestError;

    fn from_str(text: &str) -> Result<Self, RequestError> {
        let (first, mut rest) = text.split_once('\n').ok_or(RequestError::NoSubtree)?;
        let range = first.strip_prefix("subtree ").and_then(|range| range.split_once(' '));
        let (start, end) = range.ok_or(RequestError::NoSubtree)?;
        let read = |text| number(text, "subtree").map_err(|_| RequestError::NoSubtree);
        let subtree =
            Subtree::new(read(start)?, read(end)?).map_err(|_| RequestError::NoSubtree)?;
        let mut hashes = Vec::new();
        let note = loop {
            let (line, behind) = rest.split_once('\n').ok_or(RequestError::NoCheckpoint)?;
            rest = behind;
            match line {
                "" => break rest,
                // The root comes first.
                _ if hashes.len() == MAX_PROOF_HASHES + 1 => {
                    return Err(RequestError::TooManyHashes { most: MAX_PROOF_HASHES });
                }
                line => hashes.push(
                    hash(line, "hash")
                        .map_err(|_| RequestError::ProofLine { line: hashes.len() + 2 })?,
                ),
            }
        };
        if hashes.is_empty() {
            return Err(RequestError::ProofLine { line: 2 });
        }
        let root = hashes.remove(0);
        let note = note.parse().map_err(RequestError::Checkpoint)?;
        Self::new(subtree, root, SubtreeProof::from_hashes(hashes), note)
    }
}

/// Whether a witness cosigns a subtree. `keys` are the witness's own, of which one must have cosigned the checkpoint;
/// `is_known` says whether it cosigns for the log of the [claimed origin](SignSubtree::claimed_origin). If it does, it
/// answers with cosignatures of the subtree without a time. Nothing is stored.
///
/// # Errors
///
/// [`Refusal`] with the status of the answer.
pub fn decide_subtree(
    request: &SignSubtree,
    is_known: bool,
    keys: &[&dyn NoteVerifier],
) -> Result<(), Refusal> {
    let origin = request.claimed_origin();
    if !is_known {
        return Err(Refusal::UnknownOrigin { origin: origin.to_owned() });
    }
    let signed = request.note.verify_checkpoint(keys, origin);
    let head = signed.map_err(Refusal::NotCosigned)?.head();
    let SignSubtree { subtree, root, proof, .. } = request;
    proof.verify(&Rfc6962Sha256, *subtree, root, &head).map_err(Refusal::NotAPart)
}
