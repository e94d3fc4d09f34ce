//! How much may wait before inserts slow down, stop and fail; and that memory stays bounded.

use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use duramen::fs::FileKind;
use duramen::testing::sim::{CrashChoice, Fault, FaultError, OperationKind, SimDisk, When};
use duramen::{
    Arity, Blake3, CheckpointPolicy, CheckpointReason, CompactionPolicy, Config, DynAccumulator,
    Error, Event, FlushPolicy, Limit, Store, TreeConfig, TreeName,
};
use testkit::stores::leaves;

const SOON: Duration = Duration::from_millis(20);
const LIMIT: u64 = 64 << 10;

fn config(disk: &SimDisk) -> Config {
    Config::new("store")
        .file_system(Arc::new(disk.clone()))
        .flush_policy(FlushPolicy::interval(Duration::from_millis(1)).unwrap())
        .checkpoint_policy(CheckpointPolicy::manual())
        .compaction_policy(CompactionPolicy::Off)
}

fn open(config: Config) -> DynAccumulator {
    DynAccumulator::open(config, Arc::new(Blake3), Arity::Four).unwrap()
}

fn part(kind: OperationKind) -> When {
    When::nth(kind, 1).on(FileKind::Part)
}

/// Inserts leaf by leaf until one is refused.
fn insert_until_refused(store: &impl AsRef<DynAccumulator>, from: u64) -> (u64, Error) {
    let store = store.as_ref();
    let mut at = from;
    loop {
        match store.insert([7; 32]) {
            Ok(_) => at += 1,
            Err(error) => return (at, error),
        }
    }
}

#[test]
fn memory_stays_bounded_while_the_sync_of_a_checkpoint_hangs() {
    let disk = SimDisk::new();
    let store = open(
        config(&disk)
            .checkpoint_policy(CheckpointPolicy::manual().every_leaves(100).unwrap())
            .max_uncheckpointed_bytes(LIMIT)
            .unwrap()
            .backpressure_wait(SOON),
    );
    let hold = disk.hold(part(OperationKind::Sync));
    let (count, error) = insert_until_refused(&store, 0);
    hold.wait_reached();
    assert!(
        matches!(error, Error::Backpressure { limit: Limit::UncheckpointedBytes, .. }),
        "{error}"
    );
    let stats = store.stats();
    assert_eq!(stats.leaves, count);
    assert!(stats.uncheckpointed_bytes >= LIMIT && stats.uncheckpointed_bytes < LIMIT + 64);
    assert_eq!((stats.refused, stats.checkpoints), (1, 0));
    // The log goes on, and so do readers; what was refused repeatedly takes no room.
    for _ in 0..3 {
        assert!(store.insert([8; 32]).is_err());
    }
    assert_eq!(store.stats().uncheckpointed_bytes, stats.uncheckpointed_bytes);
    store.flush().unwrap();
    assert_eq!(store.head().unwrap().size.get(), count);
    hold.release();
    store.wait_idle();
    store.insert_many(&leaves(100, 1)).unwrap();
    assert!(store.stats().uncheckpointed_bytes < LIMIT);
    store.close().unwrap();
    let left = open(config(&disk.crash(CrashChoice::NothingKept)));
    assert_eq!(left.size().get(), count + 100);
}

#[test]
fn memory_stays_bounded_while_the_sync_of_the_log_hangs() {
    let disk = SimDisk::new();
    let store = open(config(&disk).max_unflushed_bytes(LIMIT).unwrap().backpressure_wait(SOON));
    let hold = disk.hold(When::nth(OperationKind::Sync, 1).on(FileKind::Segment));
    let (count, error) = insert_until_refused(&store, 0);
    assert!(matches!(error, Error::Backpressure { limit: Limit::UnflushedBytes, .. }), "{error}");
    hold.wait_reached();
    assert!(store.stats().unflushed_bytes <= LIMIT);
    // One group is under way and one waits.
    assert!(count * 32 <= 2 * LIMIT, "{count} leaves");
    hold.release();
    store.flush().unwrap();
    store.insert([9; 32]).unwrap();
    assert_eq!(store.size().get(), count + 1);
}

