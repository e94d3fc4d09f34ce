//! Entries: what was inserted comes back, from memory, from the log and from parts of every kind.

use std::ops::ControlFlow;

use duramen::{
    Arity, Blake3, CheckpointPolicy, CompactionPolicy, Compression, Config, DynAccumulator,
    EntryConfig, Error, FlushPolicy, Hasher, ReadMode, Reader, Rfc6962Sha256, Store, TreeConfig,
};
use testkit::random::Random;

fn config(dir: &std::path::Path) -> Config {
    Config::new(dir)
        .flush_policy(FlushPolicy::Manual)
        .checkpoint_policy(CheckpointPolicy::manual())
        .compaction_policy(CompactionPolicy::Off)
}

fn kept() -> EntryConfig {
    EntryConfig::new()
}

fn tree_config(entries: EntryConfig) -> TreeConfig {
    TreeConfig::of::<Rfc6962Sha256, 2>().entries(entries)
}

fn open(config: Config, entries: EntryConfig) -> (Store, DynAccumulator) {
    let store = Store::open(config).unwrap();
    let tree = store.tree_dyn("log", tree_config(entries)).unwrap();
    (store, tree)
}

fn low_byte(number: u64) -> u8 {
    number.to_le_bytes()[0]
}

/// Entry `number` of a test: of many lengths, some of them empty.
fn entry(number: u64) -> Vec<u8> {
    let mut random = Random(number);
    let len = match number % 7 {
        0 => 0,
        1 => 1,
        2 => random.below(5000),
        _ => random.below(300),
    };
    let text = format!("{number}: ");
    text.bytes()
        .chain((0..len).map(|_| b'a' + low_byte(random.below(20))))
        .take(usize::try_from(len).unwrap())
        .collect()
}

fn entries(range: std::ops::Range<u64>) -> Vec<Vec<u8>> {
    range.map(entry).collect()
}

/// Every way of reading finds the entries `[0, size)`.
fn check(tree: &DynAccumulator, size: u64) {
    assert_eq!(tree.size().get(), size);
    check_reads(
        size,
        |index| tree.entry(index).map(|entry| entry.to_vec()),
        |range| tree.entries(range).unwrap(),
    );
    for index in (0..size).step_by(97) {
        assert_eq!(tree.leaf(index).unwrap(), tree.hasher().leaf(&entry(index)));
    }
}

fn check_reads(
    size: u64,
    one: impl Fn(u64) -> Result<Vec<u8>, Error>,
    all: impl Fn(std::ops::Range<u64>) -> duramen::Entries,
) {
    for index in (0..size).step_by(13).chain(size.saturating_sub(3)..size) {
        assert_eq!(one(index).unwrap(), entry(index), "entry {index}");
    }
    assert!(matches!(one(size), Err(Error::IndexOutOfRange { .. })));
    // The whole twice: bundles that were compared with their leaves once are read in another way.
    for range in [0..size, size / 3..size / 2, size.saturating_sub(1)..size, 0..0, 0..size] {
        let read: Vec<_> = all(range.clone()).map(|entry| entry.unwrap().to_vec()).collect();
        assert_eq!(read, entries(range.clone()), "{range:?}");
        let mut visited = Vec::new();
        let done = all(range.clone()).try_visit(|index, bytes| {
            visited.push((index.get(), bytes.to_vec()));
            ControlFlow::<()>::Continue(())
        });
        assert!(done.unwrap().is_continue());
        assert_eq!(visited, range.clone().zip(entries(range.clone())).collect::<Vec<_>>());
        check_runs(range.clone(), all(range.clone()).runs());
        // The rest of a run that was begun.
        let mut begun = all(range.clone());
        let skipped = u64::from(begun.next().is_some()) + u64::from(begun.next().is_some());
        check_runs(range.start + skipped..range.end, begun.runs());
    }
    let mut skipping = all(0..size);
    for index in (0..size).step_by(50) {
        assert_eq!(skipping.next().unwrap().unwrap()[..], entry(index));
        skipping.nth(48);
    }
}

