//! Every trigger fires alone, once, with its reason; every configuration value changes something.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use duramen::fs::FileKind;
use duramen::testing::sim::{Fault, FaultError, OperationKind, SimDisk, When};
use duramen::{
    Arity, Blake3, CheckpointPolicy, CheckpointReason, CompactionPolicy, Config, DynAccumulator,
    Error, Event, FlushPolicy, Install, Limit,
};
use testkit::stores::leaves;

fn quiet(disk: &SimDisk) -> Config {
    Config::new("store")
        .file_system(Arc::new(disk.clone()))
        .flush_policy(FlushPolicy::Manual)
        .checkpoint_policy(CheckpointPolicy::manual())
        .wal_segment_bytes(8192)
        .unwrap()
}

fn open(config: Config) -> DynAccumulator {
    DynAccumulator::open(config, Arc::new(Blake3), Arity::Four).unwrap()
}

fn files(disk: &SimDisk, kind: FileKind) -> Vec<u64> {
    let files = disk.files().into_iter().filter(|file| file.kind == kind);
    files.map(|file| disk.read(file).unwrap().len() as u64).collect()
}

/// The reasons of the checkpoints that were completed.
#[derive(Clone, Default)]
struct Reasons(Arc<Mutex<Vec<CheckpointReason>>>);

impl Reasons {
    fn listener(&self) -> impl Fn(&Event) + Send + Sync + 'static {
        let reasons = self.clone();
        move |event: &Event| {
            if let Event::CheckpointCompleted { info, .. } = event {
                reasons.0.lock().unwrap().push(info.reason);
            }
        }
    }

    fn get(&self) -> Vec<CheckpointReason> {
        self.0.lock().unwrap().clone()
    }
}

#[test]
fn each_trigger_alone_fires_once_with_its_reason() {
    let manual = CheckpointPolicy::manual;
    // What is inserted before nothing is due, and with one leaf more something is.
    let cases = [
        (manual().every_leaves(40).unwrap(), CheckpointReason::Leaves, 39),
        // A group takes a block, and leaving a segment another one.
        (manual().wal_bytes(40 * 4096).unwrap(), CheckpointReason::WalBytes, 19),
        (manual().wal_segments(5).unwrap(), CheckpointReason::WalSegments, 4),
        // Forty leaves and a third as many inner nodes.
        (manual().memory_bytes(40 * 32 * 4 / 3).unwrap(), CheckpointReason::Memory, 39),
    ];
    for (policy, reason, quiet_until) in cases {
        let disk = SimDisk::new();
        let reasons = Reasons::default();
        let config = quiet(&disk).checkpoint_policy(policy).listener(reasons.listener());
        let store = open(config);
        for _ in 0..quiet_until {
            store.insert_durable([1; 32]).unwrap();
            store.wait_idle();
        }
        assert_eq!(reasons.get(), [], "{reason}");
        let mut more = 0;
        while reasons.get().is_empty() {
            store.insert_durable([1; 32]).unwrap();
            store.wait_idle();
            more += 1;
            assert!(more <= 21, "{reason} does not fire");
        }
        store.insert_durable([1; 32]).unwrap();
        store.wait_idle();
        assert_eq!(reasons.get(), [reason]);
        let stats = store.stats();
        assert_eq!((stats.checkpoints, stats.checkpoints_for(reason)), (1, 1), "{reason}");
        store.close().unwrap();
        assert_eq!(reasons.get(), [reason], "closing was not asked to make one");
    }
}

