//! From the files of a store to one that goes on: facts, then a plan, then action.

mod act;
mod facts;
mod plan;

pub(crate) use act::{recover, segment_limits};
