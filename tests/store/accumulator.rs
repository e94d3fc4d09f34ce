//! The accumulator from the outside: what it answers, and what is there after each kind of stop.

use std::sync::Arc;
use std::time::Duration;
use testkit::stores;

use duramen::{
    Accumulator, Arity, Blake3, CheckpointPolicy, CompactionPolicy, Config, DynAccumulator, Error,
    FlushPolicy, Hash, Hasher, LeafIndex, Rfc6962Sha256, TreeHead, TreeSize,
};
use testkit::stores::{copy_of, leaves, root_of};

fn hashers() -> [Arc<dyn Hasher>; 2] {
    [Arc::new(Blake3), Arc::new(Rfc6962Sha256)]
}

fn manual(dir: &std::path::Path) -> Config {
    Config::new(dir).flush_policy(FlushPolicy::Manual).checkpoint_policy(CheckpointPolicy::manual())
}

fn check(store: &impl AsRef<DynAccumulator>, expected: &[Hash]) {
    let store = store.as_ref();
    let size = TreeSize(expected.len() as u64);
    let root = root_of(store.hasher(), store.arity(), expected);
    assert_eq!(store.head().unwrap(), TreeHead { size, root });
    assert_eq!(store.leaves(0..size.0).unwrap(), expected);
    let snapshot = store.snapshot();
    for index in [0, 1, size.0 / 3, size.0 / 2, size.0.saturating_sub(1)] {
        if index < size.0 {
            let leaf = &expected[usize::try_from(index).unwrap()];
            let proof = snapshot.prove(index).unwrap();
            let head = snapshot.head().unwrap();
            proof
                .verify(store.hasher(), store.arity(), &head, LeafIndex(index), leaf)
                .unwrap_or_else(|error| panic!("{index} of {size}: {error}"));
        }
    }
}

#[test]
fn a_store_answers_as_the_definition_does_with_checkpoints_at_any_place() {
    for hasher in hashers() {
        for arity in Arity::ALL {
            let dir = tempfile::tempdir().unwrap();
            let all = leaves(700, 1);
            let mut store =
                DynAccumulator::open(manual(dir.path()), hasher.clone(), arity).unwrap();
            let mut at = 0;
            // Odd steps, so that parts begin and end inside groups of siblings on every level.
            for (step, len) in [1usize, 2, 3, 7, 30, 1, 64, 100, 5, 200, 17, 270].iter().enumerate()
            {
                store.insert_many(&all[at..at + len]).unwrap();
                at += len;
                if step % 2 == 0 {
                    let info = store.checkpoint().unwrap();
                    assert_eq!(info.seq.0, at as u64);
                }
                if step % 3 == 0 {
                    store.close().unwrap();
                    store =
                        DynAccumulator::open(manual(dir.path()), hasher.clone(), arity).unwrap();
                    assert!(store.recovery().clean);
                }
                check(&store, &all[..at]);
            }
            assert_eq!(at, all.len());
            for size in 0..=all.len() {
                let head = store.head_at(size as u64).unwrap();
                assert_eq!(head.root, root_of(store.hasher(), arity, &all[..size]), "size {size}");
            }
        }
    }
}

#[test]
fn large_trees_built_in_random_batches_have_the_root_of_the_definition() {
    let all = leaves(1_000_000, 10);
    let seed = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos();
    let seed = u64::try_from(seed & u128::from(u64::MAX)).unwrap();
    println!("seed {seed}");
    let mut state = seed | 1;
    let mut random = |below: usize| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % below
    };
    for hasher in hashers() {
        for arity in Arity::ALL {
            let dir = tempfile::tempdir().unwrap();
            let store = DynAccumulator::open(manual(dir.path()), hasher.clone(), arity).unwrap();
            let size = 1 + random(all.len());
            let mut at = 0;
            while at < size {
                let end = size.min(at + 1 + random(100_000));
                store.insert_many(&all[at..end]).unwrap();
                at = end;
                if random(4) == 0 {
                    store.checkpoint().unwrap();
                }
            }
            check(&store, &all[..size]);
            let past = random(size);
            let root = root_of(&*hasher, arity, &all[..past]);
            assert_eq!(store.head_at(past as u64).unwrap().root, root, "{past} of {size}");
        }
    }
}

