//! Files are what their names, their places and the manifest say: under each other's names, of another history,
//! or with other numbers under right checksums they are an error, never another end of the log.

use std::sync::Arc;

use duramen::fs::{FileKind, FileName};
use duramen::testing::hostile;
use duramen::testing::sim::{Fault, FaultError, OperationKind, SimDisk, When};
use duramen::{
    Arity, Blake3, CheckpointPolicy, Config, DynAccumulator, Error, FlushPolicy, Problem, Reader,
};
use testkit::stores::leaves;

const BLOCK: usize = 4096;

fn config(disk: &SimDisk) -> Config {
    Config::new("store")
        .file_system(Arc::new(disk.clone()))
        .flush_policy(FlushPolicy::Manual)
        .checkpoint_policy(CheckpointPolicy::manual().on_close(false))
}

fn open(disk: &SimDisk) -> Result<DynAccumulator, Error> {
    DynAccumulator::open(config(disk), Arc::new(Blake3), Arity::Four)
}

fn read(disk: &SimDisk) -> Result<Reader, Error> {
    Reader::open(config(disk), Arc::new(Blake3), Arity::Four)
}

fn files(disk: &SimDisk, kind: FileKind) -> Vec<FileName> {
    disk.files().into_iter().filter(|file| file.kind == kind).collect()
}

/// The field that is wrong, and what was found in it.
fn wrong_field(error: &Error) -> (&'static str, String) {
    let Error::Damaged(damage) = error else { panic!("{error}") };
    let Problem::Field { field, found, .. } = &damage.problem else { panic!("{error}") };
    (field, found.clone())
}

/// The newest segment begins the open stretch of the log, and an older one, which nothing needs any more, has
/// its name: for this place its groups are of another life. That the log ends there would be a lie.
#[test]
fn a_segment_that_has_the_name_of_an_older_one_is_missed() {
    let disk = SimDisk::new();
    let store = open(&disk).unwrap();
    store.insert_many(&leaves(10, 1)).unwrap();
    store.checkpoint().unwrap();
    // A killed run, which has added nothing: the next one goes on in another segment.
    let disk = disk.kill();
    let store = open(&disk).unwrap();
    store.insert_many(&leaves(5, 2)).unwrap();
    store.flush().unwrap();
    let left = disk.kill();
    let [old, new] = files(&left, FileKind::Segment)[..] else { panic!("{:?}", left.files()) };
    let (old_bytes, new_bytes) = (left.read(old).unwrap(), left.read(new).unwrap());
    assert_eq!(open(&left.kill()).unwrap().size().get(), 15);

    left.put(old, &new_bytes);
    left.put(new, &old_bytes);
    assert_eq!(wrong_field(&read(&left).unwrap_err()).0, "segment number");
    assert_eq!(wrong_field(&open(&left).unwrap_err()).0, "segment number");
    assert_eq!(left.read(old).unwrap(), new_bytes);
    assert_eq!(left.read(new).unwrap(), old_bytes);
}

/// The first segment of the open stretch is gone, and the next one has its name.
#[test]
fn a_segment_that_has_the_name_of_the_one_before_is_refused() {
    let short = |disk: &SimDisk| {
        let config = config(disk).wal_segment_bytes(8 << 10).unwrap();
        DynAccumulator::open(config, Arc::new(Blake3), Arity::Four).unwrap()
    };
    let disk = SimDisk::new();
    short(&disk).insert_durable([1; 32]).unwrap();
    let disk = disk.kill();
    let store = short(&disk);
    for seed in 0..3 {
        store.insert_many(&leaves(200, seed)).unwrap();
        store.flush().unwrap();
    }
    let left = disk.kill();
    let is_used = |file: &FileName| left.read(*file).unwrap()[0] != 0;
    let used: Vec<_> = files(&left, FileKind::Segment).into_iter().filter(is_used).collect();
    let [.., open_stretch, middle, last] = used[..] else { panic!("{used:?}") };
    assert_eq!(open(&left.kill()).unwrap().size().get(), 601);
    left.put(open_stretch, &left.read(last).unwrap());
    left.erase(middle);
    left.erase(last);
    assert_eq!(wrong_field(&read(&left).unwrap_err()).0, "segment number");
    assert_eq!(wrong_field(&open(&left).unwrap_err()).0, "segment number");
}

/// A later group says that the one before it was durable.
#[test]
fn a_group_that_got_lost_in_front_of_a_later_one_is_missed() {
    let disk = SimDisk::new();
    let store = open(&disk).unwrap();
    for seed in 0..3 {
        store.insert_many(&leaves(10, seed)).unwrap();
        store.flush().unwrap();
    }
    let left = disk.kill();
    let segment = files(&left, FileKind::Segment)[0];
    let intact = left.read(segment).unwrap();
    let groups = hostile::groups(&intact);
    assert_eq!(groups.len(), 3);
    for (number, (at, _)) in groups.into_iter().enumerate() {
        let mut bytes = intact.clone();
        bytes[at..at + BLOCK].fill(0);
        let lost = left.kill();
        lost.put(segment, &bytes);
        match open(&lost) {
            Err(Error::Damaged(_)) => assert!(number < 2),
            // Nothing follows on the last one: it may as well have been torn.
            opened => assert_eq!((number, opened.unwrap().size().get()), (2, 20)),
        }
    }
}

