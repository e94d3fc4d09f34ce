//! Copies of a running store: whole, durable, and apart from the original.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use duramen::fs::{FileKind, FileName};
use duramen::scrub::{self, Options};
use duramen::testing::sim::SimDisk;
use duramen::{
    Accumulator, Arity, BackupInfo, Blake3, CheckpointPolicy, CompactionPolicy, Config, Error,
    FlushPolicy, Hash, LeafIndex, Problem, TreeHead,
};
use testkit::stores::{copy_of, leaves, root_of};

type Store = Accumulator<Blake3, 4>;

fn config(dir: &Path) -> Config {
    Config::new(dir)
        .flush_policy(FlushPolicy::Manual)
        .checkpoint_policy(CheckpointPolicy::manual().on_close(false))
        .wal_segment_bytes(16 << 10)
        .unwrap()
        .wal_spare_bytes(64 << 10)
}

fn open(dir: &Path) -> Store {
    Store::open(config(dir).create(false)).unwrap()
}

fn head_of(leaves: &[Hash]) -> TreeHead {
    TreeHead { size: (leaves.len() as u64).into(), root: root_of(&Blake3, Arity::Four, leaves) }
}

/// The copy opens in every way, and has `leaves`.
/// The head of the one tree of a copy.
pub(crate) fn head_in(info: &BackupInfo) -> TreeHead {
    assert_eq!(info.head.trees().len(), 1);
    info.head.tree("main").unwrap().head
}

fn check(dir: &Path, info: &BackupInfo, leaves: &[Hash]) {
    assert_eq!(head_in(info), head_of(leaves));
    let reader = Store::open_read_only(Config::new(dir)).unwrap();
    assert_eq!(reader.head().unwrap(), head_in(info));
    assert_eq!(reader.durable_size(), head_in(info).size, "a copy is closed in order");
    let go_on = &mut |_| std::ops::ControlFlow::Continue(());
    let report = scrub::run(&Config::new(dir), &Options::new(), go_on).unwrap();
    assert!(report.is_clean(), "{:#?}", report.findings);
    assert!(duramen::inspect::survey(&Config::new(dir)).unwrap().is_clean());

    let store = open(dir);
    assert!(store.recovery().clean && store.recovery().removed.is_empty());
    assert_eq!(store.head().unwrap(), head_in(info));
    assert_eq!(store.leaves(0..leaves.len() as u64).unwrap(), leaves);
    for at in (0..leaves.len()).step_by(1 + leaves.len() / 50) {
        let index = LeafIndex(at as u64);
        let proof = store.prove(index).unwrap();
        proof.verify(&Blake3, Arity::Four, &head_in(info), index, &leaves[at]).unwrap();
    }
    store.close().unwrap();
}

/// A store with `parts` parts and more in the log.
fn store(dir: &Path, parts: usize) -> (Store, Vec<Hash>) {
    let store = Store::open(config(dir)).unwrap();
    let all = leaves(parts * 700 + 90, 3);
    for leaves in all[..parts * 700].chunks(700) {
        store.insert_many(leaves).unwrap();
        store.checkpoint().unwrap();
    }
    for leaves in all[parts * 700..].chunks(40) {
        store.insert_many(leaves).unwrap();
        store.flush().unwrap();
    }
    (store, all)
}

