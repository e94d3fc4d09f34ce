//! Policies that prune trees by themselves: what they must keep stays, the rest goes, and every answer stays what it was.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use duramen::fs::FileKind;
use duramen::testing::sim::{CrashChoice, Fault, FaultError, OperationKind, SimDisk, When};
use duramen::{
    Arity, Blake3, Config, DynAccumulator, Event, Hash, Hasher, HasherId, MemoryAccumulator,
    RetentionPolicy, Rfc6962Sha256, Snapshot, Store, TreeConfig, TreeName,
};
use testkit::stores::leaves;

use super::prune::config;

fn kind() -> TreeConfig {
    TreeConfig::new(Arc::new(Blake3), Arity::Four)
}

fn newest(leaves: u64) -> RetentionPolicy {
    RetentionPolicy::keep_all().newest(leaves)
}

/// Compares answers about what is left of a tree with those of the whole.
fn compare(tree: &DynAccumulator, whole: &Snapshot) {
    let (base, size) = (tree.base().get(), tree.size().get());
    assert_eq!(tree.head().unwrap(), whole.head_at(size).unwrap());
    for at in (base..size).step_by(97).chain([size - 1]) {
        assert_eq!(tree.prove(at).unwrap(), whole.prove_at(at, size).unwrap());
        assert_eq!(
            tree.prove_consistency(at).unwrap(),
            whole.prove_consistency_between(at, size).unwrap()
        );
    }
}

/// Waits until something is so, at most a minute.
fn until(what: &str, is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn the_newest_leaves_stay_and_others_go_once_it_is_worth_it() {
    let all = leaves(60_000, 1);
    let mut whole = MemoryAccumulator::<Blake3, 4>::new();
    whole.extend(&all).unwrap();
    let whole = whole.snapshot();
    for merges in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let own = TreeName::new("kept").unwrap();
        let open = || {
            let config = config(dir.path()).retention_policy(newest(5000));
            let config = config.retention_of(own.clone(), RetentionPolicy::keep_all());
            let policy = duramen::CompactionPolicy::default();
            Store::open(if merges { config.compaction_policy(policy) } else { config }).unwrap()
        };
        let mut store = open();
        let mut most = 0;
        for round in 0..60 {
            let (tree, kept) = (store.tree_dyn("some", kind()), store.tree_dyn("kept", kind()));
            let (tree, kept) = (tree.unwrap(), kept.unwrap());
            let range = round * 1000..(round + 1) * 1000;
            tree.insert_many(&all[range.clone()]).unwrap();
            kept.insert_many(&all[range.clone()]).unwrap();
            store.checkpoint().unwrap();
            tree.wait_idle();
            let left = range.end as u64 - tree.base().get();
            assert!(left >= 5000.min(range.end as u64), "{left} leaves are left");
            most = most.max(left);
            compare(&tree, &whole);
            assert_eq!(kept.base().get(), 0);
            drop((tree, kept));
            if round % 7 == 6 {
                store.close().unwrap();
                store = open();
            }
        }
        let bytes = store.trees().unwrap().iter().map(|tree| tree.part_bytes).collect::<Vec<_>>();
        println!("at most {most} leaves, bytes of parts at the end {bytes:?}");
        // Without merges parts are small: an eighth more, and what a round brings.
        let limit = if merges { 11_000 } else { 7000 };
        assert!((5000..=limit).contains(&most), "{most}");
    }
}

#[test]
fn what_the_newest_marks_need_stays_and_the_tree_can_be_rewound_there() {
    let dir = tempfile::tempdir().unwrap();
    let all = leaves(6000, 1);
    let policy = RetentionPolicy::keep_all().marks(10).unwrap();
    let store = Store::open(config(dir.path()).retention_policy(policy)).unwrap();
    let tree = store.tree_dyn("chain", kind()).unwrap();
    let block = |number: usize| format!("block {number}");
    for number in 1..=60 {
        let mut batch = store.batch();
        batch.insert_many(&tree, &all[(number - 1) * 100..number * 100]).unwrap();
        batch.mark(block(number)).unwrap();
        batch.commit().unwrap();
        store.checkpoint().unwrap();
        tree.wait_idle();
        let base = tree.base().get();
        assert!(base <= (number as u64 * 100).saturating_sub(900), "{base} after block {number}");
        assert!(number < 25 || base >= (number as u64 - 20) * 100, "{base} after block {number}");
    }
    let then = store.snapshot_at(block(51)).unwrap();
    let then = then.tree("chain").unwrap().unwrap().head().unwrap();
    store.rewind_to(block(51)).unwrap();
    assert_eq!((tree.size().get(), tree.head().unwrap()), (5100, then));
}

