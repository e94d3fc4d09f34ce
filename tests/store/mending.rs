//! A repair that takes from a backup what the store cannot rebuild, and takes nothing that is not proven.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use duramen::fs::{FileKind, FileName};
use duramen::scrub::{self, Element, Options, Remedy, Report};
use duramen::testing::sim::{CrashChoice, SimDisk};
use duramen::{
    Arity, Blake3, CheckpointPolicy, CompactionPolicy, Compression, Config, DynAccumulator,
    EntryConfig, Error, FlushPolicy, Hash, Store,
};
use testkit::stores::{copy_of, leaves, root_of};

const BLOCK: usize = 4096;

fn config(dir: &Path) -> Config {
    Config::new(dir)
        .flush_policy(FlushPolicy::Manual)
        .checkpoint_policy(CheckpointPolicy::manual())
        .compaction_policy(CompactionPolicy::Off)
        .wal_segment_bytes(64 << 10)
        .unwrap()
}

fn open(dir: &Path, arity: Arity) -> DynAccumulator {
    DynAccumulator::open(config(dir), Arc::new(Blake3), arity).unwrap()
}

/// A store with a part for each of `sizes`, and three leaves in the log.
fn store(arity: Arity, sizes: &[usize]) -> (tempfile::TempDir, Vec<Hash>) {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), arity);
    let all = leaves(sizes.iter().sum::<usize>() + 3, 7);
    let mut at = 0;
    for size in sizes {
        store.insert_many(&all[at..at + size]).unwrap();
        store.checkpoint().unwrap();
        at += size;
    }
    store.insert_many(&all[at..]).unwrap();
    store.flush().unwrap();
    store.close().unwrap();
    (dir, all)
}

fn mend_with(dir: &Path, backup: &Path, repair: bool) -> Result<Report, Error> {
    let options = Options::new().repair(repair).backup(&Config::new(backup))?;
    scrub::run(&Config::new(dir), &options, &mut |_| ControlFlow::Continue(()))
}

fn mend(dir: &Path, backup: &Path) -> Report {
    mend_with(dir, backup, true).unwrap()
}

fn look(dir: &Path) -> Report {
    scrub::run(&Config::new(dir), &Options::new(), &mut |_| ControlFlow::Continue(())).unwrap()
}

fn parts(dir: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(dir.join("parts")).unwrap();
    let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    files.sort();
    files
}

fn edit(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = std::fs::read(path).unwrap();
    change(&mut bytes);
    std::fs::write(path, bytes).unwrap();
}

/// Every leaf, the root, and proofs are those of `all`, also after the store was opened and closed.
fn check(dir: &Path, arity: Arity, all: &[Hash], what: &str) {
    let store = open(dir, arity);
    let head = store.head().unwrap();
    assert_eq!(head.root, root_of(&Blake3, arity, all), "{what}");
    assert_eq!(store.leaves(0..all.len() as u64).unwrap(), all, "{what}");
    for index in (0..all.len()).step_by(37) {
        let proof = store.prove(index as u64).unwrap();
        proof.verify(&Blake3, arity, &head, (index as u64).into(), &all[index]).unwrap();
    }
    store.close().unwrap();
    let again = look(dir);
    assert!(again.findings.is_empty(), "{what}: {:#?}", again.findings);
}

/// The bytes of a part between header and footer, which have its number.
fn inside(path: &Path) -> Vec<u8> {
    let bytes = std::fs::read(path).unwrap();
    bytes[BLOCK..bytes.len() - BLOCK].to_vec()
}

