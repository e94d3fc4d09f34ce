//! Checkpoints: the columns of a tree as immutable part files, and the manifest that names them.

mod compaction;
pub(crate) mod info;
pub(crate) mod manifest;
pub(crate) mod part;
mod policy;

pub use compaction::CompactionPolicy;
pub use info::{CheckpointInfo, CheckpointReason};
pub use part::ReadMode;
pub(crate) use policy::Since;
pub use policy::{CheckpointPolicy, Install};
