//! Erased entries that no file may have any more.

use std::collections::BTreeSet;

use duramen::testing::sim::SimDisk;

use crate::findings::{Finding, Kind, Outcome};

/// Entries begin with so many bytes that nothing else has.
const UNIQUE: usize = 8;

/// The beginnings of entries that were erased, and whose data a compaction has removed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gone {
    /// Each of `UNIQUE` bytes.
    all: BTreeSet<Vec<u8>>,
    /// A bit for each pair of bytes that one of them begins with: every byte of a disk is looked at, and few go on from here.
    pairs: Vec<u64>,
}

/// The word and the bit of a pair of bytes.
fn place(pair: [u8; 2]) -> (usize, u64) {
    let pair = u16::from_le_bytes(pair);
    (usize::from(pair / 64), 1 << (pair % 64))
}

impl Gone {
    pub(crate) fn add(&mut self, entry: &[u8]) {
        let start: [u8; UNIQUE] = *entry.first_chunk().unwrap();
        self.pairs.resize(1 << 10, 0);
        let (word, bit) = place([start[0], start[1]]);
        self.pairs[word] |= bit;
        self.all.insert(start.to_vec());
    }

    /// No file of `disk` has one of them.
    pub(crate) fn check(&self, disk: &SimDisk) -> Outcome {
        if self.all.is_empty() {
            return Ok(());
        }
        for file in disk.files() {
            // A worker may have removed it since the listing.
            let Some(bytes) = disk.read(file) else { continue };
            let found = bytes.windows(UNIQUE).position(|bytes| {
                let (word, bit) = place([bytes[0], bytes[1]]);
                self.pairs[word] & bit != 0 && self.all.contains(bytes)
            });
            if let Some(at) = found {
                let text = format!("byte {at} of {file} is an entry that was erased and compacted");
                return Err(Finding::new(Kind::Phantom, text));
            }
        }
        Ok(())
    }
}
