//! Takes a store over: afterwards no earlier writer can extend it.
//!
//! # Invariants
//!
//! - The steps have this order: epoch, claim, state, slots, fence, look (R5, R7).
//! - A takeover that fails has changed nothing that a later one would need: its epoch, its claim and its fence are
//!   those of a writer that wrote nothing.
//! - While a higher epoch exists, objects may be gone or in the wrong place that this takeover reads. So such an error
//!   counts only after a look for one.

use std::collections::VecDeque;
use std::sync::Arc;

use super::commit::{Outcome, commit, fetch_object, fetch_state};
use super::find::{newest_epoch, newest_manifest, refuse_if_fenced};
use super::walk::{Cursor, Take, body};
use super::writer::{Tail, Writer};
use crate::bucket::Bucket;
use crate::error::{Error, Result};
use crate::mutant::mutant;
use crate::name::Name;
use crate::objects::{Content, Digest, Epoch, Manifest, Object, Slot, Store, StoreId, digest};

/// The store in the bucket, and the hash from which its log begins. `None` if there is none.
pub(crate) async fn identity<B: Bucket>(bucket: &B) -> Result<Option<(StoreId, Digest)>> {
    let found = fetch_object::<Store, B>(bucket, &Name::store(), None).await?;
    Ok(found.map(|(store, bytes)| (store.store, digest(&bytes))))
}

/// Makes an empty bucket one of `store`. Does nothing if it is one already.
pub(crate) async fn initialise<B: Bucket>(bucket: &B, store: StoreId) -> Result<()> {
    let object = Store { store, nonce: bucket.nonce() };
    match commit(bucket, &object, &object.encode()).await? {
        Outcome::Mine | Outcome::Another(_) => Ok(()),
    }
}

/// Takes the store over that is in the bucket. `take` gets everything that is committed.
///
/// # Errors
///
/// [`Error::Fenced`] if another takeover began later. A failure of `take` is passed on.
pub(crate) async fn take_over<B: Bucket>(
    bucket: Arc<B>,
    take: &mut impl Take,
) -> Result<Writer<B>> {
    let (store, origin) = identity(&*bucket).await?.ok_or(Error::NoStore)?;
    let (epoch, from) = new_epoch(&*bucket, store).await?;
    let mut takeover = Takeover { bucket, store, origin, epoch };
    match takeover.run(from, take).await {
        Err(error @ (Error::Damaged { .. } | Error::Missing { .. })) => {
            refuse_if_fenced(&*takeover.bucket, store, epoch).await?;
            Err(error)
        }
        result => result,
    }
}

/// Creates the next epoch. Returns its number and a manifest that exists, or 0.
async fn new_epoch<B: Bucket>(bucket: &B, store: StoreId) -> Result<(u64, u64)> {
    loop {
        let last = newest_epoch(bucket, store).await?;
        let (epoch, from) = last.map_or((1, 0), |last| (last.epoch + 1, last.manifest));
        let manifest = newest_manifest(bucket, store, from).await?;
        let manifest = manifest.map_or(0, |manifest| manifest.number);
        let object = Epoch { store, epoch, nonce: bucket.nonce(), manifest };
        match commit(bucket, &object, &object.encode()).await? {
            Outcome::Mine => return Ok((epoch, manifest)),
            Outcome::Another(_) => {}
        }
    }
}

struct Takeover<B> {
    bucket: Arc<B>,
    store: StoreId,
    origin: Digest,
    epoch: u64,
}

