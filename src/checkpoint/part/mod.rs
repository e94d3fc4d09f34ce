//! Part files: one column per level, written once, mapped for reading.

mod format;
#[cfg(any(test, feature = "testing"))]
pub(crate) mod hostile;
mod merge;
mod reader;
mod set;
mod writer;

use std::fmt;

use crate::fs::{FileKind, FileName};

pub(crate) use format::{PartIdentity, PartRef};
pub(crate) use merge::Merged;
pub(crate) use reader::Part;
pub(crate) use set::PartSet;
pub(crate) use writer::write_part;

/// The number of a part, never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct PartId(pub(crate) u64);

impl PartId {
    pub(crate) const fn file(self) -> FileName {
        FileName::new(FileKind::Part, self.0)
    }
}

impl fmt::Display for PartId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}
