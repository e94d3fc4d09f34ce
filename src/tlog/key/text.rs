//! The types of keys and signatures, and the text of a key.

use alloc::borrow::ToOwned;
use alloc::string::String;
use core::fmt;

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::tlog::base64;
use crate::tlog::error::TlogError;
use crate::tlog::key_type::KeyType;

/// The required form of a public text.
pub(super) const PUBLIC_FORM: &str = "NAME+ID+BASE64";
/// The required form of a secret text.
pub(super) const SECRET_FORM: &str = "PRIVATE+KEY+NAME+ID+BASE64";
const SECRET_PREFIX: &str = "PRIVATE+KEY+";

/// The parts of a key's text. The id was not compared with the key yet.
pub(super) struct Parts {
    pub(super) name: String,
    pub(super) id: u32,
    pub(super) key_type: KeyType,
    /// What stands behind the type: the public key, or the secret one.
    pub(super) material: Zeroizing<alloc::vec::Vec<u8>>,
}

impl Parts {
    /// Reads `NAME+ID+BASE64`, with 8 lower-case hex digits of the id.
    pub(super) fn public(text: &str) -> Result<Self, TlogError> {
        Self::read(text).ok_or(TlogError::KeyText { form: PUBLIC_FORM })
    }

    /// Reads `PRIVATE+KEY+NAME+ID+BASE64`.
    pub(super) fn secret(text: &str) -> Result<Self, TlogError> {
        let text = text.strip_prefix(SECRET_PREFIX);
        text.and_then(Self::read).ok_or(TlogError::KeyText { form: SECRET_FORM })
    }

    fn read(text: &str) -> Option<Self> {
        // Base 64 has plus signs of its own.
        let (name, rest) = text.split_once('+')?;
        let (id, key) = rest.split_once('+')?;
        let hex = |digit: u8| matches!(digit, b'0'..=b'9' | b'a'..=b'f');
        if id.len() != 8 || !id.bytes().all(hex) {
            return None;
        }
        let id = u32::from_str_radix(id, 16).ok()?;
        let key = Zeroizing::new(base64::decode(key)?);
        let (key_type, material) = key.split_first()?;
        let material = Zeroizing::new(material.to_vec());
        Some(Self { name: name.to_owned(), id, key_type: KeyType(*key_type), material })
    }

    /// Refuses a key of another type than `expected`.
    pub(super) fn must_be(&self, expected: KeyType) -> Result<(), TlogError> {
        if self.key_type == expected {
            return Ok(());
        }
        Err(TlogError::OtherKeyType { expected, found: self.key_type })
    }

    /// Compares the id in the text with that of the key.
    pub(super) fn must_have_id(&self, computed: u32) -> Result<(), TlogError> {
        if self.id == computed {
            return Ok(());
        }
        Err(TlogError::OtherKeyId { stated: self.id, computed })
    }
}

/// The first four bytes of SHA-256(name || newline || type || public key).
pub(super) fn key_id(name: &str, key_type: KeyType, public: &[u8]) -> u32 {
    let hash = Sha256::new()
        .chain_update(name)
        .chain_update([b'\n', key_type.0])
        .chain_update(public)
        .finalize();
    let [a, b, c, d, ..] = <[u8; 32]>::from(hash);
    u32::from_be_bytes([a, b, c, d])
}

/// Writes the public text of a key.
pub(super) fn write_public(
    f: &mut fmt::Formatter<'_>,
    name: &str,
    key_type: KeyType,
    public: &[u8],
) -> fmt::Result {
    let key = [&[key_type.0], public].concat();
    let id = key_id(name, key_type, public);
    write!(f, "{name}+{id:08x}+{}", base64::encode(&key))
}

/// The secret text of a key. No copy of the secret is left in memory.
pub(super) fn secret_text(
    name: &str,
    key_type: KeyType,
    public: &[u8],
    secret: &[u8; 32],
) -> Zeroizing<String> {
    let mut key = Zeroizing::new([0; 33]);
    key[0] = key_type.0;
    key[1..].copy_from_slice(secret);
    let key = Zeroizing::new(base64::encode(&*key));
    let id = alloc::format!("+{:08x}+", key_id(name, key_type, public));
    let parts = [SECRET_PREFIX, name, &id, &key];
    // Of the right size at once: a text that grows leaves its beginning behind.
    let mut text = String::with_capacity(parts.iter().map(|part| part.len()).sum());
    parts.iter().for_each(|part| text.push_str(part));
    Zeroizing::new(text)
}
