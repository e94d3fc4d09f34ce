//! Merging parts, from the outside.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use duramen::fs::{FileKind, FileName};
use duramen::testing::sim::{CrashChoice, Fault, FaultError, OperationKind, SimDisk, When};
use duramen::{
    Arity, Blake3, CheckpointPolicy, CompactionPolicy, Config, DynAccumulator, Error, FlushPolicy,
    Hash, Hasher, HasherId, LeafIndex, Problem, Rfc6962Sha256, TreeHead, TreeSize,
};
use testkit::stores::{leaves, root_of};

fn config(disk: &SimDisk, policy: CompactionPolicy) -> Config {
    Config::new("store")
        .file_system(Arc::new(disk.clone()))
        .flush_policy(FlushPolicy::Manual)
        .checkpoint_policy(CheckpointPolicy::manual())
        .compaction_policy(policy)
}

fn open(disk: &SimDisk, policy: CompactionPolicy) -> DynAccumulator {
    DynAccumulator::open(config(disk, policy), Arc::new(Blake3), Arity::Four).unwrap()
}

fn parts(disk: &SimDisk) -> Vec<FileName> {
    disk.files().into_iter().filter(|file| file.kind == FileKind::Part).collect()
}

/// A store with a part for each of `sizes`.
fn filled(
    disk: &SimDisk,
    policy: CompactionPolicy,
    sizes: &[usize],
) -> (DynAccumulator, Vec<Hash>) {
    let store = open(disk, policy);
    let all = leaves(sizes.iter().sum(), 3);
    let mut at = 0;
    for len in sizes {
        store.insert_many(&all[at..at + len]).unwrap();
        store.checkpoint().unwrap();
        store.wait_idle();
        at += len;
    }
    (store, all)
}

fn check(store: &impl AsRef<DynAccumulator>, all: &[Hash]) {
    let store = store.as_ref();
    let size = TreeSize(all.len() as u64);
    assert_eq!(
        store.head().unwrap(),
        TreeHead { size, root: root_of(store.hasher(), store.arity(), all) }
    );
    assert_eq!(store.leaves(0..size.0).unwrap(), all);
    for past in [1, size.0 / 3, size.0 / 2, size.0 - 1] {
        let head = store.head_at(past).unwrap();
        assert_eq!(
            head.root,
            root_of(store.hasher(), store.arity(), &all[..usize::try_from(past).unwrap()])
        );
        for index in [0, past / 2, past.saturating_sub(1)] {
            if index >= past {
                continue;
            }
            let proof = store.prove_at(index, past).unwrap();
            let leaf = &all[usize::try_from(index).unwrap()];
            proof.verify(store.hasher(), store.arity(), &head, LeafIndex(index), leaf).unwrap();
        }
    }
}

#[test]
fn merged_parts_answer_as_those_they_came_from_for_every_arity_and_hasher() {
    for arity in Arity::ALL {
        for sha in [false, true] {
            let disk = SimDisk::new();
            let policy = CompactionPolicy::tiered(2).unwrap();
            let hasher: Arc<dyn duramen::Hasher> =
                if sha { Arc::new(Rfc6962Sha256) } else { Arc::new(Blake3) };
            let open =
                || DynAccumulator::open(config(&disk, policy), Arc::clone(&hasher), arity).unwrap();
            let mut store = open();
            let all = leaves(3000, 4);
            let mut at = 0;
            for (step, len) in [1, 2, 5, 300, 3, 700, 1, 1, 64, 900, 17, 6, 1000].iter().enumerate()
            {
                store.insert_many(&all[at..at + len]).unwrap();
                at += len;
                store.checkpoint().unwrap();
                store.wait_idle();
                check(&store, &all[..at]);
                if step % 4 == 3 {
                    store.close().unwrap();
                    store = open();
                    check(&store, &all[..at]);
                }
            }
            assert_eq!(at, all.len());
            assert!(parts(&disk).len() <= 8, "{:?}", parts(&disk));
        }
    }
}

#[test]
fn more_than_four_parts_of_a_tier_become_one_and_the_old_ones_are_removed() {
    let disk = SimDisk::new();
    let (store, all) = filled(&disk, CompactionPolicy::default(), &[10; 4]);
    assert_eq!((store.stats().parts, parts(&disk).len()), (4, 4));
    store.close().unwrap();
    let store = open(&disk, CompactionPolicy::default());
    store.insert_many(&leaves(10, 5)).unwrap();
    store.checkpoint().unwrap();
    store.wait_idle();
    let stats = store.stats();
    assert_eq!((stats.parts, stats.compactions, stats.failed_compactions), (1, 1, 0));
    assert_eq!(parts(&disk).len(), 1);
    assert_eq!(store.leaves(0..40).unwrap(), all);
}

