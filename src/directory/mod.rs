//! A store's directory: its files, the manifest that lists the live ones, and foreign files.

pub(crate) mod changes;
pub(crate) mod files;
pub(crate) mod foreign;
pub(crate) mod manifest;
pub(crate) mod manifests;
pub(crate) mod newest;
pub(crate) mod status;
pub(crate) mod status_file;

pub(crate) use newest::{in_force, lock, newest_manifest, newest_number};
