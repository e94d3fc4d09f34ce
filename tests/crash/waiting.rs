//! Calls that do not come back for a while: what goes on meanwhile, and what must not.

use std::thread;
use std::time::Duration;

use duramen::fs::{ByteOffset, FileKind};
use duramen::testing::sim::{
    CrashChoice, Fault, FaultError, Operation, OperationKind, SimDisk, When,
};
use duramen::{
    CheckpointPolicy, Config, DurabilityToken, DynAccumulator, Error, FlushPolicy, Hash,
};

use crate::model::Model;
use crate::setup::Setup;
use testkit::words::words;

const LOG_SYNC: When = When::nth(OperationKind::Sync, 1).on(FileKind::Segment);
const SOON: Duration = Duration::from_millis(20);

fn model() -> Model {
    Model::new(Setup::PLAIN.oracle(), Setup::PLAIN.arity.children(), 11)
}

/// A store that flushes by itself, with room for 100 leaves that wait.
fn interval(disk: &SimDisk) -> Config {
    Setup::PLAIN
        .config(disk)
        .flush_policy(FlushPolicy::interval(Duration::from_millis(1)).unwrap())
        .max_unflushed_bytes(100 * size_of::<Hash>() as u64)
        .unwrap()
}

/// The leaves that a power cut leaves now.
fn left(disk: &SimDisk) -> Vec<Hash> {
    let disk = disk.crash(CrashChoice::NothingKept);
    let store = Setup::PLAIN.open(&disk).unwrap();
    store.leaves(0..store.size().get()).unwrap()
}

fn insert_one_by_one(store: &impl AsRef<DynAccumulator>, leaves: &[Hash]) -> Vec<DurabilityToken> {
    let store = store.as_ref();
    leaves.iter().map(|leaf| store.insert(*leaf).unwrap().token).collect()
}

#[test]
fn while_a_sync_hangs_inserts_go_on_to_the_bound_and_nothing_is_called_durable() {
    let disk = SimDisk::new();
    let store = Setup::PLAIN.open_as(interval(&disk).backpressure_wait(SOON)).unwrap();
    let leaves = model().next(102);
    let hold = disk.hold(LOG_SYNC);
    let mut tokens = insert_one_by_one(&store, &leaves[..1]);
    hold.wait_reached();
    tokens.extend(insert_one_by_one(&store, &leaves[1..101]));

    let error = store.insert(leaves[101]).unwrap_err();
    assert!(matches!(error, Error::Backpressure { held: 3200, .. }), "{error}");
    assert!(matches!(store.insert_many(&leaves[..2]), Err(Error::Backpressure { .. })));
    assert_eq!(store.size().get(), 101, "what was refused is not there");
    assert!(store.stats().stalls >= 2);
    for token in &tokens {
        assert!(!token.is_durable());
        assert!(!token.wait_timeout(Duration::from_millis(1)).unwrap());
    }
    // Reading needs no disk and no flush.
    assert_eq!(store.head().unwrap().size.get(), 101);
    store.prove(100).unwrap();
    assert_eq!(left(&disk), [[0_u8; 32]; 0]);

    hold.release();
    store.flush().unwrap();
    assert!(tokens.iter().all(DurabilityToken::is_durable));
    store.insert_durable(leaves[101]).unwrap();
    assert_eq!(left(&disk), leaves);
}

#[test]
fn an_insert_without_patience_limit_waits_until_the_sync_is_back() {
    let disk = SimDisk::new();
    let store = Setup::PLAIN.open_as(interval(&disk)).unwrap();
    let leaves = model().next(300);
    let hold = disk.hold(LOG_SYNC);
    insert_one_by_one(&store, &leaves[..1]);
    hold.wait_reached();
    thread::scope(|scope| {
        let inserting = scope.spawn(|| insert_one_by_one(&store, &leaves[1..]));
        while store.stats().unflushed_bytes < 3200 {
            thread::yield_now();
        }
        assert!(!inserting.is_finished());
        hold.release();
        for token in inserting.join().unwrap() {
            token.wait().unwrap();
        }
    });
    assert_eq!(left(&disk), leaves);
}

