//! A store that is open and accepts nothing.

use std::sync::Arc;
use std::time::Duration;

use duramen::{
    Arity, Blake3, CheckpointPolicy, Compact, Config, EntryConfig, Error, FlushPolicy, Store,
    TreeConfig,
};
use testkit::stores::leaves;

fn kept() -> TreeConfig {
    TreeConfig::new(Arc::new(Blake3), Arity::Four).entries(EntryConfig::new()).indexed()
}

#[test]
fn nothing_is_accepted_and_everything_else_goes_on_until_that_ends() {
    let (dir, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = Store::open(Config::new(dir.path().join("store"))).unwrap();
    let tree = store.tree_dyn("main", kept()).unwrap();
    tree.insert_entries(&["one"]).unwrap();
    drop(store.mark("then").unwrap());
    tree.insert_entries(&["two"]).unwrap();
    store.set_read_only(true).unwrap();
    assert!(store.is_read_only());
    let is_refused = |done: Result<(), Error>| assert!(matches!(done, Err(Error::ReadOnly)));
    let small = ["three"];
    let large = vec![vec![7_u8; 40_000]; 40];
    is_refused(tree.insert_entries(&small).map(drop));
    is_refused(tree.insert_entries(&large).map(drop));
    is_refused(tree.try_insert_entry("three").map(drop));
    is_refused(tree.insert_unique_entries(&["one"]).map(drop));
    is_refused(tree.erase(0, "no").map(drop));
    is_refused(store.seal("main").map(drop));
    is_refused(store.drop_tree("main").map(drop));
    is_refused(store.tree_dyn("other", kept()).map(drop));
    is_refused(tree.rewind(1).map(drop));
    is_refused(store.rewind_to("then").map(drop));
    is_refused(store.mark("now").map(drop));
    is_refused(store.drop_mark("then").map(drop));
    let mut batch = store.batch();
    batch.insert_entry(&tree, "three").unwrap();
    is_refused(batch.commit().map(drop));
    assert_eq!(tree.size().get(), 2);

    store.flush().unwrap();
    assert_eq!(store.checkpoint().unwrap().leaves, 2);
    store.compact(Compact::new()).unwrap();
    store.snapshot_to(copy.path().join("copy")).unwrap();
    assert_eq!(&*tree.entry(1).unwrap(), b"two");
    store.tree_dyn("main", kept()).unwrap();

    store.set_read_only(false).unwrap();
    assert!(!store.is_read_only());
    tree.insert_entries(&small).unwrap();
    assert_eq!(tree.size().get(), 3);
    store.set_read_only(true).unwrap();
    store.close().unwrap();
    // No file says it.
    let store = Store::open(Config::new(dir.path().join("store"))).unwrap();
    store.existing_tree("main").unwrap().insert_entries(&["four"]).unwrap();
    store.close().unwrap();
}

#[test]
fn an_insert_that_waits_for_room_fails_when_the_store_becomes_read_only() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config::new(dir.path().join("store"))
        .flush_policy(FlushPolicy::interval(Duration::from_secs(3600)).unwrap())
        .checkpoint_policy(CheckpointPolicy::manual())
        .max_uncheckpointed_bytes(64 << 10)
        .unwrap();
    let store = Store::open(config).unwrap();
    let tree = store.tree_dyn("main", TreeConfig::new(Arc::new(Blake3), Arity::Four)).unwrap();
    std::thread::scope(|threads| {
        let inserts = threads.spawn(|| {
            // Checkpoints that are requested make room again and again.
            for count in 0.. {
                if let Err(error) = tree.insert_many(&leaves(1000, count)) {
                    return error;
                }
            }
            unreachable!("it goes on until an insert fails")
        });
        std::thread::sleep(Duration::from_millis(50));
        store.set_read_only(true).unwrap();
        let size = tree.size();
        assert!(matches!(inserts.join().unwrap(), Error::ReadOnly));
        assert_eq!(tree.size(), size, "an insert was under way");
    });
    store.close().unwrap();
}
