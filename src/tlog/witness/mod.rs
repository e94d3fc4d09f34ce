//! Asking witnesses for cosignatures, and being one: C2SP `tlog-witness`.
//!
//! Everything but the network and the disk: what is sent ([`AddCheckpoint`]), what a witness [decides](decide), and what
//! comes back ([`Answer`]). The same of subtrees: [`SignSubtree`], [`decide_subtree`].
//!
//! # Invariants
//!
//! - A witness accepts nothing that does not extend the head it accepted last. The caller stores that head, and replaces
//!   it only if it is still the one that was decided with, before it answers.

mod answer;
mod decide;
mod request;
mod status;
mod subtree;

pub use answer::{Answer, AnswerError, cosigned_body, monitor_path};
pub use decide::{Accepted, KnownLog, Refusal, decide};
pub use request::{AddCheckpoint, MAX_PROOF_HASHES, RequestError};
pub use status::{SIZE_CONTENT_TYPE, WitnessStatus};
pub use subtree::{SignSubtree, decide_subtree};
