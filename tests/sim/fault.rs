//! Calls that fail, calls that wait, and what they leave behind.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::thread;

use duramen::fs::{Access, Dir};
use duramen::testing::sim::{Fault, FaultError, OperationKind, When};

use super::*;

const SYNC: When = When::nth(OperationKind::Sync, 1);
const WRITE: When = When::nth(OperationKind::Write, 1);

fn read(file: &dyn File, at: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    file.read_at(ByteOffset(at), &mut bytes).unwrap();
    bytes
}

#[test]
fn what_a_failed_sync_lost_is_readable_and_never_durable_again() {
    let disk = disk();
    let file = synced(&disk, SEGMENT, &[1; 512]);
    write(&*file, 0, &[2; 1024]);
    disk.inject(Fault::new(SYNC, FaultError::EIO));
    assert_eq!(file.sync().unwrap_err().raw_os_error(), Some(5));
    file.sync().unwrap();
    assert_eq!(read(&*file, 0, 1024), [2; 1024], "the page cache has it");
    assert_eq!(disk.kill().read(SEGMENT).unwrap(), [2; 1024], "so has the next process");
    for bytes in left(&disk, SEGMENT, 50) {
        assert_eq!(bytes, Some(vec![1; 512]), "the disk has not");
    }
}

#[test]
fn the_next_process_sees_the_truth_once_it_has_dropped_the_cache() {
    let disk = disk();
    let file = synced(&disk, SEGMENT, &[1; 1024]);
    write(&*file, 0, &[2; 1024]);
    disk.inject(Fault::new(SYNC, FaultError::EIO));
    file.sync().unwrap_err();
    write(&*file, 512, &[3; 512]);
    let killed = disk.kill();
    let reopened = killed.open(SEGMENT, Access::ReadWrite).unwrap();
    assert_eq!(read(&*reopened, 0, 1024), [[2; 512], [3; 512]].concat());
    reopened.drop_cache();
    assert_eq!(read(&*reopened, 0, 1024), [[1; 512], [3; 512]].concat(), "dirty sectors stay");
}

#[test]
fn handing_over_makes_nothing_durable() {
    let disk = disk();
    let file = synced(&disk, SEGMENT, &[1; 512]);
    write(&*file, 0, &[2; 512]);
    file.write_back(ByteOffset(0), 512).unwrap();
    let left = BTreeSet::from_iter(left(&disk, SEGMENT, 50));
    for byte in [1, 2] {
        assert!(left.contains(&Some(vec![byte; 512])), "never {byte} after a power cut");
    }
}

#[test]
fn what_failed_to_be_handed_over_is_lost_and_the_next_sync_does_not_tell() {
    let disk = disk();
    let file = synced(&disk, SEGMENT, &[1; 512]);
    write(&*file, 0, &[2; 512]);
    disk.inject(Fault::new(When::nth(OperationKind::WriteBack, 1), FaultError::EIO));
    file.write_back(ByteOffset(0), 512).unwrap_err();
    file.sync().unwrap();
    let left = BTreeSet::from_iter(left(&disk, SEGMENT, 50));
    assert_eq!(left, BTreeSet::from([Some(vec![1; 512])]));
}

#[test]
fn what_is_written_again_after_a_failed_sync_becomes_durable() {
    let disk = disk();
    let file = synced(&disk, SEGMENT, b"");
    write(&*file, 0, &[2; 1536]);
    disk.inject(Fault::new(SYNC, FaultError::EIO));
    file.sync().unwrap_err();
    write(&*file, 512, &[3; 512]);
    file.sync().unwrap();
    let left = left(&disk, SEGMENT, 50);
    let expected = [[0; 512], [3; 512], [0; 512]].concat();
    assert_eq!(BTreeSet::from_iter(left), BTreeSet::from([Some(expected)]));
}

