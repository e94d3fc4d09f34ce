//! Erased entries: they cannot be read, and nothing else changes.

#![expect(clippy::single_range_in_vec_init, reason = "some sets of entries have one range")]

use std::ops::{ControlFlow, Range};

use duramen::{
    Blake3, CheckpointPolicy, CompactionPolicy, Compression, Config, DynAccumulator, EntryConfig,
    EntryRanges, Error, FlushPolicy, Reader, Store, StoreReader, TreeConfig,
};

pub(crate) fn config(dir: &std::path::Path) -> Config {
    Config::new(dir)
        .flush_policy(FlushPolicy::Manual)
        .checkpoint_policy(CheckpointPolicy::manual())
        .compaction_policy(CompactionPolicy::Off)
}

pub(crate) fn open(dir: &std::path::Path, entries: EntryConfig) -> (Store, DynAccumulator) {
    let store = Store::open(config(dir)).unwrap();
    let kept = TreeConfig::of::<Blake3, 4>().entries(entries);
    let tree = store.tree_dyn("log", kept).unwrap();
    (store, tree)
}

pub(crate) fn entry(number: u64) -> Vec<u8> {
    let text = format!("secret {number:05} ");
    text.repeat(1 + usize::try_from(number % 5).unwrap()).into_bytes()
}

pub(crate) fn entries(range: Range<u64>) -> Vec<Vec<u8>> {
    range.map(entry).collect()
}

/// Every way of reading finds the entries `[0, size)` without those in `erased`, and the tree proves all of
/// them.
pub(crate) fn check(tree: &DynAccumulator, size: u64, erased: &[Range<u64>]) {
    let is_erased = |index: u64| erased.iter().any(|range| range.contains(&index));
    assert_eq!(tree.size().get(), size);
    let right = |index: u64, found: Result<Vec<u8>, Error>| match found {
        Ok(found) => assert!(!is_erased(index) && found == entry(index), "entry {index}"),
        Err(Error::Erased { index: named, .. }) => {
            assert!(is_erased(index) && named.get() == index, "{index}");
        }
        Err(error) => panic!("entry {index}: {error}"),
    };
    for index in 0..size {
        right(index, tree.entry(index).map(|entry| entry.to_vec()));
    }
    for range in [0..size, size / 3..size / 2] {
        let found: Vec<_> = tree.entries(range.clone()).unwrap().collect();
        assert_eq!(found.len() as u64, range.end - range.start);
        for (index, found) in range.clone().zip(found) {
            right(index, found.map(|entry| entry.to_vec()));
        }
        let mut next = range.start;
        for run in tree.entries(range.clone()).unwrap().runs() {
            match run {
                Err(error) => {
                    right(next, Err(error));
                    next += 1;
                }
                Ok(run) => {
                    assert_eq!(run.range().start, next);
                    run.iter().for_each(|(index, entry)| right(index.get(), Ok(entry.to_vec())));
                    next = run.range().end;
                }
            }
        }
        assert_eq!(next, range.end);
        let (mut visiting, mut visited) = (tree.entries(range.clone()).unwrap(), Vec::new());
        while let Err(error) = visiting.try_visit(|index, entry| {
            right(index.get(), Ok(entry.to_vec()));
            visited.push(index.get());
            ControlFlow::<()>::Continue(())
        }) {
            assert!(matches!(error, Error::Erased { .. }), "{error}");
        }
        assert_eq!(visited, range.filter(|index| !is_erased(*index)).collect::<Vec<_>>());
    }
    let head = tree.head().unwrap();
    for index in (0..size).step_by(7) {
        let leaf = tree.leaf(index).unwrap();
        assert_eq!(leaf, tree.hasher().leaf(&entry(index)));
        let proof = tree.prove(index).unwrap();
        proof.verify(tree.hasher(), tree.arity(), &head, index.into(), &leaf).unwrap();
    }
    let listed: u64 = tree.erasures().unwrap().iter().map(duramen::Erasure::entries).sum();
    assert_eq!(listed, (0..size).filter(|index| is_erased(*index)).count() as u64);
    let infos = tree.store().trees().unwrap();
    let info = infos.iter().find(|info| info.name.as_str() == "log").unwrap();
    assert_eq!(info.erased, listed);
}

