//! The header of an export in frames: which entries of which tree follow. FORMAT.md has the layout.

use std::io::Read;

use duramen::{Arity, Compression, EntryConfig, Hash, TreeName};

use super::input::Input;
use super::malformed::{Failure, Malformed, Part};

pub(super) const MAGIC: [u8; 8] = *b"duraEXP\n";
pub(super) const VERSION: u16 = 2;

/// Bytes before the names.
const FIXED: usize = 92;

/// Bytes of a checksum.
pub(super) const CHECK: usize = 32;

/// The longest name of a hash function.
const LONGEST_HASHER: usize = 32;

/// The longest entry that any tree can have.
pub(super) const LONGEST_ENTRY: u32 = 64 << 20;

/// The header of an export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) arity: Arity,
    /// The number of the tree in its store.
    pub(super) tree: u32,
    pub(super) store: [u8; 16],
    /// The index of the first entry.
    pub(super) from: u64,
    /// The index behind the last entry.
    pub(super) to: u64,
    /// The root of the tree at the size `from`.
    pub(super) root: Hash,
    pub(super) entries: EntryConfig,
    pub(super) hasher: String,
    pub(super) name: TreeName,
}

/// The checksum of everything in an export so far.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chain(Hash);

impl Chain {
    /// The checksum before the first byte.
    pub(super) fn start() -> Self {
        Self([0; CHECK])
    }

    /// The checksum behind a part that is these bytes.
    pub(super) fn after(self, part: &[&[u8]]) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("duramen 2026-11 part of an export v1");
        hasher.update(&self.0);
        for bytes in part {
            hasher.update(bytes);
        }
        Self(hasher.finalize().into())
    }

    pub(super) fn bytes(&self) -> &Hash {
        &self.0
    }

    pub(super) fn is(&self, bytes: &[u8]) -> bool {
        self.0 == *bytes
    }
}

impl Header {
    /// The bytes, with their checksum.
    pub(super) fn encode(&self) -> (Vec<u8>, Chain) {
        let name = self.name.as_str();
        let mut bytes = Vec::with_capacity(FIXED + self.hasher.len() + name.len() + CHECK);
        bytes.extend(MAGIC);
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend(short(self.arity.children()));
        bytes.extend(self.tree.to_le_bytes());
        bytes.extend(self.store);
        bytes.extend(self.from.to_le_bytes());
        bytes.extend(self.to.to_le_bytes());
        bytes.extend(self.root);
        bytes.extend([1, level(self.entries), 0, 0]);
        bytes.extend(self.entries.longest_bytes().to_le_bytes());
        bytes.extend(short(self.hasher.len()));
        bytes.extend(short(name.len()));
        bytes.extend(self.hasher.as_bytes());
        bytes.extend(name.as_bytes());
        let chain = Chain::start().after(&[&bytes]);
        bytes.extend(chain.bytes());
        (bytes, chain)
    }

    /// Reads a header from the start of an input.
    pub(super) fn read<R: Read>(input: &mut Input<R>) -> Result<(Self, Chain), Failure> {
        let torn = |end: usize| Malformed::Torn { part: Part::Header, start: 0, end: end as u64 };
        let start = input.peek(MAGIC.len() + 2)?;
        if start.is_empty() {
            return Err(Malformed::Empty.into());
        }
        if start[..start.len().min(MAGIC.len())] != MAGIC[..start.len().min(MAGIC.len())] {
            return Err(Malformed::NotFramed.into());
        }
        match start[MAGIC.len().min(start.len())..]
            .first_chunk()
            .map(|two| u16::from_le_bytes(*two))
        {
            Some(VERSION) => {}
            Some(found) => return Err(Malformed::Version { found, known: VERSION }.into()),
            None => return Err(torn(start.len()).into()),
        }
        let Some(fixed) = input.take(FIXED)?.first_chunk::<FIXED>().copied() else {
            return Err(torn(usize::try_from(input.offset()).unwrap_or(FIXED)).into());
        };
        let (hasher_len, name_len) = (u16_at(&fixed, 88), u16_at(&fixed, 90));
        let (hasher_len, name_len) = (usize::from(hasher_len), usize::from(name_len));
        let rest = input.take(hasher_len + name_len + CHECK)?;
        let Some((names, check)) = rest.split_at_checked(hasher_len + name_len) else {
            return Err(torn(FIXED + rest.len()).into());
        };
        if check.len() < CHECK {
            return Err(torn(FIXED + rest.len()).into());
        }
        let chain = Chain::start().after(&[&fixed, names]);
        if !chain.is(check) {
            return Err(Malformed::Checksum { part: Part::Header, start: 0 }.into());
        }
        let (hasher, name) = names.split_at(hasher_len);
        Ok((Self::decode(&fixed, hasher, name)?, chain))
    }

