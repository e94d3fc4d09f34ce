//! Marks: the sizes of all trees at one moment, by name.

use std::path::Path;
use std::thread;

use duramen::{
    Arity, Blake3, CheckpointPolicy, Config, Error, FlushPolicy, Hash, MarkName, MarkPolicy,
    Rfc6962Sha256, Store, StoreReader, TreeConfig,
};
use testkit::stores::leaves;

fn config(dir: &Path) -> Config {
    Config::new(dir)
        .flush_policy(FlushPolicy::Manual)
        .checkpoint_policy(CheckpointPolicy::manual())
        .max_marks(200)
}

fn names(store: &Store) -> Vec<String> {
    store.marks().unwrap().iter().map(|mark| mark.name.to_string()).collect()
}

#[test]
fn a_mark_keeps_heads_and_proofs_of_its_moment_over_growth_and_opens() {
    let dir = tempfile::tempdir().unwrap();
    let mut heads = Vec::new();
    let all = leaves(400, 1);
    for round in 0..8_usize {
        let store = Store::open(config(dir.path())).unwrap();
        let notes = store.tree::<Blake3, 4>("notes").unwrap();
        let audit = store.tree::<Rfc6962Sha256, 2>("audit").unwrap();
        for step in 0..4 {
            let at = 50 * round + 10 * step;
            notes.insert_many(&all[at..at + 10]).unwrap();
            if step % 2 == 0 {
                audit.insert(all[at]).unwrap();
            }
            let name = format!("block {round}.{step}");
            drop(store.mark(&name).unwrap());
            heads.push((name, store.head().unwrap(), notes.head().unwrap()));
            if step == round % 4 {
                store.checkpoint().unwrap();
            }
        }
        for (name, head, notes_head) in &heads {
            let then = store.snapshot_at(name).unwrap();
            assert_eq!(then.head().unwrap(), *head, "{name}");
            let notes = then.tree("notes").unwrap().unwrap();
            assert_eq!(notes.head().unwrap(), *notes_head, "{name}");
            let last = notes.size().get() - 1;
            let proof = notes.prove(last).unwrap();
            let leaf = notes.leaf(last).unwrap();
            proof.verify(&Blake3, Arity::Four, notes_head, last.into(), &leaf).unwrap();
        }
        assert!(names(&store).iter().eq(heads.iter().map(|(name, ..)| name)));
        store.close().unwrap();
    }
}

#[test]
fn a_name_is_taken_until_its_mark_is_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(config(dir.path())).unwrap();
    let tree = store.tree::<Blake3, 4>("notes").unwrap();
    drop(store.mark("a").unwrap());
    assert!(matches!(store.mark("a"), Err(Error::MarkExists { .. })));
    let mut batch = store.batch();
    batch.insert(&tree, [1; 32]).unwrap().mark("a").unwrap();
    assert!(matches!(batch.commit(), Err(Error::MarkExists { .. })));
    assert_eq!(tree.size().get(), 0, "a batch was inserted without its mark");
    drop(store.drop_mark("a").unwrap());
    assert!(matches!(store.drop_mark("a"), Err(Error::NoMark { .. })));
    assert!(matches!(store.snapshot_at("a"), Err(Error::NoMark { .. })));
    tree.insert([1; 32]).map(drop).unwrap();
    drop(store.mark("a").unwrap());
    assert_eq!(store.snapshot_at("a").unwrap().tree("notes").unwrap().unwrap().size().get(), 1);
    assert!(matches!(store.mark(""), Err(Error::MarkName(_))));
    assert!(matches!(store.batch().mark("a/b"), Err(Error::MarkName(_))));
}

#[test]
fn there_are_no_more_marks_than_the_setting_allows() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(config(dir.path()).max_marks(2)).unwrap();
    let tree = store.tree::<Blake3, 4>("notes").unwrap();
    drop(store.mark("a").unwrap());
    drop(store.mark("b").unwrap());
    let refused = store.mark("c").unwrap_err();
    assert!(matches!(refused, Error::TooManyMarks { found: 2, most: 2 }), "{refused}");
    assert_eq!(refused.to_string(), "the store has 2 marks, and `max_marks` allows 2");
    let mut batch = store.batch();
    // Large, so that it is copied without the lock.
    batch.insert_many(&tree, &vec![[1; 32]; 40_000]).unwrap().mark("c").unwrap();
    assert!(matches!(batch.commit(), Err(Error::TooManyMarks { .. })));
    assert_eq!(tree.size().get(), 0);
    drop(store.drop_mark("a").unwrap());
    drop(store.mark("c").unwrap());
    store.flush().unwrap();
    drop((store, tree));
    // A lower limit takes no mark away.
    let store = Store::open(config(dir.path()).max_marks(1)).unwrap();
    assert_eq!(names(&store), ["b", "c"]);
    assert!(store.mark("d").is_err());
}

