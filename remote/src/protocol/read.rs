//! Reads what is committed, without taking anything over.
//!
//! # Invariant
//!
//! What is read is a state that the store had, perhaps an older one. Objects may be collected meanwhile; then the read
//! begins again with the newest manifest.

use super::commit::fetch_object;
use super::find::{newest_epoch, newest_manifest};
use super::takeover::identity;
use super::walk::{Cursor, Take, body};
use crate::bucket::Bucket;
use crate::error::{Error, Result};
use crate::name::Name;
use crate::objects::{Manifest, Slot, State, StoreId};

/// What a read found.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) store: StoreId,
    /// The newest epoch, or 0 if no writer has begun.
    pub(crate) epoch: u64,
    pub(crate) manifest: Option<Manifest>,
    /// Behind the last slot.
    pub(crate) cursor: Option<Cursor>,
}

/// How often a read begins again because objects were collected meanwhile.
const RETRIES: u32 = 8;

/// Reads what is committed. `begin` makes what takes it in; it is called again whenever the read begins again.
pub(crate) async fn read<B: Bucket, T: Take>(
    bucket: &B,
    mut begin: impl FnMut() -> Result<T>,
) -> Result<(Found, T)> {
    let (store, _) = identity(bucket).await?.ok_or(Error::NoStore)?;
    let mut tries = 0;
    loop {
        let epoch = newest_epoch(bucket, store).await?;
        let (number, from) = epoch.map_or((0, 0), |epoch| (epoch.epoch, epoch.manifest));
        let Some(manifest) = newest_manifest(bucket, store, from).await? else {
            return Ok((Found { store, epoch: number, manifest: None, cursor: None }, begin()?));
        };
        let mut take = begin()?;
        match walk(bucket, store, &manifest, &mut take).await {
            Ok(cursor) => {
                let (manifest, cursor) = (Some(manifest), Some(cursor));
                return Ok((Found { store, epoch: number, manifest, cursor }, take));
            }
            Err(Error::Damaged { .. } | Error::Missing { .. }) if tries < RETRIES => {
                let newest = newest_manifest(bucket, store, manifest.number).await?;
                tries = if newest.is_some_and(|newest| newest.number > manifest.number) {
                    tries + 1
                } else {
                    // Once more, and then the error is reported.
                    RETRIES.max(tries + 1)
                };
            }
            Err(error) => return Err(error),
        }
    }
}

async fn walk<B: Bucket>(
    bucket: &B,
    store: StoreId,
    manifest: &Manifest,
    take: &mut impl Take,
) -> Result<Cursor> {
    if let Some(reference) = &manifest.state {
        let name = &reference.name;
        let state = fetch_object::<State, B>(bucket, name, Some(store)).await?;
        let state = state.filter(|(_, bytes)| reference.fits(bytes));
        let (state, _) = state.ok_or_else(|| Error::Missing { name: name.to_string() })?;
        take.state(&state, manifest.seq)?;
    }
    let mut cursor = Cursor::at_floor(manifest);
    while let Some((slot, bytes)) =
        fetch_object::<Slot, B>(bucket, &Name::slot(cursor.slot), Some(store)).await?
    {
        cursor.step(&slot, &bytes)?;
        if let Some(records) = body(bucket, &slot).await? {
            take.records(&slot, records)?;
        }
    }
    Ok(cursor)
}
