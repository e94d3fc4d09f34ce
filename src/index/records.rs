//! The bytes of a block of records. Pure.
//!
//! A record is a number of `16 + offset_bits` bits: the fingerprint of a leaf's hash in the lower 16, the leaf's offset
//! above. Record `i` takes the bits from `i * (16 + offset_bits)` on, counted from the lowest bit of the block's first
//! byte. A record never reaches into the next block; what is left of a block is zeros.
//!
//! The fingerprint is `(hash - base) / step`: where the hash stands between the block's two fences.
//!
//! # Invariants
//!
//! - Records are sorted by hash, those with one hash by offset. So fingerprints never fall, and the offsets of equal
//!   leaves rise.
//! - No byte of a block can cause a panic, an endless loop or an allocation. Damage can hide a record or make
//!   up one, which the comparison with the leaf refutes.

use super::key::KeyedHash;
use super::layout::{BLOCK, FINGERPRINT_BITS, Layout};
use super::near::partition_near;
use crate::codec::Decoder;

/// Bytes that the processor fetches at a time.
const LINE: usize = 64;

/// The place of a leaf behind the first leaf of its index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct LeafOffset(pub(crate) u32);

/// What a record is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Record {
    pub(super) hash: KeyedHash,
    pub(super) offset: LeafOffset,
}

/// The block of these records, which are sorted. Those that a block has no room for are left out.
pub(super) fn encode(layout: &Layout, scale: Scale, records: &[Record]) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let (bits, mut out) = (layout.record_bits(), block.iter_mut());
    let (mut pending, mut filled) = (0, 0);
    for record in records.iter().take(layout.records_per_block()) {
        let fingerprint = scale.fingerprint(record.hash).unwrap_or(u16::MAX);
        let packed = u64::from(record.offset.0) << FINGERPRINT_BITS | u64::from(fingerprint);
        pending |= packed << filled;
        filled += bits;
        while filled >= 8 {
            put(&mut out, pending);
            pending >>= 8;
            filled -= 8;
        }
    }
    put(&mut out, pending);
    block
}

/// Writes the lowest byte of a number.
fn put<'a>(out: &mut impl Iterator<Item = &'a mut u8>, number: u64) {
    if let Some(byte) = out.next() {
        [*byte, ..] = number.to_le_bytes();
    }
}

/// How hashes become the fingerprints of a block.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    base: u64,
    step: u64,
}

impl Scale {
    /// The fingerprints of hashes from `base` to `top`: the smallest step with which they fit 16 bits.
    pub(super) fn new(base: u64, top: u64) -> Self {
        Self { base, step: (top.saturating_sub(base) >> FINGERPRINT_BITS) + 1 }
    }

    /// The fingerprint of a hash. `None` if it is not between base and top.
    pub(super) fn fingerprint(self, hash: KeyedHash) -> Option<u16> {
        let above = hash.0.checked_sub(self.base)?;
        u16::try_from(above.checked_div(self.step)?).ok()
    }
}

/// The record among `len` at which a fingerprint stands if fingerprints are even.
fn near(fingerprint: u16, len: usize) -> usize {
    (usize::from(fingerprint) * len) >> FINGERPRINT_BITS
}

/// A block of records as it was read.
pub(super) struct RecordBlock<'a> {
    bytes: &'a [u8; BLOCK],
    len: usize,
    record_bits: usize,
}

impl<'a> RecordBlock<'a> {
    /// The block with this number in the area of records.
    pub(super) fn new(layout: &Layout, number: u64, bytes: &'a [u8; BLOCK]) -> Self {
        Self { bytes, len: layout.records_in(number), record_bits: layout.record_bits() }
    }

    /// The fingerprint and the offset of a record.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "both fit: a record has at most 16 + 32 bits"
    )]
    pub(super) fn get(&self, record: usize) -> Option<(u16, LeafOffset)> {
        if record >= self.len {
            return None;
        }
        let bit = record * self.record_bits;
        // The last records are read from the end of the block, so that eight bytes are there.
        let at = (bit / 8).min(BLOCK - size_of::<u64>());
        let word = Decoder(self.bytes.get(at..)?).u64()?;
        let packed = word.checked_shr((bit - 8 * at) as u32)? & ((1 << self.record_bits) - 1);
        Some((packed as u16, LeafOffset((packed >> FINGERPRINT_BITS) as u32)))
    }

    /// The byte of the block with this number at which the record with this fingerprint is likely to be. `None` if
    /// the block has no records.
    pub(super) fn guess(layout: &Layout, number: u64, fingerprint: u16) -> Option<usize> {
        let len = layout.records_in(number);
        (len > 0).then(|| near(fingerprint, len) * layout.record_bits() / 8)
    }

    /// The first record whose fingerprint is not smaller. Hashes are even, so it is near where the fingerprint
    /// stands among all: the search starts there and touches two or three cache lines.
    pub(super) fn lower_bound(&self, fingerprint: u16) -> usize {
        let guess = near(fingerprint, self.len);
        // The lines around the guess are read at once, and not one after the other as the search meets them.
        let at = guess * self.record_bits / 8;
        let around = [at.wrapping_sub(LINE), at, at + LINE];
        let touched = around.into_iter().filter_map(|at| self.bytes.get(at));
        std::hint::black_box(touched.fold(0, |all, byte| all | byte));
        partition_near(self.len, guess, |record| {
            self.get(record).is_some_and(|(found, _)| found < fingerprint)
        })
    }
}
