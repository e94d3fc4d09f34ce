//! The protocol by which one writer at a time extends a store in a bucket.
//!
//! It rests on one promise: of several that create an object with the same name, one succeeds. There is no clock,
//! no lease and no heartbeat in it.
//!
//! # Data
//!
//! The *log* is a chain of slots, each created once. A *manifest* says from which slot on the log counts, and points to
//! the state before it. An *epoch* is one writer. Epochs, manifests and fences are small and are never deleted.
//!
//! # Rules
//!
//! Each has a mutant that the simulation catches.
//!
//! - **R1** Every object is made by create-if-absent.
//! - **R2** The slot is the one commit point. A manifest covers committed slots alone.
//! - **R3** The bytes of a slot are fixed before the first attempt, and one slot at a time is sent.
//! - **R4** Every answer but success is settled by reading the name: the writer's own bytes, another's, or none.
//! - **R5** A takeover creates its epoch, claims the next manifest, then reads the slots up to the first absent one and
//!   puts its fence there. What stands there instead is read too.
//! - **R6** Fences, manifests and epochs are never deleted.
//! - **R7** With its fence in place, a takeover looks for a higher epoch before it goes live.
//! - **R8** Only a live writer collects garbage: what a manifest names no longer that it has seen committed, and what
//!   older epochs left. It touches no name of a higher epoch.
//! - **R9** A name never gets a second content.
//! - **R10** What is reported as remote is committed.
//! - **R12** A fenced writer stops for good.
//!
//! # Why a stalled writer does no harm
//!
//! A writer sends one slot at a time, the first absent one. Its successor reads that slot or puts a fence in it. In the
//! first case what the writer sends belongs to the log, whenever it arrives. In the second it fails, since fences stay.
//! So what such a writer sends again after its slot was collected are the bytes that the log had.
//! A successor that stalls in turn, while the slots that it has yet to read are collected, may put its fence in a slot
//! that was collected. It then finds the epoch by which they were (R7) and stops.

mod check;
mod commit;
mod find;
mod probe;
mod read;
mod sweep;
mod takeover;
mod walk;
mod writer;

pub(crate) use check::check;
pub(crate) use commit::fetch_content;
pub(crate) use probe::probe;
pub(crate) use read::read;
pub(crate) use takeover::{identity, initialise, take_over};
pub(crate) use walk::Take;
pub(crate) use writer::Writer;
