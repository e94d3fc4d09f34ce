//! Counts the memory that one tree and its readers have.
//!
//! # Invariant
//!
//! A charge lives exactly as long as the memory that it stands for. So the account has the bytes of all this
//! memory, whichever part of the program keeps it. The number guards no memory: every access is relaxed, and the models leave it out.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes of the chunks of one tree, and of entries that were read from its parts. Clones are the same account.
#[derive(Clone, Debug, Default)]
pub(super) struct Account(Arc<AtomicU64>);

/// Bytes in an account. Dropping it takes them out.
#[derive(Debug)]
pub(super) struct Charge {
    account: Account,
    bytes: u64,
}

impl Account {
    pub(super) fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn charge(&self, bytes: usize) -> Charge {
        let bytes = bytes as u64;
        self.0.fetch_add(bytes, Ordering::Relaxed);
        Charge { account: self.clone(), bytes }
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.account.0.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