#[test]
fn proofs_at_every_size_verify_across_parts_and_memory() {
    let dir = tempfile::tempdir().unwrap();
    let store = DynAccumulator::open(manual(dir.path()), Arc::new(Blake3), Arity::Four).unwrap();
    let all = leaves(150, 2);
    for (at, leaf) in all.iter().enumerate() {
        store.insert(*leaf).unwrap();
        if [3, 20, 21, 64, 100].contains(&at) {
            store.checkpoint().unwrap();
        }
    }
    let snapshot = store.snapshot();
    for size in 1..=all.len() as u64 {
        let head = snapshot.head_at(size).unwrap();
        for index in 0..size {
            let proof = snapshot.prove_at(index, size).unwrap();
            let leaf = &all[usize::try_from(index).unwrap()];
            proof.verify(&Blake3, Arity::Four, &head, LeafIndex(index), leaf).unwrap();
        }
    }
}

#[test]
fn what_was_flushed_is_there_after_a_kill_and_what_was_shown_stays_shown() {
    let dir = tempfile::tempdir().unwrap();
    let all = leaves(1000, 3);
    let store = Accumulator::<Blake3, 4>::open(manual(dir.path())).unwrap();
    let mut copies = Vec::new();
    for (step, batch) in all.chunks(100).enumerate() {
        store.insert_many(batch).unwrap();
        store.flush().unwrap();
        if step == 4 {
            store.checkpoint().unwrap();
        }
        copies.push((copy_of(dir.path()), (step + 1) * 100));
    }
    for (copy, len) in copies {
        // Opening after an unclean stop is itself cut short three times.
        let mut copy = copy;
        let mut len = len;
        for round in 0..3 {
            let store = Accumulator::<Blake3, 4>::open(manual(copy.path())).unwrap();
            assert!(!store.recovery().clean);
            assert_eq!(store.recovery().torn, None);
            check(&store, &all[..len]);
            if round == 1 && len < all.len() {
                store.insert_many(&all[len..]).unwrap();
                store.flush().unwrap();
                len = all.len();
                check(&store, &all);
            }
            let next = copy_of(copy.path());
            drop(store);
            copy = next;
        }
        let store = Accumulator::<Blake3, 4>::open(manual(copy.path())).unwrap();
        check(&store, &all);
    }
}

#[test]
fn a_batch_larger_than_a_segment_is_one_group_and_survives() {
    let dir = tempfile::tempdir().unwrap();
    let config = || manual(dir.path()).wal_segment_bytes(8192).unwrap();
    let all = leaves(40_000, 4);
    let store = Accumulator::<Blake3, 16>::open(config()).unwrap();
    store.insert_many(&all[..10]).unwrap();
    store.flush().unwrap();
    let batch = store.insert_many(&all[10..]).unwrap();
    assert_eq!(batch.range, 10..40_000);
    assert!(!batch.token.is_durable());
    store.flush().unwrap();
    assert!(batch.token.is_durable());
    let copy = copy_of(dir.path());
    let reopened = Accumulator::<Blake3, 16>::open(manual(copy.path())).unwrap();
    check(&reopened, &all);
    assert_eq!(reopened.recovery().replayed_leaves, 40_000);
}

