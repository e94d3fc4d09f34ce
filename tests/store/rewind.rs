//! Rewinds: a tree loses its newest leaves, and nothing of them comes back.

use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use duramen::fs::FileKind;
use duramen::testing::sim::{OperationKind, SimDisk, When};
use duramen::{
    Arity, Blake3, CheckpointPolicy, Compact, CompactionPolicy, Config, DynAccumulator,
    EntryConfig, Erasure, Error, Event, FlushPolicy, Hash, Hasher, LeafIndex, MarkName,
    Rfc6962Sha256, Store, StoreReader, TreeConfig,
};
use testkit::random::Random;
use testkit::stores::{leaves, root_of};

fn config(dir: &Path) -> Config {
    Config::new(dir)
        .flush_policy(FlushPolicy::Manual)
        .checkpoint_policy(CheckpointPolicy::manual())
        .compaction_policy(CompactionPolicy::Off)
}

fn open(dir: &Path) -> (Store, DynAccumulator) {
    let store = Store::open(config(dir)).unwrap();
    let tree = store.tree_dyn("notes", TreeConfig::of::<Blake3, 4>().indexed()).unwrap();
    (store, tree)
}

fn usize_of(size: u64) -> usize {
    usize::try_from(size).unwrap()
}

/// What is wrong with a tree that is to have exactly `known`, if something is.
fn wrong(tree: &DynAccumulator, known: &[Hash], gone: &[Hash]) -> Option<String> {
    let size = known.len() as u64;
    let read = |error: Error| error.to_string();
    let check = || -> Result<Option<String>, Error> {
        if tree.size().get() != size {
            return Ok(Some(format!("{} leaves, not {size}", tree.size())));
        }
        if tree.leaves(0..size)? != known {
            return Ok(Some("other leaves".to_owned()));
        }
        for past in [size, size.saturating_sub(1), size / 2, size / 3, size] {
            let head = tree.head_at(past)?;
            let root = root_of(tree.hasher(), tree.arity(), &known[..usize_of(past)]);
            if head.root != root {
                return Ok(Some(format!("the root of {past} of {size}")));
            }
            for index in [0, past / 2, past.saturating_sub(1)] {
                if index >= past {
                    continue;
                }
                let proof = tree.prove_at(index, past)?;
                let (hasher, leaf) = (tree.hasher(), &known[usize_of(index)]);
                if proof.verify(hasher, tree.arity(), &head, index.into(), leaf).is_err() {
                    return Ok(Some(format!("the proof of {index} in {past} of {size}")));
                }
            }
            let now = tree.head()?;
            let consistent = tree.prove_consistency(past)?;
            if consistent.verify(tree.hasher(), tree.arity(), &head, &now).is_err() {
                return Ok(Some(format!("consistency of {past} with {size}")));
            }
        }
        if tree.is_indexed() {
            for at in [0, known.len() / 2, known.len().saturating_sub(1)] {
                let Some(leaf) = known.get(at) else { continue };
                let first = known.iter().position(|other| other == leaf).map(|at| at as u64);
                if tree.find(leaf)?.map(LeafIndex::get) != first {
                    return Ok(Some(format!("leaf {at} is not found")));
                }
            }
            for leaf in gone.iter().filter(|leaf| !known.contains(leaf)).take(5) {
                if let Some(index) = tree.find(leaf)? {
                    return Ok(Some(format!("a leaf that was dropped is found at {index}")));
                }
            }
        }
        match tree.leaf(size) {
            Err(Error::IndexOutOfRange { .. }) => Ok(None),
            answer => Ok(Some(format!("leaf {size} of {size}: {answer:?}"))),
        }
    };
    check().unwrap_or_else(|error| Some(read(error)))
}

