//! A compaction: the data of erased entries leaves every file of the directory.

#![expect(clippy::single_range_in_vec_init, reason = "some sets of entries have one range")]

use std::collections::BTreeSet;
use std::ops::{ControlFlow, Range};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use duramen::fs::{FileKind, FileName};
use duramen::testing::sim::{Fault, FaultError, Operation, OperationKind, SimDisk, When};
use duramen::{
    Blake3, Compact, CompactInfo, CompactionPolicy, Compression, EntryConfig, Error, FlushPolicy,
    ReadMode, Store, StoreReader, scrub,
};

use super::erase::{check, config, copy_store, entries, entry, open};

/// The numbers below `size` of the entries whose text is in a file of the directory. Entries are told apart by
/// their number, which stands at their beginning.
fn seen(dir: &Path, size: u64) -> BTreeSet<u64> {
    let mut seen = BTreeSet::new();
    for inner in ["manifest", "wal", "parts"] {
        for file in std::fs::read_dir(dir.join(inner)).unwrap() {
            // Background work may remove a file meanwhile.
            let Ok(bytes) = std::fs::read(file.unwrap().path()) else { continue };
            for at in 0..bytes.len() {
                if let Some(text) = bytes[at..].strip_prefix(b"secret ")
                    && let Some(number) = text.get(..5).and_then(|text| str::from_utf8(text).ok())
                    && let Ok(number) = number.parse()
                    && number < size
                {
                    seen.insert(number);
                }
            }
        }
    }
    seen
}

fn without(size: u64, erased: &[Range<u64>]) -> BTreeSet<u64> {
    (0..size).filter(|index| !erased.iter().any(|range| range.contains(index))).collect()
}

fn compact(store: &Store, full: bool) -> CompactInfo {
    store.compact(Compact::new().full(full)).unwrap()
}

fn scrubbed(dir: &Path) -> scrub::Report {
    scrub::run(&config(dir), &scrub::Options::new(), &mut |_| ControlFlow::Continue(())).unwrap()
}

#[test]
fn after_a_compaction_no_file_has_an_erased_entry_and_all_others_are_there() {
    let dir = tempfile::tempdir().unwrap();
    let (store, tree) = open(dir.path(), EntryConfig::new());
    // Three parts, the second of which begins within a bundle, and entries that only the log has.
    tree.insert_entries(&entries(0..300)).unwrap();
    store.checkpoint().unwrap();
    tree.insert_entries(&entries(300..400)).unwrap();
    store.checkpoint().unwrap();
    tree.insert_entries(&entries(400..410)).unwrap();
    store.checkpoint().unwrap();
    tree.insert_entries(&entries(410..500)).unwrap();
    store.flush().unwrap();
    let head = tree.head().unwrap();
    let erased = [0..1, 290..310, 450..451, 499..500];
    drop(tree.erase(erased.clone(), "asked for").unwrap());
    store.flush().unwrap();
    assert_eq!(seen(dir.path(), 500), without(500, &[]), "it is gone before the compaction");
    let done = compact(&store, false);
    assert_eq!((done.parts, done.pinned_files), (2, 0), "{done:?}");
    assert!(done.bytes_wiped > 0);
    assert_eq!(seen(dir.path(), 500), without(500, &erased));
    check(&tree, 500, &erased);
    assert_eq!(tree.head().unwrap(), head);
    let again = compact(&store, false);
    assert_eq!((again.parts, again.pinned_files), (0, 0), "{again:?}");
    let found = tree.scrub(&scrub::Options::new(), &mut |_| ControlFlow::Continue(())).unwrap();
    assert!(found.is_clean(), "{:?}", found.findings);
    assert_eq!((found.leaves, found.entries, found.erased), (500, 477, 23));
    // The log goes on.
    tree.insert_entries(&entries(500..600)).unwrap();
    store.flush().unwrap();
    store.close().unwrap();
    drop(tree);
    let store = Store::open(config(dir.path())).unwrap();
    let tree = store.existing_tree("log").unwrap();
    check(&tree, 600, &erased);
    let full = compact(&store, true);
    assert_eq!(full.parts, 5, "{full:?}");
    assert_eq!(store.trees().unwrap()[0].parts, 1);
    check(&tree, 600, &erased);
    assert_eq!(seen(dir.path(), 600), without(600, &erased));
    store.close().unwrap();
    let found = scrubbed(dir.path());
    assert!(found.is_clean() && found.findings.is_empty(), "{:?}", found.findings);
    assert_eq!((found.leaves, found.entries, found.erased), (600, 577, 23));
}