#[test]
fn every_block_of_a_store_is_mended_from_a_backup() {
    for (arity, sizes) in [(Arity::Four, [1000, 300, 90]), (Arity::Two, [200, 1, 700])] {
        let (dir, all) = store(arity, &sizes);
        let backup = copy_of(dir.path());
        for (number, part) in parts(dir.path()).into_iter().enumerate() {
            let before = inside(&part);
            let blocks = before.len() / BLOCK + 2;
            for block in 0..blocks {
                let copy = copy_of(dir.path());
                let file = &parts(copy.path())[number];
                edit(file, |bytes| bytes[block * BLOCK + 5] ^= 0x10);
                let what = format!("{arity} part {number} block {block}");
                let seen = mend_with(copy.path(), backup.path(), false).unwrap();
                assert!(!seen.is_clean() && seen.rebuilt.is_empty(), "{what}");
                let report = mend(copy.path(), backup.path());
                assert!(report.is_clean(), "{what}: {:#?}", report.findings);
                let [finding] = &report.findings[..] else { panic!("{what}: {report:#?}") };
                let taken = finding.element == Element::Leaves;
                let remedy = if taken { Remedy::Taken } else { Remedy::Rebuilt };
                assert_eq!(finding.remedy, remedy, "{what}");
                assert_eq!(report.backup.as_deref(), Some(backup.path()));
                let written = parts(copy.path()).pop().unwrap();
                assert!(
                    report.rebuilt[0].ends_with(written.file_name().unwrap().to_str().unwrap())
                );
                assert!(inside(&written) == before, "{what}: other bytes");
                check(copy.path(), arity, &all, &what);
            }
        }
    }
}

#[test]
fn a_part_that_is_missing_cut_short_or_overwritten_comes_from_a_backup() {
    let (dir, all) = store(Arity::Four, &[1000, 3000, 90]);
    let backup = copy_of(dir.path());
    for number in 0..4 {
        for keep in [None, Some(0), Some(1), Some(3), Some(5)] {
            let copy = copy_of(dir.path());
            let files = parts(copy.path());
            // The last round damages all of them.
            for file in files.iter().enumerate().filter(|(at, _)| number == 3 || *at == number) {
                match keep {
                    None => std::fs::remove_file(file.1).unwrap(),
                    Some(5) => edit(file.1, |bytes| bytes[BLOCK..].fill(0xee)),
                    Some(blocks) => edit(file.1, |bytes| bytes.truncate(blocks * BLOCK)),
                }
            }
            let what = format!("part {number}, {keep:?}");
            let report = mend(copy.path(), backup.path());
            assert!(report.is_clean(), "{what}: {:#?}", report.findings);
            check(copy.path(), Arity::Four, &all, &what);
        }
    }
}

#[test]
fn a_backup_with_other_leaves_changes_nothing() {
    let arity = Arity::Four;
    let dir = tempfile::tempdir().unwrap();
    open(dir.path(), arity).close().unwrap();
    // The same store, with another history under right checksums.
    let backup = copy_of(dir.path());
    let all = leaves(2000, 7);
    for (place, leaves) in [(dir.path(), all.clone()), (backup.path(), leaves(2000, 8))] {
        let store = open(place, arity);
        store.insert_many(&leaves).unwrap();
        store.checkpoint().unwrap();
        store.close().unwrap();
    }
    // Leaves below intact parents, leaves whose parents are damaged too, and a part that is gone.
    let leaf = 3 * BLOCK + 9;
    let parent = (1 + 16) * BLOCK + 9;
    let damages: [&dyn Fn(&Path); 3] = [
        &|file| edit(file, |bytes| bytes[leaf] ^= 1),
        &|file| edit(file, |bytes| [leaf, parent].iter().for_each(|at| bytes[*at] ^= 1)),
        &|file| std::fs::remove_file(file).unwrap(),
    ];
    for (number, damage) in damages.into_iter().enumerate() {
        let copy = copy_of(dir.path());
        damage(&parts(copy.path())[0]);
        let before = testkit::stores::tree(copy.path());
        let report = mend(copy.path(), backup.path());
        assert!(!report.is_clean() && report.rebuilt.is_empty(), "{number}: {report:#?}");
        assert!(report.findings.iter().all(|found| found.remedy == Remedy::None), "{number}");
        assert!(report.findings.iter().all(|found| found.element != Element::Root), "{number}");
        assert!(testkit::stores::tree(copy.path()) == before, "{number}: something was written");
    }
    // A block is right, and only its checksum is not.
    let copy = copy_of(dir.path());
    let file = parts(copy.path())[0].clone();
    let table = std::fs::read(&file).unwrap().len() - 2 * BLOCK;
    edit(&file, |bytes| bytes[table + 8] ^= 1);
    let report = mend(copy.path(), backup.path());
    let remedies: Vec<_> = report.findings.iter().map(|f| (f.element, f.remedy)).collect();
    assert_eq!(remedies, [(Element::Checksums, Remedy::Rebuilt)]);
    check(copy.path(), arity, &all, "a damaged checksum");
    // What can be rebuilt without the backup is, beside leaves that it has otherwise.
    let copy = copy_of(dir.path());
    let other_parent = (1 + 16 + 3) * BLOCK + 9;
    edit(&parts(copy.path())[0], |bytes| {
        bytes[leaf] ^= 1;
        bytes[other_parent] ^= 1;
    });
    let report = mend(copy.path(), backup.path());
    let remedies: Vec<_> = report.findings.iter().map(|f| (f.element, f.remedy)).collect();
    let nodes = Element::Nodes { level: 1 };
    assert_eq!(remedies, [(Element::Leaves, Remedy::None), (nodes, Remedy::Rebuilt)]);
}

