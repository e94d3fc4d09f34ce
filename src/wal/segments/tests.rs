//! Of the supply and of its wiping.

use super::*;
use crate::fs::FileKind;
use crate::testing::sim::{CrashChoice, Fault, FaultError, OperationKind, SimDisk, When};

#[test]
fn a_hold_keeps_what_the_log_had_and_nothing_that_comes_later() {
    let disk = SimDisk::new();
    disk.make_dirs().unwrap();
    let len = Segments::SHORTEST;
    let limits = SegmentLimits { first: len, largest: len, spare: 100 * len };
    let segments = Segments::new(Arc::new(disk.clone()), limits, 1, Vec::new());
    let there = |id: u64| disk.files().contains(&SegmentId(id).file());
    segments.take(0, false).unwrap();
    segments.take(0, false).unwrap();
    let hold = segments.hold();
    segments.take(0, false).unwrap();
    segments.release_before(SegmentId(4)).unwrap();
    // The third segment was begun after the hold, so it is reused. The two before are not.
    segments.take(0, false).unwrap();
    assert!(there(1) && there(2) && !there(3) && there(4));
    segments.take(0, false).unwrap();
    assert!(there(1) && there(2) && there(5));
    drop(hold);
    segments.take(0, false).unwrap();
    segments.take(0, false).unwrap();
    assert!(!there(1) && !there(2) && there(7));
}

#[test]
fn an_onward_hold_keeps_what_comes_later_too_until_it_moves_on() {
    let disk = SimDisk::new();
    disk.make_dirs().unwrap();
    let len = Segments::SHORTEST;
    let limits = SegmentLimits { first: len, largest: len, spare: 0 };
    let segments = Arc::new(Segments::new(Arc::new(disk.clone()), limits, 1, Vec::new()));
    let there = |id: u64| disk.files().contains(&SegmentId(id).file());
    segments.take(0, false).unwrap();
    let mut hold = segments.hold_onward();
    for _ in 0..3 {
        segments.take(0, false).unwrap();
    }
    segments.release_before(SegmentId(4)).unwrap();
    assert!(there(1) && there(2) && there(3) && there(4));
    hold.move_to(SegmentId(3));
    segments.release_before(SegmentId(4)).unwrap();
    assert!(!there(1) && !there(2) && there(3));
    // A hold does not go back.
    hold.move_to(SegmentId(1));
    drop(hold);
    segments.release_before(SegmentId(4)).unwrap();
    assert!(!there(3) && there(4));
}

fn written(segment: &Segment) {
    segment.file.write_at(ByteOffset(0), &mut [IoSlice::new(b"secret")]).unwrap();
    segment.file.sync().unwrap();
}

/// How many files of `disk` have what was written.
fn secrets(disk: &SimDisk) -> usize {
    let has = |name: &FileName| disk.read(*name).unwrap().starts_with(b"secret");
    disk.files().iter().filter(|name| has(name)).count()
}

#[test]
fn once_entries_are_erased_a_file_is_zeros_before_it_is_used_again_or_removed() {
    let disk = SimDisk::new();
    disk.make_dirs().unwrap();
    let len = Segments::SHORTEST;
    let limits = SegmentLimits { first: len, largest: len, spare: 2 * len };
    let segments = Segments::new(Arc::new(disk.clone()), limits, 1, Vec::new());
    for _ in 0..3 {
        written(&segments.take(0, false).unwrap());
    }
    segments.begin_erasing();
    let hold = segments.hold();
    segments.take(0, false).unwrap();
    segments.release_before(SegmentId(4)).unwrap();
    segments.wipe_all().unwrap();
    assert_eq!(segments.unwiped(), Unwiped { files: 3, bytes: 3 * len });
    assert_eq!(secrets(&disk), 3, "they are held");
    drop(hold);
    segments.wipe_all().unwrap();
    assert_eq!((segments.unwiped(), secrets(&disk)), (Unwiped::default(), 0));
    assert_eq!(secrets(&disk.crash(CrashChoice::NothingKept)), 0);
    assert!(segments.wiped_bytes() >= 3 * b"secret".len() as u64);
    written(&segments.take(0, false).unwrap());
    assert_eq!(renames(&disk), 1);
    // What a release makes surplus is wiped as well.
    for _ in 0..3 {
        written(&segments.take(0, false).unwrap());
    }
    segments.release_before(SegmentId(segments.next_id())).unwrap();
    assert_eq!(secrets(&disk.crash(CrashChoice::NothingKept)), 0);
    assert_eq!(disk.files().len(), 2);
}

