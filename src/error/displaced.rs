//! The error of a directory that is not the one that was bound any more.

use std::fmt;
use std::io;
use std::path::PathBuf;

use super::printable::Printable;

/// A name no longer leads to what it led to when the store's directory was bound, or to what the store
/// has put there since. The call that failed with it changed nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} {how} while the store was open", Printable::new(path))]
pub struct Displaced {
    /// The name.
    pub path: PathBuf,
    /// What became of it.
    pub how: Displacement,
}

/// What became of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Displacement {
    /// It leads nowhere.
    Removed,
    /// It leads to something else.
    Replaced,
    /// It leads to something that was put there by another process than the store's.
    Planted,
}

impl fmt::Display for Displacement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Removed => "was removed or renamed",
            Self::Replaced => "was replaced by another",
            Self::Planted => "was put there by another process",
        })
    }
}

impl Displaced {
    pub(crate) fn error(path: impl Into<PathBuf>, how: Displacement) -> io::Error {
        io::Error::other(Self { path: path.into(), how })
    }

    /// The `Displaced` that `error` is, also if it is wrapped to say more.
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
