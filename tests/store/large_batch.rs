//! A large batch beside others: what came before it does not wait for it, and what only hashes or reads
//! holds up no insert.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use duramen::fs::FileKind;
use duramen::testing::sim::{OperationKind, SimDisk, When};
use duramen::{
    Arity, Blake3, CheckpointPolicy, Config, DurabilityToken, DynAccumulator, Error, FlushPolicy,
    Hash, Hasher, Limit, ReadMode, scrub,
};
use testkit::hooked::Hooked;
use testkit::stores::leaves;

/// A store that flushes what it is asked for and nothing else.
fn config(disk: &SimDisk) -> Config {
    Config::new("store")
        .file_system(Arc::new(disk.clone()))
        .flush_policy(FlushPolicy::interval(Duration::from_secs(3600)).unwrap())
        .checkpoint_policy(CheckpointPolicy::manual())
}

fn open(config: Config) -> DynAccumulator {
    DynAccumulator::open(config, Arc::new(Blake3), Arity::Four).unwrap()
}

/// A batch of 1 MiB.
const LARGE: usize = 1 << 15;

/// A batch of so many MiB.
fn large(count: usize, seed: u64) -> Vec<Hash> {
    leaves(count * LARGE, seed)
}

const MINUTE: Duration = Duration::from_secs(60);

/// A gate that threads wait at while it is closed.
#[derive(Default)]
struct Gate {
    closed: Mutex<bool>,
    opened: Condvar,
    reached: AtomicBool,
}

impl Gate {
    fn close(&self) {
        *self.closed.lock().unwrap() = true;
    }

    fn open(&self) {
        *self.closed.lock().unwrap() = false;
        self.opened.notify_all();
    }

    fn pass(&self) {
        let closed = self.closed.lock().unwrap();
        if *closed {
            self.reached.store(true, Ordering::SeqCst);
        }
        drop(self.opened.wait_while(closed, |closed| *closed).unwrap());
    }

    fn wait_reached(&self) {
        while !self.reached.load(Ordering::SeqCst) {
            thread::sleep(Duration::from_micros(50));
        }
    }
}

#[test]
fn a_leaf_before_a_large_batch_is_durable_while_the_batch_is_being_written() {
    for manual in [false, true] {
        let disk = SimDisk::new();
        let mut config = config(&disk);
        if manual {
            config = config.flush_policy(FlushPolicy::Manual);
        }
        let store = open(config);
        let segment = |kind, number| disk.hold(When::nth(kind, number).on(FileKind::Segment));
        let (sync, write) = (segment(OperationKind::Sync, 1), segment(OperationKind::Write, 3));
        // The flusher is busy, and does not look before the batch is there.
        store.insert([1; 32]).unwrap();
        drop(store.flush_async().unwrap());
        sync.wait_reached();
        store.insert([2; 32]).unwrap();
        let early = store.flush_async().unwrap();
        let batch = store.insert_many(&large(1, 2)).unwrap().token;
        let flushed = store.flush_async().unwrap();
        sync.release();
        assert!(early.wait_timeout(MINUTE).unwrap());
        assert!(!batch.is_durable() && !flushed.is_durable(), "they were one group");
        write.wait_reached();
        assert_eq!(store.durable_size().get(), 2);
        write.release();
        assert!(flushed.wait_timeout(MINUTE).unwrap() && batch.is_durable());
        store.close().unwrap();
    }
}

#[test]
fn inserts_behind_a_large_batch_do_not_wait_until_it_is_written_and_the_next_large_one_does() {
    let disk = SimDisk::new();
    let store = open(config(&disk).max_unflushed_bytes(64 << 10).unwrap());
    let write = disk.hold(When::nth(OperationKind::Write, 1).on(FileKind::Segment));
    store.insert_many(&large(2, 1)).unwrap();
    let flushed = store.flush_async().unwrap();
    write.wait_reached();
    let refused =
        |error: Error| matches!(error, Error::WouldBlock { limit: Limit::UnflushedBytes, .. });
    assert!(refused(store.try_insert_many(&large(1, 2)).unwrap_err()));
    // 64 KiB may wait behind the batch.
    for _ in 0..2048 {
        store.try_insert([3; 32]).unwrap();
    }
    assert!(refused(store.try_insert([3; 32]).unwrap_err()));
    write.release();
    assert!(flushed.wait_timeout(MINUTE).unwrap());
    store.flush().unwrap();
    store.try_insert_many(&large(1, 4)).unwrap();
    store.try_insert([3; 32]).unwrap();
    store.close().unwrap();
}

