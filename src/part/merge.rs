//! Several parts as the source of one.

use std::sync::Arc;

use super::format::PartIdentity;
use super::reader::Part;
use crate::error::{Error, ReadError, Result};
use crate::ids::PartId;
use crate::merkle::{Hash, Level, NodeIndex, NodeSource};

/// Neighbouring parts of one tree, oldest first, to be copied into one. Every block that is read is
/// compared with its checksum, whether or not that was done before: a merge is the last reader of
/// its inputs, and what it copies gets a new checksum.
pub(crate) struct Merged<'a> {
    pub(crate) inputs: &'a [Arc<Part>],
    /// Asked before each step of the copy: an error ends it.
    pub(crate) go_on: &'a (dyn Fn() -> Result<()> + Sync),
}

impl Merged<'_> {
    /// What the merged part says of itself; `None` for no parts.
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
