//! Trees that go on behind a frontier: they answer as the whole tree does, from there on.

use std::path::Path;
use std::sync::Arc;

use duramen::testing::sim::{CrashChoice, SimDisk};
use duramen::{
    Arity, Blake3, Config, DynAccumulator, EntryConfig, Error, Frontier, MemoryAccumulator, Reader,
    Rfc6962Sha256, Snapshot, Store, StoreReader, TreeConfig, TreeSize,
};
use testkit::stores::leaves;

use super::prune::{compare, config, is_pruned, kind};

/// The frontier of these leaves.
fn frontier(arity: Arity, leaves: &[[u8; 32]]) -> Frontier {
    let mut frontier = Frontier::new(arity);
    frontier.append_many(&Blake3, leaves).unwrap();
    frontier
}

/// A store with a whole tree, and one that goes on behind some of its leaves.
struct Pair {
    disk: Arc<SimDisk>,
    store: Store,
    begun: DynAccumulator,
    twin: DynAccumulator,
    origin: Frontier,
}

impl Pair {
    fn on(disk: Arc<SimDisk>, origin: Frontier) -> Self {
        let config = config(Path::new("store")).file_system(Arc::clone(&disk) as _);
        let store = Store::open(config).unwrap();
        let kind = kind(origin.arity());
        let twin = store.tree_dyn("twin", kind.clone()).unwrap();
        let begun = kind.begun_behind(origin.clone()).unwrap();
        let begun = store.tree_dyn("begun", begun).unwrap();
        Self { disk, store, begun, twin, origin }
    }

    /// Nothing of the store was there before.
    fn new(arity: Arity, before: &[[u8; 32]]) -> Self {
        let pair = Self::on(Arc::new(SimDisk::new()), frontier(arity, before));
        pair.twin.insert_many(before).unwrap();
        pair
    }

    fn insert(&self, leaves: &[[u8; 32]]) {
        self.begun.insert_many(leaves).unwrap();
        self.twin.insert_many(leaves).unwrap();
    }

    fn compare(&self, begin: u64) {
        compare(&self.begun.snapshot(), &self.twin.snapshot(), begin);
        assert_eq!(self.begun.base().get(), begin);
    }

    fn reopen(self) -> Self {
        let Self { disk, store, origin, .. } = self;
        store.close().unwrap();
        Self::on(disk, origin)
    }
}

#[test]
fn every_small_tree_that_begins_behind_a_frontier_answers_as_the_whole_one_from_there_on() {
    let all = leaves(80, 3);
    for (arity, most) in [(Arity::Two, 17), (Arity::Four, 18), (Arity::Sixteen, 18)] {
        for cut in 1..=most {
            for more in [0, 1, 5, 20] {
                let begin = cut as u64;
                let pair = Pair::new(arity, &all[..cut]);
                pair.compare(begin);
                pair.insert(&all[cut..cut + more]);
                pair.compare(begin);
                // From the log.
                let pair = pair.reopen();
                pair.compare(begin);
                pair.insert(&all[cut + more..cut + more + 2]);
                // To the frontier itself, and on with others.
                let to = begin + more as u64 % 3;
                pair.begun.rewind(to).unwrap();
                pair.twin.rewind(to).unwrap();
                pair.compare(begin);
                assert!(is_pruned(pair.begun.rewind(begin - 1), begin - 1, begin));
                pair.insert(&all[40..40 + more]);
                let pair = pair.reopen();
                pair.compare(begin);
                pair.store.checkpoint().unwrap();
                pair.compare(begin);
                pair.insert(&all[70..73]);
                let pair = pair.reopen();
                pair.compare(begin);
                pair.begun.prune(begin + 2).unwrap();
                pair.compare(begin + 2);
                let pair = pair.reopen();
                pair.compare(begin + 2);
                pair.store.checkpoint().unwrap();
                pair.reopen().compare(begin + 2);
            }
        }
    }
}

