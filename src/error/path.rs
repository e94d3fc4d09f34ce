//! A failed call and its path, inside an [`io::Error`].

use std::io;
use std::path::PathBuf;

use super::Printable;

/// A failed call with its path, wrapped in an [`io::Error`] of the same kind. [`Error::io`] unwraps it,
/// so that a message names each fact once.
///
/// [`Error::io`]: super::Error::io
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}: {source}", Printable::new(path))]
pub(crate) struct PathError {
    pub(crate) action: &'static str,
    pub(crate) path: PathBuf,
    pub(crate) source: io::Error,
}
