//! A store of many trees.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use duramen::merkle::{Frontier, Keccak256};
use duramen::{
    Accumulator, Arity, Blake3, CheckpointPolicy, CompactionPolicy, Config, DynAccumulator, Error,
    FlushPolicy, Hash, Hasher, Reader, Rfc6962Sha256, Store, StoreReader, TreeConfig, TreeName,
    inspect, scrub,
};
use testkit::stores::{copy_of, leaves, root_of};

fn manual(dir: &Path) -> Config {
    Config::new(dir)
        .flush_policy(FlushPolicy::Manual)
        .checkpoint_policy(CheckpointPolicy::manual())
        .compaction_policy(CompactionPolicy::Off)
}

/// What each tree of a store must have.
#[derive(Clone, Default)]
struct Expected(BTreeMap<String, (Kind, Vec<Hash>, bool)>);

/// Hash function and arity by name.
type Kind = (&'static str, Arity);

fn hasher(name: &str) -> Arc<dyn Hasher> {
    match name {
        "blake3" => Arc::new(Blake3),
        "rfc6962-sha256" => Arc::new(Rfc6962Sha256),
        _ => Arc::new(Keccak256),
    }
}

fn kind((name, arity): Kind) -> TreeConfig {
    TreeConfig::new(hasher(name), arity)
}

impl Expected {
    fn check(&self, store: &Store) {
        let trees = store.trees().unwrap();
        let names: Vec<_> = trees.iter().map(|tree| tree.name.as_str()).collect();
        assert_eq!(names, self.0.keys().map(String::as_str).collect::<Vec<_>>());
        let head = store.head().unwrap();
        let commitment = head.commitment();
        for (info, (name, ((hasher_name, arity), leaves, sealed))) in trees.iter().zip(&self.0) {
            assert_eq!((info.hasher.as_str(), info.arity), (*hasher_name, *arity), "{name}");
            assert_eq!(info.size.get(), leaves.len() as u64, "{name}");
            assert_eq!(info.sealed, *sealed, "{name}");
            let tree = store.existing_tree(name).unwrap();
            assert_eq!(tree.leaves(0..leaves.len() as u64).unwrap(), *leaves, "{name}");
            let root = root_of(&*hasher(hasher_name), *arity, leaves);
            assert_eq!(tree.head().unwrap().root, root, "{name}");
            let proof = head.prove(name).unwrap();
            let proven = proof.verify(&commitment).unwrap();
            assert_eq!(*proven, tree.head().unwrap(), "{name}");
        }
    }
}

fn files(dir: &Path, inner: &str) -> usize {
    std::fs::read_dir(dir.join(inner)).unwrap().count()
}

#[test]
fn trees_of_any_kind_are_found_again_by_name_with_all_their_leaves() {
    let dir = tempfile::tempdir().unwrap();
    let kinds = [
        ("notes", ("blake3", Arity::Four)),
        ("nullifiers", ("keccak256", Arity::Two)),
        ("a name with spaces, größer", ("rfc6962-sha256", Arity::Sixteen)),
    ];
    let mut expected = Expected::default();
    let mut store = Store::open(manual(dir.path())).unwrap();
    for round in 0..12 {
        for (at, (name, what)) in kinds.iter().enumerate() {
            let tree = store.tree_dyn(name, kind(*what)).unwrap();
            let new = leaves(1 + (round * 7 + at * 13) % 40, (round * 10 + at) as u64);
            tree.insert_many(&new).unwrap();
            let all = expected.0.entry((*name).to_owned());
            all.or_insert_with(|| (*what, Vec::new(), false)).1.extend(new);
        }
        match round % 4 {
            0 => drop(store.checkpoint().unwrap()),
            1 => store.flush().unwrap(),
            _ => {
                store.close().unwrap();
                store = Store::open(manual(dir.path())).unwrap();
                assert!(store.recovery().clean);
            }
        }
        expected.check(&store);
    }
    store.flush().unwrap();
    let copy = copy_of(dir.path());
    expected.check(&Store::open(manual(copy.path())).unwrap());
}

#[test]
fn the_tree_of_an_accumulator_is_the_tree_main_of_a_store() {
    let dir = tempfile::tempdir().unwrap();
    let one: Accumulator = Accumulator::open(manual(dir.path())).unwrap();
    one.insert([1; 32]).unwrap();
    let other = one.store().tree::<Rfc6962Sha256, 2>("other").unwrap();
    other.insert([2; 32]).unwrap();
    one.close().unwrap();
    assert!(matches!(other.insert([3; 32]), Err(Error::Closed)));
    let store = Store::open(manual(dir.path())).unwrap();
    assert_eq!(store.tree::<Blake3, 4>("main").unwrap().leaf(0).unwrap(), [1; 32]);
    assert_eq!(store.existing_tree("other").unwrap().leaf(0).unwrap(), [2; 32]);
    drop(store);
    assert_eq!(Accumulator::<Blake3, 4>::open(manual(dir.path())).unwrap().size().get(), 1);
}

#[test]
fn another_kind_of_tree_under_a_name_is_refused_with_both_named_and_nothing_changes() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(manual(dir.path())).unwrap();
    store.tree::<Blake3, 4>("a").unwrap();
    let check = |store: &Store| {
        let Err(Error::HasherMismatch { tree, stored, asked, .. }) =
            store.tree::<Rfc6962Sha256, 4>("a")
        else {
            panic!("another hash function")
        };
        assert_eq!((tree.as_str(), &*stored, &*asked), ("a", "blake3", "rfc6962-sha256"));
        let Err(Error::ArityMismatch { stored, asked, .. }) = store.tree::<Blake3, 8>("a") else {
            panic!("another arity")
        };
        assert_eq!((stored, asked), (4, 8));
        assert_eq!(store.trees().unwrap().len(), 1);
    };
    check(&store);
    store.close().unwrap();
    let before = copy_of(dir.path());
    let refused = Accumulator::<Rfc6962Sha256, 2>::open(manual(dir.path()));
    // There is no tree of the name that it asks for: it gets one.
    drop(refused.unwrap());
    let store = Store::open(manual(before.path())).unwrap();
    check(&store);
}

