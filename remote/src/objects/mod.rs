//! The objects of the protocol as bytes. Pure.
//!
//! ```text
//! magic 8 | version 2 | kind 2 | length of the fields 4 | fields | body | BLAKE3 of everything before 32
//! ```
//!
//! # Invariants
//!
//! - Every object ends with the hash of all its other bytes, so one that was cut short is noticed.
//! - Every object names its store and its own number, so one that was moved is noticed.
//! - An object that writers race for has a nonce, by which a writer knows its own again.

mod epoch;
mod fields;
mod manifest;
mod slot;
mod state;
mod store;

use bytes::Bytes;

pub(crate) use epoch::Epoch;
pub(crate) use manifest::Manifest;
pub(crate) use slot::{Content, LONGEST_INLINE, Slot};
pub(crate) use state::State;
pub(crate) use store::Store;

use crate::error::{Error, Result};
use crate::name::Name;
use fields::{Reader, Writer};

/// The hash of an object or of a body.
pub(crate) type Digest = [u8; 32];

/// Identifies a store: the identifier that the local store has.
pub(crate) type StoreId = [u8; 16];

/// The format of all objects.
pub(crate) const VERSION: u16 = 1;
const MAGIC: [u8; 8] = *b"duraREM\n";
/// No epoch, no manifest and no object `store` is longer. They have some hundred bytes each.
pub(crate) const SMALL: u64 = 1 << 20;
const HEADER_LEN: usize = 16;
const DIGEST_LEN: usize = 32;

/// Another object, with what it has to contain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reference {
    pub(crate) name: Name,
    pub(crate) len: u64,
    pub(crate) digest: Digest,
}

impl Reference {
    /// A reference to an object of `bytes`.
    pub(crate) fn to(name: Name, bytes: &[u8]) -> Self {
        Self { name, len: bytes.len() as u64, digest: digest(bytes) }
    }

    /// Whether `bytes` are what the reference says.
    pub(crate) fn fits(&self, bytes: &[u8]) -> bool {
        bytes.len() as u64 == self.len && digest(bytes) == self.digest
    }
}

pub(crate) fn digest(bytes: &[u8]) -> Digest {
    *blake3::hash(bytes).as_bytes()
}

/// One kind of object.
pub(crate) trait Object: Sized {
    const KIND: u16;
    /// No object of this kind is longer.
    const LONGEST: u64 = SMALL;

    fn name(&self) -> Name;
    fn store(&self) -> StoreId;
    fn write(&self, fields: &mut Writer);
    /// `None` if the fields are not those of such an object.
    fn read(fields: &mut Reader<'_>, body: Bytes) -> Option<Self>;

    fn body(&self) -> &[u8] {
        &[]
    }

    fn encode(&self) -> Bytes {
        let mut fields = Writer::default();
        self.write(&mut fields);
        let mut bytes =
            Vec::with_capacity(HEADER_LEN + fields.0.len() + self.body().len() + DIGEST_LEN);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&Self::KIND.to_le_bytes());
        let len = u32::try_from(fields.0.len()).unwrap_or(u32::MAX);
        bytes.extend_from_slice(&len.to_le_bytes());
        bytes.extend_from_slice(&fields.0);
        bytes.extend_from_slice(self.body());
        let sum = digest(&bytes);
        bytes.extend_from_slice(&sum);
        bytes.into()
    }

