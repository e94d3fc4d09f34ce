//! Flushing: requests, the one thread that writes and syncs the log, and what is durable.

mod control;
mod flushed;
mod flusher;
mod side;
mod source;
#[cfg(test)]
mod tests;

#[cfg(duramen_loom)]
pub(crate) use control::Control;
pub(crate) use control::Work;
pub(crate) use flushed::FlushPoint;
pub(super) use flushed::{Changed, Flushed, News};
pub(super) use flusher::Flusher;
pub(super) use side::LogSide;
pub(super) use source::{Group, LogSource};
