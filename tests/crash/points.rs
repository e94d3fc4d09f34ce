//! Under `FlushPolicy::Manual` a restart finds the store at a point that a caller named, whatever the
//! store did by itself meanwhile: handed bytes to the operating system, rolled its log, made checkpoints.

use duramen::testing::sim::{CrashChoice, SimDisk};
use duramen::{CheckpointPolicy, Config, Error, FlushPolicy, Limit};

use crate::model::Model;
use crate::run::SetOnDrop;
use crate::setup::{Setup, abandon};
use testkit::random::Random;
use testkit::reference::BLAKE3;
use testkit::words::words;

/// A store that spills after 10 leaves, and makes checkpoints by itself.
fn config(disk: &SimDisk, setup: Setup) -> Config {
    let policy = CheckpointPolicy::manual().every_leaves(30).unwrap().wal_segments(3).unwrap();
    setup.config(disk).checkpoint_policy(policy)
}

const SETUP: Setup = Setup { unflushed: 640, segment: 12 << 10, spare: 16 << 10, ..Setup::PLAIN };

/// Opens what a cut or a kill has left; its size is a point and at least `least`.
fn look(disk: &SimDisk, model: &Model, least: u64, context: &str) -> u64 {
    let store = SETUP.open_as(config(disk, SETUP)).unwrap_or_else(|error| {
        panic!("{context}: {}", words(&error));
    });
    let size = store.size().get();
    assert!(size >= least, "{context}: {size} leaves of {least}");
    assert!(size <= model.size() && model.is_point(size), "{context}: {size} is no point");
    if let Err(finding) = crate::check::same(&store, model) {
        panic!("{context}: {finding:?}");
    }
    abandon(disk, store);
    size
}

#[test]
fn a_restart_finds_a_point_that_a_caller_named_whatever_the_store_did_by_itself() {
    let mut checkpoints = 0;
    let mut behind = 0;
    for seed in 0..6 {
        let mut random = Random(seed);
        let disk = SimDisk::new();
        disk.record();
        let mut model = Model::new(BLAKE3, 4, seed);
        let store = SETUP.open_as(config(&disk, SETUP)).unwrap();
        // By which operation how much was acknowledged.
        let mut acked = vec![(disk.operations(), 0)];
        for _ in 0..40 {
            let leaves = model.next(1 + usize::try_from(random.below(25)).unwrap());
            store.insert_many(&leaves).unwrap();
            model.submit(&leaves);
            store.wait_idle();
            if random.one_in(4) {
                model.name_point();
                store.flush().unwrap();
                acked.push((disk.operations(), model.size()));
                store.wait_idle();
            }
            let unnamed = model.size() - acked[acked.len() - 1].1;
            let killed = look(&disk.kill(), &model, acked[acked.len() - 1].1, "a kill");
            assert_eq!(killed, model.size() - unnamed, "a kill leaves the last flush");
            behind += u64::from(unnamed > 0);
        }
        checkpoints += store.stats().checkpoints;
        for moment in acked[0].0..=disk.operations() {
            let least = acked[acked.partition_point(|(at, _)| *at <= moment) - 1].1;
            for choice in
                [CrashChoice::NothingKept, CrashChoice::AllKept, CrashChoice::Seeded(moment)]
            {
                let left = disk.crash_at(moment, choice).unwrap();
                look(&left, &model, least, &format!("seed {seed}, cut at {moment}, {choice:?}"));
            }
        }
        abandon(&disk, store);
    }
    assert!(checkpoints > 0 && behind > 50, "{checkpoints} checkpoints, {behind} times behind");
}

#[test]
fn a_reader_shows_points_alone() {
    let disk = SimDisk::new();
    let store = SETUP.open_as(config(&disk, SETUP)).unwrap();
    let open = || {
        let hasher = std::sync::Arc::new(duramen::Blake3);
        duramen::Reader::open(config(&disk, SETUP), hasher, duramen::Arity::Four).unwrap()
    };
    let reader = open();
    let mut random = Random(5);
    let (mut inserted, mut flushed) = (0, 0);
    for _ in 0..200 {
        let count = 1 + usize::try_from(random.below(25)).unwrap();
        store.insert_many(&vec![[3; 32]; count]).unwrap();
        inserted += count as u64;
        store.wait_idle();
        assert_eq!(reader.refresh().unwrap().get(), flushed, "{inserted} were inserted");
        if random.one_in(4) {
            store.flush().unwrap();
            flushed = inserted;
            store.wait_idle();
            assert_eq!(reader.refresh().unwrap().get(), flushed);
        }
        assert_eq!(open().size().get(), flushed);
        assert!(reader.durable_size().get() <= flushed);
    }
    abandon(&disk, store);
}

#[test]
fn a_block_that_reaches_the_limit_of_memory_is_refused_at_once_and_a_flush_makes_room() {
    let disk = SimDisk::new();
    let store =
        SETUP.open_as(config(&disk, SETUP).max_uncheckpointed_bytes(64 << 10).unwrap()).unwrap();
    for block in 0..3 {
        let mut refused = 0;
        for _ in 0..3000 {
            match store.insert([9; 32]) {
                Ok(_) => assert_eq!(refused, 0, "an insert came through without a flush"),
                Err(Error::Backpressure { limit: Limit::UnnamedBytes, held, allowed, .. }) => {
                    assert!(held >= allowed && allowed == 64 << 10);
                    refused += 1;
                }
                Err(error) => panic!("{}", words(&error)),
            }
        }
        assert!(refused > 1000, "block {block}: {refused} were refused");
        store.wait_idle();
        let recovered = look_at_size(&disk.kill());
        assert_eq!(store.stats().checkpoints, block, "a checkpoint that nobody named");
        assert!(recovered < store.size().get());
        store.flush().unwrap();
        assert_eq!(look_at_size(&disk.kill()), store.size().get());
        store.wait_idle();
    }
    abandon(&disk, store);
}

fn look_at_size(disk: &SimDisk) -> u64 {
    let store = SETUP.open_as(config(disk, SETUP)).unwrap();
    let size = store.size().get();
    abandon(disk, store);
    size
}

#[test]
fn a_point_is_exact_while_other_threads_insert() {
    let disk = SimDisk::new();
    let store = SETUP.open_as(config(&disk, SETUP)).unwrap();
    let over = std::sync::atomic::AtomicBool::new(false);
    let order = std::sync::atomic::Ordering::Relaxed;
    std::thread::scope(|threads| {
        threads.spawn(|| {
            while !over.load(order) {
                store.insert([1; 32]).unwrap();
                std::thread::yield_now();
            }
        });
        let _over = SetOnDrop(&over);
        for _ in 0..200 {
            let index = store.insert_durable([2; 32]).unwrap().get();
            let head = store.durable_size().get();
            assert_eq!(head, index + 1, "what another thread inserted was made durable with it");
        }
    });
    let size = store.durable_size().get();
    let left = look_at_size(&disk.kill());
    assert_eq!(left, size);
    abandon(&disk, store);
    let _ = FlushPolicy::Manual;
}
