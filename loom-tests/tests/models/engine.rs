//! A whole store, on a disk in memory: every insert has its answer and every answer is true, while
//! the store flushes, fails, makes checkpoints and closes.

use std::sync::Arc;
use std::time::Duration;

use duramen::fs::FileKind;
use duramen::testing::sim::{CrashChoice, Fault, FaultError, OperationKind, SimDisk, When};
use duramen::{
    Arity, CheckpointPolicy, Config, DynAccumulator, Error, FlushPolicy, Hash, Reader, TreeSize,
};
use duramen_loom_tests::Model;
use loom::thread;

use crate::sum::{Sum, node};

/// Leaf `i` of a store that is filled in order.
fn leaf(index: u64) -> Hash {
    node(0, index)
}

struct Store {
    disk: SimDisk,
    tree: DynAccumulator,
}

fn open(config: impl FnOnce(Config) -> Config) -> Store {
    let disk = SimDisk::new();
    let small = Config::new("store")
        .file_system(Arc::new(disk.clone()))
        .wal_segment_bytes(8192)
        .unwrap()
        .flush_policy(FlushPolicy::Manual)
        .checkpoint_policy(CheckpointPolicy::manual());
    let tree = DynAccumulator::open(config(small), Arc::new(Sum), Arity::Two).unwrap();
    Store { disk, tree }
}

impl Store {
    /// Whether a power cut at this moment would leave `leaf` in the log.
    fn is_on_disk(&self, leaf: Hash) -> bool {
        let left = self.disk.crash(CrashChoice::NothingKept);
        let log = left.files().into_iter().filter(|name| name.kind == FileKind::Segment);
        let mut log = log.filter_map(|name| left.read(name));
        log.any(|bytes| bytes.windows(leaf.len()).any(|bytes| bytes == leaf))
    }
}

fn spawn<T: 'static>(
    store: &Arc<Store>,
    work: impl FnOnce(&Store) -> T + 'static,
) -> thread::JoinHandle<T> {
    let store = Arc::clone(store);
    thread::spawn(move || work(&store))
}

fn close(store: Arc<Store>) -> Result<(), Error> {
    let Ok(store) = Arc::try_unwrap(store) else { panic!("another thread still has the store") };
    store.tree.close()
}

fn interval() -> FlushPolicy {
    FlushPolicy::interval(Duration::from_millis(10)).unwrap()
}

fn poisoned<T>(answer: Result<T, Error>) -> bool {
    matches!(answer, Err(Error::Poisoned { .. }))
}

#[test]
fn durable_inserts_of_two_threads_are_on_disk_when_they_return() {
    Model::new(2).check(|| {
        let store = Arc::new(open(|config| config));
        let inserters = [100, 200].map(|number| {
            spawn(&store, move |store| {
                store.tree.insert_durable(leaf(number)).unwrap();
                assert!(store.is_on_disk(leaf(number)));
            })
        });
        for inserter in inserters {
            inserter.join().unwrap();
        }
        assert_eq!(store.tree.size(), TreeSize(2));
        close(store).unwrap();
    });
}

#[test]
fn an_insert_beside_a_large_batch_comes_through_and_is_on_disk_when_it_returns() {
    Model::new(3).check(|| {
        let store = Arc::new(open(|config| config));
        let batch = spawn(&store, |store| {
            // Enough to be copied without the lock.
            let inserted = store.tree.insert_many(&[leaf(7); 5]).unwrap();
            assert_eq!(inserted.range.end - inserted.range.start, 5);
        });
        store.tree.insert_durable(leaf(100)).unwrap();
        assert!(store.is_on_disk(leaf(100)));
        batch.join().unwrap();
        assert_eq!(store.tree.size(), TreeSize(6));
        close(store).unwrap();
    });
}

