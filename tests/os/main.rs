//! What depends on the operating system: the seam to the disk, forks, the page cache, and what the system refuses.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test panics when a promise is broken")]

#[cfg(target_os = "linux")]
mod cold_proof;
#[cfg(all(feature = "std", target_os = "linux"))]
mod erased_device;
#[cfg(all(feature = "std", target_os = "linux"))]
mod faults;
#[cfg(all(feature = "testing", target_os = "linux"))]
mod fork;
#[cfg(all(feature = "testing", target_os = "linux"))]
mod fork_reader;
#[cfg(feature = "std")]
mod fs_contract;
#[cfg(all(feature = "std", unix))]
mod fs_os;
#[cfg(all(feature = "std", target_os = "linux"))]
mod trace;
