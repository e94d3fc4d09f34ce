//! What a recovery found and what is missing.

use std::ops::Range;
use std::path::PathBuf;

use crate::merkle::{TreeHead, TreeName};

/// What a recovery found and what is missing.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Recovered {
    /// The id of the damaged store.
    pub old_store: String,
    /// The id of the new store.
    pub store: String,
    /// The number of the newest manifest that could be read, if one could.
    pub manifest: Option<u64>,
    /// The trees, by number.
    pub trees: Vec<RecoveredTree>,
    /// Trees of which the log has leaves and nothing says the hash function. They are not in the new store.
    pub unknown_trees: Vec<u32>,
    /// Groups of the log that counted.
    pub log_groups: u64,
    /// Sequence numbers of the store that the log lacks between groups that are there: each is a leaf, or a tree that was
    /// created, sealed, indexed or dropped, or an erasure.
    pub log_gaps: Vec<Range<u64>>,
    /// Segments of the log whose groups are taken although nothing proves that the store wrote them.
    pub unproven: Vec<PathBuf>,
    /// Files that were not used, or not to their end, and why.
    pub skipped: Vec<Skipped>,
}

/// One tree of a recovered store.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RecoveredTree {
    /// Its number in the damaged store.
    pub number: u32,
    /// Its name in the new store.
    pub name: TreeName,
    /// Whether a manifest or the log says this name.
    pub name_is_known: bool,
    /// Size and root in the new store. Compare them with a head that was published.
    pub head: TreeHead,
    /// One more than the highest index of a leaf of which anything is known.
    pub known: u64,
    /// The leaves below `known` that are neither in a readable part nor in the log.
    pub missing: Vec<Range<u64>>,
    /// Leaves that came from the log.
    pub from_log: u64,
    /// Entries that were erased before.
    pub erased: u64,
    /// Entries that cannot be read. They are erased in the new store.
    pub lost_entries: Vec<Range<u64>>,
    /// Whether the leaves contradict the root in a manifest that can be read.
    pub contradicts_manifest: bool,
}

/// A file that was not used.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Skipped {
    /// The file.
    pub file: PathBuf,
    /// Why.
    pub reason: String,
}

impl RecoveredTree {
    /// Whether all leaves and entries are there of which anything is known.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        let Self { head, known, missing, lost_entries, contradicts_manifest, .. } = self;
        head.size.get() == *known
            && missing.is_empty()
            && lost_entries.is_empty()
            && !contradicts_manifest
    }
}

impl Recovered {
    /// Whether everything is there of which anything is known. Leaves at the end of which nothing is left cannot be
    /// missed: compare the heads with published ones.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.log_gaps.is_empty()
            && self.unknown_trees.is_empty()
            && self.trees.iter().all(RecoveredTree::is_whole)
    }
}