#[test]
fn names_that_no_tree_can_have_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(manual(dir.path())).unwrap();
    let long = "x".repeat(256);
    for name in ["", ".", "..", "a/b", "/", "a\0", "a\nb", "\u{7f}", long.as_str()] {
        let refused = store.tree::<Blake3, 4>(name);
        assert!(matches!(refused, Err(Error::TreeName(_))), "{name:?}");
        assert!(matches!(store.drop_tree(name), Err(Error::TreeName(_))), "{name:?}");
    }
    for name in ["missing", "main"] {
        assert!(matches!(store.existing_tree(name), Err(Error::NoTree { .. })), "{name}");
        assert!(matches!(store.seal(name), Err(Error::NoTree { .. })), "{name}");
        assert!(matches!(store.drop_tree(name), Err(Error::NoTree { .. })), "{name}");
    }
    assert!(store.trees().unwrap().is_empty());
    assert_eq!(store.tree::<Blake3, 4>("x".repeat(255)).unwrap().name().as_str().len(), 255);
}

#[test]
fn a_batch_gets_its_indexes_in_each_tree_and_one_token() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(manual(dir.path())).unwrap();
    let a = store.tree::<Blake3, 4>("a").unwrap();
    let b = store.tree::<Rfc6962Sha256, 2>("b").unwrap();
    a.insert([9; 32]).unwrap();
    store.flush().unwrap();
    let groups = store.stats().groups;
    let mut batch = store.batch();
    batch.insert(&b, [1; 32]).unwrap().insert_many(&a, &[[2; 32]; 3]).unwrap();
    batch.insert(b.as_dyn(), [4; 32]).unwrap().insert_data(&a, b"data").unwrap();
    assert_eq!(batch.len(), 6);
    let committed = batch.commit().unwrap();
    let ranges: Vec<_> =
        committed.ranges.iter().map(|at| (at.tree.as_str(), at.range.clone())).collect();
    assert_eq!(ranges, [("b", 0..2), ("a", 1..5)]);
    assert_eq!((a.size().get(), b.size().get()), (5, 2));
    assert!(!committed.token.is_durable());
    store.flush().unwrap();
    assert!(committed.token.is_durable());
    assert_eq!(store.stats().groups, groups + 1, "one group");
    let empty = store.batch().commit().unwrap();
    assert!(empty.ranges.is_empty() && empty.token.is_durable());
    assert_eq!(a.leaf(4).unwrap(), Blake3.leaf(b"data"));
}

