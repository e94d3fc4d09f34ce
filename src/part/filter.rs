//! The entries of a part without the data of those that are erased. Pure.
//!
//! # Invariants
//!
//! - An erased entry becomes an entry without data, whatever it was. Every other entry stays as it is.
//! - A bundle with an erased entry is never copied as it is stored.

use std::ops::Range;

use crate::entry::{EntrySource, Erasures, Framing, StoredBundle};
use crate::error::Result;

/// Entries of `source`, without the data of those in `erasures`.
pub(super) struct Filtered<'a> {
    pub(super) source: &'a dyn EntrySource,
    pub(super) framing: Framing,
    pub(super) erasures: &'a Erasures,
    /// A mistake that tests build in: bundles are copied whatever is erased in them.
    pub(super) copies_all: bool,
}

impl Filtered<'_> {
    fn is_whole(&self, range: &Range<u64>) -> bool {
        self.erasures.count_in(range.clone()) == 0
    }
}

impl EntrySource for Filtered<'_> {
    fn entry_bytes(&self, range: Range<u64>) -> Result<u64> {
        if self.is_whole(&range) {
            return self.source.entry_bytes(range);
        }
        let mut len = 0;
        self.read_entries(range, &mut |bytes| {
            len += bytes.len() as u64;
            Ok(())
        })?;
        Ok(len)
    }

    fn read_entries(
        &self,
        range: Range<u64>,
        out: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        if self.is_whole(&range) {
            return self.source.read_entries(range, out);
        }
        let mut blanking = Blanking::new(self.framing, self.erasures, range.start);
        self.source.read_entries(range, &mut |bytes| blanking.add(bytes, out))
    }

    fn stored(&self, range: Range<u64>) -> Result<Option<StoredBundle>> {
        if self.is_whole(&range) || self.copies_all { self.source.stored(range) } else { Ok(None) }
    }
}

/// Replaces erased entries in framed bytes, which may come in pieces of any length.
struct Blanking<'a> {
    framing: Framing,
    erasures: &'a Erasures,
    /// The index of the next entry.
    next: u64,
    /// Bytes of the length that is being read.
    prefix: Vec<u8>,
    /// Bytes of the current entry's data that are still to come, and whether they are left out.
    left: usize,
    is_erased: bool,
}

impl<'a> Blanking<'a> {
    fn new(framing: Framing, erasures: &'a Erasures, first: u64) -> Self {
        let prefix = Vec::with_capacity(4);
        Self { framing, erasures, next: first, prefix, left: 0, is_erased: false }
    }

    fn add(&mut self, bytes: &[u8], out: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let mut rest = bytes;
        while !rest.is_empty() {
            if self.left > 0 {
                let (now, later) = rest.split_at(self.left.min(rest.len()));
                if !self.is_erased {
                    out(now)?;
                }
                self.left -= now.len();
                rest = later;
                continue;
            }
            let more = (self.framing.prefix_len() - self.prefix.len()).min(rest.len());
            self.prefix.extend_from_slice(&rest[..more]);
            rest = &rest[more..];
            if self.prefix.len() < self.framing.prefix_len() {
                return Ok(());
            }
            self.left = self.framing.len_of(&self.prefix);
            self.prefix.clear();
            self.is_erased = self.erasures.has(self.next);
            self.next += 1;
            let kept = if self.is_erased { 0 } else { self.left };
            out(self.framing.prefix(kept).bytes())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::Cause;

    /// Entries in pieces of so many bytes.
    struct Pieces {
        bytes: Vec<u8>,
        step: usize,
    }

    impl EntrySource for Pieces {
        fn entry_bytes(&self, _: Range<u64>) -> Result<u64> {
            Ok(self.bytes.len() as u64)
        }

        fn read_entries(
            &self,
            _: Range<u64>,
            out: &mut dyn FnMut(&[u8]) -> Result<()>,
        ) -> Result<()> {
            self.bytes.chunks(self.step).try_for_each(out)
        }

        fn stored(&self, _: Range<u64>) -> Result<Option<StoredBundle>> {
            let (bytes, marks) = (self.bytes.clone(), [0; 15]);
            Ok(Some(StoredBundle { bytes, compressed: false, len: 0, marks }))
        }
    }

    #[test]
    fn an_erased_entry_has_no_data_wherever_the_bytes_are_cut() {
        let cause = Cause { at: 1, reason: "".into() };
        let erasures = Erasures::default().with(&[12..13, 15..18], cause).unwrap();
        for framing in [Framing::Short, Framing::Long] {
            let entries = |lens: [usize; 8]| {
                let one = |(byte, len): (u8, usize)| {
                    [framing.prefix(len).bytes(), &vec![byte; len]].concat()
                };
                (0..).zip(lens).flat_map(one).collect::<Vec<u8>>()
            };
            let whole = entries([3, 0, 200, 1, 70, 5, 0, 9]);
            let expected = entries([3, 0, 0, 1, 70, 0, 0, 0]);
            for step in [1, 2, 3, 5, 64, 1000] {
                let source = &Pieces { bytes: whole.clone(), step };
                let filtered = Filtered { source, framing, erasures: &erasures, copies_all: false };
                let mut read = Vec::new();
                filtered
                    .read_entries(10..18, &mut |bytes| {
                        read.extend_from_slice(bytes);
                        Ok(())
                    })
                    .unwrap();
                assert_eq!(read, expected, "in steps of {step}");
                assert_eq!(filtered.entry_bytes(10..18).unwrap(), expected.len() as u64);
                assert!(filtered.stored(10..18).unwrap().is_none());
                assert!(filtered.stored(18..26).unwrap().is_some());
                assert_eq!(filtered.entry_bytes(18..26).unwrap(), whole.len() as u64);
            }
        }
    }
}
