//! Erased entries that no file may have any more.

use std::collections::BTreeSet;

use duramen::testing::sim::SimDisk;

use crate::findings::{Finding, Kind, Outcome};

/// Entries begin with so many bytes that nothing else has.
const UNIQUE: usize = 8;

/// The beginnings of entries that were erased, and whose data a compaction has removed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gone(BTreeSet<[u8; UNIQUE]>);

impl Gone {
    pub(crate) fn add(&mut self, entry: &[u8]) {
        self.0.insert(*entry.first_chunk().unwrap());
    }

    /// No file of `disk` has one of them.
    pub(crate) fn check(&self, disk: &SimDisk) -> Outcome {
        if self.0.is_empty() {
            return Ok(());
        }
        for file in disk.files() {
            // A worker may have removed it since the listing.
            let Some(bytes) = disk.read(file) else { continue };
            let found = bytes.array_windows::<UNIQUE>().position(|bytes| self.0.contains(bytes));
            if let Some(at) = found {
                let text = format!("byte {at} of {file} is an entry that was erased and compacted");
                return Err(Finding::new(Kind::Phantom, text));
            }
        }
        Ok(())
    }
}
