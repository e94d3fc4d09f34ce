//! Ed25519 keys of notes.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use sha2::{Digest, Sha256};

use super::base64;
use super::error::TlogError;
use super::note::{NoteSigner, NoteVerifier, check_key_name};

/// The signature type of plain Ed25519.
const ED25519: u8 = 0x01;
const SECRET_PREFIX: &str = "PRIVATE+KEY+";
const PUBLIC_FORM: &str = "NAME+ID+BASE64";
const SECRET_FORM: &str = "PRIVATE+KEY+NAME+ID+BASE64";

/// An Ed25519 key that signs notes.
///
/// Its text is `PRIVATE+KEY+NAME+ID+BASE64`, as the Go module `golang.org/x/mod/sumdb/note` writes
/// it. The secret is wiped when the key is dropped, and `Debug` does not show it.
#[derive(Clone)]
pub struct Ed25519Signer {
    name: String,
    key: SigningKey,
}

impl Ed25519Signer {
    /// The key `name` with this secret, which must come from a good source of randomness.
    ///
    /// # Errors
    ///
    /// [`TlogError::KeyName`] if the name is empty or has spaces, plus, control or hidden characters.
    pub fn from_secret(name: &str, secret: &[u8; 32]) -> Result<Self, TlogError> {
        check_key_name(name)?;
        Ok(Self { name: name.to_owned(), key: SigningKey::from_bytes(secret) })
    }

    /// The key that verifies its signatures.
    #[must_use]
    pub fn verifier(&self) -> Ed25519Verifier {
        Ed25519Verifier { name: self.name.clone(), key: self.key.verifying_key() }
    }

    /// The secret text, for a file that only its owner can read.
    #[must_use]
    pub fn secret_text(&self) -> String {
        let id = NoteSigner::id(self);
        let key = [&[ED25519], self.key.as_bytes().as_slice()].concat();
        format!("{SECRET_PREFIX}{}+{id:08x}+{}", self.name, base64::encode(&key))
    }
}

impl NoteSigner for Ed25519Signer {
    fn name(&self) -> &str {
        &self.name
    }

    fn id(&self) -> u32 {
        key_id(&self.name, &self.key.verifying_key())
    }

    fn sign(&self, text: &[u8]) -> Vec<u8> {
        self.key.sign(text).to_bytes().to_vec()
    }
}

impl FromStr for Ed25519Signer {
    type Err = TlogError;

    /// Reads the secret text, without a newline.
    fn from_str(text: &str) -> Result<Self, TlogError> {
        let text = text.strip_prefix(SECRET_PREFIX);
        let parts = text.and_then(parts).ok_or(TlogError::KeyText { form: SECRET_FORM })?;
        let signer = Self::from_secret(parts.name, &parts.key)?;
        parts.must_have_id(NoteSigner::id(&signer))?;
        Ok(signer)
    }
}

impl fmt::Debug for Ed25519Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Ed25519Signer").field(&self.name).finish()
    }
}

/// An Ed25519 key that verifies signatures of notes.
///
/// Its text is the *vkey* of C2SP `signed-note`: `NAME+ID+BASE64`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ed25519Verifier {
    name: String,
    key: VerifyingKey,
}

impl NoteVerifier for Ed25519Verifier {
    fn name(&self) -> &str {
        &self.name
    }

    fn id(&self) -> u32 {
        key_id(&self.name, &self.key)
    }

    /// Refuses also what some implementations accept: keys of small order and signatures that are
    /// not canonical.
    fn verifies(&self, text: &[u8], signature: &[u8]) -> bool {
        Signature::from_slice(signature)
            .is_ok_and(|signature| self.key.verify_strict(text, &signature).is_ok())
    }
}

impl fmt::Display for Ed25519Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = [&[ED25519], self.key.as_bytes().as_slice()].concat();
        let id = NoteVerifier::id(self);
        write!(f, "{}+{id:08x}+{}", self.name, base64::encode(&key))
    }
}

impl FromStr for Ed25519Verifier {
    type Err = TlogError;

    fn from_str(text: &str) -> Result<Self, TlogError> {
        let wrong = TlogError::KeyText { form: PUBLIC_FORM };
        let parts = parts(text).ok_or(wrong.clone())?;
        check_key_name(parts.name)?;
        let key = VerifyingKey::from_bytes(&parts.key).map_err(|_| wrong)?;
        let verifier = Self { name: parts.name.to_owned(), key };
        parts.must_have_id(NoteVerifier::id(&verifier))?;
        Ok(verifier)
    }
}

struct Parts<'a> {
    name: &'a str,
    id: u32,
    key: [u8; 32],
}

impl Parts<'_> {
    fn must_have_id(&self, computed: u32) -> Result<(), TlogError> {
        if self.id == computed {
            return Ok(());
        }
        Err(TlogError::OtherKeyId { stated: self.id, computed })
    }
}

/// `NAME+ID+BASE64`, with 8 lower-case hex digits of the id.
fn parts(text: &str) -> Option<Parts<'_>> {
    // Base 64 has plus signs of its own.
    let (name, rest) = text.split_once('+')?;
    let (id, key) = rest.split_once('+')?;
    let hex = |digit: u8| matches!(digit, b'0'..=b'9' | b'a'..=b'f');
    if id.len() != 8 || !id.bytes().all(hex) {
        return None;
    }
    let id = u32::from_str_radix(id, 16).ok()?;
    let key = base64::decode(key)?;
    let key = key.strip_prefix(&[ED25519])?.try_into().ok()?;
    Some(Parts { name, id, key })
}

/// The first four bytes of SHA-256(name || newline || type || public key).
fn key_id(name: &str, key: &VerifyingKey) -> u32 {
    let hash = Sha256::new()
        .chain_update(name)
        .chain_update([b'\n', ED25519])
        .chain_update(key.as_bytes())
        .finalize();
    let [a, b, c, d, ..] = <[u8; 32]>::from(hash);
    u32::from_be_bytes([a, b, c, d])
}