#[test]
fn small_segments_are_recycled_and_their_old_groups_never_come_back() {
    let dir = tempfile::tempdir().unwrap();
    // A copy of the files of a store that removes some meanwhile would not be what a kill leaves.
    let config = |dir: &std::path::Path| {
        manual(dir).wal_segment_bytes(4 * 4096).unwrap().compaction_policy(CompactionPolicy::Off)
    };
    let all = leaves(600, 5);
    let mut store = Accumulator::<Rfc6962Sha256, 2>::open(config(dir.path())).unwrap();
    for (step, leaf) in all.iter().enumerate() {
        store.insert_durable(*leaf).unwrap();
        if step % 50 == 49 {
            store.checkpoint().unwrap();
        }
        if step % 97 == 96 {
            drop(store);
            store = Accumulator::open(config(dir.path())).unwrap();
        }
        if step % 41 == 40 {
            let copy = copy_of(dir.path());
            let crashed = Accumulator::<Rfc6962Sha256, 2>::open(config(copy.path())).unwrap();
            check(&crashed, &all[..=step]);
        }
    }
    check(&store, &all);
    let files = std::fs::read_dir(dir.path().join("wal")).unwrap().count();
    assert!(files < 60, "{files} segments for 50 uncheckpointed leaves");
}

#[test]
fn an_interval_makes_inserts_durable_by_itself_and_leaves_an_idle_store_alone() {
    let dir = tempfile::tempdir().unwrap();
    let store = Accumulator::<Blake3, 4>::open(Config::new(dir.path())).unwrap();
    for leaf in leaves(50, 6) {
        store.insert(leaf).unwrap().token.wait().unwrap();
    }
    let syncs = store.stats().syncs;
    assert!(syncs > 0);
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(store.stats().syncs, syncs, "an idle store was synced");
}

#[test]
fn manual_makes_nothing_durable_until_asked() {
    let dir = tempfile::tempdir().unwrap();
    let store = Accumulator::<Blake3, 4>::open(manual(dir.path())).unwrap();
    let inserted = store.insert([1; 32]).unwrap();
    assert!(!inserted.token.wait_timeout(Duration::from_millis(50)).unwrap());
    assert_eq!(store.stats().syncs, 0);
    store.flush().unwrap();
    assert!(inserted.token.is_durable());
    assert_eq!(store.stats().syncs, 1);
    store.flush().unwrap();
    assert_eq!(store.stats().syncs, 1, "nothing was new");
}

#[test]
fn under_manual_the_bound_hands_bytes_to_the_system_without_claiming_anything() {
    let dir = tempfile::tempdir().unwrap();
    let store =
        Accumulator::<Blake3, 4>::open(manual(dir.path()).max_unflushed_bytes(3200).unwrap())
            .unwrap();
    let all = leaves(5000, 7);
    let tokens: Vec<_> = all.iter().map(|leaf| store.insert(*leaf).unwrap().token).collect();
    let stats = store.stats();
    assert!(stats.unflushed_bytes <= 3200, "{} bytes unflushed", stats.unflushed_bytes);
    assert_eq!(stats.syncs, 0);
    assert!(tokens.iter().all(|token| !token.is_durable()));
    store.flush().unwrap();
    assert!(tokens.iter().all(duramen::DurabilityToken::is_durable));
    check(&store, &all);
}

#[test]
fn what_was_handed_to_the_system_is_durable_after_a_flush_that_adds_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let config = || manual(dir.path()).max_unflushed_bytes(64).unwrap();
    let store = DynAccumulator::open(config(), Arc::new(Blake3), Arity::Four).unwrap();
    let mut handed_over = false;
    while !handed_over {
        store.insert([7; 32]).unwrap();
        let stats = store.stats();
        handed_over = stats.unflushed_bytes == 0 && store.durable_size().get() == 0;
    }
    let token = store.flush_async().unwrap();
    let durable = token.wait_timeout(Duration::from_secs(60)).unwrap();
    if !durable {
        // Closing would wait for it for ever.
        std::mem::forget(store);
        panic!("no point was made of what the log has already");
    }
    let size = store.size();
    assert_eq!(store.durable_size(), size);
    let copy = copy_of(dir.path());
    let config = manual(copy.path());
    let left = DynAccumulator::open(config, Arc::new(Blake3), Arity::Four).unwrap();
    assert_eq!((left.size(), left.recovery().dropped_leaves), (size, 0));
    store.close().unwrap();
}

