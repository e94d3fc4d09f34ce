//! An inclusion proof together with the signed checkpoint that it leads to, as text.

use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use super::base64;
use super::checkpoint::{Checkpoint, hash, number};
use super::error::TlogError;
use super::note::{NoteVerifier, SignedNote};
#[cfg(feature = "note")]
use super::policy::{Policy, Witnessed};
use crate::merkle::{Arity, Hash, InclusionProof, LeafIndex, MAX_DEPTH, Rfc6962Sha256};

const FIRST_LINE: &str = "c2sp.org/tlog-proof@v1";

/// A proof that can be verified offline, in the form of C2SP `tlog-proof@v1`: the index of a leaf,
/// its inclusion proof, and the signed checkpoint of the tree that it is in.
///
/// For trees of [`Rfc6962Sha256`] with arity 2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlogProof {
    /// Data that the proof does not cover: do not trust it.
    pub extra: Option<Vec<u8>>,
    /// The claimed index of the leaf.
    pub index: LeafIndex,
    /// The siblings of the leaf and of its ancestors.
    pub proof: InclusionProof,
    /// The checkpoint, perhaps with cosignatures of witnesses.
    pub checkpoint: SignedNote,
}

impl TlogProof {
    /// Verifies that `leaf` stands at [`index`](Self::index) in the tree of the checkpoint, and that
    /// one of `keys`, the log's, signed that as a checkpoint of the log `origin`. Returns the checkpoint.
    ///
    /// No witness needs to have cosigned it: `verify_witnessed` (feature `note`) asks for those too.
    ///
    /// # Errors
    ///
    /// [`TlogError`] with the first thing that does not hold. Nothing was proven then.
    pub fn verify(
        &self,
        keys: &[&dyn NoteVerifier],
        origin: &str,
        leaf: &Hash,
    ) -> Result<Checkpoint, TlogError> {
        let checkpoint = self.checkpoint.verify_checkpoint(keys, origin)?;
        self.verify_leaf(&checkpoint, leaf)?;
        Ok(checkpoint)
    }

    /// Verifies that `leaf` stands at [`index`](Self::index) in the tree of the checkpoint, and that a log of
    /// `policy` signed that and its quorum of witnesses cosigned it. Returns the checkpoint and who cosigned.
    ///
    /// For a log that is known from elsewhere, add it: [`Policy::with_log`].
    ///
    /// # Errors
    ///
    /// [`TlogError`] with the first thing that does not hold. Nothing was proven then.
    #[cfg(feature = "note")]
    pub fn verify_witnessed(&self, policy: &Policy, leaf: &Hash) -> Result<Witnessed, TlogError> {
        let witnessed = policy.verify(&self.checkpoint)?;
        self.verify_leaf(&witnessed.checkpoint, leaf)?;
        Ok(witnessed)
    }

    /// Verifies the leaf alone, against a checkpoint that was verified.
    fn verify_leaf(&self, checkpoint: &Checkpoint, leaf: &Hash) -> Result<(), TlogError> {
        let head = checkpoint.head();
        Ok(self.proof.verify(&Rfc6962Sha256, Arity::Two, &head, self.index, leaf)?)
    }
}

impl fmt::Display for TlogProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{FIRST_LINE}")?;
        if let Some(extra) = &self.extra {
            writeln!(f, "extra {}", base64::encode(extra))?;
        }
        writeln!(f, "index {}", self.index)?;
        for sibling in self.proof.siblings() {
            writeln!(f, "{}", base64::encode(sibling))?;
        }
        write!(f, "\n{}", self.checkpoint)
    }
}

impl FromStr for TlogProof {
    type Err = TlogError;

    fn from_str(text: &str) -> Result<Self, TlogError> {
        let (first, mut rest) = text.split_once('\n').ok_or(TlogError::NotAProof)?;
        if first != FIRST_LINE {
            return Err(TlogError::NotAProof);
        }
        let mut line = || {
            let (line, behind) = rest.split_once('\n')?;
            rest = behind;
            Some(line)
        };
        let mut next = line().ok_or(TlogError::NoIndex)?;
        let mut extra = None;
        if let Some(data) = next.strip_prefix("extra ") {
            let data = base64::decode(data).ok_or(TlogError::Base64 { what: "extra data" })?;
            extra = Some(data);
            next = line().ok_or(TlogError::NoIndex)?;
        }
        let index = next.strip_prefix("index ").ok_or(TlogError::NoIndex)?;
        let index = LeafIndex(number(index, "index")?);
        let mut siblings = Vec::new();
        loop {
            match line().ok_or(TlogError::NoCheckpoint)? {
                "" => break,
                _ if siblings.len() == MAX_DEPTH => {
                    return Err(TlogError::TooManyHashes { most: MAX_DEPTH });
                }
                sibling => siblings.push(hash(sibling, "sibling")?),
            }
        }
        let checkpoint = rest.parse()?;
        Ok(Self { extra, index, proof: InclusionProof::from_siblings(siblings), checkpoint })
    }
}
