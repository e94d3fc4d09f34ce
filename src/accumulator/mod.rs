//! One tree of a store: the handles through which it is used.

mod dynamic;
mod typed;

use std::ops::Range;

pub use dynamic::DynAccumulator;
pub use typed::Accumulator;

use crate::durability::DurabilityToken;
use crate::merkle::LeafIndex;

/// A leaf that was inserted.
#[derive(Debug)]
pub struct Inserted {
    /// Its index in the tree.
    pub index: LeafIndex,
    /// Resolves once it is durable.
    pub token: DurabilityToken,
}

/// A batch of leaves that was inserted.
#[derive(Debug)]
pub struct InsertedMany {
    /// The indexes of its leaves, in order.
    pub range: Range<u64>,
    /// Resolves once all of it is durable.
    pub token: DurabilityToken,
}
