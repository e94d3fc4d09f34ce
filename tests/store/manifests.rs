//! Manifests that have only what changed: how much is written, and what their base has to be.

use std::sync::Arc;

use duramen::fs::{FileKind, FileName};
use duramen::inspect::{self, FileState};
use duramen::testing::hostile;
use duramen::testing::sim::SimDisk;
use duramen::{
    Accumulator, Blake3, CheckpointPolicy, CompactionPolicy, Config, Error, FlushPolicy, Problem,
    Store, StoreReader,
};

fn config(disk: &SimDisk) -> Config {
    Config::new("store")
        .file_system(Arc::new(disk.clone()))
        .flush_policy(FlushPolicy::Manual)
        .checkpoint_policy(CheckpointPolicy::manual())
        .compaction_policy(CompactionPolicy::Off)
}

/// As [`config`], of a store that writes changes however short its manifest is.
fn small(disk: &SimDisk) -> Config {
    config(disk).whole_manifests_below(0)
}

fn manifests(disk: &SimDisk) -> Vec<FileName> {
    disk.files().into_iter().filter(|file| file.kind == FileKind::Manifest).collect()
}

fn len(disk: &SimDisk, file: FileName) -> usize {
    disk.read(file).unwrap().len()
}

/// A closed store of five trees whose newest manifest has changes, and that manifest and its base.
fn with_changes() -> (SimDisk, FileName, FileName) {
    let disk = SimDisk::new();
    let store = Store::open(small(&disk)).unwrap();
    let trees = ["a", "b", "c", "d", "e"].map(|name| store.tree::<Blake3, 4>(name).unwrap());
    trees.iter().for_each(|tree| drop(tree.insert([1; 32]).unwrap()));
    store.checkpoint().unwrap();
    let base = *manifests(&disk).last().unwrap();
    trees[2].insert([2; 32]).unwrap();
    drop(store.drop_tree("e").unwrap());
    store.checkpoint().unwrap();
    store.close().unwrap();
    let newest = *manifests(&disk).last().unwrap();
    assert!(len(&disk, newest) < len(&disk, base), "{newest} has changes to {base}");
    assert!(hostile::manifest(&disk.read(newest).unwrap()));
    (disk, newest, base)
}

fn sizes(store: &Store) -> Vec<(String, u64)> {
    store.trees().unwrap().iter().map(|tree| (tree.name.to_string(), tree.size.get())).collect()
}

#[test]
fn a_checkpoint_of_one_tree_among_many_writes_that_tree_alone() {
    let disk = SimDisk::new();
    let store = Store::open(config(&disk)).unwrap();
    let mut batch = store.batch();
    let trees: Vec<Accumulator<Blake3, 4>> =
        (0..500).map(|number| store.tree(format!("tree {number}")).unwrap()).collect();
    for tree in &trees {
        batch.insert(tree, [1; 32]).unwrap();
    }
    batch.commit().unwrap();
    store.checkpoint().unwrap();
    let whole = len(&disk, *manifests(&disk).last().unwrap());
    assert!(whole > 50_000);
    let mut written = 0;
    for leaf in 2..100 {
        trees[250].insert([leaf; 32]).unwrap();
        store.checkpoint().unwrap();
        let all = manifests(&disk);
        assert!(all.len() <= 4, "{all:?}");
        written += len(&disk, *all.last().unwrap());
    }
    // Each checkpoint adds a part to the entry of the tree.
    assert!(written < 98 * whole / 8, "{written} bytes for 98 checkpoints, whole: {whole}");
    store.close().unwrap();
    let store = Store::open(config(&disk)).unwrap();
    let sizes = sizes(&store);
    assert_eq!(sizes.len(), 500);
    assert_eq!(sizes.iter().map(|(_, size)| size).sum::<u64>(), 499 + 99);
    let tree: Accumulator<Blake3, 4> = store.tree("tree 250").unwrap();
    assert_eq!(tree.leaf(98).unwrap(), [99; 32]);
}

#[test]
fn trees_that_are_gone_are_gone_after_a_restart() {
    let (disk, ..) = with_changes();
    let store = Store::open(small(&disk)).unwrap();
    let expected =
        [("a", 1), ("b", 1), ("c", 2), ("d", 1)].map(|(name, size)| (name.to_owned(), size));
    assert_eq!(sizes(&store), expected);
    let reader = StoreReader::open(small(&disk)).unwrap();
    assert_eq!(reader.trees().unwrap().len(), 4);
}

#[test]
fn a_base_that_is_gone_is_missed_by_its_name() {
    let (disk, _, base) = with_changes();
    assert!(disk.erase(base));
    let missed = |error: Error| {
        let Error::Damaged(damage) = error else { panic!("{error}") };
        assert_eq!(damage.problem, Problem::Missing);
        assert!(damage.file.ends_with(base.to_string()), "{}", damage.file.display());
    };
    missed(Store::open(small(&disk)).unwrap_err());
    missed(StoreReader::open(small(&disk)).unwrap_err());
    let survey = inspect::survey(&small(&disk)).unwrap();
    assert!(!survey.is_clean());
}

