//! Calls of the bucket that are made again until they have an answer.
//!
//! # Invariants
//!
//! - R4: whatever a create answers, unless it is success, the name is read.
//! - The bytes that are sent again are those that were sent first.
//! - No object is read that is longer than one of its kind, or than what refers to it says. So what stands in a bucket
//!   decides over no more memory than a store needs.

use bytes::Bytes;

use crate::body::CHUNK;
use crate::bucket::{Bucket, Failed, Got};
use crate::error::{Error, Result};
use crate::mutant::mutant;
use crate::name::{Folder, Name};
use crate::objects::{Object, Reference, State, StoreId};

/// How often an object that cannot be decoded is fetched: its bytes may have been cut off on the way.
const FETCHES: u32 = 4;

/// Whose object has the name.
pub(super) enum Outcome<T> {
    Mine,
    Another(T),
}

/// Counts tries, and waits between them.
pub(super) struct Tries<'a> {
    action: &'static str,
    name: &'a Name,
    tries: u32,
}

impl<'a> Tries<'a> {
    pub(super) fn new(action: &'static str, name: &'a Name) -> Self {
        Self { action, name, tries: 0 }
    }

    /// Waits after a failure. Fails if there is to be no other try.
    pub(super) async fn again<B: Bucket>(&mut self, bucket: &B, failed: Failed) -> Result<()> {
        let (action, name, reason) = (self.action, self.name.to_string(), failed.reason);
        if failed.for_good {
            return Err(Error::Refused { action, name, reason });
        }
        self.tries += 1;
        if !bucket.pause(self.tries).await {
            return Err(Error::Unreachable { action, name, tries: self.tries, reason });
        }
        Ok(())
    }
}

/// The bytes of an object, of which there are to be at most `most`.
pub(super) async fn fetch<B: Bucket>(bucket: &B, name: &Name, most: u64) -> Result<Option<Bytes>> {
    let mut tries = Tries::new("read", name);
    loop {
        match bucket.get(name, most).await {
            Ok(None) => return Ok(None),
            Ok(Some(Got::Bytes(bytes))) => return Ok(Some(bytes)),
            Ok(Some(Got::TooLong(len))) => {
                let what = format!("it has {len} bytes, and should have at most {most}");
                return Err(Error::Damaged { name: name.to_string(), what });
            }
            Err(failed) => tries.again(bucket, failed).await?,
        }
    }
}

/// An object, with its bytes.
pub(super) async fn fetch_object<T: Object, B: Bucket>(
    bucket: &B,
    name: &Name,
    store: Option<StoreId>,
) -> Result<Option<(T, Bytes)>> {
    fetch_at_most(bucket, name, store, T::LONGEST).await
}

/// The state that `reference` names, with its bytes. They may be others than those that it names.
pub(super) async fn fetch_state<B: Bucket>(
    bucket: &B,
    reference: &Reference,
    store: StoreId,
) -> Result<Option<(State, Bytes)>> {
    let most = State::LONGEST.min(reference.len);
    fetch_at_most(bucket, &reference.name, Some(store), most).await
}

async fn fetch_at_most<T: Object, B: Bucket>(
    bucket: &B,
    name: &Name,
    store: Option<StoreId>,
    most: u64,
) -> Result<Option<(T, Bytes)>> {
    let mut fetches = 1;
    loop {
        let Some(bytes) = fetch(bucket, name, most).await? else { return Ok(None) };
        match T::decode(&bytes, name, store) {
            Ok(object) => return Ok(Some((object, bytes))),
            Err(Error::Damaged { .. }) if fetches < FETCHES => fetches += 1,
            Err(error) => return Err(error),
        }
    }
}

/// The content that `reference` names.
pub(crate) async fn fetch_content<B: Bucket>(bucket: &B, reference: &Reference) -> Result<Bytes> {
    let name = &reference.name;
    // Whatever refers to it, no chunk of a part is longer.
    let own = if name.is_in(Folder::Parts) { CHUNK as u64 } else { u64::MAX };
    let most = reference.len.min(own);
    for _ in 0..FETCHES {
        match fetch(bucket, name, most).await? {
            Some(bytes) if reference.fits(&bytes) => return Ok(bytes),
            Some(_) => {}
            None => return Err(Error::Missing { name: name.to_string() }),
        }
    }
    let what = format!("it has not the {} bytes that were written", reference.len);
    Err(Error::Damaged { name: name.to_string(), what })
}

/// Creates `object`, for which others may race. `bytes` are those of the object.
pub(super) async fn commit<T: Object, B: Bucket>(
    bucket: &B,
    object: &T,
    bytes: &Bytes,
) -> Result<Outcome<T>> {
    let name = object.name();
    let mut tries = Tries::new("create", &name);
    loop {
        let failed = match bucket.create(&name, bytes.clone()).await {
            Ok(()) => return Ok(Outcome::Mine),
            Err(failed) => failed,
        };
        if mutant!(bucket, LostIsCommitted) {
            return Ok(Outcome::Mine);
        }
        match fetch_object::<T, B>(bucket, &name, Some(object.store())).await? {
            Some((_, found)) if found == *bytes && !mutant!(bucket, ExistsIsAnothers) => {
                return Ok(Outcome::Mine);
            }
            Some(_) if mutant!(bucket, ExistsIsMine) => return Ok(Outcome::Mine),
            Some((another, _)) => return Ok(Outcome::Another(another)),
            None => tries.again(bucket, failed).await?,
        }
    }
}

/// Creates the content of `reference`, whose name only this writer uses.
pub(super) async fn put_content<B: Bucket>(
    bucket: &B,
    reference: &Reference,
    bytes: &Bytes,
) -> Result<()> {
    let name = &reference.name;
    let mut tries = Tries::new("create", name);
    loop {
        let failed = match bucket.create(name, bytes.clone()).await {
            Ok(()) => return Ok(()),
            Err(failed) => failed,
        };
        if mutant!(bucket, NameReused) {
            return Ok(());
        }
        // An earlier attempt may have arrived, perhaps one of an earlier call.
        match fetch_content(bucket, reference).await {
            Ok(_) => return Ok(()),
            Err(Error::Missing { .. }) => tries.again(bucket, failed).await?,
            Err(error) => return Err(error),
        }
    }
}

/// Deletes an object.
pub(super) async fn delete<B: Bucket>(bucket: &B, name: &Name) -> Result<()> {
    let mut tries = Tries::new("delete", name);
    loop {
        match bucket.delete(name).await {
            Ok(()) => return Ok(()),
            Err(failed) => tries.again(bucket, failed).await?,
        }
    }
}
