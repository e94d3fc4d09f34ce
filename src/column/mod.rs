//! Columns: the complete nodes of every level, append-only, with addresses that never change.
//!
//! # Invariants
//!
//! - A slot is written once, before it is published, and never again. Publishing is one `Release`
//!   store of a count; a reader that loads the count with `Acquire` sees every slot below it.
//! - There is one [`LeafWriter`] and one [`NodeWriter`] per tree; each writes only slots that the
//!   other does not.
//! - A chunk is in the [`Version`] before any of its slots is published, so a reader that loads the
//!   version *after* the count finds the chunk there, or finds the nodes in the parts that took its
//!   place.
//!
//! A chunk holds an aligned subtree: `N^height` nodes of its tier's base level and the levels above
//! them up to, and without, the node that commits to all of them, which is a base node of the next
//! tier. So the children of any node lie side by side in one chunk.

mod chunk;
mod layout;
mod nodes;
#[cfg(test)]
mod tests;
mod version;
mod view;
mod writer;

pub(crate) use layout::Layout;
pub(crate) use nodes::NodeWriter;

pub(crate) use version::Archive;
pub(crate) use view::View;
pub(crate) use writer::{Columns, LeafWriter, Seed};