#[test]
fn a_policy_that_is_off_leaves_parts_alone_and_another_one_merges_them_at_open() {
    let disk = SimDisk::new();
    let (store, all) = filled(&disk, CompactionPolicy::Off, &[10; 9]);
    assert_eq!((store.stats().parts, store.stats().compactions), (9, 0));
    store.close().unwrap();
    let store = open(&disk, CompactionPolicy::tiered(9).unwrap());
    store.wait_idle();
    assert_eq!(store.stats().parts, 9);
    store.close().unwrap();
    let store = open(&disk, CompactionPolicy::tiered(8).unwrap());
    store.wait_idle();
    assert_eq!(store.stats().parts, 1);
    check(&store, &all);
}

#[test]
fn snapshots_read_parts_that_were_merged_and_removed_after_the_store_is_gone() {
    let disk = SimDisk::new();
    let (store, all) = filled(&disk, CompactionPolicy::default(), &[10; 4]);
    let snapshot = store.snapshot();
    store.insert_many(&leaves(10, 5)).unwrap();
    store.checkpoint().unwrap();
    store.close().unwrap();
    let store = open(&disk, CompactionPolicy::default());
    store.wait_idle();
    assert_eq!(parts(&disk).len(), 1);
    store.close().unwrap();
    assert_eq!(snapshot.leaves(0..40).unwrap(), all);
    assert_eq!(snapshot.head().unwrap().root, root_of(&Blake3, Arity::Four, &all));
}

#[test]
fn a_block_that_was_intact_when_it_was_read_is_checked_again_when_it_is_merged() {
    let dir = tempfile::tempdir().unwrap();
    let config = || Config::new(dir.path()).checkpoint_policy(CheckpointPolicy::manual());
    let open = || DynAccumulator::open(config(), Arc::new(Blake3), Arity::Four).unwrap();
    let store = open();
    let all = leaves(50, 6);
    for batch in all[..40].chunks(10) {
        store.insert_many(batch).unwrap();
        store.checkpoint().unwrap();
    }
    store.close().unwrap();
    // Opened again it has nothing of them in memory: what is read is in the parts.
    let store = open();
    assert_eq!(store.leaves(0..40).unwrap(), all[..40]);
    let path = dir.path().join("parts/00000002.part");
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &[0xff; 7], 4096 + 64).unwrap();
    store.insert_many(&all[40..]).unwrap();
    store.checkpoint().unwrap();
    store.wait_idle();
    let stats = store.stats();
    assert_eq!((stats.parts, stats.compactions, stats.failed_compactions), (5, 0, 1));
    assert!(path.exists());
}

/// BLAKE3, until it is told to compute something else, as a machine does whose memory fails.
#[derive(Debug, Default)]
struct Failing(AtomicBool);

impl Hasher for Failing {
    fn id(&self) -> HasherId {
        Blake3.id()
    }

    fn leaf(&self, data: &[u8]) -> Hash {
        Blake3.leaf(data)
    }

    fn node(&self, children: &[Hash]) -> Hash {
        let mut node = Blake3.node(children);
        node[31] ^= u8::from(self.0.load(Ordering::Relaxed));
        node
    }

    fn empty_root(&self) -> Hash {
        Blake3.empty_root()
    }
}

#[test]
fn a_merge_that_gives_another_root_is_not_installed() {
    let disk = SimDisk::new();
    let (store, all) = filled(&disk, CompactionPolicy::Off, &[10; 5]);
    store.close().unwrap();
    let before = parts(&disk);
    let hasher = Arc::new(Failing::default());
    let hold = disk.hold(When::nth(OperationKind::Create, 1).on(FileKind::Part));
    let told = Arc::new(std::sync::Mutex::new(Vec::new()));
    let config = config(&disk, CompactionPolicy::default()).listener({
        let told = Arc::clone(&told);
        move |event: &duramen::Event| {
            if let duramen::Event::CompactionFailed { error, .. } = event {
                told.lock().unwrap().push(error.clone());
            }
        }
    });
    let store =
        DynAccumulator::open(config, Arc::clone(&hasher) as Arc<dyn Hasher>, Arity::Four).unwrap();
    hold.wait_reached();
    hasher.0.store(true, Ordering::Relaxed);
    hold.release();
    store.wait_idle();
    hasher.0.store(false, Ordering::Relaxed);
    let stats = store.stats();
    assert_eq!((stats.parts, stats.compactions, stats.failed_compactions), (5, 0, 1));
    let told = told.lock().unwrap();
    let [Error::Damaged(damage)] = &told[..] else { panic!("{told:?}") };
    assert!(matches!(damage.problem, Problem::Field { field: "root", .. }), "{damage}");
    assert_eq!(parts(&disk), before, "what was merged is removed, and nothing else");
    check(&store, &all);
}

