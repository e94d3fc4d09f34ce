//! The filter: it rules out most leaves that an index does not have, without a read. Pure.
//!
//! A Bloom filter in lines of 64 bytes, eight words each. A hash sets one bit in every word of one line. The upper bits
//! of the hash select the line, so that a slice of the filter belongs to a range of hashes.
//!
//! # Invariants
//!
//! - A hash that was set is contained. With [`super::layout`]'s bits about one in 240 of the others is as well.
//! - Whatever the bytes are, asking reads one line at most. Damage can only hide or add hashes.

use std::ops::Range;

use super::key::KeyedHash;
use super::layout::BLOCK;

const WORD: usize = 8;
const WORDS: usize = 8;
pub(super) const LINE: usize = WORD * WORDS;
/// Bits of the hash that select the bit of a word.
const BIT_SELECTOR: u32 = 6;
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

const _: () = assert!(LINE == 64 && 1 << BIT_SELECTOR == 8 * WORD);

/// A filter as it lies on the disk.
#[derive(Clone, Copy)]
pub(crate) struct Filter<'a> {
    lines: &'a [[u8; LINE]],
}

impl<'a> Filter<'a> {
    /// Takes the bytes of the filter's area. Without bytes there is no filter, and every hash may be there.
    pub(crate) fn from_bytes(bytes: &'a [u8]) -> Self {
        let (lines, _) = bytes.as_chunks();
        Self { lines }
    }

    /// The line of a hash. `None` without a filter.
    #[inline]
    fn line(&self, hash: KeyedHash) -> Option<&'a [u8; LINE]> {
        self.lines.get(usize::try_from(hash.scaled(self.lines.len() as u64)).ok()?)
    }

    /// Reads a byte of the line of a hash.
    #[inline]
    pub(super) fn touch(&self, hash: KeyedHash) -> u8 {
        self.line(hash).map_or(0, |line| line[0])
    }

    /// Whether the index may have this hash. `false` is certain if the bytes are intact.
    #[inline]
    pub(crate) fn contains(&self, hash: KeyedHash) -> bool {
        let Some(line) = self.line(hash) else { return true };
        let (words, _) = line.as_chunks::<WORD>();
        let missing = words
            .iter()
            .zip(bits(hash))
            .fold(0, |missing, (word, bit)| missing | (bit & !u64::from_le_bytes(*word)));
        missing == 0
    }
}

/// A slice of a filter that is being built.
pub(super) struct FilterSlice {
    /// Lines of the whole filter.
    lines: u64,
    /// The first line of the slice.
    first: u64,
    slice: Vec<[u64; WORDS]>,
}

impl FilterSlice {
    /// These blocks of a filter that has `blocks` in all.
    pub(super) fn new(blocks: u64, slice: &Range<u64>) -> Self {
        const LINES: u64 = (BLOCK / LINE) as u64;
        let len = usize::try_from((slice.end - slice.start) * LINES).unwrap_or(0);
        Self { lines: blocks * LINES, first: slice.start * LINES, slice: vec![[0; WORDS]; len] }
    }

    /// Sets those of the hashes that belong to this slice. They are few: all their lines are read first, so that the
    /// processor waits for many of them at once and not for one after the other.
    #[inline]
    pub(super) fn set(&mut self, hashes: &[KeyedHash]) {
        let touched = hashes.iter().filter_map(|hash| self.slice.get(self.line_of(*hash)));
        std::hint::black_box(touched.fold(0, |all, line| all | line[0]));
        for hash in hashes {
            let line = self.line_of(*hash);
            if let Some(line) = self.slice.get_mut(line) {
                for (word, bit) in line.iter_mut().zip(bits(*hash)) {
                    *word |= bit;
                }
            }
        }
    }

    /// The line in the slice. One in front of the slice wraps to one far behind it.
    fn line_of(&self, hash: KeyedHash) -> usize {
        usize::try_from(hash.scaled(self.lines).wrapping_sub(self.first)).unwrap_or(usize::MAX)
    }

    /// The blocks of the slice.
    pub(super) fn blocks(&self) -> impl Iterator<Item = [u8; BLOCK]> {
        self.slice.chunks(BLOCK / LINE).map(|lines| {
            let mut block = [0; BLOCK];
            let (bytes, _) = block.as_chunks_mut::<WORD>();
            for (to, word) in bytes.iter_mut().zip(lines.iter().flatten()) {
                *to = word.to_le_bytes();
            }
            block
        })
    }
}

/// A bit of every word.
#[inline]
fn bits(hash: KeyedHash) -> [u64; WORDS] {
    let mut selector = hash.0.wrapping_mul(SPREAD);
    std::array::from_fn(|_| {
        selector = selector.rotate_left(BIT_SELECTOR);
        1 << (selector & ((1 << BIT_SELECTOR) - 1))
    })
}
