//! What failed at which path, inside an error of the system's kind.

use std::io;
use std::path::PathBuf;

use super::Printable;

/// A failed call with its path, as the cause of an [`io::Error`] of the same kind. [`Error::io`] takes it
/// apart again, so that a message names each thing once.
///
/// [`Error::io`]: super::Error::io
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}: {source}", Printable::new(path))]
pub(crate) struct PathError {
    pub(crate) action: &'static str,
    pub(crate) path: PathBuf,
    pub(crate) source: io::Error,
}
