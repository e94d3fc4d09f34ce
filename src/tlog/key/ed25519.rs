//! Ed25519 keys, and notes that they sign.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use zeroize::Zeroizing;

use super::signer::{PublicKey, Signer};
use super::text::{self as key_text, PUBLIC_FORM, Parts, SECRET_FORM, key_id};
use crate::tlog::error::{SignerError, TlogError};
use crate::tlog::key_type::KeyType;
use crate::tlog::note::{NoteSigner, NoteVerifier, check_key_name};

/// A private Ed25519 key in memory, without a name.
///
/// The secret is wiped when the key is dropped, and `Debug` does not show it.
#[derive(Clone)]
pub struct Ed25519Key(SigningKey);

impl Ed25519Key {
    /// The key with this secret, which must come from a good source of randomness.
    #[must_use]
    pub fn from_secret(secret: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(secret))
    }

    pub(super) fn secret(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }
}

impl Signer for Ed25519Key {
    fn public_key(&self) -> PublicKey {
        PublicKey::Ed25519(self.0.verifying_key().to_bytes())
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignerError> {
        Ok(self.0.sign(message).to_bytes().to_vec())
    }
}

impl fmt::Debug for Ed25519Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Ed25519Key").field(&self.public_key()).finish()
    }
}

/// An Ed25519 key that signs notes as a log does: signature type 0x01.
///
/// The key itself may be anywhere: see [`Signer`]. Of a key in memory the text is
/// `PRIVATE+KEY+NAME+ID+BASE64`, as the Go module `golang.org/x/mod/sumdb/note` writes it.
#[derive(Clone)]
pub struct Ed25519Signer<K = Ed25519Key> {
    verifier: Ed25519Verifier,
    key: K,
}

impl<K: Signer> Ed25519Signer<K> {
    /// The key `name` that `key` signs for.
    ///
    /// # Errors
    ///
    /// [`TlogError::KeyName`] if the name is empty or has spaces, plus, control or hidden characters,
    /// [`TlogError::OtherKeyType`] if it is no Ed25519 key.
    pub fn new(name: &str, key: K) -> Result<Self, TlogError> {
        check_key_name(name)?;
        let public = key.public_key();
        let PublicKey::Ed25519(bytes) = &public else {
            let found = public.cosignature_type();
            return Err(TlogError::OtherKeyType { expected: KeyType::ED25519, found });
        };
        let verifier = Ed25519Verifier { name: name.to_owned(), key: public_key(bytes)? };
        Ok(Self { verifier, key })
    }

    /// The key that verifies its signatures.
    #[must_use]
    pub fn verifier(&self) -> Ed25519Verifier {
        self.verifier.clone()
    }

    /// The key itself, which signs receipts too.
    #[must_use]
    pub const fn key(&self) -> &K {
        &self.key
    }
}

impl Ed25519Signer {
    /// The key `name` with this secret, which must come from a good source of randomness.
    ///
    /// # Errors
    ///
    /// [`TlogError::KeyName`] if the name is empty or has spaces, plus, control or hidden characters.
    pub fn from_secret(name: &str, secret: &[u8; 32]) -> Result<Self, TlogError> {
        Self::new(name, Ed25519Key::from_secret(secret))
    }

    /// The secret text, for a file that only its owner can read. It is wiped when it is dropped.
    #[must_use]
    pub fn secret_text(&self) -> Zeroizing<String> {
        let public = self.verifier.key.as_bytes();
        key_text::secret_text(&self.verifier.name, KeyType::ED25519, public, self.key.secret())
    }
}

impl<K: Signer> NoteSigner for Ed25519Signer<K> {
    fn name(&self) -> &str {
        &self.verifier.name
    }

    fn id(&self) -> u32 {
        NoteVerifier::id(&self.verifier)
    }

    fn sign(&self, text: &[u8]) -> Result<Vec<u8>, SignerError> {
        self.key.sign(text)
    }
}

