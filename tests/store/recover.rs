//! A new store from the parts and the log of one whose manifests are gone or damaged.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use duramen::recover::{self, Options, Recovered};
use duramen::testing::hostile::fix_group;
use duramen::{
    Arity, Blake3, CheckpointPolicy, CompactionPolicy, Config, DynAccumulator, EntryConfig, Error,
    FlushPolicy, Hash, Rfc6962Sha256, Store, TreeConfig, TreeHead,
};
use testkit::stores::{copy_of, leaves, root_of, tree};

const BLOCK: usize = 4096;

fn config(dir: &Path) -> Config {
    Config::new(dir)
        .flush_policy(FlushPolicy::Manual)
        .checkpoint_policy(CheckpointPolicy::manual())
        .compaction_policy(CompactionPolicy::Off)
        .wal_segment_bytes(64 << 10)
        .unwrap()
}

/// Leaves in three parts and in several groups and segments of the log: 1000, 300, 90 and 3000.
const PARTS: usize = 1390;
const ALL: usize = PARTS + 3000;

fn store() -> (tempfile::TempDir, Vec<Hash>) {
    let dir = tempfile::tempdir().unwrap();
    let store = DynAccumulator::open(config(dir.path()), Arc::new(Blake3), Arity::Four).unwrap();
    let all = leaves(ALL, 7);
    let mut at = 0;
    for size in [1000, 300, 90] {
        store.insert_many(&all[at..at + size]).unwrap();
        store.checkpoint().unwrap();
        at += size;
    }
    for leaves in all[at..].chunks(500) {
        store.insert_many(leaves).unwrap();
        store.flush().unwrap();
    }
    store.close().unwrap();
    (dir, all)
}

fn files(dir: &Path, inner: &str) -> Vec<PathBuf> {
    let files = std::fs::read_dir(dir.join(inner)).unwrap();
    let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    files.sort();
    files
}

fn remove(dir: &Path, inner: &str) {
    files(dir, inner).iter().for_each(|file| std::fs::remove_file(file).unwrap());
}

/// Recovers into a new directory, and checks that the damaged store is as it was.
fn recovered(dir: &Path, options: &Options) -> (tempfile::TempDir, Recovered) {
    let new = tempfile::tempdir().unwrap();
    let before = tree(dir);
    let report = recover::run(&Config::new(dir), &Config::new(new.path()), options).unwrap();
    assert!(tree(dir) == before, "the damaged store was changed");
    (new, report)
}

fn named() -> Options {
    Options::new().name(0, "main").unwrap()
}

/// The tree `main` in `dir` has these leaves, and goes on.
fn check(dir: &Path, all: &[Hash]) {
    let store = DynAccumulator::open(config(dir).create(false), Arc::new(Blake3), Arity::Four);
    let store = store.unwrap();
    assert_eq!(store.leaves(0..store.size().get()).unwrap(), all);
    assert_eq!(store.head().unwrap().root, root_of(&Blake3, Arity::Four, all));
    store.insert_durable([1; 32]).unwrap();
    store.close().unwrap();
}

fn head(all: &[Hash]) -> TreeHead {
    let root = root_of(&Blake3, Arity::Four, all);
    TreeHead { size: (all.len() as u64).into(), root }
}

#[test]
fn without_a_manifest_parts_and_log_give_everything() {
    let (dir, all) = store();
    remove(dir.path(), "manifest");
    let (new, report) = recovered(dir.path(), &named());
    assert!(report.is_whole(), "{report:#?}");
    let [tree] = &report.trees[..] else { panic!("{report:#?}") };
    assert_eq!((tree.head, tree.known, tree.from_log), (head(&all), ALL as u64, 3000));
    assert_eq!((report.manifest, tree.name_is_known), (None, false));
    assert!(report.unproven.is_empty() && report.skipped.is_empty(), "{report:#?}");
    assert_ne!(report.old_store, report.store);
    check(new.path(), &all);
    // Nothing says the name.
    let (_, report) = recovered(dir.path(), &Options::new());
    assert_eq!(report.trees[0].name.as_str(), "tree-0");
}

#[test]
fn a_damaged_newest_manifest_is_passed_over_for_an_older_one() {
    let (dir, all) = store();
    let manifest = files(dir.path(), "manifest").pop().unwrap();
    let mut bytes = std::fs::read(&manifest).unwrap();
    bytes[40] ^= 1;
    std::fs::write(&manifest, bytes).unwrap();
    let opened = DynAccumulator::open(config(dir.path()), Arc::new(Blake3), Arity::Four);
    assert!(matches!(opened, Err(Error::Damaged(_))));
    let (new, report) = recovered(dir.path(), &Options::new());
    assert!(report.is_whole(), "{report:#?}");
    assert!(report.manifest.is_some() && report.trees[0].name_is_known);
    assert_eq!(report.skipped.len(), 1, "{:?}", report.skipped);
    check(new.path(), &all);
}

