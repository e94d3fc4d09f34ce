//! Reads what is committed, without taking anything over.
//!
//! # Invariant
//!
//! What is read has everything that was committed when the read began. Slots are collected only once a later manifest is
//! committed. So the end of the log was seen if there is still no later manifest after the first absent slot; else the
//! read begins again.

use super::commit::{fetch_object, fetch_state};
use super::find::{newest_epoch, newest_manifest};
use super::takeover::identity;
use super::walk::{Cursor, Take, body};
use crate::bucket::Bucket;
use crate::error::{Error, Result};
use crate::mutant::mutant;
use crate::name::Name;
use crate::objects::{Manifest, Slot, StoreId};

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

/// How often a read begins again because there is a newer manifest.
const RETRIES: u32 = 100;

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
        let walked = walk(bucket, store, &manifest, &mut take).await;
        let is_newest = is_newest(bucket, store, manifest.number).await?;
        match walked {
            Ok(cursor) if is_newest => {
                let (manifest, cursor) = (Some(manifest), Some(cursor));
                return Ok((Found { store, epoch: number, manifest, cursor }, take));
            }
            Ok(_) | Err(Error::Damaged { .. } | Error::Missing { .. })
                if !is_newest && tries < RETRIES =>
            {
                tries += 1;
            }
            Ok(_) => {
                let name = Name::manifest(manifest.number).to_string();
                let what = format!("it was replaced {RETRIES} times while it was read");
                return Err(Error::Damaged { name, what });
            }
            Err(error) => return Err(error),
        }
    }
}

/// Whether there is no later manifest than `number`.
async fn is_newest<B: Bucket>(bucket: &B, store: StoreId, number: u64) -> Result<bool> {
    if mutant!(bucket, NotReadAgain) {
        return Ok(true);
    }
    let next =
        fetch_object::<Manifest, B>(bucket, &Name::manifest(number + 1), Some(store)).await?;
    Ok(next.is_none())
}

async fn walk<B: Bucket>(
    bucket: &B,
    store: StoreId,
    manifest: &Manifest,
    take: &mut impl Take,
) -> Result<Cursor> {
    if let Some(reference) = &manifest.state {
        let name = &reference.name;
        let state = fetch_state(bucket, reference, store).await?;
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