/// The runs have the entries of `range`, and no others.
fn check_runs(range: std::ops::Range<u64>, runs: duramen::EntryRuns) {
    let mut next = range.start;
    for run in runs {
        let run = run.unwrap();
        assert!(run.range().start == next && !run.range().is_empty());
        assert_eq!(run.iter().len() as u64, run.range().end - next);
        for (index, bytes) in &run {
            assert_eq!((index.get(), bytes), (next, &entry(next)[..]));
            next += 1;
        }
        assert_eq!(run.range().end, next);
    }
    assert_eq!(next, range.end);
}

#[test]
fn entries_come_back_from_memory_the_log_parts_and_merged_parts() {
    let long = kept().longest(1 << 20).unwrap();
    let packed = kept().compression(Compression::zstd(3).unwrap());
    for (entries_config, mode) in [
        (kept(), ReadMode::Mapped),
        (kept(), ReadMode::Pread),
        (long, ReadMode::Mapped),
        (packed, ReadMode::Pread),
        (packed.longest(1 << 20).unwrap(), ReadMode::Mapped),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let mut random = Random(7);
        let config = || config(dir.path()).read_mode(mode);
        let (mut store, mut tree) = open(config(), entries_config);
        let mut size = 0;
        for round in 0..40 {
            let count = random.pick(&[1, 3, 40, 255, 256, 600]);
            let batch = entries(size..size + count);
            match round % 3 {
                0 => batch.iter().for_each(|entry| drop(tree.insert_entry(entry).unwrap())),
                _ => drop(tree.insert_entries(&batch).unwrap()),
            }
            size += count;
            if round % 4 == 1 {
                check(&tree, size);
            }
            if random.below(2) == 0 {
                store.checkpoint().unwrap();
            }
            if random.below(3) == 0 {
                store.close().unwrap();
                drop(tree);
                (store, tree) = open(config(), entries_config);
                check(&tree, size);
            }
        }
        store.close().unwrap();
        drop(tree);
        let parts = |store: &Store| store.trees().unwrap()[0].parts;
        let merging = config().compaction_policy(CompactionPolicy::tiered(2).unwrap());
        let (store, tree) = open(merging, entries_config);
        let before = parts(&store);
        tree.insert_entry(entry(size)).unwrap();
        size += 1;
        store.checkpoint().unwrap();
        tree.wait_idle();
        assert!(parts(&store) < before);
        check(&tree, size);
        let reader = Reader::open_tree(config(), "log", tree_config(entries_config)).unwrap();
        let snapshot = reader.snapshot();
        check_reads(
            snapshot.size().get(),
            |index| snapshot.entry(index).map(|entry| entry.to_vec()),
            |range| snapshot.entries(range).unwrap(),
        );
        check_reads(
            reader.size().get(),
            |index| reader.entry(index).map(|entry| entry.to_vec()),
            |range| reader.entries(range).unwrap(),
        );
        assert_eq!(reader.entry_config(), Some(entries_config));
        store.close().unwrap();
    }
}

#[test]
fn a_snapshot_keeps_its_entries_when_memory_and_parts_are_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let (store, tree) = open(config(dir.path()), kept());
    tree.insert_entries(&entries(0..1000)).unwrap();
    let (snapshot, held) = (tree.snapshot(), tree.entry(999).unwrap());
    let mut iterator = snapshot.entries(0..1000).unwrap();
    assert_eq!(iterator.next().unwrap().unwrap()[..], entry(0));
    store.checkpoint().unwrap();
    tree.insert_entries(&entries(1000..2000)).unwrap();
    store.checkpoint().unwrap();
    store.close().unwrap();
    drop(tree);
    assert_eq!(held[..], entry(999));
    let rest: Vec<_> = iterator.map(|entry| entry.unwrap().to_vec()).collect();
    assert_eq!(rest, entries(1..1000));
    assert_eq!(snapshot.entry(500).unwrap()[..], entry(500));
}

