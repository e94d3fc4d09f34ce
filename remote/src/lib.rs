//! Ships a [`duramen`] store to object storage.
mod bucket;
mod error;
mod mutant;
mod name;
mod objects;
mod protocol;
#[cfg(test)]
mod sim;

pub use error::{Error, Result};
