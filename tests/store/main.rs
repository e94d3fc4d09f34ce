//! A store from the outside: what it does, refuses, reports and survives.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test panics when a promise is broken")]

mod accumulator;
mod api;
mod backup;
#[cfg(feature = "testing")]
mod backup_crash;
#[cfg(feature = "testing")]
mod backup_update;
mod bad_input;
#[cfg(feature = "testing")]
mod begun;
#[cfg(feature = "testing")]
mod compact;
mod compaction;
#[cfg(feature = "testing")]
mod configuration;
#[cfg(feature = "testing")]
mod entries;
mod erase;
mod events;
#[cfg(feature = "testing")]
mod find;
mod formats;
mod history;
#[cfg(feature = "testing")]
mod identity;
#[cfg(feature = "testing")]
mod indexes;
#[cfg(feature = "testing")]
mod inspect;
#[cfg(feature = "testing")]
mod large_batch;
#[cfg(feature = "testing")]
mod limits;
#[cfg(feature = "testing")]
mod log_room;
mod manifests;
mod marks;
#[cfg(feature = "testing")]
mod memory_changed;
#[cfg(feature = "testing")]
mod mending;
mod moved;
#[cfg(feature = "testing")]
mod own_threads;
mod pinned;
mod prune;
#[cfg(feature = "testing")]
mod random;
#[cfg(feature = "testing")]
mod read_mode;
mod read_only;
mod reader;
#[cfg(feature = "testing")]
mod recover;
#[cfg(feature = "testing")]
mod refresh;
mod refusals;
#[cfg(feature = "testing")]
mod repair;
#[cfg(feature = "testing")]
mod restored;
#[cfg(feature = "testing")]
mod retention;
#[cfg(feature = "testing")]
mod retry;
mod rewind;
mod scrub;
#[cfg(feature = "testing")]
mod spans;
#[cfg(feature = "testing")]
mod stats;
#[cfg(feature = "testing")]
mod status;
mod stress;
#[cfg(feature = "testing")]
mod tail;
#[cfg(feature = "testing")]
mod tail_reader;
#[cfg(all(feature = "testing", feature = "keccak"))]
mod tails;
mod tree_stats;
mod trees;