#[test]
fn without_a_log_the_parts_are_there() {
    let (dir, all) = store();
    remove(dir.path(), "manifest");
    remove(dir.path(), "wal");
    let (new, report) = recovered(dir.path(), &named());
    // Nothing knows of more.
    assert!(report.is_whole(), "{report:#?}");
    assert_eq!(report.trees[0].head, head(&all[..PARTS]));
    check(new.path(), &all[..PARTS]);
}

#[test]
fn what_is_missing_ends_the_tree_and_is_named() {
    let (dir, all) = store();
    remove(dir.path(), "manifest");
    for (number, range) in [(0, 0..1000), (1, 1000..1300), (2, 1300..1390)] {
        let copy = copy_of(dir.path());
        remove(copy.path(), "wal");
        std::fs::remove_file(&files(copy.path(), "parts")[number]).unwrap();
        let (new, report) = recovered(copy.path(), &named());
        let tree = &report.trees[0];
        let start = usize::try_from(range.start).unwrap();
        assert_eq!(tree.head.size.get(), range.start, "part {number}");
        // Of the last part nothing is left that could be missed.
        assert_eq!(report.is_whole(), number == 2, "{report:#?}");
        // What lies behind is there, and cannot be taken.
        let missing = tree.missing.first().map(|missing| missing.start);
        assert_eq!(missing, Some(range.start).filter(|_| number < 2));
        check(new.path(), &all[..start]);
    }
    // A damaged block of leaves ends it in the middle of a part.
    let copy = copy_of(dir.path());
    remove(copy.path(), "wal");
    let part = files(copy.path(), "parts").remove(0);
    let mut bytes = std::fs::read(&part).unwrap();
    bytes[3 * BLOCK + 9] ^= 1;
    std::fs::write(&part, bytes).unwrap();
    let (new, report) = recovered(copy.path(), &named());
    assert_eq!((report.is_whole(), report.trees[0].head.size.get()), (false, 256));
    assert!(report.skipped.iter().any(|skipped| skipped.file == part), "{report:#?}");
    check(new.path(), &all[..256]);
}

/// The manifest says how much of a part counts, also where the part behind it is gone.
#[test]
fn leaves_that_a_rewind_dropped_do_not_come_back_where_a_part_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    let store = DynAccumulator::open(config(dir.path()), Arc::new(Blake3), Arity::Four).unwrap();
    let all = leaves(3000, 7);
    store.insert_many(&all[..2000]).unwrap();
    store.checkpoint().unwrap();
    store.rewind(1500).unwrap();
    store.insert_many(&all[2000..]).unwrap();
    store.checkpoint().unwrap();
    store.close().unwrap();
    let parts = files(dir.path(), "parts");
    std::fs::remove_file(&parts[1]).unwrap();
    remove(dir.path(), "wal");
    let (new, report) = recovered(dir.path(), &Options::new());
    assert!(!report.is_whole(), "{report:#?}");
    check(new.path(), &all[..1500]);
}

#[test]
fn a_damaged_group_of_the_log_costs_what_is_behind_it() {
    let (dir, all) = store();
    remove(dir.path(), "manifest");
    let mut ended = 0;
    for number in 0..files(dir.path(), "wal").len() {
        let copy = copy_of(dir.path());
        let segment = files(copy.path(), "wal").remove(number);
        let mut bytes = std::fs::read(&segment).unwrap();
        if bytes.iter().all(|byte| *byte == 0) {
            continue;
        }
        bytes[200] ^= 1;
        std::fs::write(&segment, bytes).unwrap();
        let (new, report) = recovered(copy.path(), &named());
        let tree = &report.trees[0];
        let size = usize::try_from(tree.head.size.get()).unwrap();
        assert!((PARTS..=ALL).contains(&size), "{report:#?}");
        ended += usize::from(size < ALL);
        check(new.path(), &all[..size]);
    }
    assert!(ended > 0);
}

