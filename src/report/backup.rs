//! What a backup reports.

use std::time::Duration;

use crate::merkle::StoreHead;

/// A copy of a store that is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BackupInfo {
    /// The heads of all trees that the copy holds. A copy that is made from outside does not list trees that
    /// have leaves in the log and a hash function that is not known.
    pub head: StoreHead,
    /// Parts that the copy has.
    pub parts: u64,
    /// Bytes of those that are hard links: they take no room of their own.
    pub bytes_linked: u64,
    /// Bytes of parts and of the log that were copied.
    pub bytes_copied: u64,
    /// From the call to the moment the copy was durable.
    pub duration: Duration,
}