#[test]
fn the_head_of_what_is_durable_is_right_at_every_moment() {
    Model::new(2).check(|| {
        let store = Arc::new(open(|config| config));
        let inserter = spawn(&store, |store| {
            store.tree.insert_durable(leaf(0)).unwrap();
        });
        let head = store.tree.durable_head().unwrap();
        match head.size.get() {
            0 => {}
            size => {
                assert_eq!((size, head.root), (1, leaf(0)));
                assert!(store.is_on_disk(leaf(0)));
            }
        }
        inserter.join().unwrap();
        assert_eq!(store.tree.durable_head().unwrap().size, TreeSize(1));
        close(store).unwrap();
    });
}

#[test]
fn what_is_spilled_beside_a_flush_is_not_called_durable_with_it() {
    Model::new(3).check(|| {
        let store = Arc::new(open(|config| config.max_unflushed_bytes(64).unwrap()));
        let inserter = spawn(&store, |store| {
            // There is room for two; the third waits until they are spilled.
            for index in 0..3 {
                store.tree.insert(leaf(index)).unwrap();
            }
        });
        store.tree.flush().unwrap();
        let durable = store.tree.durable_size();
        let left = Config::new("store").file_system(Arc::new(store.disk.crash(CrashChoice::NothingKept)));
        let left = Reader::open(left, Arc::new(Sum), Arity::Two).unwrap();
        assert!(left.size() >= durable, "{} of {durable} leaves are left", left.size());
        inserter.join().unwrap();
        close(store).unwrap();
    });
}

#[test]
fn an_interval_flushes_what_nobody_asks_for() {
    Model::new(2).timed_waits_expire().check(|| {
        let store = Arc::new(open(|config| config.flush_policy(interval())));
        let inserters = [100, 200].map(|number| {
            spawn(&store, move |store| {
                store.tree.insert(leaf(number)).unwrap().token.wait().unwrap();
                assert!(store.is_on_disk(leaf(number)));
            })
        });
        for inserter in inserters {
            inserter.join().unwrap();
        }
        close(store).unwrap();
    });
}

#[test]
fn a_failed_sync_is_an_error_for_everyone_and_closing_does_not_hang() {
    Model::new(2).check(|| {
        let store = Arc::new(open(|config| config));
        let fault = Fault::new(When::nth(OperationKind::Sync, 1), FaultError::EIO);
        store.disk.inject(fault);
        let inserters = [100, 200].map(|number| {
            spawn(&store, move |store| {
                assert!(poisoned(store.tree.insert_durable(leaf(number))));
                assert!(!store.is_on_disk(leaf(number)));
            })
        });
        for inserter in inserters {
            inserter.join().unwrap();
        }
        assert!(poisoned(store.tree.insert(leaf(0))));
        assert!(poisoned(store.tree.flush()));
        assert!(poisoned(close(store)));
    });
}

#[test]
fn a_failure_while_the_store_closes_reaches_the_token_and_close() {
    Model::new(3).check(|| {
        let store = open(|config| config);
        let fault = Fault::new(When::nth(OperationKind::Write, 1), FaultError::EIO);
        store.disk.inject(fault);
        let token = store.tree.insert(leaf(0)).unwrap().token;
        let waiter = thread::spawn(move || assert!(poisoned(token.wait())));
        assert!(poisoned(store.tree.close()));
        waiter.join().unwrap();
    });
}

#[test]
fn a_token_that_outlives_the_store_has_its_answer() {
    Model::new(3).check(|| {
        let store = open(|config| config);
        let token = store.tree.insert(leaf(0)).unwrap().token;
        let waiter = thread::spawn(move || token.wait().unwrap());
        drop(store);
        waiter.join().unwrap();
    });
}

#[test]
fn who_waits_for_room_gets_it() {
    for policy in [FlushPolicy::interval(Duration::from_secs(3600)).unwrap(), FlushPolicy::Manual] {
        Model::new(2).check(move || {
            let store = Arc::new(open(|config| {
                config.flush_policy(policy).max_unflushed_bytes(32).unwrap()
            }));
            let inserter = spawn(&store, |store| {
                store.tree.insert(leaf(0)).unwrap();
                store.tree.insert(leaf(0)).unwrap();
            });
            store.tree.insert(leaf(0)).unwrap();
            inserter.join().unwrap();
            assert_eq!(store.tree.size(), TreeSize(3));
            close(store).unwrap();
        });
    }
}

