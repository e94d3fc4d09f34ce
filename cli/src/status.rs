//! The exit status of a failed command: what a script has to know to go on.
//!
//! # Invariant
//!
//! The status follows from the first failure of a command, and from the causes behind it, never from its text.

use std::error::Error as StdError;
use std::io;
use std::sync::Arc;

use duramen_log::follow::{FollowError, StateError};
use duramen_log::{ExportError, LogError};

/// Why a command failed, as the number that it exits with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Status {
    /// A check came out negative.
    Refused = 1,
    /// The command, its input or its output is wrong, or something else failed.
    Failed = 2,
    /// There is no store, or no such tree in it.
    NoStore = 3,
    /// Another process has the store.
    Locked = 4,
    /// The disk of the store, a quota or a limit of its files' size is full.
    NoSpace = 5,
    /// The store is damaged where the command needs it.
    Damaged = 6,
    /// The system refuses access.
    Permission = 7,
    /// A newer version wrote the store.
    NewerFormat = 8,
}

impl Status {
    /// The status in one word, for programs.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::NoStore => "no-store",
            Self::Locked => "locked",
            Self::NoSpace => "no-space",
            Self::Damaged => "damaged",
            Self::Permission => "permission",
            Self::NewerFormat => "newer-format",
        }
    }

    /// The number that the program exits with.
    pub(crate) const fn number(self) -> u8 {
        self as u8
    }

    /// The status of several failures in a row: that of the first one. A check that failed is named only if nothing
    /// else did.
    pub(crate) fn of_all(mut failures: impl Iterator<Item = Self>) -> Self {
        failures.find(|status| *status != Self::Refused).unwrap_or(Self::Refused)
    }

    /// The status of an error: what the first of its causes says that says something.
    pub(crate) fn of_chain(error: &(dyn StdError + 'static)) -> Self {
        let causes = std::iter::successors(Some(error), |&error| error.source());
        causes.filter_map(Self::of_cause).next().unwrap_or(Self::Failed)
    }

    /// The status of one error, or `None` if only its cause can say.
    fn of_cause(error: &(dyn StdError + 'static)) -> Option<Self> {
        // An error that passes its cause's text on passes its cause over: it is asked itself.
        if let Some(LogError::Store(error)) = get(error) {
            return Some(Self::of_chain(error));
        }
        if let Some(ExportError::Store(error)) = get(error) {
            return Some(Self::of_chain(error));
        }
        if let Some(FollowError::State(StateError::InUse { .. })) = get(error) {
            return Some(Self::Locked);
        }
        if let Some(error) = get(error) {
            return Self::of_remote(error);
        }
        match get(error) {
            Some(error) => Self::of_store(error),
            None => get(error).and_then(Self::of_system),
        }
    }

    fn of_remote(error: &duramen_remote::Error) -> Option<Self> {
        use duramen_remote::Error;
        match error {
            Error::NoStore | Error::Nothing => Some(Self::NoStore),
            Error::OtherStore { .. }
            | Error::Superseded { .. }
            | Error::SetBack { .. }
            | Error::Fenced { .. } => Some(Self::Refused),
            Error::Damaged { .. } | Error::Missing { .. } => Some(Self::Damaged),
            Error::UnknownFormat { found, supported, .. } if found > supported => {
                Some(Self::NewerFormat)
            }
            Error::Store(error) => Self::of_store(error),
            _ => None,
        }
    }

    fn of_store(error: &duramen::Error) -> Option<Self> {
        use duramen::Error;
        match error {
            Error::NoStore { .. } | Error::NotAStore { .. } | Error::NoTree { .. } => {
                Some(Self::NoStore)
            }
            Error::Locked { .. } => Some(Self::Locked),
            Error::UnknownFormat { found, supported, .. } if found > supported => {
                Some(Self::NewerFormat)
            }
            Error::Damaged(_) => Some(Self::Damaged),
            Error::BackupOfOther { .. }
            | Error::BackupDiverged { .. }
            | Error::BackupOfItself { .. } => Some(Self::Refused),
            Error::Io { source, .. } => Self::of_system(source),
            _ => None,
        }
    }

    fn of_system(error: &io::Error) -> Option<Self> {
        use io::ErrorKind;
        match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
                Some(Self::NoSpace)
            }
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => Some(Self::Permission),
            _ => None,
        }
    }
}

/// The error as a `T`, also if its effect holds it in a box or shares it.
fn get<'a, T: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a T> {
    let boxed = || error.downcast_ref::<Box<T>>().map(AsRef::as_ref);
    let shared = || error.downcast_ref::<Arc<T>>().map(AsRef::as_ref);
    error.downcast_ref().or_else(boxed).or_else(shared)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Error, Failures, Refusal};

    #[test]
    fn the_first_failure_that_is_no_check_gives_the_status() {
        let full = || {
            let source = io::Error::from(io::ErrorKind::StorageFull);
            Error::Serve { action: "write", place: "x".to_owned(), source }
        };
        let refused = || Error::Refused { reason: Refusal::NoHead };
        let newer = format(9, 8);
        assert_eq!(newer.status(), Status::NewerFormat);
        let several = |failures| {
            let failures = Failures(failures);
            Error::Stopped { name: "f".to_owned(), records: 0, durable: 0, size: 0, failures }
        };
        assert_eq!(several(vec![refused()]).status(), Status::Refused);
        assert_eq!(several(vec![refused(), full()]).status(), Status::NoSpace);
        assert_eq!(several(vec![newer, full()]).status(), Status::NewerFormat);
    }

    #[test]
    fn a_format_that_is_older_is_not_called_newer() {
        assert_eq!(format(8, 9).status(), Status::Failed);
        assert_eq!(format(10, 9).status(), Status::NewerFormat);
    }

    fn format(found: u32, supported: u32) -> Error {
        let feature = duramen::FormatFeature::Version;
        Error::Store(duramen::Error::UnknownFormat { path: "x".into(), feature, found, supported })
    }

    #[test]
    fn a_poisoned_store_says_what_poisoned_it() {
        let io = io::Error::from(io::ErrorKind::QuotaExceeded);
        let source = duramen::Error::Io {
            action: "write",
            path: "x".into(),
            offset: None,
            source: Arc::new(io),
        };
        let poisoned = duramen::Error::Poisoned { source: Arc::new(source) };
        assert_eq!(Error::Store(poisoned.clone()).status(), Status::NoSpace);
        let log = Box::new(LogError::Store(poisoned));
        assert_eq!(Error::Log { log: "x".to_owned(), source: log }.status(), Status::NoSpace);
    }
}
