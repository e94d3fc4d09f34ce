//! Tests whether a bucket keeps its one promise: of several that create one object, one succeeds.
//!
//! A bucket that fails is refused. One that passes may still break the promise; that cannot be seen from outside.

use bytes::Bytes;
use futures_util::future::join_all;

use super::commit::{delete, fetch};
use crate::bucket::Bucket;
use crate::error::{Error, Result};
use crate::name::Name;

/// How many objects are raced for, and by how many at a time. Some servers take seconds for one contended object.
const KEYS: u32 = 4;
const RACERS: u8 = 4;
/// No racer writes so many bytes.
const LONGEST: u64 = 1 << 10;

/// Fails if the bucket is seen to break its promise. Leaves nothing behind in it.
pub(crate) async fn probe<B: Bucket>(bucket: &B) -> Result<()> {
    let nonce = bucket.nonce();
    for key in 0..KEYS {
        let name = Name::probe(nonce, key);
        let result = race(bucket, &name).await;
        delete(bucket, &name).await?;
        result?;
    }
    Ok(())
}

async fn race<B: Bucket>(bucket: &B, name: &Name) -> Result<()> {
    let racers = (0..RACERS).map(|racer| async move {
        (racer, bucket.create(name, Bytes::from(vec![racer; 64])).await)
    });
    let mut won = Vec::new();
    let mut refused = None;
    for (racer, answer) in join_all(racers).await {
        match answer {
            Ok(()) => won.push(racer),
            Err(failed) if failed.for_good => refused = Some(failed.reason),
            Err(_) => {}
        }
    }
    let unsuitable = |what: String| Err(Error::Unsuitable { what });
    if won.len() > 1 {
        return unsuitable(format!("{} of {RACERS} that created one object succeeded", won.len()));
    }
    let Some(found) = fetch(bucket, name, LONGEST).await? else {
        if let (true, Some(reason)) = (won.is_empty(), refused) {
            return Err(Error::Refused { action: "create", name: name.to_string(), reason });
        }
        return unsuitable("an object that was created is not there".to_owned());
    };
    if let Some(winner) = won.first()
        && found != vec![*winner; 64]
    {
        return unsuitable("an object was replaced that one create had made".to_owned());
    }
    if bucket.create(name, Bytes::from_static(b"again")).await.is_ok() {
        return unsuitable("an object that exists was created again".to_owned());
    }
    if fetch(bucket, name, LONGEST).await? != Some(found) {
        return unsuitable("an object that exists was changed by a create that failed".to_owned());
    }
    Ok(())
}
