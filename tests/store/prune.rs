//! Prunes: a tree loses its oldest leaves, and every answer about the others stays what it was.

use std::path::Path;
use std::sync::Arc;

use duramen::testing::sim::SimDisk;
use duramen::{
    Arity, Blake3, CheckpointPolicy, CompactionPolicy, Config, DynAccumulator, EntryConfig, Error,
    Event, FlushPolicy, Hash, LeafIndex, Reader, Rfc6962Sha256, Snapshot, Store, StoreReader,
    TreeConfig, TreeSize,
};
use testkit::random::Random;
use testkit::stores::leaves;

pub(super) fn config(dir: &Path) -> Config {
    Config::new(dir)
        .flush_policy(FlushPolicy::Manual)
        .checkpoint_policy(CheckpointPolicy::manual())
        .compaction_policy(CompactionPolicy::Off)
}

pub(super) fn kind(arity: Arity) -> TreeConfig {
    TreeConfig::new(Arc::new(Blake3), arity).indexed()
}

#[expect(clippy::needless_pass_by_value, reason = "an answer is asked for and looked at")]
pub(super) fn is_pruned<T>(done: Result<T, Error>, wanted: u64, begin: u64) -> bool {
    matches!(done, Err(Error::Pruned { index, base, .. }) if index.get() == wanted && base.get() == begin)
}

/// Compares every answer of a tree that begins at `begin` with that of its twin, which was never pruned.
pub(super) fn compare(pruned: &Snapshot, twin: &Snapshot, begin: u64) {
    let size = twin.size().get();
    assert_eq!((pruned.size().get(), pruned.base().get()), (size, begin));
    assert_eq!(pruned.head().unwrap(), twin.head().unwrap());
    for past in 0..=size {
        if past < begin {
            assert!(is_pruned(pruned.head_at(past), past, begin), "head of {past}");
            assert!(is_pruned(pruned.frontier_at(past), past, begin));
            assert!(is_pruned(pruned.prove_at(0, past), past, begin));
            assert!(is_pruned(pruned.leaf(past), past, begin), "leaf {past}");
            assert!(is_pruned(pruned.leaves(past..size), past, begin));
            assert!(is_pruned(pruned.leaves_iter(past..size), past, begin));
            continue;
        }
        assert_eq!(pruned.head_at(past).unwrap(), twin.head_at(past).unwrap());
        assert_eq!(pruned.frontier_at(past).unwrap(), twin.frontier_at(past).unwrap());
        for index in 0..past {
            let proof = pruned.prove_at(index, past);
            if index < begin {
                assert!(is_pruned(proof, index, begin), "proof of {index} in {past}");
            } else {
                assert_eq!(proof.unwrap(), twin.prove_at(index, past).unwrap());
            }
        }
        for old in 0..=past {
            let proof = pruned.prove_consistency_between(old, past);
            if old > 0 && old < begin {
                assert!(is_pruned(proof, old, begin), "consistency of {old} and {past}");
            } else {
                assert_eq!(proof.unwrap(), twin.prove_consistency_between(old, past).unwrap());
            }
        }
        let some: Vec<_> = (begin..past).step_by(3).map(LeafIndex).collect();
        if !some.is_empty() {
            let many = pruned.prove_many_at(&some, past).unwrap();
            assert_eq!(many, twin.prove_many_at(&some, past).unwrap());
        }
    }
    assert_eq!(pruned.leaves(begin..size).unwrap(), twin.leaves(begin..size).unwrap());
    assert_eq!(pruned.leaves(0..0).unwrap(), Vec::<Hash>::new());
    for index in 0..size {
        let leaf = twin.leaf(index).unwrap();
        let found = pruned.find(&leaf).unwrap().map(LeafIndex::get);
        assert_eq!(found, (index >= begin).then_some(index), "leaf {index}");
        let all: Vec<_> =
            pruned.find_all(&leaf).unwrap().map(|index| index.unwrap().get()).collect();
        assert_eq!(all, Vec::from_iter(found));
    }
}

