//! The turn of merges and compactions, and what readers see of erasures.

use std::sync::Arc;

use duramen::testing::models::{Alone, Erased};
use duramen_loom_tests::Model;
use loom::sync::Mutex;
use loom::thread;

/// Work that notices if another thread does some at the same time.
#[derive(Clone, Default)]
struct Work(Arc<Mutex<()>>);

impl Work {
    fn run(&self) {
        let Ok(_only) = self.0.try_lock() else { panic!("two threads have the turn") };
        thread::yield_now();
    }
}

#[test]
fn one_thread_at_a_time_has_the_turn_and_none_waits_for_ever() {
    Model::new(3).check(|| {
        let (alone, work) = (Alone::default(), Work::default());
        let other = |wait: bool| {
            let (alone, work) = (alone.clone(), work.clone());
            thread::spawn(move || match wait {
                true => alone.wait(|| work.run()),
                false => alone.try_now(|| work.run()),
            })
        };
        let threads = [other(true), other(false)];
        alone.wait(|| work.run());
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

#[test]
fn a_reader_that_sees_a_count_finds_as_many_erased_entries() {
    Model::new(3).check(|| {
        let erased = Erased::default();
        let other = erased.clone();
        let writer = thread::spawn(move || (0..2).for_each(|index| other.erase(index)));
        let count = erased.count();
        assert!(erased.entries() >= count);
        writer.join().unwrap();
        assert_eq!((erased.count(), erased.entries()), (2, 2));
    });
}
