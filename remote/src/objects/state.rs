//! A state: what a manifest points to. The objects that it needs, and bytes whose meaning the protocol does not know.

use bytes::Bytes;

use super::fields::{Reader, Writer};
use super::{Object, Reference, StoreId};
use crate::name::Name;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) store: StoreId,
    pub(crate) epoch: u64,
    pub(crate) nonce: [u8; 16],
    /// Objects that are kept as long as a manifest points to this state.
    pub(crate) objects: Vec<Reference>,
    pub(crate) body: Bytes,
}

impl Object for State {
    const KIND: u16 = 3;
    // What a million trees and a petabyte need.
    const LONGEST: u64 = 1 << 30;

    fn name(&self) -> Name {
        Name::state(self.epoch, self.nonce)
    }

    fn store(&self) -> StoreId {
        self.store
    }

    fn write(&self, fields: &mut Writer) {
        fields.bytes(&self.store).u64(self.epoch).bytes(&self.nonce);
        fields.u64(self.objects.len() as u64);
        for object in &self.objects {
            fields.reference(object);
        }
    }

    fn read(fields: &mut Reader<'_>, body: Bytes) -> Option<Self> {
        let (store, epoch, nonce) = (fields.array()?, fields.u64()?, fields.array()?);
        let count = fields.u64()?;
        // No count makes this allocate more than the fields are long.
        let objects: Option<Vec<_>> = (0..count).map(|_| fields.reference()).collect();
        Some(Self { store, epoch, nonce, objects: objects?, body })
    }

    fn body(&self) -> &[u8] {
        &self.body
    }
}