#[test]
fn a_sealed_tree_goes_on_in_another_store_without_its_past() {
    let dir = tempfile::tempdir().unwrap();
    let [old, new, backup] = ["old", "new", "backup"].map(|name| dir.path().join(name));
    let entries = EntryConfig::new();
    let kind = || TreeConfig::of::<Rfc6962Sha256, 2>().entries(entries).indexed();
    let data =
        |range: std::ops::Range<u32>| range.map(|at| format!("entry {at}")).collect::<Vec<_>>();

    let store = Store::open(config(&old)).unwrap();
    let whole = store.tree_dyn("log", kind()).unwrap();
    whole.insert_entries(&data(0..1777)).unwrap();
    let moved = Store::open(config(&new)).unwrap();
    let begun = kind().begun_behind(whole.frontier().unwrap()).unwrap();
    assert_eq!(begun.origin().unwrap().size(), TreeSize(1777));
    let log = moved.tree_dyn("log", begun.clone()).unwrap();
    let reader = {
        moved.flush().unwrap();
        let reader = Reader::open_tree(Config::new(&new), "log", kind()).unwrap();
        assert_eq!(reader.head().unwrap(), whole.head().unwrap());
        assert_eq!(reader.snapshot().base().get(), 1777);
        reader
    };
    let same = |snapshot: &Snapshot| {
        let twin = whole.snapshot();
        assert_eq!((snapshot.base().get(), snapshot.size()), (1777, twin.size()));
        assert_eq!(snapshot.head().unwrap(), twin.head().unwrap());
        for at in (1777..twin.size().get()).step_by(37) {
            assert_eq!(snapshot.entry(at).unwrap(), twin.entry(at).unwrap());
            assert_eq!(snapshot.prove(at).unwrap(), twin.prove(at).unwrap());
            let leaf = twin.leaf(at).unwrap();
            assert_eq!(snapshot.find(&leaf).unwrap(), twin.find(&leaf).unwrap());
        }
        // No tile with a hash from before, and every other one.
        assert!(is_pruned(snapshot.tile(0, 6, 256), 1536, 1777));
        assert!(is_pruned(snapshot.tile(1, 0, 7), 0, 1777));
        assert_eq!(snapshot.tile(0, 7, 100).unwrap(), twin.tile(0, 7, 100).unwrap());
        assert_eq!(snapshot.entry_bundle(7, 100).unwrap(), twin.entry_bundle(7, 100).unwrap());
    };
    for (at, range) in [1777..1900, 1900..3000, 3000..3100].into_iter().enumerate() {
        log.insert_entries(&data(range.clone())).unwrap();
        whole.insert_entries(&data(range)).unwrap();
        same(&log.snapshot());
        match at {
            0 => moved.flush().unwrap(),
            _ => drop(moved.checkpoint().unwrap()),
        }
        same(&log.snapshot());
        reader.refresh().unwrap();
        same(&reader.snapshot());
    }
    let from_outside = StoreReader::open(Config::new(&new)).unwrap();
    assert_eq!(from_outside.trees().unwrap()[0].base.get(), 1777);
    from_outside.snapshot_to(&backup).unwrap();
    let copy = Store::open(config(&backup)).unwrap();
    same(&copy.tree_dyn("log", begun).unwrap().snapshot());
    let options = duramen::scrub::Options::new();
    let go_on = &mut |_: duramen::scrub::Progress| std::ops::ControlFlow::Continue(());
    let report = duramen::scrub::run(&Config::new(&new), &options, go_on).unwrap();
    assert!(report.is_clean(), "{report:?}");
}

/// Whatever a power cut leaves, the tree is there as a whole with what followed, or not at all.
#[test]
fn a_power_cut_leaves_the_tree_behind_its_frontier_or_no_tree() {
    let all = leaves(30, 5);
    let origin = frontier(Arity::Four, &all[..11]);
    let kind = TreeConfig::new(Arc::new(Blake3), Arity::Four);
    let mut whole = MemoryAccumulator::<Blake3, 4>::new();
    whole.extend(&all).unwrap();
    let whole = whole.snapshot();
    let disk = Arc::new(SimDisk::new());
    let open = |disk: &Arc<SimDisk>| {
        Store::open(config(Path::new("store")).file_system(Arc::clone(disk) as _)).unwrap()
    };
    let store = open(&disk);
    let acknowledged = std::cell::RefCell::new(vec![(0, 0)]);
    let now = |size| acknowledged.borrow_mut().push((disk.operations(), size));
    disk.record();
    let start = disk.operations();
    let tree = store.tree_dyn("begun", kind.clone().begun_behind(origin.clone()).unwrap()).unwrap();
    tree.insert_many(&all[11..14]).unwrap();
    store.flush().unwrap();
    now(14);
    tree.insert_many(&all[14..20]).unwrap();
    store.checkpoint().unwrap();
    now(20);
    tree.insert_many(&all[20..30]).unwrap();
    store.flush().unwrap();
    now(30);
    store.checkpoint().unwrap();
    let (mut absent, mut there) = (0, 0);
    let choices = [CrashChoice::NothingKept, CrashChoice::AllKept];
    for choice in choices.into_iter().chain((0..48).map(CrashChoice::Seeded)) {
        for moment in start..=disk.operations() {
            let known = acknowledged.borrow().iter().rfind(|(at, _)| *at <= moment).unwrap().1;
            let store = open(&Arc::new(disk.crash_at(moment, choice).unwrap()));
            let Ok(tree) = store.existing_tree("begun") else {
                assert_eq!(known, 0, "{choice:?} at operation {moment}");
                absent += 1;
                // It can be made again.
                let begun = kind.clone().begun_behind(origin.clone()).unwrap();
                let tree = store.tree_dyn("begun", begun).unwrap();
                assert_eq!(tree.head().unwrap(), whole.head_at(11).unwrap());
                continue;
            };
            there += 1;
            let size = tree.size().get();
            assert!(
                size >= known && [11, 14, 20, 30].contains(&size),
                "{choice:?} at operation {moment}: {size} leaves, {known} were acknowledged"
            );
            assert_eq!(tree.base(), TreeSize(11));
            assert_eq!(tree.head().unwrap(), whole.head_at(size).unwrap());
            for at in 11..size {
                assert_eq!(tree.prove(at).unwrap(), whole.prove_at(at, size).unwrap());
            }
        }
    }
    println!("{absent} images without the tree, {there} with it");
    assert!(absent > 50 && there > 500, "{absent} without the tree, {there} with it");
}