#[test]
fn trigger_and_limit_count_the_same_bytes_of_a_leaf_for_every_arity() {
    for arity in Arity::ALL {
        let children = arity.children() as u64;
        for bytes in [1_u64, 64, 1000, 4096, 9999, 20_000] {
            // A leaf and its share of the nodes above it take 32 * N / (N - 1) bytes.
            let expected = (bytes * (children - 1)).div_ceil(32 * children);
            let what = format!("{arity:?}, {bytes} bytes");
            let open = |config| DynAccumulator::open(config, Arc::new(Blake3), arity).unwrap();

            let disk = SimDisk::new();
            let policy = CheckpointPolicy::manual().memory_bytes(bytes).unwrap();
            let store = open(quiet(&disk).checkpoint_policy(policy));
            let mut inserted = 0;
            while store.stats().checkpoints == 0 {
                inserted += 1;
                assert!(inserted <= expected, "{what}: no checkpoint");
                store.insert_durable([1; 32]).unwrap();
                store.wait_idle();
            }
            assert_eq!(inserted, expected, "{what}: the trigger");

            // Nothing is flushed, so that nothing makes room.
            let disk = SimDisk::new();
            let store = open(quiet(&disk).max_uncheckpointed_bytes(bytes).unwrap());
            for _ in 0..expected {
                store.insert([1; 32]).unwrap();
            }
            let refused = store.insert([1; 32]).unwrap_err();
            let Error::Backpressure { limit: Limit::UnnamedBytes, held, allowed, .. } = refused
            else {
                panic!("{what}: {refused}");
            };
            assert_eq!(allowed, bytes);
            assert_eq!(held, expected * 32 * children / (children - 1), "{what}: the limit");
        }
    }
}

#[test]
fn a_trigger_that_is_due_again_and_again_while_a_checkpoint_runs_fires_once() {
    let disk = SimDisk::new();
    let reasons = Reasons::default();
    let policy = CheckpointPolicy::manual().every_leaves(10).unwrap();
    let store = open(quiet(&disk).checkpoint_policy(policy).listener(reasons.listener()));
    let hold = disk.hold(When::nth(OperationKind::Sync, 1).on(FileKind::Part));
    store.insert_many(&leaves(10, 1)).unwrap();
    store.flush().unwrap();
    hold.wait_reached();
    for _ in 0..9 {
        store.insert_durable([1; 32]).unwrap();
    }
    hold.release();
    store.wait_idle();
    assert_eq!(reasons.get(), [CheckpointReason::Leaves]);
    store.insert_durable([1; 32]).unwrap();
    store.wait_idle();
    assert_eq!(reasons.get(), [CheckpointReason::Leaves; 2], "ten more have come");
}

#[test]
fn an_interval_fires_once_after_its_time_when_there_is_something_new() {
    let disk = SimDisk::new();
    let reasons = Reasons::default();
    let interval = Duration::from_millis(30);
    let policy = CheckpointPolicy::manual().interval(interval).unwrap();
    let store = open(quiet(&disk).checkpoint_policy(policy).listener(reasons.listener()));
    std::thread::sleep(3 * interval);
    assert_eq!(reasons.get(), [], "nothing is new");
    store.insert_durable([1; 32]).unwrap();
    while reasons.get().is_empty() {
        std::thread::yield_now();
    }
    std::thread::sleep(3 * interval);
    assert_eq!(reasons.get(), [CheckpointReason::Interval]);
}

#[test]
fn a_log_that_is_long_enough_is_written_once_the_last_checkpoint_is_old_although_nothing_more_comes()
 {
    let disk = SimDisk::new();
    let reasons = Reasons::default();
    let policy = CheckpointPolicy::manual().wal_bytes_after(1, Duration::from_millis(300)).unwrap();
    let store = open(quiet(&disk).checkpoint_policy(policy).listener(reasons.listener()));
    store.insert_durable([1; 32]).unwrap();
    while reasons.get().is_empty() {
        std::thread::yield_now();
    }
    store.wait_idle();
    assert_eq!(reasons.get(), [CheckpointReason::WalBytes]);
}

#[test]
fn closing_makes_a_checkpoint_from_the_bytes_of_log_on_that_are_asked_for() {
    let disk = SimDisk::new();
    let reasons = Reasons::default();
    let policy = CheckpointPolicy::manual().on_close_from(1 << 20);
    let config = || quiet(&disk).checkpoint_policy(policy.clone()).listener(reasons.listener());
    let store = open(config());
    store.insert([2; 32]).unwrap();
    store.close().unwrap();
    assert_eq!(reasons.get(), [], "a little stays in the log");
    let store = open(config());
    assert_eq!(store.recovery().replayed_leaves, 1);
    // With the block that was there it is 1 MiB.
    store.insert_many(&[[3; 32]; 32_600]).unwrap();
    store.close().unwrap();
    assert_eq!(reasons.get(), [CheckpointReason::Close]);
    let store = open(config());
    assert_eq!(store.recovery().replayed_leaves, 0);
    store.close().unwrap();
    assert_eq!(reasons.get().len(), 1, "nothing was new");
}

