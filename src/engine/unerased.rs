//! Whether files may have data of erased entries, and so must be wiped before they are given up.
//!
//! # Invariants
//!
//! - A thread that removes files without wiping them holds the guard of [`Unerased::guard`] from the decision until the files are
//!   gone.
//! - [`Unerased::end`] returns when no such thread is left, and none comes after it. An erasure calls it before it makes
//!   its record, so a file that has an erased entry is never given up as it is after that record exists.
//! - It ends once, and for good.

use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{self, Mutex, MutexGuard};

/// The time in which nothing has been erased.
#[derive(Debug)]
pub(crate) struct Unerased {
    ended: AtomicBool,
    /// Held by the threads that give up files as they are, and by the one that ends it.
    giving_up: Mutex<()>,
}

impl Unerased {
    /// For a store that has erased entries, if `ended` says so.
    pub(crate) fn new(ended: bool) -> Self {
        Self { ended: AtomicBool::new(ended), giving_up: Mutex::default() }
    }

    /// Whether files may have data of erased entries.
    pub(crate) fn is_over(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// Ends it: from now on files may have data of erased entries. Waits for the threads that have a guard.
    pub(crate) fn end(&self) {
        if self.is_over() {
            return;
        }
        if sync::defect("erasing begins without waiting for the threads that give up files") {
            return self.ended.store(true, Ordering::Release);
        }
        let _giving_up = self.giving_up.lock();
        self.ended.store(true, Ordering::Release);
    }

    /// A guard that keeps it from ending; `None` if it is over.
    pub(crate) fn guard(&self) -> Option<MutexGuard<'_, ()>> {
        if self.is_over() {
            return None;
        }
        let giving_up = self.giving_up.lock();
        // An erasure may have begun while this thread waited for the lock.
        let looks =
            !sync::defect("a thread that gives up files does not look again under the lock");
        (!(looks && self.is_over())).then_some(giving_up)
    }
}
