//! An older backup becomes a newer one: at every moment of it the directory has the one or the other.

use std::sync::Arc;

use duramen::fs::{FileKind, FileName};
use duramen::testing::sim::{CrashChoice, Fault, FaultError, SimDisk, When};
use duramen::{
    Arity, Blake3, CheckpointPolicy, CompactionPolicy, Config, DynAccumulator, EntryConfig, Error,
    FlushPolicy, Hash, Problem, Store, StoreReader, TreeConfig,
};
use testkit::stores::{leaves, root_of};

fn config(disk: &SimDisk) -> Config {
    Config::new("simulated")
        .file_system(Arc::new(disk.clone()))
        .flush_policy(FlushPolicy::Manual)
        .checkpoint_policy(CheckpointPolicy::manual().on_close(false))
        .compaction_policy(CompactionPolicy::tiered(2).unwrap())
        .wal_segment_bytes(8 << 10)
        .unwrap()
        .wal_spare_bytes(32 << 10)
}

fn open(disk: &SimDisk) -> Result<DynAccumulator, Error> {
    DynAccumulator::open(config(disk), Arc::new(Blake3), Arity::Four)
}

/// Appends leaves in groups, over several segments of the log.
fn grow(store: &DynAccumulator, all: &mut Vec<Hash>, count: usize, checkpoint: bool) {
    let new = leaves(count, all.len() as u64 + 1);
    for leaves in new.chunks(25) {
        store.insert_many(leaves).unwrap();
        store.flush().unwrap();
    }
    all.extend(new);
    if checkpoint {
        store.checkpoint().unwrap();
    }
    store.wait_idle();
}

fn update(from: &SimDisk, to: &SimDisk) -> Result<duramen::BackupInfo, Error> {
    StoreReader::open(config(from))?.update_backup_config(&config(to))
}

/// How many leaves the copy on this disk has, which are the first of `all`. It opens, goes on, and opens again.
fn size(disk: &SimDisk, all: &[Hash], what: &str) -> usize {
    let store = open(disk).unwrap_or_else(|error| panic!("{what}: {error}"));
    let size = usize::try_from(store.size().get()).unwrap();
    assert_eq!(store.leaves(0..size as u64).unwrap(), all[..size], "{what}");
    assert_eq!(store.head().unwrap().root, root_of(&Blake3, Arity::Four, &all[..size]), "{what}");
    store.insert_durable([1; 32]).unwrap();
    store.close().unwrap();
    assert_eq!(open(disk).unwrap().size().get(), size as u64 + 1, "{what}");
    size
}

fn names(disk: &SimDisk, kind: FileKind) -> Vec<FileName> {
    disk.files().into_iter().filter(|name| name.kind == kind).collect()
}

#[test]
fn a_backup_is_brought_up_to_date_again_and_again() {
    let (disk, backup) = (SimDisk::new(), SimDisk::new());
    let store = open(&disk).unwrap();
    let mut all = Vec::new();
    for round in 0..12 {
        grow(&store, &mut all, 130, round % 3 != 2);
        let before = names(&backup, FileKind::Part);
        let info = update(&disk, &backup).unwrap();
        assert_eq!(info.head, StoreReader::open(config(&disk)).unwrap().head().unwrap());
        let is_kept = names(&backup, FileKind::Part).iter().any(|part| before.contains(part));
        assert_eq!(info.bytes_kept > 0, is_kept, "round {round}: {info:?}");
        // Nothing is left of the copy before, and the numbers of segments do not run away.
        let manifests = names(&backup, FileKind::Manifest);
        assert_eq!(manifests.len(), 1, "{manifests:?}");
        let parts = names(&backup, FileKind::Part).len() as u64;
        assert_eq!(parts, info.parts);
        assert!(names(&backup, FileKind::Segment).iter().all(|name| name.number < 1000));
        // Twice without anything new.
        let again = update(&disk, &backup).unwrap();
        assert_eq!((again.head, again.bytes_linked), (info.head, 0));
        let image = backup.crash(CrashChoice::NothingKept);
        assert_eq!(size(&image, &all, "brought up to date"), all.len());
    }
    store.close().unwrap();
}