#[test]
fn a_limit_alone_makes_checkpoints_with_its_reason_and_never_stops_for_good() {
    let disk = SimDisk::new();
    for flush in [FlushPolicy::Manual, FlushPolicy::interval(Duration::from_millis(1)).unwrap()] {
        let disk = SimDisk::new();
        let store =
            open(config(&disk).flush_policy(flush).max_uncheckpointed_bytes(LIMIT).unwrap());
        let all = leaves(20_000, 2);
        for (number, batch) in all.chunks(7).enumerate() {
            store.insert_many(batch).unwrap();
            // Checkpoints reach no further than this.
            if flush == FlushPolicy::Manual && number % 20 == 0 {
                store.flush().unwrap();
            }
        }
        store.wait_idle();
        let stats = store.stats();
        assert!(stats.checkpoints >= 5, "{stats:?}");
        assert_eq!(stats.checkpoints_for(CheckpointReason::Backpressure), stats.checkpoints);
        assert_eq!(store.leaves(0..20_000).unwrap(), all);
    }
    let store = open(config(&disk).flush_policy(FlushPolicy::Manual));
    store.insert_many(&leaves(20_000, 2)).unwrap();
    store.flush().unwrap();
    store.wait_idle();
    assert_eq!(store.stats().checkpoints, 0, "no limit, no checkpoint");
}

#[test]
fn a_batch_larger_than_the_limit_is_taken_whole() {
    let disk = SimDisk::new();
    let store = open(config(&disk).max_uncheckpointed_bytes(640).unwrap());
    for seed in 0..3 {
        store.insert_many(&leaves(500, seed)).unwrap();
    }
    assert_eq!(store.size().get(), 1500);
}

#[test]
fn inserts_slow_down_before_they_stop() {
    let disk = SimDisk::new();
    let limit = 1 << 20;
    let store =
        open(config(&disk).max_uncheckpointed_bytes(limit).unwrap().backpressure_wait(SOON));
    let hold = disk.hold(part(OperationKind::Sync));
    while store.stats().uncheckpointed_bytes < limit / 4 {
        assert_eq!(store.stats().slowdowns, 0);
        store.insert_many(&leaves(100, 1)).unwrap();
    }
    let (_, error) = insert_until_refused(&store, 0);
    assert!(matches!(error, Error::Backpressure { .. }));
    hold.wait_reached();
    let stats = store.stats();
    assert!(stats.slowdowns > 0 && !stats.slowdown_time.is_zero(), "{stats:?}");
    assert_eq!(stats.refused, 1);
}

#[test]
fn when_checkpoints_fail_for_good_an_insert_at_the_limit_says_so_at_once() {
    let disk = SimDisk::new();
    // Without a limit on waiting: it must not wait for what will not come.
    let store = open(config(&disk).max_uncheckpointed_bytes(LIMIT).unwrap());
    disk.inject(Fault::new(part(OperationKind::Create), FaultError::EIO).for_ever());
    let (count, error) = insert_until_refused(&store, 0);
    assert!(matches!(error, Error::CheckpointsFail { held, .. } if held >= LIMIT), "{error}");
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains("create"), "{source}");
    assert!(store.stats().checkpoint_jobs.suspended);
    store.flush().unwrap();
    disk.clear_faults();
    assert!(store.insert([1; 32]).is_err(), "nobody has called for a checkpoint");
    assert_eq!(store.checkpoint().unwrap().leaves, count);
    assert!(!store.stats().checkpoint_jobs.suspended);
    store.insert([1; 32]).unwrap();
}

