//! Many threads do everything at once on a real disk. Also run under ThreadSanitizer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use duramen::{
    Arity, Blake3, CheckpointPolicy, CompactionPolicy, Config, DynAccumulator, Event, FlushPolicy,
    Hash, LeafIndex,
};
use testkit::stores::root_of;

const INSERTS: u64 = 400;

fn config(dir: &std::path::Path) -> Config {
    let policy = CheckpointPolicy::manual().every_leaves(700).unwrap().on_close(true);
    Config::new(dir)
        .flush_policy(FlushPolicy::interval(Duration::from_micros(300)).unwrap())
        .checkpoint_policy(policy)
        .compaction_policy(CompactionPolicy::tiered(2).unwrap())
        .max_unflushed_bytes(64 << 10)
        .unwrap()
        .max_uncheckpointed_bytes(256 << 10)
        .unwrap()
        .wal_segment_bytes(64 << 10)
        .unwrap()
}

fn leaf(thread: u8, number: u64) -> Hash {
    let mut leaf = [thread; 32];
    leaf[..8].copy_from_slice(&number.to_le_bytes());
    leaf
}

/// Reads what there is, repeatedly, until `done`.
fn read(store: &impl AsRef<DynAccumulator>, done: &AtomicBool) {
    let store = store.as_ref();
    let mut last = 0;
    while !done.load(Ordering::Acquire) {
        let snapshot = store.snapshot();
        let size = snapshot.size().get();
        assert!(size >= last);
        last = size;
        if size == 0 {
            continue;
        }
        let head = snapshot.head().unwrap();
        for index in [0, size / 2, size - 1] {
            let leaf = snapshot.leaf(index).unwrap();
            let proof = snapshot.prove(index).unwrap();
            proof.verify(&Blake3, Arity::Four, &head, LeafIndex(index), &leaf).unwrap();
        }
        let stats = store.stats();
        assert!(stats.durable <= stats.leaves);
    }
}

#[test]
fn threads_that_insert_read_flush_and_checkpoint_at_once_agree_in_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let merged = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&merged);
    let config = || {
        let count = Arc::clone(&count);
        config(dir.path()).listener(move |event: &Event| {
            if let Event::CompactionCompleted { .. } = event {
                count.fetch_add(1, Ordering::Relaxed);
            }
        })
    };
    let store = DynAccumulator::open(config(), Arc::new(Blake3), Arity::Four).unwrap();
    let done = AtomicBool::new(false);
    let mut inserted: Vec<(u64, Hash)> = std::thread::scope(|scope| {
        let (store, done) = (&store, &done);
        let readers: Vec<_> = (0..2).map(|_| scope.spawn(|| read(store, done))).collect();
        let checkpoints = scope.spawn(|| {
            while !done.load(Ordering::Acquire) {
                store.checkpoint().unwrap();
                store.flush().unwrap();
                std::thread::sleep(Duration::from_millis(2));
            }
        });
        let inserters = (0..4_u8).map(|thread| {
            scope.spawn(move || {
                let mut mine = Vec::new();
                for number in 0..INSERTS {
                    let own = leaf(thread, number);
                    match number % 4 {
                        0 => mine.push((store.insert_durable(own).unwrap().get(), own)),
                        1 => {
                            let batch: Vec<_> =
                                (0..30).map(|n| leaf(thread, n << 32 | number)).collect();
                            let range = store.insert_many(&batch).unwrap().range;
                            mine.extend(range.zip(batch));
                        }
                        2 => {
                            let inserted = store.insert(own).unwrap();
                            inserted.token.wait().unwrap();
                            mine.push((inserted.index.get(), own));
                        }
                        _ => mine.push((store.insert(own).unwrap().index.get(), own)),
                    }
                }
                mine
            })
        });
        let inserters: Vec<_> = inserters.collect();
        let all = inserters.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        done.store(true, Ordering::Release);
        readers.into_iter().for_each(|reader| reader.join().unwrap());
        checkpoints.join().unwrap();
        all
    });
    inserted.sort_unstable();
    let leaves: Vec<_> = inserted.iter().map(|(_, leaf)| *leaf).collect();
    assert!(inserted.iter().map(|(index, _)| *index).eq(0..leaves.len() as u64));
    assert_eq!(store.head().unwrap().root, root_of(&Blake3, Arity::Four, &leaves));
    assert_eq!(store.leaves(0..leaves.len() as u64).unwrap(), leaves);
    // However few checkpoints there was time for, with these there are parts to merge.
    for number in 0..3 {
        let own = leaf(9, number);
        inserted.push((store.insert_durable(own).unwrap().get(), own));
        store.checkpoint().unwrap();
    }
    let leaves: Vec<_> = inserted.iter().map(|(_, leaf)| *leaf).collect();
    assert!(store.stats().checkpoints > 0);
    while merged.load(Ordering::Relaxed) == 0 {
        std::thread::yield_now();
    }
    let snapshot = store.snapshot();
    store.close().unwrap();
    assert_eq!(snapshot.leaves(0..leaves.len() as u64).unwrap(), leaves);
    let store = DynAccumulator::open(config(), Arc::new(Blake3), Arity::Four).unwrap();
    assert_eq!(store.leaves(0..leaves.len() as u64).unwrap(), leaves);
}
