//! The parts of many trees in one checkpoint: several threads sync them.

use std::ops::ControlFlow::Continue;
use std::ops::RangeInclusive;
use std::sync::Arc;

use duramen::fs::FileKind;
use duramen::testing::faulty::Flaw;
use duramen::testing::sim::{CrashChoice, Fault, FaultError, Operation, OperationKind};
use duramen::testing::sim::{SimDisk, When};
use duramen::{
    Arity, Blake3, CheckpointPolicy, CompactionPolicy, Config, Error, FlushPolicy, Hash, Store,
    TreeConfig, scrub,
};
use testkit::stores::{leaves, root_of};

use crate::setup::place;

/// More parts than are synced one after the other, and no multiple of the threads that share them.
const TREES: usize = 21;

fn config(disk: &SimDisk, flaw: Option<Flaw>) -> Config {
    Config::new("store")
        .file_system(place(disk, flaw))
        .flush_policy(FlushPolicy::Manual)
        .checkpoint_policy(CheckpointPolicy::manual().small_parts(TREES))
        .compaction_policy(CompactionPolicy::Off)
}

fn name(tree: usize) -> String {
    format!("tree-{tree}")
}

/// The leaves of each tree, of which every tree has another number.
fn all_leaves() -> Vec<Vec<Hash>> {
    (0..TREES).map(|tree| leaves(tree + 1, tree as u64)).collect()
}

/// A store of many trees, all of them in the log and none in a part.
fn filled(disk: &SimDisk, flaw: Option<Flaw>) -> Store {
    let store = Store::open(config(disk, flaw)).unwrap();
    let mut batch = store.batch();
    for (tree, leaves) in all_leaves().iter().enumerate() {
        let tree =
            store.tree_dyn(name(tree), TreeConfig::new(Arc::new(Blake3), Arity::Two)).unwrap();
        batch.insert_many(&tree, leaves).unwrap();
    }
    batch.commit().unwrap();
    store.flush().unwrap();
    store.wait_idle();
    store
}

/// What differs from the trees of [`filled`] after this crash.
fn lost(left: &SimDisk) -> Option<String> {
    let store = match Store::open(config(left, None)) {
        Ok(store) => store,
        Err(error) => return Some(error.to_string()),
    };
    for (number, leaves) in all_leaves().iter().enumerate() {
        let tree = match store.existing_tree(name(number)) {
            Ok(tree) => tree,
            Err(error) => return Some(error.to_string()),
        };
        let head = tree.head().unwrap();
        if head.root != root_of(&Blake3, Arity::Two, leaves) {
            return Some(format!("{} has other leaves, {} of them", name(number), head.size));
        }
    }
    store.close().unwrap();
    let report =
        scrub::run(&config(left, None), &scrub::Options::new(), &mut |_| Continue(())).unwrap();
    (!report.is_clean()).then(|| format!("{report:?}"))
}

const CHOICES: [CrashChoice; 3] =
    [CrashChoice::NothingKept, CrashChoice::AllKept, CrashChoice::Seeded(7)];

/// The first loss among crashes at these operations.
fn first_loss(disk: &SimDisk, operations: RangeInclusive<u64>) -> Option<String> {
    let moments = operations.flat_map(|moment| CHOICES.map(|choice| (moment, choice)));
    moments.into_iter().find_map(|(moment, choice)| {
        let text = lost(&disk.crash_at(moment, choice)?)?;
        Some(format!("at operation {moment}, {choice:?}: {text}"))
    })
}

/// Checkpoints many trees at once with this flaw, and cuts the power at every operation.
fn checkpoint_and_cut(flaw: Option<Flaw>) -> Option<String> {
    let disk = SimDisk::new();
    disk.record();
    let store = filled(&disk, flaw);
    let from = disk.operations();
    store.checkpoint().unwrap();
    store.wait_idle();
    let found = first_loss(&disk, from..=disk.operations());
    store.close().unwrap();
    found
}

#[test]
fn a_power_cut_while_the_parts_of_many_trees_are_synced_loses_nothing() {
    assert_eq!(checkpoint_and_cut(None), None);
    for flaw in [Flaw::PartNotSynced, Flaw::PartNameNotSynced] {
        let found = checkpoint_and_cut(Some(flaw));
        println!("{flaw:?}: {}", found.unwrap_or_else(|| panic!("{flaw:?} is not found")));
    }
}

#[test]
fn each_part_of_many_trees_gets_its_name_after_its_own_sync() {
    let disk = SimDisk::new();
    disk.record();
    let store = filled(&disk, None);
    let before = disk.trace().len();
    store.checkpoint().unwrap();
    let trace = disk.trace();
    let mut renamed = 0;
    for (at, operation) in trace.iter().enumerate().skip(before) {
        let Operation::Rename { from, to } = operation else { continue };
        if to.kind == FileKind::Part {
            renamed += 1;
            assert!(trace[before..at].contains(&Operation::Sync(*from)), "{operation}");
        }
    }
    assert_eq!(renamed, TREES);
    store.close().unwrap();
}

#[test]
fn whichever_sync_of_many_parts_fails_no_part_gets_a_name_and_the_next_checkpoint_has_all() {
    for nth in 1..=TREES as u64 {
        let disk = SimDisk::new();
        disk.record();
        let store = filled(&disk, None);
        let from = disk.operations();
        let before = disk.trace().len();
        disk.inject(Fault::new(
            When::nth(OperationKind::Sync, nth).on(FileKind::Part),
            FaultError::EIO,
        ));
        let error = store.checkpoint().unwrap_err();
        assert!(matches!(error, Error::Io { .. }), "sync {nth}: {error}");
        let named = disk.trace()[before..]
            .iter()
            .filter(|operation| operation.kind() == OperationKind::Rename)
            .count();
        assert_eq!(named, 0, "sync {nth}");
        store.wait_idle();
        assert_eq!(first_loss(&disk, disk.operations()..=disk.operations()), None, "sync {nth}");
        store.checkpoint().unwrap_or_else(|error| panic!("sync {nth}: {error}"));
        store.wait_idle();
        store.close().unwrap();
        assert!(disk.operations() > from);
        assert_eq!(lost(&disk.crash(CrashChoice::NothingKept)), None, "sync {nth}");
    }
}
