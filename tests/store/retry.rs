//! Automatic checkpoints and merges that fail: which are retried, and what is reported of them.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use duramen::fs::FileKind;
use duramen::testing::sim::{CrashChoice, Fault, FaultError, OperationKind, SimDisk, When};
use duramen::{
    Arity, Blake3, CheckpointPolicy, CompactionPolicy, Config, DynAccumulator, Error, FlushPolicy,
    Stats,
};

const TRANSIENT: [FaultError; 5] = [
    FaultError::ENOSPC,
    FaultError::EMFILE,
    FaultError::Kind(ErrorKind::Interrupted),
    FaultError::Kind(ErrorKind::OutOfMemory),
    FaultError::Kind(ErrorKind::QuotaExceeded),
];

fn config(disk: &SimDisk) -> Config {
    Config::new("store")
        .file_system(Arc::new(disk.clone()))
        .flush_policy(FlushPolicy::Manual)
        .checkpoint_policy(CheckpointPolicy::manual().every_leaves(10).unwrap())
        .retry_wait(Duration::from_millis(1), Duration::from_millis(8))
        .unwrap()
}

fn open(config: Config) -> DynAccumulator {
    DynAccumulator::open(config, Arc::new(Blake3), Arity::Four).unwrap()
}

/// Waits for what will come; a test that waits forever fails by never ending.
fn wait_for(store: &DynAccumulator, what: impl Fn(&Stats) -> bool) -> Stats {
    loop {
        let stats = store.stats();
        if what(&stats) {
            return stats;
        }
        std::thread::yield_now();
    }
}

fn fill(store: &impl AsRef<DynAccumulator>, leaves: u8) {
    let store = store.as_ref();
    for leaf in 0..leaves {
        store.insert([leaf; 32]).unwrap();
    }
    store.flush().unwrap();
}

fn part_creation(error: FaultError) -> Fault {
    Fault::new(When::nth(OperationKind::Create, 1).on(FileKind::Part), error)
}

#[test]
fn a_checkpoint_that_fails_for_a_while_is_tried_until_it_succeeds_and_counted_once() {
    for error in TRANSIENT {
        let disk = SimDisk::new();
        let store = open(config(&disk));
        disk.inject(part_creation(error).for_ever());
        fill(&store, 10);
        let stats = wait_for(&store, |stats| stats.failed_checkpoints >= 3);
        assert_eq!(stats.checkpoints, 0, "{error:?}");
        disk.clear_faults();
        let stats = wait_for(&store, |stats| stats.checkpoints > 0);
        store.wait_idle();
        assert_eq!(store.stats().checkpoints, 1, "{error:?}");
        assert!(stats.failed_checkpoints >= 3);
        let left = disk.crash(CrashChoice::NothingKept);
        let left = open(config(&left));
        assert_eq!(left.recovery().checkpointed, 10);
    }
}

#[test]
fn a_checkpoint_that_fails_for_good_is_not_tried_again_until_one_that_is_called_for_succeeds() {
    for error in [FaultError::EIO, FaultError::EROFS, FaultError::Kind(ErrorKind::PermissionDenied)]
    {
        let disk = SimDisk::new();
        let store = open(config(&disk));
        disk.inject(part_creation(error).for_ever());
        fill(&store, 10);
        store.wait_idle();
        assert_eq!(store.stats().failed_checkpoints, 1, "{error:?}");
        for _ in 0..5 {
            fill(&store, 10);
            store.wait_idle();
        }
        assert_eq!(store.stats().failed_checkpoints, 1, "{error:?}");
        assert!(store.checkpoint().is_err());
        disk.clear_faults();
        fill(&store, 10);
        store.wait_idle();
        assert_eq!(store.stats().checkpoints, 0, "{error:?}: nobody called for one");
        assert_eq!(store.checkpoint().unwrap().leaves, 70);
        fill(&store, 10);
        store.wait_idle();
        assert_eq!(store.stats().checkpoints, 2, "{error:?}");
    }
}

#[test]
fn a_merge_that_fails_for_a_while_is_tried_until_it_succeeds() {
    for error in TRANSIENT {
        let disk = SimDisk::new();
        let config = config(&disk).compaction_policy(CompactionPolicy::tiered(2).unwrap());
        let store = open(config);
        for _ in 0..2 {
            fill(&store, 10);
            store.wait_idle();
        }
        let merge = When::nth(OperationKind::Create, 2).on(FileKind::Part);
        disk.inject(Fault::new(merge, error).for_ever());
        fill(&store, 10);
        let stats = wait_for(&store, |stats| stats.failed_compactions >= 3);
        assert_eq!((stats.compactions, stats.parts), (0, 3), "{error:?}");
        disk.clear_faults();
        let stats = wait_for(&store, |stats| stats.compactions > 0);
        assert_eq!(stats.parts, 1, "{error:?}");
    }
}

#[test]
fn a_failure_of_the_log_under_a_checkpoint_is_not_tried_again() {
    for error in TRANSIENT {
        let disk = SimDisk::new();
        let store = open(config(&disk));
        let sync = When::nth(OperationKind::Sync, 1).on(FileKind::Segment);
        disk.inject(Fault::new(sync, error));
        for leaf in 0..10 {
            store.insert([leaf; 32]).unwrap();
        }
        assert!(matches!(store.checkpoint(), Err(Error::Poisoned { .. })), "{error:?}");
        let operations = disk.operations();
        store.wait_idle();
        assert!(matches!(store.flush(), Err(Error::Poisoned { .. })));
        assert!(matches!(store.checkpoint(), Err(Error::Poisoned { .. })));
        assert_eq!(disk.operations(), operations, "{error:?}");
    }
}

#[test]
fn closing_does_not_wait_for_the_next_try() {
    let disk = SimDisk::new();
    let hour = Duration::from_secs(3600);
    let store = open(config(&disk).retry_wait(hour, hour).unwrap());
    disk.inject(part_creation(FaultError::ENOSPC));
    fill(&store, 10);
    wait_for(&store, |stats| stats.failed_checkpoints == 1);
    fill(&store, 10);
    store.wait_idle();
    assert_eq!(store.stats().checkpoints, 0, "it is put off for an hour");
    store.close().unwrap();
}

#[test]
fn errors_say_whether_they_may_go_away() {
    let disk = SimDisk::new();
    let store = open(config(&disk));
    store.insert([1; 32]).unwrap();
    let cases = TRANSIENT.map(|error| (error, true)).into_iter().chain([
        (FaultError::EIO, false),
        (FaultError::EROFS, false),
        (FaultError::EFBIG, false),
    ]);
    for (error, transient) in cases {
        disk.inject(part_creation(error));
        assert_eq!(store.checkpoint().unwrap_err().is_transient(), transient, "{error:?}");
    }
    assert!(!Error::Closed.is_transient());
}
