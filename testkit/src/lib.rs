//! What the tests, the benchmarks and the torture of duramen share: leaves, a reference tree, random
//! numbers, file systems that interfere, and child processes.

pub mod allocator;
pub mod children;
pub mod columns;
pub mod hooked;
pub mod random;
pub mod reference;
pub mod space;
pub mod stores;
#[cfg(target_os = "linux")]
pub mod trace;
pub mod words;
