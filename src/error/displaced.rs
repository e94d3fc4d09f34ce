//! The error for a directory that is not the one that was opened.

use std::fmt;
use std::io;
use std::path::PathBuf;

use super::printable::Printable;

/// A path does not lead to the same file or directory any more as when the store was opened or last
/// wrote there. The call that failed with this error changed nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} {how} while the store was open", Printable::new(path))]
#[non_exhaustive]
pub struct Displaced {
    /// The path.
    pub path: PathBuf,
    /// What happened to the path.
    pub how: Displacement,
}

/// What happened to a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Displacement {
    /// The path does not exist any more.
    Removed,
    /// The path leads to something else.
    Replaced,
    /// The path leads to something that another process put there.
    Planted,
}

impl fmt::Display for Displacement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Removed => "was removed or renamed",
            Self::Replaced => "was replaced",
            Self::Planted => "was put there by another process",
        })
    }
}

impl Displaced {
    pub(crate) fn error(path: impl Into<PathBuf>, how: Displacement) -> io::Error {
        io::Error::other(Self { path: path.into(), how })
    }

    /// The `Displaced` inside `error`, even if it is wrapped in another error.
    pub(crate) fn find(error: &io::Error) -> Option<&Self> {
        let mut cause: &(dyn std::error::Error + 'static) = error.get_ref()?;
        loop {
            if let Some(displaced) = cause.downcast_ref() {
                return Some(displaced);
            }
            cause = match cause.downcast_ref::<io::Error>() {
                Some(error) => error.get_ref()?,
                None => cause.source()?,
            };
        }
    }
}
