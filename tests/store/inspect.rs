//! What a survey and a dump report of a store's files, whole and damaged.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use duramen::fs::{FileKind, FileName, Place};
use duramen::inspect::{self, FileState, Survey};
use duramen::testing::sim::SimDisk;
use duramen::{Accumulator, Blake3, CheckpointPolicy, Config, Error, FlushPolicy};
use testkit::hooked::Hooked;
use testkit::stores::{copy_of, leaves};

type Store = Accumulator<Blake3, 4>;

fn config(dir: &Path) -> Config {
    Config::new(dir)
        .flush_policy(FlushPolicy::Manual)
        .checkpoint_policy(CheckpointPolicy::manual())
        .wal_segment_bytes(16 << 10)
        .unwrap()
}

/// A store with two parts, several segments and spare ones, closed or as a kill leaves it.
fn store(closed: bool) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(config(dir.path())).unwrap();
    for round in 0..12 {
        store.insert_many(&leaves(60, round)).unwrap();
        store.flush().unwrap();
        if round == 3 || round == 7 {
            store.checkpoint().unwrap();
        }
    }
    store.wait_idle();
    let left = copy_of(dir.path());
    store.close().unwrap();
    if closed { dir } else { left }
}

fn survey(dir: &Path) -> Survey {
    inspect::survey(&Config::new(dir)).unwrap()
}

fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for inner in ["manifest", "wal", "parts"] {
        for entry in std::fs::read_dir(dir.join(inner)).unwrap() {
            let path = entry.unwrap().path();
            files.insert(path.clone(), std::fs::read(path).unwrap());
        }
    }
    files
}

fn dump(file: &Path) -> (String, u64) {
    let mut out = Vec::new();
    let damaged = inspect::dump(file, &mut out).unwrap();
    (String::from_utf8(out).unwrap(), damaged)
}

#[test]
fn every_file_is_told_with_its_state_and_its_leaves() {
    for closed in [true, false] {
        let dir = store(closed);
        std::fs::write(dir.path().join("parts/00000099.part.tmp"), "half").unwrap();
        std::fs::write(dir.path().join("notes.txt"), "mine").unwrap();
        let before = files(dir.path());
        let survey = survey(dir.path());
        assert_eq!(files(dir.path()), before, "something was changed");
        assert!(survey.is_clean(), "{survey:#?}");
        assert_eq!(survey.leaves, Some(720));
        let told: Vec<_> = survey.files.iter().map(|file| file.path.clone()).collect();
        assert!(before.keys().all(|path| told.contains(path)), "{told:?}");
        let state = |name: &str| {
            survey.files.iter().find(|file| file.path.ends_with(name)).map(|file| file.state)
        };
        assert_eq!(state("00000099.part.tmp"), Some(FileState::Temporary));
        assert_eq!(state("notes.txt"), Some(FileState::Foreign));
        assert_eq!(state("LOCK"), closed.then_some(FileState::Lock).or(state("LOCK")));
        let with = |state| survey.files.iter().filter(move |file| file.state == state);
        assert_eq!(with(FileState::Previous).count(), 1);
        assert!(with(FileState::Reserve).count() > 0, "{survey:#?}");
        // Parts and segments in force hold all leaves, side by side.
        let mut ranges: Vec<_> = with(FileState::InForce)
            .filter(|file| file.path.extension().is_some_and(|kind| kind != "manifest"))
            .filter_map(|file| file.leaves.clone())
            .collect();
        ranges.sort_by_key(|range| (range.start, range.end));
        let end = ranges.iter().fold(0, |end, range| {
            assert_eq!(range.start, end);
            range.end
        });
        assert_eq!(end, 720);
    }
}

#[test]
fn a_file_that_is_missing_or_damaged_is_a_problem_of_that_file() {
    let dir = store(true);
    let in_force: Vec<_> = survey(dir.path())
        .files
        .into_iter()
        .filter(|file| file.state == FileState::InForce)
        .map(|file| file.path.strip_prefix(dir.path()).unwrap().to_path_buf())
        .collect();
    assert!(in_force.len() >= 4);
    for file in in_force {
        let copy = copy_of(dir.path());
        std::fs::remove_file(copy.path().join(&file)).unwrap();
        let found = survey(copy.path());
        if file.extension().is_some_and(|kind| kind == "manifest") {
            // Then the one before is the newest, and what it names may be there still.
            continue;
        }
        let problems: Vec<_> = found.files.iter().filter(|file| file.problem.is_some()).collect();
        assert!(!problems.is_empty(), "{}: {found:#?}", file.display());
        let copy = copy_of(dir.path());
        let mut bytes = std::fs::read(copy.path().join(&file)).unwrap();
        // Of a segment, groups before the checkpoint are not needed any more.
        let blocks = if file.extension().unwrap() == "wal" { bytes.len() / 4096 } else { 1 };
        (0..blocks).for_each(|block| bytes[block * 4096 + 20] ^= 1);
        std::fs::write(copy.path().join(&file), bytes).unwrap();
        let found = survey(copy.path());
        let problem = found.files.iter().find(|file| file.problem.is_some());
        let problem = problem.unwrap_or_else(|| panic!("{}: {found:#?}", file.display()));
        assert!(problem.path.ends_with(&file), "{}: {found:#?}", file.display());
    }
    let copy = copy_of(dir.path());
    for entry in std::fs::read_dir(copy.path().join("manifest")).unwrap() {
        std::fs::remove_file(entry.unwrap().path()).unwrap();
    }
    assert!(!survey(copy.path()).is_clean());
    let empty = tempfile::tempdir().unwrap();
    let none = inspect::survey(&Config::new(empty.path()));
    assert!(matches!(none, Err(Error::NoStore { .. })));
}