#[test]
fn a_failed_sync_may_have_kept_any_sectors() {
    let mut seen = BTreeSet::new();
    for choice in choices(300) {
        let disk = disk();
        let file = synced(&disk, SEGMENT, &[1; 1024]);
        write(&*file, 0, &[2; 1024]);
        disk.inject(Fault::new(SYNC, FaultError::EIO).keeping(choice));
        file.sync().unwrap_err();
        let left: BTreeSet<_> = left(&disk, SEGMENT, 20).into_iter().collect();
        assert_eq!(left.len(), 1, "it is decided when the sync fails");
        seen.extend(left);
    }
    for (first, second) in [(1, 1), (1, 2), (2, 1), (2, 2)] {
        assert!(seen.contains(&Some([[first; 512], [second; 512]].concat())), "{first} {second}");
    }
}

#[test]
fn a_failed_write_may_have_written_any_sectors() {
    let mut seen = BTreeSet::new();
    for choice in choices(100) {
        let disk = disk();
        let file = synced(&disk, SEGMENT, &[1; 1024]);
        disk.inject(Fault::new(WRITE, ErrorKind::StorageFull).keeping(choice));
        let error = try_write(&*file, 256, &[2; 1024]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::StorageFull);
        seen.insert(disk.read(SEGMENT).unwrap());
    }
    let mut expected = BTreeSet::new();
    for kept in 0..8_u8 {
        let mut bytes = vec![1; 1024];
        for (bit, range) in [256..512, 512..1024, 1024..1280].into_iter().enumerate() {
            if kept & (1 << bit) != 0 {
                bytes.resize(bytes.len().max(range.end), 0);
                bytes[range].fill(2);
            }
        }
        expected.insert(bytes);
    }
    assert_eq!(seen, expected);
}

#[test]
fn failed_changes_of_names_have_happened_or_not() {
    for (kept, happens) in [(CrashChoice::NothingKept, false), (CrashChoice::AllKept, true)] {
        let disk = disk();
        let failing = |disk: &SimDisk| {
            let next = When::operation(disk.operations() + 1);
            disk.inject(Fault::new(next, FaultError::EIO).keeping(kept));
        };
        failing(&disk);
        assert_eq!(disk.create(PART).unwrap_err().raw_os_error(), Some(5));
        assert_eq!(disk.files().contains(&PART), happens);
        disk.put(PART, b"part");
        failing(&disk);
        disk.rename(PART, PART.tmp()).unwrap_err();
        assert_eq!(disk.files(), if happens { [PART.tmp()] } else { [PART] });
        disk.erase(PART.tmp());
        disk.put(PART, b"part");
        failing(&disk);
        disk.remove(PART).unwrap_err();
        assert_eq!(disk.files().is_empty(), happens);
        disk.put(PART, b"part");
        let file = disk.open(PART, Access::ReadWrite).unwrap();
        failing(&disk);
        file.allocate(9).unwrap_err();
        assert_eq!(file.len().unwrap(), if happens { 9 } else { 4 });
    }
}

#[test]
fn a_name_is_in_doubt_after_a_failed_sync_of_its_directory() {
    let disk = disk();
    disk.create(PART.tmp()).unwrap().sync().unwrap();
    disk.inject(Fault::new(When::nth(OperationKind::SyncDir, 1), FaultError::EIO));
    disk.sync_dir(Dir::Parts).unwrap_err();
    disk.sync_dir(Dir::Parts).unwrap();
    assert_eq!(disk.files(), [PART.tmp()]);
    for choice in choices(50) {
        assert_eq!(disk.crash(choice).files(), [], "a later sync proves nothing");
    }
    disk.rename(PART.tmp(), PART).unwrap();
    disk.sync_dir(Dir::Parts).unwrap();
    assert_eq!(disk.crash(CrashChoice::NothingKept).files(), [PART]);
}

