//! A key of any type that is known here.

use core::fmt;
use core::str::FromStr;

use super::cosignature::Ed25519CosignatureVerifier;
use super::ed25519::Ed25519Verifier;
#[cfg(feature = "mldsa")]
use super::mldsa::MlDsa44Verifier;
use super::signer::PublicKey;
use super::text::Parts;
use crate::tlog::error::TlogError;
use crate::tlog::key_type::KeyType;
use crate::tlog::note::NoteVerifier;

/// A public key of a log or a cosigner, of whatever type its text says.
///
/// ```
/// use duramen::tlog::{AnyVerifier, KeyType, NoteVerifier};
///
/// let text = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
/// let key: AnyVerifier = text.parse()?;
/// assert_eq!((key.name(), key.key_type()), ("example.com/foo", KeyType::ED25519));
/// assert_eq!(key.to_string(), text);
/// # Ok::<(), duramen::tlog::TlogError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AnyVerifier {
    /// Type 0x01: signatures of notes.
    Ed25519(Ed25519Verifier),
    /// Type 0x04: cosignatures of checkpoints.
    Ed25519Cosignature(Ed25519CosignatureVerifier),
    /// Type 0x06: cosignatures of checkpoints and subtrees.
    #[cfg(feature = "mldsa")]
    MlDsa44(MlDsa44Verifier),
}

impl AnyVerifier {
    /// The type of its signatures.
    #[must_use]
    pub const fn key_type(&self) -> KeyType {
        match self {
            Self::Ed25519(_) => KeyType::ED25519,
            Self::Ed25519Cosignature(_) => KeyType::ED25519_COSIGNATURE,
            #[cfg(feature = "mldsa")]
            Self::MlDsa44(_) => KeyType::ML_DSA_44_COSIGNATURE,
        }
    }

    /// The public key itself.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        match self {
            Self::Ed25519(key) => key.public_key(),
            Self::Ed25519Cosignature(key) => key.public_key(),
            #[cfg(feature = "mldsa")]
            Self::MlDsa44(key) => key.public_key(),
        }
    }

    fn inner(&self) -> &dyn NoteVerifier {
        match self {
            Self::Ed25519(key) => key,
            Self::Ed25519Cosignature(key) => key,
            #[cfg(feature = "mldsa")]
            Self::MlDsa44(key) => key,
        }
    }
}

impl NoteVerifier for AnyVerifier {
    fn name(&self) -> &str {
        self.inner().name()
    }

    fn id(&self) -> u32 {
        self.inner().id()
    }

    fn verifies(&self, text: &[u8], signature: &[u8]) -> bool {
        self.inner().verifies(text, signature)
    }

    fn timestamp(&self, signature: &[u8]) -> Option<u64> {
        self.inner().timestamp(signature)
    }

    fn covers_extensions(&self) -> bool {
        self.inner().covers_extensions()
    }
}

impl fmt::Display for AnyVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ed25519(key) => key.fmt(f),
            Self::Ed25519Cosignature(key) => key.fmt(f),
            #[cfg(feature = "mldsa")]
            Self::MlDsa44(key) => key.fmt(f),
        }
    }
}

impl FromStr for AnyVerifier {
    type Err = TlogError;

    /// Reads `NAME+ID+BASE64`. A key of a type that is not known here is refused with
    /// [`TlogError::UnknownKeyType`]; type 0x06 is known with the feature `mldsa`.
    fn from_str(text: &str) -> Result<Self, TlogError> {
        let parts = Parts::public(text)?;
        match parts.key_type {
            KeyType::ED25519 => Ed25519Verifier::read(parts).map(Self::Ed25519),
            KeyType::ED25519_COSIGNATURE => {
                Ed25519CosignatureVerifier::read(parts).map(Self::Ed25519Cosignature)
            }
            #[cfg(feature = "mldsa")]
            KeyType::ML_DSA_44_COSIGNATURE => MlDsa44Verifier::read(parts).map(Self::MlDsa44),
            key_type => Err(TlogError::UnknownKeyType { key_type }),
        }
    }
}