#[test]
fn leaves_go_when_they_are_old_enough_and_not_before() {
    let dir = tempfile::tempdir().unwrap();
    let all = leaves(3000, 1);
    let age = |age| RetentionPolicy::keep_all().younger_than(age).unwrap();
    let hour = Duration::from_secs(3600);
    let open = |age_of| Store::open(config(dir.path()).retention_policy(age(age_of))).unwrap();
    let store = open(hour);
    let tree = store.tree_dyn("log", kind()).unwrap();
    for piece in all[..2000].chunks(500) {
        tree.insert_many(piece).unwrap();
        store.checkpoint().unwrap();
    }
    tree.wait_idle();
    assert_eq!(tree.base().get(), 0);
    drop(tree);
    store.close().unwrap();
    // The moments were noted, so another policy can go by them. Nothing is inserted, and no checkpoint made.
    std::thread::sleep(Duration::from_millis(60));
    let store = open(Duration::from_millis(50));
    let tree = store.tree_dyn("log", kind()).unwrap();
    until("the old leaves do not go", || tree.base().get() == 2000);
    tree.insert_many(&all[2000..]).unwrap();
    store.checkpoint().unwrap();
    until("the new leaves do not become old", || tree.base().get() == 3000);
    let mut whole = MemoryAccumulator::<Blake3, 4>::new();
    whole.extend(&all).unwrap();
    assert_eq!(tree.head().unwrap(), whole.head().unwrap());
}

#[test]
fn a_prune_by_policy_that_fails_is_told_and_tried_again() {
    let disk = Arc::new(SimDisk::new());
    let told = Arc::new(Mutex::new(Vec::new()));
    let listener = Arc::clone(&told);
    let config = config(Path::new("store"))
        .file_system(Arc::clone(&disk) as _)
        .retry_wait(Duration::from_millis(5), Duration::from_millis(20))
        .unwrap()
        .retention_policy(newest(100))
        .listener(move |event: &Event| match event {
            Event::PruneFailed { tree, retry_in, .. } => {
                listener.lock().unwrap().push((tree.to_string(), retry_in.is_some()));
            }
            Event::Pruned { info, .. } => {
                listener.lock().unwrap().push((info.base.to_string(), true));
            }
            _ => {}
        });
    let store = Store::open(config).unwrap();
    let tree = store.tree_dyn("log", kind()).unwrap();
    tree.insert_many(&leaves(5000, 1)).unwrap();
    store.flush().unwrap();
    // The second manifest from now on is that of the prune.
    let second = When::nth(OperationKind::Rename, 2).on(FileKind::Manifest);
    disk.inject(Fault::new(second, FaultError::ENOSPC));
    store.checkpoint().unwrap();
    until("the prune is not tried again", || tree.base().get() == 4900);
    tree.wait_idle();
    assert_eq!(*told.lock().unwrap(), [("log".to_owned(), true), ("4900".to_owned(), true)]);
}

/// Each image of a power cut has an old state or a new one, and answers as the whole tree does.
#[test]
fn a_power_cut_while_a_policy_prunes_leaves_the_tree_as_before_or_after() {
    let all = leaves(900, 5);
    let mut whole = MemoryAccumulator::<Rfc6962Sha256, 2>::new();
    whole.extend(&all).unwrap();
    let whole = whole.snapshot();
    let disk = Arc::new(SimDisk::new());
    let on = |disk: &Arc<SimDisk>| config(Path::new("store")).file_system(Arc::clone(disk) as _);
    let store = Store::open(on(&disk).retention_policy(newest(100))).unwrap();
    let tree = store.tree_dyn("log", TreeConfig::of::<Rfc6962Sha256, 2>()).unwrap();
    store.flush().unwrap();
    disk.record();
    let (start, mut known) = (disk.operations(), vec![(disk.operations(), 0)]);
    for piece in all.chunks(300) {
        tree.insert_many(piece).unwrap();
        store.checkpoint().unwrap();
        tree.wait_idle();
        known.push((disk.operations(), tree.size().get()));
    }
    assert_eq!(tree.base().get(), 768);
    let mut bases = std::collections::BTreeSet::new();
    let choices = [CrashChoice::NothingKept, CrashChoice::AllKept];
    for choice in choices.into_iter().chain((0..24).map(CrashChoice::Seeded)) {
        for moment in start..=disk.operations() {
            let least = known.iter().rfind(|(at, _)| *at <= moment).unwrap().1;
            let store = Store::open(on(&Arc::new(disk.crash_at(moment, choice).unwrap()))).unwrap();
            let tree = store.existing_tree("log").unwrap();
            let size = tree.size().get();
            assert!(size >= least, "{choice:?} at operation {moment}: {size} of {least} leaves");
            assert!(size < 101 || tree.base().get() <= size - 100);
            if size > 0 {
                compare(&tree, &whole);
            }
            bases.insert(tree.base().get());
        }
    }
    println!("bases {bases:?}");
    assert!(bases.len() >= 3, "{bases:?}");
}

