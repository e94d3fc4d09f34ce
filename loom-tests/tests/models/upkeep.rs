//! What a store does in the background, beside inserts and reads: merges, tries again, makes room.

use std::sync::Arc;
use std::time::Duration;

use duramen::fs::FileKind;
use duramen::testing::sim::{Fault, FaultError, OperationKind, SimDisk, When};
use duramen::{
    Arity, CheckpointPolicy, CompactionPolicy, Config, DynAccumulator, Error, Event, FlushPolicy,
    TreeSize,
};
use duramen_loom_tests::{Model, Signal};
use loom::thread;

use crate::sum::{Sum, encode, node};

/// Every insert ends at a point, which a checkpoint may reach by itself.
fn hour() -> FlushPolicy {
    FlushPolicy::interval(Duration::from_secs(3600)).unwrap()
}

struct Store {
    disk: SimDisk,
    tree: DynAccumulator,
}

fn open(config: impl FnOnce(Config) -> Config) -> Store {
    let disk = SimDisk::new();
    let large = Config::new("store")
        .file_system(Arc::new(disk.clone()))
        .flush_policy(FlushPolicy::Manual)
        .checkpoint_policy(CheckpointPolicy::manual());
    let tree = DynAccumulator::open(config(large), Arc::new(Sum), Arity::Two).unwrap();
    Store { disk, tree }
}

impl Store {
    /// Lets the next part that is created fail.
    fn fail_part(&self, error: FaultError) {
        let create = When::nth(OperationKind::Create, 1).on(FileKind::Part);
        self.disk.inject(Fault::new(create, error));
    }

    fn insert_and_checkpoint(&self, leaves: std::ops::Range<u64>) {
        let leaves: Vec<_> = leaves.map(|index| node(0, index)).collect();
        self.tree.insert_many(&leaves).unwrap();
        self.tree.checkpoint().unwrap();
    }
}

/// The first `size` leaves are there, and so is the root over them.
fn check(tree: &DynAccumulator, size: u64) {
    let snapshot = tree.snapshot();
    assert_eq!(snapshot.size(), TreeSize(size));
    for index in 0..size {
        assert_eq!(snapshot.leaf(index).unwrap(), node(0, index));
    }
    assert_eq!(snapshot.head().unwrap().root, encode((1..=size).sum()));
}

#[test]
fn a_merge_takes_nothing_away_from_a_checkpoint_beside_it_nor_from_a_reader() {
    Model::new(1).check(|| {
        let (begun, merged) = (Signal::new(), Signal::new());
        let told = [Arc::clone(&begun), Arc::clone(&merged)];
        let store = open(|config| {
            config.compaction_policy(CompactionPolicy::tiered(2).unwrap()).listener(
                move |event: &Event| match event {
                    Event::CompactionBegun { .. } => told[0].give(),
                    Event::CompactionCompleted { .. } => told[1].give(),
                    _ => {}
                },
            )
        });
        store.insert_and_checkpoint(0..2);
        store.insert_and_checkpoint(2..4);
        // This one has all three merged, while the next one is made and read.
        store.insert_and_checkpoint(4..6);
        begun.take();
        store.insert_and_checkpoint(6..8);
        merged.take();
        check(&store.tree, 8);
        // A list of parts that lacks one shows when the next part is added to it.
        store.insert_and_checkpoint(8..10);
        check(&store.tree, 10);
        store.tree.close().unwrap();
    });
}

#[test]
fn a_checkpoint_that_failed_is_made_later_though_nobody_inserts_any_more() {
    Model::new(2).timed_waits_expire().check(|| {
        let made = Signal::new();
        let told = Arc::clone(&made);
        let store = open(|config| {
            config.checkpoint_policy(CheckpointPolicy::manual().every_leaves(1).unwrap()).listener(
                move |event: &Event| {
                    if let Event::CheckpointCompleted { .. } = event {
                        told.give();
                    }
                },
            )
        });
        store.fail_part(FaultError::ENOSPC);
        store.tree.insert_durable(node(0, 0)).unwrap();
        made.take();
        let stats = store.tree.stats();
        assert_eq!((stats.failed_checkpoints, stats.checkpoints), (1, 1));
        store.tree.close().unwrap();
    });
}

/// A store with room for one leaf that no checkpoint holds.
fn narrow() -> Store {
    open(|config| config.flush_policy(hour()).max_uncheckpointed_bytes(64).unwrap())
}

#[test]
fn who_waits_for_a_checkpoint_to_make_room_gets_it() {
    Model::new(2).check(|| {
        let store = Arc::new(narrow());
        let inserter = {
            let store = Arc::clone(&store);
            thread::spawn(move || drop(store.tree.insert(node(0, 0)).unwrap()))
        };
        store.tree.insert(node(0, 0)).unwrap();
        inserter.join().unwrap();
        assert_eq!(store.tree.size(), TreeSize(2));
        let Ok(store) = Arc::try_unwrap(store) else {
            panic!("another thread still has the store")
        };
        store.tree.close().unwrap();
    });
}

#[test]
fn who_waits_for_room_is_told_that_checkpoints_fail() {
    Model::new(2).check(|| {
        let store = narrow();
        store.fail_part(FaultError::EIO);
        store.tree.insert(node(0, 0)).unwrap();
        let refused = store.tree.insert(node(0, 1)).unwrap_err();
        assert!(matches!(refused, Error::CheckpointsFail { .. }), "{refused}");
        store.tree.checkpoint().unwrap();
        store.tree.insert(node(0, 1)).unwrap();
        check(&store.tree, 2);
        store.tree.close().unwrap();
    });
}

#[test]
fn who_waits_for_room_for_so_long_is_told_though_a_try_is_put_off() {
    Model::new(2).timed_waits_expire().check(|| {
        let wait = Duration::from_secs(1);
        let store = open(|config| {
            let config = config.flush_policy(hour()).max_uncheckpointed_bytes(64).unwrap();
            let config = config.backpressure_wait(wait);
            config.retry_wait(2 * wait, 2 * wait).unwrap()
        });
        store.fail_part(FaultError::ENOSPC);
        store.tree.insert(node(0, 0)).unwrap();
        match store.tree.insert(node(0, 1)) {
            Ok(inserted) => assert_eq!(inserted.index.get(), 1),
            Err(error) => {
                assert!(matches!(error, Error::Backpressure { .. }), "{error}");
                assert_eq!(store.tree.size(), TreeSize(1));
            }
        }
        store.tree.close().unwrap();
    });
}
