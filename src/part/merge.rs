//! Several parts as the source of one merged part.

use std::sync::Arc;

use super::format::PartIdentity;
use super::reader::Part;
use crate::error::{Error, ReadError, Result};
use crate::ids::PartId;
use crate::merkle::{Hash, Level, NodeIndex, NodeSource};

/// Neighbouring parts of one tree, oldest first, to be copied into one part. The merge compares every
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
        let (first, last) = (inputs.first()?.identity(), inputs.last()?.identity());
        Some(PartIdentity { number, to: last.to, ..first.clone() })
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
