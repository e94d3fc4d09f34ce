//! The witnesses of a log: asked for cosignatures of each new checkpoint, which is published once enough of them have
//! cosigned.
//!
//! A thread for each witness asks it (`ask`), so one that stalls delays no other. What they answer is gathered in a round
//! (`round`): one checkpoint, and who cosigned it. The publisher waits for the round to be decided. Cosignatures that come
//! later are added to the checkpoint that stands, if it is still the same.
//!
//! # Invariants
//!
//! - A cosignature is in a note only after it was verified with the key in the policy.
//! - Nobody waits for a witness for longer than the time of a round.
//! - What was published with enough cosignatures is kept in a file, and stands again after a restart.

mod ask;
mod kept;
mod round;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use duramen::inspect::Printable;
use duramen::tlog::{NoteVerifier, Policy, SignedNote};
use duramen::{Snapshot, TreeHead};

use crate::client;
use crate::error::LogError;

pub(crate) use ask::{Ask, Http};
pub(crate) use round::Gathering;
use round::{OnLate, Round};

/// Which witnesses must cosign the checkpoints of a log, and how long they are waited for.
#[derive(Clone, Debug)]
pub struct WitnessPolicy {
    policy: Policy,
    timeout: Duration,
    kept: PathBuf,
}

impl WitnessPolicy {
    /// The witnesses of `policy`. `kept` is a file, beside the anchor, that keeps the last checkpoint that was published:
    /// after a restart it stands until the witnesses have cosigned a newer one.
    ///
    /// # Errors
    ///
    /// [`LogError::Policy`] if the quorum cannot be reached with the witnesses that have a URL, or a URL cannot be used.
    pub fn new(policy: Policy, kept: impl Into<PathBuf>) -> Result<Self, LogError> {
        let refuse = |reason: String| Err(LogError::Policy { reason });
        let mut reachable = Vec::new();
        for witness in policy.witnesses() {
            let Some(url) = &witness.url else {
                reachable.push(false);
                continue;
            };
            let text = String::from_utf8_lossy(url);
            if client::prefix(&text).is_none() {
                return refuse(format!("{text:?} is not a URL of a witness"));
            }
            reachable.push(true);
        }
        if !policy.is_reached(&reachable) {
            return refuse("the witnesses that have a URL are too few for the quorum".to_owned());
        }
        let timeout = Duration::from_secs(5);
        Ok(Self { policy, timeout, kept: kept.into() })
    }

    /// How long the witnesses are waited for (default: 5 seconds).
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }
}

/// One witness, as it was last seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct WitnessState {
    /// Its name in the policy.
    pub name: String,
    /// How many checkpoints it cosigned since the start.
    pub cosigned: u64,
    /// How often it was asked in vain since the start.
    pub failed: u64,
    /// The size that it cosigned last, as far as is known.
    pub size: u64,
    /// Why it did not cosign when it was asked last. `None` if it did.
    pub failure: Option<String>,
}

/// The witnesses of one log. Their threads end when this is dropped.
pub(crate) struct Witnesses {
    policy: Policy,
    timeout: Duration,
    kept: PathBuf,
    gathering: Arc<Gathering>,
}

impl Witnesses {
    /// Starts a thread for each witness that has a URL. `late` is called with a checkpoint that has more cosignatures
    /// than when it was decided.
    pub(crate) fn start(config: WitnessPolicy, late: OnLate) -> std::io::Result<Self> {
        let asks = |witness: &duramen::tlog::PolicyWitness| {
            let url = String::from_utf8_lossy(witness.url.as_deref()?).into_owned();
            let url = client::prefix(&url)?;
            Some(Arc::new(Http::new(&url)) as Arc<dyn Ask>)
        };
        let asks = config.policy.witnesses().iter().map(asks).collect();
        Self::start_with(config, asks, late)
    }

    /// As [`start`](Self::start), with a way to ask each witness of the policy.
    pub(crate) fn start_with(
        config: WitnessPolicy,
        asks: Vec<Option<Arc<dyn Ask>>>,
        late: OnLate,
    ) -> std::io::Result<Self> {
        let WitnessPolicy { policy, timeout, kept } = config;
        let gathering = Gathering::start(policy.clone(), asks, late)?;
        Ok(Self { policy, timeout, kept, gathering })
    }

    /// Asks the witnesses for cosignatures of the checkpoint `signed`, of `head`, and waits until they are enough. Returns
    /// the checkpoint with those that came.
    ///
    /// # Errors
    ///
    /// [`LogError::NotWitnessed`] if they were too few in time.
    pub(crate) fn cosigned(
        &self,
        signed: SignedNote,
        head: TreeHead,
        snapshot: &Snapshot,
    ) -> Result<SignedNote, LogError> {
        let until = Instant::now() + self.timeout;
        self.gathering.gather(Round::new(signed, head, snapshot.clone(), until))
    }

    /// Keeps a checkpoint that is published. A failure is reported and nothing more: only a restart needs it.
    pub(crate) fn keep(&self, note: &SignedNote) {
        if let Err(error) = kept::write(&self.kept, &note.to_string()) {
            tracing::warn!(file = %Printable::new(&self.kept), %error, "the checkpoint is not kept");
        }
    }

    /// The checkpoint that was kept, if it can be read.
    pub(crate) fn kept(&self) -> Option<SignedNote> {
        let read = kept::read(&self.kept);
        let unreadable = |reason: &dyn std::fmt::Display| {
            tracing::warn!(file = %Printable::new(&self.kept), %reason, "no checkpoint was kept");
        };
        let text = read.inspect_err(|error| unreadable(error)).ok()??;
        text.parse().inspect_err(|error| unreadable(error)).ok()
    }

    /// Moves the right cosignatures of `kept` to `note`, which has the same text. Returns whether they are enough.
    pub(crate) fn restore(&self, kept: &SignedNote, note: &mut SignedNote) -> bool {
        let witnesses = self.policy.witnesses();
        let mut cosigned = vec![false; witnesses.len()];
        // In the order in which they stand.
        for signature in kept.signatures() {
            for (cosigned, witness) in cosigned.iter_mut().zip(witnesses) {
                let one = std::slice::from_ref(signature);
                *cosigned |=
                    note.add_cosignatures(one, &[&witness.key as &dyn NoteVerifier]).is_ok();
            }
        }
        self.policy.is_reached(&cosigned)
    }

    pub(crate) fn states(&self) -> Vec<WitnessState> {
        self.gathering.states()
    }
}

impl Drop for Witnesses {
    fn drop(&mut self) {
        self.gathering.end();
    }
}