#[test]
fn a_checkpoint_that_fails_for_a_while_holds_inserts_up_and_no_longer() {
    let disk = SimDisk::new();
    let wait = Duration::from_millis(1);
    let store = open(
        config(&disk).max_uncheckpointed_bytes(LIMIT).unwrap().retry_wait(wait, wait).unwrap(),
    );
    disk.inject(Fault::new(part(OperationKind::Create), FaultError::ENOSPC).for_ever());
    thread::scope(|scope| {
        let inserting = scope.spawn(|| {
            leaves(5000, 3).chunks(10).for_each(|batch| drop(store.insert_many(batch).unwrap()));
        });
        while store.stats().failed_checkpoints < 3 {
            thread::yield_now();
        }
        assert!(!inserting.is_finished());
        assert!(store.stats().uncheckpointed_bytes < LIMIT + 640);
        disk.clear_faults();
        inserting.join().unwrap();
    });
    assert_eq!(store.size().get(), 5000);
    assert!(store.stats().checkpoint_jobs.retries >= 2);
}

#[test]
fn too_many_parts_stop_inserts_until_they_are_merged() {
    let disk = SimDisk::new();
    let log = Arc::new(Mutex::new(Vec::new()));
    let events = Arc::clone(&log);
    let config = config(&disk)
        .compaction_policy(CompactionPolicy::tiered(2).unwrap().max_parts(34).unwrap())
        .backpressure_wait(SOON)
        .listener(move |event: &Event| match event {
            Event::BackpressureBegun { limit, held, allowed, .. } => {
                events.lock().unwrap().push(format!("{held} of {allowed} {limit}"));
            }
            Event::BackpressureEnded { limit, admitted, .. } => {
                events.lock().unwrap().push(format!("{limit} {admitted}"));
            }
            _ => {}
        });
    let store = open(config);
    // The third checkpoint has its parts merged into the fourth.
    let hold = disk.hold(When::nth(OperationKind::Create, 4).on(FileKind::Part));
    for leaf in 0..34 {
        store.insert([leaf; 32]).unwrap();
        store.checkpoint().unwrap();
        if leaf == 2 {
            hold.wait_reached();
        }
    }
    let error = store.insert([40; 32]).unwrap_err();
    assert!(
        matches!(error, Error::Backpressure { limit: Limit::Parts, held: 34, allowed: 34, .. }),
        "{error}"
    );
    assert_eq!(store.stats().parts, 34);
    assert_eq!(*log.lock().unwrap(), ["34 of 34 parts", "parts false"]);
    hold.release();
    store.wait_idle();
    store.insert([40; 32]).unwrap();
    assert!(store.stats().parts < 10);
    assert_eq!(store.size().get(), 35);
}

#[test]
fn an_insert_that_waits_names_its_trees() {
    let disk = SimDisk::new();
    let log = Arc::new(Mutex::new(Vec::new()));
    let events = Arc::clone(&log);
    let names = |trees: &[TreeName]| trees.iter().map(TreeName::to_string).collect::<Vec<_>>();
    let config =
        config(&disk).max_uncheckpointed_bytes(LIMIT).unwrap().backpressure_wait(SOON).listener(
            move |event: &Event| match event {
                Event::BackpressureBegun { trees, .. } => {
                    events.lock().unwrap().push(("begun", names(trees)));
                }
                Event::BackpressureEnded { trees, .. } => {
                    events.lock().unwrap().push(("ended", names(trees)));
                }
                _ => {}
            },
        );
    let store = Store::open(config).unwrap();
    let [a, b] = ["a", "b"].map(|name| store.tree::<Blake3, 4>(name).unwrap());
    let c = store.tree_dyn("c", TreeConfig::of::<Blake3, 4>().indexed()).unwrap();
    // No checkpoint comes to its end, so there is no room.
    let hold = disk.hold(part(OperationKind::Create));
    let waited = || std::mem::take(&mut *log.lock().unwrap());
    insert_until_refused(&a, 0);
    assert_eq!(waited(), ["begun", "ended"].map(|event| (event, vec!["a".to_owned()])));
    let mut batch = store.batch();
    batch.insert(&b, [1; 32]).unwrap().insert(&a, [2; 32]).unwrap();
    batch.commit().unwrap_err();
    let both = || vec!["b".to_owned(), "a".to_owned()];
    assert_eq!(waited(), ["begun", "ended"].map(|event| (event, both())));
    c.insert_unique([3; 32]).unwrap_err();
    assert_eq!(waited(), ["begun", "ended"].map(|event| (event, vec!["c".to_owned()])));
    hold.release();
    store.wait_idle();
    a.insert([4; 32]).unwrap();
}