/// The log was closed at a place, and went on from there. Nothing stands there again, as if it had not.
#[test]
fn a_write_that_got_lost_behind_a_clean_end_is_missed() {
    let disk = SimDisk::new();
    let store = open(&disk).unwrap();
    store.insert_many(&leaves(10, 1)).unwrap();
    store.close().unwrap();
    let segment = *files(&disk, FileKind::Segment).first().unwrap();
    let before = disk.read(segment).unwrap();
    let store = open(&disk).unwrap();
    assert!(store.recovery().clean);
    store.insert_durable([7; 32]).unwrap();
    let left = disk.kill();
    let mut bytes = left.read(segment).unwrap();
    let changed = bytes.chunks(BLOCK).zip(before.chunks(BLOCK)).position(|(now, then)| now != then);
    let at = changed.unwrap() * BLOCK;
    bytes[at..at + BLOCK].fill(0);
    left.put(segment, &bytes);
    for error in [read(&left).unwrap_err(), open(&left).unwrap_err()] {
        assert!(matches!(error, Error::Damaged(_)), "{error}");
    }
}

/// Where a manifest has the number of the next segment, of the next part, and the sequence number at which the
/// log begins.
const COUNTED_ON: [usize; 3] = [56, 64, 80];

#[test]
fn a_store_with_numbers_that_counting_never_comes_to_is_read_and_not_opened() {
    let disk = SimDisk::new();
    let store = open(&disk).unwrap();
    store.insert_many(&leaves(10, 1)).unwrap();
    store.checkpoint().unwrap();
    store.close().unwrap();
    let manifest = *files(&disk, FileKind::Manifest).last().unwrap();
    let intact = disk.read(manifest).unwrap();
    let with = |at: usize, number: u64| {
        let mut bytes = intact.clone();
        bytes[at..at + 8].copy_from_slice(&number.to_le_bytes());
        hostile::fix_manifest(&mut bytes);
        let left = disk.kill();
        left.put(manifest, &bytes);
        left
    };
    let first_refused = 1 << 61;
    for at in COUNTED_ON {
        let left = with(at, first_refused);
        let (field, found) = wrong_field(&open(&left).unwrap_err());
        assert_eq!((field, found), ("highest number", first_refused.to_string()), "at {at}");
        assert_eq!(read(&left).unwrap().size().get(), 10, "at {at}");
        let store = open(&with(at, first_refused - 1)).unwrap();
        assert_eq!(store.size().get(), 10, "at {at}");
    }
    // The number of the manifest itself, which is that of its file.
    let number = FileName { number: first_refused, ..manifest };
    let left = with(32, first_refused);
    left.put(number, &left.read(manifest).unwrap());
    left.put(manifest, &intact);
    assert_eq!(wrong_field(&open(&left).unwrap_err()).0, "highest number", "beside the one before");
    assert!(left.erase(manifest));
    assert_eq!(wrong_field(&open(&left).unwrap_err()).0, "highest number");
    assert_eq!(read(&left).unwrap().size().get(), 10);
}

/// Where a group's header has what must fit its place, and its first frame what must fit the tree.
const GROUP: [(usize, &str); 7] = [
    (32, "store id"),
    (48, "segment number"),
    (56, "byte offset"),
    (64, "group number"),
    (80, "sequence number"),
    (132, "tree number"),
    (136, "leaf index"),
];

#[test]
fn a_group_that_says_something_else_of_itself_than_its_place_does_is_refused() {
    let disk = SimDisk::new();
    let store = open(&disk).unwrap();
    store.insert_many(&leaves(10, 1)).unwrap();
    store.flush().unwrap();
    let segment = files(&disk, FileKind::Segment)[0];
    let intact = disk.read(segment).unwrap();
    for (at, field) in GROUP {
        let mut bytes = intact.clone();
        bytes[at] ^= 1;
        if field == "sequence number" {
            // The first and the last, which follows from it.
            bytes[88] ^= 1;
        }
        let (at, len) = hostile::groups(&intact)[0];
        hostile::fix_group(&mut bytes[at..at + len]);
        let left = disk.kill();
        left.put(segment, &bytes);
        assert_eq!(wrong_field(&open(&left).unwrap_err()).0, field);
        assert_eq!(wrong_field(&read(&left).unwrap_err()).0, field);
    }
}

/// A closed store with a part, and the part.
fn with_part(seed: u64) -> (SimDisk, FileName) {
    let disk = SimDisk::new();
    let store = open(&disk).unwrap();
    store.insert_many(&leaves(200, seed)).unwrap();
    store.checkpoint().unwrap();
    store.close().unwrap();
    let [part] = files(&disk, FileKind::Part)[..] else { panic!("{:?}", disk.files()) };
    (disk, part)
}

