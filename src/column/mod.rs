//! Columns: the complete nodes of every level, append-only, with addresses that never change.
//!
//! # Invariants
//!
//! - A slot is written once, before it is published, and never again. Publishing is one `Release`
//!   store of a count; a reader that loads the count with `Acquire` sees every slot below it.
//! - There is one [`LeafWriter`] and one [`NodeWriter`] per tree; each writes only slots that the
//!   other does not.
//! - A slot is in the memory that the [`Version`] names before it is published, so a reader that
//!   loads the version *after* the count finds the slot there, or finds the node in the parts that
//!   took its place. `shared.rs` says why that holds while small chunks grow.
//!
//! A chunk holds an aligned subtree: `N^height` nodes of its tier's base level and the levels above
//! them up to, and without, the node that commits to all of them, which is a base node of the next
//! tier. So the children of any node lie side by side in one chunk.
//!
//! The first chunk of a tier is *small*: each level has memory of its own, for a few slots at first,
//! which is replaced by more when they are used up. So a tree of a few leaves takes a few hundred
//! bytes. A chunk whose leaves come at once, or that follows one that was filled, is *whole* from the
//! start: one piece of memory for all slots.

mod chunk;
mod layout;
mod leaves;
mod nodes;
mod resume;
mod shared;
#[cfg(test)]
mod tests;
mod version;
mod view;

pub(crate) use layout::Layout;
pub(crate) use leaves::LeafWriter;
pub(crate) use nodes::NodeWriter;
pub(crate) use resume::Seed;
pub(crate) use shared::Columns;
pub(crate) use version::Archive;
pub(crate) use view::View;
