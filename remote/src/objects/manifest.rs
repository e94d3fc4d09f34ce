//! A manifest: from where on the log counts, and where the state before that is.
//!
//! Manifests are small and never deleted, so their numbers have no holes and the newest one is found without a
//! listing. What a manifest points to is deleted once a later one has replaced it.

use bytes::Bytes;

use super::fields::{Reader, Writer};
use super::{Digest, Object, Reference, StoreId};
use crate::name::Name;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Manifest {
    pub(crate) store: StoreId,
    pub(crate) number: u64,
    pub(crate) epoch: u64,
    pub(crate) nonce: [u8; 16],
    /// Whether it is the first of its epoch: the state of the one before, claimed.
    pub(crate) claim: bool,
    /// The first slot that the state does not cover.
    pub(crate) floor: u64,
    /// The epoch of the slot before `floor`.
    pub(crate) floor_epoch: u64,
    /// The sequence number of the store before `floor`.
    pub(crate) seq: u64,
    /// The hash of the slot before `floor`; of the first one, that of the object `store`.
    pub(crate) chain: Digest,
    /// `None` before anything was shipped.
    pub(crate) state: Option<Reference>,
}

impl Object for Manifest {
    const KIND: u16 = 2;

    fn name(&self) -> Name {
        Name::manifest(self.number)
    }

    fn store(&self) -> StoreId {
        self.store
    }

    fn write(&self, fields: &mut Writer) {
        fields.bytes(&self.store).u64(self.number).u64(self.epoch).bytes(&self.nonce);
        fields.u8(self.claim.into()).u64(self.floor).u64(self.floor_epoch);
        fields.u64(self.seq).bytes(&self.chain).u8(self.state.is_some().into());
        if let Some(state) = &self.state {
            fields.reference(state);
        }
    }

    fn read(fields: &mut Reader<'_>, body: Bytes) -> Option<Self> {
        let (store, number, epoch) = (fields.array()?, fields.u64()?, fields.u64()?);
        let nonce = fields.array()?;
        let claim = flag(fields.u8()?)?;
        let (floor, floor_epoch) = (fields.u64()?, fields.u64()?);
        let (seq, chain) = (fields.u64()?, fields.array()?);
        let state = if flag(fields.u8()?)? { Some(fields.reference()?) } else { None };
        body.is_empty().then_some(Self {
            store,
            number,
            epoch,
            nonce,
            claim,
            floor,
            floor_epoch,
            seq,
            chain,
            state,
        })
    }
}

fn flag(byte: u8) -> Option<bool> {
    (byte <= 1).then_some(byte == 1)
}
