//! Scrub and repair: each kind of damage is found, named by its place, and rebuilt where the leaves
//! below it are intact. Leaves never are.

use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use duramen::scrub::{self, Element, Finding, Options, Remedy, Report};
use duramen::{
    Arity, Blake3, CheckpointPolicy, CompactionPolicy, Config, DynAccumulator, EntryConfig, Error,
    FlushPolicy, Hash, Hasher, HasherId, LeafIndex, Problem, Store, TreeConfig, TreeHead, TreeSize,
};
use testkit::stores::{copy_of, leaves, root_of};

const BLOCK: usize = 4096;

fn config(dir: &Path) -> Config {
    Config::new(dir)
        .flush_policy(FlushPolicy::Manual)
        .checkpoint_policy(CheckpointPolicy::manual())
        .wal_segment_bytes(64 << 10)
        .unwrap()
}

fn open(dir: &Path, arity: Arity) -> Result<DynAccumulator, Error> {
    DynAccumulator::open(config(dir), Arc::new(Blake3), arity)
}

fn run(dir: &Path, options: &Options) -> Result<Report, Error> {
    scrub::run(&Config::new(dir), options, &mut |_| ControlFlow::Continue(()))
}

fn look(dir: &Path) -> Report {
    run(dir, &Options::new()).unwrap()
}

fn repair(dir: &Path) -> Report {
    run(dir, &Options::new().repair(true)).unwrap()
}

/// A store with a part for each of `sizes`, and some leaves in the log.
fn store(arity: Arity, sizes: &[usize], in_log: usize) -> (tempfile::TempDir, Vec<Hash>) {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), arity).unwrap();
    let leaves = leaves(sizes.iter().sum::<usize>() + in_log, 7);
    let mut at = 0;
    for size in sizes {
        store.insert_many(&leaves[at..at + size]).unwrap();
        store.checkpoint().unwrap();
        at += size;
    }
    for leaf in &leaves[at..] {
        store.insert_durable(*leaf).unwrap();
    }
    store.close().unwrap();
    (dir, leaves)
}

fn parts(dir: &Path) -> Vec<PathBuf> {
    let mut parts: Vec<_> =
        std::fs::read_dir(dir.join("parts")).unwrap().map(|entry| entry.unwrap().path()).collect();
    parts.sort();
    parts
}

fn edit(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = std::fs::read(path).unwrap();
    change(&mut bytes);
    std::fs::write(path, bytes).unwrap();
}

/// Changes a byte of a file that a store may have mapped. Rewriting the file would truncate it first,
/// and the system ends a process that reads a mapped page then.
fn flip(path: &Path, at: u64) {
    let file = std::fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 1], at).unwrap();
}

/// What a block of a part holds, by the layout of FORMAT.md.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holds {
    Header,
    /// Level, first node and number of nodes.
    Nodes(u32, usize, usize),
    Table,
    Footer,
}

fn blocks(arity: Arity, from: usize, to: usize) -> Vec<Holds> {
    let mut blocks = vec![Holds::Header];
    for level in 0.. {
        let shift = level * arity.bits();
        let (mut first, end) = (from >> shift, to >> shift);
        if end == 0 {
            break;
        }
        while first < end {
            let count = (end - first).min(128);
            blocks.push(Holds::Nodes(level, first, count));
            first += count;
        }
    }
    let mut covered = blocks.len() - 1;
    loop {
        covered = covered.div_ceil(1024);
        blocks.extend(std::iter::repeat_n(Holds::Table, covered));
        if covered <= 1 {
            break;
        }
    }
    blocks.push(Holds::Footer);
    blocks
}

/// Everything the store answers equals what its leaves say, but for `lost` leaves, which are refused.
fn check(dir: &Path, arity: Arity, leaves: &[Hash], lost: std::ops::Range<usize>) {
    let store = open(dir, arity).unwrap();
    assert_eq!(store.size(), TreeSize(leaves.len() as u64));
    let head = TreeHead { size: store.size(), root: root_of(&Blake3, arity, leaves) };
    assert_eq!(store.head().unwrap(), head);
    for (index, leaf) in leaves.iter().enumerate() {
        let index = LeafIndex(index as u64);
        let found = store.leaf(index);
        if lost.contains(&usize::try_from(index.0).unwrap()) {
            assert!(matches!(found, Err(Error::Damaged(_))), "{found:?}");
            continue;
        }
        assert_eq!(found.unwrap(), *leaf);
        if index.0.is_multiple_of(61) {
            match store.prove(index) {
                Ok(proof) => proof.verify(&Blake3, arity, &head, index, leaf).unwrap(),
                Err(error) => assert!(!lost.is_empty(), "{error}"),
            }
        }
    }
    store.close().unwrap();
}