#[test]
fn compressed_bundles_are_written_again_and_others_are_copied() {
    let dir = tempfile::tempdir().unwrap();
    let (store, tree) =
        open(dir.path(), EntryConfig::new().compression(Compression::zstd(3).unwrap()));
    for from in [0, 300, 600] {
        tree.insert_entries(&entries(from..from + 300)).unwrap();
        store.checkpoint().unwrap();
    }
    drop(tree.erase([255..257, 899..900], "").unwrap());
    // The merge filters as well, and the part has nothing left to leave out.
    assert_eq!(compact(&store, true).parts, 3);
    assert_eq!(compact(&store, false).parts, 0);
    check(&tree, 900, &[255..257, 899..900]);
    drop(tree.erase(300..301, "").unwrap());
    assert_eq!(compact(&store, false).parts, 1);
    check(&tree, 900, &[255..257, 300..301, 899..900]);
    store.close().unwrap();
    let found = scrubbed(dir.path());
    assert!(found.findings.is_empty(), "{:?}", found.findings);
    assert_eq!((found.entries, found.erased), (896, 4));
}

#[test]
fn a_file_that_somebody_reads_is_pinned_and_wiped_when_nobody_does() {
    for mode in [ReadMode::Mapped, ReadMode::Pread] {
        let dir = tempfile::tempdir().unwrap();
        let (store, tree) = open(dir.path(), EntryConfig::new());
        tree.insert_entries(&entries(0..300)).unwrap();
        store.checkpoint().unwrap();
        let reader = StoreReader::open(config(dir.path()).read_mode(mode)).unwrap();
        let snapshot = reader.tree("log").unwrap();
        assert_eq!(snapshot.entry(7).unwrap()[..], entry(7));
        drop(tree.erase(7..8, "").unwrap());
        let done = compact(&store, false);
        assert_eq!((done.parts, done.pinned_files), (1, 1), "{done:?}");
        assert!(done.pinned_bytes > 4096);
        // The reader has not followed, and its part is as it was.
        assert_eq!(snapshot.entry(7).unwrap()[..], entry(7));
        assert!(seen(dir.path(), 300).contains(&7));
        // A reader that follows keeps nothing that it does not read any more.
        drop(snapshot);
        reader.refresh().unwrap();
        assert!(matches!(reader.tree("log").unwrap().entry(7), Err(Error::Erased { .. })));
        assert_eq!(reader.tree("log").unwrap().entry(8).unwrap()[..], entry(8));
        let done = compact(&store, false);
        assert_eq!((done.parts, done.pinned_files), (0, 0), "{done:?}");
        assert_eq!(seen(dir.path(), 300), without(300, &[7..8]));
    }
}

#[test]
fn an_entry_that_the_program_holds_pins_its_file_until_it_closes_or_opens_the_store() {
    let dir = tempfile::tempdir().unwrap();
    let (store, tree) = open(dir.path(), EntryConfig::new());
    tree.insert_entries(&entries(0..300)).unwrap();
    store.checkpoint().unwrap();
    drop(tree);
    store.close().unwrap();
    // Behind a restart entries are read from the part.
    let (store, tree) = open(dir.path(), EntryConfig::new());
    let held = tree.entry(7).unwrap();
    drop(tree.erase(7..8, "").unwrap());
    assert_eq!(compact(&store, false).pinned_files, 1);
    assert_eq!(held[..], entry(7));
    store.close().unwrap();
    drop(tree);
    assert!(seen(dir.path(), 300).contains(&7), "a mapped part was overwritten");
    // Whoever opens the store next wipes it, if it is free by then.
    drop(Store::open(config(dir.path())).unwrap());
    assert!(seen(dir.path(), 300).contains(&7), "a mapped part was overwritten");
    assert_eq!(held[..], entry(7));
    drop(held);
    let store = Store::open(config(dir.path())).unwrap();
    assert_eq!(seen(dir.path(), 300), without(300, &[7..8]));
    assert_eq!(store.recovery().removed.len(), 1);
    let tree = store.existing_tree("log").unwrap();
    let held = tree.entry(8).unwrap();
    drop(tree.erase(8..9, "").unwrap());
    assert_eq!(compact(&store, false).pinned_files, 1);
    drop(held);
    store.close().unwrap();
    assert_eq!(seen(dir.path(), 300), without(300, &[7..9]), "closing wipes");
}

