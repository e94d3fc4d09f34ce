//! Inspects a store's files without opening the store or changing anything. [`survey`] classifies every
//! file, and [`dump`] prints the contents of one file. For operators and post-mortems. Tolerates damage.

mod dump;
mod file;
mod survey;

pub use dump::dump;
pub use survey::{FileReport, FileState, Survey, survey};

pub use crate::characters::is_printable;
pub use crate::error::Printable;
pub use crate::words::{Count, Span, count, span};