#[test]
fn a_batch_of_many_mebibytes_is_written_in_pieces_and_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let config = || config(dir.path()).wal_group_bytes(1 << 20);
    let (store, tree) = open(config(), kept().longest(8 << 20).unwrap());
    let big: Vec<Vec<u8>> = [3 << 20, 0, 8 << 20, 100, 700_000, 5]
        .iter()
        .enumerate()
        .map(|(at, len)| vec![low_byte(at as u64); *len])
        .collect();
    tree.insert_entries(&big).unwrap();
    tree.insert_entry(b"after").unwrap();
    store.flush().unwrap();
    store.close().unwrap();
    drop(tree);
    let (store, tree) = open(config(), kept().longest(8 << 20).unwrap());
    assert!(store.recovery().replayed_groups > 3);
    let check = |tree: &DynAccumulator| {
        for (index, entry) in big.iter().enumerate() {
            assert!(tree.entry(index as u64).unwrap()[..] == entry[..]);
        }
        assert_eq!(tree.entry(6).unwrap()[..], *b"after");
    };
    check(&tree);
    store.checkpoint().unwrap();
    check(&tree);
    store.close().unwrap();
}

#[test]
fn a_full_bundle_in_a_part_is_the_entry_bundle_of_tlog_tiles() {
    let dir = tempfile::tempdir().unwrap();
    let (store, tree) = open(config(dir.path()), kept());
    tree.insert_entries(&entries(0..300)).unwrap();
    store.checkpoint().unwrap();
    store.close().unwrap();
    let part = std::fs::read_dir(dir.path().join("parts")).unwrap().next().unwrap().unwrap();
    let bytes = std::fs::read(part.path()).unwrap();
    let framed =
        |entry: Vec<u8>| [&u16::try_from(entry.len()).unwrap().to_be_bytes()[..], &entry].concat();
    let bundle: Vec<u8> = entries(0..256).into_iter().flat_map(framed).collect();
    assert!(bytes.windows(bundle.len()).any(|window| window == bundle));
}

#[test]
fn wrong_calls_are_refused_with_facts_and_change_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (store, tree) = open(config(dir.path()), kept().longest(10).unwrap());
    let refused = tree.insert_entry([0; 11]).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "entry 0 of the batch has 11 bytes, and the tree \"log\" takes at most 10"
    );
    let refused = tree.insert_entries(&[vec![0; 10], vec![0; 12]]).unwrap_err();
    assert!(matches!(refused, Error::EntryTooLong { position: 1, len: 12, longest: 10, .. }));
    assert!(matches!(tree.insert([1; 32]), Err(Error::EntryMissing { .. })));
    assert!(matches!(tree.insert_many(&[[1; 32]; 3]), Err(Error::EntryMissing { .. })));
    let bare = store.tree::<Blake3, 4>("bare").unwrap();
    assert!(matches!(bare.insert_entry(b"a"), Err(Error::NoEntries { .. })));
    bare.insert_data(b"a").unwrap();
    assert!(matches!(bare.entry(0), Err(Error::NoEntries { .. })));
    assert!(matches!(bare.entries(0..1), Err(Error::NoEntries { .. })));
    tree.insert_data(b"kept").unwrap();
    assert_eq!(tree.entry(0).unwrap()[..], *b"kept");
    assert_eq!((tree.size().get(), bare.size().get()), (1, 1));

    let other = store.tree_dyn("log", tree_config(kept())).unwrap_err().to_string();
    assert!(other.contains("with entries of up to 10 bytes, not compressed"), "{other}");
    let other = store.tree_dyn("bare", TreeConfig::of::<Blake3, 4>().entries(kept()));
    assert!(other.unwrap_err().to_string().contains("was made without entries"));
    // Without being told, the tree keeps its entries.
    let again = store.tree_dyn("log", TreeConfig::of::<Rfc6962Sha256, 2>()).unwrap();
    assert_eq!(again.entry_config(), Some(kept().longest(10).unwrap()));

    assert_eq!(store.trees().unwrap().len(), 2);
}

