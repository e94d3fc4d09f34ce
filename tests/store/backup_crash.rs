//! A copy onto a simulated disk: the power cut at every moment of it, every operation failing, and the
//! store going on while one hangs.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use duramen::fs::{FileKind, FileName};
use duramen::testing::sim::{CrashChoice, Fault, FaultError, OperationKind, SimDisk, When};
use duramen::{
    Arity, Blake3, CheckpointPolicy, CompactionPolicy, Config, DynAccumulator, Error, FlushPolicy,
    Hash, Problem, Reader,
};
use testkit::hooked::Hooked;
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
    DynAccumulator::open(config(disk).create(false), Arc::new(Blake3), Arity::Four)
}

/// A store with checkpoints after these of its eight groups, and the rest in several segments of log.
fn source_with(checkpoints: &[usize]) -> (SimDisk, DynAccumulator, Vec<Hash>) {
    let disk = SimDisk::new();
    let store = DynAccumulator::open(config(&disk), Arc::new(Blake3), Arity::Four).unwrap();
    let all = leaves(200, 4);
    for (number, leaves) in all.chunks(25).enumerate() {
        store.insert_many(leaves).unwrap();
        store.flush().unwrap();
        if checkpoints.contains(&number) {
            store.checkpoint().unwrap();
        }
    }
    store.wait_idle();
    (disk, store, all)
}

/// A store with two parts.
fn source() -> (SimDisk, DynAccumulator, Vec<Hash>) {
    source_with(&[1, 3])
}

fn copy(store: &impl AsRef<DynAccumulator>, to: &SimDisk) -> Result<duramen::BackupInfo, Error> {
    let store = store.as_ref();
    store.snapshot_to_config(&config(to))
}

/// What is on the disk opens with these leaves.
fn check(disk: &SimDisk, leaves: &[Hash], what: &str) {
    let store = open(disk).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(store.leaves(0..store.size().get()).unwrap(), leaves, "{what}");
    assert_eq!(store.head().unwrap().root, root_of(&Blake3, Arity::Four, leaves), "{what}");
    store.insert_durable([1; 32]).unwrap();
    store.close().unwrap();
}

/// Whether the disk holds the whole copy. If not, it holds nothing or is refused, in every way.
fn is_whole(disk: &SimDisk, leaves: &[Hash], what: &str) -> bool {
    let reader = Reader::open(config(disk), Arc::new(Blake3), Arity::Four);
    let manifest_gone = |error: &Error| match error {
        Error::Damaged(damage) => match damage.problem {
            Problem::UnfinishedBackup => true,
            // The mark goes last.
            Problem::NoManifest => damage.file.ends_with("manifest"),
            _ => false,
        },
        _ => false,
    };
    match reader {
        Ok(reader) => {
            assert_eq!(reader.size().get(), leaves.len() as u64, "{what}");
            check(disk, leaves, what);
            return true;
        }
        Err(Error::NoStore { .. }) => assert!(disk.files().is_empty(), "{what}"),
        Err(error) => {
            assert!(manifest_gone(&error), "{what}: {error}");
            assert!(!disk.files().is_empty(), "{what}");
            // Nor is a new store made there.
            let made = DynAccumulator::open(config(disk), Arc::new(Blake3), Arity::Four);
            assert!(manifest_gone(&made.unwrap_err()), "{what}");
        }
    }
    assert!(matches!(open(disk), Err(Error::NoStore { .. } | Error::Damaged(_))), "{what}");
    false
}

#[test]
fn a_power_cut_at_any_moment_leaves_nothing_or_what_is_refused_or_the_whole_copy() {
    let (mut images, mut moments, mut whole) = (0, 0, 0);
    for checkpoints in [&[1, 3][..], &[]] {
        let (_, store, all) = source_with(checkpoints);
        let disk = SimDisk::new();
        disk.record();
        let info = copy(&store, &disk).unwrap();
        assert_eq!((info.parts, info.bytes_linked), (checkpoints.len() as u64, 0));
        let done = disk.operations();
        moments += done + 1;
        let choices = [CrashChoice::NothingKept, CrashChoice::AllKept];
        for choice in choices.into_iter().chain((0..48).map(CrashChoice::Seeded)) {
            for moment in 0..=done {
                let what = format!("{moment} of {done} operations, {choice:?}");
                images += 1;
                let image = disk.crash_at(moment, choice).unwrap();
                if is_whole(&image, &all, &what) {
                    whole += 1;
                } else {
                    assert!(moment < done, "{what}: a copy that was reported is gone");
                    // The mark has a durable name before there is anything else.
                    let seen = disk.crash_at(moment, CrashChoice::AllKept).unwrap().files();
                    assert!(seen.len() < 2 || !image.files().is_empty(), "{what}: {seen:?}");
                }
            }
        }
        store.close().unwrap();
    }
    println!("{images} crash images at {moments} moments, {whole} of them whole");
    assert!(moments > 40 && whole > 100 && images > 2 * whole);
}