/// Rewinds, branches, checkpoints and restarts at random, compared with the reference at each step. Returns what is wrong.
fn branches(
    seed: u64,
    steps: usize,
    most: u64,
    open: impl Fn() -> Store,
    kind: &TreeConfig,
) -> Result<(), String> {
    let mut random = Random(seed);
    let (mut known, mut gone): (Vec<Hash>, Vec<Hash>) = (Vec::new(), Vec::new());
    let mut store = open();
    let mut tree = store.tree_dyn("notes", kind.clone()).map_err(|error| error.to_string())?;
    for step in 0..steps {
        match random.below(11) {
            0..=3 => {
                let count = usize_of(1 + random.below(most));
                let new = leaves(count, 1000 * seed + step as u64);
                tree.insert_many(&new).map(drop).map_err(|error| error.to_string())?;
                known.extend(new);
            }
            4..=7 => {
                let size = match random.below(3) {
                    0 => random.below(known.len() as u64 + 1),
                    _ => (known.len() as u64).saturating_sub(random.below(20)),
                };
                tree.rewind(size).map(drop).map_err(|error| error.to_string())?;
                gone.extend(known.drain(usize_of(size)..));
            }
            8 => drop(store.checkpoint().map_err(|error| error.to_string())?),
            // Merges come beside what the test does.
            9 => thread::sleep(Duration::from_millis(2)),
            _ => {
                drop(tree);
                store.close().map_err(|error| error.to_string())?;
                store = open();
                tree = store.existing_tree("notes").map_err(|error| error.to_string())?;
            }
        }
        let last: Vec<_> = gone.iter().rev().take(20).copied().collect();
        if let Some(wrong) = wrong(&tree, &known, &last) {
            return Err(format!("seed {seed}, step {step}: {wrong}"));
        }
    }
    Ok(())
}

#[test]
fn a_tree_that_is_rewound_is_the_reference_of_what_is_left_whatever_comes_between() {
    let kinds = [
        TreeConfig::of::<Rfc6962Sha256, 2>(),
        TreeConfig::of::<Blake3, 4>(),
        TreeConfig::of::<Blake3, 8>(),
        TreeConfig::of::<Blake3, 16>(),
    ];
    for (seed, kind) in (0..).zip(&kinds) {
        for indexed in [false, true] {
            let dir = tempfile::tempdir().unwrap();
            let kind = if indexed { kind.clone().indexed() } else { kind.clone() };
            let compaction = match indexed {
                true => CompactionPolicy::tiered(2).unwrap(),
                false => CompactionPolicy::Off,
            };
            let open = || Store::open(config(dir.path()).compaction_policy(compaction)).unwrap();
            branches(seed, 60, 60, open, &kind).unwrap();
        }
    }
}

#[test]
fn a_rewind_goes_over_borders_of_chunks_and_to_nothing() {
    for kind in [TreeConfig::of::<Rfc6962Sha256, 2>(), TreeConfig::of::<Blake3, 16>()] {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(config(dir.path())).unwrap();
        let tree = store.tree_dyn("notes", kind).unwrap();
        let mut known = leaves(140_000, 1);
        tree.insert_many(&known).map(drop).unwrap();
        let whole = tree.snapshot();
        let head = whole.head().unwrap();
        for (number, size) in
            [139_999_u64, 131_073, 131_072, 70_000, 65_536, 65_535, 0].iter().enumerate()
        {
            tree.rewind(*size).unwrap();
            known.truncate(usize_of(*size));
            assert_eq!(wrong(&tree, &known, &[]), None, "{size}");
            let new = leaves(100, 50 + number as u64);
            tree.insert_many(&new).map(drop).unwrap();
            known.extend(new);
            assert_eq!(wrong(&tree, &known, &[]), None, "{size} and more");
            if number == 3 {
                store.checkpoint().unwrap();
                assert_eq!(wrong(&tree, &known, &[]), None, "in a part");
            }
        }
        assert_eq!(whole.head_at(140_000).unwrap(), head);
        assert_eq!(whole.leaf(139_999).unwrap(), leaves(140_000, 1)[139_999]);
    }
}

