//! What the threads of a log share, and how a checkpoint is published.
//!
//! # Invariants
//!
//! - Only heads that passed the gate reach a signer, one at a time.
//! - After an error that is final nothing is signed, and no entry is taken. So it is once damage was found in what is
//!   signed.
//! - With a policy of witnesses, nothing is published that too few of them have cosigned.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Instant, SystemTime};

use arc_swap::ArcSwapOption;
use duramen::tlog::{Checkpoint, NoteSignature, NoteSigner, SignedNote, SignerError};
use duramen::{DynAccumulator, Snapshot, StoreReader, TreeHead};
use tokio::sync::watch;

use crate::anchor::AnchorError;
use crate::config::LogSigner;
use crate::damage::{Damages, FoundBy, FoundDamage};
use crate::error::LogError;
use crate::gate::Gate;
use crate::published::Published;
use crate::witnesses::{WitnessPolicy, Witnesses};

/// What the threads of a log share.
pub(crate) struct Core {
    pub(crate) origin: String,
    pub(crate) tree: Arc<DynAccumulator>,
    pub(crate) reader: Arc<StoreReader>,
    pub(crate) signers: Vec<LogSigner>,
    pub(crate) gate: Mutex<Gate>,
    pub(crate) published: ArcSwapOption<Published>,
    /// Held to replace what is published.
    pub(crate) replacing: Mutex<()>,
    pub(crate) witnesses: OnceLock<Witnesses>,
    /// The size of the last checkpoint, for those who wait for one.
    pub(crate) size: watch::Sender<u64>,
    /// The last error of publishing.
    pub(crate) failure: Mutex<Option<LogError>>,
    /// The error after which nothing is ever signed again.
    pub(crate) stopped: OnceLock<LogError>,
    /// The damage of the store that was found.
    pub(crate) damages: Damages,
    /// Since when more is durable than was published.
    pub(crate) behind: Mutex<Option<Instant>>,
}

impl Core {
    /// Publishes a checkpoint of all that is durable, if that is more than the last one.
    pub(crate) fn publish(&self) -> Result<(), LogError> {
        let mut published = self.try_publish();
        // What was being replaced while it was read is there when it is read again. What fails twice is damage.
        if damage_of(&published).is_some() {
            published = self.try_publish();
            if let Some(found) = damage_of(&published) {
                published = Err(LogError::Damaged { found: found.clone() });
                self.found_damage(found);
            }
        }
        match &published {
            Ok(()) => self.is_now_published(),
            Err(error) if is_final(error) => drop(self.stopped.set(error.clone())),
            Err(_) => {}
        }
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        failure.clone_from(&published.as_ref().err().cloned());
        published
    }

    /// Signs and takes nothing any more.
    pub(crate) fn stop(&self, reason: &str) {
        let (origin, reason) = (self.origin.clone(), reason.to_owned());
        drop(self.stopped.set(LogError::ReadOnly { origin, reason }));
    }

    /// Remembers damage. If it concerns what the log signs, nothing is signed and taken any more.
    pub(crate) fn found_damage(&self, found: FoundDamage) {
        let what = found.to_string();
        if self.damages.add(found) {
            tracing::error!(log = %self.origin, "the store is damaged: {what}");
        }
        if let Err(error) = self.must_be_whole() {
            drop(self.stopped.set(error));
        }
    }

    fn must_be_whole(&self) -> Result<(), LogError> {
        self.damages.that_stops().map_or(Ok(()), |found| Err(LogError::Damaged { found }))
    }

