//! How much room the log takes, however often a store is opened.

use std::sync::Arc;

use duramen::fs::{FileKind, FileName};
use duramen::testing::sim::{CrashChoice, Fault, FaultError, OperationKind, SimDisk, When};
use duramen::{
    Arity, Blake3, CheckpointPolicy, CompactionPolicy, Config, DynAccumulator, Error, FlushPolicy,
};

fn config(disk: &SimDisk) -> Config {
    Config::new("store")
        .file_system(Arc::new(disk.clone()))
        .flush_policy(FlushPolicy::Manual)
        .checkpoint_policy(CheckpointPolicy::manual())
        .compaction_policy(CompactionPolicy::Off)
        .wal_segment_bytes(4 << 20)
        .unwrap()
}

fn open(config: Config) -> Result<DynAccumulator, Error> {
    DynAccumulator::open(config, Arc::new(Blake3), Arity::Four)
}

/// A store whose log has grown to long segments.
fn grown(disk: &SimDisk) -> DynAccumulator {
    let store = open(config(disk)).unwrap();
    for _ in 0..100 {
        store.insert_many(&[[1; 32]; 1000]).unwrap();
        store.flush().unwrap();
    }
    store.wait_idle();
    store
}

#[test]
fn starts_that_die_do_not_make_the_log_longer() {
    let first = SimDisk::new();
    drop(grown(&first));
    let mut disk = first.crash(CrashChoice::AllKept);
    let mut most = 0;
    for start in 0..20 {
        let store = open(config(&disk)).unwrap();
        let used = disk.used_space();
        disk.stop_after(0);
        drop(store);
        disk = disk.crash(CrashChoice::AllKept);
        most = if start == 0 { used } else { most };
        assert!(used <= most, "start {start}: {used} bytes, {most} before");
    }
}

#[test]
fn starts_that_insert_a_leaf_and_die_take_what_they_hold() {
    let first = SimDisk::new();
    drop(grown(&first));
    let mut disk = first.crash(CrashChoice::AllKept);
    let before = disk.used_space();
    for start in 0..20_u64 {
        let store = open(config(&disk)).unwrap();
        assert_eq!(store.size().get(), 100_000 + start);
        store.insert_durable([2; 32]).unwrap();
        store.wait_idle();
        disk.stop_after(0);
        drop(store);
        disk = disk.crash(CrashChoice::AllKept);
    }
    // A group and room for a roll frame for each, one segment, and what is made ready behind it.
    let grown = disk.used_space().saturating_sub(before);
    assert!(grown <= 20 * 3 * 4096 + (1 << 20), "{grown} bytes more");
}

#[test]
fn clean_runs_without_checkpoints_take_what_they_hold() {
    let disk = SimDisk::new();
    grown(&disk).close().unwrap();
    let before = disk.used_space();
    for run in 0..20_u64 {
        let store = open(config(&disk)).unwrap();
        assert_eq!(store.size().get(), 100_000 + run);
        store.insert_durable([2; 32]).unwrap();
        store.close().unwrap();
    }
    let grown = disk.used_space().saturating_sub(before);
    assert!(grown <= 20 * 4 * 4096 + (1 << 20), "{grown} bytes more");
}

#[test]
fn a_store_on_a_full_disk_opens_and_shows_its_leaves() {
    let first = SimDisk::new();
    let store = grown(&first);
    first.stop_after(0);
    drop(store);
    let disk = first.crash(CrashChoice::AllKept);
    disk.limit_space(Some(disk.used_space()));
    let store = open(config(&disk)).unwrap();
    assert_eq!(store.size().get(), 100_000);
    assert_eq!(store.leaf(99_999).unwrap(), [1; 32]);
    drop(store);
}

#[test]
fn an_opening_that_finds_no_room_removes_nothing_that_a_manifest_may_need() {
    let first = SimDisk::new();
    let store = grown(&first);
    store.checkpoint().unwrap();
    store.insert_many(&[[3; 32]; 1000]).unwrap();
    store.flush().unwrap();
    first.stop_after(0);
    drop(store);
    let disk = first.crash(CrashChoice::AllKept);
    let of_log = |disk: &SimDisk| -> Vec<FileName> {
        disk.files().into_iter().filter(|file| file.kind == FileKind::Segment).collect()
    };
    // The log ends in the last one that holds one of the new leaves. What is behind is for nothing.
    let holds = |file: &FileName| {
        disk.read(*file).is_some_and(|bytes| bytes.windows(32).any(|leaf| leaf == [3; 32]))
    };
    let end = of_log(&disk).into_iter().rfind(holds).unwrap();
    let segments =
        |disk: &SimDisk| of_log(disk).into_iter().filter(|file| *file <= end).collect::<Vec<_>>();
    let before = segments(&disk);
    assert!(before.len() > 1, "{before:?}: none was released and kept");
    disk.inject(
        Fault::new(When::nth(OperationKind::Create, 1).on(FileKind::Manifest), FaultError::ENOSPC)
            .for_ever(),
    );
    assert!(open(config(&disk)).is_err());
    // A power cut may bring the manifest before the newest into force, which needs them.
    assert_eq!(segments(&disk), before);
    disk.clear_faults();
    assert_eq!(open(config(&disk)).unwrap().size().get(), 101_000);
}

