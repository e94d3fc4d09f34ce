//! The keys of a witness.

use std::fmt;

use duramen::Hash;
use duramen::merkle::Subtree;
use duramen::tlog::{Cosigner, KeyType, NoteSignature, SignedNote, Signer, TlogError};

/// A key that cosigns checkpoints, of any type. Made by [`Cosigner`], whose key may be in another process.
///
/// ```
/// use duramen::tlog::{Cosigner, Ed25519Key};
/// use duramen_log::WitnessSigner;
///
/// let key = Cosigner::new("witness.example/w1", Ed25519Key::from_secret(&[7; 32]))?;
/// let key: &dyn WitnessSigner = &key;
/// assert_eq!(key.key_name(), "witness.example/w1");
/// # Ok::<(), duramen::tlog::TlogError>(())
/// ```
pub trait WitnessSigner: Send + Sync + fmt::Debug {
    /// The name of the key.
    fn key_name(&self) -> &str;

    /// The id of the key, which its signature lines have.
    fn key_id(&self) -> u32;

    /// The public text of the key.
    fn vkey(&self) -> String;

    /// The cosignature of the checkpoint in `note` as of `time`, in seconds since 1970.
    ///
    /// # Errors
    ///
    /// [`TlogError::Signer`] if the key cannot sign now, or not such a text.
    fn cosign(&self, note: &SignedNote, time: u64) -> Result<NoteSignature, TlogError>;

    /// Whether the key cosigns subtrees. By default it does not.
    fn signs_subtrees(&self) -> bool {
        false
    }

    /// The cosignature of the root of a subtree of the log `origin`, without a time.
    ///
    /// # Errors
    ///
    /// [`TlogError::OtherKeyType`] if the key does not sign subtrees, [`TlogError::Signer`] if it cannot sign now.
    fn sign_subtree(
        &self,
        origin: &str,
        subtree: Subtree,
        root: &Hash,
    ) -> Result<NoteSignature, TlogError> {
        let _ = (origin, subtree, root);
        let expected = KeyType::ML_DSA_44_COSIGNATURE;
        Err(TlogError::OtherKeyType { expected, found: KeyType::ED25519_COSIGNATURE })
    }
}

impl<S: Signer + Send + Sync> WitnessSigner for Cosigner<S> {
    fn key_name(&self) -> &str {
        self.name()
    }

    fn key_id(&self) -> u32 {
        self.id()
    }

    fn vkey(&self) -> String {
        self.vkey()
    }

    fn cosign(&self, note: &SignedNote, time: u64) -> Result<NoteSignature, TlogError> {
        note.signature(&self.at(time))
    }

    fn signs_subtrees(&self) -> bool {
        self.key_type() == KeyType::ML_DSA_44_COSIGNATURE
    }

    fn sign_subtree(
        &self,
        origin: &str,
        subtree: Subtree,
        root: &Hash,
    ) -> Result<NoteSignature, TlogError> {
        self.cosign_subtree(origin, subtree, root)
    }
}
