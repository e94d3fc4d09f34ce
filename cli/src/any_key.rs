//! Private keys of all types in files: of logs and of cosigners.

use std::path::Path;
use std::sync::Arc;

use duramen::tlog::{
    AnyVerifier, Cosigner, Ed25519Key, Ed25519Signer, KeyType, MlDsa44Key, TlogError,
};
use duramen_log::{LogSigner, TimedSigner, WitnessSigner};

use crate::args::KeyKind;
use crate::error::Error;
use crate::key;

/// A private key of a type that the program knows.
pub(crate) enum AnyKey {
    Log(Ed25519Signer),
    Cosigner(Cosigner<Ed25519Key>),
    MlDsa44(Cosigner<MlDsa44Key>),
}

impl AnyKey {
    /// The key `name` with this secret.
    pub(crate) fn new(kind: KeyKind, name: &str, secret: &[u8; 32]) -> Result<Self, TlogError> {
        Ok(match kind {
            KeyKind::Log => Self::Log(Ed25519Signer::from_secret(name, secret)?),
            KeyKind::Cosigner => {
                Self::Cosigner(Cosigner::new(name, Ed25519Key::from_secret(secret))?)
            }
            KeyKind::MlDsa44 => Self::MlDsa44(Cosigner::new(name, MlDsa44Key::from_seed(secret))?),
        })
    }

    /// Reads the key in `file`.
    pub(crate) fn read(file: &Path) -> Result<Self, Error> {
        key::read_text(file, |text| {
            let log = text.parse().map(Self::Log);
            match log {
                Err(TlogError::OtherKeyType { found: KeyType::ED25519_COSIGNATURE, .. }) => {
                    text.parse().map(Self::Cosigner)
                }
                Err(TlogError::OtherKeyType { found: KeyType::ML_DSA_44_COSIGNATURE, .. }) => {
                    text.parse().map(Self::MlDsa44)
                }
                read => read,
            }
        })
    }

    /// The public text.
    pub(crate) fn vkey(&self) -> String {
        match self {
            Self::Log(key) => key.verifier().to_string(),
            Self::Cosigner(key) => key.vkey(),
            Self::MlDsa44(key) => key.vkey(),
        }
    }

    /// The secret text, which is wiped when it is dropped.
    pub(crate) fn secret_text(&self) -> impl std::ops::Deref<Target = String> {
        match self {
            Self::Log(key) => key.secret_text(),
            Self::Cosigner(key) => key.secret_text(),
            Self::MlDsa44(key) => key.secret_text(),
        }
    }
}

/// A key with which a log cosigns its own checkpoints.
pub(crate) struct OwnCosigner {
    pub(crate) signer: LogSigner,
    pub(crate) public: AnyVerifier,
}

/// Reads a key with which a log cosigns its own checkpoints.
pub(crate) fn of_own_log(file: &Path) -> Result<OwnCosigner, Error> {
    let key = AnyKey::read(file)?;
    let cannot = |source: TlogError| Error::Make { what: "a public key", source: source.into() };
    let public = key.vkey().parse().map_err(cannot)?;
    match key {
        AnyKey::Cosigner(key) => Ok(OwnCosigner { signer: Arc::new(TimedSigner::new(key)), public }),
        AnyKey::MlDsa44(key) => Ok(OwnCosigner { signer: Arc::new(TimedSigner::new(key)), public }),
        AnyKey::Log(_) => Err(Error::Usage(
            "the key signs the checkpoints of a log, and is for --key; one for --cosigner-key is made by keygen --type ml-dsa-44 or cosigner"
                .to_owned(),
        )),
    }
}

/// Reads the key of a witness.
pub(crate) fn cosigner(file: &Path) -> Result<Arc<dyn WitnessSigner>, Error> {
    match AnyKey::read(file)? {
        AnyKey::Cosigner(key) => Ok(Arc::new(key)),
        AnyKey::MlDsa44(key) => Ok(Arc::new(key)),
        AnyKey::Log(_) => Err(Error::Usage(
            "the key signs the checkpoints of a log; that of a witness is made by keygen --type cosigner or ml-dsa-44"
                .to_owned(),
        )),
    }
}
