//! Looking at a store's files without opening it or changing anything: [`survey`] classifies every file,
//! [`dump`] prints what one holds. For operators and post-mortems; tolerant of damage.

mod dump;
mod file;
mod survey;

pub use dump::dump;
pub use survey::{FileReport, FileState, Survey, survey};

pub use crate::characters::is_printable;
pub use crate::error::Printable;
pub use crate::words::{Count, Span, count, span};
