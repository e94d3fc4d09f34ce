//! Processes under strace: what they did to the disk, and whether each promise came after the call that
//! made it true. The tests of the program have the same files.

pub mod calls;
pub mod order;
pub mod run;

#[cfg(test)]
mod calls_tests;
#[cfg(test)]
mod order_tests;