impl<B: Bucket> Takeover<B> {
    async fn run(&mut self, from: u64, take: &mut impl Take) -> Result<Writer<B>> {
        let manifest = self.claim(from).await?;
        let mut objects = Vec::new();
        if let Some(reference) = &manifest.state {
            let name = &reference.name;
            let state = fetch_state(&*self.bucket, reference, self.store).await?;
            let Some((state, bytes)) = state else {
                return Err(Error::Missing { name: name.to_string() });
            };
            if !reference.fits(&bytes) {
                let what = "it is not the one that the manifest names".to_owned();
                return Err(Error::Damaged { name: name.to_string(), what });
            }
            take.state(&state, manifest.seq)?;
            objects = state.objects;
        }
        let (cursor, tail) = self.fence(Cursor::at_floor(&manifest), take).await?;
        if !mutant!(&*self.bucket, NotLookedAgain) {
            refuse_if_fenced(&*self.bucket, self.store, self.epoch).await?;
        }
        let bucket = Arc::clone(&self.bucket);
        Ok(Writer::new(bucket, self.store, self.epoch, cursor, manifest, objects, tail))
    }

    /// Creates the next manifest, which has what the newest one has.
    async fn claim(&self, mut from: u64) -> Result<Manifest> {
        let Self { bucket, store, origin, epoch } = self;
        loop {
            let newest = newest_manifest(&**bucket, *store, from).await?;
            if let Some(newest) = newest.as_ref().filter(|newest| newest.epoch > *epoch) {
                return Err(Error::Fenced { epoch: *epoch, by_epoch: newest.epoch });
            }
            if mutant!(&**bucket, NoClaim)
                && let Some(newest) = newest
            {
                return Ok(newest);
            }
            let number = newest.as_ref().map_or(0, |newest| newest.number + 1);
            let nonce = bucket.nonce();
            let claim = match newest {
                Some(newest) => Manifest { number, epoch: *epoch, nonce, claim: true, ..newest },
                None => Manifest {
                    store: *store,
                    number,
                    epoch: *epoch,
                    nonce,
                    claim: true,
                    floor: 0,
                    floor_epoch: 0,
                    seq: 0,
                    chain: *origin,
                    state: None,
                },
            };
            match commit(&**bucket, &claim, &claim.encode()).await? {
                Outcome::Mine => return Ok(claim),
                Outcome::Another(_) => from = number,
            }
        }
    }

    /// Goes along the slots to the first absent one and puts a fence there.
    async fn fence(
        &self,
        mut cursor: Cursor,
        take: &mut impl Take,
    ) -> Result<(Cursor, VecDeque<Tail>)> {
        let (bucket, store) = (&*self.bucket, self.store);
        let mut tail = VecDeque::new();
        loop {
            let name = Name::slot(cursor.slot);
            let found = fetch_object::<Slot, B>(bucket, &name, Some(store)).await?;
            let slot = match found {
                Some((slot, bytes)) => {
                    cursor.step(&slot, &bytes)?;
                    slot
                }
                None => {
                    let fence = self.fence_at(cursor);
                    let bytes = fence.encode();
                    match commit(bucket, &fence, &bytes).await? {
                        Outcome::Mine => {
                            cursor.step(&fence, &bytes)?;
                            tail.push_back(Tail { cursor, blob: None, fence: true });
                            return Ok((cursor, tail));
                        }
                        Outcome::Another(slot) if mutant!(bucket, ReadBeforeFence) => {
                            cursor.step(&slot, &slot.encode())?;
                            continue;
                        }
                        // What was faster belongs to the log.
                        Outcome::Another(_) => continue,
                    }
                }
            };
            if slot.epoch > self.epoch {
                return Err(Error::Fenced { epoch: self.epoch, by_epoch: slot.epoch });
            }
            let records = body(bucket, &slot).await?;
            let (fence, blob) = match &slot.content {
                Content::Fence => (true, None),
                Content::Inline(_) => (false, None),
                Content::Blob(blob) => (false, Some(blob.name.clone())),
            };
            if let Some(records) = records {
                take.records(&slot, records)?;
            }
            tail.push_back(Tail { cursor, blob, fence });
        }
    }

    fn fence_at(&self, cursor: Cursor) -> Slot {
        Slot {
            store: self.store,
            slot: cursor.slot,
            epoch: self.epoch,
            nonce: self.bucket.nonce(),
            before: cursor.seq,
            after: cursor.seq,
            chain: cursor.chain,
            content: Content::Fence,
        }
    }
}
