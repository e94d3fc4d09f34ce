//! The shipped program from the outside: what it reads, prints, keeps and refuses.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test may fail as it may"
)]

mod admin;
mod append;
mod backup;
mod common;
mod config;
#[cfg(target_os = "linux")]
mod connections;
mod consistency;
mod diff;
#[cfg(target_os = "linux")]
mod doctor;
mod entries;
mod erase;
mod errors;
mod exactly_once;

mod files;
mod find;
#[cfg(target_os = "linux")]
mod follow;
mod inputs;
mod kill;
mod locked;
mod looking;
#[cfg(target_os = "linux")]
mod memory;
mod messages;
mod multi;
mod names;
mod notify;
mod operators;
mod outside;
mod proofs;
mod read_only;
mod reading;
mod recover;
mod remote;
mod scrub;
mod serve;
mod serve_keys;
mod signals;
mod stats;
mod statuses;
mod streams;
mod tail;
mod terminal;
mod tlog;
#[cfg(target_os = "linux")]
mod trace;
mod transfer;
mod trees;
mod trust;
#[cfg(target_os = "linux")]
mod witness;
mod witnessed;
mod words;
// The library's testkit as a dependency would build the program with what is there for tests alone.
#[cfg(target_os = "linux")]
#[path = "../../../testkit/src/trace/mod.rs"]
#[allow(dead_code, unreachable_pub, reason = "the library's tests use all of it")]
mod traced;