#[test]
fn damage_in_a_part_keeps_it_from_being_merged_away() {
    for byte in [4096, 4096 + 9 * 32] {
        let disk = SimDisk::new();
        let (store, all) = filled(&disk, CompactionPolicy::Off, &[10; 5]);
        store.close().unwrap();
        let third = parts(&disk)[2];
        let mut bytes = disk.read(third).unwrap();
        bytes[byte] ^= 1;
        disk.put(third, &bytes);
        let store = open(&disk, CompactionPolicy::default());
        store.wait_idle();
        let stats = store.stats();
        assert_eq!((stats.parts, stats.compactions, stats.failed_compactions), (5, 0, 1));
        assert_eq!(parts(&disk).len(), 5, "nothing is removed, and nothing left behind");
        assert_eq!(store.leaves(0..20).unwrap(), all[..20]);
        let error = store.leaves(20..30).unwrap_err();
        assert!(matches!(error, Error::Damaged(_)), "{error}");
    }
}

#[test]
fn a_merge_that_fails_at_any_operation_loses_itself_alone_and_reuses_no_number() {
    let steps = [
        When::nth(OperationKind::Create, 1).on(FileKind::Part),
        When::nth(OperationKind::Allocate, 1).on(FileKind::Part),
        When::nth(OperationKind::Write, 1).on(FileKind::Part),
        When::nth(OperationKind::Write, 3).on(FileKind::Part),
        When::nth(OperationKind::Sync, 1).on(FileKind::Part),
        When::nth(OperationKind::Rename, 1).on(FileKind::Part),
        When::nth(OperationKind::SyncDir, 1),
        When::nth(OperationKind::Create, 1).on(FileKind::Manifest),
        When::nth(OperationKind::Write, 1).on(FileKind::Manifest),
        When::nth(OperationKind::Sync, 1).on(FileKind::Manifest),
        When::nth(OperationKind::Rename, 1).on(FileKind::Manifest),
        When::nth(OperationKind::SyncDir, 2),
    ];
    for step in steps {
        for kept in [CrashChoice::NothingKept, CrashChoice::AllKept] {
            let disk = SimDisk::new();
            let (store, all) = filled(&disk, CompactionPolicy::Off, &[10; 5]);
            store.close().unwrap();
            disk.inject(Fault::new(step, FaultError::EIO).keeping(kept));
            let store = open(&disk, CompactionPolicy::default());
            store.wait_idle();
            assert_eq!(store.stats().failed_compactions, 1, "{step:?}");
            assert!(parts(&disk).len() >= 5, "{step:?}: inputs are live");
            check(&store, &all);
            for left in [disk.crash(CrashChoice::NothingKept), disk.crash(CrashChoice::AllKept)] {
                check(&open(&left, CompactionPolicy::Off), &all);
            }
            store.insert_many(&leaves(10, 9)).unwrap();
            store.checkpoint().unwrap();
            store.wait_idle();
            store.close().unwrap();
            let store = open(&disk, CompactionPolicy::default());
            store.wait_idle();
            assert_eq!(store.stats().parts, 1, "{step:?}");
            assert_eq!(parts(&disk).len(), 1, "{step:?}");
            assert!(parts(&disk)[0].number >= 8, "{step:?}: number 6 was used by the failed merge");
            assert_eq!(store.leaves(0..50).unwrap(), all, "{step:?}");
        }
    }
}

#[test]
fn a_part_that_cannot_be_removed_after_its_merge_is_removed_at_the_next_open() {
    let disk = SimDisk::new();
    let (store, all) = filled(&disk, CompactionPolicy::Off, &[10; 5]);
    store.close().unwrap();
    let removal = When::nth(OperationKind::Remove, 1).on(FileKind::Part);
    disk.inject(Fault::new(removal, FaultError::EIO).for_ever());
    let store = open(&disk, CompactionPolicy::default());
    store.wait_idle();
    assert_eq!((store.stats().parts, parts(&disk).len()), (1, 6));
    store.close().unwrap();
    disk.clear_faults();
    let store = open(&disk, CompactionPolicy::default());
    assert_eq!(store.recovery().removed.len(), 5);
    assert_eq!(parts(&disk).len(), 1);
    check(&store, &all);
}