#[test]
fn whoever_waits_for_room_or_durability_is_told_when_the_log_fails() {
    let disk = SimDisk::new();
    let store = Setup::PLAIN.open_as(interval(&disk)).unwrap();
    let leaves = model().next(300);
    let hold = disk.hold(LOG_SYNC);
    disk.inject(Fault::new(LOG_SYNC, FaultError::EIO));
    let first = store.insert(leaves[0]).unwrap().token;
    hold.wait_reached();
    thread::scope(|scope| {
        let inserting = scope.spawn(|| {
            let mut inserted = leaves[1..].iter().map(|leaf| store.insert(*leaf));
            inserted.find_map(Result::err)
        });
        while store.stats().unflushed_bytes < 3200 {
            thread::yield_now();
        }
        let waiting = scope.spawn(|| first.wait());
        let flushing = scope.spawn(|| store.flush());
        let checkpointing = scope.spawn(|| store.checkpoint().map(drop));
        hold.release();
        let answers = [
            ("insert", inserting.join().unwrap()),
            ("wait", waiting.join().unwrap().err()),
            ("flush", flushing.join().unwrap().err()),
            ("checkpoint", checkpointing.join().unwrap().err()),
        ];
        for (call, answer) in answers {
            assert!(matches!(answer, Some(Error::Poisoned { .. })), "{call}: {answer:?}");
        }
    });
    assert!(!first.is_durable());
    assert!(matches!(store.close(), Err(Error::Poisoned { .. })));
}

#[test]
fn inserts_and_flushes_go_on_while_any_step_of_a_checkpoint_hangs() {
    let steps = [
        When::nth(OperationKind::Create, 1).on(FileKind::Part),
        When::nth(OperationKind::Allocate, 1).on(FileKind::Part),
        When::nth(OperationKind::Write, 1).on(FileKind::Part),
        When::nth(OperationKind::Sync, 1).on(FileKind::Part),
        When::nth(OperationKind::Rename, 1).on(FileKind::Part),
        When::nth(OperationKind::SyncDir, 1),
        When::nth(OperationKind::Create, 1).on(FileKind::Manifest),
        When::nth(OperationKind::Sync, 1).on(FileKind::Manifest),
        When::nth(OperationKind::Rename, 1).on(FileKind::Manifest),
        When::nth(OperationKind::SyncDir, 2),
    ];
    for step in steps {
        let disk = SimDisk::new();
        // Large segments: a roll would sync a directory too.
        let setup = Setup { segment: 1 << 20, ..Setup::PLAIN };
        let store = setup.open(&disk).unwrap();
        let leaves = model().next(40);
        store.insert_many(&leaves[..20]).unwrap();
        store.flush().unwrap();
        store.wait_idle();
        let hold = disk.hold(step);
        thread::scope(|scope| {
            let checkpointing = scope.spawn(|| store.checkpoint());
            hold.wait_reached();
            for leaf in &leaves[20..30] {
                store.insert_durable(*leaf).unwrap();
            }
            insert_one_by_one(&store, &leaves[30..]);
            store.flush().unwrap();
            assert_eq!(store.stats().durable, 40);
            assert_eq!(left(&disk), leaves, "{step:?}");
            assert!(!checkpointing.is_finished());
            hold.release();
            assert_eq!(checkpointing.join().unwrap().unwrap().seq.0, 20);
        });
        assert_eq!(left(&disk), leaves, "{step:?}");
        store.close().unwrap();
    }
}

