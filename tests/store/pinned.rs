//! What callers hold keeps memory that the store does not need any more, and the statistics count it.

use std::sync::Arc;

use duramen::{
    Blake3, CheckpointPolicy, CompactionPolicy, Compression, Config, EntryConfig, FlushPolicy,
    ReadMode, Rfc6962Sha256, Store, TreeConfig,
};
use testkit::stores::leaves;

fn open(dir: &std::path::Path, mode: ReadMode) -> Store {
    let config = Config::new(dir)
        .read_mode(mode)
        .flush_policy(FlushPolicy::Manual)
        .checkpoint_policy(CheckpointPolicy::manual())
        .compaction_policy(CompactionPolicy::Off);
    Store::open(config).unwrap()
}

/// What the statistics say of the store, and of the tree `name`.
fn pinned(store: &Store, name: &str) -> (u64, Option<u64>) {
    let tree = store.trees().unwrap().into_iter().find(|tree| tree.name.as_str() == name);
    (store.stats().pinned_bytes, tree.map(|tree| tree.pinned_bytes))
}

#[test]
fn snapshots_that_are_held_pin_no_nodes() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), ReadMode::Mapped);
    let tree = store.tree::<Blake3, 4>("main").unwrap();
    let mut held = Vec::new();
    for round in 0..60 {
        tree.insert_many(&leaves(5000, round)).unwrap();
        let snapshot = tree.snapshot();
        snapshot.head().unwrap();
        snapshot.prove(round * 5000).unwrap();
        let mut leaves = snapshot.leaves_iter(0..snapshot.size().get()).unwrap();
        leaves.next().unwrap().unwrap();
        held.push((snapshot, leaves));
        store.checkpoint().unwrap();
        assert_eq!(pinned(&store, "main"), (0, Some(0)), "round {round}");
    }
    for (snapshot, leaves) in held {
        assert_eq!(snapshot.prove(0).unwrap(), tree.prove_at(0, snapshot.size()).unwrap());
        assert_eq!(leaves.count() as u64, snapshot.size().get() - 1);
    }
}

#[test]
fn entries_that_are_held_are_counted_until_they_are_dropped() {
    let compressed = EntryConfig::new().compression(Compression::zstd(1).unwrap());
    for (mode, entries) in [(ReadMode::Mapped, compressed), (ReadMode::Pread, EntryConfig::new())] {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path(), mode);
        let config = TreeConfig::new(Arc::new(Rfc6962Sha256), duramen::Arity::Two).entries(entries);
        let log = store.tree_dyn("log", config).unwrap();
        let data = [b'a'; 60_000];
        for _ in 0..300 {
            log.insert_entry(data).unwrap();
        }
        let entry = log.entry(0).unwrap();
        assert_eq!(pinned(&store, "log"), (0, Some(0)), "the tree has its entries in memory");
        store.checkpoint().unwrap();
        let (bytes, of_tree) = pinned(&store, "log");
        assert!(bytes >= 60_000 && of_tree == Some(bytes), "{bytes} and {of_tree:?}");
        let clone = entry.clone();
        drop(entry);
        assert_eq!(pinned(&store, "log").0, bytes, "held by the other one");
        assert_eq!(*clone, data);
        drop(clone);
        assert_eq!(pinned(&store, "log"), (0, Some(0)));

        // Read from the part: with the others of its bundle, or alone.
        let mut read = log.snapshot().entries(0..2).unwrap();
        let entry = read.next().unwrap().unwrap();
        drop(read);
        let (bytes, of_tree) = pinned(&store, "log");
        assert!(bytes >= 60_000 && of_tree == Some(bytes), "{mode:?}: {bytes} and {of_tree:?}");
        drop(entry);
        assert_eq!(pinned(&store, "log"), (0, Some(0)));
    }
}

#[test]
fn a_dropped_tree_is_in_memory_for_as_long_as_a_caller_holds_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), ReadMode::Mapped);
    for held in [true, false] {
        let tree = store.tree::<Blake3, 4>("old").unwrap();
        tree.insert_many(&leaves(20_000, 1)).unwrap();
        let snapshot = held.then(|| tree.snapshot());
        drop(tree);
        let bytes = store.stats().memory_bytes;
        assert!(bytes >= 20_000 * 32, "{bytes}");
        drop(store.drop_tree("old").unwrap());
        store.checkpoint().unwrap();
        assert_eq!(store.stats().memory_bytes, 0);
        assert_eq!(pinned(&store, "old"), (if held { bytes } else { 0 }, None));
        if let Some(snapshot) = snapshot {
            assert_eq!(snapshot.leaf(19_999).unwrap(), leaves(20_000, 1)[19_999]);
        }
        assert_eq!(store.stats().pinned_bytes, 0, "held: {held}");
    }
}
