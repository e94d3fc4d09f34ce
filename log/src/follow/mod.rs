//! Following another operator's log: everything that it publishes is verified, and a second history is told from a fault.
//!
//! Of a log that serves C2SP `tlog-tiles`, each new checkpoint goes through these steps:
//!
//! 1. It is signed, by the key or the policy that is trusted (`follower`).
//! 2. The tiles at its right edge hash to its root, and every other tile to the one above it (`tree`). A tile that was
//!    verified so is of the tree that was signed, wherever it came from.
//! 3. The root of the checkpoint that was accepted last follows from these tiles. If another root follows, the log signed
//!    two histories, and that is proven by both notes and the tiles.
//! 4. Every entry hashes to its leaf in a verified tile. Only then it is handed on.
//!
//! # Invariants
//!
//! - A checkpoint is accepted only if it is signed and extends the one that was accepted before.
//! - What a server delivers is bounded in bytes and in time before it is looked at.
//! - A fault of the server is never told as a second history: for that both roots must follow from signed checkpoints.

mod counter;
mod evidence;
mod fetch;
mod follower;
mod mirror;
mod state;
mod tree;

#[cfg(test)]
mod tests;

pub use counter::Counter;
pub use evidence::Evidence;
pub use fetch::{HttpSource, Source, SourceError};
pub use follower::{Advance, FollowError, Follower, Sink, Trust};
pub use mirror::{Mirror, MirrorError};
pub use state::{FollowState, StateError};
pub use tree::TileError;
