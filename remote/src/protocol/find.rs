//! Finds the newest epoch and the newest manifest: their numbers have no holes, so without a listing.

use super::commit::fetch_object;
use crate::bucket::Bucket;
use crate::error::{Error, Result};
use crate::name::Name;
use crate::objects::{Epoch, Manifest, Object, StoreId};

/// The newest object with a number from `from` on, whose numbers have no holes.
async fn newest<T: Object, B: Bucket>(
    bucket: &B,
    store: StoreId,
    from: u64,
    name: impl Fn(u64) -> Name,
) -> Result<Option<(u64, T)>> {
    let get = |number| {
        let name = name(number);
        async move { fetch_object::<T, B>(bucket, &name, Some(store)).await }
    };
    let Some((first, _)) = get(from).await? else { return Ok(None) };
    let (mut low, mut found, mut step) = (from, first, 1_u64);
    let mut high = loop {
        let at = low.saturating_add(step);
        match get(at).await? {
            Some((object, _)) => (low, found, step) = (at, object, step.saturating_mul(2)),
            None => break at,
        }
    };
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        match get(middle).await? {
            Some((object, _)) => (low, found) = (middle, object),
            None => high = middle,
        }
    }
    Ok(Some((low, found)))
}

/// The newest epoch, if there is any.
pub(super) async fn newest_epoch<B: Bucket>(bucket: &B, store: StoreId) -> Result<Option<Epoch>> {
    Ok(newest(bucket, store, 1, Name::epoch).await?.map(|(_, epoch)| epoch))
}

/// The newest manifest from the number `from` on, which exists unless it is 0.
pub(super) async fn newest_manifest<B: Bucket>(
    bucket: &B,
    store: StoreId,
    from: u64,
) -> Result<Option<Manifest>> {
    match newest(bucket, store, from, Name::manifest).await? {
        Some((_, manifest)) => Ok(Some(manifest)),
        None if from == 0 => Ok(None),
        None => Err(Error::Missing { name: Name::manifest(from).to_string() }),
    }
}

/// Fails if there is a higher epoch than `epoch`.
pub(super) async fn refuse_if_fenced<B: Bucket>(
    bucket: &B,
    store: StoreId,
    epoch: u64,
) -> Result<()> {
    match newest::<Epoch, B>(bucket, store, epoch, Name::epoch).await? {
        Some((by_epoch, _)) if by_epoch > epoch => Err(Error::Fenced { epoch, by_epoch }),
        _ => Ok(()),
    }
}
