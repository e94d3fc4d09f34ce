//! How much memory is taken, as the operating system and the allocator count it. A binary of its own, because the
//! accounts are those of the whole process. For the same reason its tests take turns.
#![cfg(all(feature = "std", target_os = "linux"))]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

#[cfg(feature = "testing")]
mod hollow;
#[cfg(feature = "testing")]
mod mutated;
mod small;

use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

use testkit::allocator::Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting::new();

/// Waits until no other test of this process runs, and holds the others up.
fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs the test that calls this in a process of its own, in which no memory is left of others. Returns `false` there,
/// where the test goes on, and where tests run one after the other anyway.
fn ran_apart() -> bool {
    const APART: &str = "DURAMEN_TEST_APART";
    let thread = std::thread::current();
    // The thread of a test has the test's name, unless there is only one.
    let test = thread.name().filter(|name| *name != "main");
    let (Some(test), None) = (test, std::env::var_os(APART)) else { return false };
    let mut command = Command::new(std::env::current_exe().unwrap());
    let command = command.args(["--exact", test, "--nocapture"]).env(APART, "1");
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    print!("{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && text.contains("1 passed"), "{}", output.status);
    true
}
