//! Asks an index which leaves may have a hash. Pure: the caller reads the blocks and compares the leaves.
//!
//! # Invariants
//!
//! - The leaf column is the truth, and the index is a hint: an answer becomes a hit once the caller has compared all 32
//!   bytes. So damage can lose a hit and never make up one.
//! - Every step goes to a later record, whatever the bytes are: a lookup ends after the last block.

use std::borrow::Borrow;

use super::fences::Fences;
use super::filter::Filter;
use super::key::KeyedHash;
use super::layout::{BLOCK, Layout};
use super::records::{LeafOffset, RecordBlock};

/// An index as it is read: the filter and the fences stay in memory, records are read.
#[derive(Clone, Copy)]
pub(crate) struct Index<'a> {
    layout: Layout,
    filter: Filter<'a>,
    fences: Fences<'a>,
}

impl<'a> Index<'a> {
    /// Takes the bytes of the areas [`Layout::filter`] and [`Layout::fences`].
    pub(crate) fn new(layout: Layout, filter: &'a [u8], fences: &'a [u8]) -> Self {
        let records = layout.records();
        let fences = Fences::new(fences, records.end - records.start);
        Self { layout, filter: Filter::from_bytes(filter), fences }
    }

    /// Whether the index may have this hash. `false` is certain if the bytes are intact. Reads no block.
    pub(crate) fn may_contain(&self, hash: KeyedHash) -> bool {
        self.layout.leaves() > 0 && self.filter.contains(hash)
    }

    /// Reads a byte of the line of the filter that [`may_contain`](Self::may_contain) reads.
    pub(crate) fn touch(&self, hash: KeyedHash) -> u8 {
        self.filter.touch(hash)
    }

    /// The block with the records of this hash, by its number in the index, and where in the block they are likely to be.
    /// `None` if there are none. Reads no block.
    pub(crate) fn place(&self, hash: KeyedHash) -> Option<(u64, usize)> {
        let number = self.fences.block_of(hash);
        let fingerprint = self.fences.scale_of(number).fingerprint(hash)?;
        let at = RecordBlock::guess(&self.layout, number, fingerprint)?;
        Some((self.layout.records().start + number, at))
    }

    /// Returns the first leaf with this hash that `is_leaf` accepts. `read` returns a block by its number in the index.
    #[cfg(test)]
    pub(crate) fn find<B, E>(
        self,
        hash: KeyedHash,
        read: impl FnMut(u64) -> Result<B, E>,
        is_leaf: impl FnMut(LeafOffset) -> Result<bool, E>,
    ) -> Result<Option<LeafOffset>, E>
    where
        B: Borrow<[u8; BLOCK]>,
    {
        self.find_all(hash, read, is_leaf).next().transpose()
    }

    /// Returns all leaves with this hash that `is_leaf` accepts, in rising order, each once.
    pub(crate) fn find_all<B, E>(
        self,
        hash: KeyedHash,
        read: impl FnMut(u64) -> Result<B, E>,
        mut is_leaf: impl FnMut(LeafOffset) -> Result<bool, E>,
    ) -> impl Iterator<Item = Result<LeafOffset, E>>
    where
        B: Borrow<[u8; BLOCK]>,
    {
        let mut last = None;
        self.candidates(hash, read).filter_map(move |candidate| {
            let offset = match candidate {
                Ok(offset) => offset,
                Err(error) => return Some(Err(error)),
            };
            // Records of one leaf rise. Others are of another leaf, or forged.
            if last.is_some_and(|last| last >= offset) {
                return None;
            }
            match is_leaf(offset) {
                Ok(true) => {
                    last = Some(offset);
                    Some(Ok(offset))
                }
                Ok(false) => None,
                Err(error) => Some(Err(error)),
            }
        })
    }

    /// The leaves that may have this hash. Those that are equal come in rising order. Ends after an error.
    fn candidates<B, E, R>(self, hash: KeyedHash, read: R) -> Candidates<'a, B, R>
    where
        R: FnMut(u64) -> Result<B, E>,
        B: Borrow<[u8; BLOCK]>,
    {
        let at =
            if self.may_contain(hash) { At::Before(self.fences.block_of(hash)) } else { At::End };
        Candidates { index: self, hash, read, at }
    }
}

struct Candidates<'a, B, R> {
    index: Index<'a>,
    hash: KeyedHash,
    read: R,
    at: At<B>,
}

enum At<B> {
    /// In front of this block of the area of records.
    Before(u64),
    Inside(Open<B>),
    End,
}

struct Open<B> {
    bytes: B,
    number: u64,
    fingerprint: u16,
    /// The next record.
    record: usize,
}

impl<B: Borrow<[u8; BLOCK]>, E, R: FnMut(u64) -> Result<B, E>> Candidates<'_, B, R> {
    fn enter(&mut self, number: u64) -> Result<At<B>, E> {
        let bytes = (self.read)(self.index.layout.records().start + number)?;
        let Some(fingerprint) = self.index.fences.scale_of(number).fingerprint(self.hash) else {
            return Ok(At::End);
        };
        let block = RecordBlock::new(&self.index.layout, number, bytes.borrow());
        let record = block.lower_bound(fingerprint);
        Ok(At::Inside(Open { bytes, number, fingerprint, record }))
    }
}

impl<B: Borrow<[u8; BLOCK]>, E, R: FnMut(u64) -> Result<B, E>> Iterator for Candidates<'_, B, R> {
    type Item = Result<LeafOffset, E>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match &mut self.at {
                At::End => return None,
                &mut At::Before(number) => {
                    self.at = At::End;
                    match self.enter(number) {
                        Ok(at) => self.at = at,
                        Err(error) => return Some(Err(error)),
                    }
                }
                At::Inside(open) => {
                    let layout = self.index.layout;
                    let block = RecordBlock::new(&layout, open.number, open.bytes.borrow());
                    let record = open.record;
                    open.record += 1;
                    match block.get(record) {
                        Some((fingerprint, offset)) if fingerprint == open.fingerprint => {
                            if u64::from(offset.0) < layout.leaves() {
                                return Some(Ok(offset));
                            }
                        }
                        None if self.index.fences.continues(open.number + 1, self.hash) => {
                            self.at = At::Before(open.number + 1);
                        }
                        _ => self.at = At::End,
                    }
                }
            }
        }
    }
}