#[test]
fn leaves_that_a_batch_gets_for_its_trees_in_any_turn_keep_their_order() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(manual(dir.path())).unwrap();
    let trees = ["a", "b", "c", "empty"].map(|name| store.tree::<Blake3, 4>(name).unwrap());
    for round in 0..20 {
        let mut batch = store.batch();
        let mut expected: [Vec<Hash>; 4] = Default::default();
        let mut first_use = Vec::new();
        for (step, leaf) in leaves(30, round).into_iter().enumerate() {
            // Which tree comes next, and with how many leaves, none among them, follows from the leaf.
            let (tree, count) = (usize::from(leaf[0] % 3), usize::from(leaf[1] % 4));
            let (tree, count) = if step == 7 { (3, 0) } else { (tree, count) };
            batch.insert_many(&trees[tree], &vec![leaf; count]).unwrap();
            expected[tree].extend(vec![leaf; count]);
            if !first_use.contains(&tree) {
                first_use.push(tree);
            }
        }
        assert_eq!(batch.len(), expected.iter().map(Vec::len).sum::<usize>());
        let committed = batch.commit().unwrap();
        assert_eq!(committed.ranges.len(), first_use.len());
        for (at, tree) in committed.ranges.iter().zip(first_use) {
            assert_eq!(&at.tree, trees[tree].name());
            let stored: Vec<_> =
                at.range.clone().map(|index| trees[tree].leaf(index).unwrap()).collect();
            assert_eq!(stored, expected[tree], "{} in round {round}", at.tree);
            assert_eq!(at.range.end, trees[tree].size().get());
        }
    }
}

#[test]
fn a_batch_that_one_tree_refuses_inserts_nothing_in_any() {
    let dir = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let store = Store::open(manual(dir.path())).unwrap();
    let a = store.tree::<Blake3, 4>("a").unwrap();
    let b = store.tree::<Blake3, 4>("b").unwrap();
    let foreign = Accumulator::<Blake3, 4>::open(manual(elsewhere.path())).unwrap();
    let mut batch = store.batch();
    batch.insert(&a, [1; 32]).unwrap();
    let refused = batch.insert(&foreign, [1; 32]).unwrap_err();
    assert!(matches!(refused, Error::ForeignTree { tree } if tree.as_str() == "main"));
    batch.insert(&b, [1; 32]).unwrap();
    drop(store.seal("b").unwrap());
    let refused = batch.commit().unwrap_err();
    assert!(matches!(refused, Error::TreeSealed { tree } if tree.as_str() == "b"));
    let mut batch = store.batch();
    batch.insert_many(&a, &vec![[1; 32]; 1 << 16]).unwrap().insert(&b, [1; 32]).unwrap();
    drop(store.drop_tree("b").unwrap());
    let refused = batch.commit().unwrap_err();
    assert!(matches!(refused, Error::TreeDropped { tree } if tree.as_str() == "b"));
    assert_eq!(a.size().get(), 0);
    a.insert([2; 32]).unwrap();
    assert!(matches!(b.insert([2; 32]), Err(Error::TreeDropped { .. })));
}

