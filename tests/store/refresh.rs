//! What a refresh of a reader costs, and what it notices.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use duramen::fs::{FileKind, FileName};
use duramen::testing::sim::{OperationKind, SimDisk, When};
use duramen::{
    Arity, Blake3, CheckpointPolicy, CompactionPolicy, Config, DynAccumulator, Error, FlushPolicy,
    Hash, Reader,
};
use testkit::hooked::Hooked;
use testkit::stores::leaves;

fn config(disk: &SimDisk) -> Config {
    Config::new("store")
        .file_system(Arc::new(disk.clone()))
        .flush_policy(FlushPolicy::Manual)
        .checkpoint_policy(CheckpointPolicy::manual())
        // A reader that begins again looks through the segment where the log ends.
        .wal_segment_bytes(512 << 10)
        .unwrap()
        .compaction_policy(CompactionPolicy::tiered(2).unwrap())
}

fn open(disk: &SimDisk) -> DynAccumulator {
    DynAccumulator::open(config(disk), Arc::new(Blake3), Arity::Four).unwrap()
}

/// A reader, and how many bytes of the log it has read since the last look.
struct Counting {
    reader: Reader,
    bytes: Arc<AtomicU64>,
}

impl Counting {
    fn open(disk: &SimDisk) -> Self {
        let bytes = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&bytes);
        let hooked = Hooked::new(disk).on_read(move |name, _, read| {
            if name.kind == FileKind::Segment {
                counted.fetch_add(read.len() as u64, Ordering::Relaxed);
            }
        });
        let config = config(disk).file_system(Arc::new(hooked));
        Self { reader: Reader::open(config, Arc::new(Blake3), Arity::Four).unwrap(), bytes }
    }

    /// The size after a refresh, and what that has read.
    fn refresh(&self) -> (u64, u64) {
        self.bytes.store(0, Ordering::Relaxed);
        let size = self.reader.refresh().unwrap().get();
        (size, self.bytes.load(Ordering::Relaxed))
    }
}

/// What a refresh that finds nothing new may read: a place and 16 blocks, and the heads of segments.
const LITTLE: u64 = 100 << 10;

/// The reader shows what the store has.
fn same(reader: &Reader, store: &DynAccumulator) {
    assert_eq!(reader.head().unwrap(), store.head().unwrap());
    let size = store.size().get();
    assert_eq!(reader.leaves(0..size).unwrap(), store.leaves(0..size).unwrap());
    for index in [0, size / 3, size - 1] {
        assert_eq!(reader.prove(index).unwrap(), store.prove(index).unwrap());
    }
}

#[test]
fn a_refresh_beyond_checkpoints_and_merges_reads_nothing_of_the_log_again() {
    let disk = SimDisk::new();
    let store = open(&disk);
    store.insert_many(&leaves(10_001, 0)).unwrap();
    store.checkpoint().unwrap();
    let counting = Counting::open(&disk);
    let early = counting.reader.snapshot();
    let proof = early.prove(7).unwrap();
    for round in 1..8 {
        let hold = disk.hold(When::nth(OperationKind::Sync, 1).on(FileKind::Part));
        let size = std::thread::scope(|threads| {
            store.insert_many(&leaves(20_000, round)).unwrap();
            let checkpoint = threads.spawn(|| store.checkpoint().unwrap());
            hold.wait_reached();
            // The checkpoint has begun and will not hold these.
            store.insert_many(&leaves(30_000, round)).unwrap();
            store.flush().unwrap();
            let (size, read) = counting.refresh();
            assert_eq!(size, store.size().get());
            assert!(read > 30_000 * 32);
            hold.release();
            checkpoint.join().unwrap();
            size
        });
        store.wait_idle();
        let (now, read) = counting.refresh();
        assert_eq!(now, size);
        assert!(read < LITTLE, "round {round}: {read} bytes of log for nothing new");
        same(&counting.reader, &store);
        assert!(counting.reader.durable_size().get() >= size - 30_000);
    }
    assert!(store.stats().compactions >= 2, "{:?}", store.stats());
    assert_eq!(early.prove(7).unwrap(), proof);
    assert_eq!(early.leaves(0..10_001).unwrap(), leaves(10_001, 0));
    // A reader that has not seen what a checkpoint holds reads it there.
    let late = Counting::open(&disk);
    store.insert_many(&leaves(50_000, 9)).unwrap();
    store.checkpoint().unwrap();
    store.wait_idle();
    let (now, read) = late.refresh();
    assert_eq!(now, store.size().get());
    assert!(read < LITTLE + 50_000 * 32, "{read} bytes, and the leaves take less");
    same(&late.reader, &store);
    store.close().unwrap();
}

