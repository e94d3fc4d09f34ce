//! Leaves are found by their hash, and those that are there are not inserted again.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use duramen::{
    Accumulator, Arity, Blake3, CheckpointPolicy, CompactionPolicy, Config, DynAccumulator,
    EntryConfig, Error, FlushPolicy, Hash, Hasher, ReadMode, Reader, Rfc6962Sha256, Store,
    TreeConfig, Unique, scrub,
};
use testkit::random::Random;

fn config(dir: &Path) -> Config {
    Config::new(dir)
        .flush_policy(FlushPolicy::Manual)
        .checkpoint_policy(CheckpointPolicy::manual())
        .compaction_policy(CompactionPolicy::Off)
}

fn tree_config() -> TreeConfig {
    TreeConfig::of::<Blake3, 4>()
}

fn open(config: Config) -> (Store, DynAccumulator) {
    let store = Store::open(config).unwrap();
    let tree = store.tree_dyn("log", tree_config().indexed()).unwrap();
    (store, tree)
}

/// Leaf `number` of a test.
fn leaf(number: u64) -> Hash {
    Blake3.leaf(&number.to_le_bytes())
}

fn leaves(numbers: impl IntoIterator<Item = u64>) -> Vec<Hash> {
    numbers.into_iter().map(leaf).collect()
}

/// The files of indexes, sorted.
fn index_files(dir: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(dir.join("parts")).unwrap().map(|file| file.unwrap().path());
    let mut files: Vec<_> =
        files.filter(|path| path.extension().is_some_and(|end| end == "index")).collect();
    files.sort_unstable();
    files
}

/// The model: the numbers of the leaves, in order.
#[derive(Default)]
struct Model {
    numbers: Vec<u64>,
    first: HashMap<u64, u64>,
}

impl Model {
    fn push(&mut self, number: u64) {
        let index = self.numbers.len() as u64;
        self.first.entry(number).or_insert(index);
        self.numbers.push(number);
    }

    fn all(&self, number: u64, size: usize) -> Vec<u64> {
        let numbers = (0u64..).zip(&self.numbers[..size]);
        numbers.filter(|(_, found)| **found == number).map(|(index, _)| index).collect()
    }
}

/// Some leaves of the tree, and some that it does not have, are found as the model says.
fn check(tree: &DynAccumulator, model: &Model, random: &mut Random) {
    assert_eq!(tree.size().get(), model.numbers.len() as u64);
    let size = model.numbers.len();
    for _ in 0..40 {
        let number = match random.below(4) {
            0 => 1 << 40 | random.below(1000),
            _ if size == 0 => 0,
            _ => model.numbers[usize::try_from(random.below(size as u64)).unwrap()],
        };
        let wanted = model.first.get(&number).copied();
        assert_eq!(tree.find(&leaf(number)).unwrap().map(|index| index.0), wanted, "{number}");
        let all =
            |found: duramen::FoundLeaves| found.map(|index| index.unwrap().0).collect::<Vec<_>>();
        assert_eq!(all(tree.find_all(&leaf(number)).unwrap()), model.all(number, size));
        let proven = tree.prove_leaf(&leaf(number)).unwrap();
        assert_eq!(proven.as_ref().map(|(index, _)| index.0), wanted);
        if let Some((index, proof)) = proven {
            let head = tree.head().unwrap();
            proof.verify(&Blake3, Arity::Four, &head, index, &leaf(number)).unwrap();
        }
    }
}

