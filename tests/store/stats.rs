//! Counters agree with each other and with what was done.

use std::sync::Arc;
use std::time::Duration;

use duramen::fs::FileKind;
use duramen::testing::sim::{Fault, FaultError, OperationKind, SimDisk, When};
use duramen::{
    Arity, Blake3, CheckpointPolicy, CheckpointReason, CompactionPolicy, Config, DynAccumulator,
    FlushPolicy, JobStats, Stats, Times,
};
use proptest::prelude::*;
use testkit::stores::leaves;

#[derive(Clone, Copy, Debug)]
enum Step {
    Insert(usize),
    Durable,
    Flush,
    Checkpoint,
    FailedCheckpoint,
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (1..200_usize).prop_map(Step::Insert),
        2 => Just(Step::Durable),
        2 => Just(Step::Flush),
        2 => Just(Step::Checkpoint),
        1 => Just(Step::FailedCheckpoint),
        1 => Just(Step::Reopen),
    ];
    proptest::collection::vec(step, 1..40)
}

/// What was done since the store was opened.
#[derive(Debug, Default)]
struct Done {
    flushes: u64,
    manual: u64,
    automatic: u64,
    failed: u64,
    at_open: u64,
    parts_at_open: u64,
}

fn sums(times: &Times, runs: u64) {
    assert!(times.max <= times.total && times.last <= times.max);
    assert!(times.total <= times.max * u32::try_from(runs).unwrap().max(1));
}

fn consistent(job: &JobStats) {
    for times in [&job.wait, &job.build, &job.sync, &job.install, &job.release] {
        sums(times, job.completed);
    }
    assert!(job.retries <= job.completed + job.failed);
}