/// The program of an operator who changes nothing but the policy.
#[test]
fn a_policy_takes_hold_when_a_store_is_opened_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(config(dir.path())).unwrap();
    let tree = store.tree_dyn("log", kind()).unwrap();
    tree.insert_many(&leaves(5000, 1)).unwrap();
    store.checkpoint().unwrap();
    let head = tree.head().unwrap();
    drop(tree);
    store.close().unwrap();
    let store = Store::open(config(dir.path()).retention_policy(newest(1000))).unwrap();
    until("nothing is pruned", || store.trees().unwrap()[0].base.get() == 4000);
    assert_eq!(store.existing_tree("log").unwrap().head().unwrap(), head);
    store.close().unwrap();
    // One that is asleep is pruned, too, and then stays so.
    let store = Store::open(Config::new(dir.path())).unwrap();
    assert_eq!(store.trees().unwrap()[0].base.get(), 4000);
}

/// Trees of events about prunes, and whether each is a failure.
type Told = Arc<Mutex<Vec<(String, bool)>>>;

/// A store whose events about prunes are noted.
fn noting(config: Config) -> (Store, Told) {
    let told = Told::default();
    let listener = Arc::clone(&told);
    let config = config.listener(move |event: &Event| {
        let told = match event {
            Event::PruneFailed { tree, .. } => (tree.to_string(), true),
            Event::Pruned { info, .. } => (info.tree.to_string(), false),
            _ => return,
        };
        listener.lock().unwrap().push(told);
    });
    (Store::open(config).unwrap(), told)
}

/// The last checkpoint has more leaves than the tree by now.
#[test]
fn a_rewind_that_no_checkpoint_has_holds_up_no_prune_and_is_no_failure() {
    let dir = tempfile::tempdir().unwrap();
    let age = RetentionPolicy::keep_all().younger_than(Duration::from_millis(300)).unwrap();
    let (store, told) = noting(config(dir.path()).retention_policy(age));
    let tree = store.tree_dyn("log", kind()).unwrap();
    tree.insert_many(&leaves(5000, 1)).unwrap();
    store.checkpoint().unwrap();
    tree.rewind(100).unwrap();
    std::thread::sleep(Duration::from_millis(600));
    tree.wait_idle();
    assert_eq!((tree.base().get(), told.lock().unwrap().len()), (0, 0));
    tree.insert_many(&leaves(50, 2)).unwrap();
    store.checkpoint().unwrap();
    // The leaves from before are old at once, the others later.
    until("the tree is not pruned after its next checkpoint", || tree.base().get() == 150);
    let told = told.lock().unwrap();
    assert!(matches!(told.len(), 1 | 2) && told.iter().all(|(_, failed)| !failed), "{told:?}");
}

/// BLAKE3 by another name, which a program does not know unless it is told.
#[derive(Debug)]
struct Own;

impl Hasher for Own {
    fn id(&self) -> HasherId {
        HasherId::new("own")
    }

    fn leaf(&self, data: &[u8]) -> Hash {
        Blake3.leaf(data)
    }

    fn node(&self, children: &[Hash]) -> Hash {
        Blake3.node(children)
    }

    fn empty_root(&self) -> Hash {
        Blake3.empty_root()
    }
}

#[test]
fn a_tree_that_cannot_be_pruned_is_told_of_once_and_holds_up_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(config(dir.path())).unwrap();
    for (name, hasher) in [("a", Arc::new(Own) as Arc<dyn Hasher>), ("b", Arc::new(Blake3))] {
        let tree = store.tree_dyn(name, TreeConfig::new(hasher, Arity::Four)).unwrap();
        tree.insert_many(&leaves(5000, 1)).unwrap();
    }
    store.checkpoint().unwrap();
    store.close().unwrap();
    let (store, told) = noting(config(dir.path()).retention_policy(newest(1000)));
    let base = |at: usize| store.trees().unwrap()[at].base.get();
    until("the other tree is not pruned", || base(1) == 4000);
    for round in 0..5 {
        store.existing_tree("b").unwrap().insert_many(&leaves(1000, round + 2)).unwrap();
        store.checkpoint().unwrap();
    }
    until("the other tree is not pruned again", || base(1) > 6000);
    store.existing_tree("b").unwrap().wait_idle();
    assert_eq!(base(0), 0);
    let told = told.lock().unwrap();
    let failed = told.iter().filter(|(tree, failed)| *failed && tree == "a").count();
    // A checkpoint of a caller has it tried again.
    assert!((1..=6).contains(&failed), "{told:?}");
    assert!(told.iter().all(|(tree, failed)| *failed == (tree == "a")), "{told:?}");
}
