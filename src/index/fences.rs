//! Which block of records has a hash: one fence in front of every block, eight bytes each. Pure.
//!
//! # Invariants
//!
//! - A hash is in the last block whose fence is not greater, or nowhere. If it fills that block to its end, it goes on
//!   in the following blocks whose fences are one more than the hash.
//! - So the fence of a block is its first hash; if the block before ends with the same hash, it is one more.
//! - Whatever the bytes are, an answer is a block of the index.

use super::key::KeyedHash;
use super::layout::FENCE_LEN;
use super::near::partition_near;
use super::records::Scale;

/// The fence of a block that starts with `first`, behind one that ends with `before`.
pub(super) fn fence(before: Option<KeyedHash>, first: KeyedHash) -> u64 {
    if before == Some(first) { first.0 + 1 } else { first.0 }
}

/// The scale of a block between its fence and the next one. The index ends at the greatest hash, and an index of one
/// block, without fences, begins at 0.
pub(super) fn scale(fence: Option<u64>, next: Option<u64>) -> Scale {
    // A block that goes on with a hash starts one before its fence.
    let base = fence.unwrap_or(0).saturating_sub(1);
    Scale::new(base, next.map_or(KeyedHash::MAX.0, |next| next.saturating_sub(1)))
}

/// The fences of an index, as bytes of its last area.
#[derive(Clone, Copy)]
pub(super) struct Fences<'a> {
    fences: &'a [[u8; FENCE_LEN]],
}

impl<'a> Fences<'a> {
    /// Takes the fences of `blocks` blocks. Those that are missing are blocks that no hash is searched in.
    pub(super) fn new(bytes: &'a [u8], blocks: u64) -> Self {
        let (fences, _) = bytes.as_chunks();
        let len = usize::try_from(blocks).map_or(fences.len(), |blocks| blocks.min(fences.len()));
        Self { fences: &fences[..len] }
    }

    fn get(&self, block: usize) -> Option<u64> {
        self.fences.get(block).map(|fence| u64::from_le_bytes(*fence))
    }

    /// Whether a block goes on with the hash that the block before ends with.
    pub(super) fn continues(&self, block: u64, hash: KeyedHash) -> bool {
        usize::try_from(block).ok().and_then(|block| self.get(block)) == Some(hash.0 + 1)
    }

    /// The block that a hash is in if the index has it. Hashes are even, so the search starts where the hash
    /// stands among all.
    pub(super) fn block_of(&self, hash: KeyedHash) -> u64 {
        let len = self.fences.len();
        let guess = usize::try_from(hash.scaled(len as u64)).unwrap_or(0);
        let not_above = |block| self.get(block).is_some_and(|fence| fence <= hash.0);
        partition_near(len, guess, not_above).saturating_sub(1) as u64
    }

    /// How hashes become the fingerprints of a block.
    pub(super) fn scale_of(&self, block: u64) -> Scale {
        let block = usize::try_from(block).unwrap_or(usize::MAX);
        scale(self.get(block), self.get(block.saturating_add(1)))
    }
}