#[test]
fn a_part_of_another_store_is_refused_where_the_manifest_has_its_checksum() {
    let (disk, part) = with_part(1);
    let mut bytes = disk.read(part).unwrap();
    bytes[16] ^= 1;
    hostile::fix_part(&mut bytes);
    disk.put(part, &bytes);
    assert!(hostile::adopt_part(&disk, part));
    assert_eq!(wrong_field(&open(&disk).unwrap_err()).0, "identity");
    assert_eq!(wrong_field(&read(&disk).unwrap_err()).0, "identity");
}

#[test]
fn a_header_that_is_not_the_one_of_the_footer_is_refused() {
    let (disk, part) = with_part(1);
    let mut bytes = disk.read(part).unwrap();
    // It says the same as before, with another checksum.
    bytes[1000] ^= 1;
    hostile::fix_block(&mut bytes[..BLOCK]);
    disk.put(part, &bytes);
    assert_eq!(wrong_field(&open(&disk).unwrap_err()).0, "footer");
}

#[test]
fn a_table_of_checksums_that_is_not_the_one_of_the_footer_is_refused() {
    let (disk, part) = with_part(1);
    let intact = disk.read(part).unwrap();
    let mut bytes = intact.clone();
    bytes[BLOCK + 40] ^= 1;
    hostile::fix_part(&mut bytes);
    // The footer knows of another leaf.
    let footer = bytes.len() - BLOCK;
    bytes[footer..].copy_from_slice(&intact[footer..]);
    disk.put(part, &bytes);
    let error = read(&disk).and_then(|reader| reader.leaves(0..10)).unwrap_err();
    let Error::Damaged(damage) = &error else { panic!("{error}") };
    assert!(matches!(damage.problem, Problem::Checksum { .. }), "{damage}");
    assert_eq!(damage.offset, (footer - BLOCK) as u64, "the table, in front of the footer");
}

/// Two runs that went on from one moment made parts of one number and one range. Inner nodes that no root needs at
/// opening are different.
#[test]
fn a_part_of_another_history_is_refused() {
    let disk = SimDisk::new();
    let store = open(&disk).unwrap();
    store.insert_many(&leaves(10, 1)).unwrap();
    store.checkpoint().unwrap();
    let other = disk.kill();
    let finish = |disk: &SimDisk, leaf: [u8; 32]| {
        let store = open(disk).unwrap();
        let mut all = leaves(200, 2);
        all[3] = leaf;
        store.insert_many(&all).unwrap();
        store.checkpoint().unwrap();
        store.close().unwrap();
    };
    let disk = disk.kill();
    finish(&disk, [1; 32]);
    finish(&other, [2; 32]);
    let (own, others) = (files(&disk, FileKind::Part), files(&other, FileKind::Part));
    assert_eq!(own, others);
    let part = *own.last().unwrap();
    let foreign = other.read(part).unwrap();
    assert_eq!(foreign.len(), disk.read(part).unwrap().len());
    disk.put(part, &foreign);
    let error = open(&disk).unwrap_err();
    let Error::Damaged(damage) = &error else { panic!("{error}") };
    assert!(matches!(damage.problem, Problem::Checksum { .. }), "{damage}");
}

#[test]
fn the_number_of_a_part_that_no_manifest_came_to_name_is_not_used_again() {
    let disk = SimDisk::new();
    let store = open(&disk).unwrap();
    store.insert_many(&leaves(10, 1)).unwrap();
    // The part has its name when the manifest is to be made.
    let create = When::nth(OperationKind::Create, 1).on(FileKind::Manifest);
    let hold = disk.hold(create);
    std::thread::scope(|threads| {
        threads.spawn(|| drop(store.checkpoint()));
        hold.wait_reached();
        let left = disk.kill();
        let [orphan] = files(&left, FileKind::Part)[..] else { panic!("{:?}", left.files()) };
        let store = open(&left).unwrap();
        assert_eq!(files(&left, FileKind::Part), []);
        store.checkpoint().unwrap();
        let [part] = files(&left, FileKind::Part)[..] else { panic!("{:?}", left.files()) };
        assert!(part.number > orphan.number, "{part} after {orphan}");
        store.close().unwrap();
        hold.release();
    });
}

/// Opening after an unclean stop takes a segment, and cannot publish that.
#[test]
fn an_opening_that_fails_leaves_no_segment_behind() {
    let disk = SimDisk::new();
    let store = open(&disk).unwrap();
    store.insert_many(&leaves(10, 1)).unwrap();
    store.flush().unwrap();
    let left = disk.kill();
    let before = left.files();
    let rename = When::nth(OperationKind::Rename, 1).on(FileKind::Manifest);
    for _ in 0..3 {
        left.inject(Fault::new(rename, FaultError::EIO));
        assert!(open(&left).is_err());
        let now: Vec<_> = left.files().into_iter().filter(|file| !file.temporary).collect();
        assert_eq!(now, before);
    }
    assert_eq!(open(&left).unwrap().size().get(), 10);
}
