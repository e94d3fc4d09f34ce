//! A tree that is rewound while others insert, and while a checkpoint is made.

use std::sync::Arc;

use duramen::testing::sim::{CrashChoice, SimDisk};
use duramen::{Arity, CheckpointPolicy, Config, DynAccumulator, Error, FlushPolicy};
use duramen_loom_tests::Model;
use loom::thread;

use crate::sum::{Sum, encode, node};

/// Room for the stack of a thread that rewinds, in words.
const STACK_WORDS: usize = 1 << 17;

fn open(disk: &SimDisk) -> DynAccumulator {
    let config = Config::new("store")
        .file_system(Arc::new(disk.clone()))
        .flush_policy(FlushPolicy::Manual)
        .checkpoint_policy(CheckpointPolicy::manual());
    DynAccumulator::open(config, Arc::new(Sum), Arity::Two).unwrap()
}

/// The tree has these leaves and the root over them: leaf `i` of [`node`] counts `i + 1`.
fn check(tree: &DynAccumulator, leaves: &[u64]) {
    let snapshot = tree.snapshot();
    assert_eq!(snapshot.size().get(), leaves.len() as u64);
    for (index, leaf) in (0..).zip(leaves) {
        assert_eq!(snapshot.leaf(index).unwrap(), node(0, *leaf));
    }
    let sum = leaves.iter().map(|leaf| leaf + 1).sum();
    assert_eq!(snapshot.head().unwrap().root, encode(sum));
}

/// Starts a thread with room for its stack.
fn spawn<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> thread::JoinHandle<T> {
    thread::Builder::new().stack_size(STACK_WORDS).spawn(work).unwrap()
}

#[test]
fn a_leaf_that_comes_beside_a_rewind_comes_before_it_or_after_it() {
    Model::new(2).check(|| {
        spawn(|| leaf_beside_a_rewind(true)).join().unwrap();
    });
}

#[test]
fn a_leaf_that_a_rewind_drops_before_it_is_durable_is_never_called_durable() {
    Model::new(2).check(|| {
        spawn(|| leaf_beside_a_rewind(false)).join().unwrap();
    });
}

#[test]
fn a_checkpoint_beside_a_rewind_has_the_tree_before_it_or_after_it() {
    Model::new(1).check(|| {
        spawn(checkpoint_beside_a_rewind).join().unwrap();
    });
}

/// `flush` has the leaf made durable by its own thread, and otherwise nothing does but the rewind.
fn leaf_beside_a_rewind(flush: bool) {
    let disk = SimDisk::new();
    let tree = Arc::new(open(&disk));
    tree.insert_many(&[node(0, 0), node(0, 1)]).unwrap();
    let before = tree.snapshot();
    let other = Arc::clone(&tree);
    let rewinds = spawn(move || other.rewind(1).unwrap());
    let inserted = tree.insert(node(0, 7)).unwrap();
    if flush {
        // It may find the leaf dropped, and ends all the same.
        tree.flush().unwrap();
    }
    let rewound = rewinds.join().unwrap();
    let size = rewound.trees[0].before.get();
    match inserted.index.0 {
        // Before the rewind: dropped, and durable only if it was so when the rewind came.
        2 => {
            assert_eq!(size, 3);
            let answer = inserted.token.wait();
            let is_right = match answer {
                Ok(()) => flush,
                Err(Error::Rewound { .. }) => true,
                Err(_) => false,
            };
            assert!(is_right, "{answer:?}");
            check(&tree, &[0]);
        }
        // After it, at an index that a dropped leaf had.
        1 => {
            assert_eq!(size, 2);
            tree.flush().unwrap();
            inserted.token.wait().unwrap();
            check(&tree, &[0, 7]);
        }
        index => panic!("a leaf at index {index}"),
    }
    assert_eq!(before.leaf(1).unwrap(), node(0, 1));
    let size = tree.size();
    let left = disk.crash(CrashChoice::NothingKept);
    let again = open(&left);
    assert_eq!(again.size(), size);
    again.close().unwrap();
    let Ok(tree) = Arc::try_unwrap(tree) else { panic!("another thread still has the tree") };
    tree.close().unwrap();
}

fn checkpoint_beside_a_rewind() {
    let disk = SimDisk::new();
    let tree = Arc::new(open(&disk));
    tree.insert_many(&[node(0, 0), node(0, 1), node(0, 2)]).unwrap();
    let other = Arc::clone(&tree);
    let rewinds = spawn(move || {
        other.rewind(1).unwrap();
        other.insert(node(0, 7)).unwrap();
    });
    tree.checkpoint().unwrap();
    rewinds.join().unwrap();
    check(&tree, &[0, 7]);
    tree.checkpoint().unwrap();
    check(&tree, &[0, 7]);
    let left = disk.crash(CrashChoice::NothingKept);
    let again = open(&left);
    check(&again, &[0, 7]);
    again.close().unwrap();
    let Ok(tree) = Arc::try_unwrap(tree) else { panic!("another thread still has the tree") };
    tree.close().unwrap();
}