#[test]
fn an_erased_entry_is_an_error_in_memory_in_the_log_in_parts_and_after_a_restart() {
    for kept in [EntryConfig::new(), EntryConfig::new().compression(Compression::zstd(1).unwrap())]
    {
        let dir = tempfile::tempdir().unwrap();
        let (store, tree) = open(dir.path(), kept);
        tree.insert_entries(&entries(0..300)).unwrap();
        let head = tree.head().unwrap();
        let mut erased = vec![3..4, 250..260];
        drop(tree.erase(erased.clone(), "first").unwrap());
        check(&tree, 300, &erased);
        store.checkpoint().unwrap();
        check(&tree, 300, &erased);
        drop(tree.erase([0..1, 2..5], "second").unwrap());
        erased.extend([0..1, 2..5]);
        check(&tree, 300, &erased);
        tree.insert_entries(&entries(300..400)).unwrap();
        drop(tree.erase(399..400, "third").unwrap());
        erased.push(399..400);
        store.flush().unwrap();
        check(&tree, 400, &erased);
        // The log has the last erasures and entries, and nothing says that it ended.
        drop(tree);
        std::mem::forget(store);
        let copy = tempfile::tempdir().unwrap();
        copy_store(dir.path(), copy.path());
        for round in 0..3 {
            let store = Store::open(config(copy.path())).unwrap();
            let tree = store.existing_tree("log").unwrap();
            check(&tree, 400, &erased);
            assert_eq!(tree.head_at(300).unwrap(), head);
            let listed = tree.erasures().unwrap();
            let reasons: Vec<_> =
                listed.iter().map(|one| (&*one.reason, &one.ranges[..])).collect();
            assert_eq!(
                reasons,
                [
                    ("first", &[3..4, 250..260][..]),
                    ("second", &[0..1, 2..3, 4..5][..]),
                    ("third", &[399..400][..])
                ]
            );
            if round == 1 {
                store.checkpoint().unwrap();
            }
            drop(tree);
            store.close().unwrap();
        }
    }
}

#[test]
fn a_tree_that_slept_since_its_seal_was_found_in_the_log_keeps_its_erasures() {
    let dir = tempfile::tempdir().unwrap();
    let (store, tree) = open(dir.path(), EntryConfig::new());
    tree.insert_entries(&entries(0..10)).unwrap();
    store.checkpoint().unwrap();
    drop(store.seal("log").unwrap());
    store.flush().unwrap();
    let copy = tempfile::tempdir().unwrap();
    copy_store(dir.path(), copy.path());
    let store = Store::open(config(copy.path())).unwrap();
    let tree = store.existing_tree("log").unwrap();
    drop(tree.erase(3..5, "").unwrap());
    store.checkpoint().unwrap();
    drop(tree);
    store.close().unwrap();
    let store = Store::open(config(copy.path())).unwrap();
    let tree = store.existing_tree("log").unwrap();
    check(&tree, 10, &[3..5]);
    assert!(store.trees().unwrap()[0].sealed);
}

/// Copies the files of a store that was left without a warning.
pub(crate) fn copy_store(from: &std::path::Path, to: &std::path::Path) {
    for dir in ["manifest", "wal", "parts"] {
        std::fs::create_dir_all(to.join(dir)).unwrap();
        for file in std::fs::read_dir(from.join(dir)).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), to.join(dir).join(file.file_name())).unwrap();
        }
    }
}

