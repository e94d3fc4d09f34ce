//! Several trees in one store: a batch is seen whole or not at all, and a name leads to one tree.

use std::sync::Arc;

use duramen::testing::sim::{CrashChoice, SimDisk};
use duramen::{Arity, CheckpointPolicy, Config, Error, FlushPolicy, Hash, Store, TreeConfig};
use duramen_loom_tests::Model;
use loom::thread;

use crate::sum::{Sum, node};

fn leaf(index: u64) -> Hash {
    node(0, index)
}

fn config(disk: &SimDisk) -> Config {
    Config::new("store")
        .file_system(Arc::new(disk.clone()))
        .wal_segment_bytes(8192)
        .unwrap()
        .flush_policy(FlushPolicy::Manual)
        .checkpoint_policy(CheckpointPolicy::manual())
        .hasher(Arc::new(Sum))
}

fn kind() -> TreeConfig {
    TreeConfig::new(Arc::new(Sum), Arity::Two)
}

fn sizes(store: &Store) -> Vec<u64> {
    store.snapshot().unwrap().trees().map(|(_, size)| size.get()).collect()
}

#[test]
fn a_snapshot_of_the_store_has_a_batch_in_all_trees_or_in_none() {
    Model::new(1).check(|| {
        let disk = SimDisk::new();
        let store = Store::open(config(&disk)).unwrap();
        let trees = ["a", "b"].map(|name| store.tree_dyn(name, kind()).unwrap());
        let other = store.clone();
        let writer = thread::spawn(move || {
            let mut batch = other.batch();
            for tree in &trees {
                batch.insert_many(tree, &[leaf(0), leaf(1)]).unwrap();
            }
            batch.commit().unwrap();
            other.flush().unwrap();
        });
        let seen = sizes(&store);
        assert!(seen == [0, 0] || seen == [2, 2], "{seen:?}");
        let durable = store.durable_head().unwrap();
        let durable: Vec<_> = durable.trees().iter().map(|tree| tree.head.size.get()).collect();
        assert!(durable.is_empty() || durable == [0, 0] || durable == [2, 2], "{durable:?}");
        writer.join().unwrap();
        assert_eq!(sizes(&store), [2, 2]);
        store.close().unwrap();
        let left = disk.crash(CrashChoice::NothingKept);
        assert_eq!(sizes(&Store::open(config(&left)).unwrap()), [2, 2]);
    });
}

#[test]
fn two_threads_that_ask_for_a_name_get_one_tree_and_a_drop_takes_it_from_both() {
    Model::new(1).check(|| {
        let disk = SimDisk::new();
        let store = Store::open(config(&disk)).unwrap();
        let other = store.clone();
        let second = thread::spawn(move || {
            let tree = other.tree_dyn("a", kind()).unwrap();
            match tree.insert(leaf(0)) {
                Ok(inserted) => inserted.index.get() < 2,
                Err(Error::TreeDropped { .. }) => false,
                Err(error) => panic!("{error}"),
            }
        });
        let first = store.tree_dyn("a", kind()).unwrap();
        first.insert(leaf(0)).unwrap();
        drop(store.drop_tree("a").unwrap());
        assert!(matches!(first.insert(leaf(1)), Err(Error::TreeDropped { .. })));
        second.join().unwrap();
        // The other one may have come after the drop, and made a tree of its own.
        let trees = store.trees().unwrap();
        assert!(trees.len() <= 1 && trees.iter().all(|tree| tree.size.get() <= 1), "{trees:?}");
        store.close().unwrap();
        let again = Store::open(config(&disk)).unwrap();
        assert_eq!(sizes(&again).len(), trees.len());
    });
}

#[test]
fn two_threads_that_wake_a_tree_both_insert_into_it() {
    Model::new(1).check(|| {
        let disk = SimDisk::new();
        let store = Store::open(config(&disk)).unwrap();
        store.tree_dyn("a", kind()).unwrap().insert(leaf(0)).unwrap();
        store.checkpoint().unwrap();
        store.close().unwrap();
        let store = Store::open(config(&disk)).unwrap();
        let other = store.clone();
        let insert = |store: &Store| store.tree_dyn("a", kind()).unwrap().insert(leaf(1)).unwrap();
        let second = thread::spawn(move || insert(&other).index.get());
        let first = insert(&store).index.get();
        let second = second.join().unwrap();
        assert!(matches!((first, second), (1, 2) | (2, 1)), "{first} {second}");
        assert_eq!(sizes(&store), [3]);
        store.close().unwrap();
    });
}
