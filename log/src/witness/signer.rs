//! The keys of a witness.

use std::fmt;

use duramen::tlog::{Cosigner, NoteSignature, SignedNote, Signer, TlogError};

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
}