#[test]
fn a_file_that_could_not_be_wiped_is_tried_again_and_not_used_again() {
    let disk = SimDisk::new();
    disk.make_dirs().unwrap();
    let len = Segments::SHORTEST;
    let limits = SegmentLimits { first: len, largest: len, spare: 100 * len };
    let segments = Segments::new(Arc::new(disk.clone()), limits, 1, Vec::new());
    segments.begin_erasing();
    written(&segments.take(0, false).unwrap());
    segments.take(0, false).unwrap();
    let sync = When::nth(OperationKind::Sync, 1).on(FileKind::Segment);
    disk.inject(Fault::new(sync, FaultError::EIO).keeping(CrashChoice::NothingKept));
    segments.release_before(SegmentId(2)).unwrap_err();
    assert_eq!(segments.unwiped().files, 1);
    segments.wipe_all().unwrap();
    assert_eq!(secrets(&disk.crash(CrashChoice::NothingKept)), 0);
    segments.remove_surplus().unwrap();
    assert_eq!(disk.files(), [SegmentId(2).file()]);
}

#[test]
fn a_file_that_another_program_has_locked_is_wiped_once_it_is_free() {
    let dir = tempfile::tempdir().unwrap();
    let fs = crate::config::Config::new(dir.path()).make().unwrap();
    let _lock = fs.lock().unwrap();
    let len = Segments::SHORTEST;
    let limits = SegmentLimits { first: len, largest: len, spare: 100 * len };
    let segments = Segments::new(Arc::clone(&fs), limits, 1, Vec::new());
    segments.begin_erasing();
    for _ in 0..2 {
        written(&segments.take(0, false).unwrap());
    }
    let secrets = || {
        let files = std::fs::read_dir(dir.path().join("wal")).unwrap();
        let files = files.map(|file| std::fs::read(file.unwrap().path()).unwrap());
        files.filter(|bytes| bytes.starts_with(b"secret")).count()
    };
    let other = std::fs::File::open(dir.path().join(SegmentId(1).file().to_string())).unwrap();
    other.lock_shared().unwrap();
    segments.take(0, false).unwrap();
    segments.release_before(SegmentId(3)).unwrap();
    segments.wipe_all().unwrap();
    assert_eq!((segments.unwiped(), secrets()), (Unwiped { files: 1, bytes: len }, 1));
    // It is not used again meanwhile.
    segments.take(0, false).unwrap();
    segments.take(0, false).unwrap();
    assert_eq!(secrets(), 1);
    drop(other);
    segments.wipe_all().unwrap();
    assert_eq!((segments.unwiped(), secrets()), (Unwiped::default(), 0));
}

/// How often files were given a new number.
fn renames(disk: &SimDisk) -> usize {
    disk.trace().iter().filter(|done| done.kind() == OperationKind::Rename).count()
}

#[test]
fn a_short_segment_that_comes_back_from_a_hold_is_removed_once_and_never_made_ready() {
    let disk = SimDisk::new();
    disk.make_dirs().unwrap();
    let short = Segments::SHORTEST;
    let limits = SegmentLimits { first: 4 * short, largest: 4 * short, spare: 100 * short };
    // As in a copy of a store: the segment of the log is as long as its contents.
    disk.put(SegmentId(1).file(), &vec![0; usize::try_from(short).unwrap()]);
    let in_use = vec![(SegmentId(1), short)];
    let segments = Segments::new(Arc::new(disk.clone()), limits, 2, in_use);
    let hold = segments.hold();
    let mut last = segments.take(2 * short, false).unwrap().id;
    segments.release_before(last).unwrap();
    drop(hold);
    let there = disk.files();
    assert!(there.contains(&SegmentId(1).file()), "{there:?}");
    for round in 0..5 {
        segments.prepare().unwrap();
        assert!(!disk.files().contains(&SegmentId(1).file()), "round {round}");
        let next = segments.take(2 * short, true).unwrap();
        // `take` returns the prepared segment.
        assert_eq!((next.id.0, next.len), (last.0 + 1, limits.first), "round {round}");
        last = next.id;
    }
    assert_eq!(renames(&disk), 0);
}

#[test]
fn what_is_made_ready_has_room_for_what_the_log_needed_last() {
    let disk = SimDisk::new();
    disk.make_dirs().unwrap();
    let len = Segments::SHORTEST;
    let limits = SegmentLimits { first: len, largest: 8 * len, spare: 100 * len };
    let segments = Segments::new(Arc::new(disk.clone()), limits, 1, Vec::new());
    for _ in 0..3 {
        segments.take(len, false).unwrap();
    }
    let large = segments.take(8 * len, true).unwrap();
    segments.release_before(large.id).unwrap();
    let mut last = large.id;
    for round in 0..5 {
        segments.prepare().unwrap();
        let next = segments.take(8 * len, true).unwrap();
        assert_eq!((next.id.0, next.len), (last.0 + 1, 8 * len), "round {round}");
        last = next.id;
    }
    assert_eq!(renames(&disk), 0, "short ones were made ready in vain");
    // These segments are for groups that fit them.
    segments.take(len, true).unwrap();
    segments.prepare().unwrap();
    assert_eq!(renames(&disk), 2);
}