#[test]
fn a_backup_that_was_taken_before_keeps_what_is_erased_and_one_taken_after_does_not_have_it() {
    let dir = tempfile::tempdir().unwrap();
    let (at, before, after) =
        (dir.path().join("store"), dir.path().join("before"), dir.path().join("after"));
    let (store, tree) = open(&at, EntryConfig::new());
    tree.insert_entries(&entries(0..300)).unwrap();
    store.checkpoint().unwrap();
    tree.insert_entries(&entries(300..310)).unwrap();
    let info = store.snapshot_to(&before).unwrap();
    assert!(info.bytes_linked > 0, "{info:?}");
    drop(tree.erase([7..8, 305..306], "").unwrap());
    assert_eq!(compact(&store, false).pinned_files, 0);
    assert_eq!(seen(&at, 310), without(310, &[7..8, 305..306]));
    store.snapshot_to(&after).unwrap();
    store.close().unwrap();
    for (copy, erased) in [(&before, &[][..]), (&after, &[7..8, 305..306][..])] {
        assert_eq!(seen(copy, 310), without(310, erased));
        let found = scrubbed(copy);
        assert!(found.findings.is_empty(), "{:?}", found.findings);
        let store = Store::open(config(copy)).unwrap();
        check(&store.existing_tree("log").unwrap(), 310, erased);
    }
}

#[test]
fn what_was_erased_by_an_earlier_run_is_compacted_by_a_later_one() {
    let dir = tempfile::tempdir().unwrap();
    let (store, tree) = open(dir.path(), EntryConfig::new());
    tree.insert_entries(&entries(0..300)).unwrap();
    store.checkpoint().unwrap();
    tree.insert_entries(&entries(300..400)).unwrap();
    drop(tree.erase([1..2, 350..351], "").unwrap());
    store.flush().unwrap();
    let copy = tempfile::tempdir().unwrap();
    copy_store(dir.path(), copy.path());
    drop(tree);
    store.close().unwrap();
    // One store was closed, the other one was left.
    for dir in [dir.path(), copy.path()] {
        let store = Store::open(config(dir)).unwrap();
        assert_eq!(compact(&store, false).pinned_files, 0);
        assert_eq!(seen(dir, 400), without(400, &[1..2, 350..351]));
        check(&store.existing_tree("log").unwrap(), 400, &[1..2, 350..351]);
    }
}

#[test]
fn merges_that_nobody_asked_for_leave_erased_entries_out() {
    let dir = tempfile::tempdir().unwrap();
    let config = || config(dir.path()).compaction_policy(CompactionPolicy::tiered(2).unwrap());
    let (store, tree) = open(dir.path(), EntryConfig::new());
    for from in (0..400).step_by(100) {
        tree.insert_entries(&entries(from..from + 100)).unwrap();
        store.checkpoint().unwrap();
    }
    let erased = [50..60, 150..151, 399..400];
    drop(tree.erase(erased.clone(), "").unwrap());
    store.close().unwrap();
    drop(tree);
    let store = Store::open(config()).unwrap();
    let tree = store.existing_tree("log").unwrap();
    store.checkpoint().unwrap();
    store.wait_idle();
    assert!(store.trees().unwrap()[0].parts < 4);
    check(&tree, 400, &erased);
    store.compact(Compact::new()).unwrap();
    check(&tree, 400, &erased);
    assert_eq!(seen(dir.path(), 400), without(400, &erased));
}

