//! The directory is the one that was opened: moved, exchanged and planted names are refused, and no file is
//! changed or removed but those that were there when the lock was acquired or that the store made since.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use duramen::inspect::{self, FileReport, FileState};
use duramen::{
    Accumulator, Arity, Blake3, CheckpointPolicy, Config, Error, FlushPolicy, Hash, Reader,
    TreeSize,
};
use testkit::stores::{leaves, root_of};
use testkit::words::words;

type Store = Accumulator<Blake3, 4>;

fn manual(config: Config) -> Config {
    config.flush_policy(FlushPolicy::Manual).checkpoint_policy(CheckpointPolicy::manual())
}

/// A store with a checkpoint of these leaves.
fn store(dir: &Path, leaves: &[Hash]) -> Store {
    let store = Store::open(manual(Config::new(dir))).unwrap();
    store.insert_many(leaves).unwrap();
    store.checkpoint().unwrap();
    store
}

/// Every file but the lock's, with its bytes.
fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(files(&path));
        } else if !path.ends_with("LOCK") {
            let bytes = fs::read(&path).unwrap();
            all.insert(path, bytes);
        }
    }
    all
}

/// The error says that this name is not the one that was opened.
fn assert_displaced(error: &Error, path: &str) {
    let Error::Displaced(displaced) = error else { panic!("{}", words(error)) };
    assert!(displaced.path.ends_with(path), "{displaced}");
}

/// A checkpoint fails because of `path`, and from then on everything that writes does. What was inserted
/// and acknowledged before is read.
fn assert_stopped(store: &Store, path: &str) {
    let acknowledged = store.insert_durable([7; 32]).unwrap();
    assert_displaced(&store.checkpoint().unwrap_err(), path);
    let refused = store.insert([8; 32]).unwrap_err();
    let Error::Poisoned { source } = &refused else { panic!("{}", words(&refused)) };
    assert_displaced(source, path);
    assert!(matches!(store.flush().unwrap_err(), Error::Poisoned { .. }));
    assert!(matches!(store.checkpoint().unwrap_err(), Error::Poisoned { .. }));
    assert_eq!(store.leaf(acknowledged.get()).unwrap(), [7; 32]);
}

/// The store opens and holds these leaves and the one that was acknowledged last.
fn assert_whole(config: Config, leaves: &[Hash]) {
    let store = Store::open(manual(config)).unwrap();
    let all: Vec<_> = leaves.iter().copied().chain([[7; 32]]).collect();
    assert_eq!(store.size(), TreeSize(all.len() as u64));
    assert_eq!(store.head().unwrap().root, root_of(&Blake3, Arity::Four, &all));
    store.close().unwrap();
}

#[test]
fn a_removed_lock_file_lets_no_second_writer_in() {
    let dir = tempfile::tempdir().unwrap();
    let own = leaves(100, 1);
    let first = store(dir.path(), &own);
    fs::remove_file(dir.path().join("LOCK")).unwrap();
    let before = files(dir.path());
    let error = Store::open(manual(Config::new(dir.path()))).unwrap_err();
    assert!(matches!(error, Error::Locked { .. }), "{error}");
    assert_eq!(files(dir.path()), before);
    assert!(!dir.path().join("LOCK").exists(), "the second opener made a lock file");
    assert_stopped(&first, "LOCK");
    assert!(first.close().is_err());
    assert_whole(Config::new(dir.path()), &own);
}

#[test]
fn a_lock_file_that_was_put_in_place_of_the_first_lets_no_second_writer_in() {
    let dir = tempfile::tempdir().unwrap();
    let own = leaves(100, 1);
    let first = store(dir.path(), &own);
    fs::remove_file(dir.path().join("LOCK")).unwrap();
    fs::write(dir.path().join("LOCK"), "").unwrap();
    let error = Store::open(manual(Config::new(dir.path()))).unwrap_err();
    assert!(matches!(error, Error::Locked { .. }), "{error}");
    assert_stopped(&first, "LOCK");
    drop(first);
    assert_whole(Config::new(dir.path()), &own);
}