#[test]
fn leaves_are_found_in_memory_in_parts_and_after_each_step_as_a_slow_model_finds_them() {
    for seed in 0..12 {
        println!("seed {seed}");
        let mut random = Random(seed);
        let dir = tempfile::tempdir().unwrap();
        let mode = if seed % 2 == 0 { ReadMode::Mapped } else { ReadMode::Pread };
        let config = || config(dir.path()).read_mode(mode);
        let (mut store, mut tree) = open(config());
        let mut model = Model::default();
        let mut old = vec![(tree.snapshot(), 0)];
        for _ in 0..40 {
            match random.below(10) {
                0..=3 => {
                    let (many, below) = (1 + random.below(300), 1 + random.below(5000));
                    let numbers: Vec<_> = (0..many).map(|_| random.below(below)).collect();
                    tree.insert_many(&leaves(numbers.iter().copied())).unwrap();
                    numbers.into_iter().for_each(|number| model.push(number));
                }
                4 => {
                    // A long run of equal leaves.
                    let (number, many) = (random.below(100), random.below(2000));
                    let equal = vec![leaf(number); usize::try_from(many).unwrap()];
                    tree.insert_many(&equal).unwrap();
                    (0..many).for_each(|_| model.push(number));
                }
                5 => {
                    let number = random.below(5000);
                    let done = tree.insert_unique(leaf(number)).unwrap();
                    let wanted = model.first.get(&number).copied();
                    assert_eq!(done.is_new(), wanted.is_none());
                    assert_eq!(done.index().0, wanted.unwrap_or(model.numbers.len() as u64));
                    if done.is_new() {
                        model.push(number);
                    }
                }
                6 => {
                    let many = random.below(400);
                    let numbers: Vec<_> = (0..many).map(|_| random.below(5000)).collect();
                    let done = tree.insert_unique_many(&leaves(numbers.iter().copied())).unwrap();
                    for (number, done) in numbers.into_iter().zip(done) {
                        let wanted = model.first.get(&number).copied();
                        let next = model.numbers.len() as u64;
                        assert_eq!(
                            (done.is_new(), done.index().0),
                            (wanted.is_none(), wanted.unwrap_or(next))
                        );
                        if done.is_new() {
                            model.push(number);
                        }
                    }
                }
                7 => {
                    store.checkpoint().unwrap();
                }
                8 => {
                    tree.flush().unwrap();
                    old.push((tree.snapshot(), model.numbers.len()));
                }
                _ => {
                    store.close().unwrap();
                    old.clear();
                    (store, tree) = open(config());
                }
            }
            check(&tree, &model, &mut random);
            for (snapshot, size) in &old {
                for _ in 0..4 {
                    let number = random.below(5000);
                    let wanted = model.first.get(&number).copied().filter(|at| *at < *size as u64);
                    let found = snapshot.find(&leaf(number)).unwrap();
                    assert_eq!(found.map(|index| index.0), wanted);
                }
            }
        }
        tree.flush().unwrap();
        let reader = Reader::open_tree(config(), "log", tree_config()).unwrap();
        for number in (0..100).chain([1 << 40]) {
            let found = reader.find(&leaf(number)).unwrap().map(|index| index.0);
            assert_eq!(found, model.first.get(&number).copied());
        }
        store.close().unwrap();
    }
}

#[test]
fn a_merge_keeps_what_is_found_and_leaves_one_index_for_each_part() {
    let dir = tempfile::tempdir().unwrap();
    let (store, tree) = open(config(dir.path()).compaction_policy(CompactionPolicy::default()));
    for round in 0..60 {
        tree.insert_many(&leaves(round * 100..round * 100 + 100)).unwrap();
        store.checkpoint().unwrap();
    }
    tree.wait_idle();
    for number in (0..6000).step_by(7) {
        assert_eq!(tree.find(&leaf(number)).unwrap().map(|index| index.0), Some(number));
    }
    let parts = store.trees().unwrap()[0].parts;
    assert!(parts < 30, "{parts} parts");
    store.close().unwrap();
    assert_eq!(index_files(dir.path()).len() as u64, parts);
}