#[test]
fn a_frontier_of_another_tree_is_refused_and_nothing_changes() {
    let dir = tempfile::tempdir().unwrap();
    let all = leaves(30, 5);
    let store = Store::open(config(dir.path())).unwrap();
    let kind = || TreeConfig::new(Arc::new(Blake3), Arity::Four);
    let behind = |count: usize| kind().begun_behind(frontier(Arity::Four, &all[..count])).unwrap();

    let error = kind().begun_behind(frontier(Arity::Two, &all)).unwrap_err().to_string();
    assert_eq!(
        error,
        "invalid configuration: begun_behind: the frontier is of a tree of arity 2, this one has arity 4"
    );
    let nodes = vec![
        [1; 32];
        duramen::merkle::Shape::new(Arity::Four, TreeSize(u64::MAX)).frontier_nodes()
    ];
    let huge = Frontier::from_nodes(Arity::Four, TreeSize(u64::MAX), nodes).unwrap();
    assert!(matches!(kind().begun_behind(huge), Err(Error::Config { .. })));
    // An empty one makes an ordinary tree.
    let empty = kind().begun_behind(Frontier::new(Arity::Four)).unwrap();
    assert!(empty.origin().is_none());

    let tree = store.tree_dyn("a", behind(10)).unwrap();
    tree.insert_many(&all[10..20]).unwrap();
    // The same tree, also from a later moment of it.
    store.tree_dyn("a", behind(10)).unwrap();
    store.tree_dyn("a", behind(15)).unwrap();
    store.tree_dyn("a", kind()).unwrap();
    // Below what is left nothing can be compared.
    store.tree_dyn("a", behind(3)).unwrap();
    let error = store.tree_dyn("a", behind(25)).unwrap_err().to_string();
    assert_eq!(
        error,
        "the tree \"a\" does not go on behind the frontier of 25 leaves: it has 20 leaves"
    );
    let other = kind().begun_behind(frontier(Arity::Four, &leaves(12, 9))).unwrap();
    let Err(Error::OtherBeginning(other)) = store.tree_dyn("a", other) else {
        panic!("another tree is taken for this one");
    };
    assert_eq!((other.size, other.current), (TreeSize(12), TreeSize(20)));
    assert_eq!(other.found, Some(tree.head_at(12).unwrap().root));
    assert_eq!(store.trees().unwrap().len(), 1);
    assert_eq!(tree.size(), TreeSize(20));
}

/// The leaves before the frontier came with no insert, and go with the tree.
#[test]
fn a_survey_counts_a_tree_that_is_created_behind_a_frontier_and_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let all = leaves(1001, 5);
    let store = Store::open(config(dir.path())).unwrap();
    let kind = TreeConfig::new(Arc::new(Blake3), Arity::Four);
    let tree = kind.begun_behind(frontier(Arity::Four, &all[..1000])).unwrap();
    store.tree_dyn("a", tree).unwrap().insert(all[1000]).unwrap();
    store.flush().unwrap();
    let survey = || duramen::inspect::survey(&Config::new(dir.path())).unwrap();
    assert_eq!((survey().is_clean(), survey().leaves), (true, Some(1001)));
    drop(store.drop_tree("a").unwrap());
    store.flush().unwrap();
    store.close().unwrap();
    assert_eq!((survey().is_clean(), survey().leaves), (true, Some(0)));
}

/// Together they have more leaves than a number of 64 bits can say.
#[test]
fn many_trees_behind_the_largest_frontier_open_again() {
    let dir = tempfile::tempdir().unwrap();
    let size = TreeSize(1 << 60);
    let nodes = duramen::merkle::Shape::new(Arity::Two, size).frontier_nodes();
    let frontier = Frontier::from_nodes(Arity::Two, size, vec![[1; 32]; nodes]).unwrap();
    for round in 0..3 {
        let store = Store::open(config(dir.path())).unwrap();
        for tree in 0..17 {
            let kind = TreeConfig::new(Arc::new(Blake3), Arity::Two);
            let kind = kind.begun_behind(frontier.clone()).unwrap();
            let tree = store.tree_dyn(format!("tree {tree}"), kind).unwrap();
            assert_eq!(tree.insert([7; 32]).unwrap().index.get(), (1 << 60) + round);
            tree.prove_consistency(size).unwrap();
        }
        store.flush().unwrap();
        let _ = (store.stats(), store.head().unwrap());
        // From the log, and from a manifest.
        if round > 0 {
            store.checkpoint().unwrap();
        }
        store.close().unwrap();
        assert!(duramen::inspect::survey(&Config::new(dir.path())).unwrap().is_clean());
        let reader = StoreReader::open(Config::new(dir.path())).unwrap();
        assert_eq!(reader.trees().unwrap().len(), 17);
    }
}