#[test]
fn an_intact_store_is_found_intact_to_the_last_byte() {
    for arity in Arity::ALL {
        for sizes in [&[][..], &[1], &[5000], &[4096, 1], &[1, 2, 3, 700, 4000, 70_000]] {
            let (dir, leaves) = store(arity, sizes, 9);
            let report = look(dir.path());
            assert!(report.is_clean(), "{arity} {sizes:?}: {:?}", report.findings);
            assert_eq!(report.leaves, leaves.len() as u64 - 9);
            assert_eq!(report.log_leaves, 9);
            assert_eq!(report.parts, sizes.len() as u64);
            let bytes: u64 =
                parts(dir.path()).iter().map(|part| part.metadata().unwrap().len()).sum();
            assert_eq!(report.part_bytes, bytes);
            let report = repair(dir.path());
            assert!(report.is_clean() && report.rebuilt.is_empty());
        }
    }
}

#[test]
fn a_changed_byte_in_any_block_is_found_and_repaired_unless_it_is_a_leaf() {
    for (arity, sizes) in [(Arity::Four, [1000, 300, 90]), (Arity::Two, [200, 1, 700])] {
        let (dir, leaves) = store(arity, &sizes, 3);
        let mut from = 0;
        for (number, size) in sizes.into_iter().enumerate() {
            let to = from + size;
            for (block, holds) in blocks(arity, from, to).into_iter().enumerate() {
                for at in [0, 17, 2000, BLOCK - 1] {
                    let copy = copy_of(dir.path());
                    let file = &parts(copy.path())[number];
                    edit(file, |bytes| bytes[block * BLOCK + at] ^= 0x10);
                    let what = format!("{arity} part {number} block {block} byte {at} {holds:?}");
                    one(copy.path(), arity, &leaves, holds, (block, at), &what);
                }
            }
            from = to;
        }
    }
}

fn one(
    dir: &Path,
    arity: Arity,
    leaves: &[Hash],
    holds: Holds,
    (block, at): (usize, usize),
    what: &str,
) {
    let report = look(dir);
    assert!(!report.is_clean(), "{what}: not found");
    let [finding] = &report.findings[..] else { panic!("{what}: {:#?}", report.findings) };
    assert_eq!(finding.blocks, Some(block as u64..block as u64 + 1), "{what}");
    let (element, lost) = match holds {
        Holds::Header => (Element::Header, None),
        Holds::Footer => (Element::Footer, None),
        Holds::Table => (Element::Checksums, None),
        Holds::Nodes(_, _, count) if at >= count * 32 => (Element::Padding, None),
        Holds::Nodes(0, first, count) => (Element::Leaves, Some(first..first + count)),
        Holds::Nodes(level, ..) => (Element::Nodes { level: u8::try_from(level).unwrap() }, None),
    };
    assert_eq!(finding.element, element, "{what}");
    let Some(lost) = lost else {
        assert_eq!(finding.remedy, Remedy::Rebuild, "{what}");
        let report = repair(dir);
        assert!(report.is_clean() && report.rebuilt.len() == 1, "{what}: {report:#?}");
        assert!(look(dir).findings.is_empty(), "{what}");
        check(dir, arity, leaves, 0..0);
        assert!(look(dir).findings.is_empty(), "{what}");
        return;
    };
    assert_eq!(finding.remedy, Remedy::None, "{what}");
    let range = lost.start as u64..lost.end as u64;
    assert_eq!(finding.leaves, Some(range), "{what}");
    let before = std::fs::read(&finding.damage.file).unwrap();
    let report = repair(dir);
    assert!(!report.is_clean() && report.rebuilt.is_empty(), "{what}");
    assert_eq!(std::fs::read(&finding.damage.file).unwrap(), before, "{what}: leaves changed");
    // Where opening needs one of the leaves it fails, else all others are there.
    match open(dir, arity) {
        Ok(store) => {
            store.close().unwrap();
            check(dir, arity, leaves, lost);
        }
        Err(error) => assert!(matches!(error, Error::Damaged(_)), "{what}: {error}"),
    }
}