#[test]
fn pieces_of_a_batch_that_do_not_count_yet_are_read_once_and_when_they_count() {
    let disk = SimDisk::new();
    let config = config(&disk).wal_group_bytes(64 << 10);
    let store = DynAccumulator::open(config, Arc::new(Blake3), Arity::Four).unwrap();
    store.insert_many(&leaves(1000, 0)).unwrap();
    store.flush().unwrap();
    let counting = Counting::open(&disk);
    let batch = leaves(1 << 15, 1);
    let hold = disk.hold(When::nth(OperationKind::Write, 13).on(FileKind::Segment));
    store.insert_many(&batch).unwrap();
    let flushed = store.flush_async().unwrap();
    hold.wait_reached();
    let (size, read) = counting.refresh();
    assert_eq!(size, 1000);
    assert!(read > 10 * (64 << 10), "{read}");
    for _ in 0..3 {
        let (size, read) = counting.refresh();
        assert!(size == 1000 && read < LITTLE, "{size}, {read}");
    }
    hold.release();
    flushed.wait().unwrap();
    let (size, read) = counting.refresh();
    assert_eq!(size, 1000 + (1 << 15));
    assert!(read < 2 * (1 << 20) + 2 * LITTLE, "{read}");
    same(&counting.reader, &store);
    store.close().unwrap();
}

/// The segment that has a leaf, and where.
fn find(disk: &SimDisk, leaf: &Hash) -> (FileName, u64) {
    let segments = disk.files().into_iter().filter(|file| file.kind == FileKind::Segment);
    let mut places = segments.filter_map(|file| {
        let bytes = disk.read(file).unwrap();
        let at = bytes.windows(32).position(|window| window == leaf)?;
        Some((file, at as u64))
    });
    places.next().unwrap()
}

#[test]
fn a_large_group_that_is_damaged_is_noticed_while_the_log_is_in_its_segment() {
    let disk = SimDisk::new();
    let store = open(&disk);
    // Until segments have a few MiB.
    for round in 0..100 {
        store.insert_many(&leaves(1000, round)).unwrap();
        store.flush().unwrap();
    }
    store.wait_idle();
    let wrong = Arc::new(Mutex::new(None::<(FileName, u64)>));
    let own = Arc::clone(&wrong);
    let hooked = Hooked::new(&disk).on_read(move |name, at, bytes| {
        if let Some((file, wrong)) = *own.lock().unwrap()
            && file == name
            && (at..at + bytes.len() as u64).contains(&wrong)
        {
            bytes[usize::try_from(wrong - at).unwrap()] ^= 1;
        }
    });
    let config = config(&disk).file_system(Arc::new(hooked));
    let reader = Reader::open(config, Arc::new(Blake3), Arity::Four).unwrap();
    let before = reader.refresh().unwrap();
    let large = leaves(6400, 1000);
    store.insert_many(&large).unwrap();
    store.flush().unwrap();
    for leaf in [[1; 32], [2; 32]] {
        store.insert_durable(leaf).unwrap();
    }
    let place = find(&disk, &large[10]);
    assert_eq!(find(&disk, &[2; 32]).0, place.0, "they are in one segment");
    *wrong.lock().unwrap() = Some(place);
    let mut outcomes = (0..5).map(|_| reader.refresh());
    let noticed = outcomes.find_map(|outcome| match outcome {
        Ok(size) => {
            assert_eq!(size, before);
            None
        }
        Err(error) => Some(error),
    });
    let noticed = noticed.expect("five refreshes took the damage for the end");
    assert!(matches!(noticed, Error::Damaged(_)), "{noticed}");
    *wrong.lock().unwrap() = None;
    assert_eq!(reader.refresh().unwrap(), store.size());
    same(&reader, &store);
    store.close().unwrap();
}
