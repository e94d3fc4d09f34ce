//! What every file system must do, run against each of them.

use std::io::{ErrorKind, IoSlice};
use std::sync::Arc;

use duramen::fs::{
    Access, ByteOffset, Dir, Displaced, Displacement, Entry, File, FileKind, FileName, FileSystem,
    OsPlace, Place, Wipeable,
};

const SEGMENT: FileName = FileName::new(FileKind::Segment, 7);
const PART: FileName = FileName::new(FileKind::Part, 3);

type Rule = fn(&dyn Place);

/// Runs each rule on a file system of its own, so that none depends on another.
fn every_rule(mut empty: impl FnMut() -> Arc<dyn Place>) {
    let rules: &[(&str, Rule)] = &[
        ("nothing is found in a missing directory", nothing_is_found_in_a_missing_directory),
        ("directories are made twice", directories_are_made_twice),
        ("a created file is listed and opened", a_created_file_is_listed_and_opened),
        ("a name is created once", a_name_is_created_once),
        ("a missing file is not found", a_missing_file_is_not_found),
        ("a rename moves the file", a_rename_moves_the_file),
        ("a rename replaces nothing", a_rename_replaces_nothing),
        ("a removed file stays readable", a_removed_file_stays_readable),
        ("the lock has one holder", the_lock_has_one_holder),
        ("what is there when the lock is acquired is owned", what_is_there_under_the_lock_is_owned),
        ("what somebody else put there is left alone", what_somebody_else_put_there_is_left_alone),
        ("a file that lost its name is noticed", a_file_that_lost_its_name_is_noticed),
        ("a name that is being changed is not missed", a_name_that_is_being_changed_is_not_missed),
        ("threads that change one name find it the store's", threads_that_change_one_name),
        ("a write lands where it was aimed", a_write_lands_where_it_was_aimed),
        ("three thousand slices are one write", three_thousand_slices_are_one_write),
        ("a short file is not read past its end", a_short_file_is_not_read_past_its_end),
        ("allocated space reads as zeros", allocated_space_reads_as_zeros),
        ("a cut file has lost its end", a_cut_file_has_lost_its_end),
        ("a map has the length asked for", a_map_has_the_length_asked_for),
        ("handles of one file see the same bytes", handles_of_one_file_see_the_same_bytes),
        ("a reader cannot write", a_reader_cannot_write),
        ("hints do no harm", hints_do_no_harm),
        ("a part that is read is not overwritten", a_part_that_is_read_is_not_overwritten),
        ("a part that is overwritten is not read", a_part_that_is_overwritten_is_not_read),
    ];
    for (name, rule) in rules {
        println!("rule: {name}");
        rule(&*empty());
    }
}

#[test]
fn the_operating_system_keeps_the_contract() {
    let temp = tempfile::tempdir().unwrap();
    let mut count = 0;
    every_rule(|| {
        count += 1;
        Arc::new(OsPlace::new(temp.path().join(format!("parent/store-{count}"))))
    });
}

#[test]
#[cfg(feature = "testing")]
fn the_simulated_disk_keeps_the_contract() {
    use duramen::testing::sim::{CrashChoice, SimDisk};

    every_rule(|| Arc::new(SimDisk::new()));
    every_rule(|| {
        let disk = SimDisk::new();
        disk.record();
        Arc::new(disk)
    });
    every_rule(|| Arc::new(SimDisk::new().crash(CrashChoice::AllKept)));
}

fn write(file: &dyn File, at: u64, bytes: &[u8]) {
    file.write_at(ByteOffset(at), &mut [IoSlice::new(bytes)]).unwrap();
}

fn read(file: &dyn File, at: u64, len: usize) -> Vec<u8> {
    let mut buf = vec![0xEE; len];
    file.read_at(ByteOffset(at), &mut buf).unwrap();
    buf
}

fn made(fs: &dyn FileSystem, name: FileName, bytes: &[u8]) -> Arc<dyn File> {
    let file = fs.create(name).unwrap();
    write(&*file, 0, bytes);
    file
}

fn nothing_is_found_in_a_missing_directory(place: &dyn Place) {
    assert_eq!(place.bind().unwrap_err().kind(), ErrorKind::NotFound);
    // Looking made nothing.
    assert_eq!(place.bind().unwrap_err().kind(), ErrorKind::NotFound);
}

fn directories_are_made_twice(place: &dyn Place) {
    made(&*place.make().unwrap(), PART, b"part");
    for fs in [place.make().unwrap(), place.bind().unwrap()] {
        assert_eq!(fs.list(Dir::Parts).unwrap(), [Entry::File(PART, 4)]);
        for dir in [Dir::Root, Dir::Manifest, Dir::Wal] {
            assert_eq!(fs.list(dir).unwrap(), []);
            fs.sync_dir(dir).unwrap();
        }
        fs.check_place().unwrap();
    }
}