#[test]
fn a_part_of_another_history_is_not_taken() {
    let dir = tempfile::tempdir().unwrap();
    let open =
        |dir: &Path| DynAccumulator::open(config(dir), Arc::new(Blake3), Arity::Four).unwrap();
    open(dir.path()).close().unwrap();
    let other = copy_of(dir.path());
    for (place, seed) in [(dir.path(), 1), (other.path(), 2)] {
        let store = open(place);
        for leaves in leaves(2000, seed).chunks(1000) {
            store.insert_many(leaves).unwrap();
            store.checkpoint().unwrap();
        }
        store.close().unwrap();
    }
    let second = |dir: &Path| files(dir, "parts").remove(1);
    std::fs::copy(second(other.path()), second(dir.path())).unwrap();
    remove(dir.path(), "manifest");
    remove(dir.path(), "wal");
    let (new, report) = recovered(dir.path(), &named());
    assert!(!report.is_whole());
    assert_eq!(report.trees[0].head, head(&leaves(2000, 1)[..1000]));
    assert_eq!(report.skipped.len(), 1, "{report:#?}");
    check(new.path(), &leaves(2000, 1)[..1000]);
}

/// Bytes that were chosen as leaves, and look like a group of the log.
#[test]
fn leaves_that_look_like_groups_are_not_taken_for_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let store = DynAccumulator::open(config(dir.path()), Arc::new(Blake3), Arity::Four).unwrap();
    let all = leaves(100, 1);
    store.insert_many(&all[..50]).unwrap();
    store.checkpoint().unwrap();
    store.insert_many(&all[50..]).unwrap();
    store.flush().unwrap();
    store.close().unwrap();
    remove(dir.path(), "manifest");
    // A forger knows no life. The rest of a group can be foreseen, and the header of the first one serves as an example.
    let segment = files(dir.path(), "wal").remove(0);
    let mut bytes = std::fs::read(&segment).unwrap();
    let len = u64::from_le_bytes(bytes[72..80].try_into().unwrap());
    let len = usize::try_from(len).unwrap();
    let mut forged = bytes[..len].to_vec();
    let at = 8 * BLOCK;
    forged[16] ^= 1;
    forged[56..64].copy_from_slice(&(at as u64).to_le_bytes());
    fix_group(&mut forged);
    bytes[at..at + len].copy_from_slice(&forged);
    std::fs::write(&segment, &bytes).unwrap();
    let (_, report) = recovered(dir.path(), &named());
    assert_eq!(report.trees[0].head, head(&all), "{report:#?}");
    assert_eq!(report.log_groups, 2);

    // Without the first group nothing shows what is the store's.
    bytes[..BLOCK].fill(0);
    std::fs::write(&segment, &bytes).unwrap();
    let (_, report) = recovered(dir.path(), &named());
    assert_eq!(report.trees[0].head, head(&all[..50]), "{report:#?}");
    assert!(report.skipped.iter().any(|skipped| skipped.reason.contains("nothing shows")));
    let (_, report) = recovered(dir.path(), &named().unproven_log(true));
    assert_eq!(report.trees[0].head, head(&all), "{report:#?}");
    assert_eq!(report.unproven.len(), 1);
}

#[test]
fn a_tree_of_which_only_the_log_has_leaves_is_reported() {
    let dir = tempfile::tempdir().unwrap();
    let store = DynAccumulator::open(config(dir.path()), Arc::new(Blake3), Arity::Four).unwrap();
    store.insert_many(&leaves(100, 1)).unwrap();
    store.flush().unwrap();
    store.close().unwrap();
    remove(dir.path(), "manifest");
    // The first tree is created with the store, so the log has no record of it.
    let (_, report) = recovered(dir.path(), &named());
    assert_eq!((report.unknown_trees.as_slice(), report.is_whole()), (&[0][..], false));
}

fn entry(index: u64) -> Vec<u8> {
    format!("entry {index} {}", "x".repeat(usize::try_from(index % 40).unwrap())).into_bytes()
}