#[test]
fn a_store_that_takes_the_place_of_one_that_is_open_is_not_touched() {
    let temp = tempfile::tempdir().unwrap();
    let [path, moved, other] = ["s", "moved", "other"].map(|name| temp.path().join(name));
    store(&other, &leaves(500, 2)).close().unwrap();
    let own = leaves(100, 1);
    let first = store(&path, &own);
    fs::rename(&path, &moved).unwrap();
    fs::rename(&other, &path).unwrap();
    let before = files(&path);
    assert_stopped(&first, "s");
    assert!(first.close().is_err());
    assert_eq!(files(&path), before);
    assert_whole(Config::new(&moved), &own);
    let there = Store::open(manual(Config::new(&path))).unwrap();
    assert_eq!(there.size(), TreeSize(500));
}

#[test]
fn automatic_checkpoints_and_the_last_one_touch_no_other_store_either() {
    let temp = tempfile::tempdir().unwrap();
    let [path, moved, other] = ["s", "moved", "other"].map(|name| temp.path().join(name));
    store(&other, &leaves(500, 2)).close().unwrap();
    let policy = CheckpointPolicy::manual().every_leaves(50).unwrap().on_close(true);
    let config = Config::new(&path).checkpoint_policy(policy);
    let first = Store::open(config).unwrap();
    fs::rename(&path, &moved).unwrap();
    fs::rename(&other, &path).unwrap();
    let before = files(&path);
    let mut acknowledged = Vec::new();
    for leaf in leaves(2000, 1) {
        if first.insert_durable(leaf).is_err() {
            break;
        }
        acknowledged.push(leaf);
    }
    assert!(!acknowledged.is_empty() && acknowledged.len() < 2000, "{}", acknowledged.len());
    assert!(first.close().is_err());
    assert_eq!(files(&path), before);
    let there = Store::open(manual(Config::new(&moved))).unwrap();
    assert!(there.size().get() >= acknowledged.len() as u64);
    assert_eq!(there.leaves(0..acknowledged.len() as u64).unwrap(), acknowledged);
}

#[test]
fn a_link_at_the_path_that_leads_to_another_store_later_is_not_followed_there() {
    let temp = tempfile::tempdir().unwrap();
    let [path, real, other] = ["s", "real", "other"].map(|name| temp.path().join(name));
    store(&other, &leaves(500, 2)).close().unwrap();
    fs::create_dir(&real).unwrap();
    symlink(&real, &path).unwrap();
    let own = leaves(100, 1);
    let first = store(&path, &own);
    fs::remove_file(&path).unwrap();
    symlink(&other, &path).unwrap();
    let before = files(&other);
    assert_stopped(&first, "s");
    drop(first);
    assert_eq!(files(&other), before);
    assert_whole(Config::new(&real), &own);
}

#[test]
fn an_inner_directory_that_was_exchanged_is_not_written_to() {
    for inner in ["manifest", "parts", "wal"] {
        let temp = tempfile::tempdir().unwrap();
        let [path, moved, other] = ["s", "moved", "other"].map(|name| temp.path().join(name));
        store(&other, &leaves(500, 2)).close().unwrap();
        let own = leaves(100, 1);
        let first = store(&path, &own);
        fs::rename(path.join(inner), &moved).unwrap();
        fs::rename(other.join(inner), path.join(inner)).unwrap();
        let before = files(&path.join(inner));
        assert_stopped(&first, &format!("s/{inner}"));
        drop(first);
        assert_eq!(files(&path.join(inner)), before, "{inner}");
        fs::rename(path.join(inner), other.join(inner)).unwrap();
        fs::rename(&moved, path.join(inner)).unwrap();
        assert_whole(Config::new(&path), &own);
        assert_eq!(Store::open(manual(Config::new(&other))).unwrap().size(), TreeSize(500));
    }
}

#[test]
fn a_file_that_somebody_else_put_there_is_neither_replaced_nor_removed() {
    for name in ["parts/00000002.part", "parts/00000002.part.tmp", "manifest/00000003.manifest.tmp"]
    {
        let dir = tempfile::tempdir().unwrap();
        let own = leaves(100, 1);
        let first = store(dir.path(), &own);
        fs::write(dir.path().join(name), "planted").unwrap();
        first.insert_durable([7; 32]).unwrap();
        first.checkpoint().unwrap_err();
        assert_eq!(fs::read(dir.path().join(name)).unwrap(), b"planted", "{name}");
        // The next numbers are free.
        first.checkpoint().unwrap();
        assert_eq!(fs::read(dir.path().join(name)).unwrap(), b"planted", "{name}");
        first.close().unwrap();
        assert_whole(Config::new(dir.path()), &own);
    }
}