#[test]
fn snapshots_from_before_keep_leaves_proofs_entries_and_what_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(config(dir.path())).unwrap();
    let kind = TreeConfig::of::<Rfc6962Sha256, 2>().entries(EntryConfig::new()).indexed();
    let tree = store.tree_dyn("audit", kind).unwrap();
    let entry = |branch: u64, number: u64| format!("branch {branch}, entry {number}");
    let mut snapshots = Vec::new();
    let mut size = 0;
    for branch in 0..12_u64 {
        let entries: Vec<_> = (size..size + 40).map(|number| entry(branch, number)).collect();
        tree.insert_entries(&entries).map(drop).unwrap();
        let all: Vec<_> = tree
            .entries(0..tree.size().get())
            .unwrap()
            .map(|entry| entry.unwrap().to_vec())
            .collect();
        snapshots.push((tree.snapshot(), tree.head().unwrap(), all));
        if branch % 4 == 1 {
            store.checkpoint().unwrap();
        }
        size = tree.size().get() - 15 - branch;
        tree.rewind(size).unwrap();
        if branch % 4 == 2 {
            store.checkpoint().unwrap();
        }
    }
    for (branch, (snapshot, head, entries)) in snapshots.iter().enumerate() {
        assert_eq!(snapshot.head().unwrap(), *head, "{branch}");
        let read =
            snapshot.entries(0..head.size.get()).unwrap().map(|entry| entry.unwrap().to_vec());
        assert!(read.eq(entries.iter().cloned()), "{branch}");
        let last = head.size.get() - 1;
        let leaf = snapshot.leaf(last).unwrap();
        assert_eq!(leaf, Rfc6962Sha256.leaf(&entries[usize_of(last)]));
        assert_eq!(snapshot.find(&leaf).unwrap().map(LeafIndex::get), Some(last), "{branch}");
        snapshot
            .prove(last)
            .unwrap()
            .verify(&Rfc6962Sha256, Arity::Two, head, last.into(), &leaf)
            .unwrap();
    }
}

#[test]
fn tokens_of_dropped_leaves_say_so_and_others_are_durable() {
    let dir = tempfile::tempdir().unwrap();
    let (store, tree) = open(dir.path());
    let other = store.tree::<Blake3, 4>("other").unwrap();
    let durable = tree.insert([1; 32]).unwrap().token;
    let dropped_durable = tree.insert([2; 32]).unwrap().token;
    store.flush().unwrap();
    let kept = tree.rewind(2).map(|_| tree.insert_many(&[[3; 32], [4; 32]]).unwrap()).unwrap();
    let dropped = tree.insert([5; 32]).unwrap().token;
    let elsewhere = other.insert([6; 32]).unwrap().token;
    let mut batch = store.batch();
    batch.insert(&other, [7; 32]).unwrap().insert(&tree, [8; 32]).unwrap();
    let both = batch.commit().unwrap().token;
    let unique = tree.insert_unique([5; 32]).unwrap();
    let waiting = thread::spawn({
        let dropped = dropped.clone();
        move || dropped.wait()
    });
    thread::sleep(Duration::from_millis(20));
    tree.rewind(4).unwrap();
    assert!(kept.token.is_durable() && elsewhere.is_durable() && durable.is_durable());
    kept.token.wait().unwrap();
    for token in [&dropped, &both, unique.token()] {
        assert!(!token.is_durable());
        assert!(matches!(token.wait(), Err(Error::Rewound { size, .. }) if size.get() == 4));
        assert!(token.wait_timeout(Duration::ZERO).is_err());
    }
    assert!(matches!(waiting.join().unwrap(), Err(Error::Rewound { .. })));
    tree.rewind(1).unwrap();
    assert!(dropped_durable.is_durable(), "what was durable stays so");
    let again = tree.insert([9; 32]).unwrap().token;
    assert!(again.seq() > dropped.seq());
    store.flush().unwrap();
    again.wait().unwrap();
    assert_eq!(wrong(&tree, &[[1; 32], [9; 32]], &[[2; 32], [5; 32]]), None);
}