#[test]
fn entries_count_in_the_limits_of_memory() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path()).max_uncheckpointed_bytes(100_000).unwrap();
    let (store, tree) = open(config, kept());
    let mut inserted = 0;
    let refused = loop {
        match tree.try_insert_entry([7; 1000]) {
            Ok(_) => inserted += 1,
            Err(error) => break error,
        }
        assert!(inserted < 100);
    };
    assert!(matches!(refused, Error::WouldBlock { .. } | Error::Backpressure { .. }), "{refused}");
    assert!(inserted > 50, "{inserted}");
    store.flush().unwrap();
    store.checkpoint().unwrap();
    tree.try_insert_entry([7; 1000]).unwrap();
    store.close().unwrap();
}

#[test]
fn trees_of_all_arities_and_hash_functions_keep_entries() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(config(dir.path())).unwrap();
    for arity in Arity::ALL {
        let hasher: std::sync::Arc<dyn Hasher> = std::sync::Arc::new(Blake3);
        let tree = TreeConfig::new(hasher, arity).entries(kept());
        let tree = store.tree_dyn(arity.to_string(), tree).unwrap();
        tree.insert_entries(&entries(0..700)).unwrap();
        store.checkpoint().unwrap();
        tree.insert_entries(&entries(700..900)).unwrap();
        check(&tree, 900);
    }
    store.close().unwrap();
    let store = Store::open(config(dir.path())).unwrap();
    for arity in Arity::ALL {
        check(&store.existing_tree(arity.to_string()).unwrap(), 900);
    }
}

/// A closed store with two parts of entries, the second of which begins within a bundle.
fn small_store(dir: &std::path::Path, entries_config: EntryConfig) -> u64 {
    let (store, tree) = open(config(dir), entries_config);
    tree.insert_entries(&entries(0..300)).unwrap();
    store.checkpoint().unwrap();
    tree.insert_entries(&entries(300..420)).unwrap();
    store.checkpoint().unwrap();
    store.close().unwrap();
    420
}

fn parts(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
    let files = std::fs::read_dir(dir.join("parts")).unwrap();
    let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    files.sort();
    files
}

fn scrubbed(dir: &std::path::Path, repair: bool) -> duramen::scrub::Report {
    let options = duramen::scrub::Options::new().repair(repair);
    duramen::scrub::run(&config(dir), &options, &mut |_| ControlFlow::Continue(())).unwrap()
}

/// Reads every entry in every way: each is right or an error.
fn read_damaged(dir: &std::path::Path, size: u64, mode: ReadMode) -> usize {
    let config = config(dir).read_mode(mode).create(false);
    let Ok(store) = Store::open(config) else { return usize::MAX };
    let Ok(tree) = store.existing_tree("log") else { return usize::MAX };
    let mut errors = 0;
    for index in 0..size {
        match tree.entry(index) {
            Ok(found) => assert_eq!(found[..], entry(index), "entry {index}"),
            Err(_) => errors += 1,
        }
    }
    let all: Vec<_> = tree.entries(0..size).unwrap().collect();
    assert_eq!(all.len() as u64, size);
    for (index, found) in (0..).zip(all) {
        if let Ok(found) = found {
            assert_eq!(found[..], entry(index), "entry {index} of all");
        }
    }
    errors
}

