//! Turns at the names of a directory: one thread at a time has a name, and each gets its turn.

use std::sync::Arc;

use duramen::testing::models::Turns;
use duramen_loom_tests::Model;
use loom::sync::atomic::{AtomicU64, Ordering};
use loom::thread;

/// Takes the names `numbers`, which no other thread may have meanwhile.
fn take<const N: usize>(turns: &Turns, taken: &[AtomicU64; 2], numbers: [u64; N]) {
    turns.take(numbers, || {
        let names = || numbers.iter().map(|number| &taken[*number as usize]);
        names().for_each(|name| assert_eq!(name.swap(1, Ordering::SeqCst), 0, "two have a name"));
        thread::yield_now();
        names().for_each(|name| name.store(0, Ordering::SeqCst));
    });
}

#[test]
fn one_thread_at_a_time_has_a_name_and_all_get_their_turn() {
    Model::new(2).check(|| {
        let shared = Arc::new((Turns::default(), [AtomicU64::new(0), AtomicU64::new(0)]));
        let other = |numbers: [u64; 1]| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || take(&shared.0, &shared.1, numbers))
        };
        let others = [other([0]), other([1])];
        take(&shared.0, &shared.1, [0, 1]);
        others.into_iter().for_each(|other| other.join().unwrap());
    });
}

#[test]
fn two_threads_that_wait_for_one_turn_both_get_it() {
    Model::new(2).check(|| {
        let shared = Arc::new((Turns::default(), [AtomicU64::new(0), AtomicU64::new(0)]));
        let other = || {
            let shared = Arc::clone(&shared);
            thread::spawn(move || take(&shared.0, &shared.1, [0]))
        };
        let others = [other(), other()];
        take(&shared.0, &shared.1, [0, 1]);
        others.into_iter().for_each(|other| other.join().unwrap());
    });
}
