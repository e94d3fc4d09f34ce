//! Which process has a store open, as that process wrote it down.

use std::fmt;
use std::time::SystemTime;

use super::printable::Printable;
use crate::words;

/// The process that has a store open, by its own account.
///
/// A hint for people: it stands in the lock file, where anything may write, and is never what excludes a second
/// writer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LockOwner {
    /// The number of the process, in its own pid namespace.
    pub pid: u32,
    /// The name of its machine.
    pub host: String,
    /// When the process opened the store, by its clock.
    pub since: SystemTime,
}

impl LockOwner {
    /// An owner that tells what it is.
    pub(crate) const fn new(pid: u32, host: String, since: SystemTime) -> Self {
        Self { pid, host, since }
    }
}

impl fmt::Display for LockOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pid, host, since } = self;
        write!(f, "process {pid} on {} since {}", Printable::new(host), words::moment(*since))
    }
}

/// What an error says of the owner of a lock.
pub(super) fn held_by(owner: Option<&LockOwner>) -> String {
    owner.map_or_else(String::new, |owner| format!(", in {owner}"))
}