#[test]
fn a_snapshot_of_the_store_shows_a_batch_whole_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config::new(dir.path()).checkpoint_policy(CheckpointPolicy::manual());
    let store = Store::open(config).unwrap();
    let trees: Vec<_> =
        (0..3).map(|at| store.tree::<Blake3, 4>(format!("tree {at}")).unwrap()).collect();
    let done = AtomicBool::new(false);
    std::thread::scope(|threads| {
        threads.spawn(|| {
            for round in 0..600_usize {
                // Some are so large that they are copied without the lock of inserts.
                let many = if round % 100 == 99 { 1 << 14 } else { 1 + round % 5 };
                let mut batch = store.batch();
                for tree in &trees {
                    batch.insert_many(tree, &vec![[7; 32]; many]).unwrap();
                }
                batch.commit().unwrap();
            }
            done.store(true, Ordering::Release);
        });
        let mut seen = 0;
        while !done.load(Ordering::Acquire) {
            let snapshot = store.snapshot().unwrap();
            let sizes: Vec<_> = snapshot.trees().map(|(_, size)| size.get()).collect();
            assert_eq!(sizes, [sizes[0]; 3]);
            let durable = store.durable_head().unwrap();
            let durable: Vec<_> = durable.trees().iter().map(|tree| tree.head.size).collect();
            assert!(durable.iter().all(|size| *size == durable[0]), "{durable:?}");
            if sizes[0] % 7 == 0 {
                let head = snapshot.head().unwrap();
                assert!(head.trees().iter().all(|tree| tree.head.size.get() == sizes[0]));
            }
            seen += 1;
        }
        assert!(seen > 0);
    });
}

#[test]
fn a_reader_has_durable_heads_of_trees_that_no_crash_can_undo() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(manual(dir.path())).unwrap();
    let mut following = None;
    let mut durable = |expected: &[(&str, u64)]| {
        let reader = StoreReader::open(manual(dir.path())).unwrap();
        let following = following.get_or_insert(StoreReader::open(manual(dir.path())).unwrap());
        following.refresh().unwrap();
        for reader in [&reader, following] {
            let head = reader.durable_head().unwrap();
            let sizes: Vec<_> = head
                .trees()
                .iter()
                .map(|tree| (tree.name.as_str(), tree.head.size.get()))
                .collect();
            assert_eq!(sizes, expected);
        }
    };
    let first = store.tree::<Blake3, 4>("a").unwrap();
    // A group is known to be durable by what the next one claims.
    let next = || {
        first.insert([1; 32]).unwrap();
        store.flush().unwrap();
    };
    next();
    durable(&[]);
    let mut frontier = Frontier::new(Arity::Four);
    frontier.append_many(&Blake3, &leaves(5, 1)).unwrap();
    let config = TreeConfig::of::<Blake3, 4>().begun_behind(frontier).unwrap();
    store.tree_dyn("b", config).unwrap().insert_many(&leaves(2, 2)).unwrap();
    store.tree::<Blake3, 4>("c").unwrap();
    next();
    durable(&[("a", 1)]);
    next();
    durable(&[("a", 2), ("b", 7), ("c", 0)]);
    drop(store.drop_tree("b").unwrap());
    drop(store.drop_tree("c").unwrap());
    store.tree::<Blake3, 4>("c").unwrap().insert([3; 32]).unwrap();
    next();
    durable(&[("a", 3), ("b", 7), ("c", 0)]);
    next();
    durable(&[("a", 4), ("c", 1)]);
    // Trees without leaves in the log, of which only the manifest knows.
    store.checkpoint().unwrap();
    durable(&[("a", 5), ("c", 1)]);
    drop(store.drop_tree("c").unwrap());
    next();
    durable(&[("a", 5), ("c", 1)]);
    next();
    durable(&[("a", 6)]);
}

