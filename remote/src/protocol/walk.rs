//! Goes along the slots of the log. Pure but for the body of a slot.

use bytes::Bytes;

use super::commit::fetch_content;
use crate::bucket::Bucket;
use crate::error::{Error, Result};
use crate::objects::{Content, Digest, Manifest, Object, Slot, State, digest};

/// A place between two slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cursor {
    /// The next slot.
    pub(crate) slot: u64,
    /// The epoch of the slot before.
    pub(crate) epoch: u64,
    /// The sequence number of the store here.
    pub(crate) seq: u64,
    /// The hash of the slot before.
    pub(crate) chain: Digest,
}

impl Cursor {
    /// Where the log of `manifest` begins.
    pub(super) fn at_floor(manifest: &Manifest) -> Self {
        let Manifest { floor, floor_epoch, seq, chain, .. } = *manifest;
        Self { slot: floor, epoch: floor_epoch, seq, chain }
    }

    /// The place behind `slot`, which has these `bytes`.
    pub(super) fn behind(slot: &Slot, bytes: &[u8]) -> Self {
        Self { slot: slot.slot + 1, epoch: slot.epoch, seq: slot.after, chain: digest(bytes) }
    }

    /// Steps over `slot`. Fails if it is not the one that follows here.
    pub(super) fn step(&mut self, slot: &Slot, bytes: &[u8]) -> Result<()> {
        let what = if slot.chain != self.chain {
            "it does not follow the slot before it"
        } else if slot.before != self.seq {
            "it does not begin where the slot before it ends"
        } else if slot.epoch < self.epoch {
            "it is of a writer that was fenced before"
        } else {
            *self = Self::behind(slot, bytes);
            return Ok(());
        };
        Err(Error::Damaged { name: slot.name().to_string(), what: what.to_owned() })
    }
}

/// Takes in what is found in a bucket, in this order: one state or none, then the records behind it.
pub(crate) trait Take: Send {
    /// The state that the newest manifest points to. `seq` is what the slots before the first one have.
    fn state(&mut self, state: &State, seq: u64) -> Result<()>;

    /// The records of one slot.
    fn records(&mut self, slot: &Slot, body: Bytes) -> Result<()>;
}

/// The records of a slot that is no fence.
pub(super) async fn body<B: Bucket>(bucket: &B, slot: &Slot) -> Result<Option<Bytes>> {
    Ok(match &slot.content {
        Content::Fence => None,
        Content::Inline(body) => Some(body.clone()),
        Content::Blob(blob) => Some(fetch_content(bucket, blob).await?),
    })
}
