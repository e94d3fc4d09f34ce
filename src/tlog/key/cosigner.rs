//! A key that cosigns checkpoints and subtrees.

use alloc::borrow::ToOwned;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use zeroize::Zeroizing;

use super::ed25519::{Ed25519Key, public_key, secret_bytes};
use super::message::{self, MAX_TIMESTAMP, SubtreeStatement, is_too_long};
#[cfg(feature = "mldsa")]
use super::mldsa::MlDsa44Key;
use super::signer::{PublicKey, Signer};
use super::text::{self as key_text, Parts, key_id};
use crate::merkle::{Hash, Subtree};
use crate::tlog::checkpoint::Checkpoint;
use crate::tlog::error::{SignerError, TlogError};
use crate::tlog::key_type::KeyType;
use crate::tlog::note::{NoteSignature, NoteSigner, check_key_name};

/// A key that states that it verified a checkpoint, and when: a witness, a mirror, or a log that signs its own
/// checkpoints with ML-DSA-44.
///
/// The key decides the type of the cosignature: 0x04 for Ed25519, 0x06 for ML-DSA-44 (C2SP
/// `tlog-cosignature`). It may be anywhere: see [`Signer`]. An Ed25519 key is for one cosigner only, because
/// its cosignatures do not name the cosigner.
///
/// ```
/// use duramen::tlog::{AnyVerifier, Cosigner, Ed25519Key, SignedNote};
///
/// let checkpoint = "example.com/log\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n";
/// let witness = Cosigner::new("witness.example/w1", Ed25519Key::from_secret(&[7; 32]))?;
/// let note = SignedNote::sign(checkpoint, &witness.at(1_767_225_600))?;
///
/// let known: AnyVerifier = witness.vkey().parse()?;
/// assert_eq!(note.verify_checkpoint(&[&known], "example.com/log")?.to_string(), checkpoint);
/// # Ok::<(), duramen::tlog::TlogError>(())
/// ```
#[derive(Clone)]
pub struct Cosigner<S> {
    name: String,
    public: PublicKey,
    signer: S,
}

impl<S: Signer> Cosigner<S> {
    /// The cosigner `name` with the key `signer`.
    ///
    /// # Errors
    ///
    /// [`TlogError::KeyName`] if the name is empty or has spaces, plus, control or hidden characters,
    /// [`TlogError::LongName`] if it has more than 255 bytes and the key is of ML-DSA-44,
    /// [`TlogError::KeyText`] if the public key is none.
    pub fn new(name: &str, signer: S) -> Result<Self, TlogError> {
        check_key_name(name)?;
        let public = signer.public_key();
        match &public {
            PublicKey::Ed25519(bytes) => drop(public_key(bytes)?),
            PublicKey::MlDsa44(_) if is_too_long(name) => {
                return Err(TlogError::LongName { found: name.len() });
            }
            PublicKey::MlDsa44(_) => {}
        }
        Ok(Self { name: name.to_owned(), public, signer })
    }

    /// The name of the cosigner.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The id of the key, which signature lines have.
    #[must_use]
    pub fn id(&self) -> u32 {
        key_id(&self.name, self.key_type(), self.public.as_bytes())
    }

    /// The type of its cosignatures.
    #[must_use]
    pub const fn key_type(&self) -> KeyType {
        self.public.cosignature_type()
    }

    /// The public text of the key, `NAME+ID+BASE64`, which [`AnyVerifier`](super::AnyVerifier) reads.
    #[must_use]
    pub fn vkey(&self) -> String {
        Vkey { name: &self.name, key_type: self.key_type(), public: &self.public }.to_string()
    }

    /// The signer of checkpoints as of the time `timestamp`, in seconds since 1970.
    ///
    /// It states that the checkpoint is the largest one seen of its log at that time; 0 makes no such statement
    /// with ML-DSA-44. It refuses texts that are no checkpoints, and times beyond 2^63 - 1.
    #[must_use]
    pub const fn at(&self, timestamp: u64) -> CosignerAt<'_, S> {
        CosignerAt { cosigner: self, timestamp }
    }

    /// The cosignature of the root of a subtree of the log `origin`, without a time.
    ///
    /// # Errors
    ///
    /// [`TlogError::OtherKeyType`] if the key is not of ML-DSA-44, [`TlogError::LongName`] if the origin is
    /// empty or too long, [`TlogError::Signer`] if the key cannot sign.
    pub fn cosign_subtree(
        &self,
        origin: &str,
        subtree: Subtree,
        root: &Hash,
    ) -> Result<NoteSignature, TlogError> {
        let (expected, found) = (KeyType::ML_DSA_44_COSIGNATURE, self.key_type());
        if found != expected {
            return Err(TlogError::OtherKeyType { expected, found });
        }
        let statement =
            SubtreeStatement { cosigner: &self.name, timestamp: 0, origin, subtree, root };
        let message = statement.message().ok_or(TlogError::LongName { found: origin.len() })?;
        let bytes =
            self.signer.sign(&message).map_err(|error| TlogError::signer(&self.name, error))?;
        Ok(NoteSignature::new(&self.name, self.id(), message::join(0, &bytes)))
    }
}