#[test]
fn a_compaction_beside_inserts_checkpoints_merges_and_readers_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path())
        .flush_policy(FlushPolicy::interval(std::time::Duration::from_millis(1)).unwrap())
        .compaction_policy(CompactionPolicy::tiered(2).unwrap())
        .wal_segment_bytes(16 << 10)
        .unwrap()
        .max_unflushed_bytes(8 << 10)
        .unwrap();
    drop(open(dir.path(), EntryConfig::new()));
    let store = Store::open(config).unwrap();
    let tree = store.existing_tree("log").unwrap();
    let ended = AtomicBool::new(false);
    std::thread::scope(|threads| {
        threads.spawn(|| {
            for from in (0..6000).step_by(20) {
                tree.insert_entries(&entries(from..from + 20)).unwrap();
                if from % 500 == 0 {
                    store.checkpoint().unwrap();
                }
            }
            ended.store(true, Ordering::Relaxed);
        });
        threads.spawn(|| {
            while !ended.load(Ordering::Relaxed) {
                let size = tree.size().get();
                for (index, found) in (0..).zip(tree.entries(0..size).unwrap()) {
                    match found {
                        Ok(found) => assert_eq!(found[..], entry(index)),
                        Err(error) => assert!(matches!(error, Error::Erased { .. }), "{error}"),
                    }
                }
            }
        });
        let mut round = 0;
        while !ended.load(Ordering::Relaxed) {
            let size = tree.size().get();
            if size > 100 {
                drop(tree.erase([size / 2..size / 2 + 1, size - 1..size], "").unwrap());
            }
            store.compact(Compact::new().full(round % 3 == 2)).unwrap();
            round += 1;
        }
    });
    let erased: Vec<_> =
        tree.erasures().unwrap().into_iter().flat_map(|erasure| erasure.ranges).collect();
    assert!(!erased.is_empty());
    store.compact(Compact::new()).unwrap();
    check(&tree, 6000, &erased);
    assert_eq!(seen(dir.path(), 6000), without(6000, &erased));
}