    fn try_publish(&self) -> Result<(), LogError> {
        // Held to the end, so that checkpoints are published in the order of their sizes.
        let mut gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
        self.must_be_whole()?;
        let snapshot = self.tree.snapshot();
        let claimed = snapshot.durable_head()?;
        let last = self.published.load();
        if last.as_ref().is_some_and(|last| last.head == claimed) {
            return Ok(());
        }
        let passed = gate.pass(claimed, &self.reader, self.tree.name().as_str())?;
        // It may have been found meanwhile.
        self.must_be_whole()?;
        let checkpoint = self.checkpoint(passed.head())?;
        let mut signed = self.sign(&checkpoint)?;
        if let Some(witnesses) = self.witnesses.get() {
            signed = witnesses.cosigned(signed, passed.head(), &snapshot)?;
        }
        self.replace(signed, checkpoint, snapshot);
        Ok(())
    }

    /// Reads the files of the store again. The checkpoint that stands then reads the present files too.
    pub(crate) fn refresh(&self) -> Result<(), LogError> {
        // No checkpoint is published meanwhile.
        let _gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
        self.reader.refresh()?;
        let _replacing = self.replacing.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = self.published.load_full() {
            let (checkpoint, signed) = (last.checkpoint.clone(), last.signed.clone());
            let (note, snapshot) = (last.note.clone(), self.tree.snapshot());
            let Published { head, at, time, .. } = *last;
            let same = Published { head, checkpoint, signed, note, snapshot, at, time };
            self.published.store(Some(Arc::new(same)));
        }
        Ok(())
    }

    /// Lets a checkpoint stand.
    fn replace(&self, signed: SignedNote, checkpoint: Checkpoint, snapshot: Snapshot) {
        let _replacing = self.replacing.lock().unwrap_or_else(PoisonError::into_inner);
        self.keep(&signed);
        let (head, note) = (checkpoint.head(), signed.to_string().into());
        let (at, time) = (Instant::now(), SystemTime::now());
        let published = Published { head, checkpoint, signed, note, snapshot, at, time };
        self.published.store(Some(Arc::new(published)));
        self.size.send_replace(head.size.get());
    }

    /// Exchanges the checkpoint that stands for the same one with more cosignatures.
    fn add_late(&self, signed: SignedNote, head: TreeHead) {
        let _replacing = self.replacing.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(last) = self.published.load_full().filter(|last| last.head == head) else {
            return;
        };
        self.keep(&signed);
        let (checkpoint, snapshot) = (last.checkpoint.clone(), last.snapshot.clone());
        let (note, at, time) = (signed.to_string().into(), last.at, last.time);
        let published = Published { head, checkpoint, signed, note, snapshot, at, time };
        self.published.store(Some(Arc::new(published)));
    }

    fn keep(&self, signed: &SignedNote) {
        if let Some(witnesses) = self.witnesses.get() {
            witnesses.keep(signed);
        }
    }

    /// From now on nothing is published that too few witnesses have cosigned. What was published last stands again.
    pub(crate) fn await_witnesses(self: &Arc<Self>, policy: WitnessPolicy) -> Result<(), LogError> {
        let core = Arc::downgrade(self);
        let late = move |note, head| {
            if let Some(core) = core.upgrade() {
                core.add_late(note, head);
            }
        };
        let witnesses = Witnesses::start(policy, Box::new(late));
        let witnesses = witnesses.map_err(|error| self.no_thread(&error))?;
        let witnesses = self.witnesses.get_or_init(|| witnesses);
        // A store that must not be signed is refused now, and not when the first checkpoint is published.
        let snapshot = self.tree.snapshot();
        let mut gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
        gate.pass(snapshot.durable_head()?, &self.reader, self.tree.name().as_str())?;
        drop(gate);
        let Some(kept) = witnesses.kept() else { return Ok(()) };
        let head = kept.unverified_text().parse::<Checkpoint>()?.head();
        if head.size > snapshot.durable_size() || snapshot.head_at(head.size)?.root != head.root {
            tracing::warn!(log = %self.origin, "the checkpoint that was kept is not of this log");
            return Ok(());
        }
        // What is signed here is a prefix of what passed.
        let checkpoint = self.checkpoint(head)?;
        let mut signed = self.sign_again(&checkpoint, &kept)?;
        if witnesses.restore(&kept, &mut signed) {
            self.replace(signed, checkpoint, snapshot);
        }
        Ok(())
    }