#[test]
fn what_cannot_be_erased_is_refused_with_its_reason_and_erases_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (store, tree) = open(dir.path(), EntryConfig::new());
    tree.insert_entries(&entries(0..10)).unwrap();
    let bare = store.tree::<Blake3, 4>("bare").unwrap();
    bare.insert([1; 32]).unwrap();
    let refused = |ranges: &[Range<u64>], reason: &str| tree.erase(ranges, reason).unwrap_err();
    let beyond = refused(&[0..1, 8..11], "");
    assert!(
        matches!(&beyond, Error::IndexOutOfRange { index, size } if (index.get(), size.get()) == (10, 10)),
        "{beyond}"
    );
    assert!(matches!(refused(&[], ""), Error::NothingToErase));
    assert!(matches!(refused(&[0..1, 5..5], ""), Error::NothingToErase));
    assert!(matches!(refused(&[0..1], "a\tb"), Error::EraseReason { .. }));
    assert!(matches!(refused(&[0..1], &"a".repeat(1025)), Error::EraseReason { .. }));
    let many: Vec<_> = (0..65_537).map(|number| 2 * number..2 * number + 1).collect();
    assert!(matches!(refused(&many, ""), Error::TooManyErasures { found: 65_537, .. }));
    assert!(matches!(bare.erase(0..1, ""), Err(Error::NoEntries { .. })));
    check(&tree, 10, &[]);
    // What is erased already is no error and keeps its reason.
    drop(tree.erase(4..5, "once").unwrap());
    let token = tree.erase(4..5, "twice").unwrap();
    store.flush().unwrap();
    assert!(token.is_durable());
    assert_eq!(tree.erasures().unwrap().len(), 1);
    drop(store.seal("log").unwrap());
    drop(tree.erase(5..6, "sealed").unwrap());
    check(&tree, 10, &[4..6]);
    drop(store.drop_tree("log").unwrap());
    assert!(matches!(tree.erase(7..8, ""), Err(Error::TreeDropped { .. })));
}

#[test]
fn a_reader_in_another_process_follows_erasures() {
    let dir = tempfile::tempdir().unwrap();
    let (store, tree) = open(dir.path(), EntryConfig::new());
    tree.insert_entries(&entries(0..300)).unwrap();
    store.checkpoint().unwrap();
    let reader = StoreReader::open(config(dir.path())).unwrap();
    let read = |index: u64| reader.tree("log").unwrap().entry(index);
    assert_eq!(read(7).unwrap()[..], entry(7));
    drop(tree.erase(7..8, "asked for").unwrap());
    store.flush().unwrap();
    assert_eq!(read(7).unwrap()[..], entry(7), "it has not looked yet");
    reader.refresh().unwrap();
    assert!(matches!(read(7), Err(Error::Erased { .. })));
    assert_eq!(reader.trees().unwrap()[0].erased, 1);
    assert_eq!(reader.tree("log").unwrap().erasures().unwrap()[0].reason, "asked for");
    // From the manifest.
    tree.insert_entries(&entries(300..310)).unwrap();
    drop(tree.erase(300..301, "").unwrap());
    store.checkpoint().unwrap();
    reader.refresh().unwrap();
    assert!(matches!(read(300), Err(Error::Erased { .. })));
    assert_eq!(read(301).unwrap()[..], entry(301));
    let reader = StoreReader::open(config(dir.path())).unwrap();
    assert!(matches!(reader.tree("log").unwrap().entry(7), Err(Error::Erased { .. })));
    let kind = TreeConfig::of::<Blake3, 4>();
    let reader = Reader::open_tree(config(dir.path()), "log", kind).unwrap();
    assert!(matches!(reader.entry(7), Err(Error::Erased { .. })));
    assert_eq!(reader.erasures().unwrap(), tree.erasures().unwrap());
}

