//! An index is a hint: what is wrong with one costs time, and is put right by the next writer.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use duramen::fs::{FileKind, FileName};
use duramen::testing::sim::{Fault, FaultError, OperationKind, SimDisk, When};
use duramen::{
    Blake3, CheckpointPolicy, CompactionPolicy, Config, DynAccumulator, FlushPolicy, Hash, Hasher,
    ReadMode, Reader, Store, TreeConfig, scrub,
};

fn config(disk: &SimDisk) -> Config {
    Config::new("store")
        .file_system(Arc::new(disk.clone()))
        .flush_policy(FlushPolicy::Manual)
        .checkpoint_policy(CheckpointPolicy::manual().on_close(false))
        .compaction_policy(CompactionPolicy::Off)
        .retry_wait(Duration::from_millis(1), Duration::from_millis(8))
        .unwrap()
}

fn open(config: Config) -> (Store, DynAccumulator) {
    let store = Store::open(config).unwrap();
    let tree = store.tree_dyn("log", TreeConfig::of::<Blake3, 4>().indexed()).unwrap();
    (store, tree)
}

fn leaf(number: u64) -> Hash {
    Blake3.leaf(&number.to_le_bytes())
}

fn leaves(numbers: impl IntoIterator<Item = u64>) -> Vec<Hash> {
    numbers.into_iter().map(leaf).collect()
}

fn files(disk: &SimDisk, kind: FileKind) -> Vec<FileName> {
    disk.files().into_iter().filter(|name| name.kind == kind).collect()
}

/// A store on a disk, with a part and an index for each of `parts`, each of so many leaves.
fn filled(parts: u64, each: u64) -> SimDisk {
    let disk = SimDisk::new();
    let (store, tree) = open(config(&disk));
    for part in 0..parts {
        tree.insert_many(&leaves(part * each..(part + 1) * each)).unwrap();
        store.checkpoint().unwrap();
    }
    tree.wait_idle();
    store.close().unwrap();
    assert_eq!(files(&disk, FileKind::Index).len() as u64, parts);
    disk
}

/// Every 17th leaf is found, and one that is not there is not.
fn all_found(tree: &DynAccumulator, size: u64) {
    for number in (0..size).step_by(17) {
        assert_eq!(tree.find(&leaf(number)).unwrap().map(|index| index.0), Some(number));
    }
    assert_eq!(tree.find(&leaf(1 << 40)).unwrap(), None);
}

fn scans(tree: &DynAccumulator) -> u64 {
    tree.snapshot().index_scans()
}

/// How many indexes a scrub finds intact. There is nothing else to be found.
fn intact(disk: &SimDisk) -> u64 {
    let options = scrub::Options::new();
    let report = scrub::run(&config(disk), &options, &mut |_| ControlFlow::Continue(())).unwrap();
    assert!(report.is_clean(), "{:?}", report.findings);
    report.indexes
}

/// Changes a bit of block `number` of a file.
fn damage(disk: &SimDisk, name: FileName, number: usize) {
    let mut bytes = disk.read(name).unwrap();
    bytes[number * 4096 + 100] ^= 4;
    disk.put(name, &bytes);
}

#[test]
fn with_an_index_for_each_part_no_search_reads_all_leaves_of_one() {
    for mode in [ReadMode::Mapped, ReadMode::Pread] {
        let disk = filled(3, 1000);
        let (store, tree) = open(config(&disk).read_mode(mode));
        all_found(&tree, 3000);
        tree.insert_unique_many(&leaves(2500..3500)).unwrap();
        assert_eq!(tree.find_all(&leaf(2999)).unwrap().count(), 1);
        store.checkpoint().unwrap();
        all_found(&tree, 3500);
        assert_eq!(scans(&tree), 0);
        store.close().unwrap();
        assert_eq!(intact(&disk), 4);
    }
}

#[test]
fn a_part_without_an_index_is_read_once_for_a_batch() {
    let disk = filled(2, 1000);
    // It stays away.
    disk.erase(files(&disk, FileKind::Index)[0]);
    disk.inject(
        Fault::new(When::nth(OperationKind::Create, 1).on(FileKind::Index), FaultError::EIO)
            .for_ever(),
    );
    let (store, tree) = open(config(&disk));
    tree.wait_idle();
    let done = tree.insert_unique_many(&leaves((0..2000).rev().chain(0..2000))).unwrap();
    assert!(done.iter().all(|done| !done.is_new()));
    assert_eq!(scans(&tree), 1);
    drop((store, tree));
}