#[test]
fn a_dump_tells_what_stands_in_every_kind_of_file() {
    let dir = store(false);
    for (path, bytes) in files(dir.path()) {
        let (text, damaged) = dump(&path);
        assert_eq!(damaged, 0, "{}: {text}", path.display());
        match path.extension().unwrap().to_str().unwrap() {
            "manifest" => assert!(text.contains("0 tree \"main\": blake3, arity 4"), "{text}"),
            "part" => assert!(text.contains("level 1: nodes "), "{text}"),
            _ if bytes.starts_with(b"duraWAL\n") => assert!(text.contains(": group "), "{text}"),
            _ => assert!(text.contains("bytes of zeros"), "{text}"),
        }
    }
}

#[test]
fn a_dump_of_damaged_files_says_where_and_goes_on() {
    let dir = store(false);
    for (path, bytes) in files(dir.path()) {
        let elsewhere = tempfile::tempdir().unwrap();
        let copy = elsewhere.path().join(path.file_name().unwrap());
        let mut damaged = bytes.clone();
        damaged[40] ^= 1;
        std::fs::write(&copy, &damaged).unwrap();
        let (text, places) = dump(&copy);
        if bytes[40] != 0 || !path.to_str().unwrap().ends_with("wal") {
            assert!(places > 0 && text.contains("DAMAGED: "), "{}: {text}", path.display());
            assert!(text.lines().count() > 3, "{}: {text}", path.display());
        }
        // No length and no byte makes it give up or panic.
        for len in [0, 1, 7, 8, 100, 4096, 4100, 8192, bytes.len().saturating_sub(1)] {
            std::fs::write(&copy, &bytes[..len.min(bytes.len())]).unwrap();
            dump(&copy);
        }
        for at in (0..bytes.len()).step_by(97).take(200) {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x80;
            std::fs::write(&copy, &damaged).unwrap();
            dump(&copy);
        }
    }
    let odd = dir.path().join("odd");
    std::fs::write(&odd, "no file of a store").unwrap();
    assert_eq!(dump(&odd).1, 1);
    assert!(inspect::dump(dir.path(), &mut Vec::new()).is_err());
}

#[test]
fn what_is_no_file_is_neither_waited_for_nor_dumped() {
    let dir = store(true);
    let pipe = dir.path().join("wal/00000099.wal");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for path in [&pipe, &dir.path().join("wal")] {
        let error = inspect::dump(path, &mut Vec::new()).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput, "{}", path.display());
    }
    let survey = survey(dir.path());
    assert!(survey.files.iter().any(|file| file.path == pipe && file.problem.is_some()));
}

fn on(place: impl Place) -> Config {
    config(Path::new("simulated")).file_system(Arc::new(place))
}

/// Beside a writer that makes a store, a survey meets each of these moments.
#[test]
fn a_store_that_is_being_made_is_none_until_it_is_whole() {
    let whole = SimDisk::new();
    drop(Store::open(on(whole.clone())).unwrap());
    let (mut none, mut clean) = (0, 0);
    for last in 0..whole.operations() {
        let disk = SimDisk::new();
        disk.stop_after(last);
        drop(Store::open(on(disk.clone())));
        match inspect::survey(&on(disk.kill())) {
            Err(Error::NoStore { .. }) => {
                assert_eq!(clean, 0, "after {last} operations a store is gone");
                none += 1;
            }
            Ok(survey) => {
                assert!(survey.is_clean(), "after {last} operations: {survey:?}");
                clean += 1;
            }
            Err(error) => panic!("after {last} operations: {error}"),
        }
    }
    assert!(none > 5 && clean > 1, "{none} without a store, {clean} with one");
}

#[test]
fn a_survey_that_meets_the_making_of_a_store_looks_again() {
    let disk = SimDisk::new();
    disk.make_dirs().unwrap();
    disk.put(FileName::new(FileKind::Segment, 1), &[0; 8192]);
    let is_made = Arc::new(AtomicBool::new(false));
    let (making, plain) = (Arc::clone(&is_made), disk.clone());
    let place = Hooked::new(&disk).on_read(move |name, _, _| {
        if name.kind == FileKind::Segment && !making.swap(true, Ordering::Relaxed) {
            let store = Store::open(on(plain.clone())).unwrap();
            store.insert_many(&leaves(100, 1)).unwrap();
            store.close().unwrap();
        }
    });
    let survey = inspect::survey(&on(place)).unwrap();
    assert!(is_made.load(Ordering::Relaxed), "the survey did not look at the segment");
    assert!(survey.is_clean(), "{survey:?}");
    assert_eq!(survey.leaves, Some(100));
}

/// What was there is no reason to say that there is nothing.
#[test]
fn a_store_without_its_manifests_is_damaged() {
    let dir = store(true);
    for name in
        files(dir.path()).keys().filter(|name| name.starts_with(dir.path().join("manifest")))
    {
        std::fs::remove_file(name).unwrap();
    }
    assert!(!survey(dir.path()).is_clean());
}
