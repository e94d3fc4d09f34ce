//! The handles of one tree of a store.

mod dynamic;
mod typed;

use std::ops::Range;

pub use dynamic::DynAccumulator;
pub use typed::Accumulator;

use crate::durability::DurabilityToken;
use crate::merkle::LeafIndex;

/// A leaf that was inserted.
#[derive(Debug)]
#[non_exhaustive]
pub struct Inserted {
    /// The index of the leaf in the tree.
    pub index: LeafIndex,
    /// Resolves once the leaf is durable.
    pub token: DurabilityToken,
}

/// A batch of leaves that was inserted.
#[derive(Debug)]
#[non_exhaustive]
pub struct InsertedMany {
    /// The indexes of the leaves, in order.
    pub range: Range<u64>,
    /// Resolves once the whole batch is durable.
    pub token: DurabilityToken,
}