impl Cosigner<Ed25519Key> {
    /// The secret text, `PRIVATE+KEY+NAME+ID+BASE64`, for a file that only its owner can read. It is wiped when
    /// it is dropped.
    #[must_use]
    pub fn secret_text(&self) -> Zeroizing<String> {
        let public = self.public.as_bytes();
        key_text::secret_text(&self.name, self.key_type(), public, self.signer.secret())
    }
}

impl FromStr for Cosigner<Ed25519Key> {
    type Err = TlogError;

    /// Reads the secret text, without a newline.
    fn from_str(text: &str) -> Result<Self, TlogError> {
        let parts = Parts::secret(text)?;
        parts.must_be(KeyType::ED25519_COSIGNATURE)?;
        let cosigner = Self::new(&parts.name, Ed25519Key::from_secret(&*secret_bytes(&parts)?))?;
        parts.must_have_id(cosigner.id())?;
        Ok(cosigner)
    }
}

#[cfg(feature = "mldsa")]
impl Cosigner<MlDsa44Key> {
    /// The secret text, `PRIVATE+KEY+NAME+ID+BASE64` of the seed, for a file that only its owner can read. It is
    /// wiped when it is dropped.
    #[must_use]
    pub fn secret_text(&self) -> Zeroizing<String> {
        let public = self.public.as_bytes();
        key_text::secret_text(&self.name, self.key_type(), public, self.signer.seed())
    }
}

#[cfg(feature = "mldsa")]
impl FromStr for Cosigner<MlDsa44Key> {
    type Err = TlogError;

    /// Reads the secret text, without a newline.
    fn from_str(text: &str) -> Result<Self, TlogError> {
        let parts = Parts::secret(text)?;
        parts.must_be(KeyType::ML_DSA_44_COSIGNATURE)?;
        let cosigner = Self::new(&parts.name, MlDsa44Key::from_seed(&*secret_bytes(&parts)?))?;
        parts.must_have_id(cosigner.id())?;
        Ok(cosigner)
    }
}

impl<S> fmt::Debug for Cosigner<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Cosigner").field(&self.name).field(&self.public).finish()
    }
}

struct Vkey<'a> {
    name: &'a str,
    key_type: KeyType,
    public: &'a PublicKey,
}

impl fmt::Display for Vkey<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        key_text::write_public(f, self.name, self.key_type, self.public.as_bytes())
    }
}

/// A [`Cosigner`] at one time: what signs checkpoints. Made by [`Cosigner::at`].
#[derive(Clone, Copy, Debug)]
pub struct CosignerAt<'a, S> {
    cosigner: &'a Cosigner<S>,
    timestamp: u64,
}

impl<S: Signer> NoteSigner for CosignerAt<'_, S> {
    fn name(&self) -> &str {
        &self.cosigner.name
    }

    fn id(&self) -> u32 {
        self.cosigner.id()
    }

    fn sign(&self, text: &[u8]) -> Result<Vec<u8>, SignerError> {
        let Self { cosigner, timestamp } = self;
        if *timestamp > MAX_TIMESTAMP {
            return Err(SignerError::new("the time of a cosignature is at most 2^63 - 1"));
        }
        // A cosigner states something about a tree, so it signs nothing else.
        let checkpoint: Checkpoint = core::str::from_utf8(text)
            .map_err(SignerError::new)?
            .parse()
            .map_err(SignerError::new)?;
        let message = match cosigner.public {
            PublicKey::Ed25519(_) => message::checkpoint_v1(*timestamp, text),
            PublicKey::MlDsa44(_) => {
                SubtreeStatement::of_checkpoint(&cosigner.name, *timestamp, &checkpoint)
                    .message()
                    .ok_or_else(|| SignerError::new("the log's name has more than 255 bytes"))?
            }
        };
        Ok(message::join(*timestamp, &cosigner.signer.sign(&message)?))
    }
}
