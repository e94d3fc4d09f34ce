//! Finds and deletes what writers of older epochs left behind.
//!
//! # Invariant
//!
//! R8: the caller is live and has seen its claim committed. So every later manifest names, of objects of older epochs,
//! some of those that the claim names or that slots behind it refer to. All others are garbage, however late the
//! listing is and however long the sweep takes. Names of its own epoch and of higher ones are left alone.

use super::commit::{Tries, delete, fetch_object};
use crate::bucket::Bucket;
use crate::error::Result;
use crate::mutant::mutant;
use crate::name::{Folder, Name};
use crate::objects::{Content, Slot, StoreId};

pub(super) async fn sweep<B: Bucket>(
    bucket: &B,
    store: StoreId,
    epoch: u64,
    floor: u64,
    needed: impl Fn(&Name) -> bool,
) -> Result<u64> {
    let mut deleted = 0;
    for folder in [Folder::Blobs, Folder::Parts, Folder::States, Folder::Slots] {
        for name in list(bucket, folder).await? {
            let garbage = match folder {
                Folder::Slots => is_old_data(bucket, store, floor, &name).await?,
                _ => {
                    let old = name.writer().is_some_and(|writer| writer < epoch)
                        || mutant!(bucket, YoungerCollected);
                    old && !needed(&name)
                }
            };
            if garbage {
                delete(bucket, &name).await?;
                deleted += 1;
            }
        }
    }
    Ok(deleted)
}

/// The names in a folder.
pub(super) async fn list<B: Bucket>(bucket: &B, folder: Folder) -> Result<Vec<Name>> {
    let all = Name::store();
    let mut tries = Tries::new("list", &all);
    loop {
        match bucket.list(folder).await {
            Ok(names) => return Ok(names),
            Err(failed) => tries.again(bucket, failed).await?,
        }
    }
}

/// Whether a slot is below `floor` and no fence. An object that cannot be read is kept.
async fn is_old_data<B: Bucket>(
    bucket: &B,
    store: StoreId,
    floor: u64,
    name: &Name,
) -> Result<bool> {
    if name.slot_number().is_none_or(|slot| slot >= floor) {
        return Ok(false);
    }
    let found = fetch_object::<Slot, B>(bucket, name, Some(store)).await;
    match found {
        Ok(Some((slot, _))) => Ok(slot.content != Content::Fence),
        Ok(None) => Ok(false),
        Err(error) if error.is_transient() => Err(error),
        Err(_) => Ok(false),
    }
}
