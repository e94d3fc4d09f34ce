//! What all models have in common: how far loom looks, and how a run reports what it did.

#[cfg(not(duramen_loom))]
compile_error!("set RUSTFLAGS=\"--cfg duramen_loom\", or run cargo inside of loom-tests");

#[cfg(duramen_loom)]
mod model;
#[cfg(duramen_loom)]
pub use model::{Model, Signal};
