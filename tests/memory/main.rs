//! How much memory is taken, as the operating system and the allocator count it. A binary of its own, because the
//! accounts are those of the whole process. For the same reason its tests take turns.
#![cfg(all(feature = "std", target_os = "linux"))]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

#[cfg(feature = "testing")]
mod hollow;
#[cfg(feature = "testing")]
mod mutated;
mod small;

use std::sync::{Mutex, MutexGuard, PoisonError};

use testkit::allocator::Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting::new();

/// Waits until no other test of this process runs, and holds the others up.
fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}
