//! The report about one tree of a store.

use crate::entry::EntryConfig;
use crate::merkle::{Arity, TreeName, TreeSize};
use crate::tree_spec::TreeSpec;

/// One tree of a store and its state.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TreeInfo {
    /// The tree's number in the store. No other tree of the store ever gets this number.
    pub id: u32,
    /// The name of the tree.
    pub name: TreeName,
    /// The stable name of the tree's hash function.
    pub hasher: String,
    /// How many children a complete node has.
    pub arity: Arity,
    /// How the tree keeps entries. `None` if it keeps none.
    pub entries: Option<EntryConfig>,
    /// The number of leaves, those that were pruned included.
    pub size: TreeSize,
    /// The first leaf that is there: those before it were [pruned](crate::DynAccumulator::prune). 0 for a tree that was
    /// never pruned.
    pub base: TreeSize,
    /// The number of leaves that are known to be durable.
    pub durable_size: TreeSize,
    /// Whether the tree takes no more leaves.
    pub sealed: bool,
    /// Whether the tree has an index, so that its leaves are found by their hash.
    pub indexed: bool,
    /// The number of erased entries, see [`DynAccumulator::erase`](crate::DynAccumulator::erase).
    pub erased: u64,
    /// Whether the tree was used since the store was opened. An unused tree takes no memory for nodes
    /// and no open file.
    pub loaded: bool,
    /// Address space of the tree's nodes in memory, in bytes.
    pub memory_bytes: u64,
    /// Bytes of nodes and entries that the tree does not need in memory any more and that callers still
    /// hold. See [`Stats::pinned_bytes`](crate::Stats::pinned_bytes).
    pub pinned_bytes: u64,
    /// The number of the tree's parts on the disk.
    pub parts: u64,
    /// The bytes of all these parts.
    pub part_bytes: u64,
}

impl TreeInfo {
    /// The report of a tree that is not loaded, with whether it is sealed and whether it has an index. `parts` are the lengths of its parts in bytes.
    pub(crate) fn asleep(
        spec: &TreeSpec,
        size: u64,
        (sealed, indexed): (bool, bool),
        parts: impl ExactSizeIterator<Item = u64>,
    ) -> Self {
        Self {
            id: spec.id.0,
            name: spec.name.clone(),
            hasher: spec.hasher.clone(),
            arity: spec.arity,
            entries: spec.entries,
            size: TreeSize(size),
            base: TreeSize(0),
            durable_size: TreeSize(size),
            sealed,
            indexed,
            erased: 0,
            loaded: false,
            memory_bytes: 0,
            pinned_bytes: 0,
            parts: parts.len() as u64,
            part_bytes: parts.fold(0, u64::saturating_add),
        }
    }
}
