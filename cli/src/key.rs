//! Private keys in files, and checkpoints signed with them.
//!
//! A key file holds one line, `PRIVATE+KEY+NAME+ID+BASE64`.

use std::path::Path;

use duramen::TreeHead;
use duramen::tlog::{Checkpoint, Ed25519Signer, NoteSigner, SignedNote};

use crate::error::Error;
use crate::input;

/// Far longer than any key's text.
const MAX_KEY: u64 = 4096;

/// Reads the key in `file`.
pub(crate) fn read(file: &Path) -> Result<Ed25519Signer, Error> {
    let (name, bytes) = input::read_all(file, MAX_KEY)?;
    let unreadable = |source| Error::Unreadable { name, what: "a private key", source };
    match std::str::from_utf8(&bytes) {
        Ok(text) => text
            .trim_end()
            .parse()
            .map_err(|error: duramen::tlog::TlogError| unreadable(error.into())),
        Err(error) => Err(unreadable(error.into())),
    }
}

/// The checkpoint of `head`. Without an origin it has the name of the key.
pub(crate) fn checkpoint(
    head: TreeHead,
    origin: Option<&str>,
    key: Option<&Ed25519Signer>,
) -> Result<Checkpoint, Error> {
    let origin = origin.or_else(|| key.map(NoteSigner::name)).ok_or_else(|| {
        Error::Usage("a checkpoint needs the name of its log: --origin NAME or --key FILE".into())
    })?;
    Checkpoint::new(origin, head).map_err(cannot_make)
}

/// The checkpoint with the key's signature.
pub(crate) fn sign(checkpoint: &Checkpoint, key: &Ed25519Signer) -> Result<SignedNote, Error> {
    SignedNote::sign(&checkpoint.to_string(), key).map_err(cannot_make)
}

fn cannot_make(error: duramen::tlog::TlogError) -> Error {
    Error::Make { what: "a checkpoint", source: error.into() }
}
