//! Columns: the complete nodes of every level. Columns are append-only, and the address of a node never
//! changes.
//!
//! # Invariants
//!
//! - A slot is written once, before it is published, and never again. Publishing is one `Release` store
//!   of a count. A reader that loads the count with `Acquire` sees every slot below it.
//! - A tree has one [`LeafWriter`] and one [`NodeWriter`]. No slot is written by both.
//! - The [`Version`] has the memory of a slot before the slot is published. So a reader that loads the
//!   version *after* the count finds the slot in this memory, or finds the node in the parts that
//!   replaced the memory. `shared.rs` explains why this holds while small chunks grow.
//!
//! A chunk has the slots of an aligned subtree. These are `N^height` nodes of the base level of its
//! tier, and the levels above them. The node that commits to all of them is not in the chunk: it is a
//! base node of the next tier. So the children of any node are adjacent in one chunk.
//!
//! The first chunk of a tier is *small*. Each level has its own memory, with a few slots at first. When
//! they are used up, larger memory replaces it. So a tree of a few leaves takes a few hundred bytes. A
//! chunk is *whole* from the start if all its leaves come at once, or if the chunk before it was filled.
//! A whole chunk has one piece of memory for all slots.

mod account;
mod chunk;
mod entries;
mod entry_writer;
mod layers;
mod layout;
mod leaves;
mod nodes;
mod resume;
mod shared;
#[cfg(test)]
mod tests;
mod version;
mod view;

pub(crate) use entries::{EntryBytes, EntrySpan};
pub(crate) use layout::Layout;
pub(crate) use leaves::LeafWriter;
pub(crate) use nodes::NodeWriter;
pub(crate) use resume::Seed;
pub(crate) use shared::Columns;
pub(crate) use version::{Archive, EntryHash};
pub(crate) use view::View;