fn reconcile(stats: &Stats, done: &Done, size: u64, disk: &SimDisk) {
    assert_eq!(stats.leaves, size);
    assert_eq!(stats.leaves, stats.durable + stats.pending);
    assert_eq!(stats.leaves - done.at_open, stats.leaves_written + stats.unflushed_bytes / 32);
    assert_eq!(stats.groups, stats.group_leaves.count);
    assert_eq!(stats.leaves_written, stats.group_leaves.sum);
    assert!(stats.group_leaves.max <= stats.leaves_written);
    assert!(stats.wal_bytes_written >= stats.leaves_written * 32 + stats.groups * 64);
    assert_eq!(stats.syncs, stats.sync_nanos.count);
    assert_eq!(stats.sync_time, Duration::from_nanos(stats.sync_nanos.sum));
    assert_eq!(stats.longest_sync, Duration::from_nanos(stats.sync_nanos.max));
    assert!(stats.sync_nanos.p50 <= stats.sync_nanos.p99);
    assert!(stats.syncs >= done.flushes && stats.groups >= stats.syncs);
    let by_reason = CheckpointReason::ALL.map(|reason| stats.checkpoints_for(reason));
    assert_eq!(by_reason.iter().sum::<u64>(), stats.checkpoints);
    assert_eq!(stats.checkpoints_for(CheckpointReason::Manual), done.manual);
    assert_eq!(stats.checkpoints_for(CheckpointReason::Leaves), done.automatic);
    assert_eq!(stats.checkpoints, stats.checkpoint_jobs.completed);
    assert_eq!(stats.failed_checkpoints, done.failed);
    assert_eq!(stats.part_bytes_written, stats.checkpoint_jobs.bytes);
    assert_eq!(stats.compactions, stats.compaction_jobs.completed);
    assert_eq!(stats.compaction_bytes_written, stats.compaction_jobs.bytes);
    // Each merge makes at least three parts one.
    assert!(stats.parts + 2 * stats.compactions <= done.parts_at_open + stats.checkpoints);
    let parts = disk.files().into_iter().filter(|file| file.kind == FileKind::Part);
    assert_eq!(parts.count() as u64, stats.parts);
    let jobs =
        [&stats.checkpoint_jobs, &stats.compaction_jobs, &stats.segment_jobs, &stats.hash_jobs];
    jobs.into_iter().for_each(consistent);
    assert_eq!((stats.queued_jobs, stats.active_jobs), (0, 0));
    assert_eq!((stats.stalls, stats.slowdowns, stats.refused), (0, 0, 0));
    let written =
        stats.wal_bytes_written + stats.part_bytes_written + stats.compaction_bytes_written;
    let per_leaf = stats.bytes_written_per_leaf().unwrap_or(0.0);
    assert!(
        (per_leaf * stats.leaves_written as f64 - written as f64).abs() < 1.0 || per_leaf == 0.0
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn counters_reconcile_with_each_other_and_with_what_was_done(steps in steps(), automatic: bool) {
        let disk = SimDisk::new();
        let policy = CheckpointPolicy::manual();
        let policy = if automatic { policy.every_leaves(150).unwrap() } else { policy };
        let open = || {
            let config = Config::new("store")
                .file_system(Arc::new(disk.clone()))
                .flush_policy(FlushPolicy::Manual)
                .checkpoint_policy(policy.clone())
                .compaction_policy(CompactionPolicy::tiered(2).unwrap());
            let store = DynAccumulator::open(config, Arc::new(Blake3), Arity::Four).unwrap();
            store.wait_idle();
            store
        };
        let mut store = open();
        let (mut size, mut checkpointed, mut flushed) = (0_u64, 0_u64, 0_u64);
        let mut done = Done::default();
        for step in steps {
            let flush = |done: &mut Done| {
                done.flushes += u64::from(size > flushed);
            };
            match step {
                Step::Insert(count) => {
                    store.insert_many(&leaves(count, size)).unwrap();
                    size += count as u64;
                }
                Step::Durable => {
                    store.insert_durable([9; 32]).unwrap();
                    size += 1;
                    done.flushes += 1;
                    flushed = size;
                }
                Step::Flush => {
                    flush(&mut done);
                    store.flush().unwrap();
                    flushed = size;
                }
                Step::Checkpoint => {
                    flush(&mut done);
                    store.flush().unwrap();
                    store.wait_idle();
                    flushed = size;
                    if automatic && size - checkpointed >= 150 {
                        done.automatic += 1;
                        checkpointed = size;
                    }
                    let info = store.checkpoint().unwrap();
                    prop_assert_eq!(info.leaves, size - checkpointed);
                    done.manual += u64::from(size > checkpointed);
                    checkpointed = size;
                }
                Step::FailedCheckpoint if size > checkpointed && !automatic => {
                    flush(&mut done);
                    flushed = size;
                    let create = When::nth(OperationKind::Create, 1).on(FileKind::Part);
                    store.flush().unwrap();
                    store.wait_idle();
                    disk.inject(Fault::new(create, FaultError::EIO));
                    prop_assert!(store.checkpoint().is_err());
                    done.failed += 1;
                }
                Step::FailedCheckpoint => {}
                Step::Reopen => {
                    store.close().unwrap();
                    store = open();
                    flushed = size;
                    done = Done { at_open: size, ..Done::default() };
                    done.parts_at_open = store.stats().parts + 2 * store.stats().compactions;
                    if automatic && size - checkpointed >= 150 {
                        done.automatic += 1;
                        checkpointed = size;
                    }
                }
            }
            store.wait_idle();
            if automatic && flushed - checkpointed.min(flushed) >= 150 {
                done.automatic += 1;
                checkpointed = flushed;
            }
            reconcile(&store.stats(), &done, size, &disk);
        }
    }
}

#[test]
fn the_steps_of_a_checkpoint_are_told_apart() {
    let disk = SimDisk::new();
    let config = Config::new("store")
        .file_system(Arc::new(disk.clone()))
        .flush_policy(FlushPolicy::Manual)
        .checkpoint_policy(CheckpointPolicy::manual());
    let store = DynAccumulator::open(config, Arc::new(Blake3), Arity::Four).unwrap();
    let delay = Duration::from_millis(30);
    let part = |kind| When::nth(kind, 1).on(FileKind::Part);
    type Step = (When, fn(&JobStats) -> Times);
    let steps: [Step; 4] = [
        (When::nth(OperationKind::Sync, 1).on(FileKind::Segment), |job| job.wait),
        (part(OperationKind::Write), |job| job.build),
        (part(OperationKind::Sync), |job| job.sync),
        (When::nth(OperationKind::Sync, 1).on(FileKind::Manifest), |job| job.install),
    ];
    for (when, time) in steps {
        store.insert([1; 32]).unwrap();
        let hold = disk.hold(when);
        std::thread::scope(|scope| {
            let checkpointing = scope.spawn(|| store.checkpoint().unwrap());
            hold.wait_reached();
            std::thread::sleep(delay);
            hold.release();
            checkpointing.join().unwrap();
        });
        // At least as long: how much longer it may take is not promised.
        let stats = store.stats().checkpoint_jobs;
        assert!(time(&stats).last >= delay, "{when:?}: {stats:?}");
        assert!(time(&stats).max >= delay && time(&stats).total >= delay);
    }
    assert_eq!(store.stats().checkpoint_jobs.completed, 4);
}
