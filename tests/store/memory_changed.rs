//! Memory that changes by itself. A hash function that suddenly gives another hash for one entry stands for a bit of that
//! entry, or of its leaf, that has flipped.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use duramen::fs::FileKind;
use duramen::testing::sim::{OperationKind, SimDisk, When};
use duramen::{
    Arity, Blake3, CheckpointPolicy, Config, DynAccumulator, EntryConfig, Error, FlushPolicy, Hash,
    Hasher, HasherId, Store, TreeConfig, scrub,
};

/// BLAKE3, except for the leaf of one entry once that has flipped.
#[derive(Clone, Debug, Default)]
struct Flips(Arc<AtomicBool>);

impl Hasher for Flips {
    fn id(&self) -> HasherId {
        Blake3.id()
    }

    fn leaf(&self, data: &[u8]) -> Hash {
        let mut leaf = Blake3.leaf(data);
        if data == b"entry 77" {
            leaf[3] ^= u8::from(self.0.load(Ordering::Relaxed));
        }
        leaf
    }

    fn node(&self, children: &[Hash]) -> Hash {
        Blake3.node(children)
    }

    fn empty_root(&self) -> Hash {
        Blake3.empty_root()
    }
}

fn config(disk: &SimDisk) -> Config {
    Config::new("store")
        .file_system(Arc::new(disk.clone()))
        .flush_policy(FlushPolicy::Manual)
        .checkpoint_policy(CheckpointPolicy::manual())
}

fn entries(count: usize) -> Vec<Vec<u8>> {
    (0..count).map(|at| format!("entry {at}").into_bytes()).collect()
}

fn open(disk: &SimDisk, hasher: &Flips) -> (Store, DynAccumulator) {
    let store = Store::open(config(disk)).unwrap();
    let kept = TreeConfig::new(Arc::new(hasher.clone()), Arity::Four);
    let tree = store.tree_dyn("log", kept.entries(EntryConfig::new())).unwrap();
    (store, tree)
}

fn has(tree: &DynAccumulator, expected: &[Vec<u8>]) {
    let found = tree.entries(0..expected.len() as u64).unwrap();
    let found: Vec<_> = found.map(|entry| entry.unwrap().to_vec()).collect();
    assert_eq!(found, expected);
}

#[test]
fn an_entry_that_changed_in_memory_gets_into_no_part_and_the_log_still_has_it() {
    let (disk, hasher, all) = (SimDisk::new(), Flips::default(), entries(300));
    let (store, tree) = open(&disk, &hasher);
    tree.insert_entries(&all[..200]).unwrap();
    store.flush().unwrap();
    let head = store.durable_head().unwrap();
    hasher.0.store(true, Ordering::Relaxed);
    match store.checkpoint().unwrap_err() {
        Error::MemoryChanged { tree, index } => {
            assert_eq!((tree.as_str(), index.get()), ("log", 77));
        }
        error => panic!("{error:?}"),
    }
    // Nothing more is taken, and what was there can be read.
    for error in [
        tree.insert_entry(b"more").unwrap_err(),
        store.checkpoint().unwrap_err(),
        store.flush().unwrap_err(),
    ] {
        let Error::Poisoned { source } = &error else { panic!("{error:?}") };
        assert!(matches!(**source, Error::MemoryChanged { .. }), "{error:?}");
    }
    has(&tree, &all[..200]);
    drop(tree);
    store.close().unwrap_err();

    // Another process, whose memory is as it should be.
    hasher.0.store(false, Ordering::Relaxed);
    let (store, tree) = open(&disk, &hasher);
    assert_eq!(store.durable_head().unwrap(), head);
    tree.insert_entries(&all[200..]).unwrap();
    store.checkpoint().unwrap();
    has(&tree, &all);
    drop(tree);
    store.close().unwrap();
    let go_on = &mut |_| ControlFlow::Continue(());
    assert!(scrub::run(&config(&disk), &scrub::Options::new(), go_on).unwrap().is_clean());
}

#[test]
fn an_entry_that_changes_while_its_part_is_written_is_found_too() {
    let (disk, hasher, all) = (SimDisk::new(), Flips::default(), entries(200));
    let (store, tree) = open(&disk, &hasher);
    tree.insert_entries(&all).unwrap();
    store.flush().unwrap();
    let held = disk.hold(When::nth(OperationKind::Write, 1).on(FileKind::Part));
    let other = tree.store();
    let checkpoint = std::thread::spawn(move || other.checkpoint());
    held.wait_reached();
    hasher.0.store(true, Ordering::Relaxed);
    held.release();
    let error = checkpoint.join().unwrap().unwrap_err();
    assert!(matches!(error, Error::MemoryChanged { .. }), "{error:?}");
}

#[test]
fn an_entry_that_changed_in_memory_stops_checkpoints_without_a_caller_too() {
    let dir = tempfile::tempdir().unwrap();
    let (hasher, all) = (Flips::default(), entries(300));
    let config = |dir: &Path| Config::new(dir);
    let kept = |hasher: &Flips| {
        TreeConfig::new(Arc::new(hasher.clone()), Arity::Four).entries(EntryConfig::new())
    };
    {
        let often = CheckpointPolicy::manual().every_leaves(100).unwrap();
        let store = Store::open(config(dir.path()).checkpoint_policy(often)).unwrap();
        let tree = store.tree_dyn("log", kept(&hasher)).unwrap();
        tree.insert_entries(&all[..90]).unwrap();
        store.flush().unwrap();
        hasher.0.store(true, Ordering::Relaxed);
        tree.insert_entries(&all[90..150]).unwrap();
        let _ = store.flush();
        store.wait_idle();
        assert!(matches!(tree.insert_entry(b"more"), Err(Error::Poisoned { .. })));
    }
    hasher.0.store(false, Ordering::Relaxed);
    let store = Store::open(config(dir.path())).unwrap();
    let tree = store.tree_dyn("log", kept(&hasher)).unwrap();
    has(&tree, &all[..150]);
}

#[test]
fn entries_that_were_erased_or_came_without_data_are_not_compared() {
    let (disk, hasher, all) = (SimDisk::new(), Flips::default(), entries(200));
    let (store, tree) = open(&disk, &hasher);
    tree.insert_entries(&all).unwrap();
    tree.insert_erased(&[[7; 32]; 20], std::time::SystemTime::now(), "elsewhere").unwrap();
    drop(tree.erase(77..78, "asked for").unwrap());
    store.flush().unwrap();
    hasher.0.store(true, Ordering::Relaxed);
    store.checkpoint().unwrap();
}