#[test]
fn a_writer_that_meets_a_damaged_index_writes_it_again() {
    let disk = filled(2, 3000);
    let [first, _] = files(&disk, FileKind::Index)[..] else { panic!("two parts") };
    // A block of records, and one of the filter.
    for number in [3, 1] {
        damage(&disk, first, number);
        let (store, tree) = open(config(&disk));
        tree.wait_idle();
        all_found(&tree, 6000);
        tree.wait_idle();
        let before = scans(&tree);
        assert!(before > 0, "the damage was not met");
        all_found(&tree, 6000);
        assert_eq!(scans(&tree), before);
        store.close().unwrap();
        assert_eq!(intact(&disk), 2);
    }
    // Of a writer that only inserts, too.
    damage(&disk, first, 3);
    let (store, tree) = open(config(&disk));
    tree.insert_unique_many(&leaves(0..3000)).unwrap();
    tree.wait_idle();
    store.close().unwrap();
    assert_eq!(intact(&disk), 2);
}

#[test]
fn after_a_crash_every_byte_of_an_index_is_checked_before_it_counts() {
    let disk = SimDisk::new();
    let (store, tree) = open(config(&disk));
    tree.insert_many(&leaves(0..3000)).unwrap();
    store.checkpoint().unwrap();
    tree.insert_many(&leaves(3000..6000)).unwrap();
    store.checkpoint().unwrap();
    tree.wait_idle();
    let killed = disk.kill();
    store.close().unwrap();
    let [_, second] = files(&killed, FileKind::Index)[..] else { panic!("two parts") };
    damage(&killed, second, 3);
    let (store, tree) = open(config(&killed));
    tree.wait_idle();
    all_found(&tree, 6000);
    assert_eq!(scans(&tree), 0);
    store.close().unwrap();
    assert_eq!(intact(&killed), 2);
}

#[test]
fn a_checkpoint_whose_index_cannot_be_written_or_named_succeeds_and_the_index_comes_later() {
    let operations = [
        OperationKind::Create,
        OperationKind::Allocate,
        OperationKind::Write,
        OperationKind::Rename,
    ];
    for operation in operations {
        for error in [FaultError::ENOSPC, FaultError::EIO] {
            println!("{operation:?} {error:?}");
            let disk = SimDisk::new();
            let (store, tree) = open(config(&disk));
            tree.insert_many(&leaves(0..1000)).unwrap();
            disk.inject(Fault::new(When::nth(operation, 1).on(FileKind::Index), error).for_ever());
            store.checkpoint().unwrap();
            all_found(&tree, 1000);
            assert!(scans(&tree) > 0);
            disk.clear_faults();
            // What does not go away by itself is tried again after a checkpoint that is called for.
            tree.insert_many(&leaves(1000..2000)).unwrap();
            store.checkpoint().unwrap();
            all_found(&tree, 2000);
            // A file that could not be written may stay under its temporary name for a while.
            let complete = |name: &&FileName| **name == name.complete();
            while files(&disk, FileKind::Index).iter().filter(complete).count() < 2 {
                std::thread::yield_now();
            }
            tree.wait_idle();
            let before = scans(&tree);
            all_found(&tree, 2000);
            assert_eq!(scans(&tree), before);
            store.close().unwrap();
            assert_eq!(intact(&disk), 2);
            assert!(files(&disk, FileKind::Index).iter().all(|name| *name == name.complete()));
        }
    }
}

#[test]
fn a_merge_whose_index_cannot_be_written_succeeds() {
    let disk = SimDisk::new();
    let (store, tree) = open(config(&disk).compaction_policy(CompactionPolicy::default()));
    disk.inject(
        Fault::new(When::nth(OperationKind::Write, 1).on(FileKind::Index), FaultError::EIO)
            .for_ever(),
    );
    for round in 0..40 {
        tree.insert_many(&leaves(round * 100..round * 100 + 100)).unwrap();
        store.checkpoint().unwrap();
    }
    tree.wait_idle();
    let stats = store.stats();
    assert_eq!((stats.failed_checkpoints, stats.failed_compactions), (0, 0));
    assert!(stats.compactions > 0);
    all_found(&tree, 4000);
    disk.clear_faults();
    tree.build_index().unwrap();
    store.close().unwrap();
    assert_eq!(intact(&disk), files(&disk, FileKind::Part).len() as u64);
}