/// Highest numbers, around the powers of two at which the store's own limits are.
const FAR: [u64; 8] = [
    2_305_843_009_213_693_950,
    (1 << 61) - 1,
    1 << 61,
    (1 << 62) - 1,
    1 << 62,
    (1 << 63) - 1,
    1 << 63,
    u64::MAX,
];

/// Puts a file with this number beside the manifests of a store.
fn plant(dir: &Path, number: u64, suffix: &str, bytes: &[u8]) -> PathBuf {
    let path = dir.join(format!("manifest/{number:08}.manifest{suffix}"));
    fs::write(&path, bytes).unwrap();
    path
}

/// How a survey reports `path`.
fn reported(dir: &Path, path: &Path) -> FileReport {
    let survey = inspect::survey(&Config::new(dir)).unwrap();
    survey.files.into_iter().find(|file| file.path == path).unwrap()
}

#[test]
fn a_manifest_number_that_no_store_comes_to_does_not_count() {
    let own = leaves(100, 1);
    for number in FAR {
        for (suffix, bytes) in [("", ""), ("", "garbage"), (".tmp", "")] {
            let dir = tempfile::tempdir().unwrap();
            drop(store(dir.path(), &own));
            let planted = plant(dir.path(), number, suffix, bytes.as_bytes());
            assert_eq!(reader(dir.path()).size(), TreeSize(100), "{number}");
            assert!(inspect::survey(&Config::new(dir.path())).unwrap().is_clean(), "{number}");
            if suffix.is_empty() {
                assert_eq!(reported(dir.path(), &planted).state, FileState::Foreign, "{number}");
            }
            let again = Store::open(manual(Config::new(dir.path()))).unwrap();
            again.insert_durable([7; 32]).unwrap();
            again.checkpoint().unwrap();
            again.close().unwrap();
            assert_whole(Config::new(dir.path()), &own);
            if suffix.is_empty() {
                assert_eq!(fs::read(&planted).unwrap(), bytes.as_bytes(), "{number}");
                fs::remove_file(&planted).unwrap();
            }
            for manifest in files(&dir.path().join("manifest")).into_keys() {
                assert!(manifest == planted || number_of(&manifest) < 20, "{manifest:?}");
            }
        }
    }
}

/// A newest manifest that became empty or garbage is damage, and never a reason to go back to the one before.
#[test]
fn a_manifest_number_that_the_store_can_have_come_to_counts_whatever_is_in_the_file() {
    let own = leaves(100, 1);
    for (beyond, counts) in [(1, true), (1_000_000, true), (1 << 31, true), (1 << 32, false)] {
        for bytes in ["", "garbage"] {
            let dir = tempfile::tempdir().unwrap();
            drop(store(dir.path(), &own));
            let newest = files(&dir.path().join("manifest")).into_keys().next_back().unwrap();
            let number = number_of(&newest) + beyond;
            let planted = plant(dir.path(), number, "", bytes.as_bytes());
            let opened = Store::open(manual(Config::new(dir.path()))).map(drop);
            let config = Config::new(dir.path());
            let read = Reader::open(config, Arc::new(Blake3), Arity::Four).map(drop);
            for result in [opened, read] {
                match result {
                    Err(Error::Damaged(damage)) if counts => assert_eq!(damage.file, planted),
                    Ok(()) if !counts => {}
                    other => panic!("{beyond}: {other:?}"),
                }
            }
            assert_eq!(reported(dir.path(), &planted).problem.is_some(), counts, "{beyond}");
        }
    }
}

fn number_of(path: &Path) -> u64 {
    path.file_stem().unwrap().to_str().unwrap().parse().unwrap()
}

#[test]
fn the_root_of_a_fresh_file_system_is_an_empty_directory() {
    let temp = tempfile::tempdir().unwrap();
    let [path, copy] = ["s", "copy"].map(|name| temp.path().join(name));
    for dir in [&path, &copy] {
        fs::create_dir_all(dir.join("lost+found")).unwrap();
    }
    let own = leaves(100, 1);
    let first = store(&path, &own);
    first.insert_durable([7; 32]).unwrap();
    first.snapshot_to(&copy).unwrap();
    first.close().unwrap();
    for dir in [path, copy] {
        assert_whole(Config::new(&dir), &own);
        assert!(dir.join("lost+found").is_dir());
    }
}

