//! Finds one entry of a part in mapped memory.
//!
//! # Invariants
//!
//! - An entry is found here only if the blocks with its record and with its stride are marked as intact, its bundle is not
//!   compressed, and every number fits the area of entries. In every other case the caller reads the bundle, and finds
//!   out what is wrong.
//! - No more of a record is read than is needed. To find an entry is to wait for memory: for its record, which says
//!   where its stride is, and then for the stride.

use super::bundles;
use super::entries::locate_in;
use super::format::{EntryArea, PART_BLOCK, RECORD_LEN};
use super::reader::Part;
use crate::column::EntryBytes;
use crate::entry::{BUNDLE, Framing, STRIDE};
use crate::merkle::prefetch;

impl Part {
    /// Entry `index` as it lies in the mapped file. `None` only means that the caller must read its bundle.
    #[inline]
    pub(super) fn entry_in_place(
        &self,
        area: &EntryArea,
        framing: Framing,
        index: u64,
    ) -> Option<EntryBytes> {
        let region = self.region()?;
        let (from, to) = (self.identity().from, self.identity().to);
        let record_at =
            area.directory * PART_BLOCK + self.bundle_in_part(index) * RECORD_LEN as u64;
        let record = self.intact_bytes(record_at, RECORD_LEN as u64)?;
        // Where the entry is if all have one length. Its memory then comes while the record does.
        let guess = (index - from).wrapping_mul(area.bytes / (to - from).max(1));
        if let Some(line) = self.borrow_bytes((area.block * PART_BLOCK).wrapping_add(guess), 32) {
            prefetch(line.as_chunks().0);
        }
        let in_bundle = usize::try_from(index - (index / BUNDLE * BUNDLE).max(from)).ok()?;
        let (number, skip) = (in_bundle / STRIDE, in_bundle % STRIDE);
        let stride = bundles::stride(record.first_chunk()?, area, number)?;
        let start = area.block * PART_BLOCK + stride.start;
        let bytes = self.intact_bytes(start, stride.end - stride.start)?;
        touch(bytes, skip);
        let (at, len) = locate_in(bytes, framing, skip)?;
        Some(EntryBytes::mapped(region, usize::try_from(start).ok()? + at, len))
    }

    /// Bytes `[at, at + len)` in mapped memory, if all their blocks are marked as intact.
    #[inline]
    fn intact_bytes(&self, at: u64, len: u64) -> Option<&[u8]> {
        self.borrow_bytes(at, len).filter(|_| self.are_checked(at, len))
    }
}

/// Reads a byte where each of the first `skip + 1` entries of a stride is likely to begin: the processor then waits for
/// all of them at once, and not for one after the other when the lengths are read.
#[inline]
fn touch(stride: &[u8], skip: usize) {
    let step = stride.len() / STRIDE;
    let touched = (0..=skip).filter_map(|entry| stride.get(entry * step));
    std::hint::black_box(touched.fold(0, |all, byte| all | byte));
}