#[test]
fn an_index_that_fails_once_is_written_without_another_request() {
    let disk = filled(3, 500);
    for name in files(&disk, FileKind::Index) {
        disk.erase(name);
    }
    // The first is tried again, and the others do not wait for it.
    let create = When::nth(OperationKind::Create, 1).on(FileKind::Index);
    disk.inject(Fault::new(create, FaultError::ENOSPC));
    let (store, tree) = open(config(&disk));
    tree.wait_idle();
    while files(&disk, FileKind::Index).iter().filter(|name| **name == name.complete()).count() < 3
    {
        std::thread::yield_now();
    }
    tree.wait_idle();
    assert_eq!(scans(&tree), 0);
    store.close().unwrap();
    assert_eq!(intact(&disk), 3);
}

#[test]
fn an_index_that_is_being_written_is_given_up_when_the_store_closes() {
    let disk = filled(1, 1000);
    disk.erase(files(&disk, FileKind::Index)[0]);
    let hold = disk.hold(When::nth(OperationKind::Create, 1).on(FileKind::Index));
    let (store, tree) = open(config(&disk));
    hold.wait_reached();
    std::thread::scope(|threads| {
        let closing = threads.spawn(|| store.close());
        while tree.insert(leaf(1000)).is_ok() {
            std::thread::yield_now();
        }
        hold.release();
        closing.join().unwrap().unwrap();
    });
    assert_eq!(files(&disk, FileKind::Index), []);
    let (store, tree) = open(config(&disk));
    tree.wait_idle();
    all_found(&tree, 1000);
    assert_eq!(scans(&tree), 0);
    store.close().unwrap();
    assert_eq!(intact(&disk), 1);
}

#[test]
fn one_index_that_cannot_be_written_does_not_stop_the_others() {
    let disk = filled(3, 500);
    for name in files(&disk, FileKind::Index) {
        disk.erase(name);
    }
    let create = When::nth(OperationKind::Create, 1).on(FileKind::Index);
    disk.inject(Fault::new(create, FaultError::EIO));
    let (store, tree) = open(config(&disk));
    tree.wait_idle();
    assert_eq!(files(&disk, FileKind::Index).len(), 2);
    disk.inject(Fault::new(create, FaultError::EIO));
    assert!(tree.build_index().is_err());
    tree.build_index().unwrap();
    store.close().unwrap();
    assert_eq!(intact(&disk), 3);
}

#[test]
fn a_part_that_is_written_while_its_tree_is_given_an_index_gets_one() {
    let disk = SimDisk::new();
    let store = Store::open(config(&disk)).unwrap();
    let tree = store.tree_dyn("log", TreeConfig::of::<Blake3, 4>()).unwrap();
    tree.insert_many(&leaves(0..1000)).unwrap();
    std::thread::scope(|threads| {
        let hold = disk.hold(When::nth(OperationKind::Sync, 1).on(FileKind::Part));
        let checkpoint = threads.spawn(|| store.checkpoint().map(drop));
        hold.wait_reached();
        drop(tree.add_index().unwrap());
        hold.release();
        checkpoint.join().unwrap().unwrap();
    });
    tree.wait_idle();
    all_found(&tree, 1000);
    assert_eq!(scans(&tree), 0);
    assert_eq!(files(&disk, FileKind::Index).len(), 1);
    store.close().unwrap();
}

#[test]
fn an_index_that_the_disk_does_not_return_fails_no_search() {
    for mode in [ReadMode::Mapped, ReadMode::Pread] {
        let disk = filled(2, 3000);
        let [first, second] = files(&disk, FileKind::Index)[..] else { panic!("two parts") };
        let (store, tree) = open(config(&disk).read_mode(mode));
        tree.wait_idle();
        all_found(&tree, 0);
        disk.fail_reads(first, 0..u64::MAX, FaultError::EIO);
        disk.fail_reads(second, 4096..u64::MAX, FaultError::EIO);
        let find = |number| tree.find(&leaf(number)).unwrap().map(|index| index.0);
        for number in [0, 2999, 3000, 5999] {
            assert_eq!(find(number), Some(number));
        }
        assert!(!tree.insert_unique(leaf(1000)).unwrap().is_new());
        disk.clear_faults();
        drop((store, tree));
    }
}

