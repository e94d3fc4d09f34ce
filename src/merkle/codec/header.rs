//! What every encoding begins with, and reading on from there.

use alloc::string::ToString;
use alloc::vec::Vec;

use super::error::DecodeError;
use super::kind::Kind;
use crate::merkle::hasher::HasherId;
use crate::merkle::types::{Arity, Hash};

const MAGIC: [u8; 4] = *b"duPF";
const VERSION: u8 = 1;
pub(super) const HASH: usize = size_of::<Hash>();

/// The header of an encoding, from which a caller learns what to decode it as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Header<'a> {
    /// What the encoding holds.
    pub kind: Kind,
    /// How many children a node of the tree has.
    pub arity: Arity,
    /// The id of the tree's hasher.
    pub hasher: &'a str,
}

impl<'a> Header<'a> {
    /// Reads the header of `bytes` and nothing else.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] if the bytes do not begin with the header of a known version.
    pub fn read(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        Self::split(&mut Reader::new(bytes))
    }

    fn split(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let begin = &reader.rest[..reader.rest.len().min(MAGIC.len())];
        if !MAGIC.starts_with(begin) {
            return Err(DecodeError::NotAProof);
        }
        reader.array::<{ MAGIC.len() }>()?;
        let [version] = reader.array()?;
        if version != VERSION {
            return Err(DecodeError::UnknownVersion { found: version });
        }
        let [kind] = reader.array()?;
        let kind = Kind::from_code(kind).ok_or(DecodeError::UnknownKind { found: kind })?;
        let [arity] = reader.array()?;
        let arity =
            Arity::new(usize::from(arity)).ok_or(DecodeError::UnknownArity { found: arity })?;
        let [length] = reader.array()?;
        let hasher = match length {
            1..=32 => reader.bytes(usize::from(length))?,
            _ => return Err(DecodeError::BadHasherId),
        };
        let hasher = core::str::from_utf8(hasher)
            .ok()
            .filter(|id| HasherId::is_name(id))
            .ok_or(DecodeError::BadHasherId)?;
        Ok(Self { kind, arity, hasher })
    }

    /// The beginning of an encoding, with room for `more` bytes.
    pub(super) fn write(kind: Kind, arity: Arity, hasher: HasherId, more: usize) -> Vec<u8> {
        Self::write_for(kind, arity, hasher.as_str(), more)
    }

    /// As [`write`](Self::write), for a hasher that is known by its id only, which was checked.
    pub(super) fn write_for(kind: Kind, arity: Arity, hasher: &str, more: usize) -> Vec<u8> {
        let id = hasher.as_bytes();
        let mut bytes = Vec::with_capacity(MAGIC.len() + 4 + id.len() + more);
        bytes.extend(MAGIC);
        #[expect(clippy::cast_possible_truncation, reason = "both are at most 32")]
        bytes.extend([VERSION, kind.code(), arity.children() as u8, id.len() as u8]);
        bytes.extend(id);
        bytes
    }
}

/// The bytes behind what was read already.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
    total: usize,
}

impl<'a> Reader<'a> {
    const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, total: bytes.len() }
    }

    /// Reads the header and compares it with what is expected.
    pub(super) fn open(
        bytes: &'a [u8],
        expected: Kind,
        hasher: HasherId,
        arity: Arity,
    ) -> Result<Self, DecodeError> {
        let mut reader = Self::new(bytes);
        let header = Header::split(&mut reader)?;
        if header.kind != expected {
            return Err(DecodeError::OtherKind { expected, found: header.kind });
        }
        if header.hasher != hasher.as_str() {
            let found = header.hasher.to_string();
            return Err(DecodeError::OtherHasher { expected: hasher, found });
        }
        if header.arity != arity {
            return Err(DecodeError::OtherArity { expected: arity, found: header.arity });
        }
        Ok(reader)
    }

    /// Reads the header of an encoding whose hasher and arity are for the caller to compare.
    pub(super) fn open_kind(
        bytes: &'a [u8],
        expected: Kind,
    ) -> Result<(Header<'a>, Self), DecodeError> {
        let mut reader = Self::new(bytes);
        let header = Header::split(&mut reader)?;
        if header.kind != expected {
            return Err(DecodeError::OtherKind { expected, found: header.kind });
        }
        Ok((header, reader))
    }

    pub(super) fn bytes(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let cut_off = DecodeError::Truncated { found: self.total };
        let (bytes, rest) = self.rest.split_at_checked(count).ok_or(cut_off)?;
        self.rest = rest;
        Ok(bytes)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let cut_off = DecodeError::Truncated { found: self.total };
        let (bytes, rest) = self.rest.split_first_chunk().ok_or(cut_off)?;
        self.rest = rest;
        Ok(*bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, DecodeError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// `count` integers. Allocates nothing unless they are all there.
    pub(super) fn u64s(&mut self, count: u64) -> Result<Vec<u64>, DecodeError> {
        let cut_off = DecodeError::Truncated { found: self.total };
        let bytes = usize::try_from(count).ok().and_then(|count| count.checked_mul(8));
        let bytes = self.bytes(bytes.ok_or(cut_off)?)?;
        Ok(bytes.as_chunks().0.iter().map(|bytes| u64::from_le_bytes(*bytes)).collect())
    }

    /// How many bytes are left.
    pub(super) const fn left(&self) -> usize {
        self.rest.len()
    }

    /// The hashes, `expected` of them, which end the encoding. Allocates nothing unless they are
    /// all there.
    pub(super) fn hashes(self, expected: usize) -> Result<Vec<Hash>, DecodeError> {
        let (expected, found) = (expected.saturating_mul(HASH), self.rest.len());
        if expected != found {
            return Err(DecodeError::HashBytes { expected, found });
        }
        Ok(self.rest.as_chunks().0.to_vec())
    }
}