#[test]
fn what_was_dropped_is_new_to_an_insert_of_unique_leaves() {
    let dir = tempfile::tempdir().unwrap();
    let (store, tree) = open(dir.path());
    let all = leaves(300, 1);
    tree.insert_many(&all[..200]).map(drop).unwrap();
    store.checkpoint().unwrap();
    tree.insert_many(&all[200..]).map(drop).unwrap();
    assert!(!tree.insert_unique(all[250]).unwrap().is_new());
    tree.rewind(150).unwrap();
    for (leaf, new) in [(149, false), (150, true), (250, true), (250, false), (199, true)] {
        assert_eq!(tree.insert_unique(all[leaf]).unwrap().is_new(), new, "{leaf}");
    }
    let found = tree.snapshot().find_all(&all[199]).unwrap().map(|index| index.unwrap().get());
    assert_eq!(found.collect::<Vec<_>>(), [152], "all places of a leaf that was dropped");
    store.checkpoint().unwrap();
    let mut known = all[..150].to_vec();
    known.extend([all[150], all[250], all[199]]);
    assert_eq!(wrong(&tree, &known, &all), None);
    store.close().unwrap();
    let (_store, tree) = open(dir.path());
    assert_eq!(wrong(&tree, &known, &all), None);
}

#[test]
fn erasures_above_the_cut_are_gone_and_those_below_stay() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(config(dir.path())).unwrap();
    let kind = TreeConfig::of::<Rfc6962Sha256, 2>().entries(EntryConfig::new());
    let tree = store.tree_dyn("audit", kind).unwrap();
    tree.insert_entries(&["a", "b", "c", "dropped secret", "e"]).map(drop).unwrap();
    store.checkpoint().unwrap();
    drop(tree.erase(1..2, "asked for").unwrap());
    drop(tree.erase(3..5, "asked for").unwrap());
    let then = tree.snapshot();
    tree.rewind(3).unwrap();
    tree.insert_entries(&["new", "newer"]).map(drop).unwrap();
    let check = |tree: &DynAccumulator, erased: u64| {
        let read: Vec<_> =
            tree.entries(0..5).unwrap().map(|entry| entry.map(|entry| entry.to_vec())).collect();
        assert!(matches!(read[1], Err(Error::Erased { .. })));
        assert_eq!(read[3].as_deref().unwrap(), b"new");
        assert_eq!(tree.erasures().unwrap().iter().map(Erasure::entries).sum::<u64>(), erased);
    };
    check(&tree, 1);
    // An erasure of now is one for snapshots of before, as far as they have the entry.
    drop(tree.erase(0..1, "asked for").unwrap());
    assert!(matches!(then.entry(0), Err(Error::Erased { .. })));
    assert!(matches!(then.entry(3), Err(Error::Erased { .. })));
    drop(then);
    check_bytes(dir.path(), true);
    store.compact(duramen::Compact::new()).unwrap();
    check_bytes(dir.path(), false);
    check(&tree, 2);
    drop(tree);
    store.close().unwrap();
    let store = Store::open(config(dir.path())).unwrap();
    let tree = store.existing_tree("audit").unwrap();
    assert!(matches!(tree.entry(1), Err(Error::Erased { .. })));
    assert_eq!(tree.entry(3).unwrap().to_vec(), b"new");
}

/// Whether a file of the store has the data of an entry that was erased and then dropped.
fn check_bytes(dir: &Path, there: bool) {
    let mut found = false;
    for inner in ["parts", "wal"] {
        for file in std::fs::read_dir(dir.join(inner)).unwrap() {
            let bytes = std::fs::read(file.unwrap().path()).unwrap();
            found |= bytes.windows(14).any(|window| window == b"dropped secret");
        }
    }
    assert_eq!(found, there);
}

#[test]
fn sealed_and_dropped_trees_and_sizes_that_are_not_there_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (store, tree) = open(dir.path());
    tree.insert_many(&leaves(5, 1)).map(drop).unwrap();
    assert!(matches!(tree.rewind(6), Err(Error::SizeOutOfRange { .. })));
    assert_eq!(tree.rewind(5).unwrap().trees, []);
    drop(store.seal("notes").unwrap());
    assert!(matches!(tree.rewind(2), Err(Error::TreeSealed { .. })));
    assert!(matches!(tree.rewind(5), Err(Error::TreeSealed { .. })));
    assert_eq!(tree.size().get(), 5);
    drop(store.drop_tree("notes").unwrap());
    assert!(matches!(tree.rewind(2), Err(Error::TreeDropped { .. })));
    assert!(matches!(store.rewind_to("nothing"), Err(Error::NoMark { .. })));
}