#[test]
fn a_sealed_tree_takes_no_leaf_and_proves_for_ever() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(manual(dir.path())).unwrap();
    let mut expected = Expected::default();
    let what = ("blake3", Arity::Four);
    store.tree_dyn("a", kind(what)).unwrap().insert_many(&leaves(50, 1)).unwrap();
    store.tree_dyn("b", kind(what)).unwrap();
    expected.0.insert("a".to_owned(), (what, leaves(50, 1), true));
    expected.0.insert("b".to_owned(), (what, Vec::new(), false));
    let token = store.seal("a").unwrap();
    assert!(!token.is_durable());
    store.flush().unwrap();
    assert!(token.is_durable());
    // Once more changes nothing.
    let seq = store.seal("a").unwrap().seq();
    assert_eq!(seq, token.seq());
    for round in 0..4 {
        expected.check(&store);
        let a = store.existing_tree("a").unwrap();
        for refused in [a.insert([1; 32]).map(drop), a.insert_many(&leaves(9, 1)).map(drop)] {
            assert!(matches!(refused, Err(Error::TreeSealed { .. })), "{round}");
        }
        let large = a.insert_many(&vec![[1; 32]; 1 << 16]).unwrap_err();
        assert!(matches!(large, Error::TreeSealed { .. }));
        let proof = a.prove(49).unwrap();
        let head = a.head().unwrap();
        proof.verify(&Blake3, Arity::Four, &head, 49.into(), &leaves(50, 1)[49]).unwrap();
        if round == 1 {
            store.checkpoint().unwrap();
        }
        if round == 2 {
            // One that sleeps is sealed in the log alone.
            drop(store.seal("b").unwrap());
            expected.0.get_mut("b").unwrap().2 = true;
        }
        drop(a);
        store.close().unwrap();
        store = Store::open(manual(dir.path())).unwrap();
        if round == 2 {
            store.checkpoint().unwrap();
            store.close().unwrap();
            store = Store::open(manual(dir.path())).unwrap();
        }
    }
}

#[test]
fn a_dropped_tree_frees_its_space_and_its_name_and_never_its_id() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(manual(dir.path())).unwrap();
    let a = store.tree::<Blake3, 4>("a").unwrap();
    a.insert_many(&leaves(5000, 1)).unwrap();
    let b = store.tree::<Blake3, 4>("b").unwrap();
    b.insert([1; 32]).unwrap();
    store.checkpoint().unwrap();
    assert_eq!(files(dir.path(), "parts"), 2);
    let (snapshot, id) = (a.snapshot(), store.trees().unwrap()[0].id);
    let token = store.drop_tree("a").unwrap();
    assert!(matches!(a.insert([1; 32]), Err(Error::TreeDropped { .. })));
    assert!(matches!(store.existing_tree("a"), Err(Error::NoTree { .. })));
    // Nothing is freed before the drop is durable, and the checkpoint that makes it so frees all.
    assert_eq!(files(dir.path(), "parts"), 2);
    assert!(!token.is_durable());
    let copy = copy_of(dir.path());
    let back = Store::open(manual(copy.path())).unwrap();
    assert_eq!(back.trees().unwrap().len(), 2, "a crash brings it back");
    assert_eq!(back.existing_tree("a").unwrap().size().get(), 5000);
    store.checkpoint().unwrap();
    assert!(token.is_durable());
    assert_eq!(files(dir.path(), "parts"), 1);
    // Who reads it goes on.
    assert_eq!(snapshot.leaf(4999).unwrap(), leaves(5000, 1)[4999]);
    let again = store.tree::<Rfc6962Sha256, 2>("a").unwrap();
    assert_eq!(again.size().get(), 0);
    let new = store.trees().unwrap()[0].clone();
    assert!(new.id > id && new.hasher == "rfc6962-sha256");
    store.flush().unwrap();
    store.close().unwrap();
    let store = Store::open(manual(dir.path())).unwrap();
    assert_eq!(store.trees().unwrap()[0].id, new.id);
    drop(store.drop_tree("a").unwrap());
    store.close().unwrap();
    let store = Store::open(manual(dir.path())).unwrap();
    store.tree::<Blake3, 4>("c").unwrap();
    assert!(store.trees().unwrap()[1].id > new.id, "also after a restart");
}