#[test]
fn any_operation_that_fails_is_an_error_and_what_is_left_is_refused_or_whole() {
    let (_, store, mut all) = source();
    let operations = {
        let disk = SimDisk::new();
        copy(&store, &disk).unwrap();
        disk.operations()
    };
    for number in 1..=operations {
        for (error, for_ever) in
            [(FaultError::EIO, false), (FaultError::EIO, true), (FaultError::ENOSPC, true)]
        {
            let what = format!("{error:?} at {number}, for ever: {for_ever}");
            let disk = SimDisk::new();
            let fault = Fault::new(When::operation(number), error);
            disk.inject(if for_ever { fault.for_ever() } else { fault });
            let failed = copy(&store, &disk).unwrap_err();
            assert!(matches!(failed, Error::Io { .. }), "{what}: {failed}");
            for choice in [CrashChoice::NothingKept, CrashChoice::AllKept] {
                is_whole(&disk.crash(choice), &all, &what);
            }
            // The store has not noticed, and where nothing is left the copy can be made again.
            let leaf = [u8::try_from(number).unwrap(); 32];
            store.insert_durable(leaf).unwrap();
            all.push(leaf);
            disk.clear_faults();
            match copy(&store, &disk) {
                Ok(info) => {
                    assert_eq!(crate::backup::head_in(&info), store.head().unwrap());
                    check(&disk, &all, &what);
                }
                Err(error) => assert!(matches!(error, Error::NotEmpty { .. }), "{what}: {error}"),
            }
        }
    }
    store.close().unwrap();
}

#[test]
fn the_store_inserts_checkpoints_and_merges_while_a_copy_hangs() {
    for when in [
        When::nth(OperationKind::Create, 2).on(FileKind::Part),
        When::nth(OperationKind::Create, 3).on(FileKind::Part),
        When::nth(OperationKind::Create, 1).on(FileKind::Segment),
        When::nth(OperationKind::Create, 2).on(FileKind::Segment),
    ] {
        let (disk, store, all) = source();
        let target = SimDisk::new();
        let hold = target.hold(when);
        std::thread::scope(|scope| {
            let copying = scope.spawn(|| copy(&store, &target).unwrap());
            hold.wait_reached();
            let parts = |disk: &SimDisk| {
                disk.files().iter().filter(|name| name.kind == FileKind::Part).count() as u64
            };
            let needed = parts(&disk);
            let mut now = all.clone();
            for round in 0..12 {
                let new = leaves(40, 50 + round);
                store.insert_many(&new).unwrap();
                now.extend(new);
                store.checkpoint().unwrap();
            }
            store.wait_idle();
            assert!(store.stats().compactions > 0, "nothing was merged");
            assert_eq!(store.leaves(0..now.len() as u64).unwrap(), now);
            // Parts that came and were merged meanwhile are not kept for it.
            assert!(parts(&disk) <= needed + store.stats().parts);
            let held = disk.files().len();
            hold.release();
            let info = copying.join().unwrap();
            assert_eq!(crate::backup::head_in(&info).size.get(), all.len() as u64);
            assert_eq!(crate::backup::head_in(&info).root, root_of(&Blake3, Arity::Four, &all));
            // What was kept for the copy is released.
            store.insert_durable([3; 32]).unwrap();
            store.checkpoint().unwrap();
            store.wait_idle();
            assert_eq!(parts(&disk), store.stats().parts);
            assert!(disk.files().len() < held, "{held} files");
        });
        store.close().unwrap();
        check(&target, &all, "copied while it went on");
        let store = open(&disk).unwrap();
        assert_eq!(store.recovery().removed, Vec::<std::path::PathBuf>::new());
        store.close().unwrap();
    }
}