#[test]
fn three_trees_come_back_with_entries_erasures_and_names_from_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(config(dir.path())).unwrap();
    let kept = EntryConfig::new();
    let log = store.tree_with_entries::<Rfc6962Sha256, 2>("log", kept).unwrap();
    let plain = store.tree::<Blake3, 4>("plain").unwrap();
    log.insert_entries(&(0..700).map(entry).collect::<Vec<_>>()).unwrap();
    plain.insert_many(&leaves(500, 5)).unwrap();
    drop(log.erase(7, "before the checkpoint").unwrap());
    store.checkpoint().unwrap();
    log.insert_entries(&(700..900).map(entry).collect::<Vec<_>>()).unwrap();
    drop(log.erase([8, 800], "in the log").unwrap());
    let late = store.tree_dyn("late", TreeConfig::of::<Blake3, 8>()).unwrap();
    late.insert_many(&leaves(30, 6)).unwrap();
    store.flush().unwrap();
    let heads = store.head().unwrap();
    drop((log, plain, late));
    store.close().unwrap();
    for with_older in [false, true] {
        let copy = copy_of(dir.path());
        let manifests = files(copy.path(), "manifest");
        let newest = manifests.last().unwrap();
        match with_older {
            true => std::fs::write(newest, "damaged").unwrap(),
            false => remove(copy.path(), "manifest"),
        }
        let options = Options::new().name(0, "log").unwrap().name(1, "plain").unwrap();
        let (new, report) = recovered(copy.path(), &options);
        assert!(report.is_whole(), "{report:#?}");
        let found: Vec<_> =
            report.trees.iter().map(|tree| (tree.name.as_str(), tree.head)).collect();
        let mut expected: Vec<_> =
            heads.trees().iter().map(|tree| (tree.name.as_str(), tree.head)).collect();
        expected.sort_by_key(|(name, _)| ["log", "plain", "late"].iter().position(|n| n == name));
        assert_eq!(found, expected);
        assert_eq!(report.trees[0].erased, 3);
        assert!(report.trees[2].name_is_known, "the log says it");
        let store = Store::open(config(new.path()).create(false)).unwrap();
        let log = store.existing_tree("log").unwrap();
        for index in 0..900 {
            match log.entry(index) {
                Ok(found) => assert_eq!(found[..], entry(index)),
                Err(error) => {
                    assert!(matches!(error, Error::Erased { .. }), "{error}");
                    assert!([7, 8, 800].contains(&index), "{index}");
                }
            }
        }
        let reasons: Vec<_> = log.erasures().unwrap();
        assert!(reasons.iter().any(|erasure| erasure.reason == "in the log"));
        drop(log);
        store.close().unwrap();
    }
    // An entry that cannot be read costs the entry alone.
    let copy = copy_of(dir.path());
    remove(copy.path(), "manifest");
    let part = files(copy.path(), "parts").remove(0);
    let mut bytes = std::fs::read(&part).unwrap();
    let at = bytes.windows(9).position(|found| found == b"entry 50 ").unwrap();
    bytes[at] ^= 1;
    std::fs::write(&part, bytes).unwrap();
    let (new, report) = recovered(copy.path(), &Options::new());
    assert!(!report.is_whole() && !report.trees[0].lost_entries.is_empty(), "{report:#?}");
    assert_eq!(report.trees[0].head.size.get(), 900);
    drop(new);
}

#[test]
fn a_target_with_files_and_a_directory_without_a_store_are_refused() {
    let (dir, _) = store();
    let full = tempfile::tempdir().unwrap();
    std::fs::write(full.path().join("notes"), "mine").unwrap();
    let into = |dir: &Path, new: &Path| {
        recover::run(&Config::new(dir), &Config::new(new), &Options::new()).unwrap_err()
    };
    assert!(matches!(into(dir.path(), full.path()), Error::NotEmpty { .. }));
    assert!(matches!(into(dir.path(), dir.path()), Error::NotEmpty { .. }));
    let (empty, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    assert!(matches!(into(empty.path(), new.path()), Error::NoStore { .. }));
}

/// The log has the frontier, so nothing is missing.
#[test]
fn a_tree_behind_a_frontier_comes_back_from_the_log() {
    for (more, sealed) in [(0, false), (0, true), (700, false)] {
        let dir = tempfile::tempdir().unwrap();
        let all = leaves(1000 + more, 5);
        let mut whole = duramen::MemoryAccumulator::<Blake3, 4>::new();
        whole.extend(&all[..1000]).unwrap();
        let frontier = whole.snapshot().frontier().unwrap();
        whole.extend(&all[1000..]).unwrap();
        let store = Store::open(config(dir.path())).unwrap();
        let kind = || TreeConfig::new(Arc::new(Blake3), Arity::Four);
        let tree = store.tree_dyn("shard", kind().begun_behind(frontier.clone()).unwrap()).unwrap();
        tree.insert_many(&all[1000..]).unwrap();
        if sealed {
            drop(store.seal("shard").unwrap());
        }
        store.flush().unwrap();
        drop(tree);
        store.close().unwrap();
        remove(dir.path(), "manifest");
        let (new, report) = recovered(dir.path(), &Options::new());
        let shard = report.trees.iter().find(|tree| tree.name.as_str() == "shard").unwrap();
        assert_eq!((shard.known, shard.missing.len()), (all.len() as u64, 0));
        assert_eq!(shard.head, whole.head().unwrap());
        let store = Store::open(config(new.path())).unwrap();
        let tree = store.existing_tree("shard").unwrap();
        assert_eq!((tree.base().get(), tree.head().unwrap()), (1000, whole.head().unwrap()));
        assert_eq!(tree.insert([1; 32]).is_err(), sealed);
    }
}