/// A store with trees and their twins.
struct Pair {
    disk: Arc<SimDisk>,
    store: Store,
    pruned: DynAccumulator,
    twin: DynAccumulator,
    arity: Arity,
}

impl Pair {
    fn on(disk: Arc<SimDisk>, arity: Arity) -> Self {
        let config = config(Path::new("store")).file_system(Arc::clone(&disk) as _);
        let store = Store::open(config).unwrap();
        let pruned = store.tree_dyn("pruned", kind(arity)).unwrap();
        let twin = store.tree_dyn("twin", kind(arity)).unwrap();
        Self { disk, store, pruned, twin, arity }
    }

    fn new(arity: Arity) -> Self {
        Self::on(Arc::new(SimDisk::new()), arity)
    }

    fn insert(&self, leaves: &[Hash]) {
        self.pruned.insert_many(leaves).unwrap();
        self.twin.insert_many(leaves).unwrap();
    }

    fn compare(&self, begin: u64) {
        compare(&self.pruned.snapshot(), &self.twin.snapshot(), begin);
        assert_eq!(self.pruned.base().get(), begin);
    }

    fn reopen(self) -> Self {
        let Self { disk, store, arity, .. } = self;
        store.close().unwrap();
        Self::on(disk, arity)
    }
}

#[test]
fn every_small_tree_pruned_anywhere_answers_as_its_twin_from_there_on() {
    let all = leaves(40, 7);
    for (arity, most) in [(Arity::Two, 17), (Arity::Four, 18)] {
        for size in 1..=most {
            for cut in 1..=size {
                let pair = Pair::new(arity);
                // One part, two parts with the cut in one of them or between them, or leaves that no part has yet.
                let first = size * (cut % 3) / 2;
                pair.insert(&all[..first.min(size)]);
                pair.store.checkpoint().unwrap();
                pair.insert(&all[first.min(size)..size]);
                let info = pair.pruned.prune(cut as u64).unwrap();
                assert_eq!((info.before.get(), info.base.get()), (0, cut as u64));
                let begin = cut as u64;
                pair.compare(begin);
                pair.insert(&all[size..size + 7]);
                pair.compare(begin);
                let pair = pair.reopen();
                pair.compare(begin);
                pair.store.checkpoint().unwrap();
                pair.insert(&all[size + 7..size + 9]);
                pair.compare(begin);
                // And once more, behind all that was there at the first time or within it.
                let again = begin + 1 + (cut as u64 * 5) % 8;
                pair.pruned.prune(again).unwrap();
                pair.compare(again);
                pair.reopen().compare(again);
            }
        }
    }
}

#[test]
fn what_many_trees_have_in_the_manifest_is_pruned_too() {
    let all = leaves(30, 9);
    for arity in [Arity::Two, Arity::Sixteen] {
        let disk = Arc::new(SimDisk::new());
        let open = || {
            let config = config(Path::new("store")).file_system(Arc::clone(&disk) as _);
            Store::open(config).unwrap()
        };
        let store = open();
        let trees = |store: &Store| -> Vec<_> {
            let tree = |at| store.tree_dyn(format!("tree {at}"), kind(arity)).unwrap();
            (0..24).map(tree).collect()
        };
        for tree in trees(&store) {
            tree.insert_many(&all[..20]).unwrap();
        }
        store.checkpoint().unwrap();
        assert_eq!(store.stats().parts, 0, "all leaves are in the manifest");
        let all_trees = trees(&store);
        let (twin, rest) = all_trees.split_first().unwrap();
        let begin = |at: usize| (at as u64 * 7) % 20 + 1;
        for (at, tree) in rest.iter().enumerate() {
            tree.prune(begin(at)).unwrap();
            compare(&tree.snapshot(), &twin.snapshot(), begin(at));
        }
        for tree in &all_trees {
            tree.insert_many(&all[20..]).unwrap();
        }
        for again in 0..3 {
            let store = if again == 0 { store.clone() } else { open() };
            let all_trees = trees(&store);
            let (twin, rest) = all_trees.split_first().unwrap();
            for (at, tree) in rest.iter().enumerate() {
                compare(&tree.snapshot(), &twin.snapshot(), begin(at));
            }
            if again > 0 {
                store.checkpoint().unwrap();
            }
            drop(all_trees);
            store.close().unwrap();
        }
    }
}