#[test]
fn close_and_calls_have_their_own_reasons() {
    let disk = SimDisk::new();
    let reasons = Reasons::default();
    let policy = CheckpointPolicy::manual().on_close(true);
    let config = || quiet(&disk).checkpoint_policy(policy.clone()).listener(reasons.listener());
    let store = open(config());
    store.insert([1; 32]).unwrap();
    store.checkpoint().unwrap();
    store.insert([2; 32]).unwrap();
    store.close().unwrap();
    assert_eq!(reasons.get(), [CheckpointReason::Manual, CheckpointReason::Close]);
    open(config()).close().unwrap();
    assert_eq!(reasons.get().len(), 2, "nothing was new");
}

#[test]
fn create_decides_whether_a_store_is_made() {
    let disk = SimDisk::new();
    let opened = DynAccumulator::open(quiet(&disk).create(false), Arc::new(Blake3), Arity::Four);
    assert!(matches!(opened, Err(Error::NoStore { .. })));
    open(quiet(&disk).create(true)).close().unwrap();
    open(quiet(&disk).create(false));
}

#[test]
fn the_flush_policy_decides_whether_leaves_become_durable_by_themselves() {
    for (policy, flushes) in [
        (FlushPolicy::Manual, false),
        (FlushPolicy::interval(Duration::from_secs(3600)).unwrap(), false),
        (FlushPolicy::interval(Duration::from_millis(1)).unwrap(), true),
    ] {
        let store = open(quiet(&SimDisk::new()).flush_policy(policy));
        let token = store.insert([1; 32]).unwrap().token;
        if flushes {
            token.wait().unwrap();
        } else {
            assert!(!token.wait_timeout(Duration::from_millis(30)).unwrap(), "{policy:?}");
        }
    }
}

#[test]
fn install_decides_which_syncs_a_checkpoint_makes() {
    let syncs = |install| {
        let disk = SimDisk::new();
        let store = open(quiet(&disk).install(install));
        store.insert_durable([1; 32]).unwrap();
        store.wait_idle();
        let before = disk.trace().len();
        store.checkpoint().unwrap();
        let trace = disk.trace().split_off(before);
        let of = |kind| trace.iter().filter(|operation| operation.kind() == kind).count();
        (of(OperationKind::Sync), of(OperationKind::SyncDir))
    };
    assert_eq!(syncs(Install::Strict), (2, 2), "part and manifest, and their directories");
    assert_eq!(syncs(Install::Fast), (1, 1), "the manifest alone");
}

#[test]
fn the_compaction_policy_decides_how_many_parts_stay() {
    for (policy, parts) in [
        (CompactionPolicy::Off, 6),
        (CompactionPolicy::tiered(2).unwrap(), 2),
        (CompactionPolicy::tiered(4).unwrap(), 2),
        (CompactionPolicy::tiered(9).unwrap(), 6),
    ] {
        let disk = SimDisk::new();
        let store = open(quiet(&disk).compaction_policy(policy));
        for leaf in 0..6 {
            store.insert([leaf; 32]).unwrap();
            store.checkpoint().unwrap();
            store.wait_idle();
        }
        assert_eq!(files(&disk, FileKind::Part).len(), parts, "{policy:?}");
    }
}

#[test]
fn retry_wait_decides_when_a_failed_checkpoint_is_tried_again() {
    let short = Duration::from_millis(1);
    let hour = Duration::from_secs(3600);
    for (first, longest, retries) in [(short, short, true), (hour, hour, false)] {
        let disk = SimDisk::new();
        let policy = CheckpointPolicy::manual().every_leaves(1).unwrap();
        let store =
            open(quiet(&disk).checkpoint_policy(policy).retry_wait(first, longest).unwrap());
        let create = When::nth(OperationKind::Create, 1).on(FileKind::Part);
        disk.inject(Fault::new(create, FaultError::ENOSPC));
        store.insert_durable([1; 32]).unwrap();
        while store.stats().failed_checkpoints == 0 {
            std::thread::yield_now();
        }
        if retries {
            while store.stats().checkpoints == 0 {
                std::thread::yield_now();
            }
            assert_eq!(store.stats().checkpoint_jobs.retries, 1);
        } else {
            std::thread::sleep(Duration::from_millis(30));
            assert_eq!(store.stats().checkpoints, 0);
        }
    }
}

