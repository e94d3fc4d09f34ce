//! Little-endian fields.

use super::{Digest, Reference};
use crate::name::Name;

#[derive(Default)]
pub(crate) struct Writer(pub(super) Vec<u8>);

impl Writer {
    pub(super) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    pub(super) fn u64(&mut self, value: u64) -> &mut Self {
        self.bytes(&value.to_le_bytes())
    }

    pub(super) fn u8(&mut self, value: u8) -> &mut Self {
        self.bytes(&[value])
    }

    pub(super) fn reference(&mut self, reference: &Reference) -> &mut Self {
        let name = reference.name.as_str();
        self.u8(u8::try_from(name.len()).unwrap_or(u8::MAX)).bytes(name.as_bytes());
        self.u64(reference.len).bytes(&reference.digest)
    }
}

/// Takes fields from the front; `None` once the bytes are used up.
pub(crate) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn bytes(&mut self, len: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(head)
    }

    pub(super) fn array<const L: usize>(&mut self) -> Option<[u8; L]> {
        self.bytes(L)?.try_into().ok()
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub(super) fn reference(&mut self) -> Option<Reference> {
        let len = self.u8()?;
        let name = std::str::from_utf8(self.bytes(usize::from(len))?).ok()?;
        let name = Name::parse(name)?;
        let len = self.u64()?;
        let digest: Digest = self.array()?;
        Some(Reference { name, len, digest })
    }
}
