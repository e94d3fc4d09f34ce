//! Finds leaves of a snapshot by their hash.

use std::collections::VecDeque;
use std::fmt;
use std::iter::FusedIterator;
use std::sync::Arc;

use super::Snapshot;
use crate::error::Result;
use crate::merkle::{Hash, InclusionProof, LeafIndex};
use crate::part::PartSet;

impl Snapshot {
    /// The index of the first leaf of the snapshot that is equal to `leaf`. `None` if there is none.
    ///
    /// Asks the filter of each part, and reads one block of the index of a part that may have the leaf, and the leaf. Of
    /// the parts that do not have it, one in 240 is read in vain. The first call for a tree also puts the leaves that
    /// no part has into a table in memory.
    ///
    /// The index of a part is a hint: a hit is compared with the leaf itself. Where an index is missing or damaged, the
    /// leaves of its part are read one by one, until the writer of the store or a repair has built it again.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// use duramen::{Accumulator, Config, Rfc6962Sha256};
    ///
    /// let log: Accumulator<Rfc6962Sha256, 2> = Accumulator::open(Config::new(dir.path().join("log")))?;
    /// log.add_index()?;
    /// log.insert_many(&[[1; 32], [2; 32], [2; 32]])?;
    /// let snapshot = log.snapshot();
    /// assert_eq!(snapshot.find(&[2; 32])?.map(|index| index.0), Some(1));
    /// assert_eq!(snapshot.find(&[3; 32])?, None);
    /// assert_eq!(snapshot.find_all(&[2; 32])?.count(), 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`NoIndex`](crate::Error::NoIndex) if the tree has no index; [`Damaged`](crate::Error::Damaged) if a leaf
    /// cannot be read.
    pub fn find(&self, leaf: &Hash) -> Result<Option<LeafIndex>> {
        self.tree.find(leaf, self.size.0, &self.floor)
    }

    /// The indexes of all leaves of the snapshot that are equal to `leaf`, in rising order. The iterator searches one
    /// part after the other, and keeps 8 bytes for each hit in the part that it is at.
    ///
    /// # Errors
    ///
    /// As [`find`](Self::find). An item is an error if its part cannot be read. The iterator then continues with the
    /// next part.
    pub fn find_all(&self, leaf: &Hash) -> Result<FoundLeaves> {
        let (sets, behind) = self.tree.find_behind(leaf, self.size.0, &self.floor)?;
        let (tree, leaf, size) = (Arc::clone(&self.tree), *leaf, self.size.0);
        let (from, hits) = (self.floor.base(), Vec::new().into_iter());
        Ok(FoundLeaves { tree, leaf, size, sets: sets.into(), next: 0, from, hits, behind })
    }

    /// How often a part of the tree was searched without an index, by all snapshots together.
    #[cfg(any(test, feature = "testing"))]
    #[must_use]
    pub fn index_scans(&self) -> u64 {
        self.tree.scans().count()
    }

    /// The first leaf that is equal to `leaf`, and the proof that it is in the tree of this snapshot. `None` if there is
    /// none: that is no proof of its absence.
    ///
    /// # Errors
    ///
    /// As [`find`](Self::find) and [`prove`](Self::prove).
    pub fn prove_leaf(&self, leaf: &Hash) -> Result<Option<(LeafIndex, InclusionProof)>> {
        let Some(index) = self.find(leaf)? else { return Ok(None) };
        Ok(Some((index, self.prove(index)?)))
    }
}

/// The indexes of leaves that are equal to one leaf. Made by [`Snapshot::find_all`].
#[must_use = "an iterator searches nothing until it is asked for items"]
pub struct FoundLeaves {
    tree: Arc<crate::engine::Tree>,
    leaf: Hash,
    size: u64,
    /// Those of which each has what the one before does not have.
    sets: VecDeque<PartSet>,
    /// The position of the next part to be searched in the first set.
    next: usize,
    /// Where the leaves of the first set begin that the one before did not have.
    from: u64,
    /// Of the part before.
    hits: std::vec::IntoIter<u64>,
    /// Those behind all parts.
    behind: Vec<u64>,
}

impl Iterator for FoundLeaves {
    type Item = Result<LeafIndex>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(hit) = self.hits.next() {
                return Some(Ok(LeafIndex(hit)));
            }
            let part = self.sets.front().and_then(|set| Some((set, set.parts().get(self.next)?)));
            let Some((set, part)) = part else {
                if let Some(searched) = self.sets.pop_front() {
                    self.from = self.from.max(searched.end());
                    self.next = 0;
                    continue;
                }
                if self.behind.is_empty() {
                    return None;
                }
                self.hits = std::mem::take(&mut self.behind).into_iter();
                continue;
            };
            self.next += 1;
            // A part may go on behind the size that the tree was rewound to.
            let end = self.size.min(set.end());
            let from = self.from;
            let found = self
                .tree
                .check_process()
                .and_then(|()| Ok(part.find(&self.leaf, end, usize::MAX, self.tree.scans())?));
            match found {
                Ok(mut hits) => {
                    hits.retain(|hit| *hit >= from);
                    self.hits = hits.into_iter();
                }
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

impl FusedIterator for FoundLeaves {}

impl fmt::Debug for FoundLeaves {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FoundLeaves").field("leaf", &self.leaf).finish_non_exhaustive()
    }
}
