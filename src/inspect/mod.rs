//! Inspects a store's files without opening the store or changing anything. [`survey`] classifies every
//! file, and [`dump`] prints the contents of one file. For operators and post-mortems. Tolerates damage.

mod dump;
mod file;
mod survey;

pub use dump::dump;
pub use survey::{FileReport, FileState, Survey, survey};

pub use crate::characters::is_printable;
pub use crate::error::Printable;
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