#[test]
fn a_tail_goes_on_behind_an_erased_entry_and_says_when_it_was_erased() {
    let dir = tempfile::tempdir().unwrap();
    let (store, tree) = open(dir.path(), EntryConfig::new());
    tree.insert_entries(&entries(0..300)).unwrap();
    drop(tree.erase([2..4, 299..300], "").unwrap());
    // A reader knows that all of a checkpoint is durable.
    store.checkpoint().unwrap();
    let erased = |index| (2..4).contains(&index) || index == 299;
    let at = tree.erasures().unwrap()[0].at;
    let kept = TreeConfig::of::<Blake3, 4>();
    let reader = Reader::open_tree(config(dir.path()), "log", kept).unwrap();
    for mut tail in [tree.tail(0).unwrap(), reader.tail(0).unwrap()] {
        for index in 0..300 {
            let found = tail.try_next().unwrap().unwrap();
            assert_eq!((found.index.get(), found.leaf), (index, tree.leaf(index).unwrap()));
            assert_eq!(found.erased, erased(index).then_some(at));
            let data = found.entry.map(|entry| entry.to_vec());
            assert_eq!(data, (!erased(index)).then(|| entry(index)));
        }
        assert_eq!((tail.try_next().unwrap(), tail.is_ended()), (None, false));
    }
}

#[test]
fn an_iterator_and_a_snapshot_see_an_erasure_that_comes_later() {
    let dir = tempfile::tempdir().unwrap();
    let (_store, tree) = open(dir.path(), EntryConfig::new());
    tree.insert_entries(&entries(0..20)).unwrap();
    let snapshot = tree.snapshot();
    let mut reading = snapshot.entries(0..20).unwrap();
    assert_eq!(reading.next().unwrap().unwrap()[..], entry(0));
    drop(tree.erase(1..3, "").unwrap());
    assert!(matches!(reading.next(), Some(Err(Error::Erased { .. }))));
    assert!(matches!(reading.next(), Some(Err(Error::Erased { .. }))));
    assert_eq!(reading.next().unwrap().unwrap()[..], entry(3));
    assert!(matches!(snapshot.entry(1), Err(Error::Erased { .. })));
    let mut seen = Vec::new();
    let visited = snapshot.entries(0..20).unwrap().try_visit(|index, _| {
        seen.push(index.get());
        if index.get() == 0 {
            drop(tree.erase(5..6, "").unwrap());
        }
        ControlFlow::<()>::Continue(())
    });
    assert!(matches!(visited, Err(Error::Erased { .. })) && seen == [0]);
}

#[test]
fn the_ranges_of_a_store_have_a_bound() {
    let dir = tempfile::tempdir().unwrap();
    let (store, tree) = open(dir.path(), EntryConfig::new());
    let size = 2 << 20;
    tree.insert_entries(&vec![b""; size]).unwrap();
    let odd = |from: u64, count: u64| (from..from + count).map(|number| 2 * number..2 * number + 1);
    for step in 0..16 {
        drop(
            tree.erase(odd(step << 16, 1 << 16).collect::<EntryRanges>(), "every other one")
                .unwrap(),
        );
    }
    // There is no room for one more range, and one that joins others is one more all the same.
    let full = tree.erase(1..2, "").unwrap_err();
    assert!(matches!(full, Error::TooManyErasures { found, most } if found == most + 1), "{full}");
    store.checkpoint().unwrap();
    store.close().unwrap();
    drop(tree);
    let store = Store::open(config(dir.path())).unwrap();
    let tree = store.existing_tree("log").unwrap();
    assert!(matches!(tree.erase(1..2, ""), Err(Error::TooManyErasures { .. })));
    assert!(matches!(tree.entry(size as u64 - 2), Err(Error::Erased { .. })));
    assert!(tree.entry(size as u64 - 1).unwrap().is_empty());
    drop(store.drop_tree("log").unwrap());
    let again = store.tree_dyn("again", TreeConfig::of::<Blake3, 4>().entries(EntryConfig::new()));
    let again = again.unwrap();
    again.insert_entry("a").unwrap();
    drop(again.erase(0..1, "there is room again").unwrap());
}

