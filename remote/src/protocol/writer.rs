//! The writer of one epoch.
//!
//! # Invariants
//!
//! - R3: one slot is pending at a time, and its bytes do not change until it is committed. If a call gives up or its
//!   future is dropped, the slot stays pending and the next call goes on with it. The same holds for a manifest.
//! - R2: a manifest covers slots below the cursor alone.
//! - R8: garbage is what a manifest in force does not name any more.
//! - R12: an error that says that the writer has ended is returned by every later call.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use super::commit::{Outcome, commit, delete, put_content};
use super::find::refuse_if_fenced;
use super::walk::Cursor;
use crate::bucket::Bucket;
use crate::error::{Error, Result};
use crate::mutant::mutant;
use crate::name::Name;
use crate::objects::{Content, LONGEST_INLINE, Manifest, Object, Reference, Slot, State, StoreId};

/// A slot that no state covers.
#[derive(Clone, Debug)]
pub(super) struct Tail {
    /// The place behind it.
    pub(super) cursor: Cursor,
    pub(super) blob: Option<Name>,
    pub(super) fence: bool,
}

/// A slot that is not known to be committed.
struct Pending {
    slot: Slot,
    bytes: Bytes,
    blob: Option<(Reference, Bytes)>,
}

/// A manifest that is not known to be committed.
struct Proposed {
    manifest: Manifest,
    bytes: Bytes,
    state: Reference,
    state_bytes: Bytes,
    objects: Vec<Reference>,
}

pub(crate) struct Writer<B> {
    bucket: Arc<B>,
    store: StoreId,
    epoch: u64,
    inline: usize,
    cursor: Cursor,
    /// The manifest in force.
    manifest: Manifest,
    /// What its state needs.
    objects: Vec<Reference>,
    /// The slots from its floor on.
    tail: VecDeque<Tail>,
    pending: Option<Pending>,
    proposed: Option<Proposed>,
    garbage: Vec<Name>,
    ended: Option<Error>,
}

impl<B: Bucket> Writer<B> {
    pub(super) fn new(
        bucket: Arc<B>,
        store: StoreId,
        epoch: u64,
        cursor: Cursor,
        manifest: Manifest,
        objects: Vec<Reference>,
        tail: VecDeque<Tail>,
    ) -> Self {
        let (pending, proposed, garbage, ended) = (None, None, Vec::new(), None);
        let inline = LONGEST_INLINE;
        Self {
            bucket,
            store,
            epoch,
            inline,
            cursor,
            manifest,
            objects,
            tail,
            pending,
            proposed,
            garbage,
            ended,
        }
    }