    /// What the bytes under a right checksum say.
    fn decode(fixed: &[u8; FIXED], hasher: &[u8], name: &[u8]) -> Result<Self, Malformed> {
        let field = |what, at, found: String, expected: &str| Malformed::Field {
            what,
            at,
            found,
            expected: expected.to_owned(),
        };
        let arity = u16_at(fixed, 10);
        let arity = Arity::new(usize::from(arity))
            .ok_or_else(|| field("arity", 10, arity.to_string(), "2, 4, 8 or 16"))?;
        let (from, to) = (u64_at(fixed, 32), u64_at(fixed, 40));
        if from > to {
            let expected = format!("{from} or more");
            return Err(field("end of the entries", 40, to.to_string(), &expected));
        }
        let entries = settings(array(fixed, 80));
        let entries = entries.ok_or_else(|| {
            field(
                "settings of entries",
                80,
                const_hex::encode(&fixed[80..88]),
                "those of a tree that keeps entries",
            )
        })?;
        let hasher = str::from_utf8(hasher).ok().filter(|text| {
            (1..=LONGEST_HASHER).contains(&text.len())
                && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
        });
        let hasher = hasher.ok_or_else(|| {
            field("name of the hash function", FIXED as u64, "none".to_owned(), "a name")
        })?;
        let at = (FIXED + hasher.len()) as u64;
        let name = str::from_utf8(name).ok().and_then(|text| TreeName::new(text).ok());
        let name =
            name.ok_or_else(|| field("name of the tree", at, "none".to_owned(), "a name"))?;
        Ok(Self {
            arity,
            tree: u32::from_le_bytes(array(fixed, 12)),
            store: array(fixed, 16),
            from,
            to,
            root: array(fixed, 48),
            entries,
            hasher: hasher.to_owned(),
            name,
        })
    }
}

/// The level of zstd, 0 for none.
fn level(entries: EntryConfig) -> u8 {
    match entries.stored() {
        Compression::Zstd { level, .. } => level,
        _ => 0,
    }
}

fn settings(bytes: [u8; 8]) -> Option<EntryConfig> {
    let [1, level, 0, 0, longest @ ..] = bytes else { return None };
    let longest = u32::from_le_bytes(longest);
    let entries = EntryConfig::new().longest(longest).ok()?;
    Some(match level {
        0 => entries,
        level => entries.compression(Compression::zstd(level).ok()?),
    })
}

/// A length of a name, which is short.
fn short(length: usize) -> [u8; 2] {
    u16::try_from(length).unwrap_or(u16::MAX).to_le_bytes()
}

fn array<const N: usize>(bytes: &[u8; FIXED], at: usize) -> [u8; N] {
    std::array::from_fn(|byte| bytes[at + byte])
}

fn u16_at(bytes: &[u8; FIXED], at: usize) -> u16 {
    u16::from_le_bytes(array(bytes, at))
}

fn u64_at(bytes: &[u8; FIXED], at: usize) -> u64 {
    u64::from_le_bytes(array(bytes, at))
}
