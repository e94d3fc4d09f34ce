//! Builds an index in several passes over the leaves, with bounded memory. Pure.
//!
//! Every pass reads all leaves in the order of the tree and writes the next blocks of the index: first slices of the
//! filter, then slices of the sorted records. The first pass also counts the hashes in [`BINS`] ranges, so that a later
//! one knows how far its records go.
//!
//! ```text
//! while !builder.is_done() { for run in leaves { builder.add(run) }  builder.end_pass(sink)?; }
//! ```
//!
//! # Invariants
//!
//! - The bytes follow from the key and the leaves. The memory that is given decides the number of passes only.
//! - Blocks come in the order of [`Layout`], and there are as many as it has.
//! - Every pass over records writes at least half of what its memory has room for, or all there are in its range.

use std::ops::Range;

use super::filter::FilterSlice;
use super::key::{IndexKey, KeyedHash};
use super::layout::{BLOCK, Layout};
use super::records::{LeafOffset, Record};
use super::select::{PACKED_LEN, Selection};
use super::write::RecordWriter;
use crate::merkle::Hash;

/// Ranges of hashes that are counted.
const BINS: usize = 1 << BIN_BITS;
const BIN_BITS: u32 = 12;
/// Hashes that the filter takes at a time.
const BATCH: usize = 32;
/// Less memory would only mean more passes.
const LEAST_ROOM: u64 = 1024;

/// Why an index was not built.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum BuildError<E> {
    /// The sink failed.
    Sink(E),
    /// A pass was given another number of leaves than the index has.
    Count { expected: u64, given: u64 },
    /// A pass was given other leaves than the passes before.
    Changed,
}

/// An index that is being built.
pub(crate) struct Builder {
    key: IndexKey,
    layout: Layout,
    /// Bytes that a pass may take.
    memory: usize,
    /// Leaves given in this pass.
    given: u64,
    /// How many hashes of each range are not written yet.
    bins: Vec<u64>,
    pass: Pass,
    /// Records written, and the last of them.
    written: u64,
    last: Option<Record>,
    writer: RecordWriter,
}

enum Pass {
    Filter { blocks: Range<u64>, slice: FilterSlice },
    Records(Selection),
    Done,
}

impl Builder {
    /// Starts the first pass. `None` if one index cannot have that many leaves.
    pub(crate) fn new(key: IndexKey, leaves: u64, memory: usize) -> Option<Self> {
        let layout = Layout::new(leaves)?;
        let writer = RecordWriter::new(&layout);
        let bins = if leaves > 0 { vec![0; BINS] } else { Vec::new() };
        let pass = Pass::Done;
        let mut builder =
            Self { key, layout, memory, given: 0, bins, pass, written: 0, last: None, writer };
        builder.pass = builder.filter_pass(0);
        Some(builder)
    }

    #[cfg(test)]
    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Whether all blocks are written.
    pub(crate) fn is_done(&self) -> bool {
        matches!(self.pass, Pass::Done)
    }

    /// Takes the next leaves of this pass.
    pub(crate) fn add(&mut self, leaves: &[Hash]) {
        let from = self.given;
        self.given += leaves.len() as u64;
        match &mut self.pass {
            Pass::Filter { blocks, slice } => {
                let first = blocks.start == 0;
                for leaves in leaves.chunks(BATCH) {
                    let mut hashes = [KeyedHash(0); BATCH];
                    for (hash, leaf) in hashes.iter_mut().zip(leaves) {
                        *hash = self.key.hash(leaf);
                    }
                    let hashes = &hashes[..leaves.len()];
                    slice.set(hashes);
                    if first {
                        count(&mut self.bins, hashes);
                    }
                }
            }
            Pass::Records(selection) => {
                for (leaf, offset) in leaves.iter().zip(from..) {
                    // An offset that does not fit is behind the last leaf, which ends the pass with an error.
                    if let Ok(offset) = u32::try_from(offset) {
                        let hash = self.key.hash(leaf);
                        selection.offer(Record { hash, offset: LeafOffset(offset) });
                    }
                }
            }
            Pass::Done => {}
        }
    }