#[test]
fn a_tree_without_an_index_says_so_and_can_be_given_one() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(config(dir.path())).unwrap();
    let tree = store.tree_dyn("log", tree_config()).unwrap();
    for round in 0..3 {
        tree.insert_many(&leaves(round * 500..round * 500 + 500)).unwrap();
        store.checkpoint().unwrap();
    }
    tree.insert_many(&leaves(1500..1510)).unwrap();
    let refused = tree.find(&leaf(1)).unwrap_err();
    assert!(matches!(&refused, Error::NoIndex { tree } if tree.as_str() == "log"), "{refused}");
    assert!(matches!(tree.insert_unique(leaf(1)), Err(Error::NoIndex { .. })));
    assert!(matches!(store.batch().insert_unique(&tree, leaf(1)), Err(Error::NoIndex { .. })));
    assert!(index_files(dir.path()).is_empty());
    assert!(!tree.is_indexed());

    let token = tree.add_index().unwrap();
    // Found at once, before the indexes are written.
    for number in [0, 499, 500, 1499, 1509] {
        assert_eq!(tree.find(&leaf(number)).unwrap().map(|index| index.0), Some(number));
    }
    tree.flush().unwrap();
    assert!(token.is_durable());
    tree.wait_idle();
    assert_eq!(index_files(dir.path()).len(), 3);
    // Once more changes nothing.
    assert!(tree.add_index().unwrap().is_durable());
    drop(store);
    drop(tree);

    // From the log.
    let store = Store::open(config(dir.path())).unwrap();
    let tree = store.existing_tree("log").unwrap();
    assert!(tree.is_indexed() && store.trees().unwrap()[0].indexed);
    assert_eq!(tree.find(&leaf(1509)).unwrap().map(|index| index.0), Some(1509));
    store.checkpoint().unwrap();
    store.close().unwrap();
    // From the manifest.
    let store = Store::open(config(dir.path())).unwrap();
    assert!(store.trees().unwrap()[0].indexed);
    let tree = store.existing_tree("log").unwrap();
    assert!(!tree.insert_unique(leaf(700)).unwrap().is_new());
    store.close().unwrap();
    assert_eq!(index_files(dir.path()).len(), 4);
}

#[test]
fn an_index_that_is_lost_damaged_or_of_another_part_costs_time_and_no_answer() {
    let dir = tempfile::tempdir().unwrap();
    let (store, tree) = open(config(dir.path()));
    tree.insert_many(&leaves(0..3000)).unwrap();
    store.checkpoint().unwrap();
    tree.insert_many(&leaves(3000..6000)).unwrap();
    store.checkpoint().unwrap();
    store.close().unwrap();
    let files = index_files(dir.path());
    let [first, second] = &files[..] else { panic!("{files:?}") };
    let bytes = std::fs::read(first).unwrap();
    let all_found = |mode: ReadMode| {
        let config = config(dir.path()).read_mode(mode);
        let reader = Reader::open_tree(config, "log", tree_config()).unwrap();
        for number in [0, 1, 1499, 2999, 3000, 5999] {
            let found = reader.find(&leaf(number)).unwrap();
            assert_eq!(found.map(|index| index.0), Some(number));
            let all: Vec<_> = reader.find_all(&leaf(number)).unwrap().map(Result::unwrap).collect();
            assert_eq!(all, [duramen::LeafIndex(number)]);
        }
        assert_eq!(reader.find(&leaf(1 << 40)).unwrap(), None);
    };
    let mut random = Random(7);
    for line in 0..bytes.len() / 64 {
        let mut changed = bytes.clone();
        let bit = line * 512 + usize::try_from(random.below(512)).unwrap();
        changed[bit / 8] ^= 1 << (bit % 8);
        std::fs::write(first, changed).unwrap();
        all_found(if line % 2 == 0 { ReadMode::Mapped } else { ReadMode::Pread });
    }
    for others in [
        Vec::new(),
        bytes[..bytes.len() - 4096].to_vec(),
        vec![0; bytes.len()],
        std::fs::read(second).unwrap(),
    ] {
        std::fs::write(first, others).unwrap();
        all_found(ReadMode::Mapped);
        all_found(ReadMode::Pread);
    }
    std::fs::remove_file(first).unwrap();
    all_found(ReadMode::Mapped);
    // The next writer writes it again.
    let (store, tree) = open(config(dir.path()));
    tree.wait_idle();
    assert_eq!(index_files(dir.path()), files);
    assert_eq!(tree.find(&leaf(2000)).unwrap().map(|index| index.0), Some(2000));
    store.close().unwrap();
}

