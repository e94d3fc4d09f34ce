//! Inspects a store's files without opening the store or changing anything. [`survey`] classifies every
//! file, and [`dump`] prints the contents of one file. For operators and post-mortems. Tolerates damage.

mod dump;
mod file;
mod status;
mod survey;

pub use dump::dump;
pub use status::status;
pub use survey::{FileReport, FileState, Survey, survey};

use std::path::PathBuf;

pub use crate::characters::is_printable;
use crate::config::Config;
use crate::error::LockOwner;
pub use crate::error::Printable;
pub use crate::report::{RunState, StoreStatus};
pub use crate::words::{Count, Span, Utc, count, span};

/// A moment in UTC, to the second, as RFC 3339 has it. Moments before 1970 are shown as its start.
///
/// ```
/// use std::time::{Duration, SystemTime};
///
/// use duramen::inspect::utc;
///
/// let moment = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_687_518);
/// assert_eq!(utc(moment).to_string(), "2026-11-26T10:05:18Z");
/// ```
#[must_use]
pub fn utc(moment: std::time::SystemTime) -> Utc {
    crate::words::moment(moment)
}

/// The process that has the store in the directory open, or that ended without closing it, by its own account. `None` if
/// the lock file names none. A hint: the lock is not looked at.
///
/// ```
/// use duramen::{Accumulator, Blake3, Config, inspect};
///
/// let dir = tempfile::tempdir()?;
/// let log: Accumulator<Blake3, 4> = Accumulator::open(Config::new(dir.path().join("log")))?;
/// let owner = inspect::lock_owner(dir.path().join("log"));
/// assert_eq!(owner.map(|owner| owner.pid), Some(std::process::id()));
/// log.close()?;
/// assert_eq!(inspect::lock_owner(dir.path().join("log")), None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub fn lock_owner(dir: impl Into<PathBuf>) -> Option<LockOwner> {
    Config::new(dir).bind().ok()?.lock_owner()
}