#[test]
fn an_empty_batch_is_durable_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = Accumulator::<Blake3, 4>::open(manual(dir.path())).unwrap();
    store.insert([1; 32]).unwrap();
    let empty = store.insert_many(&[]).unwrap();
    assert_eq!(empty.range, 1..1);
    assert!(empty.token.is_durable());
    empty.token.wait().unwrap();
    assert_eq!(store.size(), TreeSize(1));
}

#[test]
fn threads_that_insert_durably_get_every_index_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = Accumulator::<Blake3, 4>::open(Config::new(dir.path())).unwrap();
    let mut indexes: Vec<u64> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8u8)
            .map(|thread| {
                let store = &store;
                scope.spawn(move || {
                    let insert = |n: u8| store.insert_durable([thread * 16 + n; 32]).unwrap().get();
                    (0..16).map(insert).collect::<Vec<_>>()
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    indexes.sort_unstable();
    assert_eq!(indexes, (0..128).collect::<Vec<_>>());
    assert_eq!(store.stats().durable, 128);
}

#[test]
fn a_token_is_a_future_that_any_executor_can_wait_for() {
    let dir = tempfile::tempdir().unwrap();
    let store = Accumulator::<Blake3, 4>::open(Config::new(dir.path())).unwrap();
    let token = store.insert([9; 32]).unwrap().token;
    stores::block_on(token).unwrap();
    assert_eq!(store.stats().durable, 1);
}

#[test]
fn tokens_resolve_on_close_and_fail_when_the_store_went_without_them() {
    let dir = tempfile::tempdir().unwrap();
    let store = Accumulator::<Blake3, 4>::open(manual(dir.path())).unwrap();
    let token = store.insert([9; 32]).unwrap().token;
    store.close().unwrap();
    token.wait().unwrap();
}

#[test]
fn automatic_checkpoints_come_from_the_policy_and_memory_is_released() {
    let dir = tempfile::tempdir().unwrap();
    let policy = CheckpointPolicy::manual().every_leaves(200_000).unwrap();
    let store =
        Accumulator::<Blake3, 4>::open(Config::new(dir.path()).checkpoint_policy(policy)).unwrap();
    let all = leaves(1_000_000, 8);
    for (number, batch) in all.chunks(50_000).enumerate() {
        store.insert_many(batch).unwrap();
        store.flush().unwrap();
        // However busy the machine is, one is made before the end.
        while number == 10 && store.stats().checkpoints == 0 {
            std::thread::yield_now();
        }
    }
    let info = store.checkpoint().unwrap();
    assert_eq!(info.seq.0, 1_000_000);
    let stats = store.stats();
    assert!(stats.checkpoints >= 2, "{} checkpoints", stats.checkpoints);
    // One chunk per tier remains; all leaves would take 43 MB.
    assert!(stats.memory_bytes < 24 << 20, "{} bytes in memory", stats.memory_bytes);
    let head = store.head().unwrap();
    store.close().unwrap();
    let store = Accumulator::<Blake3, 4>::open(Config::new(dir.path()).create(false)).unwrap();
    assert_eq!(store.head().unwrap(), head);
    assert_eq!(store.recovery().replayed_leaves, 0);
    assert_eq!(store.leaves(499_990..500_010).unwrap(), all[499_990..500_010]);
}

#[test]
fn snapshots_keep_answering_while_the_store_moves_on_and_after_it_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let store = Accumulator::<Blake3, 4>::open(manual(dir.path())).unwrap();
    let all = leaves(300_000, 9);
    store.insert_many(&all[..100_000]).unwrap();
    let early = store.snapshot();
    store.checkpoint().unwrap();
    store.insert_many(&all[100_000..]).unwrap();
    let late = store.snapshot();
    store.checkpoint().unwrap();
    store.close().unwrap();
    for (snapshot, len) in [(early, 100_000), (late, 300_000)] {
        assert_eq!(snapshot.size(), TreeSize(len as u64));
        let root = root_of(&Blake3, Arity::Four, &all[..len]);
        assert_eq!(snapshot.head().unwrap().root, root);
        assert_eq!(snapshot.leaf(77_777).unwrap(), all[77_777]);
    }
}

#[test]
fn indexes_and_sizes_beyond_the_tree_are_refused_with_both_numbers() {
    let dir = tempfile::tempdir().unwrap();
    let store = Accumulator::<Blake3, 4>::open(manual(dir.path())).unwrap();
    store.insert_many(&leaves(10, 1)).unwrap();
    let message = |error: Error| error.to_string();
    assert_eq!(message(store.leaf(10).unwrap_err()), "index 10 is not in a tree of size 10");
    assert_eq!(
        message(store.prove(u64::MAX).unwrap_err()),
        format!("index {} is not in a tree of size 10", u64::MAX)
    );
    assert_eq!(message(store.prove_at(5, 5).unwrap_err()), "index 5 is not in a tree of size 5");
    assert_eq!(message(store.head_at(11).unwrap_err()), "size 11 is beyond the tree's 10 leaves");
    assert_eq!(
        message(store.leaves(0..u64::MAX).unwrap_err()),
        format!("size {} is beyond the tree's 10 leaves", u64::MAX)
    );
    #[allow(clippy::reversed_empty_ranges)]
    let reversed = store.leaves(5..3).unwrap();
    assert!(reversed.is_empty());
}

#[test]
fn a_store_that_was_closed_in_a_reused_segment_was_closed_cleanly() {
    let dir = tempfile::tempdir().unwrap();
    let config = || {
        Config::new(dir.path())
            .flush_policy(FlushPolicy::Manual)
            .checkpoint_policy(CheckpointPolicy::manual())
    };
    let store = Accumulator::<Blake3, 4>::open(config()).unwrap();
    for _ in 0..12 {
        store.insert_many(&vec![[7; 32]; 17_000]).unwrap();
        store.checkpoint().unwrap();
        store.insert_durable([1; 32]).unwrap();
    }
    store.close().unwrap();
    // Each time the log ends in another segment, before the rest of a group that was longer.
    for _ in 0..8 {
        let store = Accumulator::<Blake3, 4>::open(config()).unwrap();
        assert!(store.recovery().clean, "{}", store.recovery());
        store.insert([1; 32]).unwrap();
        store.close().unwrap();
    }
}

#[test]
fn a_head_that_may_be_signed_is_that_of_what_is_durable() {
    let dir = tempfile::tempdir().unwrap();
    let all = leaves(10, 3);
    let store = Accumulator::<Blake3, 4>::open(manual(dir.path())).unwrap();
    let head_of = |size: usize| TreeHead {
        size: TreeSize(size as u64),
        root: root_of(&Blake3, Arity::Four, &all[..size]),
    };
    assert_eq!(store.durable_head().unwrap(), head_of(0));
    store.insert_many(&all[..4]).unwrap();
    assert_eq!(store.durable_head().unwrap(), head_of(0), "nothing was flushed");
    let early = store.snapshot();
    store.flush().unwrap();
    store.insert_many(&all[4..]).unwrap();
    assert_eq!(store.durable_head().unwrap(), head_of(4));
    assert_eq!(early.durable_head().unwrap(), head_of(4));
    assert_eq!(store.snapshot().durable_head().unwrap(), head_of(4));
    assert_eq!(store.head().unwrap(), head_of(10));
    store.flush_async().unwrap().wait().unwrap();
    assert_eq!(store.durable_head().unwrap(), head_of(10));
    assert_eq!(early.durable_head().unwrap(), head_of(4), "a snapshot grew");
    store.close().unwrap();
    let store = Accumulator::<Blake3, 4>::open(manual(dir.path())).unwrap();
    assert_eq!(store.durable_head().unwrap(), head_of(10));
    let reader = Accumulator::<Blake3, 4>::open_read_only(manual(dir.path())).unwrap();
    assert_eq!(reader.durable_head().unwrap(), head_of(10));
}

#[test]
fn a_flush_that_is_not_waited_for_does_not_wait_for_the_interval() {
    let dir = tempfile::tempdir().unwrap();
    let hour = FlushPolicy::interval(Duration::from_secs(3600)).unwrap();
    let store = Accumulator::<Blake3, 4>::open(manual(dir.path()).flush_policy(hour)).unwrap();
    let inserted = store.insert([1; 32]).unwrap();
    let durable = store.flush_async().unwrap();
    assert!(durable.wait_timeout(Duration::from_secs(60)).unwrap());
    assert!(inserted.token.is_durable());
    // Nothing is new: it is durable at once.
    assert!(store.flush_async().unwrap().is_durable());
    store.close().unwrap();
}

/// BLAKE3 that panics at one of its calls.
struct Panics {
    calls: std::sync::atomic::AtomicU64,
    at: std::sync::atomic::AtomicU64,
}

impl Panics {
    fn new() -> Arc<Self> {
        Arc::new(Self { calls: 0.into(), at: u64::MAX.into() })
    }

    /// The call after so many more panics. Returns how many there were.
    fn after(&self, calls: u64) -> u64 {
        let order = std::sync::atomic::Ordering::SeqCst;
        let before = self.calls.load(order);
        self.at.store(before.saturating_add(calls), order);
        before
    }

    fn call(&self) {
        let order = std::sync::atomic::Ordering::SeqCst;
        let call = self.calls.fetch_add(1, order);
        assert!(call != self.at.load(order), "on purpose");
    }
}

impl Hasher for Panics {
    fn id(&self) -> duramen::HasherId {
        Blake3.id()
    }

    fn leaf(&self, data: &[u8]) -> Hash {
        Blake3.leaf(data)
    }

    fn node(&self, children: &[Hash]) -> Hash {
        self.call();
        Blake3.node(children)
    }

    fn nodes(&self, arity: Arity, children: &[Hash], parents: &mut [Hash]) {
        self.call();
        Blake3.nodes(arity, children, parents);
    }

    fn empty_root(&self) -> Hash {
        Blake3.empty_root()
    }
}

#[test]
fn a_batch_whose_hashing_panics_is_there_and_is_hashed_when_it_is_needed() {
    let batch = leaves(20_000, 8);
    let mut panicked = 0;
    for calls in 0.. {
        let dir = tempfile::tempdir().unwrap();
        let hasher = Panics::new();
        let open = || DynAccumulator::open(manual(dir.path()), hasher.clone(), Arity::Four);
        let store = open().unwrap();
        let mut expected = leaves(5, 7);
        store.insert_many(&expected).unwrap();
        let before = hasher.after(calls);
        let inserted = store.insert_many(&batch).unwrap();
        let all = hasher.after(u64::MAX) - before;
        panicked += u64::from(all > calls);
        assert_eq!(inserted.range, 5..20_005);
        expected.extend_from_slice(&batch);
        assert_eq!(store.size().get(), expected.len() as u64, "call {calls}");
        let more = leaves(20_003, calls);
        let inserted = store.insert_many(&more).unwrap();
        assert_eq!(inserted.range.start, expected.len() as u64);
        expected.extend_from_slice(&more);
        store.flush().unwrap();
        check(&store, &expected);
        if calls % 2 == 0 {
            store.checkpoint().unwrap();
        }
        store.close().unwrap();
        check(&open().unwrap(), &expected);
        if all <= calls {
            break;
        }
    }
    assert!(panicked > 10, "{panicked} calls panicked");
}

#[test]
fn a_checkpoint_whose_hashing_panics_is_an_error_and_the_next_one_is_made() {
    let dir = tempfile::tempdir().unwrap();
    let hasher = Panics::new();
    let store = DynAccumulator::open(manual(dir.path()), hasher.clone(), Arity::Four).unwrap();
    let all = leaves(500, 7);
    store.insert_many(&all).unwrap();
    hasher.after(0);
    let refused = store.checkpoint().unwrap_err();
    assert!(matches!(refused, Error::Panicked { .. }), "{refused}");
    assert_eq!(store.stats().failed_checkpoints, 1);
    assert_eq!(store.checkpoint().unwrap().leaves, 500);
    check(&store, &all);
    assert_eq!(std::fs::read_dir(dir.path().join("parts")).unwrap().count(), 1);
}

#[test]
fn an_insert_that_waits_for_a_checkpoint_whose_hashing_panics_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let hasher = Panics::new();
    let config = manual(dir.path())
        .flush_policy(FlushPolicy::interval(Duration::from_millis(1)).unwrap())
        .max_uncheckpointed_bytes(4096)
        .unwrap();
    let store = DynAccumulator::open(config, hasher.clone(), Arity::Four).unwrap();
    hasher.after(0);
    let refused = (0..1000).find_map(|_| store.insert([1; 32]).err()).unwrap();
    assert!(matches!(refused, Error::CheckpointsFail { .. }), "{refused}");
    store.checkpoint().unwrap();
    store.insert([1; 32]).unwrap();
}

#[test]
fn leaves_come_one_after_the_other_from_parts_and_memory_while_the_store_goes_on_and_ends() {
    let dir = tempfile::tempdir().unwrap();
    let store = Accumulator::<Blake3, 4>::open(manual(dir.path())).unwrap();
    let mut all = leaves(10_000, 1);
    store.insert_many(&all).unwrap();
    store.checkpoint().unwrap();
    all.extend(leaves(5_000, 2));
    store.insert_many(&all[10_000..]).unwrap();
    let mut found = store.leaves_iter(17..14_990).unwrap();
    let mut expected = all[17..14_990].iter();
    let mut take = |count| {
        for _ in 0..count {
            assert_eq!(found.next().unwrap().unwrap(), *expected.next().unwrap());
        }
        found.len()
    };
    take(100);
    store.insert_many(&leaves(5_000, 3)).unwrap();
    take(11_000);
    store.checkpoint().unwrap();
    let left = take(1_000);
    store.close().unwrap();
    assert_eq!(left, 14_973 - 12_100);
    take(left);
    assert!(found.next().is_none());

    let config = manual(dir.path());
    let reader = duramen::Reader::open(config, Arc::new(Blake3), Arity::Four).unwrap();
    let found = reader.leaves_iter(0..15_000).unwrap();
    assert!(found.zip(&all).all(|(found, leaf)| found.unwrap() == *leaf));
    let refused = reader.leaves_iter(0..20_001).unwrap_err();
    assert!(matches!(refused, Error::SizeOutOfRange { .. }), "{refused}");
}

#[test]
fn snapshots_that_are_held_keep_nothing_that_a_checkpoint_has_written() {
    let dir = tempfile::tempdir().unwrap();
    let store = Accumulator::<Blake3, 4>::open(manual(dir.path())).unwrap();
    let batch = leaves(262_144, 4);
    let anonymous = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with("RssAnon")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
    };
    let before = anonymous();
    let mut held = Vec::new();
    for _ in 0..24 {
        store.insert_many(&batch).unwrap();
        let snapshot = store.snapshot();
        let head = snapshot.head().unwrap();
        held.push((snapshot, head));
        store.checkpoint().unwrap();
    }
    // Each would keep 11 MB. Other tests of this process take memory at the same time.
    let more = anonymous().saturating_sub(before);
    assert!(more < 180 << 20, "{more} bytes for {} snapshots", held.len());
    for (snapshot, head) in &held {
        assert_eq!(snapshot.head().unwrap(), *head);
        let proof = snapshot.prove(5).unwrap();
        proof.verify(&Blake3, Arity::Four, head, LeafIndex(5), &batch[5]).unwrap();
    }
}
