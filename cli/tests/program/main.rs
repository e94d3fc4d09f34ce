//! The shipped program from the outside: what it reads, prints, keeps and refuses.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test may fail as it may"
)]

mod append;
mod backup;
mod common;
mod consistency;
mod errors;
mod kill;
mod multi;
mod proofs;
mod reading;
mod scrub;
mod tlog;
