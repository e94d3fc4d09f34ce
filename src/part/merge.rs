//! Several parts as the source of one merged part.

use std::ops::Range;
use std::sync::Arc;

use super::format::PartIdentity;
use super::reader::Part;
use crate::entry::{EntrySource, StoredBundle};
use crate::error::{Error, ReadError, Result};
use crate::ids::PartId;
use crate::merkle::{Hash, Level, NodeIndex, NodeSource};

/// Neighbouring parts of one tree, oldest first, to be copied into one part, without leaves that nothing reads. The merge compares every
/// block that it reads with its checksum, even blocks that were checked before. It is the last reader of
/// its inputs, and it writes new checksums.
pub(crate) struct Merged<'a> {
    pub(crate) inputs: &'a [Arc<Part>],
    /// Called before each step of the copy. An error ends the copy.
    pub(crate) go_on: &'a (dyn Fn() -> Result<()> + Sync),
}

impl Merged<'_> {
    /// The identity of the merged part. `None` if there are no inputs.
    pub(crate) fn identity(inputs: &[Arc<Part>], number: PartId) -> Option<PartIdentity> {
        let (first, last) = (inputs.first()?.identity(), inputs.last()?.reference());
        Some(PartIdentity { number, to: last.to, ..first.clone() })
    }
}

impl Merged<'_> {
    /// Calls `read` for each input that has some of the leaves `range`, with these leaves.
    fn each_input(
        &self,
        range: Range<u64>,
        mut read: impl FnMut(&Part, Range<u64>) -> Result<()>,
    ) -> Result<()> {
        (self.go_on)()?;
        let mut at = range.start;
        for part in self.inputs {
            let end = part.end(Level::LEAVES).min(range.end);
            if at < end {
                read(part, at..end)?;
                at = end;
            }
        }
        let absent = ReadError::Absent { level: Level::LEAVES, at };
        if at == range.end { Ok(()) } else { Err(absent.into()) }
    }
}

/// A bundle that one input has as a whole is copied as it is stored.
impl EntrySource for Merged<'_> {
    fn entry_bytes(&self, range: Range<u64>) -> Result<u64> {
        let mut len = 0;
        self.each_input(range, |part, range| {
            len += part.entry_bytes(range)?;
            Ok(())
        })?;
        Ok(len)
    }

    fn read_entries(
        &self,
        range: Range<u64>,
        out: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        self.each_input(range, |part, range| part.read_entries(range, out))
    }

    fn stored(&self, range: Range<u64>) -> Result<Option<StoredBundle>> {
        let mut stored = None;
        let whole = range.clone();
        self.each_input(range, |part, range| {
            if range == whole {
                stored = part.stored(range)?;
            }
            Ok(())
        })?;
        Ok(stored)
    }
}

impl NodeSource for Merged<'_> {
    type Error = Error;

    fn read_nodes(&self, level: Level, first: NodeIndex, out: &mut [Hash]) -> Result<()> {
        (self.go_on)()?;
        let mut at = first.0;
        let mut rest = out;
        for part in self.inputs {
            if rest.is_empty() {
                break;
            }
            if part.end(level) <= at {
                continue;
            }
            let read = part.read_reverified(level, at, rest)?;
            at += read as u64;
            rest = &mut rest[read..];
        }
        if rest.is_empty() { Ok(()) } else { Err(ReadError::Absent { level, at }.into()) }
    }
}
