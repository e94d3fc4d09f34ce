//! A witness: cosigns the checkpoints of other people's logs, each only if it extends the one that it cosigned last.
//!
//! C2SP `tlog-witness`. Whether a checkpoint is cosigned is decided by [`duramen::tlog::witness::decide`], a pure function.
//! This module keeps what it decides with, for thousands of logs in one store:
//!
//! - [`KnownLogs`]: the logs that are cosigned for, and their keys; the log list of the public witness network (`logs/v0`).
//! - [`Witness`]: the latest checkpoint of each log, in memory and in the store.
//! - `history`: the records in the store, and how old ones are dropped.
//! - `anchored`: how many records there are, kept outside the store.
//!
//! # Invariants
//!
//! - A cosignature is answered only when the checkpoint that it is on is durable in the store.
//! - Requests for one log are decided one after the other. Each is decided with what the one before made durable.
//! - A request that has begun to write is brought to its end, whether or not its sender still waits for the answer.
//! - After an error of the store that leaves open whether a record is durable, nothing is cosigned any more.
//! - With an anchor, a store that does not know everything that was cosigned is refused.
//! - A log is never forgotten: neither one that is listed no more, nor by dropping old records.

mod anchored;
mod error;
mod history;
mod limits;
mod logs;
mod register;
mod signer;
#[cfg(test)]
mod tests;

pub use error::{Declined, WitnessError};
pub use limits::MAX_REQUEST;
pub use logs::{KnownLogs, LogListError, LogListErrorKind};
pub use register::{Witness, WitnessConfig};
pub use signer::WitnessSigner;
