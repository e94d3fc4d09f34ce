//! The checkpoint that stands.

use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use duramen::tlog::{Checkpoint, SignedNote};
use duramen::{Snapshot, TreeHead};

/// A checkpoint that was verified, anchored and signed.
#[derive(Debug)]
pub struct Published {
    pub(crate) head: TreeHead,
    pub(crate) checkpoint: Checkpoint,
    pub(crate) signed: SignedNote,
    pub(crate) note: Bytes,
    pub(crate) snapshot: Snapshot,
    pub(crate) at: Instant,
    pub(crate) time: SystemTime,
}

impl Published {
    /// Size and root.
    #[must_use]
    pub fn head(&self) -> TreeHead {
        self.head
    }

    /// The signed checkpoint, as text.
    #[must_use]
    pub fn note(&self) -> &Bytes {
        &self.note
    }

    /// The signed checkpoint.
    #[must_use]
    pub fn signed(&self) -> &SignedNote {
        &self.signed
    }

    /// The tree, at least as large as the checkpoint. Make proofs for the size of [`head`](Self::head).
    #[must_use]
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// The checkpoint without signatures.
    #[must_use]
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// How long ago the log signed it.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.at.elapsed()
    }

    /// When the log signed it, by the clock of the system.
    #[must_use]
    pub fn time(&self) -> SystemTime {
        self.time
    }
}
