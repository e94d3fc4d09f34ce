//! What a store says of one of its trees.

use crate::merkle::{Arity, TreeName, TreeSize};
use crate::tree_spec::TreeSpec;

/// One tree of a store, and how it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TreeInfo {
    /// Its number in the store. No other tree of the store ever has it.
    pub id: u32,
    /// Its name.
    pub name: TreeName,
    /// The stable name of its hash function.
    pub hasher: String,
    /// How many children a complete node has.
    pub arity: Arity,
    /// How many leaves it has.
    pub size: TreeSize,
    /// How many of them are known to be durable.
    pub durable_size: TreeSize,
    /// Whether it takes no more leaves.
    pub sealed: bool,
    /// Whether it was used since the store was opened. One that was not takes no memory for nodes and no file.
    pub loaded: bool,
    /// Address space that its nodes in memory take, in bytes.
    pub memory_bytes: u64,
    /// Its parts on the disk.
    pub parts: u64,
    /// Bytes that they have together.
    pub part_bytes: u64,
}

impl TreeInfo {
    /// Of a tree that is not loaded, with the lengths of its parts in bytes.
    pub(crate) fn asleep(
        spec: &TreeSpec,
        size: u64,
        sealed: bool,
        parts: impl ExactSizeIterator<Item = u64>,
    ) -> Self {
        Self {
            id: spec.id.0,
            name: spec.name.clone(),
            hasher: spec.hasher.clone(),
            arity: spec.arity,
            size: TreeSize(size),
            durable_size: TreeSize(size),
            sealed,
            loaded: false,
            memory_bytes: 0,
            parts: parts.len() as u64,
            part_bytes: parts.fold(0, u64::saturating_add),
        }
    }
}
