//! What a store that is open says of itself in its status file.

use std::time::{Duration, SystemTime};

use super::{Stats, TreeStats};

/// What a store said of itself last. Made by [`inspect::status`](crate::inspect::status).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreStatus {
    /// The store's id, in the form of a UUID.
    pub store: String,
    /// The process that wrote this.
    pub pid: u32,
    /// When this process acquired the store's lock, to the second.
    pub opened: SystemTime,
    /// When this was written. A store without work writes nothing.
    pub written: SystemTime,
    /// How often it was written since the store was opened.
    pub sequence: u64,
    /// Whether the process that wrote this has the store open now.
    pub running: bool,
    /// The state that the process was in.
    pub state: RunState,
    /// How long the oldest leaf had waited that no group has. `None` if there is no such leaf, and under
    /// [`FlushPolicy::Manual`](crate::FlushPolicy), where it is not known.
    pub oldest_unflushed: Option<Duration>,
    /// Leaves in the last checkpoint, over all trees.
    pub checkpointed: u64,
    /// The figures of the store.
    pub stats: Stats,
    /// How many trees were used since the store was opened.
    pub used_trees: u64,
    /// The figures of these trees, by rising id: of the first ones, if there are many.
    pub trees: Vec<TreeStats>,
}

/// How the process was that wrote a status.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RunState {
    /// It accepts inserts.
    Open,
    /// It has closed the store.
    Closed,
    /// The log failed. Nothing more is accepted.
    Poisoned {
        /// The error, at most 512 bytes of it.
        error: String,
    },
}