fn reader(dir: &Path) -> Reader {
    Store::open_read_only(Config::new(dir)).unwrap()
}

/// What the reader had read stays, and every call that looks again fails like this.
fn assert_reader_stopped(reader: &Reader, to: &Path, check: impl Fn(&Error)) {
    check(&reader.refresh().unwrap_err());
    check(&reader.snapshot_to(to).unwrap_err());
    assert!(!to.exists(), "something was made for a copy");
    assert_eq!(reader.size(), TreeSize(100));
    assert_eq!(reader.leaf(3).unwrap(), leaves(100, 1)[3]);
    reader.prove(99).unwrap();
}

fn id_of(error: &Error) -> (String, String) {
    let Error::OtherStore { opened, found, .. } = error else { panic!("{}", words(error)) };
    (opened.clone(), found.clone())
}

#[test]
fn a_reader_whose_path_leads_to_another_store_names_both_and_answers_for_neither() {
    let temp = tempfile::tempdir().unwrap();
    let [path, moved, other] = ["s", "moved", "other"].map(|name| temp.path().join(name));
    store(&other, &leaves(500, 2)).close().unwrap();
    store(&path, &leaves(100, 1)).close().unwrap();
    let reading = reader(&path);
    reading.refresh().unwrap();
    fs::rename(&path, &moved).unwrap();
    fs::rename(&other, &path).unwrap();
    let (own, found) = id_of(&reading.refresh().unwrap_err());
    assert_ne!(own, found);
    assert_reader_stopped(&reading, &temp.path().join("copy"), |error| {
        assert_eq!(id_of(error), (own.clone(), found.clone()));
        assert!(words(error).contains(&own) && words(error).contains(&found));
    });
    // Moved back, it goes on.
    fs::rename(&path, &other).unwrap();
    fs::rename(&moved, &path).unwrap();
    assert_eq!(reading.refresh().unwrap(), TreeSize(100));
}

#[test]
fn a_reader_of_a_directory_that_got_the_files_of_another_store_names_both() {
    let temp = tempfile::tempdir().unwrap();
    let [path, other] = ["s", "other"].map(|name| temp.path().join(name));
    store(&other, &leaves(500, 2)).close().unwrap();
    store(&path, &leaves(100, 1)).close().unwrap();
    let reading = reader(&path);
    for inner in ["manifest", "parts", "wal"] {
        for file in files(&path.join(inner)).into_keys() {
            fs::remove_file(file).unwrap();
        }
        for (file, bytes) in files(&other.join(inner)) {
            fs::write(path.join(inner).join(file.file_name().unwrap()), bytes).unwrap();
        }
    }
    let (own, found) = id_of(&reading.refresh().unwrap_err());
    assert_ne!(own, found);
    assert!(matches!(
        reading.snapshot_to(temp.path().join("copy")).unwrap_err(),
        Error::OtherStore { .. }
    ));
    assert_eq!(reading.size(), TreeSize(100));
}

#[test]
fn a_reader_whose_directory_was_moved_away_or_restored_says_so() {
    let temp = tempfile::tempdir().unwrap();
    let [path, moved, backup] = ["s", "moved", "backup"].map(|name| temp.path().join(name));
    let writer = store(&path, &leaves(100, 1));
    writer.snapshot_to(&backup).unwrap();
    let reading = reader(&path);
    fs::rename(&path, &moved).unwrap();
    assert_reader_stopped(&reading, &temp.path().join("copy"), |error| {
        assert_displaced(error, "s");
    });
    // A copy of the same store has the same id. It is another directory nevertheless.
    fs::rename(&backup, &path).unwrap();
    assert_reader_stopped(&reading, &temp.path().join("copy"), |error| {
        assert_displaced(error, "s");
    });
}

#[cfg(feature = "testing")]
mod simulated {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use duramen::fs::{Dir, FileKind, FileName, Place};
    use duramen::testing::sim::{Fault, FaultError, OperationKind, SimDisk, SimPath, When};
    use testkit::hooked::Hooked;

    use super::*;

    fn config(place: impl Place) -> Config {
        manual(Config::new("simulated")).file_system(Arc::new(place))
    }