#[test]
fn a_power_cut_at_any_moment_leaves_the_older_backup_or_the_newer_one() {
    let (disk, backup) = (SimDisk::new(), SimDisk::new());
    let store = open(&disk).unwrap();
    let mut all = Vec::new();
    grow(&store, &mut all, 150, true);
    grow(&store, &mut all, 100, false);
    update(&disk, &backup).unwrap();
    let older = all.len();
    grow(&store, &mut all, 50, true);
    grow(&store, &mut all, 125, false);
    backup.record();
    let before = backup.operations();
    update(&disk, &backup).unwrap();
    let done = backup.operations();
    let mut newer = 0;
    let choices = [CrashChoice::NothingKept, CrashChoice::AllKept];
    for choice in choices.into_iter().chain((0..8).map(CrashChoice::Seeded)) {
        for moment in before..=done {
            let what = format!("{moment} of {before} to {done} operations, {choice:?}");
            let image = backup.crash_at(moment, choice).unwrap();
            // It can be updated as it is.
            let again = backup.crash_at(moment, choice).unwrap();
            update(&disk, &again).unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_eq!(size(&again, &all, &what), all.len(), "{what}");
            let found = size(&image, &all, &what);
            assert!(found == older || found == all.len(), "{what}: {found} leaves");
            newer += usize::from(found != older);
            assert!(moment < done || found == all.len(), "{what}: what was reported is gone");
        }
    }
    assert!(newer > 10);
    store.close().unwrap();
}

#[test]
fn any_operation_that_fails_leaves_the_older_backup_or_the_newer_one() {
    let (disk, backup) = (SimDisk::new(), SimDisk::new());
    let store = open(&disk).unwrap();
    let mut all = Vec::new();
    grow(&store, &mut all, 150, true);
    update(&disk, &backup).unwrap();
    let older = all.len();
    grow(&store, &mut all, 125, false);
    let copy = || backup.crash(CrashChoice::AllKept);
    let operations = {
        let image = copy();
        let before = image.operations();
        update(&disk, &image).unwrap();
        before..image.operations()
    };
    for number in operations {
        for error in [FaultError::EIO, FaultError::ENOSPC] {
            let what = format!("{error:?} at {number}");
            let image = copy();
            image.inject(Fault::new(When::operation(number + 1), error).for_ever());
            let _ = update(&disk, &image);
            image.clear_faults();
            let found = size(&image.crash(CrashChoice::AllKept), &all, &what);
            assert!(found == older || found == all.len(), "{what}: {found} leaves");
            update(&disk, &image).unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_eq!(size(&image, &all, &what), all.len(), "{what}");
        }
    }
    store.close().unwrap();
}

#[test]
fn what_is_no_older_backup_of_the_store_is_refused_and_stays() {
    let (disk, backup, other) = (SimDisk::new(), SimDisk::new(), SimDisk::new());
    let store = open(&disk).unwrap();
    let mut all = Vec::new();
    grow(&store, &mut all, 150, true);
    open(&other).unwrap().close().unwrap();
    let before = other.files();
    let refused = update(&disk, &other).unwrap_err();
    assert!(matches!(refused, Error::BackupOfOther { .. }), "{refused}");
    assert_eq!(other.files(), before);
    // A backup that went on by itself.
    update(&disk, &backup).unwrap();
    let went_on = open(&backup).unwrap();
    went_on.insert_durable([9; 32]).unwrap();
    let locked = update(&disk, &backup).unwrap_err();
    assert!(matches!(locked, Error::Locked { .. } | Error::BackupDiverged { .. }), "{locked}");
    went_on.close().unwrap();
    grow(&store, &mut all, 25, true);
    let refused = update(&disk, &backup).unwrap_err();
    assert!(matches!(&refused, Error::BackupDiverged { tree, .. } if tree.as_str() == "main"));
    assert!(refused.to_string().contains("has leaves that the store does not have"), "{refused}");
    assert_eq!(open(&backup).unwrap().size().get(), 151);
    store.close().unwrap();
}

/// A store with entries in the tree `main` and nothing in `empty`, and a backup of it.
fn with_entries(disk: &SimDisk, backup: &SimDisk) -> Store {
    let store = Store::open(config(disk)).unwrap();
    let kept = TreeConfig::new(Arc::new(Blake3), Arity::Four).entries(EntryConfig::new());
    let main = store.tree_dyn("main", kept).unwrap();
    main.insert_entries(&["one", "two", "three"]).unwrap();
    store.tree_dyn("empty", TreeConfig::new(Arc::new(Blake3), Arity::Four)).unwrap();
    store.checkpoint().unwrap();
    update(disk, backup).unwrap();
    store
}