/// Threads that insert one leaf each where there is room for one, and wait for more at most a
/// second. How many got in.
fn insert_with_little_patience(store: &Arc<Store>) -> u64 {
    let threads = [(), ()].map(|()| {
        spawn(store, |store| match store.tree.insert(leaf(0)) {
            Ok(_) => 1,
            Err(Error::Backpressure { held: 32, .. }) => 0,
            Err(error) => panic!("{error}"),
        })
    });
    threads.into_iter().map(|thread| thread.join().unwrap()).sum()
}

#[test]
fn who_waits_for_room_for_so_long_gets_it_or_is_told_that_it_did_not() {
    let config = |config: Config| {
        let config = config.flush_policy(FlushPolicy::interval(Duration::from_secs(3600)).unwrap());
        config.max_unflushed_bytes(32).unwrap().backpressure_wait(Duration::from_secs(1))
    };
    Model::new(2).check(move || {
        let store = Arc::new(open(config));
        assert_eq!(insert_with_little_patience(&store), 2, "nobody's time was up");
        close(store).unwrap();
    });
    Model::new(2).timed_waits_expire().check(move || {
        let store = Arc::new(open(config));
        let inserted = insert_with_little_patience(&store);
        assert_eq!(store.tree.size(), TreeSize(inserted));
        close(store).unwrap();
    });
}

#[test]
fn who_waits_for_room_on_a_broken_disk_is_told() {
    Model::new(2).check(|| {
        let store = Arc::new(open(|config| config.max_unflushed_bytes(32).unwrap()));
        let fault = Fault::new(When::nth(OperationKind::Write, 1), FaultError::EIO);
        store.disk.inject(fault);
        let inserter = spawn(&store, |store| store.tree.insert(leaf(0)).map(|_| ()));
        let mine = store.tree.insert(leaf(0)).map(|_| ());
        let answers = [mine, inserter.join().unwrap()];
        // One of them filled the room; the other waited for what never came, unless the first was
        // refused before it began.
        assert!(answers.iter().any(|answer| poisoned(answer.clone())));
        assert!(poisoned(close(store)));
    });
}

#[test]
fn a_checkpoint_neither_stops_nor_confuses_inserts_and_reads() {
    Model::new(1).check(|| {
        let store = Arc::new(open(|config| config));
        store.tree.insert_many(&[leaf(0), leaf(1)]).unwrap();
        let checkpoint = spawn(&store, |store| store.tree.checkpoint().unwrap().seq);
        let reader = spawn(&store, |store| {
            let snapshot = store.tree.snapshot();
            let size = snapshot.size().0;
            let sum = (0..size).map(|index| index + 1).sum();
            assert_eq!(snapshot.head().unwrap().root, crate::sum::encode(sum));
            for index in 0..size {
                assert_eq!(snapshot.leaf(index).unwrap(), leaf(index));
            }
        });
        store.tree.insert_many(&[leaf(2), leaf(3), leaf(4)]).unwrap();
        let size = checkpoint.join().unwrap().0;
        assert!(size == 2 || size == 5, "a batch was torn: {size}");
        reader.join().unwrap();
        let head = store.tree.head().unwrap();
        assert_eq!((head.size, head.root), (TreeSize(5), crate::sum::encode(15)));
        close(store).unwrap();
    });
}

#[test]
fn closing_ends_checkpoints_that_run_in_the_background() {
    Model::new(2).check(|| {
        let policy = CheckpointPolicy::manual().every_leaves(1).unwrap().on_close(true);
        let store = open(|config| config.checkpoint_policy(policy));
        store.tree.insert_durable(leaf(0)).unwrap();
        store.tree.insert_durable(leaf(1)).unwrap();
        store.tree.close().unwrap();
    });
}
