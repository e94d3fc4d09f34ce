//! Private keys, wherever they are.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;

use crate::tlog::error::SignerError;
use crate::tlog::key_type::KeyType;

/// How many bytes a public key of ML-DSA-44 has.
pub const ML_DSA_44_PUBLIC: usize = 1312;

/// A public key, without a name and without a use.
///
/// Two keys of notes are of the same holder if these are equal, whatever their names and types are.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum PublicKey {
    /// Ed25519, as RFC 8032 encodes it.
    Ed25519([u8; 32]),
    /// ML-DSA-44, as FIPS 204 encodes it.
    MlDsa44(Box<[u8; ML_DSA_44_PUBLIC]>),
}

impl PublicKey {
    /// The bytes of the key.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Ed25519(key) => key,
            Self::MlDsa44(key) => &**key,
        }
    }

    /// The type of the cosignatures that the key makes.
    #[must_use]
    pub const fn cosignature_type(&self) -> KeyType {
        match self {
            Self::Ed25519(_) => KeyType::ED25519_COSIGNATURE,
            Self::MlDsa44(_) => KeyType::ML_DSA_44_COSIGNATURE,
        }
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Ed25519(_) => "Ed25519",
            Self::MlDsa44(_) => "MlDsa44",
        };
        // A few bytes tell keys apart.
        let [a, b, c, d, ..] = self.as_bytes() else { return f.write_str(name) };
        write!(f, "{name}({a:02x}{b:02x}{c:02x}{d:02x}..)")
    }
}

/// A private key that signs bytes: in memory, in a security module, or behind an agent.
///
/// It knows nothing of notes. [`Ed25519Signer`](super::Ed25519Signer) makes it sign notes as a log, and
/// [`Cosigner`](super::Cosigner) checkpoints as a witness. Both build the message; the key signs exactly
/// these bytes: plain Ed25519 of RFC 8032, or ML-DSA-44 of FIPS 204 with an empty context.
///
/// ```
/// use duramen::tlog::{Cosigner, Ed25519Key, PublicKey, Signer, SignerError};
///
/// /// Stands for a connection to a security module.
/// struct Module(Ed25519Key);
///
/// impl Signer for Module {
///     fn public_key(&self) -> PublicKey {
///         self.0.public_key()
///     }
///
///     fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignerError> {
///         if message.len() > 4096 {
///             return Err(SignerError::new("the module takes messages of up to 4096 bytes"));
///         }
///         self.0.sign(message)
///     }
/// }
///
/// let witness = Cosigner::new("witness.example/w1", Module(Ed25519Key::from_secret(&[7; 32])))?;
/// assert!(witness.vkey().starts_with("witness.example/w1+"));
/// # Ok::<(), duramen::tlog::TlogError>(())
/// ```
pub trait Signer {
    /// The public half. It is always the same.
    fn public_key(&self) -> PublicKey;

    /// The signature of `message`: 64 bytes for Ed25519, 2,420 for ML-DSA-44.
    ///
    /// # Errors
    ///
    /// [`SignerError`] if the key cannot be used now.
    fn sign(&self, message: &[u8]) -> Result<alloc::vec::Vec<u8>, SignerError>;
}

macro_rules! through_pointer {
    ($($pointer:ty),*) => {$(
        impl<S: Signer + ?Sized> Signer for $pointer {
            fn public_key(&self) -> PublicKey {
                (**self).public_key()
            }

            fn sign(&self, message: &[u8]) -> Result<alloc::vec::Vec<u8>, SignerError> {
                (**self).sign(message)
            }
        }
    )*};
}

through_pointer!(&S, Box<S>, Arc<S>);