#[test]
fn on_a_full_disk_a_checkpoint_frees_log_and_inserts_go_on_in_it() {
    let first = SimDisk::new();
    let store = grown(&first);
    first.stop_after(0);
    drop(store);
    for checkpoint in [true, false] {
        let disk = first.crash(CrashChoice::AllKept);
        disk.limit_space(Some(disk.used_space()));
        let store = open(config(&disk)).unwrap();
        // What is left is room for the part and a manifest, and for no more log.
        let part = 100_000 * 32 * 4 / 3 + (64 << 10);
        disk.limit_space(Some(disk.used_space() + if checkpoint { part } else { 0 }));
        if checkpoint {
            assert_eq!(store.checkpoint().unwrap().leaves, 100_000);
            store.wait_idle();
        }
        let used = disk.used_space();
        let inserted = (0..80)
            .all(|_| store.insert_many(&[[2; 32]; 1000]).is_ok_and(|_| store.flush().is_ok()));
        assert!(
            disk.used_space() < used + (128 << 10),
            "{} bytes, {used} before",
            disk.used_space()
        );
        // 2.6 MB of log.
        assert_eq!(inserted, checkpoint);
        let durable = store.durable_size().get();
        assert_eq!(durable == 180_000, checkpoint, "{durable}");
        disk.stop_after(0);
        drop(store);
        let left = disk.crash(CrashChoice::AllKept);
        assert_eq!(open(config(&left)).unwrap().size().get(), durable);
    }
}

#[test]
fn the_log_found_at_opening_counts_for_the_policy() {
    let disk = SimDisk::new();
    grown(&disk).close().unwrap();
    // The log has more than 3 MB.
    let policy = CheckpointPolicy::manual().wal_bytes(1 << 20).unwrap();
    let store = open(config(&disk).checkpoint_policy(policy)).unwrap();
    store.insert_durable([2; 32]).unwrap();
    store.wait_idle();
    assert!(store.stats().checkpoints >= 1, "{:?}", store.stats());
    store.close().unwrap();
}

#[test]
fn a_segment_that_could_not_be_shortened_is_removed_and_never_used_again() {
    let first = SimDisk::new();
    drop(grown(&first));
    let mut removed = 0;
    for number in 1..8 {
        let disk = first.crash(CrashChoice::AllKept);
        let start = disk.trace().len();
        let allocate = When::nth(OperationKind::Allocate, number).on(FileKind::Segment);
        disk.inject(Fault::new(allocate, FaultError::EIO));
        let Ok(store) = open(config(&disk)) else { continue };
        store.wait_idle();
        for _ in 0..3 {
            if store.insert_durable([2; 32]).is_err() || store.checkpoint().is_err() {
                break;
            }
            for _ in 0..20 {
                let _ = store.insert_many(&[[3; 32]; 1000]).map(drop);
                let _ = store.flush();
            }
            store.wait_idle();
        }
        let trace = disk.trace();
        let on_segments = trace[start..].iter().enumerate().filter(|(_, operation)| {
            operation.kind() == OperationKind::Allocate
                && operation.file().is_some_and(|file| file.kind == FileKind::Segment)
        });
        let nth = usize::try_from(number - 1).unwrap();
        let Some((at, failed)) =
            on_segments.map(|(at, operation)| (start + at, operation)).nth(nth)
        else {
            continue;
        };
        println!("{number}: {failed}");
        for later in trace[at + 1..].iter().filter(|later| later.file() == failed.file()) {
            assert_eq!(later.kind(), OperationKind::Remove, "{failed} failed, then {later}");
            removed += 1;
        }
    }
    assert!(removed > 0, "no call that shortens failed");
}

#[test]
fn an_opening_that_fails_behind_the_name_of_its_manifest_leaves_the_segment_that_it_names() {
    let first = SimDisk::new();
    let store = grown(&first);
    first.stop_after(0);
    drop(store);
    let mut failed = 0;
    for kind in [OperationKind::SyncDir, OperationKind::Rename, OperationKind::Sync] {
        for number in 1..6 {
            let disk = first.crash(CrashChoice::AllKept);
            disk.inject(Fault::new(When::nth(kind, number), FaultError::EIO));
            if let Ok(store) = open(config(&disk)) {
                drop(store);
                continue;
            }
            failed += 1;
            let store =
                open(config(&disk)).unwrap_or_else(|error| panic!("{kind:?} {number}: {error}"));
            assert_eq!(store.size().get(), 100_000, "{kind:?} {number}");
        }
    }
    assert!(failed >= 3, "{failed} openings failed");
}