#[test]
fn with_a_trigger_a_dropped_tree_is_freed_without_a_call() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(Config::new(dir.path())).unwrap();
    store.tree::<Blake3, 4>("a").unwrap().insert_many(&leaves(3000, 1)).unwrap();
    store.checkpoint().unwrap();
    assert_eq!(files(dir.path(), "parts"), 1);
    store.drop_tree("a").unwrap().wait().unwrap();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while files(dir.path(), "parts") > 0 {
        assert!(std::time::Instant::now() < deadline, "it is never freed");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

#[test]
fn a_tree_that_is_dropped_before_it_was_used_or_flushed_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(manual(dir.path())).unwrap();
    store.tree::<Blake3, 4>("kept").unwrap().insert([1; 32]).unwrap();
    for round in 0..20 {
        let tree = store.tree::<Blake3, 4>("short").unwrap();
        tree.insert_many(&leaves(10, round)).unwrap();
        drop(store.drop_tree("short").unwrap());
        if round % 3 == 0 {
            store.flush().unwrap();
        }
        if round % 7 == 0 {
            store.checkpoint().unwrap();
        }
    }
    store.close().unwrap();
    let store = Store::open(manual(dir.path())).unwrap();
    let trees = store.trees().unwrap();
    assert_eq!(trees.iter().map(|tree| tree.name.as_str()).collect::<Vec<_>>(), ["kept"]);
    store.close().unwrap();
    let store = Store::open(manual(dir.path())).unwrap();
    store.existing_tree("kept").unwrap();
    drop(store.drop_tree("kept").unwrap());
    store.checkpoint().unwrap();
    assert!(store.trees().unwrap().is_empty());
    assert_eq!(files(dir.path(), "parts"), 0);
}

#[test]
fn a_tree_is_loaded_when_it_is_first_used() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(manual(dir.path())).unwrap();
    for name in ["a", "b"] {
        store.tree::<Blake3, 4>(name).unwrap().insert_many(&leaves(2000, 3)).unwrap();
    }
    store.checkpoint().unwrap();
    store.close().unwrap();
    let store = Store::open(manual(dir.path())).unwrap();
    let loaded = |store: &Store| {
        let trees = store.trees().unwrap();
        trees.iter().map(|tree| tree.loaded).collect::<Vec<_>>()
    };
    assert_eq!(loaded(&store), [false, false]);
    // The commitment to all heads needs no tree.
    assert_eq!(store.head().unwrap().trees()[1].head.size.get(), 2000);
    assert_eq!(loaded(&store), [false, false]);
    assert_eq!(store.stats().memory_bytes, 0);
    let snapshot = store.snapshot().unwrap();
    store.existing_tree("b").unwrap().insert([4; 32]).unwrap();
    assert_eq!(loaded(&store), [false, true]);
    let b = snapshot.tree("b").unwrap().unwrap();
    assert_eq!(b.size().get(), 2000, "as it was before the leaf");
    assert_eq!(snapshot.tree("a").unwrap().unwrap().size().get(), 2000);
    assert!(snapshot.tree("c").unwrap().is_none());
    assert_eq!(loaded(&store), [true, true]);
}

#[test]
fn a_damaged_tree_keeps_no_other_from_being_used() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(manual(dir.path())).unwrap();
    for name in ["a", "b"] {
        store.tree::<Blake3, 4>(name).unwrap().insert_many(&leaves(2000, 3)).unwrap();
    }
    store.checkpoint().unwrap();
    store.close().unwrap();
    let part = dir.path().join("parts/00000001.part");
    let mut bytes = std::fs::read(&part).unwrap();
    bytes[20] ^= 1;
    std::fs::write(&part, bytes).unwrap();
    let store = Store::open(manual(dir.path())).unwrap();
    assert!(matches!(store.existing_tree("a"), Err(Error::Damaged(_))));
    assert_eq!(store.existing_tree("b").unwrap().size().get(), 2000);
    // It can be dropped without being read.
    drop(store.drop_tree("a").unwrap());
    store.checkpoint().unwrap();
    assert_eq!(files(dir.path(), "parts"), 1);
}

