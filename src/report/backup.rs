//! What a backup reports.

use std::time::Duration;

use crate::merkle::TreeHead;

/// A copy of a store that is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BackupInfo {
    /// Size and root of the tree that the copy holds.
    pub head: TreeHead,
    /// Parts that the copy has.
    pub parts: u64,
    /// Bytes of those that are hard links: they take no room of their own.
    pub bytes_linked: u64,
    /// Bytes of parts and of the log that were copied.
    pub bytes_copied: u64,
    /// From the call to the moment the copy was durable.
    pub duration: Duration,
}