#[test]
fn inserts_flushes_and_checkpoints_go_on_while_any_step_of_a_merge_hangs() {
    // Counted from the third checkpoint on, which makes a part of its own before the merge.
    let steps = [
        When::nth(OperationKind::Create, 2).on(FileKind::Part),
        When::nth(OperationKind::Allocate, 2).on(FileKind::Part),
        // A header, two columns, a table and a footer of its own; then the merge's.
        When::nth(OperationKind::Write, 8).on(FileKind::Part),
        When::nth(OperationKind::Sync, 2).on(FileKind::Part),
        When::nth(OperationKind::Rename, 2).on(FileKind::Part),
        // The directories of the part, of the manifest, and of the merged part.
        When::nth(OperationKind::SyncDir, 3),
        When::nth(OperationKind::Remove, 2).on(FileKind::Part),
    ];
    for step in steps {
        let disk = SimDisk::new();
        let setup = Setup { segment: 1 << 20, fan_in: Some(2), ..Setup::PLAIN };
        let store = setup.open(&disk).unwrap();
        let leaves = model().next(60);
        for batch in leaves[..20].chunks(10) {
            store.insert_many(batch).unwrap();
            store.checkpoint().unwrap();
        }
        store.insert_many(&leaves[20..30]).unwrap();
        store.flush().unwrap();
        store.wait_idle();
        let hold = disk.hold(step);
        store.checkpoint().unwrap();
        hold.wait_reached();
        let snapshot = store.snapshot();
        store.insert_many(&leaves[30..50]).unwrap();
        store.insert_durable(leaves[50]).unwrap();
        assert_eq!(store.checkpoint().unwrap().seq.0, 51, "{step:?}");
        assert_eq!(left(&disk), leaves[..51], "{step:?}");
        hold.release();
        store.insert_many(&leaves[51..]).unwrap();
        store.checkpoint().unwrap();
        store.wait_idle();
        assert!(store.stats().compactions > 0, "{step:?}");
        assert_eq!(snapshot.leaves(0..30).unwrap(), leaves[..30], "{step:?}");
        assert_eq!(store.leaves(0..60).unwrap(), leaves, "{step:?}");
        assert_eq!(left(&disk), leaves, "{step:?}");
        store.close().unwrap();
    }
}

/// How many writes a merge still does when it is released a while after the store began to close.
fn writes_of_a_merge_while_closing(patience: Duration) -> usize {
    let disk = SimDisk::new();
    let setup = Setup { segment: 1 << 20, fan_in: Some(2), ..Setup::PLAIN };
    // Any merge is a large one: closing ends those that are small.
    let store = setup.open_as(setup.config(&disk).merge_at_close_bytes(0)).unwrap();
    let leaves = model().next(30);
    let hold = disk.hold(When::nth(OperationKind::Allocate, 4).on(FileKind::Part));
    for batch in leaves.chunks(10) {
        store.insert_many(batch).unwrap();
        store.checkpoint().unwrap();
    }
    hold.wait_reached();
    let before = usize::try_from(disk.operations()).unwrap();
    let closing = thread::spawn(|| store.close());
    thread::sleep(patience);
    hold.release();
    closing.join().unwrap().unwrap();
    assert_eq!(left(&disk), leaves);
    let parts = disk.files().into_iter().filter(|file| file.kind == FileKind::Part);
    assert!(parts.count() == 1 || disk.files().iter().all(|file| !file.temporary));
    let after = disk.trace().split_off(before);
    let writes = after.iter().filter(|operation| {
        operation.kind() == OperationKind::Write
            && operation.file().is_some_and(|file| file.kind == FileKind::Part)
    });
    writes.count()
}

#[test]
fn closing_does_not_wait_for_a_large_merge_to_be_done() {
    // From outside it is not visible that closing has begun, so more and more time is given to it. A
    // merge that goes on writes a header, two columns, a table and a footer.
    let patience = [1, 10, 100, 1000, 5000].map(Duration::from_millis);
    assert!(patience.into_iter().any(|patience| writes_of_a_merge_while_closing(patience) < 5));
}