#[test]
fn a_flipped_bit_anywhere_in_a_part_is_found_and_no_wrong_entry_is_read() {
    for entries_config in [kept(), kept().compression(Compression::zstd(1).unwrap())] {
        let dir = tempfile::tempdir().unwrap();
        let size = small_store(dir.path(), entries_config);
        let clean = scrubbed(dir.path(), false);
        assert!(clean.is_clean(), "{:?}", clean.findings);
        assert_eq!((clean.leaves, clean.entries), (size, size));
        for part in parts(dir.path()) {
            let bytes = std::fs::read(&part).unwrap();
            let mut random = Random(bytes.len() as u64);
            // A bit of every block, and more of the last ones, which have the directory.
            let blocks = bytes.len() / 4096;
            let bits = (0..blocks).flat_map(|block| {
                let tries = if block + 6 > blocks { 4 } else { 1 };
                (0..tries).map(move |_| block)
            });
            for block in bits {
                let at = block * 4096 + usize::try_from(random.below(4096)).unwrap();
                let mut damaged = bytes.clone();
                damaged[at] ^= 1 << random.below(8);
                std::fs::write(&part, &damaged).unwrap();
                let found = scrubbed(dir.path(), false);
                assert!(!found.is_clean(), "byte {at} of {}", part.display());
                let mode = if random.one_in(2) { ReadMode::Mapped } else { ReadMode::Pread };
                read_damaged(dir.path(), size, mode);
            }
            std::fs::write(&part, &bytes).unwrap();
        }
        assert_eq!(read_damaged(dir.path(), size, ReadMode::Mapped), 0);
    }
}

#[test]
fn a_damaged_leaf_is_rebuilt_from_its_entry() {
    for entries_config in [kept(), kept().compression(Compression::zstd(1).unwrap())] {
        let dir = tempfile::tempdir().unwrap();
        let size = small_store(dir.path(), entries_config);
        let head = || {
            let store = Store::open(config(dir.path()).create(false)).unwrap();
            let tree = store.existing_tree("log").unwrap();
            let head = tree.head().unwrap();
            let proof = tree.prove(260).unwrap();
            proof.verify(tree.hasher(), tree.arity(), &head, 260.into(), &tree.leaf(260).unwrap())
        };
        head().unwrap();
        for (number, part) in parts(dir.path()).into_iter().enumerate() {
            // The first block behind the header has leaves. Two bits of two leaves.
            let mut bytes = std::fs::read(&part).unwrap();
            bytes[4096 + 5] ^= 4;
            bytes[4096 + 32 * 70 + 1] ^= 1;
            std::fs::write(&part, &bytes).unwrap();
            let found = scrubbed(dir.path(), false);
            assert!(!found.is_clean());
            let repaired = scrubbed(dir.path(), true);
            assert!(repaired.is_clean(), "part {number}: {:?}", repaired.findings);
            assert_eq!(repaired.rebuilt.len(), 1);
            let after = scrubbed(dir.path(), false);
            assert!(after.findings.is_empty(), "{:?}", after.findings);
            assert_eq!(after.entries, size);
            head().unwrap();
        }
        assert_eq!(read_damaged(dir.path(), size, ReadMode::Pread), 0);
    }
}

#[test]
fn a_repair_keeps_the_entries_of_a_part_and_what_is_lost_stays_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let size = small_store(dir.path(), kept());
    let part = parts(dir.path()).remove(0);
    let mut bytes = std::fs::read(&part).unwrap();
    // A block of entries, the padding behind the directory, and the footer.
    let framed: u64 = entries(0..300).iter().map(|entry| entry.len() as u64 + 2).sum();
    let entry_at = bytes.windows(20).position(|window| window == &entry(100)[..20]).unwrap();
    bytes[entry_at] ^= 1;
    let footer = bytes.len() - 4000;
    bytes[footer] ^= 1;
    std::fs::write(&part, &bytes).unwrap();
    let errors = |found: &duramen::scrub::Report| {
        let entries = found.findings.iter();
        let entries = entries.filter(|finding| finding.element == duramen::scrub::Element::Entries);
        entries
            .map(|finding| finding.leaves.clone().unwrap())
            .map(|leaves| (leaves.start, leaves.end))
            .collect::<Vec<_>>()
    };
    let found = scrubbed(dir.path(), true);
    assert!(!found.is_clean() && framed > 4096);
    assert_eq!(found.rebuilt.len(), 1);
    assert_eq!(errors(&found), [(0, 256)]);
    let after = scrubbed(dir.path(), false);
    assert_eq!(errors(&after), [(0, 256)]);
    assert!(after.findings.iter().all(|one| one.element == duramen::scrub::Element::Entries));
    let lost = read_damaged(dir.path(), size, ReadMode::Mapped);
    assert!((1..40).contains(&lost), "{lost} entries cannot be read");
}

