//! Leaves that were read from the log, and whether they are the hashes of their entries.
//!
//! # Invariant
//!
//! - An entry with data is the one that hashes to its leaf, or the log is damaged. Only an entry without data may belong
//!   to a leaf that is not its hash, see [`LoggedLeaves::bare`].

use rayon::prelude::*;

use crate::merkle::{Hash, Hasher};
use crate::sync::pool::pool;

/// Entries of so many bytes are hashed by several threads.
const PARALLEL_FROM: usize = 1 << 18;

/// Leaves in the log, of one tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LoggedLeaves<'a> {
    /// The index of the first.
    pub(crate) first: u64,
    pub(crate) leaves: &'a [Hash],
    /// The entries that hash to the leaves, in a tree that keeps entries. Not verified. Else nothing.
    pub(crate) entries: Vec<&'a [u8]>,
}

impl LoggedLeaves<'_> {
    /// The indexes of the leaves that are not the hash of their entry, which has no data: they were inserted as erased.
    ///
    /// # Errors
    ///
    /// The index of the first leaf that is not the hash of its entry, if that has data.
    pub(crate) fn bare(&self, hasher: &dyn Hasher) -> Result<Vec<u64>, u64> {
        if let Some(wrong) = self.first_wrong(hasher) {
            return Err(self.first + wrong);
        }
        let pairs = (self.first..).zip(self.leaves.iter().zip(&self.entries));
        let mut empty = pairs.filter(|(_, (_, entry))| entry.is_empty()).peekable();
        if empty.peek().is_none() {
            return Ok(Vec::new());
        }
        let right = hasher.leaf(&[]);
        Ok(empty.filter(|(_, (leaf, _))| **leaf != right).map(|(index, _)| index).collect())
    }

    /// The position of the first leaf that is not the hash of its entry, and whose entry has data.
    fn first_wrong(&self, hasher: &dyn Hasher) -> Option<u64> {
        let wrong =
            |(leaf, entry): (&Hash, &&[u8])| !entry.is_empty() && hasher.leaf(entry) != *leaf;
        let bytes: usize = self.entries.iter().map(|entry| entry.len()).sum();
        let position = match pool().filter(|_| bytes >= PARALLEL_FROM) {
            Some(pool) => pool.install(|| {
                let pairs = self.leaves.par_iter().zip(self.entries.par_iter());
                pairs.position_first(wrong)
            }),
            None => self.leaves.iter().zip(&self.entries).position(wrong),
        };
        position.map(|position| position as u64)
    }
}