#[test]
fn a_copy_from_outside_is_made_anew_when_the_log_was_used_again_meanwhile() {
    let segments = {
        let ((_, store, _), target) = (source(), SimDisk::new());
        copy(&store, &target).unwrap();
        target.files().iter().filter(|name| name.kind == FileKind::Segment).count() as u64
    };
    assert!(segments > 2);
    let mut again = 0;
    for nth in 1..=segments {
        let (disk, store, mut all) = source();
        let target = SimDisk::new();
        // The source's segment is open and measured by then, and nothing of it copied.
        let hold = target.hold(When::nth(OperationKind::Create, nth).on(FileKind::Segment));
        let reader = Reader::open(config(&disk), Arc::new(Blake3), Arity::Four).unwrap();
        let info = std::thread::scope(|scope| {
            let copying = scope.spawn(|| reader.snapshot_to_config(&config(&target)).unwrap());
            hold.wait_reached();
            for round in 0..12 {
                let new = leaves(40, 50 + round);
                store.insert_many(&new).unwrap();
                all.extend(new);
                store.checkpoint().unwrap();
            }
            store.wait_idle();
            hold.release();
            copying.join().unwrap()
        });
        // What was there first if it could be copied in time, else what is there now.
        let size = usize::try_from(crate::backup::head_in(&info).size.get()).unwrap();
        assert!(size == 200 || size == all.len(), "{size}");
        again += u32::from(size == all.len());
        assert_eq!(crate::backup::head_in(&info), store.head_at(size as u64).unwrap());
        check(&target, &all[..size], "copied from outside");
        store.close().unwrap();
    }
    assert!(again > 0, "nothing was copied anew");
}

#[test]
fn what_cannot_be_read_is_not_copied_and_the_error_names_it() {
    let (disk, store, all) = source();
    let files: Vec<FileName> = disk.files();
    for name in files.into_iter().filter(|name| name.kind != FileKind::Manifest) {
        disk.fail_reads(name, 0..1 << 20, FaultError::EIO);
        let target = SimDisk::new();
        match copy(&store, &target) {
            Ok(_) => check(&target, &all, "without a file that is not needed"),
            Err(error) => {
                assert!(matches!(error, Error::Io { .. }), "{error}");
                assert!(error.to_string().contains(&name.to_string()), "{error}, {name}");
                assert!(target.files().is_empty());
            }
        }
        disk.clear_faults();
    }
    store.close().unwrap();
}

/// How many operations of this kind there were on files of this kind.
fn count(disk: &SimDisk, kind: OperationKind, file: FileKind) -> usize {
    let concerns = |name: FileName| name.kind == file;
    let trace = disk.trace();
    trace.iter().filter(|done| done.kind() == kind && done.file().is_some_and(concerns)).count()
}

#[test]
fn a_failure_of_the_target_ends_a_copy_from_outside_at_once_however_the_source_moves() {
    use OperationKind::{Create, Sync, Write, WriteBack};
    for (kind, file, nth) in [
        // The first is the mark.
        (Create, FileKind::Part, 2),
        (Write, FileKind::Part, 1),
        (WriteBack, FileKind::Part, 1),
        (Sync, FileKind::Part, 1),
        (Create, FileKind::Segment, 1),
        (Write, FileKind::Segment, 1),
        (WriteBack, FileKind::Segment, 1),
        (Sync, FileKind::Segment, 1),
    ] {
        for error in [FaultError::ENOSPC, FaultError::EROFS, FaultError::Os(13)] {
            let (disk, store, _) = source();
            let to = SimDisk::new();
            to.inject(Fault::new(When::nth(kind, nth).on(file), error).for_ever());
            // Whenever a file is made there, the source gets another manifest.
            let moving = Hooked::new(&to).on_create(move |name| {
                if name.kind == file {
                    store.insert([1; 32]).unwrap();
                    store.checkpoint().unwrap();
                }
            });
            let reader = Reader::open(config(&disk), Arc::new(Blake3), Arity::Four).unwrap();
            let target = config(&to).file_system(Arc::new(moving));
            let found = reader.snapshot_to_config(&target).unwrap_err();
            let what = format!("{kind:?} on {file:?}: {found}");
            let Error::Io { source, .. } = found else { panic!("{what}") };
            assert_eq!(FaultError::Os(source.raw_os_error().unwrap()), error, "{what}");
            assert_eq!(count(&to, kind, file) as u64, nth, "{what}");
        }
    }
}

