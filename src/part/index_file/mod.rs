//! The index of a part, in a file of its own beside the part: it finds leaves by their hash.
//!
//! # Invariants
//!
//! - The leaves of the part are the truth, and the index is a hint. It is never synced, and nothing needs it: without
//!   it, or when a block of it is damaged, the leaves are searched one by one. So it can cost time and no answer.
//! - A block is compared with its checksum before it is believed. A hit is compared with the leaf.
//! - The bytes follow from the leaves and from the key in the header. So a scrub builds the index again and compares.

mod format;
mod read;
mod verify;
mod write;

pub(super) use format::IndexIdentity;
pub(super) use read::IndexFile;
pub(crate) use verify::{IndexVerdict, verify_index};
pub(crate) use write::INDEX_STEP;
pub(super) use write::write_index;

use super::format::{PartIdentity, PartRef};
#[cfg(any(test, feature = "testing"))]
use crate::checksum::block_checksum;
use crate::error::Result;
use crate::fs::FileSystem;
#[cfg(any(test, feature = "testing"))]
use crate::index::BLOCK;
use crate::random;

/// Gives the index of a part of so many leaves the checksums that fit its blocks.
#[cfg(any(test, feature = "testing"))]
pub(crate) fn fix_index(bytes: &mut [u8], leaves: u64) {
    let Some(layout) = format::FileLayout::new(leaves) else { return };
    let table = usize::try_from(layout.table).unwrap_or(usize::MAX);
    let Some((blocks, sums)) = bytes.as_chunks_mut::<BLOCK>().0.split_at_mut_checked(table) else {
        return;
    };
    let checksums: Vec<_> = blocks.iter().skip(1).map(|block| block_checksum(block)).collect();
    for (block, sums) in sums.iter_mut().zip(format::table_of(&checksums)) {
        *block = sums;
    }
}

impl IndexIdentity {
    /// A new index of the part `identity`, which `reference` names, with a new key.
    pub(crate) fn fresh(
        fs: &dyn FileSystem,
        identity: &PartIdentity,
        reference: &PartRef,
    ) -> Result<Self> {
        Ok(Self { key: random::bytes(fs)?, ..Self::of(identity, reference) })
    }

    /// The index of a part, with a key of zeros.
    pub(super) fn of(identity: &PartIdentity, reference: &PartRef) -> Self {
        Self {
            store: identity.store,
            tree: identity.tree,
            part: reference.number,
            from: reference.from,
            to: reference.file_end(),
            checksum: reference.checksum,
            key: [0; 16],
        }
    }
}