/// A store on disk with a tree of 3,000 entries in several parts.
fn entries_store(dir: &Path) -> (Store, DynAccumulator, Vec<Vec<u8>>) {
    let store = Store::open(config(dir)).unwrap();
    let kind = TreeConfig::of::<Rfc6962Sha256, 2>().entries(EntryConfig::new()).indexed();
    let tree = store.tree_dyn("log", kind).unwrap();
    let entries: Vec<_> = (0..3000).map(|at: u64| format!("entry {at}").into_bytes()).collect();
    for some in entries.chunks(1100) {
        tree.insert_entries(some).unwrap();
        store.checkpoint().unwrap();
    }
    (store, tree, entries)
}

fn part_bytes(dir: &Path) -> u64 {
    let files = std::fs::read_dir(dir.join("parts")).unwrap();
    files.map(|file| file.unwrap().metadata().unwrap().len()).sum()
}

#[test]
fn entries_below_are_gone_with_their_erasures_and_the_others_are_read_in_every_way() {
    let dir = tempfile::tempdir().unwrap();
    let (store, log, entries) = entries_store(dir.path());
    drop(log.erase(10..20, "asked for").unwrap());
    drop(log.erase(1490..1510, "asked for").unwrap());
    let head = log.head().unwrap();
    let whole = part_bytes(dir.path());
    let info = log.prune(1500).unwrap();
    assert_eq!((info.base.get(), info.size.get()), (1500, 3000));
    assert_eq!(log.head().unwrap(), head);
    let check = |log: &DynAccumulator| {
        assert!(is_pruned(log.entry(1499), 1499, 1500));
        assert!(is_pruned(log.entries(1499..1600), 1499, 1500));
        assert!(is_pruned(log.entries(0..1), 0, 1500));
        assert_eq!(log.entries(0..0).unwrap().count(), 0);
        assert!(matches!(log.entry(1509), Err(Error::Erased { .. })));
        for (at, entry) in (1510..).zip(log.entries(1510..3000).unwrap()) {
            assert_eq!(&*entry.unwrap(), &entries[at]);
        }
        for at in [1511, 1535, 1536, 2199, 2200, 2999] {
            assert_eq!(&*log.entry(at as u64).unwrap(), &entries[at]);
            let leaf = log.leaf(at as u64).unwrap();
            assert_eq!(log.find(&leaf).unwrap(), Some(LeafIndex(at as u64)));
        }
        let listed = log.snapshot().erasures().unwrap();
        let ranges: Vec<_> = listed.into_iter().flat_map(|erasure| erasure.ranges).collect();
        assert_eq!(ranges, std::slice::from_ref(&(1500..1510)));
        assert_eq!(log.head().unwrap(), head);
    };
    check(&log);
    let listed = store.trees().unwrap();
    assert_eq!((listed[0].base.get(), listed[0].erased), (1500, 10));
    assert!(is_pruned(log.erase(1400..1501, "late"), 1400, 1500));
    let left = part_bytes(dir.path());
    assert!(left < whole * 7 / 10, "{left} of {whole} bytes, {info:?}");
    assert_eq!(info.held_bytes, 0);
    // What was pruned can be inserted again, and nothing else.
    let again = log.insert_unique_entry(&entries[7]).unwrap();
    assert!(again.is_new() && again.index().get() == 3000);
    assert!(!log.insert_unique_entry(&entries[2000]).unwrap().is_new());
    log.rewind(3000).unwrap();
    let report =
        store.scrub(&duramen::scrub::Options::new(), &mut |_| std::ops::ControlFlow::Continue(()));
    let report = report.unwrap();
    assert!(report.is_clean() && report.leaves == 1500, "{report:?}");
    store.compact(duramen::Compact::new().full(true)).unwrap();
    check(&log);
    drop(log);
    store.close().unwrap();
    let store = Store::open(config(dir.path())).unwrap();
    let log = store.existing_tree("log").unwrap();
    check(&log);
    assert_eq!(store.trees().unwrap()[0].parts, 1);
}