#[test]
fn a_batch_over_trees_with_and_without_entries_is_atomic_and_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let (store, tree) = open(config(dir.path()), kept());
    let second =
        store.tree_with_entries::<Blake3, 4>("second", kept().longest(5).unwrap()).unwrap();
    let bare = store.tree::<Blake3, 4>("bare").unwrap();
    let mut batch = store.batch();
    for number in 0..300 {
        batch.insert_entry(&tree, entry(number)).unwrap();
        if number % 3 == 0 {
            batch.insert_data(&second, &entry(number)[..entry(number).len().min(5)]).unwrap();
            batch.insert(&bare, [low_byte(number); 32]).unwrap();
        }
    }
    assert!(matches!(batch.insert(&tree, [1; 32]), Err(Error::EntryMissing { .. })));
    assert!(matches!(batch.insert_entry(&bare, b"a"), Err(Error::NoEntries { .. })));
    let refused = batch.insert_entry(&second, b"123456").unwrap_err();
    assert!(matches!(refused, Error::EntryTooLong { len: 6, longest: 5, .. }));
    assert_eq!(batch.len(), 500);
    let committed = batch.commit().unwrap();
    assert_eq!(committed.ranges.len(), 3);
    store.flush().unwrap();
    check(&tree, 300);
    let expected = |number: u64| entry(number)[..entry(number).len().min(5)].to_vec();
    let check_second = |second: &DynAccumulator| {
        for number in 0..100 {
            assert_eq!(second.entry(number).unwrap()[..], expected(number * 3));
        }
    };
    check_second(second.as_dyn());
    store.close().unwrap();
    drop(tree);
    let store = Store::open(config(dir.path())).unwrap();
    check(&store.existing_tree("log").unwrap(), 300);
    check_second(&store.existing_tree("second").unwrap());
    assert_eq!(store.existing_tree("bare").unwrap().size().get(), 100);
}

#[test]
fn a_group_in_pieces_leaves_no_leaf_behind_for_an_entry_that_does_not_fit() {
    let dir = tempfile::tempdir().unwrap();
    let config = || config(dir.path()).wal_group_bytes(400);
    let (store, tree) = open(config(), kept());
    let second = store.tree_with_entries::<Blake3, 4>("second", kept()).unwrap();
    let mut batch = store.batch();
    // In each piece of the group there is room for an entry of the second tree behind the first.
    for number in 0..20 {
        let len = if number % 2 == 0 { 300 } else { 10 };
        batch.insert_entry(&tree, vec![number; len]).unwrap();
        batch.insert_entry(&second, [number; 20]).unwrap();
    }
    batch.commit().unwrap();
    store.flush().unwrap();
    store.close().unwrap();
    drop((tree, second));
    let store = Store::open(config()).unwrap();
    let (tree, second) =
        (store.existing_tree("log").unwrap(), store.existing_tree("second").unwrap());
    for number in 0..20 {
        assert_eq!(tree.entry(u64::from(number)).unwrap()[0], number);
        assert_eq!(second.entry(u64::from(number)).unwrap()[..], [number; 20]);
    }
}