#[test]
fn a_batch_with_a_damaged_index_inserts_only_what_is_new() {
    let dir = tempfile::tempdir().unwrap();
    let (store, tree) = open(config(dir.path()));
    tree.insert_many(&leaves(0..3000)).unwrap();
    store.checkpoint().unwrap();
    tree.insert_many(&leaves(1000..4000)).unwrap();
    store.checkpoint().unwrap();
    store.close().unwrap();
    let files = index_files(dir.path());
    let bytes: Vec<_> = files.iter().map(|file| std::fs::read(file).unwrap()).collect();
    for (next, damaged) in (6000..).zip(0..40) {
        for (file, bytes) in files.iter().zip(&bytes) {
            let mut changed = bytes.clone();
            // All bits of a block: of the filter, the records, the fences or the checksums.
            changed[damaged % (bytes.len() / 4096) * 4096..][..4096]
                .iter_mut()
                .for_each(|byte| *byte = !*byte);
            std::fs::write(file, changed).unwrap();
        }
        let mode = if damaged % 2 == 0 { ReadMode::Mapped } else { ReadMode::Pread };
        let (store, tree) = open(config(dir.path()).read_mode(mode));
        let new = leaf(next + 10_000);
        let batch: Vec<_> = leaves((0..4000).step_by(7)).into_iter().chain([new, new]).collect();
        let done = tree.insert_unique_many(&batch).unwrap();
        for (number, done) in (0..4000).step_by(7).zip(&done) {
            let index = if number < 3000 { number } else { 3000 + number - 1000 };
            assert_eq!((done.is_new(), done.index().0), (false, index), "leaf {number}");
        }
        let [.., first, second] = &done[..] else { panic!("{done:?}") };
        assert_eq!((first.is_new(), second.is_new()), (true, false));
        assert_eq!((first.index().0, second.index().0), (next, next));
        store.close().unwrap();
    }
}

#[test]
fn a_scrub_finds_a_damaged_index_and_a_repair_writes_it_again() {
    let dir = tempfile::tempdir().unwrap();
    let (store, tree) = open(config(dir.path()));
    tree.insert_many(&leaves(0..3000)).unwrap();
    store.checkpoint().unwrap();
    store.close().unwrap();
    let scrubbed = |repair| {
        let options = scrub::Options::new().repair(repair);
        scrub::run(&config(dir.path()), &options, &mut |_| ControlFlow::Continue(())).unwrap()
    };
    let report = scrubbed(false);
    assert!(report.is_clean() && report.indexes == 1);
    let file = &index_files(dir.path())[0];
    let intact = std::fs::read(file).unwrap();
    for at in [0, 4, 40, 100, 4096, 9000, intact.len() - 1, intact.len() - 4000] {
        let mut bytes = intact.clone();
        bytes[at] ^= 4;
        std::fs::write(file, &bytes).unwrap();
        let report = scrubbed(false);
        let [finding] = &report.findings[..] else { panic!("{:?} at {at}", report.findings) };
        assert_eq!(finding.element, scrub::Element::Index);
        assert_eq!(finding.damage.file, *file);
        assert!(!report.is_clean());
        let report = scrubbed(true);
        assert!(report.is_clean(), "{:?}", report.findings);
        assert_eq!(report.rebuilt.len(), 1);
        assert!(scrubbed(false).findings.is_empty());
    }
    // A missing index is no damage, and a repair writes it too.
    std::fs::remove_file(file).unwrap();
    let report = scrubbed(false);
    assert!(report.is_clean() && report.indexes == 0);
    scrubbed(true);
    assert_eq!(scrubbed(false).indexes, 1);
}