#[test]
fn a_rewind_to_a_mark_takes_all_trees_there_and_drops_the_marks_above() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(config(dir.path())).unwrap();
    let one = store.tree::<Blake3, 4>("one").unwrap();
    let two = store.tree::<Rfc6962Sha256, 2>("two").unwrap();
    let asleep = store.tree::<Blake3, 16>("asleep").unwrap();
    asleep.insert_many(&leaves(3, 9)).map(drop).unwrap();
    let mut heads = Vec::new();
    for block in 0..5_u64 {
        let mut batch = store.batch();
        batch.insert_many(&one, &leaves(10, block)).unwrap();
        if block % 2 == 0 {
            batch.insert_many(&two, &leaves(7, block)).unwrap();
        }
        batch.mark(format!("block {block}")).unwrap();
        drop(batch.commit().unwrap());
        heads.push(store.head().unwrap());
    }
    store.checkpoint().unwrap();
    drop((one, two, asleep));
    store.close().unwrap();
    let store = Store::open(config(dir.path())).unwrap();
    let late = store.tree::<Blake3, 4>("late").unwrap();
    late.insert([1; 32]).map(drop).unwrap();
    let done = store.rewind_to("block 2").unwrap();
    let names: Vec<_> = done.trees.iter().map(|tree| tree.tree.as_str()).collect();
    assert_eq!(names, ["one", "two", "late"]);
    assert!(done.marks.iter().map(MarkName::as_str).eq(["block 3", "block 4"]));
    let left: Vec<_> = store.marks().unwrap().iter().map(|mark| mark.name.to_string()).collect();
    assert_eq!(left, ["block 0", "block 1", "block 2"]);
    assert_eq!(late.size().get(), 0);
    assert_eq!(store.snapshot_at("block 2").unwrap().head().unwrap(), heads[2]);
    assert_eq!(store.snapshot_at("block 1").unwrap().head().unwrap(), heads[1]);
    assert_eq!(store.rewind_to("block 2").unwrap().trees, [], "there is nothing to drop");
    drop(late);
    drop(store.seal("two").unwrap());
    store.existing_tree("one").unwrap().insert([5; 32]).map(drop).unwrap();
    let refused = store.rewind_to("block 0").unwrap_err();
    assert!(matches!(refused, Error::TreeSealed { .. }), "{refused}");
    assert_eq!(
        store.existing_tree("one").unwrap().size().get(),
        31,
        "one tree was rewound and another not"
    );
}

#[test]
fn readers_in_other_processes_see_rewinds_through_the_log_and_through_manifests() {
    let dir = tempfile::tempdir().unwrap();
    let (store, tree) = open(dir.path());
    tree.insert([0; 32]).map(drop).unwrap();
    store.flush().unwrap();
    let reader = StoreReader::open(Config::new(dir.path())).unwrap();
    let mut random = Random(5);
    for round in 0..60_u64 {
        tree.insert_many(&leaves(usize_of(1 + random.below(30)), round)).map(drop).unwrap();
        if round % 7 == 3 {
            store.checkpoint().unwrap();
        }
        if round % 2 == 1 {
            tree.rewind(random.below(tree.size().get() + 1)).unwrap();
        }
        if round % 7 == 5 {
            store.checkpoint().unwrap();
        }
        store.flush().unwrap();
        if round % 3 != 0 {
            reader.refresh().unwrap();
            assert_eq!(reader.head().unwrap(), store.head().unwrap(), "round {round}");
            let read = reader.tree("notes").unwrap();
            let all = tree.leaves(0..tree.size().get()).unwrap();
            assert_eq!(read.leaves(0..all.len() as u64).unwrap(), all, "round {round}");
            let fresh = StoreReader::open(Config::new(dir.path())).unwrap();
            assert_eq!(fresh.head().unwrap(), store.head().unwrap(), "round {round}");
        }
    }
}