#[test]
fn every_listener_is_told_from_the_first_moment_on() {
    let counts = [Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0))];
    let mut config = quiet(&SimDisk::new());
    for count in &counts {
        let count = Arc::clone(count);
        config = config.listener(move |_: &Event| {
            count.fetch_add(1, Ordering::Relaxed);
        });
    }
    open(config);
    assert!(counts.iter().all(|count| count.load(Ordering::Relaxed) == 2), "{counts:?}");
}

#[test]
fn max_unflushed_bytes_decides_when_bytes_are_handed_over_and_inserts_wait() {
    for (bytes, written) in [(320, true), (1 << 20, false)] {
        let store = open(quiet(&SimDisk::new()).max_unflushed_bytes(bytes).unwrap());
        for leaf in 0..50 {
            store.insert([leaf; 32]).unwrap();
        }
        store.wait_idle();
        assert_eq!(store.stats().leaves_written > 0, written, "{bytes}");
        assert!(store.stats().unflushed_bytes <= bytes);
    }
}

#[test]
fn max_uncheckpointed_bytes_decides_when_a_checkpoint_is_made_for_lack_of_room() {
    for (bytes, made) in [(4096, true), (1 << 20, false)] {
        let store = open(quiet(&SimDisk::new()).max_uncheckpointed_bytes(bytes).unwrap());
        for batch in leaves(200, 1).chunks(10) {
            store.insert_many(batch).unwrap();
            store.flush().unwrap();
        }
        store.wait_idle();
        let stats = store.stats();
        assert_eq!(stats.checkpoints_for(CheckpointReason::Backpressure) > 0, made, "{bytes}");
        assert!(stats.uncheckpointed_bytes <= bytes + 640);
    }
}

#[test]
fn backpressure_wait_decides_whether_an_insert_gives_up() {
    for wait in [Some(Duration::from_millis(5)), None] {
        let disk = SimDisk::new();
        let mut config = quiet(&disk).max_unflushed_bytes(32).unwrap();
        if let Some(wait) = wait {
            config = config.backpressure_wait(wait);
        }
        let store = open(config);
        let hold = disk.hold(When::nth(OperationKind::Write, 1).on(FileKind::Segment));
        store.insert([1; 32]).unwrap();
        if wait.is_some() {
            assert!(matches!(store.insert([2; 32]), Err(Error::Backpressure { .. })));
            hold.release();
        } else {
            std::thread::scope(|scope| {
                let inserting = scope.spawn(|| store.insert([2; 32]).map(drop));
                hold.wait_reached();
                std::thread::sleep(Duration::from_millis(30));
                assert!(!inserting.is_finished());
                hold.release();
                inserting.join().unwrap().unwrap();
            });
        }
    }
}

#[test]
fn wal_segment_bytes_decides_how_large_segments_grow() {
    for bytes in [8192, 16384] {
        let disk = SimDisk::new();
        let store = open(quiet(&disk).wal_segment_bytes(bytes).unwrap());
        for _ in 0..20 {
            store.insert_durable([1; 32]).unwrap();
            store.wait_idle();
        }
        let sizes = files(&disk, FileKind::Segment);
        assert!(sizes.iter().all(|len| *len == bytes), "{sizes:?}");
    }
}

#[test]
fn wal_spare_bytes_decides_how_many_segments_are_kept() {
    let kept = |bytes| {
        let disk = SimDisk::new();
        let store = open(quiet(&disk).wal_spare_bytes(bytes));
        for _ in 0..20 {
            store.insert_durable([1; 32]).unwrap();
        }
        store.checkpoint().unwrap();
        store.wait_idle();
        files(&disk, FileKind::Segment).len()
    };
    let [none, some, all] = [0, 5 * 8192, 1 << 20].map(kept);
    assert!(none < some && some < all, "{none}, {some}, {all}");
}