#[test]
fn a_wrong_leaf_of_a_backup_spoils_neither_its_right_ones_nor_the_rest() {
    let arity = Arity::Four;
    let dir = tempfile::tempdir().unwrap();
    open(dir.path(), arity).close().unwrap();
    let backup = copy_of(dir.path());
    let all = leaves(2000, 7);
    let mut wrong = all.clone();
    wrong[700][0] ^= 1;
    for (place, leaves) in [(dir.path(), &all), (backup.path(), &wrong)] {
        let store = open(place, arity);
        store.insert_many(leaves).unwrap();
        store.checkpoint().unwrap();
        store.close().unwrap();
    }
    // The leaves 256 to 383, and 640 to 767, of which one is wrong in the backup.
    edit(&parts(dir.path())[0], |bytes| {
        [3 * BLOCK, 6 * BLOCK].iter().for_each(|at| bytes[at + 9] ^= 1);
    });
    let report = mend(dir.path(), backup.path());
    let remedies: Vec<_> = report.findings.iter().map(|f| (f.leaves.clone(), f.remedy)).collect();
    assert_eq!(remedies, [(Some(256..384), Remedy::Taken), (Some(640..768), Remedy::None)]);
    let store = open(dir.path(), arity);
    assert_eq!(store.leaves(256..384).unwrap(), all[256..384]);
    assert!(matches!(store.leaf(700), Err(Error::Damaged(_))));
}

#[test]
fn a_backup_of_another_store_is_refused_with_both_ids() {
    let ((dir, _), (other, _)) = (store(Arity::Four, &[100]), store(Arity::Four, &[100]));
    for repair in [false, true] {
        let error = mend_with(dir.path(), other.path(), repair).unwrap_err();
        let id = |dir| duramen::StoreReader::open(Config::new(dir)).unwrap().store_id();
        let Error::BackupOfOther { store, found, .. } = &error else { panic!("{error}") };
        assert_eq!((store, found), (&id(dir.path()), &id(other.path())));
        let text = error.to_string();
        assert!(text.contains(store) && text.contains(found), "{text}");
    }
    let empty = tempfile::tempdir().unwrap();
    let missing = mend_with(dir.path(), empty.path(), true).unwrap_err();
    assert!(matches!(missing, Error::NoStore { .. }), "{missing}");
}

