//! Leaves that a tree is to have once, beside checkpoints.

use std::sync::Arc;

use duramen::testing::sim::SimDisk;
use duramen::{Arity, CheckpointPolicy, Config, DynAccumulator, FlushPolicy, Unique};
use duramen_loom_tests::Model;
use loom::thread;

use crate::sum::{Sum, node};

/// Room for the stack of a thread, in words.
const STACK_WORDS: usize = 1 << 16;

fn open(disk: &SimDisk) -> DynAccumulator {
    let config = Config::new("store")
        .file_system(Arc::new(disk.clone()))
        .flush_policy(FlushPolicy::Manual)
        .checkpoint_policy(CheckpointPolicy::manual());
    let tree = DynAccumulator::open(config, Arc::new(Sum), Arity::Two).unwrap();
    drop(tree.add_index().unwrap());
    tree
}

#[test]
fn two_threads_that_insert_a_leaf_beside_a_checkpoint_get_one_index() {
    Model::new(1).check(|| {
        let disk = SimDisk::new();
        let tree = Arc::new(open(&disk));
        tree.insert(node(0, 0)).unwrap();
        let other = Arc::clone(&tree);
        // A checkpoint needs more stack than loom gives a thread.
        let roomy = thread::Builder::new().stack_size(STACK_WORDS);
        let second = roomy.spawn(move || {
            // More leaves than the first one compares under the lock.
            other.insert_many(&[node(0, 1), node(0, 2)]).unwrap();
            let unique = other.insert_unique(node(0, 7)).unwrap();
            other.checkpoint().unwrap();
            unique
        });
        let second = second.unwrap();
        let first = tree.insert_unique(node(0, 7)).unwrap();
        let second = second.join().unwrap();
        assert_eq!(first.index(), second.index());
        assert!(matches!(
            (&first, &second),
            (Unique::New { .. }, Unique::Existing { .. })
                | (Unique::Existing { .. }, Unique::New { .. })
        ));
        assert_eq!(tree.size().get(), 4);
        assert_eq!(tree.find(&node(0, 7)).unwrap(), Some(first.index()));
        let Ok(tree) = Arc::try_unwrap(tree) else { panic!("another thread still has the tree") };
        tree.close().unwrap();
    });
}
