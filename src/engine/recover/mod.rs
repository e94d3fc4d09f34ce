//! Recovery: gathers facts from the files of a store, decides, then acts.

mod act;
mod facts;
mod plan;

pub(crate) use act::{recover, segment_limits};