fn files(dir: &Path) -> Vec<std::path::PathBuf> {
    let inner = |dir: std::path::PathBuf| std::fs::read_dir(dir).unwrap();
    let entries = ["manifest", "wal", "parts"].into_iter().flat_map(|name| inner(dir.join(name)));
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn a_copy_has_what_was_inserted_before_it_and_shares_the_parts() {
    let dir = tempfile::tempdir().unwrap();
    let (store, mut all) = store(&dir.path().join("store"), 3);
    // Neither flushed nor checkpointed.
    let late = leaves(25, 9);
    store.insert_many(&late).unwrap();
    all.extend(late);
    let copy = dir.path().join("several/new/directories");
    let info = store.snapshot_to(&copy).unwrap();
    assert_eq!(info.parts, 3);
    let linked: u64 = files(&copy)
        .into_iter()
        .filter(|file| file.extension().unwrap() == "part")
        .map(|file| {
            let other = dir.path().join("store/parts").join(file.file_name().unwrap());
            assert_eq!(file.metadata().unwrap().ino(), other.metadata().unwrap().ino());
            file.metadata().unwrap().len()
        })
        .sum();
    assert_eq!(info.bytes_linked, linked);
    assert!(info.bytes_copied > 115 * 32 && info.bytes_copied < 64 << 10, "{info:?}");
    for file in files(&copy) {
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
    assert_eq!(copy.metadata().unwrap().permissions().mode() & 0o777, 0o700);
    check(&copy, &info, &all);
    store.close().unwrap();
}

/// As real file systems that cannot link, simulated ones copy the bytes.
#[test]
fn a_part_that_ends_early_is_damage_that_a_copy_finds_whichever_tree_it_is_of() {
    let disk = SimDisk::new();
    let on = |disk: &SimDisk| config(Path::new("store")).file_system(Arc::new(disk.clone()));
    let store = duramen::Store::open(on(&disk)).unwrap();
    for (tree, count) in [("main", 300), ("another", 200)] {
        store.tree::<Blake3, 4>(tree).unwrap().insert_many(&leaves(count, 1)).unwrap();
    }
    store.checkpoint().unwrap();
    store.close().unwrap();
    let part = FileName::new(FileKind::Part, 2);
    let whole = disk.read(part).unwrap();
    let expected = whole.len() as u64;
    for found in [0, 1, expected / 2, expected - 1] {
        disk.put(part, &whole[..usize::try_from(found).unwrap()]);
        let reader = Store::open_read_only(on(&disk)).unwrap();
        let error = reader.snapshot_to_config(&on(&SimDisk::new())).unwrap_err();
        let Error::Damaged(damage) = &error else { panic!("{error:?}") };
        assert_eq!(damage.problem, Problem::Truncated { expected, found });
        assert!(damage.file.ends_with(part.to_string()), "{error}");
    }
}

#[test]
fn a_copy_and_its_original_go_on_apart() {
    let dir = tempfile::tempdir().unwrap();
    let (path, copy) = (dir.path().join("store"), dir.path().join("copy"));
    let (store, all) = store(&path, 2);
    store.snapshot_to(&copy).unwrap();
    let other = open(&copy);
    let (mut here, mut there) = (all.clone(), all);
    // Enough to merge parts, which removes those that were linked, and to use segments again.
    for round in 0..8 {
        for (store, all, seed) in [(&store, &mut here, round), (&other, &mut there, 100 + round)] {
            let new = leaves(600, seed);
            store.insert_many(&new).unwrap();
            all.extend(new);
            store.checkpoint().unwrap();
            store.insert_durable([9; 32]).unwrap();
            all.push([9; 32]);
        }
    }
    store.close().unwrap();
    other.close().unwrap();
    for (dir, leaves) in [(&path, here), (&copy, there)] {
        let store = open(dir);
        assert_eq!(store.head().unwrap(), head_of(&leaves));
        assert_eq!(store.leaves(0..leaves.len() as u64).unwrap(), leaves);
        store.close().unwrap();
    }
}

#[test]
fn copies_of_an_empty_store_a_reopened_one_and_a_copy_are_stores() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let empty = Store::open(config(&path("store"))).unwrap();
    check(&path("empty"), &empty.snapshot_to(path("empty")).unwrap(), &[]);
    empty.close().unwrap();

    // What runs and crashes have left: several stretches of log.
    let mut all = Vec::new();
    let mut last = path("store");
    for round in 0..4 {
        let store = open(&last);
        let new = leaves(300, round);
        store.insert_many(&new).unwrap();
        all.extend(new);
        store.flush().unwrap();
        let killed = copy_of(&last);
        store.close().unwrap();
        // After an unclean stop, with nothing inserted since.
        let store = open(killed.path());
        assert!(!store.recovery().clean);
        let name = format!("unclean {round}");
        check(&path(&name), &store.snapshot_to(path(&name)).unwrap(), &all);
        store.insert_durable([7; 32]).unwrap();
        all.push([7; 32]);
        last = path(&format!("next {round}"));
        let info = store.snapshot_to(&last).unwrap();
        store.close().unwrap();
        check(&last, &info, &all);
    }
}

#[test]
fn a_store_is_copied_again_and_again_while_threads_insert_and_parts_are_merged() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let config = Config::new(&path)
        .flush_policy(FlushPolicy::interval(std::time::Duration::from_millis(1)).unwrap())
        .checkpoint_policy(CheckpointPolicy::manual().every_leaves(2500).unwrap().on_close(false))
        .compaction_policy(CompactionPolicy::tiered(2).unwrap())
        .wal_segment_bytes(16 << 10)
        .unwrap()
        .wal_spare_bytes(32 << 10);
    let store = Arc::new(Store::open(config).unwrap());
    let (stop, inserted) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let writers: Vec<_> = [0, 7, 14]
        .into_iter()
        .map(|writer| {
            let store = Arc::clone(&store);
            let (stop, inserted) = (Arc::clone(&stop), Arc::clone(&inserted));
            std::thread::spawn(move || {
                let mut round = 0;
                while !stop.load(Ordering::Relaxed) {
                    let batch = leaves(1 + (round * 31 + writer) % 90, 1);
                    let end = store.insert_many(&batch).unwrap().range.end;
                    inserted.fetch_max(end, Ordering::Relaxed);
                    round += 1;
                    // A disk is filled soon otherwise.
                    std::thread::sleep(std::time::Duration::from_millis(2));
                }
            })
        })
        .collect();
    let mut copies = Vec::new();
    for round in 0..30_u64 {
        let before = inserted.load(Ordering::Relaxed);
        let copy = dir.path().join(format!("copy {round}"));
        // From inside and from outside.
        let info = if round % 3 == 2 {
            Store::open_read_only(Config::new(&path)).unwrap().snapshot_to(&copy).unwrap()
        } else {
            let info = store.snapshot_to(&copy).unwrap();
            assert!(head_in(&info).size.get() >= before, "{info:?}, {before} inserted before");
            info
        };
        copies.push((copy, info));
        // So that much happens between two copies as well.
        while inserted.load(Ordering::Relaxed) < 800 * (round + 1) {
            std::thread::yield_now();
        }
    }
    stop.store(true, Ordering::Relaxed);
    writers.into_iter().for_each(|writer| writer.join().unwrap());
    store.flush().unwrap();
    let all = store.leaves(0..store.size().get()).unwrap();
    let stats = store.stats();
    assert!(stats.checkpoints > 3, "{stats:?}");
    for (copy, info) in copies {
        check(&copy, &info, &all[..usize::try_from(head_in(&info).size.get()).unwrap()]);
    }
    Arc::into_inner(store).unwrap().close().unwrap();
    assert!(scrub_is_clean(&path));
    let kept = files(&path).len();
    let store = open(&path);
    assert!(store.recovery().removed.is_empty(), "{:?} of {kept}", store.recovery());
    store.close().unwrap();
}

