//! The turn of merges and compactions, what readers see of erasures, and files that are given up while entries are erased.

use std::sync::Arc;

use duramen::testing::models::{Alone, Erased, Unerased};
use duramen_loom_tests::Model;
use loom::sync::Mutex;
use loom::sync::atomic::{AtomicBool, Ordering};
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

#[test]
fn no_file_is_given_up_as_it_is_once_an_entry_may_be_erased() {
    Model::new(3).check(|| {
        let (unerased, erased) = (Unerased::default(), Arc::new(AtomicBool::new(false)));
        let threads = [(), ()].map(|()| {
            let (unerased, erased) = (unerased.clone(), Arc::clone(&erased));
            thread::spawn(move || {
                unerased.give_up(|| {
                    thread::yield_now();
                    // What is given up here has no erased entry.
                    assert!(!erased.load(Ordering::SeqCst), "given up unwiped after an erasure");
                })
            })
        });
        unerased.end();
        // The record of the erasure.
        erased.store(true, Ordering::SeqCst);
        for thread in threads {
            let _gave_up: bool = thread.join().unwrap();
        }
        assert!(!unerased.give_up(|| panic!("it is over")));
    });
}