#[test]
fn what_comes_of_a_source_that_moves_is_tried_again() {
    let (disk, store, all) = source();
    let store = Arc::new(store);
    let to = SimDisk::new();
    let (mover, moved) = (Arc::clone(&store), AtomicU64::new(0));
    // Three times the log is gone, or used again, while it is being copied.
    let moving = Hooked::new(&to).on_create(move |name| {
        if name.kind == FileKind::Segment && moved.fetch_add(1, Ordering::Relaxed) < 3 {
            mover.checkpoint().unwrap();
            for seed in 0..8 {
                mover.insert_many(&leaves(100, seed)).unwrap();
                mover.flush().unwrap();
            }
        }
    });
    let reader = Reader::open(config(&disk), Arc::new(Blake3), Arity::Four).unwrap();
    let target = config(&to).file_system(Arc::new(moving));
    let info = reader.snapshot_to_config(&target).unwrap();
    assert!(crate::backup::head_in(&info).size.get() > all.len() as u64);
    let size = crate::backup::head_in(&info).size.get();
    check(&to, &store.leaves(0..size).unwrap(), "after three moves");
}

#[test]
fn a_copy_that_does_not_read_back_as_it_was_written_is_not_made() {
    for kind in [FileKind::Part, FileKind::Segment] {
        let (_, store, _) = source();
        let to = SimDisk::new();
        let wrong = Hooked::new(&to).on_read(move |name, _, bytes| {
            if name.kind == kind {
                bytes.iter_mut().for_each(|byte| *byte = !*byte);
            }
        });
        let target = config(&to).file_system(Arc::new(wrong));
        let found = store.snapshot_to_config(&target).unwrap_err();
        assert!(matches!(found, Error::Damaged(_)), "{kind:?}: {found}");
        assert_eq!(to.files(), Vec::new(), "{kind:?}");
        store.close().unwrap();
    }
}

/// A copy that stops before the first part is made in it, until it is told to go on.
struct Stopped {
    to: SimDisk,
    begun: Receiver<()>,
    go_on: Sender<()>,
}

/// Begins to copy `store` on another thread.
fn copy_that_stops<'a>(
    threads: &'a std::thread::Scope<'a, '_>,
    store: &'a DynAccumulator,
) -> (Stopped, std::thread::ScopedJoinHandle<'a, duramen::BackupInfo>) {
    let to = SimDisk::new();
    let ((begins, begun), (go_on, goes_on)) = (channel(), channel());
    let once = Mutex::new(Some((begins, goes_on)));
    let stopping = Hooked::new(&to).on_create(move |name| {
        // The first one of all is the mark of a copy that is not complete.
        if name.kind == FileKind::Part
            && name.number > 0
            && let Some((begins, goes_on)) = once.lock().unwrap().take()
        {
            begins.send(()).unwrap();
            goes_on.recv().unwrap();
        }
    });
    let target = config(&to).file_system(Arc::new(stopping));
    let copying = threads.spawn(move || store.snapshot_to_config(&target).unwrap());
    (Stopped { to, begun, go_on }, copying)
}

#[test]
fn what_two_copies_need_stays_until_both_are_made_and_is_removed_then() {
    let (disk, store, all) = source();
    let there =
        |parts: &[FileName]| parts.iter().filter(|part| disk.read(**part).is_some()).count();
    let before: Vec<_> =
        disk.files().into_iter().filter(|file| file.kind == FileKind::Part).collect();
    assert_eq!(before.len(), 2);
    std::thread::scope(|threads| {
        let (first, first_thread) = copy_that_stops(threads, &store);
        let (second, second_thread) = copy_that_stops(threads, &store);
        first.begun.recv().unwrap();
        second.begun.recv().unwrap();
        for seed in 0..8 {
            store.insert_many(&leaves(50, seed)).unwrap();
            store.checkpoint().unwrap();
            store.wait_idle();
        }
        let stats = store.stats();
        assert!(stats.compactions > 0 && stats.parts < 10, "{stats:?}");
        assert_eq!(there(&before), 2, "merged, and still there");
        first.go_on.send(()).unwrap();
        first_thread.join().unwrap();
        assert_eq!(there(&before), 2, "the second copy needs them");
        second.go_on.send(()).unwrap();
        second_thread.join().unwrap();
        assert_eq!(there(&before), 0);
        for to in [first.to, second.to] {
            check(&to, &all, "a copy beside another one");
        }
    });
    store.close().unwrap();
}
