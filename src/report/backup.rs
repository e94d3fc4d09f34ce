//! The report of a backup.

use std::time::Duration;

use crate::merkle::StoreHead;

/// A copy of a store that is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BackupInfo {
    /// The heads of all trees in the copy. A copy made from outside the store omits a tree if the tree
    /// has leaves in the log and its hash function is unknown to the program.
    pub head: StoreHead,
    /// Parts in the copy.
    pub parts: u64,
    /// Bytes of the parts that are hard links. These take no additional space.
    pub bytes_linked: u64,
    /// Bytes of parts and of the log that were copied.
    pub bytes_copied: u64,
    /// Bytes of the parts that an older backup in the directory had already.
    pub bytes_kept: u64,
    /// The time from the call until the copy was durable.
    pub duration: Duration,
}