#[test]
fn closing_waits_for_a_sync_that_hangs_and_makes_everything_durable() {
    let disk = SimDisk::new();
    let store = Setup::PLAIN.open(&disk).unwrap();
    let leaves = model().next(3);
    let tokens = insert_one_by_one(&store, &leaves);
    let hold = disk.hold(LOG_SYNC);
    thread::scope(|scope| {
        let closing = scope.spawn(|| store.close());
        hold.wait_reached();
        assert!(!closing.is_finished());
        assert!(!tokens[2].wait_timeout(Duration::from_millis(1)).unwrap());
        hold.release();
        closing.join().unwrap().unwrap();
    });
    assert!(tokens.iter().all(DurabilityToken::is_durable));
    assert_eq!(left(&disk), leaves);
}

#[test]
fn the_log_goes_on_while_the_next_segment_is_not_ready() {
    let disk = SimDisk::new();
    let store = Setup::PLAIN.open(&disk).unwrap();
    let leaves = model().next(40);
    let hold = disk.hold(When::nth(OperationKind::Create, 1).on(FileKind::Segment));
    // Three groups fit a segment before it is left; after the third the next one is made.
    for leaf in &leaves[..3] {
        store.insert_durable(*leaf).unwrap();
    }
    hold.wait_reached();
    for leaf in &leaves[3..20] {
        store.insert_durable(*leaf).unwrap();
    }
    hold.release();
    for leaf in &leaves[20..] {
        store.insert_durable(*leaf).unwrap();
    }
    assert_eq!(left(&disk), leaves);
    store.close().unwrap();
    assert_eq!(left(&disk), leaves);
}

/// A segment that was being made when the log had to go on without it comes late. Whatever is done
/// with it, a roll that is damaged afterwards must be noticed: what follows it was acknowledged.
#[test]
fn damage_in_front_of_a_segment_that_came_late_is_noticed() {
    let disk = SimDisk::new();
    let store = Setup::PLAIN.open(&disk).unwrap();
    let leaves = model().next(8);
    let hold = disk.hold(When::nth(OperationKind::Create, 1).on(FileKind::Segment));
    for leaf in &leaves[..3] {
        store.insert_durable(*leaf).unwrap();
    }
    hold.wait_reached();
    store.insert_durable(leaves[3]).unwrap();
    hold.release();
    store.wait_idle();
    for leaf in &leaves[4..] {
        store.insert_durable(*leaf).unwrap();
        store.wait_idle();
    }
    let segments: Vec<_> =
        disk.files().into_iter().filter(|file| file.kind == FileKind::Segment).collect();
    assert!(segments.len() >= 3, "{segments:?}");
    for segment in segments {
        let bytes = disk.read(segment).unwrap();
        for at in (0..bytes.len()).step_by(4096).filter(|at| bytes[*at] != 0) {
            let image = disk.crash(CrashChoice::NothingKept);
            let mut bytes = bytes.clone();
            bytes[at + 130] ^= 1;
            image.put(segment, &bytes);
            match Setup::PLAIN.open(&image) {
                Ok(store) => {
                    let size = store.size().get();
                    assert!(size >= 7, "{segment} at {}: {size} of 8", ByteOffset(at as u64));
                }
                Err(Error::Damaged(_)) => {}
                Err(error) => panic!("{segment} at {at}: {}", words(&error)),
            }
        }
    }
}

