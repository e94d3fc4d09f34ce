//! The store: one directory with one log, one manifest and its trees, and what keeps them going.
//!
//! The engine is not generic. It drives each [`Tree`] through an object-safe hasher whose calls take
//! whole runs of nodes; [`Accumulator`](crate::Accumulator) is a typed view of a store with one tree.

mod backup;
mod checkpoint;
mod close;
mod compact;
mod counted;
mod directory;
mod distribution;
mod edges;
mod engine;
mod follow;
mod foreign;
mod hold;
mod ingest;
mod job_stats;
mod limits;
mod look;
mod open;
mod report;
mod scrub;
mod stats;
mod tree;
mod upkeep;

pub(crate) use backup::copy_from_outside;
pub use distribution::Distribution;
pub(crate) use engine::{Engine, FlushPoint};
pub(crate) use follow::{Followed, follow};
pub use job_stats::{JobStats, Times};
pub use limits::Limit;
pub(crate) use limits::Limits;
pub(crate) use look::{lock, newest_manifest};
pub(crate) use open::{next_part, open};
pub use report::{RecoveryReport, StoreInfo};
pub use stats::Stats;
pub(crate) use tree::Tree;
pub(crate) use upkeep::Backoff;