#[test]
fn a_damaged_block_makes_only_the_entries_in_it_unreadable() {
    for mode in [ReadMode::Mapped, ReadMode::Pread] {
        let dir = tempfile::tempdir().unwrap();
        let (store, tree) = open(config(dir.path()), kept());
        let long = |number: u64| vec![low_byte(number); 60_000];
        tree.insert_entries(&(0..16).map(long).collect::<Vec<_>>()).unwrap();
        store.checkpoint().unwrap();
        store.close().unwrap();
        drop(tree);
        let part = parts(dir.path()).remove(0);
        let mut bytes = std::fs::read(&part).unwrap();
        // In the middle of an entry.
        let at = bytes.windows(60_000).position(|window| window == &long(8)[..]).unwrap() + 30_000;
        bytes[at] ^= 1;
        std::fs::write(&part, bytes).unwrap();
        let store = Store::open(config(dir.path()).read_mode(mode)).unwrap();
        let tree = store.existing_tree("log").unwrap();
        let wrong: Vec<u64> = (0..16).filter(|index| tree.entry(*index).is_err()).collect();
        assert_eq!(wrong, [8]);
        let all: Vec<_> = tree.entries(0..16).unwrap().collect();
        let wrong: Vec<_> = (0..).zip(&all).filter(|(_, entry)| entry.is_err()).collect();
        assert_eq!((all.len(), wrong.len(), wrong[0].0), (16, 1, 8));
        let runs: Vec<_> = tree.entries(0..16).unwrap().runs().collect();
        let read = runs.iter().flatten().flatten();
        let read: Vec<_> = read.map(|(index, entry)| (index.get(), entry.to_vec())).collect();
        let whole: Vec<_> = (0..8).chain(9..16).map(|index| (index, long(index))).collect();
        assert_eq!((read, runs.iter().filter(|run| run.is_err()).count()), (whole, 1));
        let mut visited = Vec::new();
        let mut visiting = tree.entries(0..16).unwrap();
        for _ in 0..2 {
            let _ = visiting.try_visit(|index, entry| {
                assert_eq!(entry, long(index.get()));
                visited.push(index.get());
                ControlFlow::<()>::Continue(())
            });
        }
        assert_eq!(visited, (0..8).chain(9..16).collect::<Vec<_>>());
    }
}

#[cfg(feature = "testing")]
#[test]
fn an_entry_that_does_not_hash_to_its_leaf_is_an_error_under_right_checksums() {
    use duramen::fs::FileKind;
    use duramen::testing::hostile;
    use duramen::testing::sim::SimDisk;
    let disk = SimDisk::new();
    let config = || {
        Config::new("simulated")
            .file_system(std::sync::Arc::new(disk.clone()))
            .checkpoint_policy(CheckpointPolicy::manual())
    };
    let store = Store::open(config()).unwrap();
    let tree = store.tree_with_entries::<Blake3, 4>("main", kept()).unwrap();
    let entries: Vec<_> = (0..300).map(|number| format!("entry {number:03}")).collect();
    tree.insert_entries(&entries).unwrap();
    store.checkpoint().unwrap();
    store.close().unwrap();
    drop(tree);
    let part = disk.files().into_iter().find(|file| file.kind == FileKind::Part).unwrap();
    let mut bytes = disk.read(part).unwrap();
    let find = |bytes: &[u8], text: &str| {
        bytes.windows(text.len()).position(|window| window == text.as_bytes()).unwrap()
    };
    let (one, other) = (find(&bytes, "entry 005"), find(&bytes, "entry 006"));
    bytes[one..one + 9].copy_from_slice(b"entry 006");
    bytes[other..other + 9].copy_from_slice(b"entry 005");
    hostile::fix_part(&mut bytes);
    disk.put(part, &bytes);
    assert!(hostile::adopt_part(&disk, part));
    let store = Store::open(config()).unwrap();
    let tree = store.existing_tree("main").unwrap();
    for index in 0..300 {
        match tree.entry(index) {
            Ok(entry) => {
                assert_eq!(entry[..], *entries[usize::try_from(index).unwrap()].as_bytes());
            }
            Err(error) => {
                assert!((5..7).contains(&index), "{index}: {error}");
                let text = format!("entry {index} in ");
                assert!(error.to_string().contains(&text), "{error}");
            }
        }
    }
    assert!(tree.entry(5).is_err() && tree.entry(6).is_err());
    // Again: a run with a wrong entry is never taken for one that was compared.
    for _ in 0..2 {
        let read: Vec<_> = tree.entries(0..300).unwrap().collect();
        assert_eq!(read.iter().filter(|entry| entry.is_err()).count(), 2);
    }
}
