//! Whether a policy is content with a checkpoint.

use alloc::vec::Vec;

use super::{Member, Policy, Quorum};
use crate::tlog::checkpoint::Checkpoint;
use crate::tlog::error::TlogError;
use crate::tlog::key::AnyVerifier;
use crate::tlog::note::{NoteVerifier, SignedNote};

/// A checkpoint that a [`Policy`] is content with.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Witnessed {
    /// The checkpoint. Extension lines are there only if a signature of the log covers them.
    pub checkpoint: Checkpoint,
    /// For each witness of the policy, in order, the time of its cosignature in seconds since 1970; `None` for
    /// those that did not cosign. 0 is no time.
    pub cosigned: Vec<Option<u64>>,
}

impl Policy {
    /// The checkpoint in `note`, if any log of the policy signed it and the quorum of witnesses cosigned it.
    ///
    /// The name of the log's key is the origin. Signatures by other keys are ignored. Times are not compared with
    /// any clock.
    ///
    /// # Errors
    ///
    /// [`TlogError::UnknownLog`] if no log of the policy has the origin, [`TlogError::NotSignedByKnownKey`] if none
    /// that has it signed, [`TlogError::WrongSignature`] if a signature by the log or a witness is wrong,
    /// [`TlogError::QuorumNotReached`] if too few witnesses cosigned; [`TlogError`] if the text is no checkpoint.
    pub fn verify(&self, note: &SignedNote) -> Result<Witnessed, TlogError> {
        // Which keys to verify with depends on the origin; nothing else is believed before.
        let claimed: Checkpoint = note.unverified_text().parse()?;
        let origin = claimed.origin();
        let keys = self.logs.iter().map(|log| &log.key).filter(|key| key.name() == origin);
        let keys: Vec<&dyn NoteVerifier> = keys.map(|key: &AnyVerifier| key as _).collect();
        if keys.is_empty() {
            return Err(TlogError::UnknownLog { origin: origin.into() });
        }
        self.verify_log(note, &keys, origin)
    }

    /// The checkpoint in `note`, if one of `keys` signed it for the log `origin` and the quorum of witnesses
    /// cosigned it: for a log that the policy does not list, or whose key has another name than the log.
    ///
    /// # Errors
    ///
    /// As [`verify`](Self::verify), and [`TlogError::OtherOrigin`] if the checkpoint is of another log.
    pub fn verify_log(
        &self,
        note: &SignedNote,
        keys: &[&dyn NoteVerifier],
        origin: &str,
    ) -> Result<Witnessed, TlogError> {
        let checkpoint = note.verify_checkpoint(keys, origin)?;
        let cosigned = self.witnesses.iter().map(|witness| {
            let signature = note.signature_by(&witness.key)?;
            Ok(signature.and_then(|signature| witness.key.timestamp(signature.bytes())))
        });
        let cosigned: Vec<Option<u64>> = cosigned.collect::<Result<_, TlogError>>()?;
        if !self.is_quorum(&cosigned) {
            let witnesses = cosigned.len();
            let cosigned = cosigned.iter().flatten().count();
            return Err(TlogError::QuorumNotReached { cosigned, witnesses });
        }
        Ok(Witnessed { checkpoint, cosigned })
    }

    /// Whether these witnesses are enough: `cosigned` says of each witness, in the order of the policy, whether it
    /// cosigned, and has nothing of those that it does not reach.
    ///
    /// A log that asks witnesses for cosignatures knows by this when to stop. It proves nothing to others.
    #[must_use]
    pub fn is_reached(&self, cosigned: &[bool]) -> bool {
        let cosigned: Vec<Option<u64>> = cosigned.iter().map(|one| one.then_some(0)).collect();
        self.is_quorum(&cosigned)
    }

    fn is_quorum(&self, cosigned: &[Option<u64>]) -> bool {
        // Members of a group come before it.
        let mut groups: Vec<bool> = Vec::with_capacity(self.groups.len());
        let counts = |member: &Member, groups: &[bool]| match member {
            Member::Witness(at) => cosigned.get(*at).is_some_and(Option::is_some),
            Member::Group(at) => groups.get(*at).is_some_and(|reached| *reached),
        };
        for group in &self.groups {
            let members = group.members.iter().filter(|member| counts(member, &groups)).count();
            groups.push(members >= group.threshold);
        }
        match &self.quorum {
            Quorum::None => true,
            Quorum::Of(member) => counts(member, &groups),
        }
    }
}