#[test]
fn a_listener_of_a_compaction_cannot_compact() {
    struct Nested(std::sync::Mutex<Option<Store>>, std::sync::Mutex<Vec<Error>>);
    impl Nested {
        fn hear(&self, event: &duramen::Event) {
            if let duramen::Event::CheckpointCompleted { .. } = event
                && let Some(store) = &*self.0.lock().unwrap()
            {
                self.1.lock().unwrap().extend(store.compact(Compact::new()).err());
            }
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let nested = Arc::new(Nested(std::sync::Mutex::default(), std::sync::Mutex::default()));
    let listener = Arc::clone(&nested);
    let config = config(dir.path()).listener(move |event: &duramen::Event| listener.hear(event));
    let store = Store::open(config).unwrap();
    *nested.0.lock().unwrap() = Some(store.clone());
    store.compact(Compact::new()).unwrap();
    *nested.0.lock().unwrap() = None;
    let errors = nested.1.lock().unwrap();
    assert!(
        matches!(&errors[..], [Error::WouldWaitForItself { call: "compact", .. }]),
        "{errors:?}"
    );
}

/// All bytes that were ever freed or overwritten on a disk would have to be searched. Instead: what a file had at the
/// moment of its removal.
#[cfg(feature = "testing")]
#[test]
fn once_something_was_erased_every_part_is_zeros_before_it_is_removed() {
    use duramen::testing::sim::{CrashChoice, Operation, SimDisk};
    let disk = SimDisk::new();
    disk.record();
    let config = || {
        duramen::Config::new("simulated")
            .file_system(Arc::new(disk.clone()))
            .flush_policy(FlushPolicy::Manual)
            .checkpoint_policy(duramen::CheckpointPolicy::manual())
            .compaction_policy(CompactionPolicy::Off)
    };
    let kept = || duramen::TreeConfig::of::<duramen::Blake3, 4>().entries(EntryConfig::new());
    let store = Store::open(config()).unwrap();
    let tree = store.tree_dyn("log", kept()).unwrap();
    let other = store.tree_dyn("other", kept()).unwrap();
    for from in [0, 300] {
        tree.insert_entries(&entries(from..from + 300)).unwrap();
        store.checkpoint().unwrap();
    }
    other.insert_entries(&entries(600..700)).unwrap();
    drop(other.erase(0..1, "of another tree, and not what is searched for").unwrap());
    store.checkpoint().unwrap();
    let begun = disk.operations();
    // No part of the first tree has an erased entry, and its parts are removed all the same.
    assert_eq!(compact(&store, true).parts, 2);
    drop(other);
    drop(store.drop_tree("other").unwrap());
    store.checkpoint().unwrap();
    drop(tree);
    store.close().unwrap();
    // Nothing of what is there now says that entries were erased but the manifest.
    let store = Store::open(config()).unwrap();
    let tree = store.existing_tree("log").unwrap();
    tree.insert_entries(&entries(700..710)).unwrap();
    store.checkpoint().unwrap();
    assert_eq!(compact(&store, true).parts, 2);
    drop(tree);
    store.close().unwrap();
    let mut removed = 0;
    for (at, operation) in (0..).zip(disk.trace()).skip(usize::try_from(begun).unwrap()) {
        let Operation::Remove(name) = operation else { continue };
        let before = disk.crash_at(at, CrashChoice::AllKept).unwrap();
        let Some(bytes) = before.read(name) else { continue };
        let text = b"secret ";
        let has = bytes.windows(text.len()).any(|found| found == text);
        assert!(!has, "{name} has entries when it is removed");
        removed += u32::from(name.kind == duramen::fs::FileKind::Part);
    }
    assert_eq!(removed, 5);
}

#[cfg(feature = "testing")]
#[test]
fn without_erased_entries_a_file_that_could_not_be_removed_is_removed_and_not_written_to() {
    let disk = SimDisk::new();
    let simulated = config(Path::new("store")).file_system(Arc::new(disk.clone()));
    let store = Store::open(simulated).unwrap();
    let tree = store.tree_with_entries::<Blake3, 4>("main", EntryConfig::new()).unwrap();
    tree.insert_entries(&entries(0..300)).unwrap();
    store.flush().unwrap();
    let broken = When::nth(OperationKind::Write, 2).on(FileKind::Part);
    disk.inject(Fault::new(broken, FaultError::EIO).for_ever());
    let removal = When::nth(OperationKind::Remove, 1).on(FileKind::Part);
    disk.inject(Fault::new(removal, FaultError::EIO).for_ever());
    store.checkpoint().unwrap_err();
    disk.clear_faults();
    let left = FileName::new(FileKind::Part, 1).tmp();
    assert!(disk.files().contains(&left));
    let before = disk.trace().len();
    assert_eq!(compact(&store, false).bytes_wiped, 0);
    assert!(!disk.files().contains(&left));
    let done = disk.trace().split_off(before);
    let done: Vec<_> = done.iter().filter(|done| done.file() == Some(left)).collect();
    assert!(matches!(done[..], [Operation::Remove(_)]), "{done:?}");
}

#[test]
fn on_a_full_disk_a_compaction_fails_and_everything_can_be_read() {
    use duramen::testing::sim::SimDisk;
    let disk = SimDisk::new();
    let config = || {
        duramen::Config::new("simulated")
            .file_system(Arc::new(disk.clone()))
            .flush_policy(FlushPolicy::Manual)
            .checkpoint_policy(duramen::CheckpointPolicy::manual())
            .wal_segment_bytes(16 << 10)
            .unwrap()
            .wal_spare_bytes(16 << 10)
            .compaction_policy(CompactionPolicy::Off)
    };
    let store = Store::open(config()).unwrap();
    let kept = duramen::TreeConfig::of::<duramen::Blake3, 4>().entries(EntryConfig::new());
    let tree = store.tree_dyn("log", kept).unwrap();
    for from in [0, 300] {
        tree.insert_entries(&entries(from..from + 300)).unwrap();
        store.checkpoint().unwrap();
    }
    let erased = [10..20, 599..600];
    drop(tree.erase(erased.clone(), "").unwrap());
    store.flush().unwrap();
    let mut failed = 0;
    let used = disk.used_space();
    for room in (0..).step_by(4 << 10) {
        disk.limit_space(Some(used + room));
        let done = store.compact(Compact::new());
        check(&tree, 600, &erased);
        match done {
            Ok(done) => {
                assert_eq!(done.pinned_files, 0);
                break;
            }
            Err(error) => {
                // Without room for a segment the log fails, as it does without a compaction.
                failed += 1;
                assert!(room < 1 << 20, "{error}");
                if matches!(error, Error::Poisoned { .. }) {
                    break;
                }
            }
        }
    }
    assert!(failed > 0);
    disk.limit_space(None);
    drop(store.close());
    drop(tree);
    let store = Store::open(config()).unwrap();
    let tree = store.existing_tree("log").unwrap();
    check(&tree, 600, &erased);
    assert_eq!(compact(&store, false).pinned_files, 0);
    check(&tree, 600, &erased);
    for file in disk.files() {
        let bytes = disk.read(file).unwrap();
        for number in (10..20).chain([599]) {
            let text = format!("secret {number:05}");
            assert!(!bytes.windows(text.len()).any(|seen| seen == text.as_bytes()), "{file}");
        }
    }
}

#[test]
fn a_repair_takes_no_erased_entry_for_damage_and_rebuilds_the_leaves_around_it() {
    let dir = tempfile::tempdir().unwrap();
    let (store, tree) = open(dir.path(), EntryConfig::new());
    tree.insert_entries(&entries(0..300)).unwrap();
    store.checkpoint().unwrap();
    drop(tree.erase([7..8, 200..201], "").unwrap());
    compact(&store, false);
    let head = tree.head().unwrap();
    drop(tree);
    store.close().unwrap();
    let parts: Vec<_> = std::fs::read_dir(dir.path().join("parts")).unwrap().collect();
    let part = parts.into_iter().next().unwrap().unwrap().path();
    let whole = std::fs::read(&part).unwrap();
    let repair = |bytes: &[u8]| {
        std::fs::write(&part, bytes).unwrap();
        let options = scrub::Options::new().repair(true);
        scrub::run(&config(dir.path()), &options, &mut |_| ControlFlow::Continue(())).unwrap()
    };
    // The leaf of the erased entry itself, which nothing can rebuild.
    let mut bytes = whole.clone();
    bytes[4096 + 32 * 7] ^= 1;
    let found = repair(&bytes);
    assert!(!found.is_clean() && found.rebuilt.is_empty(), "{:?}", found.findings);
    // A leaf in the same block.
    let mut bytes = whole.clone();
    bytes[4096 + 32 * 9] ^= 1;
    let found = repair(&bytes);
    assert!(found.is_clean() && found.rebuilt.len() == 1, "{:?}", found.findings);
    let found = scrubbed(dir.path());
    assert!(found.findings.is_empty(), "{:?}", found.findings);
    assert_eq!((found.leaves, found.entries, found.erased), (300, 298, 2));
    let store = Store::open(config(dir.path())).unwrap();
    let tree = store.existing_tree("log").unwrap();
    check(&tree, 300, &[7..8, 200..201]);
    assert_eq!(tree.head().unwrap(), head);
    assert_eq!(compact(&store, false).parts, 0, "the repaired part counts what it lacks");
}

#[cfg(feature = "testing")]
#[test]
fn a_checkpoint_beside_a_compaction_takes_no_file_for_one_of_another_process() {
    let disk = SimDisk::new();
    let open = || {
        let simulated = config(Path::new("store")).file_system(Arc::new(disk.clone()));
        let store = Store::open(simulated).unwrap();
        let tree = store.tree_with_entries::<Blake3, 4>("main", EntryConfig::new()).unwrap();
        (store, tree)
    };
    let (store, tree) = open();
    tree.insert_entries(&entries(0..300)).unwrap();
    store.checkpoint().unwrap();
    drop(tree);
    store.close().unwrap();
    let (store, tree) = open();
    let held = tree.entry(7).unwrap();
    drop(tree.erase(7..8, "").unwrap());
    assert_eq!(compact(&store, false).pinned_files, 1);
    drop(held);
    // The first thread that gives the old part up waits while it removes it.
    let hold = disk.hold(When::nth(OperationKind::Remove, 1).on(FileKind::Part));
    std::thread::scope(|scope| {
        let compacts = scope.spawn(|| compact(&store, false));
        hold.wait_reached();
        let checkpoints = scope.spawn(|| store.checkpoint().map(drop));
        // It waits as well, or ends at once.
        let until = std::time::Instant::now() + std::time::Duration::from_millis(300);
        while !checkpoints.is_finished() && std::time::Instant::now() < until {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        hold.release();
        assert_eq!(compacts.join().unwrap().pinned_files, 0);
        checkpoints.join().unwrap().unwrap();
    });
    tree.insert_entries(&entries(300..310)).unwrap();
    store.checkpoint().unwrap();
    store.close().unwrap();
    assert!(!disk.files().contains(&FileName::new(FileKind::Part, 1)));
}
