//! A slot of the log: some records of the store, or a fence.

use bytes::Bytes;

use super::fields::{Reader, Writer};
use super::{Digest, Object, Reference, SMALL, StoreId};
use crate::name::Name;

/// Records up to this length are in their slot. Longer ones get an object of their own, so that a slot can be sent
/// again quickly.
pub(crate) const LONGEST_INLINE: usize = 4 << 20;

/// A slot. The slots of a store have the numbers 0, 1, 2 and so on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) store: StoreId,
    pub(crate) slot: u64,
    pub(crate) epoch: u64,
    pub(crate) nonce: [u8; 16],
    /// The sequence number of the store before the slot and after it.
    pub(crate) before: u64,
    pub(crate) after: u64,
    /// The hash of the slot before; of the first one, that of the object `store`.
    pub(crate) chain: Digest,
    pub(crate) content: Content,
}

/// What is in a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// Nothing: no writer of a lower epoch can write here. Never deleted.
    Fence,
    Inline(Bytes),
    /// Records in an object of their own.
    Blob(Reference),
}

const FENCE: u8 = 0;
const INLINE: u8 = 1;
const BLOB: u8 = 2;

impl Object for Slot {
    const KIND: u16 = 1;
    const LONGEST: u64 = LONGEST_INLINE as u64 + SMALL;

    fn name(&self) -> Name {
        Name::slot(self.slot)
    }

    fn store(&self) -> StoreId {
        self.store
    }

    fn write(&self, fields: &mut Writer) {
        fields.bytes(&self.store).u64(self.slot).u64(self.epoch).bytes(&self.nonce);
        fields.u64(self.before).u64(self.after).bytes(&self.chain);
        match &self.content {
            Content::Fence => fields.u8(FENCE),
            Content::Inline(_) => fields.u8(INLINE),
            Content::Blob(blob) => fields.u8(BLOB).reference(blob),
        };
    }

    fn read(fields: &mut Reader<'_>, body: Bytes) -> Option<Self> {
        let (store, slot, epoch) = (fields.array()?, fields.u64()?, fields.u64()?);
        let (nonce, before, after) = (fields.array()?, fields.u64()?, fields.u64()?);
        let chain = fields.array()?;
        let content = match fields.u8()? {
            FENCE if body.is_empty() && before == after => Content::Fence,
            INLINE if before <= after => Content::Inline(body),
            BLOB if body.is_empty() && before <= after => Content::Blob(fields.reference()?),
            _ => return None,
        };
        Some(Self { store, slot, epoch, nonce, before, after, chain, content })
    }

    fn body(&self) -> &[u8] {
        match &self.content {
            Content::Inline(body) => body,
            Content::Fence | Content::Blob(_) => &[],
        }
    }
}