#[test]
fn of_several_large_batches_each_is_durable_without_the_next() {
    let disk = SimDisk::new();
    let store = open(config(&disk));
    let mut tokens = Vec::new();
    for seed in 0..3 {
        tokens.push(store.insert_many(&large(1, seed)).unwrap().token);
        tokens.push(store.insert([9; 32]).unwrap().token);
    }
    let before = store.stats().groups;
    store.flush().unwrap();
    // The first batch, the leaf behind it with the second, and so on; the last leaf with the third.
    assert_eq!(store.stats().groups - before, 3);
    assert!(tokens.iter().all(DurabilityToken::is_durable));
    store.close().unwrap();
}

#[test]
fn a_large_batch_goes_to_the_log_in_pieces_and_a_kill_between_two_leaves_nothing_of_it() {
    let disk = SimDisk::new();
    let config = || config(&disk).wal_group_bytes(64 << 10).wal_segment_bytes(256 << 10).unwrap();
    let store = open(config());
    store.insert_durable([1; 32]).unwrap();
    let batch = large(2, 2);
    for number in [1, 2, 7, 20] {
        let before = store.size().get();
        let hold = disk.hold(When::nth(OperationKind::Write, number).on(FileKind::Segment));
        let token = store.insert_many(&batch).unwrap().token;
        let flushed = store.flush_async().unwrap();
        hold.wait_reached();
        assert!(!token.is_durable());
        let left = disk.kill();
        let found = open(config().file_system(Arc::new(left)));
        assert_eq!(found.size().get(), before, "killed at write {number}");
        hold.release();
        assert!(flushed.wait_timeout(MINUTE).unwrap());
        assert_eq!(store.size().get(), before + batch.len() as u64);
        let left = disk.kill();
        let found = open(config().file_system(Arc::new(left)));
        assert_eq!(found.head().unwrap(), store.head().unwrap());
    }
    assert!(store.stats().groups > 4 * 32, "{} groups", store.stats().groups);
    store.close().unwrap();
}

/// BLAKE3 behind a gate.
struct Gated(Gate);

impl Hasher for Gated {
    fn id(&self) -> duramen::HasherId {
        Blake3.id()
    }

    fn leaf(&self, data: &[u8]) -> Hash {
        Blake3.leaf(data)
    }

    fn node(&self, children: &[Hash]) -> Hash {
        self.0.pass();
        Blake3.node(children)
    }

    fn nodes(&self, arity: Arity, children: &[Hash], parents: &mut [Hash]) {
        self.0.pass();
        Blake3.nodes(arity, children, parents);
    }

    fn empty_root(&self) -> Hash {
        Blake3.empty_root()
    }
}

#[test]
fn inserts_go_on_and_become_durable_while_the_batch_before_them_is_hashed() {
    let disk = SimDisk::new();
    let hasher = Arc::new(Gated(Gate::default()));
    let store = DynAccumulator::open(config(&disk), hasher.clone(), Arity::Four).unwrap();
    for count in [LARGE / 2, 2 * LARGE] {
        let gate = &hasher.0;
        gate.reached.store(false, Ordering::SeqCst);
        gate.close();
        let before = store.size().get();
        thread::scope(|threads| {
            let batch = threads.spawn(|| store.insert_many(&leaves(count, 4)).unwrap());
            gate.wait_reached();
            // Under the lock this would wait for the gate, which is opened below. The batch is there.
            let index = store.try_insert([5; 32]).unwrap().index;
            assert_eq!(index.get(), before + count as u64);
            store.flush().unwrap();
            assert!(!batch.is_finished());
            gate.open();
            assert!(batch.join().unwrap().token.is_durable());
        });
    }
    store.head().unwrap();
    store.close().unwrap();
}

#[test]
fn inserts_and_batches_go_on_while_a_read_of_a_scrub_is_held() {
    let disk = SimDisk::new();
    let gate = Arc::new(Gate::default());
    let own = Arc::clone(&gate);
    let hooked = Hooked::new(&disk).on_read(move |name, _, _| {
        if name.kind == FileKind::Part {
            own.pass();
        }
    });
    let config = config(&disk).file_system(Arc::new(hooked)).read_mode(ReadMode::Pread);
    let store = open(config);
    // More pieces than there are threads.
    store.insert_many(&leaves(1 << 19, 1)).unwrap();
    store.checkpoint().unwrap();
    gate.close();
    thread::scope(|threads| {
        let scrub = threads.spawn(|| {
            store.scrub(&scrub::Options::new(), &mut |_| ControlFlow::Continue(())).unwrap()
        });
        gate.wait_reached();
        for seed in 0..4 {
            store.insert_many(&large(1, seed)).unwrap();
            store.insert_durable([7; 32]).unwrap();
        }
        assert!(!scrub.is_finished());
        gate.open();
        assert!(scrub.join().unwrap().is_clean());
    });
    store.close().unwrap();
}