#[test]
fn a_tail_ends_with_the_size_of_a_rewind_below_what_it_returned_and_passes_over_others() {
    let dir = tempfile::tempdir().unwrap();
    let (store, tree) = open(dir.path());
    let first = leaves(10, 1);
    tree.insert_many(&first).map(drop).unwrap();
    // A reader knows of it that it is durable.
    store.checkpoint().unwrap();
    let mut tail = tree.tail(0).unwrap();
    let mut beside =
        duramen::Reader::open_tree(Config::new(dir.path()), "notes", TreeConfig::of::<Blake3, 4>())
            .unwrap()
            .tail(0)
            .unwrap();
    for tail in [&mut tail, &mut beside] {
        for leaf in &first[..6] {
            assert_eq!(tail.next().unwrap().unwrap().leaf, *leaf);
        }
    }
    // Not below what was returned. The rest of what was read ahead may still come.
    tree.rewind(8).unwrap();
    for tail in [&mut tail, &mut beside] {
        while tail.next_index().get() < 8 {
            tail.next().unwrap().unwrap();
        }
    }
    tree.rewind(3).unwrap();
    tree.insert_many(&leaves(20, 2)).map(drop).unwrap();
    store.flush().unwrap();
    for tail in [tail, beside] {
        let mut tail = tail;
        let ended = tail.find_map(Result::err).unwrap();
        assert!(matches!(ended, Error::Rewound { size, .. } if size.get() == 3), "{ended}");
        assert!(tail.is_ended());
    }
    let again: Vec<_> = tree.tail(3).unwrap().take(20).map(|item| item.unwrap().leaf).collect();
    assert_eq!(again, leaves(20, 2));
}

#[test]
fn inserts_of_other_threads_come_before_or_after_a_rewind() {
    let dir = tempfile::tempdir().unwrap();
    let (store, tree) = open(dir.path());
    let low = leaves(100, 1);
    tree.insert_many(&low).map(drop).unwrap();
    thread::scope(|threads| {
        for thread in 0..3_u8 {
            let tree = &tree;
            threads.spawn(move || {
                for round in 0..200_u8 {
                    let batch = vec![[thread * 60 + round % 60; 32]; 1 + usize::from(round % 7)];
                    tree.insert_many(&batch).map(drop).unwrap();
                    if round % 50 == 0 {
                        tree.insert_many(&vec![[255; 32]; 40_000]).map(drop).unwrap();
                    }
                }
            });
        }
        threads.spawn(|| {
            for round in 0..40_u64 {
                tree.rewind(100).unwrap();
                if round % 10 == 5 {
                    store.checkpoint().unwrap();
                }
            }
        });
        threads.spawn(|| {
            for _ in 0..200 {
                let snapshot = tree.snapshot();
                let head = snapshot.head().unwrap();
                let all = snapshot.leaves(0..head.size.get()).unwrap();
                assert_eq!(all[..100], low);
                assert_eq!(root_of(&Blake3, Arity::Four, &all), head.root);
            }
        });
    });
    let all = tree.leaves(0..tree.size().get()).unwrap();
    assert_eq!(wrong(&tree, &all, &[]), None);
    store.close().unwrap();
    let (_store, tree) = open(dir.path());
    assert_eq!(wrong(&tree, &all, &[]), None);
}

#[test]
fn a_rewind_is_reported_and_takes_one_sync() {
    let dir = tempfile::tempdir().unwrap();
    let events = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = std::sync::Arc::clone(&events);
    let config = config(dir.path()).listener(move |event: &Event| {
        if let Event::Rewound { info, .. } = event {
            seen.lock().unwrap().push(info.clone());
        }
    });
    let store = Store::open(config).unwrap();
    let tree = store.tree::<Blake3, 4>("notes").unwrap();
    tree.insert_many(&leaves(9, 1)).map(drop).unwrap();
    store.flush().unwrap();
    tree.insert_many(&leaves(9, 2)).map(drop).unwrap();
    let before = store.stats().syncs;
    let done = tree.rewind(4).unwrap();
    assert_eq!(store.stats().syncs, before + 1);
    assert_eq!((done.trees[0].before.get(), done.trees[0].after.get()), (18, 4));
    assert_eq!(*events.lock().unwrap(), [done]);
}