    fn store(place: impl Place, leaves: &[Hash]) -> Store {
        let store = Store::open(config(place)).unwrap();
        store.insert_many(leaves).unwrap();
        store.checkpoint().unwrap();
        store
    }

    fn bytes(disk: &SimDisk) -> BTreeMap<FileName, Option<Vec<u8>>> {
        disk.files().into_iter().map(|name| (name, disk.read(name))).collect()
    }

    /// The operations that change names.
    fn changes(disk: &SimDisk) -> usize {
        let kinds = [OperationKind::Create, OperationKind::Rename, OperationKind::Remove];
        disk.trace().iter().filter(|done| kinds.contains(&done.kind())).count()
    }

    #[test]
    fn a_removed_lock_file_lets_no_second_writer_in() {
        for replaced in [false, true] {
            let disk = SimDisk::new();
            let own = leaves(100, 1);
            let first = store(disk.clone(), &own);
            if replaced {
                disk.replace_lock_file();
            } else {
                disk.remove_lock_file();
            }
            let error = Store::open(config(disk.clone())).unwrap_err();
            assert!(matches!(error, Error::Locked { .. }), "{error}");
            assert_stopped(&first, "LOCK");
            drop(first);
            assert_whole(config(disk), &own);
        }
    }

    #[test]
    fn a_store_that_takes_the_place_of_one_that_is_open_is_not_touched() {
        let [disk, other] = [SimDisk::new(), SimDisk::new()];
        store(other.clone(), &leaves(500, 2)).close().unwrap();
        for there in [Some(&other), None] {
            let path = SimPath::new(&disk);
            let own = leaves(100, 1);
            let disk = SimDisk::new();
            path.lead_to(Some(&disk));
            let first = store(path.clone(), &own);
            path.lead_to(there);
            let (before, operations) = (bytes(&other), other.operations());
            assert_stopped(&first, "simulated");
            assert!(first.close().is_err());
            assert_eq!(other.operations(), operations);
            assert_eq!(bytes(&other), before);
            assert_whole(config(disk), &own);
        }
    }

    #[test]
    fn an_inner_directory_that_was_exchanged_is_not_written_to() {
        for dir in Dir::INNER {
            let disk = SimDisk::new();
            let own = leaves(100, 1);
            let first = store(disk.clone(), &own);
            disk.replace_dir(dir);
            let before = disk.files();
            assert_stopped(&first, &format!("simulated/{}", dir.path()));
            drop(first);
            assert_eq!(disk.files(), before);
            assert_whole(config(disk), &own);
        }
    }

    /// The old manifest is removed while the checkpoint lock is held.
    #[test]
    fn a_listener_that_hears_of_an_exchanged_directory_may_ask_for_a_checkpoint() {
        let disk = SimDisk::new();
        let store: Arc<std::sync::OnceLock<Store>> = Arc::default();
        let answers = Arc::new(std::sync::Mutex::new(Vec::new()));
        let (there, heard) = (Arc::clone(&store), Arc::clone(&answers));
        let config = config(disk.clone()).listener(move |event: &duramen::Event| {
            if matches!(event, duramen::Event::Poisoned { .. }) {
                heard.lock().unwrap().push(there.get().unwrap().checkpoint().is_err());
            }
        });
        let first = store.get_or_init(|| Store::open(config).unwrap());
        for leaf in 0..3 {
            first.insert_durable([leaf; 32]).unwrap();
            first.checkpoint().unwrap();
        }
        first.insert_durable([3; 32]).unwrap();
        let hold = disk.hold(When::nth(OperationKind::Remove, 1).on(FileKind::Manifest));
        std::thread::scope(|threads| {
            let checkpoint = threads.spawn(|| first.checkpoint());
            hold.wait_reached();
            disk.replace_dir(Dir::Manifest);
            drop(hold);
            // It stands: what failed is the removal of an older one.
            checkpoint.join().unwrap().unwrap();
        });
        assert_eq!(*answers.lock().unwrap(), [true]);
        assert!(matches!(first.insert([4; 32]), Err(Error::Poisoned { .. })));
    }

