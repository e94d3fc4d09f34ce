//! What comes in: from the call of an insert to what the flusher cuts.

mod inlets;
mod insert;
mod pending;
mod room;
mod state;

pub(crate) use insert::{Addition, Intake};
pub(crate) use pending::{Control, Cut, Stretch};
pub(crate) use state::Ingest;
