//! The store: one directory with one log, one manifest and its trees, and the threads that work on them.
//!
//! The engine is not generic. It drives each [`Tree`] through an object-safe hasher whose calls take
//! whole runs of nodes; [`Accumulator`](crate::Accumulator) is a typed view of one tree of a store.

mod activity;
pub(crate) mod alone;
mod background;
mod backup;
mod catalog;
mod checkpoint;
mod close;
mod compact;
mod compaction;
mod counted;
mod counters;
mod create;
mod donor;
mod edges;
mod erase;
pub(crate) mod erased;
mod find;
mod finder;
mod floor;
mod flushing;
mod follow;
mod gate;
mod hold;
mod holds;
mod indexes;
mod ingest;
mod intact;
mod jobs;
mod keeper;
mod limits;
mod load;
pub(crate) mod log;
mod open;
mod opened;
mod prune;
mod recover;
mod requests;
mod rewind;
mod scrub;
mod settings;
mod shared;
mod stats;
mod status;
mod status_file;
mod strays;
mod tails;
mod tally;
mod tree;
mod trees;
pub(crate) mod unerased;
mod upkeep;
mod wiping;

pub(crate) use backup::{Onto, copy_from_outside};
pub(crate) use catalog::{Slot, States, Wanted};
pub(crate) use donor::donor;
pub(crate) use floor::Floor;
pub(crate) use follow::{Followed, follow};
pub(crate) use ingest::{Addition, Fate, Found, Intake, Request};
pub(crate) use open::open;
pub(crate) use opened::this_process;
pub(crate) use shared::Engine;
pub(crate) use tree::{Fixed, Tree};
pub(crate) use trees::TreeThen;
