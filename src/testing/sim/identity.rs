//! Which directories and which lock file a simulated disk has, and what the handles that locked it own.

use std::collections::BTreeMap;

use super::contents::InodeId;
use crate::fs::owned::Owned;

/// Which directories and which lock file there are.
#[derive(Default)]
pub(super) struct Identity {
    /// The inner directories, in the order of [`Dir::INNER`](crate::fs::Dir::INNER).
    pub(super) inner: [u64; 3],
    /// The lock file.
    pub(super) lock: Option<u64>,
    /// By handle.
    pub(super) holders: BTreeMap<u64, Holder>,
    next: u64,
}

impl Identity {
    pub(super) fn another(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}

/// What a handle knows since it acquired the lock.
pub(super) struct Holder {
    pub(super) lock: u64,
    pub(super) owned: Owned<InodeId>,
}
