//! The same calls leave the same trace and the same bytes, and every moment of a run can be had again.

use duramen::fs::Dir;
use duramen::testing::sim::{Operation, OperationKind};

use super::*;

/// A run that touches everything.
fn run(disk: &SimDisk) -> std::io::Result<()> {
    disk.make_dirs()?;
    let segment = disk.create(SEGMENT)?;
    segment.allocate(4096)?;
    disk.sync_dir(Dir::Wal)?;
    for round in 1..=3 {
        try_write(&*segment, u64::from(round) * 700, &[round; 900])?;
        if round != 2 {
            segment.sync()?;
        }
    }
    let part = disk.create(PART.tmp())?;
    try_write(&*part, 0, &[9; 3000])?;
    part.sync()?;
    disk.rename(PART.tmp(), PART)?;
    disk.sync_dir(Dir::Parts)?;
    disk.remove(SEGMENT)
}

/// Everything on the disk.
fn image(disk: &SimDisk) -> Vec<(FileName, Vec<u8>)> {
    disk.files().into_iter().map(|name| (name, disk.read(name).unwrap())).collect()
}

#[test]
fn two_runs_leave_the_same_trace_and_the_same_crashes() {
    let (first, second) = (SimDisk::new(), SimDisk::new());
    run(&first).unwrap();
    run(&second).unwrap();
    assert_eq!(first.trace(), second.trace());
    for choice in choices(50) {
        let crashed = image(&first.crash(choice));
        assert_eq!(crashed, image(&second.crash(choice)));
        assert_eq!(crashed, image(&first.crash(choice)), "a crash does not change the disk");
    }
}

#[test]
fn the_trace_shows_the_calls_in_order() {
    let disk = SimDisk::new();
    run(&disk).unwrap();
    let trace = disk.trace();
    assert_eq!(trace.len() as u64, disk.operations());
    assert_eq!(
        trace[..3],
        [
            Operation::MakeDirs,
            Operation::Create(SEGMENT),
            Operation::Allocate { file: SEGMENT, len: 4096 },
        ]
    );
    assert_eq!(trace[4], Operation::Write { file: SEGMENT, at: ByteOffset(700), len: 900 });
    assert_eq!(trace.last(), Some(&Operation::Remove(SEGMENT)));
    let renames = trace.iter().filter(|it| it.kind() == OperationKind::Rename);
    let shown: Vec<_> = renames.map(ToString::to_string).collect();
    assert_eq!(shown, ["rename parts/00000001.part.tmp to parts/00000001.part"]);
}

#[test]
fn a_recorded_moment_is_the_end_of_a_run_that_stopped_there() {
    let recorded = SimDisk::new();
    recorded.record();
    run(&recorded).unwrap();
    for moment in 0..=recorded.operations() {
        let stopped = SimDisk::new();
        stopped.stop_after(moment);
        assert_eq!(run(&stopped).is_ok(), moment == recorded.operations());
        for choice in choices(40) {
            let expected = image(&stopped.crash(choice));
            let found = image(&recorded.crash_at(moment, choice).unwrap());
            assert_eq!(found, expected, "after operation {moment}, {choice:?}");
        }
    }
    assert!(recorded.crash_at(recorded.operations() + 1, CrashChoice::AllKept).is_none());
}

#[test]
fn moments_before_the_recording_are_not_there() {
    let disk = disk();
    synced(&disk, SEGMENT, b"before");
    let before = disk.operations();
    disk.record();
    disk.remove(SEGMENT).unwrap();
    disk.sync_dir(Dir::Wal).unwrap();
    assert!(disk.crash_at(before - 1, CrashChoice::AllKept).is_none());
    let at = |moment| disk.crash_at(moment, CrashChoice::NothingKept).unwrap().files();
    assert_eq!(at(before), [SEGMENT]);
    assert_eq!(at(before + 1), [SEGMENT]);
    assert_eq!(at(before + 2), []);
}

#[test]
fn a_crash_of_a_crash_starts_from_what_the_first_one_left() {
    let disk = disk();
    let file = synced(&disk, SEGMENT, &[1; 512]);
    write(&*file, 0, &[2; 512]);
    let first = disk.crash(CrashChoice::AllKept);
    first.record();
    let file = first.open(SEGMENT, duramen::fs::Access::ReadWrite).unwrap();
    write(&*file, 512, &[3; 512]);
    let second = first.crash_at(1, CrashChoice::NothingKept).unwrap();
    assert_eq!(second.read(SEGMENT).unwrap(), [2; 512]);
}

#[test]
fn a_file_put_on_the_disk_was_there_all_along() {
    let disk = SimDisk::new();
    disk.put(SEGMENT, b"put");
    for choice in choices(20) {
        assert_eq!(disk.crash(choice).read(SEGMENT).unwrap(), b"put");
    }
    let mut bytes = disk.read(SEGMENT).unwrap();
    bytes[0] ^= 1;
    disk.put(SEGMENT, &bytes);
    assert_eq!(disk.crash(CrashChoice::NothingKept).read(SEGMENT).unwrap(), b"qut");
    assert!(disk.erase(SEGMENT) && !disk.erase(SEGMENT));
    assert_eq!(disk.operations(), 0);
    assert_eq!(disk.read(SEGMENT), None);
}