#[test]
fn checksums_of_checksums_are_rebuilt() {
    let (dir, leaves) = store(Arity::Four, &[120_000], 0);
    let holds = blocks(Arity::Four, 0, 120_000);
    let tables: Vec<_> = (0..holds.len()).filter(|at| holds[*at] == Holds::Table).collect();
    assert_eq!(tables.len(), 3, "two tables, the first of two blocks");
    for damaged in [&tables[..1], &tables[1..2], &tables[2..], &tables[..]] {
        let copy = copy_of(dir.path());
        edit(&parts(copy.path())[0], |bytes| {
            damaged.iter().for_each(|block| bytes[block * BLOCK + 100] ^= 1);
        });
        let report = look(copy.path());
        assert_eq!(report.findings.len(), damaged.len(), "{:#?}", report.findings);
        assert!(report.findings.iter().all(|found| found.element == Element::Checksums));
        assert!(repair(copy.path()).is_clean());
        assert!(look(copy.path()).findings.is_empty());
    }
    // Tables, footer and header at once, with damaged nodes below: the root proves the leaves.
    let copy = copy_of(dir.path());
    edit(&parts(copy.path())[0], |bytes| {
        let len = bytes.len();
        bytes[..BLOCK].fill(0xff);
        bytes[tables[0] * BLOCK..len].fill(0xee);
        let level_1 = holds.iter().position(|holds| matches!(holds, Holds::Nodes(1, ..))).unwrap();
        bytes[level_1 * BLOCK..level_1 * BLOCK + 9 * BLOCK].fill(0x77);
    });
    let report = repair(copy.path());
    assert!(report.is_clean(), "{:#?}", report.findings);
    let store = open(copy.path(), Arity::Four).unwrap();
    assert_eq!(store.head().unwrap().root, root_of(&Blake3, Arity::Four, &leaves));
    store.close().unwrap();
    assert!(look(copy.path()).findings.is_empty());
}

#[test]
fn a_part_cut_short_behind_its_leaves_is_rebuilt_and_one_cut_in_them_is_not() {
    let (dir, leaves) = store(Arity::Four, &[300, 2000, 50], 1);
    let leaf_blocks = 2000_usize.div_ceil(128);
    for (keep, whole) in [(1 + leaf_blocks, true), (leaf_blocks, false), (1, false), (0, false)] {
        let copy = copy_of(dir.path());
        edit(&parts(copy.path())[1], |bytes| bytes.truncate(keep * BLOCK));
        let report = repair(copy.path());
        assert_eq!(report.is_clean(), whole, "{keep}: {:#?}", report.findings);
        if whole {
            check(copy.path(), Arity::Four, &leaves, 0..0);
        } else {
            let missing = report.findings.iter().find(|found| found.element == Element::Leaves);
            let lost = missing.unwrap().leaves.clone().unwrap();
            assert_eq!(lost, 300 + 128 * (keep.max(1) as u64 - 1)..2300);
        }
    }
}

#[test]
fn a_missing_part_is_named_with_its_leaves() {
    let (dir, _) = store(Arity::Four, &[300, 2000, 50], 1);
    let file = parts(dir.path())[1].clone();
    std::fs::remove_file(&file).unwrap();
    let report = repair(dir.path());
    let whole_file: Vec<&Finding> =
        report.findings.iter().filter(|finding| finding.element == Element::File).collect();
    assert_eq!(whole_file.len(), 1);
    assert_eq!(whole_file[0].damage.problem, Problem::Missing);
    assert_eq!(whole_file[0].damage.file, file);
    assert_eq!(whole_file[0].leaves, Some(300..2300));
    assert_eq!(whole_file[0].remedy, Remedy::None);
    assert!(report.rebuilt.is_empty());
}

#[test]
fn a_scrub_counts_the_leaves_that_it_saw() {
    let (dir, _) = store(Arity::Four, &[5000, 5000], 3);
    std::fs::remove_file(&parts(dir.path())[0]).unwrap();
    let report = look(dir.path());
    assert_eq!((report.leaves, report.parts, report.log_leaves), (5000, 1, 3));
    flip(&parts(dir.path())[0], 4096 + 9);
    let report = look(dir.path());
    assert_eq!(report.leaves, 5000 - 128);
}