#[test]
fn bundles_and_tiles_of_what_is_left_are_those_of_the_whole_log() {
    let dir = tempfile::tempdir().unwrap();
    let (store, log, _) = entries_store(dir.path());
    let before = log.snapshot();
    for cut in [256, 1000, 1536, 2304] {
        log.prune(cut).unwrap();
        let now = log.snapshot();
        for tile in 0..11 {
            let width = 256;
            let expected = before.tile(0, tile, width).unwrap();
            let first = tile * 256;
            // The tile at the base stays whole, for clients that prove what is behind it.
            let stays = first + 256 > cut;
            match now.tile(0, tile, width) {
                Ok(found) => assert!(stays && found == expected, "tile {tile} at {cut}"),
                Err(error) => assert!(!stays && is_pruned::<()>(Err(error), first, cut)),
            }
            let left = first >= cut;
            match now.entry_bundle(tile, width) {
                Ok(found) => {
                    assert!(left && found == before.entry_bundle(tile, width).unwrap());
                }
                Err(error) => assert!(!left && is_pruned::<()>(Err(error), first, cut)),
            }
        }
    }
    assert_eq!(log.snapshot().tile(1, 0, 11).unwrap(), before.tile(1, 0, 11).unwrap());
    // Again over what the base has of the prunes before.
    log.prune(2310).unwrap();
    let now = log.snapshot();
    assert_eq!(now.tile(0, 9, 256).unwrap(), before.tile(0, 9, 256).unwrap());
    assert_eq!(now.tile(1, 0, 11).unwrap(), before.tile(1, 0, 11).unwrap());
    assert!(is_pruned(now.entry_bundle(9, 256), 2304, 2310));
    assert!(is_pruned(now.leaf(2309), 2309, 2310));
    drop(log);
    store.close().unwrap();
    let store = Store::open(config(dir.path())).unwrap();
    let now = store.existing_tree("log").unwrap().snapshot();
    assert_eq!(now.tile(0, 9, 256).unwrap(), before.tile(0, 9, 256).unwrap());
    assert_eq!(now.tile(1, 0, 11).unwrap(), before.tile(1, 0, 11).unwrap());
}

#[test]
fn snapshots_from_before_keep_what_they_have_and_the_report_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let (_store, log, entries) = entries_store(dir.path());
    let first = log.snapshot();
    let reading = first.entries(0..3000).unwrap();
    let leaves = first.leaves(0..3000).unwrap();
    let info = log.prune(1500).unwrap();
    // The part before the cut, and the one that was written again.
    assert_eq!(info.held_parts, 2);
    assert!(info.held_bytes > info.bytes / 2, "{info:?}");
    let second = log.snapshot();
    log.insert_entries(&["one more"]).unwrap();
    log.prune(2500).unwrap();
    let third = log.snapshot();
    let check = |snapshot: &Snapshot, begin: u64| {
        assert_eq!(snapshot.base().get(), begin);
        let from = usize::try_from(begin).unwrap();
        assert_eq!(snapshot.leaves(begin..3000).unwrap(), leaves[from..]);
        for at in (begin..3000).step_by(97) {
            let leaf = &leaves[usize::try_from(at).unwrap()];
            let proof = snapshot.prove(at).unwrap();
            let head = snapshot.head().unwrap();
            proof.verify(snapshot.hasher(), snapshot.arity(), &head, at.into(), leaf).unwrap();
            assert_eq!(
                snapshot.entry(at).unwrap().as_ref(),
                &entries[usize::try_from(at).unwrap()]
            );
            assert_eq!(snapshot.find(leaf).unwrap(), Some(LeafIndex(at)));
            assert_eq!(snapshot.find_all(leaf).unwrap().count(), 1);
            assert_eq!(snapshot.head_at(at).unwrap(), first.head_at(at).unwrap());
        }
        if let Some(below) = begin.checked_sub(1) {
            assert!(is_pruned(snapshot.leaf(below), below, begin));
            let leaf = &leaves[usize::try_from(below).unwrap()];
            assert_eq!(snapshot.find(leaf).unwrap(), None);
        }
    };
    check(&first, 0);
    check(&second, 1500);
    check(&third, 2500);
    for (at, entry) in reading.enumerate() {
        assert_eq!(&*entry.unwrap(), &entries[at]);
    }
    drop((first, second));
    assert_eq!(log.prune(2600).unwrap().held_parts, 1, "the third snapshot");
    drop(third);
    let info = log.prune(2700).unwrap();
    assert_eq!((info.held_parts, info.held_bytes), (0, 0));
}

