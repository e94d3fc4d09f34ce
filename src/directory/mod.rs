//! A store's directory: its files, the manifest that lists what is live, and files that do not belong there.

pub(crate) mod files;
pub(crate) mod foreign;
pub(crate) mod manifest;
pub(crate) mod newest;

pub(crate) use newest::{lock, newest_manifest, newest_number};