#[test]
fn what_is_damaged_for_good_stays_refused_when_the_rest_is_rebuilt() {
    let (dir, leaves) = store(Arity::Four, &[3000, 1000], 2);
    let holds = blocks(Arity::Four, 0, 3000);
    let find = |wanted: &dyn Fn(&Holds) -> bool| holds.iter().position(wanted).unwrap();
    let leaf = find(&|holds| matches!(holds, Holds::Nodes(0, 384, _)));
    let node = find(&|holds| matches!(holds, Holds::Nodes(1, 256, _)));
    let table = find(&|holds| *holds == Holds::Table);
    for with_table in [false, true] {
        let copy = copy_of(dir.path());
        edit(&parts(copy.path())[0], |bytes| {
            bytes[leaf * BLOCK + 5] ^= 1;
            bytes[node * BLOCK + 5] ^= 1;
            if with_table {
                bytes[table * BLOCK + 4000] ^= 1;
            }
        });
        let report = repair(copy.path());
        let lost: Vec<_> = report.findings.iter().filter(|f| f.remedy == Remedy::None).collect();
        assert_eq!(lost.len(), 1, "{:#?}", report.findings);
        assert_eq!(lost[0].leaves, Some(384..512));
        assert_eq!(report.rebuilt.len(), 1);
        let again = look(copy.path());
        assert_eq!(again.findings.len(), 1, "{:#?}", again.findings);
        assert_eq!(again.findings[0].leaves, Some(384..512));
        assert_eq!(again.findings[0].remedy, Remedy::None);
        check(copy.path(), Arity::Four, &leaves, 384..512);
    }
}

#[test]
fn nodes_above_a_damaged_leaf_are_given_up_and_their_neighbours_are_not() {
    let (dir, leaves) = store(Arity::Four, &[3000], 0);
    let holds = blocks(Arity::Four, 0, 3000);
    let find = |wanted: &dyn Fn(&Holds) -> bool| holds.iter().position(wanted).unwrap();
    let leaf = find(&|holds| matches!(holds, Holds::Nodes(0, 384, _)));
    let above = find(&|holds| matches!(holds, Holds::Nodes(1, 0, _)));
    let beside = find(&|holds| matches!(holds, Holds::Nodes(1, 128, _)));
    edit(&parts(dir.path())[0], |bytes| {
        for block in [leaf, above, beside] {
            bytes[block * BLOCK + 5] ^= 1;
        }
    });
    let report = repair(dir.path());
    let of = |remedy| {
        let found = report.findings.iter().filter(move |found| found.remedy == remedy);
        found.map(|found| (found.element, found.leaves.clone().unwrap())).collect::<Vec<_>>()
    };
    let level_1 = Element::Nodes { level: 1 };
    assert_eq!(of(Remedy::None), [(Element::Leaves, 384..512), (level_1, 0..512)]);
    assert_eq!(of(Remedy::Rebuilt), [(level_1, 512..1024)]);
    check(dir.path(), Arity::Four, &leaves, 384..512);
}

#[test]
fn a_damaged_group_of_the_log_is_found() {
    let (dir, _) = store(Arity::Four, &[100], 5);
    let manifest = std::fs::read_dir(dir.path().join("wal")).unwrap();
    let mut found = 0;
    for entry in manifest {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        for block in 0..bytes.len() / BLOCK {
            if bytes[block * BLOCK..].starts_with(b"duraWAL\n") {
                let copy = copy_of(dir.path());
                let file = copy.path().join("wal").join(path.file_name().unwrap());
                edit(&file, |bytes| bytes[block * BLOCK + 140] ^= 1);
                let report = look(copy.path());
                found += report.findings.len();
                assert!(report.findings.iter().all(|f| f.element == Element::Log));
            }
        }
    }
    // The group before the checkpoint is not needed any more.
    assert_eq!(found, 5);
}

#[test]
fn an_entry_of_the_log_that_does_not_hash_to_its_leaf_is_found_under_right_checksums() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(config(dir.path())).unwrap();
    let tree = store.tree_with_entries::<Blake3, 4>("log", EntryConfig::new()).unwrap();
    tree.insert_entries(&["in a part"; 10]).unwrap();
    store.checkpoint().unwrap();
    tree.insert_entries(&["paid 10 to ann", "paid 20 to bob", ""]).unwrap();
    store.flush().unwrap();
    tree.insert_erased(&[[7; 32]], std::time::SystemTime::now(), "moved").unwrap();
    store.flush().unwrap();
    let online = || store.scrub(&Options::new(), &mut |_| ControlFlow::Continue(())).unwrap();
    let clean = [look(dir.path()), online()];
    assert!(clean.iter().all(Report::is_clean), "{clean:?}");
    assert_eq!(clean.map(|report| (report.log_leaves, report.log_entries)), [(4, 3); 2]);

    for entry in std::fs::read_dir(dir.path().join("wal")).unwrap() {
        edit(&entry.unwrap().path(), |bytes| {
            let text = b"paid 20";
            let Some(at) = bytes.windows(text.len()).position(|found| found == text) else {
                return;
            };
            bytes[at + 5] = b'9';
            let group = at / BLOCK * BLOCK;
            let len = u64::from_le_bytes(bytes[group + 72..][..8].try_into().unwrap());
            let len = usize::try_from(len).unwrap();
            duramen::testing::hostile::fix_group(&mut bytes[group..group + len]);
        });
    }
    for report in [look(dir.path()), online()] {
        let [finding] = &report.findings[..] else { panic!("{report:#?}") };
        assert_eq!(finding.element, Element::Log);
        assert_eq!(finding.damage.problem, Problem::NotTheEntry { index: 11 });
    }
    drop((tree, store));
    let opened = Store::open(config(dir.path())).unwrap_err();
    assert!(matches!(opened, Error::Damaged(_)), "{opened}");
}