    /// Keeps records of up to `inline` bytes in their slot.
    #[cfg(test)]
    pub(crate) fn inline(mut self, inline: usize) -> Self {
        self.inline = inline;
        self
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// What the state of the manifest in force needs.
    #[cfg(test)]
    pub(crate) fn objects(&self) -> &[Reference] {
        &self.objects
    }

    /// Whether a manifest waits to be committed.
    pub(crate) fn is_proposed(&self) -> bool {
        self.proposed.is_some()
    }

    fn check(&self) -> Result<()> {
        self.ended.clone().map_or(Ok(()), Err)
    }

    /// Notes an error after which the writer stops for good.
    fn note<T>(&mut self, result: Result<T>) -> Result<T> {
        result.inspect_err(|error| {
            if !matches!(error, Error::Unreachable { .. } | Error::Refused { .. }) {
                self.ended = Some(error.clone());
            }
        })
    }

    /// The sequence number up to which everything is committed.
    pub(crate) fn committed(&self) -> u64 {
        match &self.pending {
            Some(pending) if mutant!(&*self.bucket, AcknowledgedEarly) => pending.slot.after,
            _ => self.cursor.seq,
        }
    }

    /// Whether a state was shipped, behind which the log can go on.
    pub(crate) fn has_origin(&self) -> bool {
        self.manifest.state.is_some()
    }

    /// Fixes the bytes of the next slot: the records `body`, which take the store to `after`. No other slot is pending,
    /// and a first state is in force.
    pub(crate) fn begin(&mut self, after: u64, body: Bytes) -> Result<()> {
        self.check()?;
        debug_assert!(self.pending.is_none(), "a slot is pending");
        debug_assert!(self.has_origin(), "there is no state for the log to begin at");
        let nonce = self.bucket.nonce();
        let (content, blob) = if body.len() <= self.inline {
            (Content::Inline(body), None)
        } else {
            let name = if mutant!(&*self.bucket, NameReused) {
                Name::blob(0, u128::from(self.cursor.slot).to_be_bytes())
            } else {
                Name::blob(self.epoch, nonce)
            };
            let blob = Reference::to(name, &body);
            (Content::Blob(blob.clone()), Some((blob, body)))
        };
        let Cursor { slot, seq: before, chain, .. } = self.cursor;
        let (store, epoch) = (self.store, self.epoch);
        let slot = Slot { store, slot, epoch, nonce, before, after, chain, content };
        self.pending = Some(Pending { bytes: slot.encode(), slot, blob });
        Ok(())
    }

    /// Returns once the slot that was begun is committed, with the sequence number up to which everything is.
    ///
    /// # Errors
    ///
    /// If [`is_transient`](Error::is_transient), the slot is still pending and may be committed or not. Otherwise the
    /// writer has ended.
    pub(crate) async fn finish(&mut self) -> Result<u64> {
        self.check()?;
        let Some(pending) = self.pending.take() else { return Ok(self.cursor.seq) };
        // A future that is dropped leaves the slot pending.
        let mut guard = Restore { slot: &mut self.pending, pending: Some(pending) };
        let Some(pending) = &mut guard.pending else { return Ok(self.cursor.seq) };
        if mutant!(&*self.bucket, BytesChanged) {
            pending.slot.nonce = self.bucket.nonce();
            pending.bytes = pending.slot.encode();
        }
        let mut outcome = Ok(());
        if let Some((blob, bytes)) = &pending.blob {
            outcome = put_content(&*self.bucket, blob, bytes).await;
        }
        let outcome = match outcome {
            Ok(()) => commit(&*self.bucket, &pending.slot, &pending.bytes).await,
            Err(error) => Err(error),
        };
        let goes_on = mutant!(&*self.bucket, FencedGoesOn);
        let result = match outcome {
            Ok(Outcome::Mine) => {
                let done = Cursor::behind(&pending.slot, &pending.bytes);
                let blob = pending.blob.as_ref().map(|(blob, _)| blob.name.clone());
                self.cursor = done;
                self.tail.push_back(Tail { cursor: done, blob, fence: false });
                guard.pending = None;
                Ok(done.seq)
            }
            Ok(Outcome::Another(another)) if goes_on => {
                let chain = Cursor::behind(&another, &another.encode()).chain;
                pending.slot.slot += 1;
                pending.slot.chain = chain;
                pending.bytes = pending.slot.encode();
                let (action, name) = ("create", another.name().to_string());
                Err(Error::Unreachable { action, name, tries: 1, reason: String::new() })
            }
            Ok(Outcome::Another(another)) if another.epoch > self.epoch => {
                Err(Error::Fenced { epoch: self.epoch, by_epoch: another.epoch })
            }
            Ok(Outcome::Another(another)) => Err(Error::Damaged {
                name: another.name().to_string(),
                what: format!("epoch {} wrote it after it was fenced", another.epoch),
            }),
            Err(error) => Err(error),
        };
        drop(guard);
        self.note(result)
    }

    /// Stores the content of `reference`, for a state that is proposed later.
    pub(crate) async fn upload(&mut self, reference: &Reference, bytes: &Bytes) -> Result<()> {
        self.check()?;
        let result = put_content(&*self.bucket, reference, bytes).await;
        self.note(result)
    }

    /// Fixes the next manifest: the state `body`, which needs `objects` and covers everything up to the sequence number
    /// `covers`. No other manifest is proposed. A state that covers more than the slots makes
    /// the rest part of the store with this manifest; no slot is pending then.
    pub(crate) fn propose(
        &mut self,
        covers: u64,
        objects: Vec<Reference>,
        body: Bytes,
    ) -> Result<()> {
        self.check()?;
        debug_assert!(self.proposed.is_none(), "a manifest is proposed");
        let floor = self.floor(covers);
        let state = State {
            store: self.store,
            epoch: self.epoch,
            nonce: self.bucket.nonce(),
            objects: objects.clone(),
            body,
        };
        let state_bytes = state.encode();
        if state_bytes.len() as u64 > State::LONGEST {
            return Err(Error::Refused {
                action: "create",
                name: state.name().to_string(),
                reason: format!(
                    "it would have {} bytes, and a state has at most {}",
                    state_bytes.len(),
                    State::LONGEST
                ),
            });
        }
        let reference = Reference::to(state.name(), &state_bytes);
        let manifest = Manifest {
            store: self.store,
            number: self.manifest.number + 1,
            epoch: self.epoch,
            nonce: self.bucket.nonce(),
            claim: false,
            floor: floor.slot,
            floor_epoch: floor.epoch,
            seq: floor.seq,
            chain: floor.chain,
            state: Some(reference.clone()),
        };
        let bytes = manifest.encode();
        self.proposed = Some(Proposed { manifest, bytes, state: reference, state_bytes, objects });
        Ok(())
    }

    /// The first place below which all slots are covered by a state up to `covers`.
    fn floor(&self, covers: u64) -> Cursor {
        if let Some(pending) = &self.pending
            && mutant!(&*self.bucket, ManifestAhead)
        {
            return Cursor::behind(&pending.slot, &pending.bytes);
        }
        if !self.has_origin() || covers > self.cursor.seq {
            return Cursor { seq: covers, ..self.cursor };
        }
        let begin = Cursor::at_floor(&self.manifest);
        let covered = self.tail.iter().map(|slot| slot.cursor);
        let covered = covered.take_while(|cursor| cursor.seq <= covers);
        covered.last().unwrap_or(begin)
    }

    /// Returns once the manifest that was proposed is in force. Errors are those of [`finish`](Self::finish).
    pub(crate) async fn publish(&mut self) -> Result<()> {
        self.check()?;
        let Some(proposed) = self.proposed.take() else { return Ok(()) };
        let mut guard = Restore { slot: &mut self.proposed, pending: Some(proposed) };
        let Some(proposed) = &guard.pending else { return Ok(()) };
        if mutant!(&*self.bucket, CollectedEarly) {
            for name in self.manifest.state.iter().map(|state| &state.name) {
                delete(&*self.bucket, name).await?;
            }
        }
        let Proposed { manifest, bytes, state, state_bytes, .. } = proposed;
        let mut outcome = put_content(&*self.bucket, state, state_bytes).await.map(|()| None);
        if outcome.is_ok() {
            outcome = commit(&*self.bucket, manifest, bytes).await.map(Some);
        }
        let result = match outcome {
            Ok(Some(Outcome::Mine) | None) => Ok(()),
            Ok(Some(Outcome::Another(another))) if another.epoch > self.epoch => {
                Err(Error::Fenced { epoch: self.epoch, by_epoch: another.epoch })
            }
            Ok(Some(Outcome::Another(another))) => Err(Error::Damaged {
                name: another.name().to_string(),
                what: format!("epoch {} wrote it after it was fenced", another.epoch),
            }),
            Err(error) => Err(error),
        };
        let done = if result.is_ok() { guard.pending.take() } else { None };
        drop(guard);
        self.note(result)?;
        if let Some(done) = done {
            self.replace(done);
        }
        Ok(())
    }

    /// Notes that a manifest is in force.
    fn replace(&mut self, done: Proposed) {
        self.cursor.seq = self.cursor.seq.max(done.manifest.seq);
        let old = std::mem::replace(&mut self.manifest, done.manifest);
        let objects = std::mem::replace(&mut self.objects, done.objects);
        let kept = |name: &Name| self.objects.iter().any(|object| object.name == *name);
        let unnamed = objects.into_iter().map(|object| object.name).filter(|name| !kept(name));
        self.garbage.extend(unnamed.chain(old.state.map(|state| state.name)));
        if mutant!(&*self.bucket, ManifestsCollected) {
            self.garbage.push(Name::manifest(old.number));
        }
        if mutant!(&*self.bucket, EpochsCollected) {
            self.garbage.extend((1..self.epoch).map(Name::epoch));
        }
        while self.tail.front().is_some_and(|slot| slot.cursor.slot <= self.manifest.floor) {
            let Some(slot) = self.tail.pop_front() else { break };
            if !slot.fence || mutant!(&*self.bucket, FencesCollected) {
                self.garbage.push(Name::slot(slot.cursor.slot - 1));
            }
            self.garbage.extend(slot.blob);
        }
    }

    /// Deletes what no manifest needs any more. What cannot be deleted now is deleted by a later call, or by the
    /// [sweep](Self::sweep) of a later writer. Returns how many objects were deleted.
    pub(crate) async fn collect(&mut self) -> Result<u64> {
        self.check()?;
        let mut deleted = 0;
        while let Some(name) = self.garbage.last() {
            delete(&*self.bucket, name).await?;
            self.garbage.pop();
            deleted += 1;
        }
        Ok(deleted)
    }

    /// Deletes what writers of older epochs left behind. Returns how many objects were deleted.
    pub(crate) async fn sweep(&mut self) -> Result<u64> {
        self.check()?;
        let needed = |name: &Name| {
            let objects = self.objects.iter().chain(&self.manifest.state);
            let mut blobs = self.tail.iter().filter_map(|slot| slot.blob.as_ref());
            objects.map(|object| &object.name).any(|object| object == name)
                || blobs.any(|blob| blob == name)
        };
        super::sweep::sweep(&*self.bucket, self.store, self.epoch, self.manifest.floor, needed)
            .await
    }

    /// Fails if a writer with a higher epoch exists. Otherwise a writer that has nothing to send learns of it late.
    pub(crate) async fn look(&mut self) -> Result<()> {
        self.check()?;
        let result = refuse_if_fenced(&*self.bucket, self.store, self.epoch).await;
        self.note(result)
    }
}

/// Puts back what was taken out of a slot, unless it is done.
struct Restore<'a, T> {
    slot: &'a mut Option<T>,
    pending: Option<T>,
}

impl<T> Drop for Restore<'_, T> {
    fn drop(&mut self) {
        *self.slot = self.pending.take();
    }
}
