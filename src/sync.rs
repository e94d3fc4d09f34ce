//! The one place where the engine gets its threads, locks and atomics from.
//!
//! Built with `--cfg duramen_loom` these are loom's, so that the models in `loom-tests` explore the
//! code that ships and not a copy of it. Locks do not poison: a thread that panics while it holds
//! one is a defect that the store's own poison reports.

#[cfg(not(duramen_loom))]
mod imp {
    pub(crate) use std::sync::MutexGuard;
    pub(crate) use std::sync::atomic;
    pub(super) use std::sync::{Condvar, Mutex};

    pub(crate) use arc_swap::ArcSwap;
}

#[cfg(duramen_loom)]
mod imp {
    use std::sync::Arc;

    pub(crate) use loom::sync::MutexGuard;
    pub(crate) use loom::sync::atomic;
    pub(super) use loom::sync::{Condvar, Mutex};

    /// `arc_swap::ArcSwap` as far as it is used here. loom cannot look into the real one, which is
    /// taken on trust: a load sees a whole `Arc`, and one that was stored before it.
    #[derive(Debug)]
    pub(crate) struct ArcSwap<T>(Mutex<Arc<T>>);

    impl<T> ArcSwap<T> {
        pub(crate) fn new(value: Arc<T>) -> Self {
            Self(Mutex::new(value))
        }

        pub(crate) fn load_full(&self) -> Arc<T> {
            Arc::clone(&super::unpoisoned(self.0.lock()))
        }

        pub(crate) fn store(&self, value: Arc<T>) {
            *super::unpoisoned(self.0.lock()) = value;
        }
    }
}

use std::sync::PoisonError;
use std::time::Duration;

pub(crate) use imp::{ArcSwap, MutexGuard, atomic};

fn unpoisoned<T>(result: Result<T, PoisonError<T>>) -> T {
    result.unwrap_or_else(PoisonError::into_inner)
}

/// Mutual exclusion.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(imp::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(imp::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        unpoisoned(self.0.lock())
    }

    pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        match self.0.try_lock() {
            Ok(guard) => Some(guard),
            Err(std::sync::TryLockError::Poisoned(poison)) => Some(poison.into_inner()),
            Err(std::sync::TryLockError::WouldBlock) => None,
        }
    }
}

/// Waiting for a change of what a [`Mutex`] guards. `notify_all` is one system call, however many
/// threads wait.
#[derive(Debug, Default)]
pub(crate) struct Condvar(imp::Condvar);

impl Condvar {
    pub(crate) fn new() -> Self {
        Self(imp::Condvar::new())
    }

    pub(crate) fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        unpoisoned(self.0.wait(guard))
    }

    /// As [`wait`](Self::wait), for at most `timeout`.
    pub(crate) fn wait_for<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        timeout: Duration,
    ) -> MutexGuard<'a, T> {
        unpoisoned(self.0.wait_timeout(guard, timeout)).0
    }

    pub(crate) fn notify_one(&self) {
        self.0.notify_one();
    }

    pub(crate) fn notify_all(&self) {
        self.0.notify_all();
    }
}
