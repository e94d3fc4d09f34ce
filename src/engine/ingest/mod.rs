//! The insertion path: from the call of an insert to what the flusher cuts.

mod inflow;
mod inlet;
mod insert;
mod pending;
mod records;
mod room;
mod state;

pub(super) use inflow::Inflow;
pub(crate) use insert::{Addition, Intake};
pub(crate) use pending::{Control, Cut, Stretch};
