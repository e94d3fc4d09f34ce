//! Asking witnesses for cosignatures, and being one: C2SP `tlog-witness`.
//!
//! Everything but the network and the disk: what is sent ([`AddCheckpoint`]), what a witness [decides](decide), and what
//! comes back ([`Answer`]).
//!
//! # Invariants
//!
//! - A witness accepts nothing that does not extend the head it accepted last. The caller stores that head, and replaces
//!   it only if it is still the one that was decided with, before it answers.

mod answer;
mod decide;
mod request;
mod status;

pub use answer::{Answer, AnswerError, cosigned_body, monitor_path};
pub use decide::{Accepted, KnownLog, Refusal, decide};
pub use request::{AddCheckpoint, MAX_PROOF_HASHES, RequestError};
pub use status::{SIZE_CONTENT_TYPE, WitnessStatus};
