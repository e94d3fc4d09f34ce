//! The statistics of each tree of a store.

use std::sync::Arc;

use duramen::fs::FileKind;
use duramen::testing::sim::{Fault, FaultError, OperationKind, SimDisk, When};
use duramen::{
    Blake3, CheckpointPolicy, CompactionPolicy, Config, FlushPolicy, Rfc6962Sha256, Store,
    TreeStats,
};

fn config(disk: &SimDisk) -> Config {
    Config::new("store")
        .file_system(Arc::new(disk.clone()))
        .flush_policy(FlushPolicy::Manual)
        .checkpoint_policy(CheckpointPolicy::manual())
        .compaction_policy(CompactionPolicy::tiered(2).unwrap())
}

fn of<'a>(all: &'a [TreeStats], name: &str) -> &'a TreeStats {
    all.iter().find(|stats| stats.tree.as_str() == name).unwrap()
}

fn sum(all: &[TreeStats], what: fn(&TreeStats) -> u64) -> u64 {
    all.iter().map(what).sum()
}

#[test]
fn each_number_is_of_its_own_tree() {
    let disk = SimDisk::new();
    let store = Store::open(config(&disk)).unwrap();
    let a = store.tree::<Blake3, 4>("a").unwrap();
    let b = store.tree::<Rfc6962Sha256, 2>("b").unwrap();
    a.insert_many(&[[1; 32]; 100]).unwrap();
    b.insert_many(&[[2; 32]; 7]).unwrap();
    store.flush().unwrap();
    b.insert([3; 32]).unwrap();
    let all = store.tree_stats();
    let names: Vec<_> = all.iter().map(|stats| stats.tree.to_string()).collect();
    assert_eq!(names, ["a", "b"]);
    assert_eq!(*of(&all, "a"), a.tree_stats().unwrap());
    let sizes = |stats: &TreeStats| {
        (stats.size.get(), stats.durable_size.get(), stats.pending, stats.checkpointed_size.get())
    };
    assert_eq!(sizes(of(&all, "a")), (100, 100, 0, 0));
    assert_eq!(sizes(of(&all, "b")), (8, 7, 1, 0));
    store.checkpoint().unwrap();
    for leaf in 4..8 {
        a.insert([leaf; 32]).unwrap();
        store.checkpoint().unwrap();
        a.wait_idle();
    }
    let (all, stats) = (store.tree_stats(), store.stats());
    assert_eq!(sizes(of(&all, "a")), (104, 104, 0, 104));
    assert_eq!(sizes(of(&all, "b")), (8, 8, 0, 8));
    assert_eq!((of(&all, "a").checkpoints, of(&all, "b").checkpoints), (5, 1));
    assert_eq!(stats.checkpoints, 5);
    assert!(of(&all, "a").compactions > 0, "{all:?}");
    assert_eq!(of(&all, "b").compactions, 0);
    assert_eq!(sum(&all, |tree| tree.compactions), stats.compactions);
    assert_eq!(sum(&all, |tree| tree.part_bytes_written), stats.part_bytes_written);
    assert_eq!(sum(&all, |tree| tree.compaction_bytes_written), stats.compaction_bytes_written);
    assert_eq!(sum(&all, |tree| tree.parts), stats.parts);
    assert_eq!(sum(&all, |tree| tree.memory_bytes), stats.memory_bytes);
    assert_eq!(sum(&all, |tree| tree.size.get()), stats.leaves);
    let infos: Vec<_> =
        store.trees().unwrap().iter().map(|tree| (tree.name.clone(), tree.parts)).collect();
    assert_eq!(infos, all.iter().map(|tree| (tree.tree.clone(), tree.parts)).collect::<Vec<_>>());
}

#[test]
fn what_fails_counts_for_its_tree_alone() {
    let disk = SimDisk::new();
    let store = Store::open(config(&disk)).unwrap();
    let [a, b] = ["a", "b"].map(|name| store.tree::<Blake3, 4>(name).unwrap());
    b.insert([1; 32]).unwrap();
    store.checkpoint().unwrap();
    let before = b.tree_stats().unwrap();
    a.insert([2; 32]).unwrap();
    let rename = When::nth(OperationKind::Rename, 1).on(FileKind::Manifest);
    disk.inject(Fault::new(rename, FaultError::EIO));
    assert!(store.checkpoint().is_err());
    let failed = a.tree_stats().unwrap();
    assert_eq!((failed.checkpoints, failed.part_bytes_written), (0, 0));
    assert_eq!((failed.durable_size.get(), failed.checkpointed_size.get()), (1, 0));
    for leaf in 3..5 {
        store.checkpoint().unwrap();
        a.insert([leaf; 32]).unwrap();
    }
    // The third part of the tree, which is then to be merged.
    disk.inject(Fault::new(
        When::nth(OperationKind::Create, 2).on(FileKind::Part),
        FaultError::EIO,
    ));
    store.checkpoint().unwrap();
    a.wait_idle();
    assert_eq!(a.tree_stats().unwrap().failed_compactions, store.stats().failed_compactions);
    assert_eq!(store.stats().failed_compactions, 1);
    assert_eq!(b.tree_stats().unwrap(), before);
}

#[test]
fn a_tree_that_sleeps_has_no_statistics_and_one_that_wakes_starts_at_zero() {
    let disk = SimDisk::new();
    let store = Store::open(config(&disk)).unwrap();
    let [a, _b] = ["a", "b"].map(|name| store.tree::<Blake3, 4>(name).unwrap());
    a.insert_many(&[[1; 32]; 9]).unwrap();
    store.checkpoint().unwrap();
    store.close().unwrap();
    let store = Store::open(config(&disk)).unwrap();
    assert_eq!(store.tree_stats(), []);
    let a = store.tree::<Blake3, 4>("a").unwrap();
    let stats = a.tree_stats().unwrap();
    assert_eq!(store.tree_stats(), std::slice::from_ref(&stats));
    let now = (stats.size.get(), stats.checkpointed_size.get(), stats.parts);
    assert_eq!(now, (9, 9, 1));
    assert_eq!((stats.checkpoints, stats.part_bytes_written), (0, 0));
}
