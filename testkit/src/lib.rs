//! What the tests, the benchmarks and the torture of duramen share: leaves, a reference tree, random
//! numbers, file systems that interfere, and child processes.

pub mod children;
pub mod columns;
pub mod hooked;
pub mod random;
pub mod reference;
pub mod space;
pub mod stores;
pub mod words;