#[test]
fn a_repair_that_cannot_bring_back_a_leaf_reports_it_and_writes_the_other_indexes() {
    let dir = tempfile::tempdir().unwrap();
    let (store, tree) = open(config(dir.path()));
    for from in [0, 3000] {
        tree.insert_many(&leaves(from..from + 3000)).unwrap();
        store.checkpoint().unwrap();
    }
    store.close().unwrap();
    let files = index_files(dir.path());
    let [first, second] = &files[..] else { panic!("{files:?}") };
    let part = first.with_extension("part");
    let mut bytes = std::fs::read(&part).unwrap();
    bytes[4096 + 10] ^= 1;
    std::fs::write(&part, bytes).unwrap();
    std::fs::remove_file(first).unwrap();
    std::fs::remove_file(second).unwrap();
    let options = scrub::Options::new().repair(true);
    let report = scrub::run(&config(dir.path()), &options, &mut |_| ControlFlow::Continue(()));
    let report = report.unwrap();
    let [finding] = &report.findings[..] else { panic!("{:?}", report.findings) };
    assert_eq!((finding.element, finding.leaves.clone()), (scrub::Element::Leaves, Some(0..128)));
    assert!(!report.is_clean());
    assert_eq!(report.rebuilt, [second.display().to_string()]);
    assert_eq!(index_files(dir.path()), std::slice::from_ref(second));
}

