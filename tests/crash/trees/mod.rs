//! Several trees in one store: whatever happens, all of them are as they were at one point.
//!
//! A workload creates, fills, rewinds, prunes, seals and drops up to three trees of different arities and hash functions,
//! alone and in batches, with checkpoints, merges, a reader that follows, closing and dying in between. The power is
//! cut at every operation of every step, every operation fails, every byte changes. What opens afterwards must
//! be one of the points that a caller named, as a whole: names, ids, leaves, seals, roots, proofs.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod bytes;
mod examine;
mod fault;
mod gone;
mod model;
mod rig;
mod setup;
mod state;
mod unique;
mod workload;

pub(crate) use bytes::Item as Harmed;
pub(crate) use bytes::{all as all_harm, size as harmed_bytes};
pub(crate) use fault::{Share, shares};
pub(crate) use workload::{LONG, PRUNED, Workload, random_workload, short_workloads, with_prunes};