#[test]
fn parts_that_nothing_merges_stop_nobody() {
    let disk = SimDisk::new();
    let store = open(config(&disk).backpressure_wait(SOON));
    for leaf in 0..10 {
        store.insert([leaf; 32]).unwrap();
        store.checkpoint().unwrap();
    }
    assert_eq!(store.stats().parts, 10);
}

#[test]
fn the_queue_of_jobs_never_holds_more_than_one_of_a_kind() {
    let disk = SimDisk::new();
    let policy = CheckpointPolicy::manual()
        .every_leaves(1)
        .unwrap()
        .wal_bytes(1)
        .unwrap()
        .wal_segments(1)
        .unwrap();
    let store = open(config(&disk).checkpoint_policy(policy));
    let hold = disk.hold(part(OperationKind::Sync));
    for leaf in 0..50 {
        store.insert_durable([leaf; 32]).unwrap();
        let stats = store.stats();
        assert!(stats.queued_jobs <= 4 && stats.active_jobs <= 3, "{stats:?}");
    }
    hold.wait_reached();
    // A segment may still be in the making, or in the queue. In the end one checkpoint runs and one
    // waits for it.
    loop {
        let stats = store.stats();
        if (stats.queued_jobs, stats.active_jobs) == (1, 1) {
            break;
        }
        thread::sleep(Duration::from_millis(1));
    }
    hold.release();
}

#[test]
fn an_insert_that_must_not_wait_is_refused_where_another_would_wait_and_comes_through_later() {
    let disk = SimDisk::new();
    let store = open(config(&disk).max_unflushed_bytes(LIMIT).unwrap());
    let hold = disk.hold(When::nth(OperationKind::Sync, 1).on(FileKind::Segment));
    store.try_insert([7; 32]).unwrap();
    // From now on nothing that is inserted is written.
    hold.wait_reached();
    let mut count = 1;
    let refused = loop {
        match store.try_insert([7; 32]) {
            Ok(inserted) => assert_eq!(inserted.index.get(), count),
            Err(error) => break error,
        }
        count += 1;
    };
    let Error::WouldBlock { limit: Limit::UnflushedBytes, retry_in: None } = refused else {
        panic!("{refused}")
    };
    assert!(store.try_insert_many(&leaves(3, 1)).is_err());
    assert_eq!(store.size().get(), count, "what was refused was inserted");
    hold.release();
    store.flush().unwrap();
    store.try_insert([8; 32]).unwrap();
    assert_eq!(store.size().get(), count + 1);
}

#[test]
fn an_insert_that_must_not_wait_is_told_when_to_come_again_where_others_are_slowed_down() {
    let disk = SimDisk::new();
    let limit = 16 << 20;
    let store = open(config(&disk).max_uncheckpointed_bytes(limit).unwrap());
    // Nothing goes away while the checkpoint hangs.
    let hold = disk.hold(part(OperationKind::Create));
    let batch = leaves(1000, 1);
    let started = std::time::Instant::now();
    let mut waits = Vec::new();
    while store.stats().uncheckpointed_bytes < limit / 2 {
        match store.try_insert_many(&batch) {
            Ok(_) => {}
            Err(Error::WouldBlock { limit: Limit::UncheckpointedBytes, retry_in: Some(wait) }) => {
                waits.push(wait);
                thread::sleep(wait);
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert!(!waits.is_empty(), "nothing was slowed down");
    assert!(waits.iter().all(|wait| *wait <= Duration::from_millis(100)), "{waits:?}");
    assert!(waits.iter().sum::<Duration>() <= started.elapsed());
    hold.release();
    store.close().unwrap();
}