#[test]
fn a_repair_is_refused_while_the_store_is_open_and_a_scrub_is_not() {
    let (dir, _) = store(Arity::Four, &[100], 5);
    let open = open(dir.path(), Arity::Four).unwrap();
    let error = run(dir.path(), &Options::new().repair(true)).unwrap_err();
    assert!(matches!(error, Error::Locked { .. }), "{error}");
    assert!(look(dir.path()).is_clean());
    open.close().unwrap();
}

#[test]
fn a_tree_of_an_unknown_hash_function_is_scrubbed_when_it_is_given() {
    let dir = tempfile::tempdir().unwrap();
    let other = || Arc::new(Other);
    let made = DynAccumulator::open(Config::new(dir.path()), other(), Arity::Two).unwrap();
    made.insert_many(&leaves(100, 5)).unwrap();
    made.checkpoint().unwrap();
    made.close().unwrap();
    let run =
        |config: Config| scrub::run(&config, &Options::new(), &mut |_| ControlFlow::Continue(()));
    let refused = run(Config::new(dir.path())).unwrap_err();
    assert!(matches!(&refused, Error::UnknownHasher { hasher, .. } if hasher == "other"));
    let report = run(Config::new(dir.path()).hasher(other())).unwrap();
    assert!(report.is_clean() && report.leaves == 100, "{report:?}");
}

/// A hash function that the crate does not have.
struct Other;

impl Hasher for Other {
    fn id(&self) -> HasherId {
        HasherId::new("other")
    }

    fn leaf(&self, data: &[u8]) -> Hash {
        Blake3.leaf(data)
    }

    fn node(&self, children: &[Hash]) -> Hash {
        let mut node = Blake3.node(children);
        node[0] ^= 1;
        node
    }

    fn empty_root(&self) -> Hash {
        [1; 32]
    }
}

#[test]
fn an_empty_directory_is_refused_and_stays_empty() {
    let run = |dir: &Path| {
        let go = &mut |_| ControlFlow::Continue(());
        scrub::run(&Config::new(dir), &Options::new(), go)
    };
    let empty = tempfile::tempdir().unwrap();
    assert!(matches!(run(empty.path()), Err(Error::NoStore { .. })));
    assert!(std::fs::read_dir(empty.path()).unwrap().next().is_none());
}

#[test]
fn a_store_is_scrubbed_while_leaves_come_and_checkpoints_are_made() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(open(dir.path(), Arity::Four).unwrap());
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let writer = std::thread::spawn({
        let (store, stop) = (Arc::clone(&store), Arc::clone(&stop));
        move || {
            let mut round = 0;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                store.insert_many(&leaves(1000, round)).unwrap();
                store.flush().unwrap();
                if round % 3 == 0 {
                    store.checkpoint().unwrap();
                }
                round += 1;
            }
            round
        }
    });
    for round in 0..40 {
        let options = match round % 2 {
            0 => Options::new(),
            _ => Options::new().bytes_per_second(1 << 30).unwrap(),
        };
        let report = store.scrub(&options, &mut |_| ControlFlow::Continue(())).unwrap();
        assert!(report.is_clean(), "{:#?}", report.findings);
        let beside = look(dir.path());
        assert!(beside.is_clean(), "{:#?}", beside.findings);
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    assert!(writer.join().unwrap() > 0);
    store.checkpoint().unwrap();
    // Closing ends the merges. One that is under way would read the part that is damaged now, and
    // remove it.
    Arc::into_inner(store).unwrap().close().unwrap();
    let apart = config(dir.path()).compaction_policy(CompactionPolicy::Off);
    let store = DynAccumulator::open(apart, Arc::new(Blake3), Arity::Four).unwrap();
    let file = parts(dir.path()).pop().unwrap();
    flip(&file, BLOCK as u64 + 1);
    let report = store.scrub(&Options::new(), &mut |_| ControlFlow::Continue(())).unwrap();
    assert_eq!(report.findings.len(), 1);
    assert_eq!(report.findings[0].element, Element::Leaves);
}

