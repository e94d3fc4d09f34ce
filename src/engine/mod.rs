//! The store: one directory with one log, one manifest and its trees, and what keeps them going.
//!
//! The engine is not generic. It drives each [`Tree`] through an object-safe hasher whose calls take
//! whole runs of nodes; [`Accumulator`](crate::Accumulator) is a typed view of a store with one tree.

mod backup;
mod checkpoint;
mod close;
mod compact;
mod counted;
mod edges;
mod follow;
mod hold;
mod ingest;
mod limits;
pub(crate) mod log;
mod open;
mod scrub;
mod shared;
mod stats;
mod tree;
mod upkeep;

pub(crate) use backup::copy_from_outside;
pub(crate) use follow::{Followed, follow};
pub(crate) use ingest::Intake;
pub(crate) use open::{next_part, open};
pub(crate) use shared::{Engine, FlushPoint};
pub(crate) use tree::Tree;
