//! Signed checkpoints that are trusted: by a key, or by a policy.

use duramen::tlog::{Checkpoint, NoteVerifier, Policy, SignedNote, TlogError};

use crate::args::TrustArgs;
use crate::error::{Error, Refusal, name_of};
use crate::input;

/// The keys of a log and of witnesses that are trusted.
pub(super) struct Trust<'a> {
    args: &'a TrustArgs,
    policy: Option<Policy>,
}

/// A checkpoint that is trusted.
pub(super) struct Trusted {
    pub(super) checkpoint: Checkpoint,
    /// How many of how many witnesses cosigned it, where a policy asks.
    pub(super) cosigned: Option<(usize, usize)>,
}

impl<'a> Trust<'a> {
    /// Reads the policy, if there is one.
    pub(super) fn read(args: &'a TrustArgs) -> Result<Self, Error> {
        let policy = args.policy.as_deref().map(|file| {
            let (_, bytes) = input::read_all(file, Policy::MAX_BYTES as u64)?;
            Policy::read(&bytes).map_err(|error| Error::Unreadable {
                name: name_of(file),
                what: "a policy",
                source: error.into(),
            })
        });
        let policy = policy.transpose()?;
        if policy.is_none() && args.vkey.is_none() && args.origin.is_some() {
            return Err(Error::Usage("--origin belongs to --vkey or --policy".into()));
        }
        Ok(Self { args, policy })
    }

    /// Whether any key is trusted.
    pub(super) fn is_some(&self) -> bool {
        self.args.vkey.is_some() || self.policy.is_some()
    }

    /// The checkpoint in a note, if it is trusted.
    pub(super) fn verify(&self, note: &SignedNote) -> Result<Trusted, Refusal> {
        let TrustArgs { vkey, origin, .. } = self.args;
        let name = |key: &'a dyn NoteVerifier| origin.as_deref().unwrap_or_else(|| key.name());
        let Some(policy) = &self.policy else {
            let key = vkey.as_ref().ok_or(Refusal::NoHead)?;
            let checkpoint = note.verify_checkpoint(&[key], name(key))?;
            return Ok(Trusted { checkpoint, cosigned: None });
        };
        let witnessed = match vkey {
            // The key is that of the log, whether the policy has it or not.
            Some(key) => policy.verify_log(note, &[key], name(key))?,
            None => policy.verify(note)?,
        };
        let found = witnessed.checkpoint.origin();
        if let Some(expected) = origin.as_deref().filter(|expected| *expected != found) {
            let (expected, found) = (expected.to_owned(), found.to_owned());
            return Err(TlogError::OtherOrigin { expected, found }.into());
        }
        let cosigned = (witnessed.cosigned.iter().flatten().count(), witnessed.cosigned.len());
        Ok(Trusted { checkpoint: witnessed.checkpoint, cosigned: Some(cosigned) })
    }
}

/// What a trusted checkpoint adds to a message.
pub(super) fn by_witnesses(cosigned: Option<(usize, usize)>) -> String {
    match cosigned {
        Some((cosigned, all)) => format!(", cosigned by {cosigned} of {all} known witnesses"),
        None => String::new(),
    }
}
