//! From records in the order of the index to blocks of records and fences. Pure.
//!
//! # Invariants
//!
//! - Records come sorted. Every block but the last is full.
//! - In memory are the records of one block and eight bytes for every block that was written.

use super::fences::{fence, scale};
use super::layout::{BLOCK, FENCES_PER_BLOCK, Layout};
use super::records::{Record, encode};

pub(super) struct RecordWriter {
    /// The records of the block that comes next.
    pending: Vec<Record>,
    /// Of all blocks up to that one.
    fences: Vec<u64>,
}

impl RecordWriter {
    pub(super) fn new(layout: &Layout) -> Self {
        Self { pending: Vec::with_capacity(layout.records_per_block()), fences: Vec::new() }
    }

    /// Takes the next record. Writes the block before it, if that is full.
    pub(super) fn push<E>(
        &mut self,
        layout: &Layout,
        record: Record,
        sink: impl FnMut(&[u8; BLOCK]) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.pending.len() >= layout.records_per_block() {
            let before = self.pending.last().map(|record| record.hash);
            let next = fence(before, record.hash);
            self.write(layout, Some(next), sink)?;
            self.fences.push(next);
        } else if self.fences.is_empty() && !layout.fences().is_empty() {
            self.fences.push(fence(None, record.hash));
        }
        self.pending.push(record);
        Ok(())
    }

    /// Writes the last block of records and the fences.
    pub(super) fn finish<E>(
        mut self,
        layout: &Layout,
        mut sink: impl FnMut(&[u8; BLOCK]) -> Result<(), E>,
    ) -> Result<(), E> {
        self.write(layout, None, &mut sink)?;
        for fences in self.fences.chunks(FENCES_PER_BLOCK) {
            let mut block = [0; BLOCK];
            let (fields, _) = block.as_chunks_mut();
            for (field, fence) in fields.iter_mut().zip(fences) {
                *field = fence.to_le_bytes();
            }
            sink(&block)?;
        }
        Ok(())
    }

    /// Writes the pending records, in front of a block with this fence.
    fn write<E>(
        &mut self,
        layout: &Layout,
        next: Option<u64>,
        mut sink: impl FnMut(&[u8; BLOCK]) -> Result<(), E>,
    ) -> Result<(), E> {
        let scale = scale(self.fences.last().copied(), next);
        sink(&encode(layout, scale, &self.pending))?;
        self.pending.clear();
        Ok(())
    }
}
