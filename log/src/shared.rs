//! What the threads of a log share, and how a checkpoint is published.
//!
//! # Invariants
//!
//! - Only heads that passed the gate reach a signer, one at a time.
//! - After an error that is final nothing is signed, and no entry is taken.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Instant, SystemTime};

use arc_swap::ArcSwapOption;
use duramen::tlog::{Checkpoint, SignedNote};
use duramen::{DynAccumulator, StoreReader};
use tokio::sync::watch;

use crate::anchor::AnchorError;
use crate::config::LogSigner;
use crate::error::LogError;
use crate::gate::Gate;
use crate::published::Published;

/// What the threads of a log share.
pub(crate) struct Core {
    pub(crate) origin: String,
    pub(crate) tree: Arc<DynAccumulator>,
    pub(crate) reader: Arc<StoreReader>,
    pub(crate) signers: Vec<LogSigner>,
    pub(crate) gate: Mutex<Gate>,
    pub(crate) published: ArcSwapOption<Published>,
    /// The size of the last checkpoint, for those who wait for one.
    pub(crate) size: watch::Sender<u64>,
    /// The last error of publishing.
    pub(crate) failure: Mutex<Option<LogError>>,
    /// The error after which nothing is ever signed again.
    pub(crate) stopped: OnceLock<LogError>,
    /// Since when more is durable than was published.
    pub(crate) behind: Mutex<Option<Instant>>,
}

impl Core {
    /// Publishes a checkpoint of all that is durable, if that is more than the last one.
    pub(crate) fn publish(&self) -> Result<(), LogError> {
        let published = self.try_publish();
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

    fn try_publish(&self) -> Result<(), LogError> {
        // Held to the end, so that checkpoints are published in the order of their sizes.
        let mut gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
        let snapshot = self.tree.snapshot();
        let claimed = snapshot.durable_head()?;
        let last = self.published.load();
        if last.as_ref().is_some_and(|last| last.head == claimed) {
            return Ok(());
        }
        let passed = gate.pass(claimed, &self.reader, self.tree.name().as_str())?;
        let (hasher, arity) = (self.tree.hasher().id(), self.tree.arity());
        let checkpoint = Checkpoint::new(&self.origin, hasher, arity, passed.head())?;
        let signed = self.sign(&checkpoint)?;
        let note = signed.to_string().into();
        let (at, time) = (Instant::now(), SystemTime::now());
        let head = passed.head();
        let published = Published { head, checkpoint, signed, note, snapshot, at, time };
        self.published.store(Some(Arc::new(published)));
        self.size.send_replace(passed.head().size.get());
        Ok(())
    }

    /// Reads the files of the store anew. The checkpoint that stands then reads the present files too.
    pub(crate) fn refresh(&self) -> Result<(), LogError> {
        // No checkpoint is published meanwhile.
        let _gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
        self.reader.refresh()?;
        if let Some(last) = self.published.load_full() {
            let (checkpoint, signed) = (last.checkpoint.clone(), last.signed.clone());
            let (note, snapshot) = (last.note.clone(), self.tree.snapshot());
            let Published { head, at, time, .. } = *last;
            let same = Published { head, checkpoint, signed, note, snapshot, at, time };
            self.published.store(Some(Arc::new(same)));
        }
        Ok(())
    }

    fn sign(&self, checkpoint: &Checkpoint) -> Result<SignedNote, LogError> {
        let mut signers = self.signers.iter();
        let none =
            || LogError::Signer { name: self.origin.clone(), reason: "there is no key".into() };
        let first = signers.next().ok_or_else(none)?;
        let mut note = SignedNote::sign(&checkpoint.to_string(), &**first)?;
        for signer in signers {
            note.add_signature(&**signer)?;
        }
        Ok(note)
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

/// Whether nothing is signed any more after this error, until the log is opened again.
fn is_final(error: &LogError) -> bool {
    let changed = matches!(error, LogError::Anchor(AnchorError::Changed { .. }));
    changed || matches!(error, LogError::Mismatch { .. } | LogError::Forked { .. })
}
