//! Private keys in files, and checkpoints signed with them.
//!
//! A key file holds one line, `PRIVATE+KEY+NAME+ID+BASE64`.

use std::path::Path;

use duramen::tlog::{Checkpoint, Ed25519Signer, NoteSigner, SignedNote, TlogError};
use duramen::{Arity, Hasher, Rfc6962Sha256, Snapshot, TreeHead};

use crate::error::Error;
use crate::input;

/// Far longer than any key's text.
const MAX_KEY: u64 = 4096;

/// Reads the key of a log in `file`.
pub(crate) fn read(file: &Path) -> Result<Ed25519Signer, Error> {
    read_text(file, str::parse)
}

/// Reads the text of a key in `file`.
pub(crate) fn read_text<K>(
    file: &Path,
    parse: impl FnOnce(&str) -> Result<K, TlogError>,
) -> Result<K, Error> {
    let (name, bytes) = input::read_all(file, MAX_KEY)?;
    let unreadable = |source| Error::Unreadable { name, what: "a private key", source };
    match std::str::from_utf8(&bytes) {
        Ok(text) => parse(text.trim_end()).map_err(|error| unreadable(error.into())),
        Err(error) => Err(unreadable(error.into())),
    }
}

/// Refuses a tree that C2SP's formats do not have: a reader of those takes every root for one of RFC 6962.
pub(crate) fn must_be_rfc6962(what: &str, store: &Snapshot) -> Result<(), Error> {
    let (hasher, arity) = (store.hasher().id(), store.arity());
    if (hasher, arity) == (Rfc6962Sha256.id(), Arity::Two) {
        return Ok(());
    }
    Err(Error::Usage(format!(
        "{what} is of a tree of {} with arity {}, but this store has {hasher} with arity {arity}",
        Rfc6962Sha256.id(),
        Arity::Two
    )))
}

/// A head that may be signed: of `size` leaves, or of all that are known to be durable. A head of more is
/// refused. A power cut could take leaves back, and others could come in their place under a root that was
/// never signed.
pub(crate) fn durable_head(store: &Snapshot, size: Option<u64>) -> Result<TreeHead, Error> {
    let durable = store.durable_size();
    let head = store.head_at(size.map_or(durable, Into::into))?;
    if head.size > durable {
        return Err(Error::NotDurable { size: head.size.get(), durable: durable.get() });
    }
    Ok(head)
}

/// The checkpoint of `head` for the log `origin`.
pub(crate) fn checkpoint(
    store: &Snapshot,
    head: TreeHead,
    origin: &str,
) -> Result<Checkpoint, Error> {
    Checkpoint::new(origin, store.hasher().id(), store.arity(), head).map_err(cannot_make)
}

/// The checkpoint with the key's signature.
pub(crate) fn sign(checkpoint: &Checkpoint, key: &Ed25519Signer) -> Result<SignedNote, Error> {
    SignedNote::sign(&checkpoint.to_string(), key).map_err(cannot_make)
}

/// What a receipt says of the key that signed it: the first two parts of its public text.
pub(crate) fn receipt_id(key: &Ed25519Signer) -> String {
    format!("{}+{:08x}", NoteSigner::name(key), NoteSigner::id(key))
}

fn cannot_make(error: TlogError) -> Error {
    Error::Make { what: "a checkpoint", source: error.into() }
}