    /// Writes the blocks of this pass and starts the next one. After an error the index cannot be completed.
    pub(crate) fn end_pass<E>(
        &mut self,
        mut sink: impl FnMut(&[u8; BLOCK]) -> Result<(), E>,
    ) -> Result<(), BuildError<E>> {
        let (expected, given) = (self.layout.leaves(), std::mem::take(&mut self.given));
        match std::mem::replace(&mut self.pass, Pass::Done) {
            Pass::Done => Ok(()),
            _ if given != expected => Err(BuildError::Count { expected, given }),
            Pass::Filter { blocks, slice } => {
                for block in slice.blocks() {
                    sink(&block).map_err(BuildError::Sink)?;
                }
                drop(slice);
                self.pass = self.filter_pass(blocks.end);
                Ok(())
            }
            Pass::Records(selection) => self.write_records(selection, sink),
        }
    }

    fn write_records<E>(
        &mut self,
        selection: Selection,
        mut sink: impl FnMut(&[u8; BLOCK]) -> Result<(), E>,
    ) -> Result<(), BuildError<E>> {
        let (leaves, before) = (self.layout.leaves(), self.written);
        for record in selection.finish() {
            if self.written == leaves {
                return Err(BuildError::Changed);
            }
            self.writer.push(&self.layout, record, &mut sink).map_err(BuildError::Sink)?;
            if let Some(count) = self.bins.get_mut(bin_of(record.hash)) {
                *count = count.saturating_sub(1);
            }
            self.written += 1;
            self.last = Some(record);
        }
        if self.written == before {
            return Err(BuildError::Changed);
        }
        if self.written < leaves {
            self.pass = self.records_pass();
            return Ok(());
        }
        let writer = std::mem::replace(&mut self.writer, RecordWriter::new(&self.layout));
        writer.finish(&self.layout, sink).map_err(BuildError::Sink)
    }

    /// The pass for the blocks of the filter from this one on, or the first one for records.
    fn filter_pass(&self, from: u64) -> Pass {
        let all = self.layout.filter().end;
        if from == all {
            return if all == 0 { Pass::Done } else { self.records_pass() };
        }
        let fit = (self.memory / BLOCK).max(1) as u64;
        let blocks = from..(from + fit).min(all);
        Pass::Filter { slice: FilterSlice::new(all, &blocks), blocks }
    }

    /// The pass for the next records: as many whole bins as there is memory for, but at least one.
    fn records_pass(&self) -> Pass {
        let leaves = self.layout.leaves();
        let room = ((self.memory / PACKED_LEN) as u64).max(LEAST_ROOM).min(leaves.max(2));
        let mut last = self.last.map_or(0, |record| bin_of(record.hash));
        let mut expected = 0;
        for (bin, count) in self.bins.iter().enumerate().skip(last) {
            if expected > 0 && expected + count > room {
                break;
            }
            expected += count;
            last = bin;
        }
        let room = usize::try_from(room).unwrap_or(usize::MAX);
        Pass::Records(Selection::new(room, self.last, last_of(last)))
    }
}

fn count(bins: &mut [u64], hashes: &[KeyedHash]) {
    for hash in hashes {
        if let Some(count) = bins.get_mut(bin_of(*hash)) {
            *count += 1;
        }
    }
}

fn bin_of(hash: KeyedHash) -> usize {
    usize::try_from(hash.scaled(BINS as u64)).unwrap_or(usize::MAX)
}

/// The greatest hash of a bin.
fn last_of(bin: usize) -> KeyedHash {
    let shift = u64::BITS - BIN_BITS;
    KeyedHash(((bin as u64) << shift | ((1 << shift) - 1)).min(KeyedHash::MAX.0))
}