#[test]
fn a_fault_fires_once_or_for_ever_on_what_it_is_about() {
    let disk = disk();
    let segment = disk.create(SEGMENT).unwrap();
    let part = disk.create(PART).unwrap();
    let second = When::nth(OperationKind::Sync, 2).on(FileKind::Segment);

    disk.inject(Fault::new(second, FaultError::EIO));
    let outcomes = |disk: &SimDisk| {
        let mut outcomes = Vec::new();
        for _ in 0..4 {
            part.sync().unwrap();
            try_write(&*segment, 0, b"x").unwrap();
            disk.sync_dir(Dir::Wal).unwrap();
            outcomes.push(segment.sync().is_ok());
        }
        outcomes
    };
    assert_eq!(outcomes(&disk), [true, false, true, true]);
    disk.inject(Fault::new(second, FaultError::EIO).for_ever());
    assert_eq!(outcomes(&disk), [true, false, false, false]);
    disk.clear_faults();
    assert_eq!(outcomes(&disk), [true; 4]);

    disk.inject(Fault::new(When::operation(disk.operations() + 2), FaultError::EROFS).for_ever());
    segment.sync().unwrap();
    assert_eq!(segment.sync().unwrap_err().kind(), ErrorKind::ReadOnlyFilesystem);
    assert_eq!(disk.remove(PART).unwrap_err().kind(), ErrorKind::ReadOnlyFilesystem);
    assert_eq!(disk.files(), [SEGMENT, PART]);
    assert!(read(&*segment, 0, 1) == b"x", "reads go on");
}

#[test]
fn a_stopped_disk_does_nothing_more() {
    let disk = disk();
    let file = synced(&disk, SEGMENT, b"synced");
    disk.stop_after(disk.operations() + 1);
    write(&*file, 6, b" written");
    let done = disk.operations();
    try_write(&*file, 0, b"late").unwrap_err();
    file.sync().unwrap_err();
    file.allocate(0).unwrap_err();
    file.len().unwrap_err();
    file.read_at(ByteOffset(0), &mut [0]).unwrap_err();
    file.map(1).unwrap_err();
    disk.make_dirs().unwrap_err();
    disk.create(PART).unwrap_err();
    disk.open(SEGMENT, Access::Read).unwrap_err();
    disk.rename(SEGMENT, SEGMENT.tmp()).unwrap_err();
    disk.remove(SEGMENT).unwrap_err();
    disk.sync_dir(Dir::Wal).unwrap_err();
    disk.list(Dir::Wal).unwrap_err();
    disk.lock().unwrap_err();
    assert_eq!(disk.operations(), done);
    assert_eq!(disk.crash(CrashChoice::AllKept).read(SEGMENT).unwrap(), b"synced written");
    assert_eq!(disk.crash(CrashChoice::NothingKept).read(SEGMENT).unwrap(), b"synced");
}

#[test]
fn reads_fail_where_they_are_told_to() {
    let disk = disk();
    let file = synced(&disk, PART, &[1; 1000]);
    disk.fail_reads(PART, 100..200, FaultError::EIO);
    for (at, len) in [(0, 101), (150, 1), (199, 500), (0, 1000)] {
        let error = file.read_at(ByteOffset(at), &mut vec![0; len]).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(5), "{len} bytes at {at}");
    }
    assert_eq!(read(&*file, 0, 100), [1; 100]);
    assert_eq!(read(&*file, 200, 800), [1; 800]);
    file.map(101).unwrap_err();
    file.map(100).unwrap();
    file.sync().unwrap();
    disk.clear_faults();
    assert_eq!(read(&*file, 0, 1000), [1; 1000]);
}

#[test]
fn a_full_disk_takes_what_there_is_room_for() {
    let disk = disk();
    let file = synced(&disk, SEGMENT, &[1; 700]);
    assert_eq!(disk.used_space(), 1024);
    disk.limit_space(Some(2048));
    write(&*file, 700, &[2; 324]);
    let error = try_write(&*file, 1024, &[3; 2000]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StorageFull);
    assert_eq!(file.len().unwrap(), 2048);
    assert_eq!(read(&*file, 1024, 1024), [3; 1024]);
    assert_eq!(file.allocate(2049).unwrap_err().kind(), ErrorKind::StorageFull);
    let other = disk.create(PART).unwrap();
    assert_eq!(try_write(&*other, 0, b"x").unwrap_err().kind(), ErrorKind::StorageFull);
    assert_eq!(other.len().unwrap(), 0);
    write(&*file, 0, &[4; 2048]);
    file.allocate(1024).unwrap();
    other.allocate(1024).unwrap();
    disk.remove(SEGMENT).unwrap();
    write(&*other, 1024, &[5; 1024]);
    assert_eq!(other.allocate(5000).unwrap_err().kind(), ErrorKind::StorageFull);
    disk.limit_space(None);
    other.allocate(5000).unwrap();
}