#[test]
fn another_manifest_in_the_place_of_the_base_is_refused() {
    let (disk, newest, base) = with_changes();
    // Another checkpoint id, and the checksum that fits.
    let mut other = disk.read(base).unwrap();
    other[45] ^= 1;
    hostile::fix_manifest(&mut other);
    assert!(hostile::manifest(&other));
    let refused = |bytes: &[u8], what: &str| {
        let left = disk.kill();
        left.put(base, bytes);
        let error = Store::open(small(&left)).unwrap_err();
        let Error::Damaged(damage) = &error else { panic!("{error}") };
        let Problem::Field { field, .. } = damage.problem else { panic!("{error}") };
        assert_eq!(field, what);
    };
    refused(&other, "checksum");
    // The number of the file is that of the base, the rest is of the newest one.
    let mut changes = disk.read(newest).unwrap();
    let number = disk.read(base).unwrap()[32..40].to_vec();
    changes[32..40].copy_from_slice(&number);
    hostile::fix_manifest(&mut changes);
    assert!(!hostile::manifest(&changes), "changes to itself");
}

#[test]
fn changes_to_changes_are_refused() {
    let (disk, newest, base) = with_changes();
    let number = |file: FileName| disk.read(file).unwrap()[32..40].to_vec();
    // The file of the next manifest is the newest one again, as changes to that.
    let next = FileName { number: newest.number + 1, ..newest };
    let mut bytes = disk.read(newest).unwrap();
    // The checksum of the base follows its number.
    let sum = disk.read(base).unwrap().split_off(len(&disk, base) - 8);
    let at = bytes.windows(8).position(|bytes| bytes == sum).unwrap() - 8;
    assert_eq!(bytes[at..at + 8], number(base));
    bytes[at..at + 8].copy_from_slice(&number(newest));
    bytes[32..40].copy_from_slice(&next.number.to_le_bytes());
    hostile::fix_manifest(&mut bytes);
    assert!(hostile::manifest(&bytes));
    disk.put(next, &bytes);
    let error = Store::open(small(&disk)).unwrap_err();
    assert!(error.to_string().contains("a whole one"), "{error}");
}

#[test]
fn the_survey_knows_what_the_newest_manifests_are_changes_to() {
    let (disk, newest, base) = with_changes();
    let state = |file: FileName| {
        let survey = inspect::survey(&small(&disk)).unwrap();
        assert!(survey.is_clean(), "{survey:?}");
        let found = survey.files.iter().find(|found| found.path.ends_with(file.to_string()));
        found.map(|found| found.state)
    };
    assert_eq!((state(newest), state(base)), (Some(FileState::InForce), Some(FileState::InForce)));
    // A whole manifest follows: the one before it stays readable.
    let store = Store::open(small(&disk)).unwrap();
    let trees = ["a", "b", "c", "d"].map(|name| store.tree::<Blake3, 4>(name).unwrap());
    let mut before = newest;
    loop {
        trees.iter().for_each(|tree| drop(tree.insert([3; 32]).unwrap()));
        store.checkpoint().unwrap();
        let last = *manifests(&disk).last().unwrap();
        if state(base) != Some(FileState::InForce) {
            assert_eq!(state(last), Some(FileState::InForce));
            assert_eq!(state(before), Some(FileState::Previous));
            assert_eq!(state(base), Some(FileState::Previous));
            break;
        }
        before = last;
    }
    store.checkpoint().unwrap();
    trees[0].insert([4; 32]).unwrap();
    store.checkpoint().unwrap();
    trees[0].insert([5; 32]).unwrap();
    store.checkpoint().unwrap();
    assert_eq!(state(base), None, "nothing needs it any more");
}

#[test]
fn a_reader_follows_over_changes_and_whole_manifests() {
    let disk = SimDisk::new();
    let store = Store::open(small(&disk)).unwrap();
    let trees = ["a", "b", "c", "d"].map(|name| store.tree::<Blake3, 4>(name).unwrap());
    store.checkpoint().unwrap();
    let reader = StoreReader::open(small(&disk)).unwrap();
    let mut lens = Vec::new();
    for step in 0..40_usize {
        trees[step % 4].insert([7; 32]).unwrap();
        store.checkpoint().unwrap();
        reader.refresh().unwrap();
        assert_eq!(reader.head().unwrap(), store.head().unwrap(), "step {step}");
        lens.push(len(&disk, *manifests(&disk).last().unwrap()));
    }
    let longest = *lens.iter().max().unwrap();
    let changes = lens.iter().filter(|len| **len < longest * 3 / 4).count();
    assert!((10..40).contains(&changes), "{lens:?}");
}

#[test]
fn a_copy_of_a_store_with_changes_needs_no_base() {
    let (disk, ..) = with_changes();
    let store = Store::open(small(&disk)).unwrap();
    let copy = tempfile::tempdir().unwrap();
    let info = store.snapshot_to(copy.path().join("copy")).unwrap();
    assert_eq!(info.head, store.head().unwrap());
    drop(store);
    let opened = Store::open(Config::new(copy.path().join("copy")));
    assert_eq!(opened.unwrap().trees().unwrap().len(), 4);
}