#[test]
fn where_old_marks_may_go_the_oldest_goes_with_the_new_one_and_stays_gone() {
    let dir = tempfile::tempdir().unwrap();
    let most = |most| config(dir.path()).max_marks(most).mark_policy(MarkPolicy::DropOldest);
    let store = Store::open(most(3)).unwrap();
    let tree = store.tree::<Blake3, 4>("main").unwrap();
    for block in 0..6_u8 {
        let mut batch = store.batch();
        batch.insert(&tree, [block; 32]).unwrap();
        batch.mark(format!("block {block}")).unwrap();
        drop(batch.commit().unwrap());
    }
    assert_eq!(names(&store), ["block 3", "block 4", "block 5"]);
    // A name that goes is taken until it is gone.
    assert!(matches!(store.mark("block 3"), Err(Error::MarkExists { .. })));
    store.flush().unwrap();
    store.close().unwrap();

    // With a lower limit the store comes down to it mark by mark.
    let store = Store::open(most(1)).unwrap();
    assert_eq!(names(&store), ["block 3", "block 4", "block 5"]);
    drop(store.mark("block 6").unwrap());
    assert_eq!(names(&store), ["block 5", "block 6"]);
    drop(store.mark("block 7").unwrap());
    assert_eq!(names(&store), ["block 7"]);
    store.checkpoint().unwrap();
    store.close().unwrap();
    let store = Store::open(most(0)).unwrap();
    assert_eq!(names(&store), ["block 7"]);
    assert!(matches!(store.mark("block 8"), Err(Error::TooManyMarks { found: 1, most: 0 })));
}

#[test]
fn a_mark_is_durable_with_the_group_that_it_stands_in() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(config(dir.path())).unwrap();
    let tree = store.tree::<Blake3, 4>("notes").unwrap();
    store.flush().unwrap();
    let before = store.stats().syncs;
    let mut batch = store.batch();
    batch.insert_many(&tree, &leaves(5, 1)).unwrap().mark("block 1").unwrap();
    let committed = batch.commit().unwrap();
    let lone = store.mark("block 1 again").unwrap();
    assert!(!committed.token.is_durable() && !lone.is_durable());
    store.flush().unwrap();
    assert!(committed.token.is_durable() && lone.is_durable());
    assert_eq!(store.stats().syncs, before + 1, "a mark caused a sync of its own");
    let mut alone = store.batch();
    alone.mark("alone").unwrap();
    let alone = alone.commit().unwrap();
    assert!(!alone.token.is_durable(), "a batch that only marks is durable at once");
    drop((store, tree));
    let store = Store::open(config(dir.path())).unwrap();
    assert_eq!(names(&store), ["block 1", "block 1 again", "alone"], "closing flushes");
}

#[test]
fn trees_that_come_later_or_go_are_not_at_a_mark() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(config(dir.path())).unwrap();
    for name in ["a", "b", "c"] {
        store.tree::<Blake3, 4>(name).unwrap().insert([1; 32]).map(drop).unwrap();
    }
    drop(store.mark("then").unwrap());
    store.tree::<Blake3, 4>("d").unwrap().insert([2; 32]).map(drop).unwrap();
    drop(store.drop_tree("b").unwrap());
    store.tree::<Blake3, 4>("b").unwrap().insert_many(&leaves(9, 1)).map(drop).unwrap();
    let check = |store: &Store| {
        let then = store.snapshot_at("then").unwrap();
        let sizes: Vec<_> = then.trees().map(|(name, size)| (name.as_str(), size.get())).collect();
        assert_eq!(sizes, [("a", 1), ("c", 1)]);
        let listed: Vec<_> = store.marks().unwrap()[0].trees.clone();
        assert!(listed.iter().map(|(name, size)| (name.as_str(), size.get())).eq(sizes));
    };
    check(&store);
    store.checkpoint().unwrap();
    check(&store);
    store.close().unwrap();
    // The trees are not loaded now.
    let store = Store::open(config(dir.path())).unwrap();
    drop(store.mark("now").unwrap());
    check(&store);
    let now = store.snapshot_at("now").unwrap();
    let sizes: Vec<_> = now.trees().map(|(name, size)| (name.as_str(), size.get())).collect();
    assert_eq!(sizes, [("a", 1), ("b", 9), ("c", 1), ("d", 1)]);
}