#[test]
fn threads_that_insert_while_checkpoints_run_lose_nothing_to_a_power_cut() {
    let disk = SimDisk::new();
    disk.record();
    let config = Setup::PLAIN
        .config(&disk)
        .flush_policy(FlushPolicy::interval(Duration::from_micros(200)).unwrap())
        .checkpoint_policy(CheckpointPolicy::manual().every_leaves(25).unwrap().on_close(true));
    let store = Setup::PLAIN.open_as(config).unwrap();
    // Index, leaf, and by which operation it was acknowledged.
    let inserted: Vec<(u64, Hash, u64)> = thread::scope(|scope| {
        let threads: Vec<_> = (0..4_u8)
            .map(|thread| {
                let (store, disk) = (&store, &disk);
                scope.spawn(move || {
                    let insert = |number: u8| {
                        let mut leaf = [thread; 32];
                        leaf[0] = number;
                        let inserted = store.insert(leaf).unwrap();
                        if number.is_multiple_of(3) {
                            store.flush().unwrap();
                        }
                        inserted.token.wait().unwrap();
                        (inserted.index.get(), leaf, disk.operations())
                    };
                    (0..40).map(insert).collect::<Vec<_>>()
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    store.wait_idle();
    assert!(store.stats().checkpoints > 0);
    store.close().unwrap();
    let mut leaves = vec![[0; 32]; inserted.len()];
    for (index, leaf, _) in &inserted {
        leaves[usize::try_from(*index).unwrap()] = *leaf;
    }
    let mut model = model();
    model.submit(&leaves);
    let last = disk.operations();
    for moment in 0..=last {
        let acked = inserted.iter().filter(|(_, _, at)| *at <= moment);
        let acked = acked.map(|(index, _, _)| index + 1).max().unwrap_or(0);
        for choice in [CrashChoice::NothingKept, CrashChoice::Seeded(moment)] {
            let image = disk.crash_at(moment, choice).unwrap();
            let store = Setup::PLAIN.open(&image).unwrap();
            let size = store.size().get();
            assert!(size >= acked, "{size} of {acked} after {moment} of {last}, {choice:?}");
            if let Err(finding) = crate::check::same(&store, &model) {
                panic!("after {moment} of {last}, {choice:?}: {finding:?}");
            }
            crate::setup::abandon(&image, store);
        }
    }
}

#[test]
fn a_part_whose_bytes_cannot_be_handed_over_is_not_put_in_place() {
    let disk = SimDisk::new();
    let store = Setup::PLAIN.open(&disk).unwrap();
    let leaves = model();
    let handing = When::nth(OperationKind::WriteBack, 1).on(FileKind::Part);
    // Parts of less than a step are not handed over in steps.
    store.insert_many(&leaves.next(20_000)).unwrap();
    disk.inject(Fault::new(handing, FaultError::EIO));
    let error = store.checkpoint().unwrap_err();
    assert!(words(&error).contains(".part"), "{}", words(&error));
    assert_eq!(store.stats().failed_checkpoints, 1);
    assert_eq!(left(&disk).len(), 20_000, "the log has them");
    assert_eq!(store.checkpoint().unwrap().leaves, 20_000, "the next one is made");
    assert_eq!(left(&disk).len(), 20_000);
}

#[test]
fn a_large_segment_is_freed_a_little_at_a_time() {
    const STEP: u64 = 4 << 20;
    let disk = SimDisk::new();
    let config = Setup::PLAIN.config(&disk).wal_segment_bytes(4 * STEP).unwrap().wal_spare_bytes(0);
    let store = Setup::PLAIN.open_as(config).unwrap();
    let leaves = vec![[7; 32]; (4 * STEP / 32) as usize];
    for _ in 0..3 {
        store.insert_many(&leaves).unwrap();
        store.flush().unwrap();
    }
    store.checkpoint().unwrap();
    let trace = disk.trace();
    let mut lengths = std::collections::BTreeMap::new();
    let mut removed = 0;
    for operation in trace {
        match operation {
            Operation::Allocate { file, len } => drop(lengths.insert(file, len)),
            Operation::Remove(file) if file.kind == FileKind::Segment => {
                let left = lengths[&file];
                assert!(left <= STEP, "{left} bytes of {file} were freed at once");
                removed += 1;
            }
            _ => {}
        }
    }
    assert!(removed >= 2, "{removed} segments were removed");
}