#[test]
fn an_erased_entry_is_found_by_its_leaf_and_is_not_inserted_again() {
    use duramen::Unique;
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(config(dir.path())).unwrap();
    let kept = TreeConfig::of::<Blake3, 4>().entries(EntryConfig::new()).indexed();
    let tree = store.tree_dyn("log", kept).unwrap();
    tree.insert_entries(&entries(0..300)).unwrap();
    for round in 0..3 {
        match round {
            0 => drop(tree.erase(7..8, "").unwrap()),
            1 => drop(store.checkpoint().unwrap()),
            _ => drop(store.compact(duramen::Compact::new().full(true)).unwrap()),
        }
        assert_eq!(tree.find(&tree.hasher().leaf(&entry(7))).unwrap().unwrap().get(), 7);
        match tree.insert_unique_entry(entry(7)).unwrap() {
            Unique::Existing { index, .. } => assert_eq!(index.get(), 7),
            new @ Unique::New { .. } => panic!("{new:?} in round {round}"),
        }
        check(&tree, 300, &[7..8]);
    }
}

#[test]
fn leaves_whose_data_is_gone_make_the_tree_that_they_come_from() {
    let dir = tempfile::tempdir().unwrap();
    let (source, whole) = open(&dir.path().join("source"), EntryConfig::new());
    whole.insert_entries(&entries(0..600)).unwrap();
    let head = whole.head().unwrap();
    let copy = dir.path().join("copy");
    let (store, tree) = open(&copy, EntryConfig::new());
    let erased = [0..3, 100..101, 300..560, 599..600];
    let at =
        std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_millis(1_795_687_518_123);
    let mut next = 0;
    for gone in erased.clone() {
        tree.insert_entries(&entries(next..gone.start)).unwrap();
        let leaves = whole.leaves(gone.clone()).unwrap();
        let reason = if gone.start == 300 { "second" } else { "first" };
        let inserted = tree.insert_erased(&leaves, at, reason).unwrap();
        assert_eq!(inserted.range, gone);
        next = gone.end;
    }
    let none = tree.insert_erased(&[], at, "").unwrap();
    assert_eq!(none.range, 600..600);
    store.flush().unwrap();
    check(&tree, 600, &erased);
    assert_eq!(tree.head().unwrap(), head);
    let listed = tree.erasures().unwrap();
    let found: Vec<_> = listed.iter().map(|one| (one.at, &*one.reason, one.entries())).collect();
    assert_eq!(found, [(at, "first", 5), (at, "second", 260)]);
    // From the log, from a part, and by a reader.
    drop(tree);
    std::mem::forget(store);
    let left = dir.path().join("left");
    copy_store(&copy, &left);
    let reader = StoreReader::open(config(&left)).unwrap();
    assert_eq!(reader.tree("log").unwrap().head().unwrap(), head);
    assert!(matches!(reader.tree("log").unwrap().entry(301), Err(Error::Erased { .. })));
    drop(reader);
    for round in 0..4 {
        let store = Store::open(config(&left)).unwrap();
        let tree = store.existing_tree("log").unwrap();
        check(&tree, 600, &erased);
        assert_eq!((tree.head().unwrap(), tree.erasures().unwrap()), (head, listed.clone()));
        match round {
            0 => drop(store.checkpoint().unwrap()),
            1 => drop(store.compact(duramen::Compact::new().full(true)).unwrap()),
            _ => {}
        }
        drop(tree);
        store.close().unwrap();
        let options = duramen::scrub::Options::new();
        let report =
            duramen::scrub::run(&config(&left), &options, &mut |_| ControlFlow::Continue(()));
        assert!(report.unwrap().findings.is_empty());
    }
    let bare = source.tree::<Blake3, 4>("bare").unwrap();
    assert!(matches!(bare.insert_erased(&[[1; 32]], at, ""), Err(Error::NoEntries { .. })));
    assert!(matches!(whole.insert_erased(&[[1; 32]], at, "\n"), Err(Error::EraseReason { .. })));
    assert_eq!(whole.size().get(), 600);
}