#[test]
fn a_reader_beside_the_writer_sees_marks_and_reads_at_them() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(config(dir.path())).unwrap();
    let tree = store.tree::<Blake3, 4>("notes").unwrap();
    let reader = StoreReader::open(Config::new(dir.path())).unwrap();
    for round in 0..6_u64 {
        tree.insert_many(&leaves(7, round)).map(drop).unwrap();
        drop(store.mark(format!("{round}")).unwrap());
        match round {
            2 => drop(store.checkpoint().unwrap()),
            4 => drop(store.drop_mark("1").unwrap()),
            _ => {}
        }
        store.flush().unwrap();
        reader.refresh().unwrap();
        assert_eq!(reader.marks().unwrap(), store.marks().unwrap());
        for mark in store.marks().unwrap() {
            let head = store.snapshot_at(&mark.name).unwrap().head().unwrap();
            assert_eq!(reader.head_at(&mark.name).unwrap(), head);
            let tree = reader.tree_at(&mark.name, "notes").unwrap();
            assert_eq!(tree.head().unwrap().size, mark.trees[0].1);
        }
    }
    assert!(matches!(reader.head_at("1"), Err(Error::NoMark { .. })));
    assert!(matches!(reader.tree_at("2", "other"), Err(Error::NoTree { .. })));
}

#[test]
fn a_copy_of_a_store_has_its_marks() {
    let (dir, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = Store::open(config(dir.path())).unwrap();
    let tree = store.tree::<Blake3, 4>("notes").unwrap();
    tree.insert([1; 32]).map(drop).unwrap();
    drop(store.mark("in the manifest").unwrap());
    store.checkpoint().unwrap();
    tree.insert([2; 32]).map(drop).unwrap();
    drop(store.mark("in the log").unwrap());
    let target = copy.path().join("copy");
    store.snapshot_to(&target).unwrap();
    let copied = Store::open(config(&target)).unwrap();
    assert_eq!(copied.marks().unwrap(), store.marks().unwrap());
    assert_eq!(copied.snapshot_at("in the log").unwrap().head().unwrap(), store.head().unwrap());
}

#[test]
fn marks_of_batches_stand_between_whole_batches_whatever_other_threads_insert() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(config(dir.path()).max_marks(1000)).unwrap();
    let trees: Vec<_> = ["a", "b"]
        .iter()
        .map(|name| store.tree_dyn(name, TreeConfig::of::<Blake3, 4>()).unwrap())
        .collect();
    thread::scope(|threads| {
        for thread in 0..4_u8 {
            let (store, trees) = (&store, &trees);
            threads.spawn(move || {
                for round in 0..50_u8 {
                    let mut batch = store.batch();
                    let leaf: Hash = [thread; 32];
                    // Some are large.
                    let count = if round % 25 == 24 { 20_000 } else { 3 };
                    batch.insert_many(&trees[0], &vec![leaf; count]).unwrap();
                    batch.insert_many(&trees[1], &vec![leaf; count]).unwrap();
                    batch.mark(format!("{thread} {round}")).unwrap();
                    drop(batch.commit().unwrap());
                }
            });
        }
    });
    let (mut ends, mut at) = (Vec::new(), 0);
    let all = trees[0].leaves(0..trees[0].size().get()).unwrap();
    for mark in store.marks().unwrap() {
        let [(_, one), (_, other)] = &mark.trees[..] else { panic!("{mark:?}") };
        assert_eq!(one, other, "{mark:?}");
        let thread: u8 = mark.name.as_str().split(' ').next().unwrap().parse().unwrap();
        let end = usize::try_from(one.get()).unwrap();
        assert!(all[at..end].iter().all(|leaf| *leaf == [thread; 32]), "{mark:?} cuts a batch");
        at = end;
        ends.push(one.get());
    }
    assert!(ends.is_sorted() && ends.len() == 200 && at == all.len());
}

#[test]
fn bytes_are_named_by_their_hex_digits() {
    assert_eq!(MarkName::of_bytes(&[0xab; 32]).unwrap().as_str(), "ab".repeat(32));
    assert!(MarkName::of_bytes(&[]).is_err() && MarkName::of_bytes(&[0; 128]).is_err());
    let refused = MarkName::new("a\nb").unwrap_err();
    assert_eq!(refused.to_string(), "the name of a mark has the character '\\n' at byte 1");
}