impl FromStr for Ed25519Signer {
    type Err = TlogError;

    /// Reads the secret text, without a newline.
    fn from_str(text: &str) -> Result<Self, TlogError> {
        let parts = Parts::secret(text)?;
        parts.must_be(KeyType::ED25519)?;
        let secret = secret_bytes(&parts)?;
        let signer = Self::from_secret(&parts.name, &secret)?;
        parts.must_have_id(NoteSigner::id(&signer))?;
        Ok(signer)
    }
}

impl<K> fmt::Debug for Ed25519Signer<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Ed25519Signer").field(&self.verifier.name).finish()
    }
}

/// An Ed25519 key that verifies signatures of notes: signature type 0x01.
///
/// Its text is the *vkey* of C2SP `signed-note`: `NAME+ID+BASE64`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ed25519Verifier {
    name: String,
    key: VerifyingKey,
}

impl Ed25519Verifier {
    /// The public key itself.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        PublicKey::Ed25519(self.key.to_bytes())
    }
}

impl NoteVerifier for Ed25519Verifier {
    fn name(&self) -> &str {
        &self.name
    }

    fn id(&self) -> u32 {
        key_id(&self.name, KeyType::ED25519, self.key.as_bytes())
    }

    /// Refuses also what some implementations accept: keys of small order and signatures that are
    /// not canonical.
    fn verifies(&self, text: &[u8], signature: &[u8]) -> bool {
        is_signed(&self.key, text, signature)
    }
}

impl fmt::Display for Ed25519Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        key_text::write_public(f, &self.name, KeyType::ED25519, self.key.as_bytes())
    }
}

impl FromStr for Ed25519Verifier {
    type Err = TlogError;

    fn from_str(text: &str) -> Result<Self, TlogError> {
        Self::read(Parts::public(text)?)
    }
}

impl Ed25519Verifier {
    pub(super) fn read(parts: Parts) -> Result<Self, TlogError> {
        parts.must_be(KeyType::ED25519)?;
        check_key_name(&parts.name)?;
        let key = public_bytes(&parts)?;
        parts.must_have_id(key_id(&parts.name, KeyType::ED25519, key.as_bytes()))?;
        Ok(Self { name: parts.name, key })
    }
}

/// Whether `signature` is the key's of `message`, as strictly as can be.
pub(super) fn is_signed(key: &VerifyingKey, message: &[u8], signature: &[u8]) -> bool {
    Signature::from_slice(signature)
        .is_ok_and(|signature| key.verify_strict(message, &signature).is_ok())
}

/// Whether `signature` is by the public key with these bytes, as strictly as can be.
#[cfg(feature = "cose")]
pub(in crate::tlog) fn is_signed_by(public: &[u8; 32], message: &[u8], signature: &[u8]) -> bool {
    public_key(public).is_ok_and(|key| is_signed(&key, message, signature))
}

/// The public key with these bytes.
pub(super) fn public_key(bytes: &[u8; 32]) -> Result<VerifyingKey, TlogError> {
    VerifyingKey::from_bytes(bytes).map_err(|_| TlogError::KeyText { form: PUBLIC_FORM })
}

/// The public key in a text.
pub(super) fn public_bytes(parts: &Parts) -> Result<VerifyingKey, TlogError> {
    let bytes = parts.material.as_slice().try_into();
    public_key(bytes.map_err(|_| TlogError::KeyText { form: PUBLIC_FORM })?)
}

/// The secret of 32 bytes in a text.
pub(super) fn secret_bytes(parts: &Parts) -> Result<Zeroizing<[u8; 32]>, TlogError> {
    let mut secret = Zeroizing::new([0; 32]);
    if parts.material.len() != secret.len() {
        return Err(TlogError::KeyText { form: SECRET_FORM });
    }
    secret.copy_from_slice(&parts.material);
    Ok(secret)
}