#[test]
fn what_only_the_older_backup_has_is_never_lost() {
    let plain = || TreeConfig::new(Arc::new(Blake3), Arity::Four);
    type GoOn = fn(&Store);
    let by_itself: [(&str, &str, GoOn); 4] = [
        ("own", "is not one of the store's", |copy| {
            let plain = TreeConfig::new(Arc::new(Blake3), Arity::Four);
            copy.tree_dyn("own", plain).unwrap().insert([1; 32]).unwrap();
        }),
        ("main", "has erased entries that the store still has", |copy| {
            drop(copy.existing_tree("main").unwrap().erase(1..2, "asked for").unwrap());
        }),
        ("empty", "is sealed, and that of the store is not", |copy| {
            drop(copy.seal("empty").unwrap());
        }),
        ("main", "has leaves that the store does not have", |copy| {
            copy.existing_tree("main").unwrap().insert_entries(&["four"]).unwrap();
        }),
    ];
    for (tree, what, go_on) in by_itself {
        let (disk, backup) = (SimDisk::new(), SimDisk::new());
        let store = with_entries(&disk, &backup);
        let copy = Store::open(config(&backup)).unwrap();
        go_on(&copy);
        copy.flush().unwrap();
        copy.close().unwrap();
        let has = |disk: &SimDisk| {
            let reader = StoreReader::open(config(disk)).unwrap();
            (reader.head().unwrap(), reader.trees().unwrap())
        };
        let before = has(&backup);
        let refused = update(&disk, &backup).unwrap_err();
        assert!(
            matches!(&refused, Error::BackupDiverged { tree: of, .. } if of.as_str() == tree),
            "{what}: {refused}"
        );
        assert!(refused.to_string().ends_with(what), "{refused}");
        assert_eq!(has(&backup), before, "{what}");
        // The store may have made another tree under the same number.
        store.tree_dyn("later", plain()).unwrap();
        store.flush().unwrap();
        update(&disk, &backup).unwrap_err();
        assert_eq!(has(&backup), before, "{what}");
        store.close().unwrap();
    }
}

#[test]
fn a_tree_that_was_dropped_and_made_anew_and_what_was_erased_are_brought_up_to_date() {
    let (disk, backup) = (SimDisk::new(), SimDisk::new());
    let store = with_entries(&disk, &backup);
    drop(store.existing_tree("main").unwrap().erase(0..1, "asked for").unwrap());
    drop(store.seal("empty").unwrap());
    update(&disk, &backup).unwrap();
    drop(store.drop_tree("main").unwrap());
    let plain = TreeConfig::new(Arc::new(Blake3), Arity::Two);
    store.tree_dyn("main", plain).unwrap().insert([9; 32]).unwrap();
    store.flush().unwrap();
    let info = update(&disk, &backup).unwrap();
    assert_eq!(info.head, store.head().unwrap());
    assert_eq!(StoreReader::open(config(&backup)).unwrap().head().unwrap(), info.head);
    store.close().unwrap();
}

#[test]
fn a_backup_that_was_not_finished_is_called_that() {
    let disk = SimDisk::new();
    let store = open(&disk).unwrap();
    grow(&store, &mut Vec::new(), 150, true);
    let unfinished = |error: Error| match error {
        Error::Damaged(damage) => damage.problem == Problem::UnfinishedBackup,
        _ => false,
    };
    let mut found = 0;
    for last in 1..200 {
        let backup = SimDisk::new();
        backup.stop_after(last);
        if update(&disk, &backup).is_ok() {
            break;
        }
        let image = backup.crash(CrashChoice::AllKept);
        let of = |kind| !names(&image, kind).is_empty();
        if of(FileKind::Part) && !of(FileKind::Manifest) {
            found += 1;
            assert!(unfinished(open(&image).unwrap_err()), "{:?}", image.files());
            assert!(unfinished(StoreReader::open(config(&image)).unwrap_err()));
            assert!(unfinished(update(&disk, &image).unwrap_err()));
        }
    }
    assert!(found > 3, "{found}");
    store.close().unwrap();
}