#[test]
fn threads_that_submit_equal_entries_get_one_index_each_entry() {
    const THREADS: u64 = 8;
    let dir = tempfile::tempdir().unwrap();
    let config = Config::new(dir.path());
    let store = Store::open(config.clone()).unwrap();
    let kept = TreeConfig::of::<Rfc6962Sha256, 2>().entries(EntryConfig::new()).indexed();
    let tree = store.tree_dyn("log", kept).unwrap();
    let submitted: Vec<HashMap<u64, u64>> = std::thread::scope(|threads| {
        let submit = |thread: u64| {
            let tree = &tree;
            move || {
                let mut random = Random(thread);
                let mut indexes = HashMap::new();
                for round in 0..400 {
                    let number = random.below(500);
                    let entry = format!("entry {number}");
                    let done = match round % 3 {
                        0 => tree.insert_unique_entry(&entry).unwrap(),
                        1 => tree.insert_unique_entry_durable(&entry).unwrap(),
                        _ => tree
                            .insert_unique_entries(&[&entry, "always", &entry])
                            .unwrap()
                            .remove(2),
                    };
                    if round % 3 == 1 {
                        assert!(done.token().is_durable());
                    }
                    let index = done.index().0;
                    assert_eq!(*indexes.entry(number).or_insert(index), index);
                    if thread == 0 && round % 50 == 0 {
                        tree.checkpoint().unwrap();
                    }
                }
                indexes
            }
        };
        let threads: Vec<_> = (0..THREADS).map(|thread| threads.spawn(submit(thread))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let mut known = HashMap::new();
    for (number, index) in submitted.into_iter().flatten() {
        assert_eq!(*known.entry(number).or_insert(index), index, "entry {number}");
    }
    assert_eq!(tree.size().get(), known.len() as u64 + 1);
    for (number, index) in &known {
        assert_eq!(&*tree.entry(*index).unwrap(), format!("entry {number}").as_bytes());
    }
    store.close().unwrap();
}

#[test]
fn a_batch_inserts_what_its_trees_do_not_have_and_says_where_the_rest_is() {
    let dir = tempfile::tempdir().unwrap();
    let (store, one) = open(config(dir.path()));
    let two = store.tree_dyn("two", tree_config().indexed()).unwrap();
    let bare = store.tree_dyn("bare", tree_config()).unwrap();
    one.insert_many(&leaves(0..10)).unwrap();
    let mut batch = store.batch();
    batch.insert_unique(&one, leaf(3)).unwrap();
    batch.insert_unique(&two, leaf(3)).unwrap();
    batch.insert(&one, leaf(4)).unwrap();
    batch.insert_unique(&one, leaf(20)).unwrap();
    batch.insert(&two, leaf(30)).unwrap();
    batch.insert(&bare, leaf(3)).unwrap();
    batch.insert_unique(&two, leaf(30)).unwrap();
    batch.insert_unique(&one, leaf(20)).unwrap();
    batch.insert_unique(&one, leaf(21)).unwrap();
    let committed = batch.commit().unwrap();
    let unique: Vec<_> =
        committed.unique.iter().map(|unique| (unique.is_new(), unique.index().0)).collect();
    let wanted = [(false, 3), (true, 0), (true, 11), (false, 1), (false, 11), (true, 12)];
    assert_eq!(unique, wanted);
    let ranges: Vec<_> = committed.ranges.iter().map(|range| range.range.clone()).collect();
    assert_eq!(ranges, [10..13, 0..2, 0..1]);
    store.flush().unwrap();
    assert!(committed.token.is_durable());
    assert!(committed.unique.iter().all(|unique| unique.token().is_durable()));
    assert_eq!(one.leaves(10..13).unwrap(), leaves([4, 20, 21]));
    // Nothing new: nothing is inserted.
    let mut batch = store.batch();
    batch.insert_unique(&one, leaf(3)).unwrap();
    let committed = batch.commit().unwrap();
    assert_eq!(committed.ranges[0].range, 13..13);
    assert!(matches!(committed.unique[..], [Unique::Existing { .. }]));
    store.close().unwrap();
}

#[test]
fn the_token_of_a_leaf_that_is_there_waits_until_that_leaf_is_durable() {
    let dir = tempfile::tempdir().unwrap();
    let (store, tree) = open(config(dir.path()));
    let first = tree.insert_unique(leaf(1)).unwrap();
    let second = tree.insert_unique(leaf(1)).unwrap();
    assert!(!first.token().is_durable() && !second.token().is_durable());
    tree.flush().unwrap();
    assert!(first.token().is_durable() && second.token().is_durable());
    tree.insert(leaf(2)).unwrap();
    let third = tree.insert_unique(leaf(1)).unwrap();
    assert!(third.token().is_durable(), "it does not wait for later leaves");
    store.close().unwrap();
}

#[test]
fn a_large_batch_of_leaves_of_which_half_are_there_inserts_the_other_half() {
    let dir = tempfile::tempdir().unwrap();
    let (store, tree) = open(config(dir.path()));
    let even: Vec<_> = (0..100_000).map(|number| number * 2).collect();
    tree.insert_many(&leaves(even)).unwrap();
    let done = tree.insert_unique_many(&leaves(0..200_000)).unwrap();
    let mut next = 100_000;
    for (number, done) in (0..).zip(done) {
        let wanted = if number % 2 == 0 { number / 2 } else { next };
        assert_eq!((done.is_new(), done.index().0), (number % 2 == 1, wanted));
        next += number % 2;
    }
    assert_eq!(tree.size().get(), 200_000);
    store.close().unwrap();
}

#[test]
fn the_index_of_the_main_tree_survives_a_backup_that_does_not_have_it() {
    let (dir, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let log: Accumulator = Accumulator::open(config(dir.path())).unwrap();
    drop(log.add_index().unwrap());
    log.insert_many(&leaves(0..1000)).unwrap();
    log.checkpoint().unwrap();
    let target = copy.path().join("copy");
    log.snapshot_to(&target).unwrap();
    log.close().unwrap();
    assert!(index_files(&target).is_empty());
    let log: Accumulator = Accumulator::open(config(&target)).unwrap();
    assert_eq!(log.find(&leaf(999)).unwrap().map(|index| index.0), Some(999));
    log.wait_idle();
    log.close().unwrap();
    assert_eq!(index_files(&target).len(), 1);
}