#[test]
fn an_older_backup_gives_what_it_has_also_from_its_log() {
    let dir = tempfile::tempdir().unwrap();
    let all = leaves(2000, 7);
    let store = open(dir.path(), Arity::Four);
    store.insert_many(&all[..500]).unwrap();
    store.checkpoint().unwrap();
    store.insert_many(&all[500..1000]).unwrap();
    let copies = tempfile::tempdir().unwrap();
    let backup = copies.path().join("copy");
    store.snapshot_to(&backup).unwrap();
    store.insert_many(&all[1000..]).unwrap();
    store.checkpoint().unwrap();
    store.close().unwrap();
    let part = |dir: &Path| parts(dir).pop().unwrap();
    // The second part begins with leaf 500: those from 628 on are in the backup's log, those from 1140 on nowhere.
    for (block, whole) in [(1, true), (2, true), (3, true), (4, false), (6, false)] {
        let copy = copy_of(dir.path());
        edit(&part(copy.path()), |bytes| bytes[block * BLOCK + 1] ^= 1);
        let report = mend(copy.path(), &backup);
        assert_eq!(report.is_clean(), whole, "block {block}: {:#?}", report.findings);
        if whole {
            check(copy.path(), Arity::Four, &all, "from an older backup");
        }
    }
}

fn entry(index: u64) -> Vec<u8> {
    format!("entry {index} {}", "x".repeat(usize::try_from(index % 40).unwrap())).into_bytes()
}

/// A store with entries in two parts, the second of which begins within a bundle, and with a third tree.
fn store_of_entries(dir: &Path, kept: EntryConfig) -> Store {
    let store = Store::open(config(dir)).unwrap();
    let tree = store.tree_with_entries::<Blake3, 4>("log", kept).unwrap();
    for range in [0..700, 700..900] {
        tree.insert_entries(&range.map(entry).collect::<Vec<_>>()).unwrap();
        store.checkpoint().unwrap();
    }
    store
}

fn check_entries(dir: &Path, erased: &[u64], what: &str) {
    let store = Store::open(config(dir).create(false)).unwrap();
    let tree = store.existing_tree("log").unwrap();
    for index in 0..900 {
        match tree.entry(index) {
            Ok(found) => assert_eq!(found[..], entry(index), "{what}: entry {index}"),
            Err(Error::Erased { .. }) => assert!(erased.contains(&index), "{what}: {index}"),
            Err(error) => panic!("{what}: entry {index}: {error}"),
        }
    }
    store.close().unwrap();
    let again = look(dir);
    assert!(again.findings.is_empty(), "{what}: {:#?}", again.findings);
    assert_eq!(again.entries, 900 - erased.len() as u64, "{what}");
}

#[test]
fn every_block_of_a_store_with_entries_is_mended_from_a_backup() {
    let zstd = EntryConfig::new().compression(Compression::zstd(1).unwrap());
    for kept in [EntryConfig::new(), zstd] {
        let dir = tempfile::tempdir().unwrap();
        store_of_entries(dir.path(), kept).close().unwrap();
        let backup = copy_of(dir.path());
        for (number, part) in parts(dir.path()).into_iter().enumerate() {
            let before = inside(&part);
            for block in 0..before.len() / BLOCK + 2 {
                let copy = copy_of(dir.path());
                let file = &parts(copy.path())[number];
                edit(file, |bytes| bytes[block * BLOCK + 5] ^= 0x10);
                let what = format!("{kept}, part {number} block {block}");
                let report = mend(copy.path(), backup.path());
                assert!(report.is_clean(), "{what}: {:#?}", report.findings);
                assert!(inside(&parts(copy.path()).pop().unwrap()) == before, "{what}");
                check_entries(copy.path(), &[], &what);
            }
            // Half of it, and then all of it, is gone.
            for keep in [Some(before.len() / BLOCK / 2), None] {
                let copy = copy_of(dir.path());
                let file = &parts(copy.path())[number];
                match keep {
                    Some(blocks) => edit(file, |bytes| bytes.truncate(blocks * BLOCK)),
                    None => std::fs::remove_file(file).unwrap(),
                }
                let what = format!("{kept}, part {number} with {keep:?}");
                let report = mend(copy.path(), backup.path());
                assert!(report.is_clean(), "{what}: {:#?}", report.findings);
                check_entries(copy.path(), &[], &what);
            }
        }
    }
}