    fn checkpoint(&self, head: TreeHead) -> Result<Checkpoint, LogError> {
        let (hasher, arity) = (self.tree.hasher().id(), self.tree.arity());
        Ok(Checkpoint::new(&self.origin, hasher, arity, head)?)
    }

    fn sign(&self, checkpoint: &Checkpoint) -> Result<SignedNote, LogError> {
        let (mut note, others) = self.sign_with_first(checkpoint)?;
        for signer in others {
            note.add_signature(&**signer)?;
        }
        Ok(note)
    }

    /// Signs a checkpoint that was published before, and is in `kept`. Only the log's own key signs again. A cosignature
    /// says which checkpoint is the largest at its time, so one of today would contradict that of a larger one which
    /// was signed and not published; that of `kept` is taken.
    fn sign_again(
        &self,
        checkpoint: &Checkpoint,
        kept: &SignedNote,
    ) -> Result<SignedNote, LogError> {
        let (mut note, others) = self.sign_with_first(checkpoint)?;
        for signer in others {
            let (name, id) = (signer.name(), signer.id());
            let mut signatures = kept.signatures().iter();
            if let Some(kept) = signatures.find(|kept| kept.id() == id && kept.name() == name) {
                note.add_signature(&Again(kept))?;
            }
        }
        Ok(note)
    }

    /// The checkpoint with the signature of the log's own key, and the other keys.
    fn sign_with_first(
        &self,
        checkpoint: &Checkpoint,
    ) -> Result<(SignedNote, &[LogSigner]), LogError> {
        let none =
            || LogError::Signer { name: self.origin.clone(), reason: "there is no key".into() };
        let (first, others) = self.signers.split_first().ok_or_else(none)?;
        Ok((SignedNote::sign(&checkpoint.to_string(), &**first)?, others))
    }

    pub(crate) fn no_thread(&self, error: &std::io::Error) -> LogError {
        let reason = format!("no thread can be started: {error}");
        LogError::ReadOnly { origin: self.origin.clone(), reason }
    }

    /// Notes that something became durable.
    pub(crate) fn is_now_behind(&self) {
        let mut behind = self.behind.lock().unwrap_or_else(PoisonError::into_inner);
        if behind.is_none() && self.is_behind() {
            *behind = Some(Instant::now());
        }
    }

    /// Notes that a checkpoint was published.
    fn is_now_published(&self) {
        let mut behind = self.behind.lock().unwrap_or_else(PoisonError::into_inner);
        *behind = self.is_behind().then(Instant::now);
    }

    /// Whether more is durable than was published.
    pub(crate) fn is_behind(&self) -> bool {
        let published = self.published.load();
        let size = published.as_ref().map_or(0, |published| published.head.size.get());
        published.is_none() || self.tree.durable_size().get() > size
    }
}

/// A signature that was made before.
struct Again<'a>(&'a NoteSignature);

impl NoteSigner for Again<'_> {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn id(&self) -> u32 {
        self.0.id()
    }

    fn sign(&self, _text: &[u8]) -> Result<Vec<u8>, SignerError> {
        Ok(self.0.bytes().to_vec())
    }
}

/// Whether nothing is signed any more after this error, until the log is opened again.
fn is_final(error: &LogError) -> bool {
    let changed = matches!(error, LogError::Anchor(AnchorError::Changed { .. }));
    let wrong = matches!(error, LogError::Mismatch { .. } | LogError::Forked { .. });
    changed || wrong || matches!(error, LogError::Damaged { .. })
}

/// The damage because of which nothing was published.
fn damage_of(published: &Result<(), LogError>) -> Option<FoundDamage> {
    match published {
        Err(LogError::Store(error)) => FoundDamage::of(error, FoundBy::ReadBack),
        _ => None,
    }
}
