//! ML-DSA-44 keys of logs and cosigners.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use ml_dsa::signature::{Keypair, Signer as _, Verifier as _};
use ml_dsa::{EncodedVerifyingKey, MlDsa44, Signature, SigningKey, VerifyingKey};

use super::message::{self, SubtreeStatement};
use super::signer::{ML_DSA_44_PUBLIC, PublicKey, Signer};
use super::text::{self as key_text, PUBLIC_FORM, Parts, key_id};
use crate::merkle::{Hash, Subtree};
use crate::tlog::checkpoint::Checkpoint;
use crate::tlog::error::{SignerError, TlogError};
use crate::tlog::key_type::KeyType;
use crate::tlog::note::{NoteVerifier, check_key_name};

const TYPE: KeyType = KeyType::ML_DSA_44_COSIGNATURE;

/// A private ML-DSA-44 key in memory, without a name.
///
/// It signs deterministically. The secret is wiped when the key is dropped, and `Debug` does not show it.
#[derive(Clone)]
pub struct MlDsa44Key {
    key: SigningKey<MlDsa44>,
}

impl MlDsa44Key {
    /// The key of this seed, which must come from a good source of randomness.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        let mut seed = ml_dsa::Seed::from(*seed);
        let key = SigningKey::from_seed(&seed);
        zeroize::Zeroize::zeroize(seed.as_mut_slice());
        Self { key }
    }

    pub(super) fn seed(&self) -> &[u8; 32] {
        self.key.as_seed().as_ref()
    }
}

impl Signer for MlDsa44Key {
    fn public_key(&self) -> PublicKey {
        let encoded = self.key.verifying_key().encode();
        let mut public = Box::new([0; ML_DSA_44_PUBLIC]);
        public.copy_from_slice(&encoded);
        PublicKey::MlDsa44(public)
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignerError> {
        let signature = self.key.try_sign(message).map_err(SignerError::new)?;
        Ok(signature.encode().to_vec())
    }
}

impl fmt::Debug for MlDsa44Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MlDsa44Key").field(&self.public_key()).finish()
    }
}

/// An ML-DSA-44 key that verifies cosignatures of checkpoints and subtrees: signature type 0x06 of C2SP
/// `tlog-cosignature`.
///
/// A cosignature has a time and covers the first three lines of a checkpoint, not its extension lines; see
/// [`NoteVerifier::covers_extensions`]. Its text is `NAME+ID+BASE64`.
#[derive(Clone)]
pub struct MlDsa44Verifier {
    name: String,
    public: Box<[u8; ML_DSA_44_PUBLIC]>,
    // Some 20 kB, made from the public bytes.
    key: Arc<VerifyingKey<MlDsa44>>,
}

impl MlDsa44Verifier {
    /// The public key itself.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        PublicKey::MlDsa44(self.public.clone())
    }

    /// Whether `signature` is this key's of the root of a subtree of the log `origin`.
    ///
    /// The time of a subtree that does not begin at leaf 0 must be 0.
    #[must_use]
    pub fn verifies_subtree(
        &self,
        origin: &str,
        subtree: Subtree,
        root: &Hash,
        signature: &[u8],
    ) -> bool {
        message::split(signature).is_some_and(|(timestamp, signature)| {
            let cosigner = &self.name;
            self.is_signed(
                &SubtreeStatement { cosigner, timestamp, origin, subtree, root },
                signature,
            )
        })
    }

    fn is_signed(&self, statement: &SubtreeStatement<'_>, signature: &[u8]) -> bool {
        let Some(message) = statement.message() else { return false };
        Signature::try_from(signature)
            .is_ok_and(|signature| self.key.verify(&message, &signature).is_ok())
    }

    pub(super) fn read(parts: Parts) -> Result<Self, TlogError> {
        parts.must_be(TYPE)?;
        check_key_name(&parts.name)?;
        let wrong = TlogError::KeyText { form: PUBLIC_FORM };
        let bytes: [u8; ML_DSA_44_PUBLIC] =
            parts.material.as_slice().try_into().map_err(|_| wrong.clone())?;
        let public = Box::new(bytes);
        let encoded = EncodedVerifyingKey::<MlDsa44>::try_from(public.as_slice());
        let key = VerifyingKey::decode(&encoded.map_err(|_| wrong)?);
        parts.must_have_id(key_id(&parts.name, TYPE, &*public))?;
        Ok(Self { name: parts.name, public, key: Arc::new(key) })
    }
}

impl NoteVerifier for MlDsa44Verifier {
    fn name(&self) -> &str {
        &self.name
    }

    fn id(&self) -> u32 {
        key_id(&self.name, TYPE, &*self.public)
    }

    fn verifies(&self, text: &[u8], signature: &[u8]) -> bool {
        let checkpoint = core::str::from_utf8(text).ok().map(str::parse::<Checkpoint>);
        let (Some(Ok(checkpoint)), Some((timestamp, signature))) =
            (checkpoint, message::split(signature))
        else {
            return false;
        };
        let statement = SubtreeStatement::of_checkpoint(&self.name, timestamp, &checkpoint);
        self.is_signed(&statement, signature)
    }

    fn timestamp(&self, signature: &[u8]) -> Option<u64> {
        message::split(signature).map(|(timestamp, _)| timestamp)
    }

    fn covers_extensions(&self) -> bool {
        false
    }
}

impl PartialEq for MlDsa44Verifier {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.public == other.public
    }
}

impl Eq for MlDsa44Verifier {}

impl fmt::Debug for MlDsa44Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = self.public_key();
        f.debug_struct("MlDsa44Verifier").field("name", &self.name).field("key", &key).finish()
    }
}

impl fmt::Display for MlDsa44Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        key_text::write_public(f, &self.name, TYPE, &*self.public)
    }
}

impl FromStr for MlDsa44Verifier {
    type Err = TlogError;

    fn from_str(text: &str) -> Result<Self, TlogError> {
        Self::read(Parts::public(text)?)
    }
}