#[test]
fn an_entry_that_is_erased_in_the_store_does_not_come_back_from_a_backup() {
    let dir = tempfile::tempdir().unwrap();
    let store = store_of_entries(dir.path(), EntryConfig::new());
    let backup = copy_of(dir.path());
    let tree = store.existing_tree("log").unwrap();
    let erased = [3, 4, 300, 899];
    drop(tree.erase(erased, "asked for").unwrap());
    store.checkpoint().unwrap();
    drop(tree);
    store.close().unwrap();
    for number in 0..2 {
        let copy = copy_of(dir.path());
        let files = parts(copy.path());
        std::fs::remove_file(&files[number]).unwrap();
        let report = mend(copy.path(), backup.path());
        assert!(report.is_clean(), "{:#?}", report.findings);
        check_entries(copy.path(), &erased, "with erased entries");
        let written = std::fs::read(parts(copy.path()).pop().unwrap()).unwrap();
        for index in erased {
            let data = entry(index);
            let is_there = written.windows(data.len()).any(|found| found == data);
            assert!(!is_there, "entry {index} is in the new part");
        }
    }
}

/// A store on a simulated disk with a damaged block of leaves, and a backup of it.
fn damaged_on_disk() -> (SimDisk, SimDisk, Vec<Hash>) {
    let (disk, backup) = (SimDisk::new(), SimDisk::new());
    let store = DynAccumulator::open(on(&disk), Arc::new(Blake3), Arity::Four).unwrap();
    let all = leaves(700, 3);
    store.insert_many(&all).unwrap();
    store.checkpoint().unwrap();
    store.snapshot_to_config(&on(&backup)).unwrap();
    store.close().unwrap();
    let is_part = |file: &FileName| file.kind == FileKind::Part;
    let part = disk.files().into_iter().find(is_part).unwrap();
    let mut bytes = disk.read(part).unwrap();
    bytes[2 * BLOCK + 5] ^= 1;
    disk.put(part, &bytes);
    (disk, backup, all)
}

fn on(disk: &SimDisk) -> Config {
    config(Path::new("simulated")).file_system(Arc::new(disk.clone()))
}

#[test]
fn a_power_cut_at_any_moment_of_a_repair_leaves_the_damaged_store_or_the_mended_one() {
    let (disk, backup, all) = damaged_on_disk();
    disk.record();
    let before = disk.operations();
    let options = Options::new().repair(true).backup(&on(&backup)).unwrap();
    let report = scrub::run(&on(&disk), &options, &mut |_| ControlFlow::Continue(())).unwrap();
    assert!(report.is_clean());
    let done = disk.operations();
    let (mut mended, mut images) = (0, 0);
    let choices = [CrashChoice::NothingKept, CrashChoice::AllKept];
    for choice in choices.into_iter().chain((0..8).map(CrashChoice::Seeded)) {
        for moment in before..=done {
            let what = format!("{moment} of {before} to {done} operations, {choice:?}");
            let image = disk.crash_at(moment, choice).unwrap();
            images += 1;
            let report =
                scrub::run(&on(&image), &Options::new(), &mut |_| ControlFlow::Continue(()))
                    .unwrap();
            if report.is_clean() {
                mended += 1;
                let store =
                    DynAccumulator::open(on(&image), Arc::new(Blake3), Arity::Four).unwrap();
                assert_eq!(store.leaves(0..700).unwrap(), all, "{what}");
                store.close().unwrap();
            } else {
                assert!(moment < done, "{what}: a repair that was reported is gone");
                let [finding] = &report.findings[..] else { panic!("{what}: {report:#?}") };
                assert_eq!(finding.leaves, Some(128..256), "{what}");
                // The repair can be made again.
                let again =
                    scrub::run(&on(&image), &options, &mut |_| ControlFlow::Continue(())).unwrap();
                assert!(again.is_clean(), "{what}: {:#?}", again.findings);
            }
        }
    }
    assert!(mended > 0 && mended < images, "{mended} of {images}");
}
