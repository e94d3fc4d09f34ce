//! A log over HTTP, without sockets where that is possible, on a simulated disk.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test panics when it fails")]

mod cold;
mod damaged;
mod drain;
mod durable;
mod jobs;
mod memory;
mod musts;
mod numbers;
mod pruned;
mod ready;
mod receipts;
mod rig;
mod tls;
