//! What the protocol needs of an object store: four calls.
//!
//! # Contract
//!
//! - `create` makes an object that does not exist, whole or not at all. Of several that race for one name one
//!   succeeds. An answer other than success says nothing: the object may be there, from this call or another, or may
//!   yet arrive.
//! - `get` returns an object that was created before the call began and not deleted. It may cut bytes off; the
//!   protocol notices. Of an object that is longer than the caller expects it reads nothing.
//! - `list` may be late in both directions. Nothing but the removal of garbage depends on it.
//! - `delete` of an object that does not exist succeeds.

use std::future::Future;

use bytes::Bytes;

#[cfg(duramen_mutants)]
use crate::mutant::Mutant;
use crate::name::{Folder, Name};

/// Why a call failed.
#[derive(Clone, Debug)]
pub(crate) struct Failed {
    /// Whether the same call fails however often it is made.
    pub(crate) for_good: bool,
    pub(crate) reason: String,
}

/// What a name has.
#[derive(Clone, Debug)]
pub(crate) enum Got {
    Bytes(Bytes),
    /// More bytes than the caller expects: this many.
    TooLong(u64),
}

/// An object store with the prefix of one store.
pub(crate) trait Bucket: Send + Sync {
    /// The object, or `None` if there is none. Its bytes are read only if they are at most `most`.
    fn get(
        &self,
        name: &Name,
        most: u64,
    ) -> impl Future<Output = Result<Option<Got>, Failed>> + Send;

    /// Creates an object. `Ok` means that this call created it.
    fn create(&self, name: &Name, bytes: Bytes) -> impl Future<Output = Result<(), Failed>> + Send;

    /// The names in a folder.
    fn list(&self, folder: Folder) -> impl Future<Output = Result<Vec<Name>, Failed>> + Send;

    /// Deletes an object.
    fn delete(&self, name: &Name) -> impl Future<Output = Result<(), Failed>> + Send;

    /// Waits before another try, after so many `tries`. Returns false if the caller has to give up.
    fn pause(&self, tries: u32) -> impl Future<Output = bool> + Send;

    /// Bytes that no other writer has.
    fn nonce(&self) -> [u8; 16];

    /// The mistake that the protocol makes here.
    #[cfg(duramen_mutants)]
    fn mutant(&self) -> Option<Mutant> {
        None
    }
}