#[test]
fn an_entry_that_was_erased_stays_erased_for_snapshots_from_before_a_prune() {
    let dir = tempfile::tempdir().unwrap();
    let (_store, log, _) = entries_store(dir.path());
    let before = log.snapshot();
    drop(log.erase(100..101, "asked for").unwrap());
    log.prune(2000).unwrap();
    assert!(matches!(before.entry(100), Err(Error::Erased { .. })));
    assert!(matches!(before.entries(100..101).unwrap().next(), Some(Err(Error::Erased { .. }))));
    before.entry(101).unwrap();
}

#[test]
fn rewinds_marks_and_tails_end_at_the_base() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(config(dir.path())).unwrap();
    let tree = store.tree_dyn("notes", kind(Arity::Four)).unwrap();
    let other = store.tree_dyn("other", kind(Arity::Four)).unwrap();
    let all = leaves(300, 3);
    tree.insert_many(&all[..100]).unwrap();
    other.insert_many(&all[..7]).unwrap();
    drop(store.mark("early").unwrap());
    tree.insert_many(&all[100..200]).unwrap();
    drop(store.mark("late").unwrap());
    store.flush().unwrap();
    let mut tail = tree.tail(0).unwrap();
    let mut behind = tree.tail(150).unwrap();
    assert_eq!(tail.next().unwrap().unwrap().leaf, all[0]);
    tree.prune(150).unwrap();
    // What the tail has begun to read it still returns.
    let mut read = 1;
    while let Some(appended) = tail.try_next().unwrap() {
        assert_eq!(appended.leaf, all[read]);
        read += 1;
    }
    assert_eq!(read, 200);
    assert_eq!(behind.next().unwrap().unwrap().leaf, all[150]);
    let mut late = tree.tail(10).unwrap();
    assert!(is_pruned(late.next().unwrap(), 10, 150));
    assert!(late.is_ended());
    assert!(is_pruned(tree.rewind(149), 149, 150));
    assert!(is_pruned(store.rewind_to("early"), 100, 150));
    assert_eq!(store.marks().unwrap().len(), 2);
    let early = store.snapshot_at("early").unwrap();
    assert!(is_pruned(early.head(), 100, 150));
    assert_eq!(early.tree("other").unwrap().unwrap().leaves(0..7).unwrap(), all[..7]);
    store.snapshot_at("late").unwrap().head().unwrap();
    tree.insert_many(&all[200..]).unwrap();
    store.rewind_to("late").unwrap();
    tree.rewind(150).unwrap();
    assert_eq!(tree.size().get(), 150);
    tree.insert_many(&all[150..160]).unwrap();
    let now = tree.snapshot();
    assert_eq!(now.leaves(150..160).unwrap(), all[150..160]);
    assert_eq!(
        now.head().unwrap().root,
        testkit::stores::root_of(now.hasher(), Arity::Four, &all[..160])
    );
    tree.prune(160).unwrap();
    store.close().unwrap();
    let store = Store::open(config(dir.path())).unwrap();
    let tree = store.existing_tree("notes").unwrap();
    assert_eq!((tree.base().get(), tree.size().get()), (160, 160));
    assert!(is_pruned(tree.rewind(159), 159, 160));
}