/// Merges parts of which a rewind has cut the last one. Returns what is wrong then.
fn merged_over_a_cut(open: impl Fn(CompactionPolicy) -> Store) -> Option<String> {
    let store = open(CompactionPolicy::Off);
    let tree = store.tree_dyn("notes", TreeConfig::of::<Blake3, 4>().indexed()).unwrap();
    let all = leaves(600, 1);
    for part in all[..400].chunks(100) {
        tree.insert_many(part).map(drop).unwrap();
        store.checkpoint().unwrap();
    }
    // The last part is cut, and stays.
    tree.rewind(390).unwrap();
    let known = [&all[..390], &all[400..]].concat();
    tree.insert_many(&known[390..]).map(drop).unwrap();
    drop(tree);
    store.close().unwrap();

    let store = open(CompactionPolicy::tiered(2).unwrap());
    let tree = store.existing_tree("notes").unwrap();
    let check = || wrong(&tree, &known, &all[390..400]);
    store.wait_idle();
    if let Some(wrong) = check() {
        return Some(wrong);
    }
    store.checkpoint().unwrap();
    store.compact(Compact::new().full(true)).unwrap();
    let merged = check();
    store.close().unwrap();
    let store = open(CompactionPolicy::Off);
    let tree = store.existing_tree("notes").unwrap();
    merged.or_else(|| wrong(&tree, &known, &all[390..400]))
}

#[test]
fn a_merge_brings_nothing_back_of_a_part_that_a_rewind_has_cut() {
    let dir = tempfile::tempdir().unwrap();
    let open = |compaction| Store::open(config(dir.path()).compaction_policy(compaction)).unwrap();
    assert_eq!(merged_over_a_cut(open), None);
}

/// Rewinds to `size` while a merge of the 400 leaves of all parts is under way, and makes a checkpoint before it ends.
/// Returns what is wrong if the process is killed after another one.
fn merged_across_a_rewind(
    disk: &SimDisk,
    size: u64,
    open: impl Fn(&SimDisk, CompactionPolicy) -> Store,
) -> Option<String> {
    let store = open(disk, CompactionPolicy::Off);
    let tree = store.tree_dyn("notes", TreeConfig::of::<Blake3, 4>().indexed()).unwrap();
    let all = leaves(700, 1);
    for part in all[..400].chunks(100) {
        tree.insert_many(part).map(drop).unwrap();
        store.checkpoint().unwrap();
    }
    // A tree that the log has leaves of is loaded by the next open, which then looks for merges.
    tree.insert_many(&all[400..420]).map(drop).unwrap();
    drop(tree);
    store.close().unwrap();

    let hold = disk.hold(When::nth(OperationKind::Create, 1).on(FileKind::Part));
    let store = open(disk, CompactionPolicy::tiered(2).unwrap());
    let tree = store.existing_tree("notes").unwrap();
    hold.wait_reached();
    tree.rewind(size).unwrap();
    store.checkpoint().unwrap();
    hold.release();
    store.wait_idle();
    let known = [&all[..usize_of(size)], &all[420..]].concat();
    tree.insert_many(&all[420..]).map(drop).unwrap();
    // The first part is the checkpoint's. A merge behind it would write again what was lost.
    let hold = disk.hold(When::nth(OperationKind::Create, 2).on(FileKind::Part));
    store.checkpoint().unwrap();
    let killed = disk.kill();
    hold.release();
    drop(tree);
    store.close().unwrap();
    let store = open(&killed, CompactionPolicy::Off);
    let tree = store.existing_tree("notes").unwrap();
    wrong(&tree, &known, &all[usize_of(size)..420])
}

#[test]
fn a_merge_that_began_before_a_rewind_takes_no_part_away_from_what_follows() {
    // To the end of the parts, above it with the rest in the manifest, and into the last part.
    for size in [400, 410, 390] {
        let disk = SimDisk::new();
        let open = |disk: &SimDisk, compaction| {
            let config = config(Path::new("simulated")).file_system(Arc::new(disk.clone()));
            let checkpoint = CheckpointPolicy::manual().small_parts(0);
            Store::open(config.compaction_policy(compaction).checkpoint_policy(checkpoint)).unwrap()
        };
        assert_eq!(merged_across_a_rewind(&disk, size, open), None, "{size}");
    }
}

