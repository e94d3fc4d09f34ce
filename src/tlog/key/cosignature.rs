//! Ed25519 keys of cosigners.

use alloc::string::String;
use core::fmt;
use core::str::FromStr;

use ed25519_dalek::VerifyingKey;

use super::ed25519::{is_signed, public_bytes};
use super::message;
use super::signer::PublicKey;
use super::text::{self as key_text, Parts, key_id};
use crate::tlog::error::TlogError;
use crate::tlog::key_type::KeyType;
use crate::tlog::note::{NoteVerifier, check_key_name};

const TYPE: KeyType = KeyType::ED25519_COSIGNATURE;

/// An Ed25519 key that verifies cosignatures of checkpoints: signature type 0x04 of C2SP
/// `tlog-cosignature`.
///
/// A cosignature has a time and covers the whole text of the note. Its text is `NAME+ID+BASE64`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ed25519CosignatureVerifier {
    name: String,
    key: VerifyingKey,
}

impl Ed25519CosignatureVerifier {
    /// The public key itself.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        PublicKey::Ed25519(self.key.to_bytes())
    }

    pub(super) fn read(parts: Parts) -> Result<Self, TlogError> {
        parts.must_be(TYPE)?;
        check_key_name(&parts.name)?;
        let key = public_bytes(&parts)?;
        parts.must_have_id(key_id(&parts.name, TYPE, key.as_bytes()))?;
        Ok(Self { name: parts.name, key })
    }
}

impl NoteVerifier for Ed25519CosignatureVerifier {
    fn name(&self) -> &str {
        &self.name
    }

    fn id(&self) -> u32 {
        key_id(&self.name, TYPE, self.key.as_bytes())
    }

    fn verifies(&self, text: &[u8], signature: &[u8]) -> bool {
        message::split(signature).is_some_and(|(timestamp, signature)| {
            is_signed(&self.key, &message::checkpoint_v1(timestamp, text), signature)
        })
    }

    fn timestamp(&self, signature: &[u8]) -> Option<u64> {
        message::split(signature).map(|(timestamp, _)| timestamp)
    }
}

impl fmt::Display for Ed25519CosignatureVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        key_text::write_public(f, &self.name, TYPE, self.key.as_bytes())
    }
}

impl FromStr for Ed25519CosignatureVerifier {
    type Err = TlogError;

    fn from_str(text: &str) -> Result<Self, TlogError> {
        Self::read(Parts::public(text)?)
    }
}
