//! The one place where the engine gets its threads, locks and atomics from.
//!
//! Built with `--cfg duramen_loom` these are loom's, so that the models in `loom-tests` explore the
//! code that ships and not a copy of it.

#[cfg(not(duramen_loom))]
mod imp {
    pub(crate) use std::sync::Arc;
    pub(crate) use std::sync::atomic;

    pub(crate) use arc_swap::ArcSwap;
    pub(crate) use parking_lot::{Condvar, Mutex, MutexGuard};
}

#[cfg(duramen_loom)]
mod imp;

#[allow(unused_imports, reason = "not every build uses every primitive")]
pub(crate) use imp::*;
