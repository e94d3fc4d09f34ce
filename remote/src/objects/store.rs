//! The object `store`: whose prefix this is. Created once, never deleted.

use bytes::Bytes;

use super::fields::{Reader, Writer};
use super::{Object, StoreId};
use crate::name::Name;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Store {
    pub(crate) store: StoreId,
    pub(crate) nonce: [u8; 16],
}

impl Object for Store {
    const KIND: u16 = 5;

    fn name(&self) -> Name {
        Name::store()
    }

    fn store(&self) -> StoreId {
        self.store
    }

    fn write(&self, fields: &mut Writer) {
        fields.bytes(&self.store).bytes(&self.nonce);
    }

    fn read(fields: &mut Reader<'_>, body: Bytes) -> Option<Self> {
        let (store, nonce) = (fields.array()?, fields.array()?);
        body.is_empty().then_some(Self { store, nonce })
    }
}