#[test]
fn the_report_of_an_opening_names_the_trees_that_the_log_has_leaves_of() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(manual(dir.path())).unwrap();
    for name in ["kept", "grown", "dropped"] {
        store.tree::<Blake3, 4>(name).unwrap().insert_many(&leaves(10, 1)).unwrap();
    }
    store.checkpoint().unwrap();
    for (name, count) in [("grown", 5), ("new", 7), ("dropped", 3)] {
        store.tree::<Rfc6962Sha256, 2>("empty").unwrap();
        store.tree::<Blake3, 4>(name).unwrap().insert_many(&leaves(count, 2)).unwrap();
    }
    drop(store.drop_tree("dropped").unwrap());
    store.close().unwrap();
    let store = Store::open(manual(dir.path())).unwrap();
    let report = store.recovery();
    let trees = report.trees.iter();
    let trees = trees.map(|tree| (tree.tree.as_str(), tree.checkpointed.get(), tree.size.get()));
    assert_eq!(trees.collect::<Vec<_>>(), [("grown", 10, 15), ("new", 0, 7)]);
    assert_eq!((report.checkpointed, report.replayed_leaves), (30, 15));
    store.checkpoint().unwrap();
    store.close().unwrap();
    let store = Store::open(manual(dir.path())).unwrap();
    assert!(store.recovery().trees.is_empty(), "{:?}", store.recovery());
}

#[test]
fn a_part_of_one_tree_is_not_taken_for_one_of_another() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(manual(dir.path())).unwrap();
    for name in ["a", "b"] {
        store.tree::<Blake3, 4>(name).unwrap().insert_many(&leaves(2000, 3)).unwrap();
    }
    store.checkpoint().unwrap();
    store.close().unwrap();
    // Both have the same leaves, so only what the parts say of themselves tells them apart.
    let parts = dir.path().join("parts");
    let (one, other) = (parts.join("00000001.part"), parts.join("00000002.part"));
    std::fs::rename(&one, parts.join("aside")).unwrap();
    std::fs::rename(&other, &one).unwrap();
    std::fs::rename(parts.join("aside"), &other).unwrap();
    let store = Store::open(manual(dir.path())).unwrap();
    for name in ["a", "b"] {
        assert!(matches!(store.existing_tree(name), Err(Error::Damaged(_))), "{name}");
    }
}

#[test]
fn readers_follow_every_tree_beside_the_writer() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(manual(dir.path())).unwrap();
    let all = StoreReader::open(Config::new(dir.path())).unwrap();
    assert!(all.trees().unwrap().is_empty());
    let what = || TreeConfig::of::<Blake3, 4>();
    let none = Reader::open_tree(Config::new(dir.path()), "a", what()).unwrap_err();
    assert!(matches!(none, Error::NoTree { .. }));
    let a = store.tree::<Blake3, 4>("a").unwrap();
    a.insert_many(&leaves(10, 1)).unwrap();
    store.flush().unwrap();
    let one = Reader::open_tree(Config::new(dir.path()), "a", what()).unwrap();
    assert_eq!(one.head().unwrap(), a.head().unwrap());
    for round in 0..6 {
        let b = store.tree::<Rfc6962Sha256, 2>(format!("b{round}")).unwrap();
        let mut batch = store.batch();
        batch.insert_many(&a, &leaves(5, round)).unwrap();
        batch.insert_many(&b, &leaves(7, round)).unwrap();
        batch.commit().unwrap();
        match round % 3 {
            0 => store.flush().unwrap(),
            1 => drop(store.checkpoint().unwrap()),
            _ => {
                drop(store.drop_tree(format!("b{}", round - 1)).unwrap());
                drop(store.seal(format!("b{round}")).unwrap());
                store.flush().unwrap();
            }
        }
        all.refresh().unwrap();
        assert_eq!(all.head().unwrap(), store.head().unwrap(), "{round}");
        assert_eq!(one.refresh().unwrap(), a.size(), "{round}");
        assert_eq!(one.head().unwrap(), a.head().unwrap(), "{round}");
        let (seen, there) = (all.trees().unwrap(), store.trees().unwrap());
        assert!(
            seen.iter()
                .map(|tree| (&tree.name, tree.id, tree.size, tree.sealed))
                .eq(there.iter().map(|tree| (&tree.name, tree.id, tree.size, tree.sealed)))
        );
        let name = format!("b{round}");
        let b = store.existing_tree(&name).unwrap();
        assert_eq!(all.tree(&name).unwrap().head().unwrap(), b.head().unwrap());
    }
    drop(store.drop_tree("a").unwrap());
    store.flush().unwrap();
    assert!(matches!(one.refresh(), Err(Error::NoTree { .. })));
    assert_eq!(one.size(), a.size(), "what was read stays");
}

