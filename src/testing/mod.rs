//! Scaffolding for tests: a disk in memory that loses power, a file system that leaves out calls, hostile bytes, golden bytes, and the handles
//! that models hold.
//!
//! Nothing in here runs in a store, and nothing outside of here knows any of it.

#[cfg(any(test, feature = "testing"))]
pub mod faulty;
#[cfg(test)]
pub(crate) mod golden;
#[cfg(any(test, feature = "testing"))]
#[doc(hidden)]
pub mod hostile;
#[cfg(duramen_loom)]
#[doc(hidden)]
pub mod models;
#[cfg(any(test, feature = "testing"))]
pub mod sim;