/// `rounds` runs of a store on `disk` that insert one leaf each, with an explicit checkpoint if `called`.
/// Returns the most parts that there were, the most bytes of log that an open replayed, and the bytes of all
/// parts and manifests at the end.
fn short_runs(disk: &SimDisk, rounds: u64, called: bool) -> (u64, u64, u64) {
    let config = || Config::new("store").file_system(Arc::new(disk.clone()));
    let (mut parts, mut replayed) = (0, 0);
    let all = leaves(usize::try_from(rounds).unwrap(), 8);
    for (round, leaf) in all.iter().enumerate() {
        let store = DynAccumulator::open(config(), Arc::new(Blake3), Arity::Four).unwrap();
        assert_eq!(store.size().get(), round as u64);
        parts = parts.max(store.stats().parts);
        replayed = replayed.max(store.recovery().replayed_bytes);
        assert!(store.recovery().clean || round == 0);
        store.insert(*leaf).unwrap();
        if called {
            assert_eq!(store.checkpoint().unwrap().leaves, 1);
        }
        store.close().unwrap();
    }
    let reader = duramen::Reader::open(config(), Arc::new(Blake3), Arity::Four).unwrap();
    assert_eq!(reader.leaves(0..rounds).unwrap(), all);
    assert_eq!(reader.head().unwrap().root, root_of(&Blake3, Arity::Four, &all));
    let files = disk.files().into_iter().filter(|file| file.kind != FileKind::Segment);
    let bytes = files.map(|file| disk.read(file).unwrap().len() as u64).sum();
    (parts, replayed, bytes)
}

#[test]
fn a_thousand_runs_of_one_leaf_leave_a_few_parts_and_a_short_log() {
    let (parts, replayed, bytes) = short_runs(&SimDisk::new(), 1000, false);
    assert!(parts <= 5, "{parts} parts");
    assert!(replayed <= 1 << 20, "{replayed} bytes replayed");
    assert!(bytes <= 1 << 20, "{bytes} bytes");
}

#[test]
fn a_thousand_runs_of_one_checkpoint_leave_a_few_parts() {
    let (parts, replayed, bytes) = short_runs(&SimDisk::new(), 1000, true);
    assert!(parts <= 20, "{parts} parts");
    assert!(replayed <= 1 << 20, "{replayed} bytes replayed");
    assert!(bytes <= 1 << 20, "{bytes} bytes");
}

#[test]
fn closing_merges_what_is_small_and_tells_of_it() {
    let disk = SimDisk::new();
    let (store, all) = filled(&disk, CompactionPolicy::Off, &[10; 40]);
    store.close().unwrap();
    let store = open(&disk, CompactionPolicy::Off);
    store.close().unwrap();
    assert_eq!(parts(&disk).len(), 40);
    let told = Arc::new(std::sync::Mutex::new(Vec::new()));
    let listener = {
        let told = Arc::clone(&told);
        move |event: &duramen::Event| told.lock().unwrap().push(format!("{event:?}"))
    };
    let config = config(&disk, CompactionPolicy::default()).listener(listener);
    let store = DynAccumulator::open(config, Arc::new(Blake3), Arity::Four).unwrap();
    store.close().unwrap();
    assert!(parts(&disk).len() <= 4, "{:?}", parts(&disk));
    let told = told.lock().unwrap();
    let merges = told.iter().filter(|event| event.contains("CompactionCompleted")).count();
    assert!(merges > 0, "{told:?}");
    check(&open(&disk, CompactionPolicy::Off), &all);
}

#[test]
fn a_merge_that_fails_at_close_is_no_failure_of_closing() {
    let disk = SimDisk::new();
    let (store, all) = filled(&disk, CompactionPolicy::Off, &[10; 40]);
    store.close().unwrap();
    let create = When::nth(OperationKind::Create, 1).on(FileKind::Part);
    disk.inject(Fault::new(create, FaultError::ENOSPC).for_ever());
    let store = open(&disk, CompactionPolicy::default());
    store.close().unwrap();
    assert_eq!(parts(&disk).len(), 40);
    disk.clear_faults();
    let store = open(&disk, CompactionPolicy::Off);
    assert!(store.recovery().clean);
    check(&store, &all);
}
