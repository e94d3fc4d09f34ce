//! What lies in a store's directory: its files, the manifest that says what is live, and what does not belong there.

pub(crate) mod files;
pub(crate) mod foreign;
pub(crate) mod manifest;
pub(crate) mod newest;

pub(crate) use newest::{lock, newest_manifest};
