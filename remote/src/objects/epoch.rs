//! An epoch: one writer. Created by a takeover, never deleted, so their numbers have no holes.

use bytes::Bytes;

use super::fields::{Reader, Writer};
use super::{Object, StoreId};
use crate::name::Name;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Epoch {
    pub(crate) store: StoreId,
    /// The first one is 1.
    pub(crate) epoch: u64,
    pub(crate) nonce: [u8; 16],
    /// A manifest that existed then, or 0: where a search for the newest one begins.
    pub(crate) manifest: u64,
}

impl Object for Epoch {
    const KIND: u16 = 4;

    fn name(&self) -> Name {
        Name::epoch(self.epoch)
    }

    fn store(&self) -> StoreId {
        self.store
    }

    fn write(&self, fields: &mut Writer) {
        fields.bytes(&self.store).u64(self.epoch).bytes(&self.nonce).u64(self.manifest);
    }

    fn read(fields: &mut Reader<'_>, body: Bytes) -> Option<Self> {
        let (store, epoch) = (fields.array()?, fields.u64()?);
        let (nonce, manifest) = (fields.array()?, fields.u64()?);
        body.is_empty().then_some(Self { store, epoch, nonce, manifest })
    }
}
