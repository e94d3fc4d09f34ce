//! Flushing: when the log is written and synced, and the one thread that does it.

mod control;
mod flusher;

pub(crate) use control::Control;
#[cfg(duramen_loom)]
pub(crate) use control::Work;
pub(crate) use flusher::{Flusher, News};
