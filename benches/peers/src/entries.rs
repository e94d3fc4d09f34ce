//! The entries that the workloads insert: 200 bytes each, all different.

use crate::leaves::{Leaf, Random};

/// Bytes of an entry.
pub const LEN: usize = 200;
/// Entries of a batch.
pub const BATCH: u64 = 1_000;

/// The bytes of a batch of entries. Each begins with its number, so that all entries of a run are different, and
/// making the next batch costs next to nothing.
#[derive(Debug)]
pub struct Batch {
    bytes: Vec<u8>,
}

impl Batch {
    /// Room for a batch, with random bytes.
    pub fn new() -> Self {
        let mut random = Random::new(11);
        let words = (0..BATCH as usize * LEN / 8).flat_map(|_| random.next().to_le_bytes());
        Self { bytes: words.collect() }
    }

    /// The entries with the numbers from `first` on.
    pub fn from(&mut self, first: u64) -> Vec<&[u8]> {
        for (number, entry) in (first..).zip(self.bytes.chunks_exact_mut(LEN)) {
            entry[..8].copy_from_slice(&number.to_le_bytes());
        }
        self.bytes.chunks_exact(LEN).collect()
    }
}

/// An entry that begins with these bytes.
pub fn of(leaf: Leaf) -> [u8; LEN] {
    let mut entry = [0xA5; LEN];
    entry[..leaf.len()].copy_from_slice(&leaf);
    entry
}

const _: () = assert!(LEN.is_multiple_of(8));