#[test]
fn a_copy_has_every_tree_and_a_scrub_verifies_them() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(manual(dir.path())).unwrap();
    let mut expected = Expected::default();
    for at in 0..5_usize {
        let what =
            if at % 2 == 0 { ("blake3", Arity::Eight) } else { ("rfc6962-sha256", Arity::Two) };
        let name = format!("tree {at}");
        let new = leaves(300 * (at + 1), at as u64);
        store.tree_dyn(&name, kind(what)).unwrap().insert_many(&new).unwrap();
        expected.0.insert(name, (what, new, false));
        if at == 2 {
            store.checkpoint().unwrap();
            drop(store.seal("tree 0").unwrap());
            expected.0.get_mut("tree 0").unwrap().2 = true;
        }
    }
    store.flush().unwrap();
    let options = scrub::Options::new();
    let go_on = &mut |_| std::ops::ControlFlow::Continue(());
    let report = store.scrub(&options, go_on).unwrap();
    assert!(report.is_clean() && report.leaves == 300 + 600 + 900, "{report:?}");
    assert_eq!((report.log_leaves, report.head.trees().len()), (1200 + 1500, 3));
    let copies = tempfile::tempdir().unwrap();
    let (inside, outside) = (copies.path().join("inside"), copies.path().join("outside"));
    let info = store.snapshot_to(&inside).unwrap();
    assert_eq!(info.head, store.head().unwrap());
    let info = StoreReader::open(Config::new(dir.path())).unwrap().snapshot_to(&outside).unwrap();
    assert_eq!(info.head, store.head().unwrap());
    for copy in [inside, outside] {
        let survey = inspect::survey(&Config::new(&copy)).unwrap();
        assert!(survey.is_clean() && survey.leaves == Some(4500), "{survey:?}");
        assert!(scrub::run(&Config::new(&copy), &options, go_on).unwrap().is_clean());
        expected.check(&Store::open(manual(&copy)).unwrap());
    }
}

#[test]
fn ten_thousand_trees_take_a_leaf_each_in_one_batch() {
    let dir = tempfile::tempdir().unwrap();
    let count = if cfg!(debug_assertions) { 2000 } else { 10_000 };
    let store = Store::open(manual(dir.path())).unwrap();
    let trees: Vec<DynAccumulator> = (0..count)
        .map(|at| store.tree_dyn(format!("tree {at}"), TreeConfig::of::<Blake3, 4>()).unwrap())
        .collect();
    let mut batch = store.batch();
    for (tree, leaf) in trees.iter().zip(leaves(count, 1)) {
        batch.insert(tree, leaf).unwrap();
    }
    let committed = batch.commit().unwrap();
    store.flush().unwrap();
    assert!(committed.token.is_durable());
    assert_eq!(store.stats().groups, 1);
    let head = store.head().unwrap();
    drop(trees);
    store.close().unwrap();
    let store = Store::open(manual(dir.path())).unwrap();
    assert_eq!(store.head().unwrap(), head);
    assert_eq!(store.recovery().replayed_leaves, count as u64);
    store.checkpoint().unwrap();
    store.close().unwrap();
    let store = Store::open(manual(dir.path())).unwrap();
    assert_eq!(store.head().unwrap(), head);
    assert!(store.trees().unwrap().iter().all(|tree| !tree.loaded));
    let name = TreeName::new(format!("tree {}", count - 1)).unwrap();
    assert_eq!(store.existing_tree(&name).unwrap().leaf(0).unwrap(), leaves(count, 1)[count - 1]);
}