#[test]
fn a_prune_behind_a_rewind_keeps_what_the_tree_has_now() {
    for arity in [Arity::Two, Arity::Eight] {
        let mut random = Random(11);
        for _ in 0..60 {
            let pair = Pair::new(arity);
            let mut known: Vec<Hash> = Vec::new();
            let mut fresh = 0;
            let mut begin = 0;
            for _ in 0..12 {
                match random.below(6) {
                    0 | 1 => {
                        fresh += 1;
                        let count = usize::try_from(1 + random.below(40)).unwrap();
                        let new = leaves(count, 1000 + fresh);
                        pair.insert(&new);
                        known.extend(new);
                    }
                    2 => drop(pair.store.checkpoint().unwrap()),
                    3 => {
                        let size = begin + random.below(known.len() as u64 - begin + 1);
                        pair.pruned.rewind(size).unwrap();
                        pair.twin.rewind(size).unwrap();
                        known.truncate(usize::try_from(size).unwrap());
                    }
                    4 => pair.store.wait_idle(),
                    _ => {
                        begin += random.below(known.len() as u64 - begin + 1);
                        pair.pruned.prune(begin).unwrap();
                    }
                }
            }
            assert_eq!(
                pair.pruned.snapshot().leaves(begin..known.len() as u64).unwrap(),
                known[usize::try_from(begin).unwrap()..]
            );
            pair.compare(begin);
            pair.reopen().compare(begin);
        }
    }
}

#[test]
fn readers_backups_and_copies_of_a_pruned_store_have_what_it_has() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("store");
    let (store, log, _) = entries_store(&place);
    let reader = Reader::open_tree(
        Config::new(&place),
        "log",
        TreeConfig::of::<Rfc6962Sha256, 2>().entries(EntryConfig::new()),
    )
    .unwrap();
    let whole = StoreReader::open(Config::new(&place)).unwrap();
    let older = dir.path().join("older");
    store.snapshot_to(&older).unwrap();
    let then = reader.snapshot();
    log.prune(1777).unwrap();
    reader.refresh().unwrap();
    whole.refresh().unwrap();
    assert_eq!(reader.head().unwrap(), log.head().unwrap());
    assert!(is_pruned(reader.leaf(1776), 1776, 1777));
    assert_eq!(reader.leaf(1777).unwrap(), log.leaf(1777).unwrap());
    assert_eq!(whole.trees().unwrap()[0].base.get(), 1777);
    assert_eq!(whole.tree("log").unwrap().base().get(), 1777);
    then.leaf(5).unwrap();
    then.entry(5).unwrap();
    let backup = dir.path().join("backup");
    store.snapshot_to(&backup).unwrap();
    let copy = Store::open(config(&backup)).unwrap();
    let copied = copy.existing_tree("log").unwrap();
    compare_some(&copied.snapshot(), &log.snapshot(), &then, 1777);
    copied.insert_entries(&["more"]).unwrap();
    drop(copied);
    copy.close().unwrap();
    // An older copy becomes the newer one.
    whole.update_backup(&older).unwrap();
    let copy = Store::open(config(&older)).unwrap();
    compare_some(&copy.existing_tree("log").unwrap().snapshot(), &log.snapshot(), &then, 1777);
}

/// Compares some answers of two pruned trees with those of a snapshot from before.
fn compare_some(one: &Snapshot, other: &Snapshot, whole: &Snapshot, begin: u64) {
    let size = whole.size().get();
    for snapshot in [one, other] {
        assert_eq!(snapshot.base().get(), begin);
        assert_eq!(snapshot.head().unwrap(), whole.head().unwrap());
        for at in (begin..size).step_by(131) {
            assert_eq!(snapshot.prove(at).unwrap(), whole.prove(at).unwrap());
            assert_eq!(
                snapshot.prove_consistency(at).unwrap(),
                whole.prove_consistency(at).unwrap()
            );
            assert_eq!(snapshot.entry(at).unwrap(), whole.entry(at).unwrap());
        }
        assert!(is_pruned(snapshot.leaf(begin - 1), begin - 1, begin));
    }
}