    /// Reads the object `name` of `store`.
    fn decode(bytes: &Bytes, name: &Name, store: Option<StoreId>) -> Result<Self> {
        let damaged = |what: &str| Error::Damaged { name: name.to_string(), what: what.to_owned() };
        let whole = bytes.len().checked_sub(DIGEST_LEN).filter(|len| *len >= HEADER_LEN);
        let Some((covered, sum)) = whole.map(|at| bytes.split_at(at)) else {
            return Err(damaged("it is too short"));
        };
        let mut header = Reader(covered);
        if header.array() != Some(MAGIC) {
            return Err(damaged("it is not an object of duramen"));
        }
        let (version, kind, len) = (header.u16(), header.u16(), header.u32());
        if digest(covered) != sum {
            return Err(damaged("its checksum does not match"));
        }
        if let Some(found) = version.filter(|found| *found != VERSION) {
            return Err(Error::UnknownFormat { name: name.to_string(), found, supported: VERSION });
        }
        if kind != Some(Self::KIND) {
            return Err(damaged("it is of another kind"));
        }
        let end = len.and_then(|len| HEADER_LEN.checked_add(usize::try_from(len).ok()?));
        let fields = end.and_then(|end| Some((covered.get(HEADER_LEN..end)?, end)));
        let Some((fields, end)) = fields else {
            return Err(damaged("its fields are longer than it is"));
        };
        let mut fields = Reader(fields);
        let body = bytes.slice(end..covered.len());
        let object = Self::read(&mut fields, body).filter(|_| fields.0.is_empty());
        let object = object.ok_or_else(|| damaged("a field has an impossible value"))?;
        if let Some(store) = store.filter(|store| *store != object.store()) {
            return Err(Error::OtherStore {
                expected: const_hex::encode(store),
                found: const_hex::encode(object.store()),
            });
        }
        if object.name() != *name {
            return Err(damaged(&format!("it is a copy of {}", object.name())));
        }
        Ok(object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot() -> Slot {
        Slot {
            store: [7; 16],
            slot: 12,
            epoch: 3,
            nonce: [9; 16],
            before: 100,
            after: 104,
            chain: [5; 32],
            content: Content::Inline(Bytes::from_static(b"four leaves")),
        }
    }

    fn all() -> Vec<Bytes> {
        let reference = Reference::to(Name::state(3, [1; 16]), b"state");
        let manifest = Manifest {
            store: [7; 16],
            number: 4,
            epoch: 3,
            nonce: [2; 16],
            claim: false,
            floor: 12,
            floor_epoch: 2,
            seq: 100,
            chain: [5; 32],
            state: Some(reference.clone()),
        };
        let blob = Slot { content: Content::Blob(reference.clone()), ..slot() };
        let fence = Slot { content: Content::Fence, after: 100, ..slot() };
        let state = State {
            store: [7; 16],
            epoch: 3,
            nonce: [1; 16],
            objects: vec![reference],
            body: Bytes::from_static(b"body"),
        };
        let epoch = Epoch { store: [7; 16], epoch: 3, nonce: [4; 16], manifest: 17 };
        let store = Store { store: [7; 16], nonce: [8; 16] };
        vec![
            slot().encode(),
            blob.encode(),
            fence.encode(),
            manifest.encode(),
            state.encode(),
            epoch.encode(),
            store.encode(),
        ]
    }

    fn decode(bytes: &Bytes) -> Vec<Result<Name>> {
        let store = Some([7; 16]);
        vec![
            Slot::decode(bytes, &Name::slot(12), store).map(|object| object.name()),
            Manifest::decode(bytes, &Name::manifest(4), store).map(|object| object.name()),
            State::decode(bytes, &Name::state(3, [1; 16]), store).map(|object| object.name()),
            Epoch::decode(bytes, &Name::epoch(3), store).map(|object| object.name()),
            Store::decode(bytes, &Name::store(), store).map(|object| object.name()),
        ]
    }

    #[test]
    fn every_object_is_read_back_as_what_it_is_and_as_nothing_else() {
        for bytes in all() {
            assert_eq!(decode(&bytes).iter().filter(|found| found.is_ok()).count(), 1);
        }
        let bytes = slot().encode();
        assert_eq!(Slot::decode(&bytes, &Name::slot(12), None).unwrap(), slot());
    }

    #[test]
    fn an_object_that_is_cut_short_or_changed_is_noticed() {
        for bytes in all() {
            for len in 0..bytes.len() {
                let found = decode(&bytes.slice(..len));
                assert!(found.iter().all(Result::is_err), "{len} of {} bytes", bytes.len());
            }
            for bit in 0..bytes.len() * 8 {
                let mut changed = bytes.to_vec();
                changed[bit / 8] ^= 1 << (bit % 8);
                let found = decode(&changed.into());
                assert!(found.iter().all(Result::is_err), "bit {bit}");
            }
        }
    }

    #[test]
    fn an_object_of_another_store_or_another_place_is_refused() {
        let bytes = slot().encode();
        let found = Slot::decode(&bytes, &Name::slot(12), Some([8; 16]));
        assert!(matches!(found, Err(Error::OtherStore { .. })));
        let found = Slot::decode(&bytes, &Name::slot(13), Some([7; 16]));
        assert!(matches!(found, Err(Error::Damaged { .. })));
    }

    #[test]
    fn a_later_format_is_named() {
        let mut bytes = slot().encode().to_vec();
        bytes[8] = 2;
        let at = bytes.len() - DIGEST_LEN;
        let sum = digest(&bytes[..at]);
        bytes[at..].copy_from_slice(&sum);
        let found = Slot::decode(&bytes.into(), &Name::slot(12), None);
        assert!(matches!(found, Err(Error::UnknownFormat { found: 2, supported: 1, .. })));
    }

    #[test]
    fn the_bytes_of_a_slot_never_change() {
        let golden = "e45c4361";
        assert_eq!(const_hex::encode(&digest(&slot().encode())[..4]), golden);
    }
}