#[cfg(all(duramen_mutants, feature = "testing"))]
#[test]
fn an_engine_that_keeps_something_of_what_was_dropped_is_noticed() {
    use duramen::testing::faulty::{Faulty, Flaw, Mutant};

    let open = |disk: &SimDisk, mutant, compaction| {
        let flawed = Faulty::new(disk.clone(), Flaw::Engine(mutant));
        let config = config(Path::new("simulated")).file_system(Arc::new(flawed));
        Store::open(config.compaction_policy(compaction)).unwrap()
    };
    let disk = SimDisk::new();
    let merged = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        merged_over_a_cut(|compaction| open(&disk, Mutant::MergedOverCut, compaction))
    }));
    assert!(!matches!(merged, Ok(None)), "a merge over a cut is not noticed");
    let disk = SimDisk::new();
    let merged = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let open = |disk: &SimDisk, compaction| open(disk, Mutant::MergedBeforeRewind, compaction);
        merged_across_a_rewind(&disk, 400, open)
    }));
    assert!(!matches!(merged, Ok(None)), "a merge in the state before a rewind is not noticed");
    for mutant in
        [Mutant::EdgesKept, Mutant::HashedKept, Mutant::IndexEntryKept, Mutant::PartsNotCut]
    {
        let found = (0..40_u64).any(|seed| {
            let disk = SimDisk::new();
            let open = || open(&disk, mutant, CompactionPolicy::Off);
            let kind = TreeConfig::of::<Blake3, 4>().indexed();
            let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                branches(seed, 60, 60, open, &kind)
            }));
            !matches!(done, Ok(Ok(())))
        });
        assert!(found, "{mutant:?} is not noticed");
    }
}

#[test]
fn entries_that_parts_alone_have_are_read_after_a_rewind() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(config(dir.path())).unwrap();
    let kept = TreeConfig::of::<Blake3, 4>().entries(EntryConfig::new());
    let tree = store.tree_dyn("notes", kept).unwrap();
    let mut known: Vec<Vec<u8>> = Vec::new();
    let mut next = 0;
    let insert = |known: &mut Vec<Vec<u8>>, next: &mut u64, count: u64| {
        let batch: Vec<_> =
            (*next..*next + count).map(|number| format!("note {number}").into_bytes()).collect();
        *next += count;
        tree.insert_entries(&batch).unwrap();
        known.extend(batch);
    };
    let rewind = |known: &mut Vec<Vec<u8>>, size: usize| {
        tree.rewind(size as u64).unwrap();
        known.truncate(size);
    };
    let check = |known: &[Vec<u8>], after: &str| {
        let size = known.len() as u64;
        assert_eq!(tree.size().get(), size);
        for (index, entry) in (0..).zip(known) {
            let read =
                tree.entry(index).unwrap_or_else(|error| panic!("{after}: {index}: {error}"));
            assert_eq!(&read[..], entry, "{after}: {index}");
        }
        let all: Result<Vec<_>, _> = tree.entries(0..size).unwrap().collect();
        let all = all.unwrap_or_else(|error| panic!("{after}: {error}"));
        assert!(all.iter().map(|entry| &entry[..]).eq(known.iter().map(|entry| &entry[..])));
    };
    // The entries of the first checkpoint leave memory, but for the last ones; its nodes stay, since their chunk is not full.
    insert(&mut known, &mut next, 3000);
    store.checkpoint().unwrap();
    insert(&mut known, &mut next, 2000);
    rewind(&mut known, 4990);
    check(&known, "a rewind over a part");
    insert(&mut known, &mut next, 100);
    rewind(&mut known, 5000);
    insert(&mut known, &mut next, 100);
    rewind(&mut known, 5050);
    check(&known, "three rewinds over a part");
    store.checkpoint().unwrap();
    check(&known, "the next checkpoint");
    rewind(&mut known, 5020);
    check(&known, "a rewind into the last part");
    rewind(&mut known, 2000);
    check(&known, "a rewind into the first part");
    insert(&mut known, &mut next, 5000);
    store.checkpoint().unwrap();
    insert(&mut known, &mut next, 10);
    rewind(&mut known, 6995);
    insert(&mut known, &mut next, 10);
    check(&known, "a checkpoint after rewinds");
    store.close().unwrap();
}
