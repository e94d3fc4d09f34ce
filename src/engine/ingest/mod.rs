//! The insertion path: from the call of an insert to what the flusher cuts.

mod addition;
mod erased;
mod inflow;
mod inlet;
mod insert;
mod pending;
mod records;
mod room;
mod state;
mod unique;

pub(crate) use addition::Addition;
pub(super) use inflow::Inflow;
pub(crate) use insert::Intake;
pub(crate) use pending::{Control, Cut, CutKind, Erasing, Stretch};
pub(crate) use state::{Fate, Rewinding};
pub(crate) use unique::{Found, Request};
