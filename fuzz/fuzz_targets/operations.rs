//! Sequences of operations on a simulated disk that fails and loses power: what was acknowledged is
//! there, what is there was submitted, and the root is that of the same leaves in memory.
#![no_main]

use std::sync::Arc;

use duramen::testing::sim::{CrashChoice, Fault, FaultError, SimDisk, When};
use duramen::{
    Accumulator, Blake3, CheckpointPolicy, Config, Error, FlushPolicy, Hash, MemoryAccumulator,
};
use libfuzzer_sys::fuzz_target;

type Store = Accumulator<Blake3, 4>;

fn open(disk: &SimDisk) -> Result<Store, Error> {
    Store::open(
        Config::new("simulated")
            .file_system(Arc::new(disk.clone()))
            .flush_policy(FlushPolicy::Manual)
            .checkpoint_policy(CheckpointPolicy::manual())
            .wal_segment_bytes(8 << 10)?
            .wal_spare_bytes(16 << 10)
            .whole_manifests_below(0),
    )
}

/// What the store must have and may have.
#[derive(Default)]
struct Model {
    leaves: Vec<Hash>,
    acked: usize,
    next: u64,
}

impl Model {
    fn next(&mut self, count: u8) -> Vec<Hash> {
        (0..count)
            .map(|_| {
                self.next += 1;
                let mut leaf = [7; 32];
                leaf[..8].copy_from_slice(&self.next.to_le_bytes());
                leaf
            })
            .collect()
    }

    /// Compares, and forgets what is gone.
    fn check(&mut self, store: &Store) {
        let head = store.head().expect("a head of an undamaged store");
        let size = usize::try_from(head.size.get()).expect("a small size");
        assert!(self.acked <= size && size <= self.leaves.len(), "{} {size}", self.acked);
        assert_eq!(store.leaves(0..size as u64).expect("leaves"), self.leaves[..size]);
        let mut tree = MemoryAccumulator::<Blake3, 4>::new();
        tree.extend(&self.leaves[..size]).expect("a tree in memory");
        assert_eq!(head, tree.head().expect("its head"));
        self.leaves.truncate(size);
        self.acked = size;
    }

    /// Notes an answer; returns whether the store goes on.
    fn answered<T>(&mut self, answer: Result<T, Error>) -> bool {
        match answer {
            Ok(_) => {
                self.acked = self.leaves.len();
                true
            }
            Err(Error::Poisoned { .. }) => false,
            // A checkpoint that failed; the flush before it did not.
            Err(Error::Io { .. }) => true,
            Err(error) => panic!("{error}"),
        }
    }
}

fn end(disk: &SimDisk, store: Option<Store>) {
    disk.stop_after(0);
    drop(store);
}

fuzz_target!(|bytes: &[u8]| {
    let mut disk = SimDisk::new();
    let mut model = Model::default();
    let mut store = Some(open(&disk).expect("a new store"));
    for step in bytes.as_chunks::<2>().0.iter().take(40) {
        let [what, argument] = *step;
        let Some(live) = &store else { break };
        let goes_on = match what % 9 {
            0 => {
                let leaves = model.next(1 + argument % 40);
                match live.insert_many(&leaves) {
                    Ok(_) => model.leaves.extend(leaves),
                    Err(error) => assert!(matches!(error, Error::Poisoned { .. }), "{error}"),
                }
                true
            }
            1 => {
                let answer = live.flush();
                model.answered(answer)
            }
            2 => {
                let leaf = model.next(1);
                let before = live.size();
                let answer = live.insert_durable(leaf[0]);
                if live.size() > before {
                    model.leaves.extend(leaf);
                }
                model.answered(answer)
            }
            3 => {
                let answer = live.checkpoint();
                model.answered(answer)
            }
            4 => {
                let error = [FaultError::EIO, FaultError::ENOSPC][usize::from(argument % 2)];
                let number = disk.operations() + 1 + u64::from(argument / 16);
                let kept = match argument % 3 {
                    0 => CrashChoice::NothingKept,
                    1 => CrashChoice::AllKept,
                    _ => CrashChoice::Seeded(u64::from(argument)),
                };
                disk.inject(Fault::new(When::operation(number), error).keeping(kept));
                true
            }
            5 => {
                disk.clear_faults();
                let closed = store.take().map(Store::close);
                if let Some(Ok(())) = closed {
                    model.acked = model.leaves.len();
                }
                false
            }
            6 => false,
            7 => {
                let left = disk.crash(CrashChoice::Seeded(u64::from(argument)));
                end(&disk, store.take());
                disk = left;
                false
            }
            _ => {
                let left = disk.kill();
                end(&disk, store.take());
                disk = left;
                false
            }
        };
        if goes_on {
            continue;
        }
        drop(store.take());
        disk.clear_faults();
        let again = open(&disk).expect("a store opens again on a disk that is well");
        model.check(&again);
        store = Some(again);
    }
    end(&disk, store);
});