#[test]
fn a_prune_is_refused_above_the_size_and_does_nothing_below_the_base() {
    let dir = tempfile::tempdir().unwrap();
    let told = Arc::new(std::sync::Mutex::new(Vec::new()));
    let listener = Arc::clone(&told);
    let config = config(dir.path()).listener(move |event: &Event| {
        if let Event::Pruned { info, .. } = event {
            listener.lock().unwrap().push(info.base.get());
        }
    });
    let store = Store::open(config).unwrap();
    let tree = store.tree_dyn("notes", kind(Arity::Four)).unwrap();
    assert_eq!(tree.prune(0).unwrap().base, TreeSize(0));
    assert!(matches!(tree.prune(1), Err(Error::SizeOutOfRange { .. })));
    tree.insert_many(&leaves(10, 1)).unwrap();
    tree.prune(4).unwrap();
    assert_eq!(tree.prune(3).unwrap().base, TreeSize(4));
    assert_eq!(tree.prune(4).unwrap().before, TreeSize(4));
    tree.prune(10).unwrap();
    drop(store.seal("notes").unwrap());
    tree.prune(10).unwrap();
    assert_eq!(*told.lock().unwrap(), [4, 10]);
    drop(store.drop_tree("notes").unwrap());
    assert!(matches!(tree.prune(10), Err(Error::TreeDropped { .. })));
}

#[test]
fn the_space_of_what_was_pruned_is_free_to_five_percent() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(config(dir.path())).unwrap();
    let tree = store.tree_dyn("notes", TreeConfig::of::<Blake3, 4>()).unwrap();
    let all = leaves(400_000, 8);
    tree.insert_many(&all[..300_000]).unwrap();
    store.checkpoint().unwrap();
    tree.insert_many(&all[300_000..]).unwrap();
    store.checkpoint().unwrap();
    let before = part_bytes(dir.path());
    for cut in [100_000, 200_000, 200_001, 300_000, 399_999] {
        let info = tree.prune(cut).unwrap();
        let left = part_bytes(dir.path());
        assert_eq!(info.bytes, left);
        // And some blocks that are not full.
        let wanted = before * (400_000 - cut) / 400_000;
        assert!(left < wanted + wanted / 20 + (64 << 10), "{left} of {wanted} from {cut} on");
    }
}

#[test]
fn merges_inserts_and_rewinds_go_on_beside_prunes() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config::new(dir.path())
        .checkpoint_policy(CheckpointPolicy::manual().every_leaves(200).unwrap());
    let store = Store::open(config.clone()).unwrap();
    let tree = store.tree_dyn("notes", kind(Arity::Two)).unwrap();
    let all = leaves(20_000, 5);
    let inserted = std::sync::atomic::AtomicBool::new(false);
    let is_over = || inserted.load(std::sync::atomic::Ordering::Relaxed);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for some in all.chunks(50) {
                tree.insert_many(some).unwrap();
                std::thread::yield_now();
            }
            inserted.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        scope.spawn(|| {
            while !is_over() {
                // Some of what the other thread has inserted just before.
                let size = tree.size().get();
                tree.rewind(size - size / 50).unwrap();
                std::thread::sleep(std::time::Duration::from_millis(2));
            }
        });
        let mut prunes = 0;
        let mut late = false;
        while !late {
            late = is_over();
            let size = tree.size().get();
            let old = tree.snapshot();
            let info = tree.prune(size / 2).unwrap();
            prunes += u64::from(info.base > info.before);
            assert!(tree.base().get() >= size / 2);
            if old.size() > old.base() {
                old.leaf(old.base().get()).unwrap();
            }
        }
        assert!(prunes > 0);
    });
    store.wait_idle();
    let size = tree.size().get();
    let begin = tree.base().get();
    assert!(size > begin && begin > 0);
    // The leaves have one order, and rewinds left some out.
    let left = tree.leaves(begin..size).unwrap();
    let mut order = all.iter();
    assert!(left.iter().all(|leaf| order.any(|other| other == leaf)));
    let head = tree.head().unwrap();
    drop(tree);
    store.close().unwrap();
    let store = Store::open(config).unwrap();
    let tree = store.existing_tree("notes").unwrap();
    assert_eq!((tree.head().unwrap(), tree.base().get()), (head, begin));
    let report =
        store.scrub(&duramen::scrub::Options::new(), &mut |_| std::ops::ControlFlow::Continue(()));
    assert!(report.unwrap().is_clean());
}