fn scrub_is_clean(dir: &Path) -> bool {
    let go_on = &mut |_| std::ops::ControlFlow::Continue(());
    scrub::run(&Config::new(dir), &Options::new(), go_on).unwrap().is_clean()
}

#[test]
fn a_directory_that_holds_anything_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let (store, all) = store(&path, 1);
    let refuse = |target: &Path| {
        let before = std::fs::read_dir(target).unwrap().count();
        let error = store.snapshot_to(target).unwrap_err();
        assert!(matches!(error, Error::NotEmpty { .. }), "{error}");
        assert_eq!(std::fs::read_dir(target).unwrap().count(), before);
    };
    refuse(&path);
    let copy = dir.path().join("copy");
    let info = store.snapshot_to(&copy).unwrap();
    refuse(&copy);
    check(&copy, &info, &all);
    let mine = dir.path().join("mine");
    std::fs::create_dir(&mine).unwrap();
    std::fs::write(mine.join("notes.txt"), "mine").unwrap();
    refuse(&mine);
    assert_eq!(std::fs::read_to_string(mine.join("notes.txt")).unwrap(), "mine");
    let error = store.snapshot_to(mine.join("notes.txt")).unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error}");
    // One that is locked is in use.
    let empty = dir.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    let lock = std::fs::File::create(empty.join("LOCK")).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive).unwrap();
    let error = store.snapshot_to(&empty).unwrap_err();
    assert!(matches!(error, Error::Locked { .. }), "{error}");
    drop(lock);
    check(&empty, &store.snapshot_to(&empty).unwrap(), &all);
    store.close().unwrap();
}

#[test]
fn a_copy_that_fails_leaves_nothing_and_the_store_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let (store, _) = store(&path, 3);
    let part = path.join("parts/00000002.part");
    let aside = path.join("aside");
    std::fs::rename(&part, &aside).unwrap();
    let copy = dir.path().join("copy");
    for planted in [false, true] {
        if planted {
            std::os::unix::fs::symlink(&aside, &part).unwrap();
        }
        let error = store.snapshot_to(&copy).unwrap_err();
        assert!(matches!(error, Error::Damaged(_) | Error::Io { .. }), "{error}");
        assert_eq!(files(&copy), Vec::<std::path::PathBuf>::new());
        let from_outside = Store::open_read_only(Config::new(&path));
        assert!(from_outside.is_err());
    }
    std::fs::remove_file(&part).unwrap();
    std::fs::rename(&aside, &part).unwrap();
    store.insert_durable([1; 32]).unwrap();
    store.checkpoint().unwrap();
    let info = store.snapshot_to(&copy).unwrap();
    assert_eq!(head_in(&info), store.head().unwrap());
    store.close().unwrap();
}

#[test]
fn onto_another_file_system_the_parts_are_copied() {
    let dir = tempfile::tempdir().unwrap();
    let (store, all) = store(&dir.path().join("store"), 3);
    let Ok(other) = tempfile::tempdir_in("/dev/shm") else {
        eprintln!("skipped: there is no /dev/shm");
        return;
    };
    if other.path().metadata().unwrap().dev() == dir.path().metadata().unwrap().dev() {
        eprintln!("skipped: temporary files are in /dev/shm");
        return;
    }
    let copy = other.path().join("copy");
    let info = store.snapshot_to(&copy).unwrap();
    assert_eq!((info.parts, info.bytes_linked), (3, 0));
    let written: u64 = files(&copy)
        .iter()
        .filter(|file| file.extension().unwrap() == "part")
        .map(|file| file.metadata().unwrap().len())
        .sum();
    assert!(info.bytes_copied > written);
    check(&copy, &info, &all);
    store.close().unwrap();
}

#[test]
fn a_store_that_nobody_has_open_is_copied_as_it_would_open() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let (store, all) = store(&path, 2);
    let killed = copy_of(&path);
    store.close().unwrap();
    for (number, source) in [&path, killed.path()].into_iter().enumerate() {
        let copy = dir.path().join(format!("copy {number}"));
        let reader = Store::open_read_only(Config::new(source)).unwrap();
        check(&copy, &reader.snapshot_to(&copy).unwrap(), &all);
    }
}
