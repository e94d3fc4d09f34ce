//! Marks the blocks of a part that were found intact.
//!
//! # Invariants
//!
//! - A marked block was found intact. An intact block may be unmarked: if there is no memory for a mark,
//!   the block is compared with its checksum again.
//! - Memory grows with the blocks that are read, not with the length of the file. A block takes one bit.
//!   The bits are in pieces of 4 KiB, and a piece is allocated when one of its blocks is first marked.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Blocks that one piece has bits for. They are 128 MiB of a part.
const PIECE: u64 = 1 << 15;
/// The most pieces of a part. Blocks behind them are never marked. So the list of pieces takes at most
/// 24 MiB, for a part of 128 TiB or more.
const MOST_PIECES: u64 = 1 << 20;

type Piece = Box<[AtomicU64]>;

#[derive(Debug, Default)]
pub(super) struct Checked {
    pieces: Vec<OnceLock<Piece>>,
    blocks: u64,
}

impl Checked {
    /// No block of `blocks` is marked.
    pub(super) fn new(blocks: u64) -> Self {
        let count = usize::try_from(blocks.div_ceil(PIECE).min(MOST_PIECES)).unwrap_or(0);
        let mut pieces = Vec::new();
        if pieces.try_reserve_exact(count).is_ok() {
            pieces.resize_with(count, OnceLock::new);
        }
        Self { pieces, blocks }
    }

    /// Whether block `number` is marked as intact.
    #[inline]
    pub(super) fn has(&self, number: u64) -> bool {
        // Relaxed is enough: the bit protects no other memory, because the bytes of the part never
        // change.
        self.word(number).is_some_and(|word| word.load(Ordering::Relaxed) >> (number % 64) & 1 == 1)
    }

    /// Marks block `number` as intact.
    pub(super) fn mark(&self, number: u64) {
        let slot = usize::try_from(number / PIECE).ok().and_then(|piece| self.pieces.get(piece));
        let Some(slot) = slot else { return };
        if slot.get().is_none() {
            let rest = self.blocks.saturating_sub(number / PIECE * PIECE).min(PIECE);
            let Some(piece) = piece(rest) else { return };
            // Another thread may have set the piece first.
            let _ = slot.set(piece);
        }
        if let Some(word) = self.word(number) {
            word.fetch_or(1 << (number % 64), Ordering::Relaxed);
        }
    }

    #[inline]
    fn word(&self, number: u64) -> Option<&AtomicU64> {
        let piece = self.pieces.get(usize::try_from(number / PIECE).ok()?)?.get()?;
        piece.get(usize::try_from(number % PIECE / 64).ok()?)
    }
}

/// Zeroed bits for `blocks` blocks. `None` if there is not enough memory.
fn piece(blocks: u64) -> Option<Piece> {
    let words = usize::try_from(blocks.div_ceil(64)).ok()?;
    let mut piece = Vec::new();
    piece.try_reserve_exact(words).ok()?;
    piece.resize_with(words, || AtomicU64::new(0));
    Some(piece.into_boxed_slice())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_marked_alone() {
        let blocks = 3 * PIECE + 70;
        let checked = Checked::new(blocks);
        let marked = [0, 63, 64, PIECE - 1, PIECE, 3 * PIECE, blocks - 1];
        for number in marked {
            assert!(!checked.has(number));
            checked.mark(number);
        }
        let found: Vec<_> = (0..blocks + 100).filter(|number| checked.has(*number)).collect();
        assert_eq!(found, marked);
    }

    #[test]
    fn the_bits_of_a_huge_part_take_memory_when_they_are_set() {
        let checked = Checked::new(1 << 51);
        assert_eq!(checked.pieces.len() as u64, MOST_PIECES);
        for number in [0, 1 << 34, MOST_PIECES * PIECE - 1] {
            checked.mark(number);
            assert!(checked.has(number));
        }
        assert_eq!(checked.pieces.iter().filter(|piece| piece.get().is_some()).count(), 3);
        for number in [MOST_PIECES * PIECE, u64::MAX] {
            checked.mark(number);
            assert!(!checked.has(number));
        }
    }
}
