//! Stores on a disk that loses what it may lose: the power is cut at every operation of a workload,
//! every operation fails, syncs never come back. What is left must keep every promise.
//!
//! `cargo xtask crash` runs this with a seed, `cargo xtask crash --full` much more of it; a failure names
//! the seed that shows it again. `DURAMEN_CRASH_SCALE=2` damages every byte of every file.
#![cfg(feature = "testing")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test panics when a promise is broken")]

mod bytes;
mod check;
mod controls;
mod damage;
mod everything;
mod examine;
mod fault;
mod findings;
mod forged;
mod full;
mod killed;
mod model;
mod parts;
mod points;
mod power;
mod rig;
mod run;
mod setup;
mod stale;
mod trees;
mod waiting;

/// How much more than usual is looked at.
fn scale() -> u64 {
    std::env::var("DURAMEN_CRASH_SCALE").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}