/// A store of trees with three parts each.
fn store_of_trees(dir: &Path, trees: usize) -> Store {
    let policy = config(dir).compaction_policy(CompactionPolicy::Off);
    let store = Store::open(policy).unwrap();
    for round in 0..3 {
        for tree in 0..trees {
            let tree =
                store.tree_dyn(format!("tree {tree}"), TreeConfig::of::<Blake3, 4>()).unwrap();
            tree.insert_many(&leaves(100, round)).unwrap();
        }
        store.checkpoint().unwrap();
    }
    store
}

#[test]
fn a_scrub_has_the_files_of_one_tree_open_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    store_of_trees(dir.path(), 40).close().unwrap();
    let place = dir.path().canonicalize().unwrap().join("parts");
    let open = || {
        let all = std::fs::read_dir("/proc/self/fd").unwrap();
        let paths = all.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
        paths.filter(|path| path.starts_with(&place)).count()
    };
    let (mut most, mut last) = (0, 0);
    let mut progress = |progress: scrub::Progress| {
        most = most.max(open());
        assert!(progress.done >= last && progress.done <= progress.total, "{progress:?}");
        last = progress.done;
        ControlFlow::Continue(())
    };
    let report = scrub::run(&Config::new(dir.path()), &Options::new(), &mut progress).unwrap();
    assert_eq!((report.parts, report.leaves, report.part_bytes), (120, 12_000, last));
    // The directory is one of them, where it is open.
    assert!((3..=4).contains(&most), "{most}");
}

#[test]
fn trees_that_change_during_a_scrub_are_verified_as_they_are_then() {
    let dir = tempfile::tempdir().unwrap();
    let store = store_of_trees(dir.path(), 4);
    for inside in [true, false] {
        let name = if inside { "tree 1" } else { "tree 2" };
        let mut first = true;
        let mut progress = |_| {
            if std::mem::take(&mut first) {
                drop(store.drop_tree(name).unwrap());
                let tree = store.existing_tree("tree 3").unwrap();
                tree.insert_many(&leaves(200, 9)).unwrap();
                store.checkpoint().unwrap();
            }
            ControlFlow::Continue(())
        };
        let report = match inside {
            true => store.scrub(&Options::new(), &mut progress).unwrap(),
            false => scrub::run(&Config::new(dir.path()), &Options::new(), &mut progress).unwrap(),
        };
        assert!(report.is_clean(), "{:#?}", report.findings);
        let names: Vec<_> = report.head.trees().iter().map(|tree| tree.name.as_str()).collect();
        assert!(!names.contains(&name) && names.contains(&"tree 3"), "{names:?}");
    }
    // Their parts are merged, and the old ones are gone.
    store.close().unwrap();
    let merging = config(dir.path()).compaction_policy(CompactionPolicy::tiered(2).unwrap());
    let mut first = true;
    let mut progress = |_| {
        if std::mem::take(&mut first) {
            let store = Store::open(merging.clone()).unwrap();
            store.existing_tree("tree 3").unwrap().insert_many(&leaves(200, 1)).unwrap();
            store.checkpoint().unwrap();
            store.wait_idle();
            assert!(store.stats().compactions > 0);
            store.close().unwrap();
        }
        ControlFlow::Continue(())
    };
    let report = scrub::run(&Config::new(dir.path()), &Options::new(), &mut progress).unwrap();
    assert!(report.is_clean(), "{:#?}", report.findings);
    let newest = Store::open(config(dir.path())).unwrap().head().unwrap();
    assert_eq!(report.head.trees().last(), newest.trees().last());
}

#[test]
fn a_scrub_ends_early_when_it_is_told_to() {
    let (dir, _) = store(Arity::Four, &[100_000], 5);
    let mut calls = 0;
    let report = scrub::run(
        &Config::new(dir.path()),
        &Options::new().bytes_per_second(u64::MAX).unwrap(),
        &mut |progress| {
            calls += 1;
            assert!(progress.done <= progress.total);
            if calls == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        },
    )
    .unwrap();
    assert!(report.interrupted);
    assert_eq!(calls, 2);
}
