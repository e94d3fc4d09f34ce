//! The last leaves of trees that are too few for a part: they are kept in the manifest.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use duramen::{
    Arity, Blake3, CheckpointPolicy, CompactionPolicy, Config, Error, FlushPolicy, Hash, Hasher,
    Reader, Rfc6962Sha256, Store, StoreReader, TreeConfig, TreeName, inspect, scrub,
};
use testkit::random::Random;
use testkit::stores::{copy_of, leaves, root_of};

/// A store that makes parts of few leaves for so many trees at most.
fn config(dir: &Path, small_parts: usize) -> Config {
    Config::new(dir)
        .flush_policy(FlushPolicy::Manual)
        .checkpoint_policy(CheckpointPolicy::manual().small_parts(small_parts))
        .compaction_policy(CompactionPolicy::tiered(2).unwrap())
}

fn parts(dir: &Path) -> usize {
    std::fs::read_dir(dir.join("parts")).unwrap().count()
}

type Model = BTreeMap<String, Vec<Hash>>;

/// Trees of two kinds, told apart by their names.
fn hasher(name: &str) -> (Arc<dyn Hasher>, Arity) {
    match name.ends_with('0') {
        true => (Arc::new(Blake3), Arity::Four),
        false => (Arc::new(Rfc6962Sha256), Arity::Two),
    }
}

fn kind(name: &str) -> TreeConfig {
    let (hasher, arity) = hasher(name);
    TreeConfig::new(hasher, arity)
}

fn check(store: &Store, model: &Model) {
    let trees = store.trees().unwrap();
    assert!(trees.iter().map(|tree| tree.name.as_str()).eq(model.keys()));
    for (name, leaves) in model {
        let tree = store.existing_tree(name).unwrap();
        let size = leaves.len() as u64;
        assert_eq!(tree.size().get(), size, "{name}");
        assert_eq!(tree.leaves(0..size).unwrap(), *leaves, "{name}");
        let (hasher, arity) = hasher(name);
        assert_eq!(tree.head().unwrap().root, root_of(&*hasher, arity, leaves), "{name}");
        for past in [size / 2, size.saturating_sub(1)] {
            let known = root_of(&*hasher, arity, &leaves[..usize::try_from(past).unwrap()]);
            assert_eq!(tree.head_at(past).unwrap().root, known, "{name} at {past}");
        }
    }
}

#[test]
fn many_trees_with_a_few_leaves_each_make_no_part() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(config(dir.path(), 8)).unwrap();
    let mut model = Model::new();
    let mut insert = |store: &Store, names: std::ops::Range<usize>, count| {
        for at in names {
            let name = format!("tree {at:02}");
            let new = leaves(count, at as u64);
            store.tree_dyn(&name, kind(&name)).unwrap().insert_many(&new).unwrap();
            model.entry(name).or_default().extend(new);
        }
        store.flush().unwrap();
        check(store, &model);
    };
    insert(&store, 0..20, 3);
    let info = store.checkpoint().unwrap();
    assert_eq!((info.trees.len(), info.leaves, info.bytes), (20, 60, 60 * 32));
    assert_eq!(parts(dir.path()), 0);
    // One of them alone gets a part for all it has.
    insert(&store, 4..5, 2);
    let info = store.checkpoint().unwrap();
    assert_eq!((info.trees.len(), info.leaves, parts(dir.path())), (1, 2, 1));
    assert!(info.bytes > 5 * 32);
    store.close().unwrap();
    let store = Store::open(config(dir.path(), 8)).unwrap();
    assert_eq!(store.recovery().replayed_leaves, 0);
    // Many again, of which two have enough for a part.
    insert(&store, 0..20, 4);
    insert(&store, 7..9, 70);
    store.checkpoint().unwrap();
    assert_eq!(parts(dir.path()), 3);
    store.close().unwrap();
    let store = Store::open(config(dir.path(), 8)).unwrap();
    check(&store, &model);
}