#[test]
fn after_one_huge_group_segments_are_made_ready_as_before() {
    let disk = SimDisk::new();
    disk.make_dirs().unwrap();
    let len = Segments::SHORTEST;
    let limits = SegmentLimits { first: len, largest: 2 * len, spare: 100 * len };
    let segments = Segments::new(Arc::new(disk), limits, 1, Vec::new());
    assert_eq!(segments.take(50 * len, true).unwrap().len, 50 * len);
    segments.prepare().unwrap();
    assert!(segments.take(len, true).unwrap().len <= 2 * len);
}

#[test]
fn a_segment_that_is_made_ready_after_the_log_went_on_without_it_is_not_taken() {
    let disk = SimDisk::new();
    disk.make_dirs().unwrap();
    let len = Segments::SHORTEST;
    let limits = SegmentLimits { first: len, largest: len, spare: 100 * len };
    let segments = Segments::new(Arc::new(disk.clone()), limits, 1, Vec::new());
    assert_eq!(segments.take(0, false).unwrap().id, SegmentId(1));
    let hold = disk.hold(When::nth(OperationKind::Sync, 1).on(FileKind::Segment));
    std::thread::scope(|threads| {
        let made = threads.spawn(|| segments.prepare().unwrap());
        hold.wait_reached();
        assert_eq!(segments.take(0, false).unwrap().id, SegmentId(3));
        hold.release();
        made.join().unwrap();
    });
    assert!(!segments.is_empty(), "the second is ready");
    // Its number is lower than that of the log's current segment.
    assert_eq!(segments.take(0, false).unwrap().id, SegmentId(4));
}

#[test]
fn what_two_holds_need_stays_until_both_have_ended() {
    let disk = SimDisk::new();
    disk.make_dirs().unwrap();
    let len = Segments::SHORTEST;
    let limits = SegmentLimits { first: len, largest: len, spare: 0 };
    let segments = Segments::new(Arc::new(disk.clone()), limits, 1, Vec::new());
    let there = || disk.files().into_iter().map(|file| file.number).collect::<Vec<_>>();
    segments.take(0, false).unwrap();
    let first = segments.hold();
    segments.take(0, false).unwrap();
    let second = segments.hold();
    segments.take(0, false).unwrap();
    segments.release_before(SegmentId(3)).unwrap();
    assert_eq!(there(), [1, 2, 3]);
    drop(first);
    segments.remove_surplus().unwrap();
    assert_eq!(there(), [1, 2, 3], "the second hold needs both");
    drop(second);
    segments.remove_surplus().unwrap();
    assert_eq!(there(), [3]);
}

#[test]
fn released_segments_beyond_the_limit_are_removed() {
    let disk = SimDisk::new();
    disk.make_dirs().unwrap();
    let len = Segments::SHORTEST;
    let limits = SegmentLimits { first: len, largest: len, spare: 2 * len };
    let segments = Segments::new(Arc::new(disk.clone()), limits, 1, Vec::new());
    for _ in 0..6 {
        segments.take(0, false).unwrap();
    }
    segments.release_before(SegmentId(6)).unwrap();
    assert_eq!(disk.files().len(), 1 + 2);
}

/// The sync of the length failed in an earlier run: the length is visible, and a power cut loses it.
#[test]
fn the_length_of_what_an_earlier_run_left_is_durable_before_it_is_used() {
    let disk = SimDisk::new();
    disk.make_dirs().unwrap();
    let len = Segments::SHORTEST;
    let name = SegmentId(1).file();
    let file = disk.create(name).unwrap();
    file.allocate(len).unwrap();
    let sync = When::nth(OperationKind::Sync, 1).on(FileKind::Segment);
    disk.inject(Fault::new(sync, FaultError::EIO).keeping(CrashChoice::NothingKept));
    file.sync().unwrap_err();
    disk.sync_dir(Dir::Wal).unwrap();
    let limits = SegmentLimits { first: len, largest: len, spare: 100 * len };
    let segments = Segments::new(Arc::new(disk.clone()), limits, 2, Vec::new());
    segments.add_spare(vec![(name, len)]);
    let taken = segments.take(0, false).unwrap();
    assert_eq!(taken.id, SegmentId(2));
    let left = disk.crash(CrashChoice::NothingKept);
    let bytes = left.read(taken.id.file()).unwrap();
    assert_eq!((bytes.len() as u64, left.files().len()), (len, 1));
}
