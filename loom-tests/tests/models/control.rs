//! What starts the flusher: no request is lost, and stopping always ends it.

use std::sync::Arc;
use std::time::Duration;

use duramen::testing::models::{Control, Watermark, Work};
use duramen_loom_tests::Model;
use loom::sync::Mutex;
use loom::thread;

/// A store without tree and log: leaves are only counted.
struct Store {
    leaves: Mutex<u64>,
    control: Control,
    watermark: Watermark,
}

impl Store {
    fn new() -> Arc<Self> {
        let (leaves, control) = (Mutex::new(0), Control::default());
        Arc::new(Self { leaves, control, watermark: Watermark::new(0) })
    }

    fn insert(&self) -> u64 {
        let mut leaves = self.leaves.lock().unwrap();
        *leaves += 1;
        *leaves
    }

    /// The flusher, with the same steps in the same order as the one that ships: look at the
    /// watermark, take work, cut, make durable. Returns what it did.
    fn flush_until_stopped(&self, interval: Option<Duration>) -> Vec<Work> {
        let mut done = Vec::new();
        loop {
            let durable = self.watermark.durable();
            let work = self.control.next(durable, interval);
            done.push(work);
            if matches!(work, Work::Flush | Work::Stop) {
                let cut = *self.leaves.lock().unwrap();
                self.watermark.advance(cut);
            }
            if work == Work::Stop {
                return done;
            }
        }
    }

    fn start_flusher(
        self: &Arc<Self>,
        interval: Option<Duration>,
    ) -> thread::JoinHandle<Vec<Work>> {
        let store = Arc::clone(self);
        thread::spawn(move || store.flush_until_stopped(interval))
    }
}

fn spawn(store: &Arc<Store>, work: impl FnOnce(&Store) + 'static) -> thread::JoinHandle<()> {
    let store = Arc::clone(store);
    thread::spawn(move || work(&store))
}

fn insert_durable(store: &Store) {
    let seq = store.insert();
    store.control.request(seq);
    store.watermark.token(seq).wait().unwrap();
}

#[test]
fn every_durable_insert_of_many_threads_is_flushed_and_stopping_ends_the_flusher() {
    Model::new(2).check(|| {
        let store = Store::new();
        let flusher = store.start_flusher(None);
        let inserters = [(), ()].map(|()| spawn(&store, insert_durable));
        for inserter in inserters {
            inserter.join().unwrap();
        }
        store.control.stop();
        let done = flusher.join().unwrap();
        assert!(done.len() <= 3, "two inserts and a stop took {done:?}");
    });
}

#[test]
fn a_second_request_while_the_first_is_served_is_served_too() {
    Model::new(3).check(|| {
        let store = Store::new();
        let flusher = store.start_flusher(None);
        let inserter = spawn(&store, |store| {
            insert_durable(store);
            insert_durable(store);
        });
        inserter.join().unwrap();
        store.control.stop();
        flusher.join().unwrap();
    });
}

#[test]
fn stopping_beside_a_request_flushes_what_was_inserted() {
    Model::new(3).check(|| {
        let store = Store::new();
        let flusher = store.start_flusher(None);
        let seq = store.insert();
        let inserter = spawn(&store, move |store| store.control.request(seq));
        store.control.stop();
        flusher.join().unwrap();
        assert_eq!(store.watermark.durable(), 1);
        inserter.join().unwrap();
    });
}

#[test]
fn the_first_leaf_starts_the_interval_and_one_flush_ends_it() {
    Model::new(3).timed_waits_expire().check(|| {
        let store = Store::new();
        let flusher = store.start_flusher(Some(Duration::from_millis(10)));
        let inserter = spawn(&store, |store| {
            let seq = store.insert();
            store.control.dirty();
            store.watermark.token(seq).wait().unwrap();
        });
        inserter.join().unwrap();
        store.control.stop();
        let done = flusher.join().unwrap();
        assert_eq!(done, [Work::Flush, Work::Stop]);
    });
}

#[test]
fn a_spill_is_done_once_and_claims_nothing() {
    Model::new(3).check(|| {
        let store = Store::new();
        let control = store.control.clone();
        let flusher = thread::spawn(move || control.next(0, None));
        store.control.spill();
        assert_eq!(flusher.join().unwrap(), Work::Spill);
        store.control.stop();
        assert_eq!(store.control.next(0, None), Work::Stop);
    });
}

#[test]
fn a_change_is_reported_though_the_flusher_sleeps() {
    Model::new(3).check(|| {
        let store = Store::new();
        store.control.report_every(Duration::from_secs(1));
        let control = store.control.clone();
        let flusher = thread::spawn(move || control.next(0, None));
        store.control.changed();
        assert_eq!(flusher.join().unwrap(), Work::Report);
        store.control.stop();
        assert_eq!(store.control.next(0, None), Work::Stop);
    });
}

#[test]
fn a_tick_asked_for_from_another_thread_comes_though_the_flusher_sleeps() {
    Model::new(3).timed_waits_expire().check(|| {
        let store = Store::new();
        let control = store.control.clone();
        let flusher = thread::spawn(move || control.next(0, None));
        store.control.tick_in(Some(Duration::from_secs(1)));
        assert_eq!(flusher.join().unwrap(), Work::Tick);
        store.control.stop();
        assert_eq!(store.control.next(0, None), Work::Stop);
    });
}

#[test]
fn a_request_does_not_wait_for_the_interval_of_those_before() {
    Model::new(3).check(|| {
        let store = Store::new();
        let flusher = store.start_flusher(Some(Duration::from_secs(3600)));
        let lazy = spawn(&store, |store| {
            store.insert();
            store.control.dirty();
        });
        insert_durable(&store);
        lazy.join().unwrap();
        store.control.stop();
        flusher.join().unwrap();
        assert_eq!(store.watermark.durable(), 2);
    });
}