#[test]
fn trees_whose_last_leaves_move_between_manifest_and_parts_keep_every_leaf() {
    for seed in 0..4 {
        println!("seed {seed}");
        let mut random = Random(seed);
        let dir = tempfile::tempdir().unwrap();
        let mut model = Model::new();
        let mut most = 0;
        let mut store = Store::open(config(dir.path(), most)).unwrap();
        let follower = StoreReader::open(config(dir.path(), most)).unwrap();
        let one = {
            let tree = store.tree_dyn("tree 0", kind("tree 0")).unwrap();
            tree.insert([9; 32]).unwrap();
            store.flush().unwrap();
            model.insert("tree 0".to_owned(), vec![[9; 32]]);
            Reader::open_tree(config(dir.path(), most), "tree 0", kind("tree 0")).unwrap()
        };
        for step in 0..60 {
            for _ in 0..random.below(4) {
                let name = format!("tree {}", random.below(6));
                let count = [1, 2, 7, 63, 64, 200][usize::try_from(random.below(6)).unwrap()];
                let new = leaves(count, step);
                store.tree_dyn(&name, kind(&name)).unwrap().insert_many(&new).unwrap();
                model.entry(name).or_default().extend(new);
            }
            store.flush().unwrap();
            match random.below(6) {
                0 | 1 => drop(store.checkpoint().unwrap()),
                2 => {
                    store.close().unwrap();
                    most = usize::try_from(random.below(4)).unwrap();
                    store = Store::open(config(dir.path(), most)).unwrap();
                }
                3 => {
                    store.checkpoint().unwrap();
                    store.wait_idle();
                }
                4 => {
                    let name = format!("tree {}", 1 + random.below(5));
                    if model.remove(&name).is_some() {
                        drop(store.drop_tree(&name).unwrap());
                        store.flush().unwrap();
                    }
                }
                _ => {}
            }
            check(&store, &model);
            if random.below(3) == 0 {
                follower.refresh().unwrap();
                assert_eq!(follower.head().unwrap(), store.head().unwrap());
                one.refresh().unwrap();
                assert_eq!(
                    one.head().unwrap(),
                    store.existing_tree("tree 0").unwrap().head().unwrap()
                );
            }
            if step % 20 == 19 {
                let copy = copy_of(dir.path());
                check(&Store::open(config(copy.path(), 1)).unwrap(), &model);
            }
        }
        // A scrub counts the leaves of a tree that is dropped until the manifest is without it.
        store.checkpoint().unwrap();
        store.existing_tree("tree 0").unwrap().insert([8; 32]).unwrap();
        store.flush().unwrap();
        model.get_mut("tree 0").unwrap().push([8; 32]);
        let copies = tempfile::tempdir().unwrap();
        let copy = copies.path().join("copy");
        assert_eq!(store.snapshot_to(&copy).unwrap().head, store.head().unwrap());
        for path in [dir.path(), &copy] {
            let survey = inspect::survey(&Config::new(path)).unwrap();
            assert!(survey.is_clean(), "{survey:?}");
            let report = verified(path);
            assert!(report.is_clean(), "{report:?}");
            let total = report.leaves + report.log_leaves;
            assert_eq!(total, model.values().map(|leaves| leaves.len() as u64).sum::<u64>());
        }
        check(&Store::open(config(&copy, 0)).unwrap(), &model);
    }
}

fn verified(path: &Path) -> scrub::Report {
    let go_on = &mut |_| ControlFlow::Continue(());
    scrub::run(&Config::new(path), &scrub::Options::new(), go_on).unwrap()
}

/// Who can write the manifest can give it a right checksum.
#[cfg(feature = "testing")]
#[test]
fn a_leaf_in_the_manifest_that_is_not_the_trees_is_found_where_the_tree_is_used() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(config(dir.path(), 0)).unwrap();
    for name in ["tree 0", "tree 1"] {
        let tree = store.tree_dyn(name, kind(name)).unwrap();
        tree.insert_many(&leaves(100, 1)).unwrap();
        store.checkpoint().unwrap();
        tree.insert([if name == "tree 1" { 0xab } else { 0xcd }; 32]).unwrap();
        store.checkpoint().unwrap();
    }
    store.close().unwrap();
    let manifests = std::fs::read_dir(dir.path().join("manifest")).unwrap();
    let newest = manifests.map(|entry| entry.unwrap().path()).max().unwrap();
    let mut bytes = std::fs::read(&newest).unwrap();
    let leaf = bytes.windows(32).position(|window| window == [0xab; 32]).unwrap();
    bytes[leaf + 5] ^= 1;
    duramen::testing::hostile::fix_manifest(&mut bytes);
    std::fs::write(&newest, &bytes).unwrap();
    let report = verified(dir.path());
    let [finding] = &report.findings[..] else { panic!("{report:#?}") };
    assert_eq!(finding.tree, Some(TreeName::new("tree 1").unwrap()));
    assert_eq!(finding.element, scrub::Element::Root);
    let store = Store::open(config(dir.path(), 0)).unwrap();
    assert_eq!(store.existing_tree("tree 0").unwrap().size().get(), 101);
    assert!(matches!(store.existing_tree("tree 1"), Err(Error::Damaged(_))));
    let reader = Reader::open_tree(Config::new(dir.path()), "tree 1", kind("tree 1"));
    assert!(matches!(reader, Err(Error::Damaged(_))));
}