fn a_created_file_is_listed_and_opened(place: &dyn Place) {
    let fs = &*place.make().unwrap();
    made(fs, SEGMENT, b"seven").sync().unwrap();
    made(fs, SEGMENT.tmp(), b"");
    made(fs, PART, b"");
    let mut listed = fs.list(Dir::Wal).unwrap();
    listed.sort_by_key(|entry| format!("{entry:?}"));
    assert_eq!(listed, [Entry::File(SEGMENT, 5), Entry::File(SEGMENT.tmp(), 0)]);
    for access in [Access::Read, Access::ReadWrite] {
        let file = fs.open(SEGMENT, access).unwrap();
        assert_eq!(file.len().unwrap(), 5);
        assert_eq!(read(&*file, 0, 5), b"seven");
    }
    assert!(fs.open(PART, Access::Read).unwrap().is_empty().unwrap());
    assert!(fs.display(SEGMENT).ends_with("wal/00000007.wal"));
}

fn a_name_is_created_once(place: &dyn Place) {
    let fs = &*place.make().unwrap();
    made(fs, PART, b"first");
    assert_eq!(fs.create(PART).unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert_eq!(read(&*fs.open(PART, Access::Read).unwrap(), 0, 5), b"first");
}

fn a_missing_file_is_not_found(place: &dyn Place) {
    let fs = &*place.make().unwrap();
    made(fs, PART, b"");
    assert_eq!(fs.open(SEGMENT, Access::Read).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(fs.open(PART.tmp(), Access::ReadWrite).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(fs.remove(SEGMENT).unwrap_err().kind(), ErrorKind::NotFound);
    let missing = FileName::new(FileKind::Part, 4);
    assert_eq!(fs.rename(missing, missing.tmp()).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(fs.list(Dir::Parts).unwrap(), [Entry::File(PART, 0)]);
}

fn a_rename_moves_the_file(place: &dyn Place) {
    let fs = &*place.make().unwrap();
    let before = made(fs, PART.tmp(), b"moved");
    fs.rename(PART.tmp(), PART).unwrap();
    fs.sync_dir(Dir::Parts).unwrap();
    assert_eq!(fs.list(Dir::Parts).unwrap(), [Entry::File(PART, 5)]);
    write(&*before, 5, b" on");
    assert_eq!(read(&*fs.open(PART, Access::Read).unwrap(), 0, 8), b"moved on");
    fs.create(PART.tmp()).unwrap();
}

fn a_rename_replaces_nothing(place: &dyn Place) {
    let fs = &*place.make().unwrap();
    made(fs, PART, b"old");
    made(fs, PART.tmp(), b"new");
    assert_eq!(fs.rename(PART.tmp(), PART).unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert_eq!(read(&*fs.open(PART, Access::Read).unwrap(), 0, 3), b"old");
    assert_eq!(read(&*fs.open(PART.tmp(), Access::Read).unwrap(), 0, 3), b"new");
    assert_eq!(fs.rename(PART, SEGMENT).unwrap_err().kind(), ErrorKind::InvalidInput);
}

fn a_removed_file_stays_readable(place: &dyn Place) {
    let fs = &*place.make().unwrap();
    let file = made(fs, PART, b"gone");
    let map = file.map(4).unwrap();
    fs.remove(PART).unwrap();
    fs.sync_dir(Dir::Parts).unwrap();
    assert_eq!(fs.list(Dir::Parts).unwrap(), []);
    assert_eq!(fs.open(PART, Access::Read).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(read(&*file, 0, 4), b"gone");
    assert_eq!(&map[..], b"gone");
    made(fs, PART, b"back");
    assert_eq!(&map[..], b"gone");
    assert_eq!(read(&*file, 0, 4), b"gone");
}

fn the_lock_has_one_holder(place: &dyn Place) {
    let fs = &*place.make().unwrap();
    for _ in 0..2 {
        let held = fs.lock().unwrap();
        assert_eq!(fs.lock().unwrap_err().kind(), ErrorKind::WouldBlock);
        assert_eq!(fs.list(Dir::Root).unwrap(), []);
        drop(held);
    }
    assert_eq!(fs.list(Dir::Root).unwrap(), []);
}

/// The error is a [`Displaced`], which says this of `name`.
fn assert_displaced<T>(done: std::io::Result<T>, name: FileName, how: Displacement) {
    let error = done.err().unwrap();
    let displaced = error.get_ref().and_then(|error| error.downcast_ref::<Displaced>());
    let displaced = displaced.unwrap_or_else(|| panic!("{error}"));
    assert!(displaced.path.ends_with(name.to_string()), "{displaced}");
    assert_eq!(displaced.how, how);
}

fn what_is_there_under_the_lock_is_owned(place: &dyn Place) {
    made(&*place.make().unwrap(), PART, b"old");
    let fs = place.bind().unwrap();
    let _lock = fs.lock().unwrap();
    made(&*fs, SEGMENT.tmp(), b"new");
    fs.rename(SEGMENT.tmp(), SEGMENT).unwrap();
    fs.open(SEGMENT, Access::ReadWrite).unwrap();
    fs.rename(PART, PART.tmp()).unwrap();
    fs.open(PART.tmp(), Access::ReadWrite).unwrap();
    fs.remove(PART.tmp()).unwrap();
    fs.remove(SEGMENT).unwrap();
    assert_eq!(fs.remove(SEGMENT).unwrap_err().kind(), ErrorKind::NotFound);
}

fn what_somebody_else_put_there_is_left_alone(place: &dyn Place) {
    let fs = place.make().unwrap();
    let _lock = fs.lock().unwrap();
    let other = place.bind().unwrap();
    made(&*other, PART, b"planted");
    made(&*fs, SEGMENT, b"mine");
    other.remove(SEGMENT).unwrap();
    // The system may give the new file the number of the old one, and its clock ticks some hundred times a
    // second: two files of one tick cannot be told apart.
    std::thread::sleep(std::time::Duration::from_millis(30));
    made(&*other, SEGMENT, b"another");
    for (name, how) in [(PART, Displacement::Planted), (SEGMENT, Displacement::Replaced)] {
        let bytes = fs.open(name, Access::Read).unwrap().len().unwrap();
        assert_displaced(fs.remove(name), name, how);
        assert_displaced(fs.rename(name, name.tmp()), name, how);
        assert_displaced(fs.open(name, Access::ReadWrite), name, how);
        assert_eq!(fs.create(name).unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(fs.list(name.dir()).unwrap(), [Entry::File(name, bytes)]);
    }
}

const MANIFEST: FileName = FileName::new(FileKind::Manifest, 5);

fn a_file_that_lost_its_name_is_noticed(place: &dyn Place) {
    let fs = place.make().unwrap();
    let other = place.bind().unwrap();
    made(&*fs, MANIFEST, b"before the lock");
    fs.check_file(SEGMENT).unwrap();
    let _lock = fs.lock().unwrap();
    for name in [SEGMENT, PART] {
        made(&*fs, name, b"mine");
    }
    made(&*other, PART.tmp(), b"planted");
    for name in [SEGMENT, PART, MANIFEST, PART.tmp(), MANIFEST.tmp()] {
        fs.check_file(name).unwrap();
    }
    for name in [SEGMENT, PART, MANIFEST] {
        other.remove(name).unwrap();
        assert_displaced(fs.check_file(name), name, Displacement::Removed);
    }
    std::thread::sleep(std::time::Duration::from_millis(30));
    for name in [SEGMENT, PART, MANIFEST] {
        made(&*other, name, b"another");
        assert_displaced(fs.check_file(name), name, Displacement::Replaced);
        fs.check_file(name.tmp()).unwrap();
        fs.sync_dir(name.dir()).unwrap();
    }
    // Without its manifests nothing else of the store is changed.
    assert_displaced(fs.check_place(), MANIFEST, Displacement::Replaced);
    assert_displaced(fs.create(SEGMENT.tmp()), MANIFEST, Displacement::Replaced);
    assert_displaced(fs.remove(PART.tmp()), MANIFEST, Displacement::Replaced);
    other.check_place().unwrap();
}

fn a_name_that_is_being_changed_is_not_missed(place: &dyn Place) {
    let fs = place.make().unwrap();
    let _lock = fs.lock().unwrap();
    std::thread::scope(|threads| {
        let changes = threads.spawn(|| {
            for _ in 0..2000 {
                fs.create(MANIFEST.tmp()).unwrap();
                fs.rename(MANIFEST.tmp(), MANIFEST).unwrap();
                fs.remove(MANIFEST).unwrap();
            }
        });
        let mut looked = Ok(());
        while looked.is_ok() && !changes.is_finished() {
            looked = fs.check_place();
            looked = looked.and_then(|()| fs.check_file(MANIFEST));
            looked = looked.and_then(|()| fs.check_file(MANIFEST.tmp()));
        }
        looked.unwrap();
    });
}

fn threads_that_change_one_name(place: &dyn Place) {
    let fs = &*place.make().unwrap();
    let _lock = fs.lock().unwrap();
    let is_done_or_too_late = |done: std::io::Result<()>| match done {
        Err(error) if error.kind() != ErrorKind::NotFound => panic!("{error}"),
        _ => {}
    };
    let begin = std::sync::Barrier::new(3);
    for _ in 0..1000 {
        drop(made(fs, PART.tmp(), b"part"));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                begin.wait();
                is_done_or_too_late(fs.rename(PART.tmp(), PART));
                is_done_or_too_late(fs.remove(PART));
            });
            for _ in 0..2 {
                scope.spawn(|| {
                    begin.wait();
                    is_done_or_too_late(fs.open_to_wipe(PART).map(drop));
                    is_done_or_too_late(fs.remove(PART));
                });
            }
        });
        assert_eq!(fs.list(Dir::Parts).unwrap(), []);
    }
}

fn a_write_lands_where_it_was_aimed(place: &dyn Place) {
    let fs = &*place.make().unwrap();
    let file = made(fs, SEGMENT, b"");
    write(&*file, 1000, b"far");
    assert_eq!(file.len().unwrap(), 1003);
    assert_eq!(read(&*file, 0, 1000), [0; 1000]);
    let mut slices = [b"".as_slice(), b"ab", b"", b"cde", b""].map(IoSlice::new);
    file.write_at(ByteOffset(511), &mut slices).unwrap();
    assert_eq!(read(&*file, 510, 7), b"\0abcde\0");
    assert_eq!(file.len().unwrap(), 1003);
    file.write_at(ByteOffset(5000), &mut []).unwrap();
    file.write_at(ByteOffset(5000), &mut [IoSlice::new(b""); 5]).unwrap();
    assert_eq!(file.len().unwrap(), 1003, "writing nothing changes nothing");
    file.sync().unwrap();
    assert_eq!(read(&*file, 1000, 3), b"far");
}

fn three_thousand_slices_are_one_write(place: &dyn Place) {
    let fs = &*place.make().unwrap();
    let file = made(fs, SEGMENT, b"x");
    let bytes: Vec<u8> = (0..30_000_u32).map(|i| i.to_le_bytes()[0] ^ i.to_le_bytes()[1]).collect();
    let mut slices: Vec<_> = bytes.chunks(10).map(IoSlice::new).collect();
    assert_eq!(slices.len(), 3000);
    file.write_at(ByteOffset(1), &mut slices).unwrap();
    assert_eq!(file.len().unwrap(), 30_001);
    assert_eq!(read(&*file, 1, 30_000), bytes);
}

fn a_short_file_is_not_read_past_its_end(place: &dyn Place) {
    let fs = &*place.make().unwrap();
    let file = made(fs, PART, b"short");
    for (at, len) in [(0, 6), (5, 1), (4, 2), (6, 1), (u64::MAX, 1), (u64::MAX - 1, 9)] {
        let error = file.read_at(ByteOffset(at), &mut vec![0; len]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof, "{len} bytes at {at}");
    }
    assert_eq!(read(&*file, 4, 1), b"t");
    assert_eq!(read(&*file, 5, 0), b"");
}

fn allocated_space_reads_as_zeros(place: &dyn Place) {
    let fs = &*place.make().unwrap();
    let file = made(fs, SEGMENT, b"head");
    file.allocate(100_000).unwrap();
    assert_eq!(file.len().unwrap(), 100_000);
    assert_eq!(read(&*file, 0, 4), b"head");
    assert_eq!(read(&*file, 4, 99_996), vec![0; 99_996]);
    file.allocate(100_000).unwrap();
    write(&*file, 99_999, b"z");
    assert_eq!(file.len().unwrap(), 100_000);
}

fn a_cut_file_has_lost_its_end(place: &dyn Place) {
    let fs = &*place.make().unwrap();
    let file = made(fs, SEGMENT, &[9; 2000]);
    file.allocate(700).unwrap();
    assert_eq!(file.len().unwrap(), 700);
    assert_eq!(fs.list(Dir::Wal).unwrap(), [Entry::File(SEGMENT, 700)]);
    file.allocate(2000).unwrap();
    assert_eq!(read(&*file, 0, 700), [9; 700]);
    assert_eq!(read(&*file, 700, 1300), [0; 1300], "what was cut off does not come back");
}

fn a_map_has_the_length_asked_for(place: &dyn Place) {
    let fs = &*place.make().unwrap();
    let file = made(fs, PART, &[5; 5000]);
    for len in [0, 1, 4096, 5000] {
        let map = file.map(len).unwrap();
        assert_eq!(map.len() as u64, len);
        assert!(map.iter().all(|byte| *byte == 5));
    }
    for len in [5001, u64::MAX] {
        assert_eq!(file.map(len).unwrap_err().kind(), ErrorKind::UnexpectedEof);
    }
    let map = fs.open(PART, Access::Read).unwrap().map(5000).unwrap();
    drop(file);
    assert_eq!(map[4999], 5);
}

fn handles_of_one_file_see_the_same_bytes(place: &dyn Place) {
    let fs = &*place.make().unwrap();
    let first = made(fs, SEGMENT, b"one");
    let second = fs.open(SEGMENT, Access::ReadWrite).unwrap();
    write(&*second, 3, b"two");
    assert_eq!(read(&*first, 0, 6), b"onetwo");
    first.sync().unwrap();
    assert_eq!(read(&*second, 0, 6), b"onetwo");
}

fn a_reader_cannot_write(place: &dyn Place) {
    let fs = &*place.make().unwrap();
    made(fs, PART, b"fixed");
    let file = fs.open(PART, Access::Read).unwrap();
    file.write_at(ByteOffset(0), &mut [IoSlice::new(b"x")]).unwrap_err();
    file.allocate(9).unwrap_err();
    file.allocate(1).unwrap_err();
    assert_eq!(read(&*file, 0, 5), b"fixed");
    assert_eq!(file.len().unwrap(), 5);
}

fn hints_do_no_harm(place: &dyn Place) {
    let fs = &*place.make().unwrap();
    let file = made(fs, PART, &[1; 10_000]);
    for (at, len) in [(0, 10_000), (0, 0), (9_999, u64::MAX), (u64::MAX, 1)] {
        file.start_writeback(ByteOffset(at), len);
    }
    for (at, len) in [(0, 10_000), (4096, 4096), (0, 0), (20_000, 1)] {
        file.write_back(ByteOffset(at), len).unwrap();
    }
    file.drop_cache();
    assert_eq!(read(&*file, 0, 10_000), [1; 10_000]);
    file.sync().unwrap();
    file.drop_cache();
    assert_eq!(read(&*file, 0, 10_000), [1; 10_000]);
}

/// Waits for what a child process delays that another test has forked: it shares the locks of this process until it ends.
fn soon(mut done: impl FnMut() -> bool) -> bool {
    let started = std::time::Instant::now();
    while !done() {
        if started.elapsed() > std::time::Duration::from_secs(60) {
            return false;
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    true
}

fn is_alone(fs: &dyn FileSystem) -> bool {
    match fs.open_to_wipe(PART).unwrap() {
        Wipeable::Alone(_) => true,
        Wipeable::InUse { len } => {
            assert_eq!(len, 4);
            false
        }
        other => panic!("{other:?}"),
    }
}

fn a_part_that_is_read_is_not_overwritten(place: &dyn Place) {
    let fs = &*place.make().unwrap();
    drop(made(fs, PART, b"part"));
    assert!(soon(|| is_alone(fs)));
    let reading = fs.open(PART, Access::Read).unwrap();
    assert!(!is_alone(fs));
    let again = place.bind().unwrap().open(PART, Access::Read).unwrap();
    drop(reading);
    assert!(!is_alone(fs), "one of two readers is left");
    // What is mapped is read for as long as the map is there, with the handle or without it.
    let map = again.map(4).unwrap();
    let clone = map.clone();
    drop((again, map));
    assert!(!is_alone(fs), "a part is mapped");
    assert_eq!(&clone[..], b"part");
    drop(clone);
    assert!(soon(|| is_alone(fs)));
    let missing = FileName::new(FileKind::Part, 4);
    assert_eq!(fs.open_to_wipe(missing).unwrap_err().kind(), ErrorKind::NotFound);
}

fn a_part_that_is_overwritten_is_not_read(place: &dyn Place) {
    let fs = &*place.make().unwrap();
    drop(made(fs, PART, b"part"));
    let Wipeable::Alone(file) = fs.open_to_wipe(PART).unwrap() else { panic!("it is not read") };
    assert_eq!(fs.open(PART, Access::Read).unwrap_err().kind(), ErrorKind::NotFound);
    assert!(!is_alone(fs), "it is overwritten by another handle");
    write(&*file, 0, b"\0\0\0\0");
    file.sync().unwrap();
    drop(file);
    let mut opened = None;
    assert!(soon(|| {
        opened = fs.open(PART, Access::Read).ok();
        opened.is_some()
    }));
    assert_eq!(read(&*opened.unwrap(), 0, 4), [0; 4]);
}
