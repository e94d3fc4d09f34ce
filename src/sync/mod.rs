//! The one place where the engine gets its threads, locks, atomics and clock from.
//!
//! Built with `--cfg duramen_loom` these are loom's, so that the models in `loom-tests` explore the
//! code that ships and not a copy of it. Locks do not poison: a thread that panics while it holds
//! one is a defect that the store's own poison reports.

#[cfg(duramen_loom)]
mod modelled;
pub(crate) mod pool;
pub(crate) mod process;
#[cfg(duramen_loom)]
use modelled as imp;
#[cfg(duramen_loom)]
pub(crate) use modelled::knobs;

#[cfg(not(duramen_loom))]
mod imp {
    use std::io;
    use std::sync::PoisonError;
    use std::time::Duration;

    pub(crate) use std::sync::atomic;
    pub(crate) use std::sync::{MutexGuard, OnceLock};
    pub(crate) use std::thread::{JoinHandle, ThreadId};
    pub(crate) use std::time::Instant;

    pub(crate) use arc_swap::ArcSwap;

    /// Mutual exclusion.
    #[derive(Debug, Default)]
    pub(crate) struct Mutex<T>(std::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(std::sync::Mutex::new(value))
        }

        #[inline]
        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner)
        }

        /// The value, for the only one who has it.
        pub(crate) fn get_mut(&mut self) -> &mut T {
            self.0.get_mut().unwrap_or_else(PoisonError::into_inner)
        }

        pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
            match self.0.try_lock() {
                Ok(guard) => Some(guard),
                Err(std::sync::TryLockError::Poisoned(poison)) => Some(poison.into_inner()),
                Err(std::sync::TryLockError::WouldBlock) => None,
            }
        }
    }

    /// Waiting for a change of what a [`Mutex`] guards. `notify_all` is one system call, however
    /// many threads wait.
    #[derive(Debug, Default)]
    pub(crate) struct Condvar(std::sync::Condvar);

    impl Condvar {
        pub(crate) fn new() -> Self {
            Self::default()
        }

        pub(crate) fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
            self.0.wait(guard).unwrap_or_else(PoisonError::into_inner)
        }

        /// As [`wait`](Self::wait), for at most `timeout`.
        pub(crate) fn wait_for<'a, T>(
            &self,
            guard: MutexGuard<'a, T>,
            timeout: Duration,
        ) -> MutexGuard<'a, T> {
            self.0.wait_timeout(guard, timeout).unwrap_or_else(PoisonError::into_inner).0
        }

        pub(crate) fn notify_one(&self) {
            self.0.notify_one();
        }

        pub(crate) fn notify_all(&self) {
            self.0.notify_all();
        }
    }

    /// The thread that calls.
    pub(crate) fn this_thread() -> ThreadId {
        std::thread::current().id()
    }

    #[cfg(test)]
    thread_local! {
        /// How many threads that this one starts cannot be started.
        pub(crate) static FAILING_SPAWNS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
        /// Whether the threads that this one starts can start none.
        pub(crate) static CHILDLESS_SPAWNS: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
    }

    /// Starts a thread.
    pub(crate) fn spawn(
        name: &str,
        work: impl FnOnce() + Send + 'static,
    ) -> io::Result<JoinHandle<()>> {
        #[cfg(test)]
        if let Some(left) = FAILING_SPAWNS.get().checked_sub(1) {
            FAILING_SPAWNS.set(left);
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        #[cfg(test)]
        let work = {
            let childless = CHILDLESS_SPAWNS.get();
            move || {
                FAILING_SPAWNS.set(if childless { usize::MAX } else { 0 });
                work();
            }
        };
        std::thread::Builder::new().name(name.to_owned()).spawn(work)
    }

    /// Calls `work`, which may be the caller's code, and returns whether it returned: a panic in it ends
    /// here.
    pub(crate) fn returns(work: impl FnOnce()) -> bool {
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).is_ok()
    }

    /// Whether the model runs with this defect built in. Never, but in the models.
    pub(crate) const fn defect(_: &str) -> bool {
        false
    }
}

pub(crate) use imp::{
    ArcSwap, Condvar, Instant, JoinHandle, Mutex, MutexGuard, OnceLock, ThreadId, atomic, defect,
    returns, spawn, this_thread,
};
#[cfg(all(test, not(duramen_loom)))]
pub(crate) use imp::{CHILDLESS_SPAWNS, FAILING_SPAWNS};