#[test]
fn a_reader_uses_an_index_that_the_writer_has_written_since() {
    let disk = SimDisk::new();
    let (store, tree) = open(config(&disk));
    let create = When::nth(OperationKind::Create, 1).on(FileKind::Index);
    disk.inject(Fault::new(create, FaultError::EIO).for_ever());
    for part in 0..2 {
        tree.insert_many(&leaves(part * 1000..part * 1000 + 1000)).unwrap();
        store.checkpoint().unwrap();
    }
    tree.wait_idle();
    let reader = Reader::open_tree(config(&disk), "log", TreeConfig::of::<Blake3, 4>()).unwrap();
    let find = |number| reader.find(&leaf(number)).unwrap().map(|index| index.0);
    assert_eq!(find(1500), Some(1500));
    let before = reader.snapshot().index_scans();
    assert!(before > 0);
    disk.clear_faults();
    tree.build_index().unwrap();
    reader.refresh().unwrap();
    assert_eq!(find(1500), Some(1500));
    assert_eq!(reader.snapshot().index_scans(), before);
    // A newer manifest changes nothing about the parts that stay.
    tree.insert_many(&leaves(2000..3000)).unwrap();
    tree.flush().unwrap();
    reader.refresh().unwrap();
    store.checkpoint().unwrap();
    reader.refresh().unwrap();
    assert_eq!((find(2500), find(500)), (Some(2500), Some(500)));
    assert_eq!(reader.snapshot().index_scans(), before);
    store.close().unwrap();
}

/// The table of recent leaves has those behind the parts, also if leaves come during every checkpoint.
#[test]
fn leaves_in_parts_leave_the_table_although_others_come_during_each_checkpoint() {
    const EACH: u64 = 2000;
    let disk = SimDisk::new();
    let (store, tree) = open(config(&disk));
    // The same leaves without a table.
    let plain = store.tree_dyn("plain", TreeConfig::of::<Blake3, 4>()).unwrap();
    let insert = |from, to| {
        tree.insert_unique_many(&leaves(from..to)).unwrap();
        plain.insert_many(&leaves(from..to)).unwrap();
    };
    let mut most = 0;
    for round in 0..20 {
        let from = round * EACH;
        insert(from, from + EACH - 200);
        std::thread::scope(|threads| {
            let hold = disk.hold(When::nth(OperationKind::Sync, 1).on(FileKind::Part));
            let checkpoint = threads.spawn(|| store.checkpoint().map(drop));
            hold.wait_reached();
            insert(from + EACH - 200, from + EACH);
            assert!(!tree.insert_unique(leaf(from + EACH - 1)).unwrap().is_new());
            hold.release();
            checkpoint.join().unwrap().unwrap();
        });
        assert_eq!(tree.find(&leaf(from)).unwrap().map(|index| index.0), Some(from));
        let infos = store.trees().unwrap();
        let [log, plain] = &infos[..] else { panic!("two trees") };
        assert_eq!(store.stats().memory_bytes, log.memory_bytes + plain.memory_bytes);
        let table = log.memory_bytes - plain.memory_bytes;
        assert!(table > 0, "the table counts");
        most = most.max(table);
    }
    assert!(most < 3 * EACH * 12, "{most} bytes");
    store.close().unwrap();
}

#[test]
fn a_scrub_of_an_index_can_be_ended_and_a_block_that_cannot_be_read_is_a_finding() {
    let disk = filled(1, 200_000);
    let scrubbed = |progress: &mut dyn FnMut(scrub::Progress) -> ControlFlow<()>| {
        scrub::run(&config(&disk), &scrub::Options::new(), progress).unwrap()
    };
    let mut asked = 0;
    let whole = scrubbed(&mut |_| {
        asked += 1;
        ControlFlow::Continue(())
    });
    assert!(!whole.interrupted && whole.indexes == 1);
    // The last questions are about the index: it reads 200,000 leaves at least twice.
    for left in 1..asked {
        let mut asked = 0;
        let ended = scrubbed(&mut |_| {
            asked += 1;
            if asked == left { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        assert!(ended.interrupted && ended.indexes == 0, "after {left} questions");
        assert_eq!(asked, left);
    }
    assert!(asked > 12, "{asked} questions");
    let [index] = files(&disk, FileKind::Index)[..] else { panic!("one part") };
    disk.fail_reads(index, 3 * 4096..4 * 4096, FaultError::EIO);
    let report = scrubbed(&mut |_| ControlFlow::Continue(()));
    let [finding] = &report.findings[..] else { panic!("{:?}", report.findings) };
    assert_eq!(finding.element, scrub::Element::Index);
    assert!(matches!(finding.damage.problem, duramen::Problem::Unreadable { .. }));
    assert_eq!(finding.damage.offset, 3 * 4096);
}