#[test]
fn a_held_sync_covers_what_was_written_before_it_was_called_and_no_more() {
    let disk = disk();
    let file = synced(&disk, SEGMENT, &[1; 1024]);
    write(&*file, 0, &[2; 512]);
    let hold = disk.hold(SYNC);
    assert!(!hold.is_reached());
    thread::scope(|scope| {
        let syncing = scope.spawn(|| file.sync());
        hold.wait_reached();
        assert!(hold.is_reached() && !syncing.is_finished());
        assert_eq!(disk.crash(CrashChoice::NothingKept).read(SEGMENT).unwrap(), [1; 1024]);
        write(&*file, 0, &[3; 1500]);
        hold.release();
        syncing.join().unwrap().unwrap();
    });
    let nothing = disk.crash(CrashChoice::NothingKept).read(SEGMENT).unwrap();
    assert_eq!(nothing, [[2; 512], [1; 512]].concat());
    assert_eq!(disk.crash(CrashChoice::AllKept).read(SEGMENT).unwrap(), [3; 1500]);
    file.sync().unwrap();
    assert_eq!(disk.crash(CrashChoice::NothingKept).read(SEGMENT).unwrap(), [3; 1500]);
}

#[test]
fn a_held_write_takes_effect_after_those_that_overtook_it() {
    let disk = disk();
    let file = synced(&disk, SEGMENT, &[1; 512]);
    let hold = disk.hold(WRITE);
    thread::scope(|scope| {
        let writing = scope.spawn(|| try_write(&*file, 0, &[2; 512]));
        hold.wait_reached();
        write(&*file, 0, &[3; 512]);
        drop(hold);
        writing.join().unwrap().unwrap();
    });
    assert_eq!(disk.read(SEGMENT).unwrap(), [2; 512]);
    file.sync().unwrap();
    assert_eq!(disk.crash(CrashChoice::NothingKept).read(SEGMENT).unwrap(), [2; 512]);
}

#[test]
fn a_sync_does_not_cover_a_held_write_that_took_effect_after_it_was_called() {
    let disk = disk();
    let file = synced(&disk, SEGMENT, &[1; 512]);
    let (held_write, held_sync) = (disk.hold(WRITE), disk.hold(SYNC));
    thread::scope(|scope| {
        let writing = scope.spawn(|| try_write(&*file, 0, &[2; 512]));
        held_write.wait_reached();
        let syncing = scope.spawn(|| file.sync());
        held_sync.wait_reached();
        held_write.release();
        writing.join().unwrap().unwrap();
        held_sync.release();
        syncing.join().unwrap().unwrap();
    });
    assert_eq!(disk.read(SEGMENT).unwrap(), [2; 512]);
    assert_eq!(disk.crash(CrashChoice::NothingKept).read(SEGMENT).unwrap(), [1; 512]);
}

#[test]
fn a_held_call_fails_when_the_disk_stops_meanwhile() {
    let disk = disk();
    let file = synced(&disk, SEGMENT, &[1; 512]);
    write(&*file, 0, &[2; 512]);
    let hold = disk.hold(SYNC);
    thread::scope(|scope| {
        let syncing = scope.spawn(|| file.sync());
        hold.wait_reached();
        disk.stop_after(0);
        hold.release();
        syncing.join().unwrap().unwrap_err();
    });
    assert_eq!(disk.crash(CrashChoice::NothingKept).read(SEGMENT).unwrap(), [1; 512]);
}