    #[test]
    fn a_file_that_somebody_else_put_there_is_neither_replaced_nor_removed() {
        let part = FileName::new(FileKind::Part, 2);
        let manifest = FileName::new(FileKind::Manifest, 3);
        for name in [part, part.tmp(), manifest.tmp()] {
            let disk = SimDisk::new();
            let own = leaves(100, 1);
            let first = store(disk.clone(), &own);
            disk.put(name, b"planted");
            first.insert_durable([7; 32]).unwrap();
            first.checkpoint().unwrap_err();
            first.checkpoint().unwrap();
            assert_eq!(disk.read(name).unwrap(), b"planted", "{name}");
            first.close().unwrap();
            assert_whole(config(disk), &own);
        }
    }

    #[test]
    fn a_reader_whose_path_leads_to_another_store_names_both() {
        let [disk, other] = [SimDisk::new(), SimDisk::new()];
        store(other.clone(), &leaves(500, 2)).close().unwrap();
        store(disk.clone(), &leaves(100, 1)).close().unwrap();
        let path = SimPath::new(&disk);
        let reading = Store::open_read_only(config(path.clone())).unwrap();
        path.lead_to(Some(&other));
        let (own, found) = id_of(&reading.refresh().unwrap_err());
        assert_ne!(own, found);
        path.lead_to(None);
        assert_displaced(&reading.refresh().unwrap_err(), "simulated");
        path.lead_to(Some(&disk));
        assert_eq!(reading.refresh().unwrap(), TreeSize(100));
    }

    /// The moment at which a reader has found no manifest and looks at what is there instead.
    #[test]
    fn a_reader_that_meets_the_making_of_a_store_finds_it_or_nothing() {
        let disk = SimDisk::new();
        disk.make_dirs().unwrap();
        // As making one leaves it that was cut short.
        disk.put(FileName::new(FileKind::Segment, 1), &[0; 8192]);
        let made = Arc::new(AtomicBool::new(false));
        let (making, plain) = (Arc::clone(&made), disk.clone());
        let place = Hooked::new(&disk).on_read(move |name, _, _| {
            if name.kind == FileKind::Segment && !making.swap(true, Ordering::Relaxed) {
                store(plain.clone(), &leaves(100, 1)).close().unwrap();
            }
        });
        let reading = Store::open_read_only(config(place)).unwrap();
        assert!(made.load(Ordering::Relaxed), "the reader did not look at the segment");
        assert_eq!(reading.size(), TreeSize(100));
    }

    #[test]
    fn a_writer_that_meets_the_making_of_a_store_finds_it_locked() {
        let disk = SimDisk::new();
        disk.make_dirs().unwrap();
        disk.put(FileName::new(FileKind::Segment, 1), &[0; 8192]);
        let making = Arc::new(std::sync::Mutex::new(None));
        let (first, plain) = (Arc::clone(&making), disk.clone());
        let place = Hooked::new(&disk).on_read(move |name, _, _| {
            let mut first = first.lock().unwrap();
            if name.kind == FileKind::Segment && first.is_none() {
                *first = Some(store(plain.clone(), &leaves(100, 1)));
            }
        });
        let error = Store::open(config(place)).unwrap_err();
        assert!(matches!(error, Error::Locked { .. }), "{}", words(&error));
        assert!(making.lock().unwrap().is_some());
    }

    #[test]
    fn a_failed_sync_of_the_logs_directory_by_a_worker_ends_all_writing() {
        let disk = SimDisk::new();
        let small = config(disk.clone()).wal_segment_bytes(64 << 10).unwrap();
        let first = Store::open(small).unwrap();
        first.insert_durable([1; 32]).unwrap();
        let made = When::nth(OperationKind::Create, 1).on(FileKind::Segment);
        let hold = disk.hold(made);
        // So much that a worker makes the next segment ready.
        first.insert_many(&leaves(1100, 1)).unwrap();
        first.flush().unwrap();
        hold.wait_reached();
        disk.inject(Fault::new(When::nth(OperationKind::SyncDir, 1), FaultError::EIO));
        drop(hold);
        first.wait_idle();
        let before = changes(&disk);
        let error = first.insert([2; 32]).unwrap_err();
        assert!(matches!(error, Error::Poisoned { .. }), "{}", words(&error));
        assert!(first.flush().is_err() && first.checkpoint().is_err());
        assert_eq!(changes(&disk), before);
        drop(first);
        let again = Store::open(config(disk)).unwrap();
        assert_eq!(again.size(), TreeSize(1101));
    }
}
