//! Files with holes whose checksums are right: what they say of themselves costs no more than what the
//! disk holds of them.

use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use duramen::fs::{OsPlace, Place};
use duramen::testing::hostile;
use duramen::{
    Accumulator, Blake3, CheckpointPolicy, Config, EntryConfig, Error, FlushPolicy, ReadMode,
    inspect, scrub,
};
use testkit::stores::leaves;

use crate::alone;

type Store = Accumulator<Blake3, 4>;

/// What a call may take of both, however much a file says it is.
const MOST_MEMORY: u64 = 64 << 20;
const MOST_TIME: Duration = Duration::from_secs(5);

fn config(dir: &Path) -> Config {
    Config::new(dir)
        .create(false)
        .flush_policy(FlushPolicy::Manual)
        .checkpoint_policy(CheckpointPolicy::manual())
}

/// A store of two parts, closed in order.
fn store() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(config(dir.path()).create(true)).unwrap();
    for batch in leaves(2000, 1).chunks(1000) {
        store.insert_many(batch).unwrap();
        store.checkpoint().unwrap();
    }
    store.close().unwrap();
    dir
}

fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

/// Does `call` and looks at what it took.
fn cheaply<T>(what: &str, call: impl FnOnce() -> T) -> T {
    // The peak counts from here on.
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    let (before, started) = (resident(), Instant::now());
    let done = call();
    let (took, memory) = (started.elapsed(), resident().saturating_sub(before));
    assert!(took < MOST_TIME, "{what} took {took:?}");
    assert!(memory < MOST_MEMORY, "{what} took {memory} bytes");
    done
}

fn newest(dir: &Path, kind: &str) -> PathBuf {
    let mut files: Vec<_> =
        dir.join(kind).read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.pop().unwrap()
}

/// Everything that reads a store, of the store in `dir`: each call says that it is damaged, and is cheap.
fn refused_by_all(dir: &Path, file: &Path) {
    let name = file.file_name().unwrap().to_string_lossy().into_owned();
    let is_damage = |what: &str, error: Error| {
        let Error::Damaged(damage) = &error else { panic!("{what}: {error}") };
        assert_eq!(damage.file, file, "{what}: {error}");
    };
    for mode in [ReadMode::Mapped, ReadMode::Pread] {
        let config = || config(dir).read_mode(mode);
        let error = cheaply(&format!("open of {name}"), || Store::open(config())).unwrap_err();
        is_damage("open", error);
        let read = cheaply(&format!("read of {name}"), || Store::open_read_only(config()));
        is_damage("read", read.unwrap_err());
        let scrubbed = cheaply(&format!("scrub of {name}"), || {
            let go_on = &mut |_| ControlFlow::Continue(());
            scrub::run(&config(), &scrub::Options::new(), go_on)
        });
        match scrubbed {
            Ok(report) => {
                assert!(report.findings.iter().any(|finding| finding.damage.file == file));
                assert!(report.findings.len() < 100);
            }
            Err(error) => is_damage("scrub", error),
        }
    }
    let survey = cheaply(&format!("fsck of {name}"), || inspect::survey(&config(dir))).unwrap();
    let problems: Vec<_> = survey.files.iter().filter(|file| file.problem.is_some()).collect();
    assert!(problems.iter().any(|report| report.path == file), "{problems:?}");
    let mut text = Vec::new();
    let damaged = cheaply(&format!("dump of {name}"), || inspect::dump(file, &mut text)).unwrap();
    assert!(damaged > 0 && text.len() < 1 << 20, "{}", String::from_utf8_lossy(&text));
}

#[test]
fn a_part_that_is_a_hole_is_refused_by_all_at_once() {
    let _alone = alone();
    // From one of which little is there to the longest file of the file system.
    for leaves in [1 << 23, 1 << 30, 1 << 38] {
        let dir = store();
        hostile::inflate_part(&*OsPlace::new(dir.path()).bind().unwrap(), leaves).unwrap();
        refused_by_all(dir.path(), &newest(dir.path(), "parts"));
    }
}

#[test]
fn a_group_that_is_a_hole_is_refused_by_all_at_once() {
    let _alone = alone();
    for group in [1 << 30, 366 << 30, 1 << 40] {
        let dir = store();
        hostile::inflate_segment(&*OsPlace::new(dir.path()).bind().unwrap(), 1 << 43, group)
            .unwrap();
        refused_by_all(dir.path(), &newest(dir.path(), "wal"));
    }
}

#[test]
fn a_manifest_that_is_a_hole_is_refused_by_all_at_once() {
    let _alone = alone();
    for len in [100 << 20, 1 << 30, 1 << 43] {
        let dir = store();
        hostile::inflate_manifest(&*OsPlace::new(dir.path()).bind().unwrap(), len).unwrap();
        refused_by_all(dir.path(), &newest(dir.path(), "manifest"));
    }
}

/// Behind the end of the log of a store that was not closed, claims are looked for in all that follows.
#[test]
fn a_segment_with_a_hole_behind_the_log_costs_nothing_and_damages_nothing() {
    let _alone = alone();
    let dir = store();
    hostile::inflate_segment(&*OsPlace::new(dir.path()).bind().unwrap(), 1 << 43, 0).unwrap();
    let file = newest(dir.path(), "wal");
    // Something stands far behind, where no step of a scan begins.
    let far = std::fs::File::options().write(true).open(&file).unwrap();
    far.write_all_at(&[7; 10], (1 << 42) + 3 * 4096).unwrap();
    cheaply("dump", || inspect::dump(&file, &mut Vec::new()).unwrap());
    cheaply("fsck", || assert!(inspect::survey(&config(dir.path())).unwrap().is_clean()));
    cheaply("read", || {
        assert_eq!(Store::open_read_only(config(dir.path())).unwrap().size().get(), 2000);
    });
    cheaply("open", || {
        let store = Store::open(config(dir.path())).unwrap();
        assert_eq!(store.size().get(), 2000);
        store.close().unwrap();
    });
}

/// A part that is gone may have had any number of blocks: they are not thought about one by one.
#[test]
fn a_huge_part_that_is_missing_is_one_finding() {
    let _alone = alone();
    let dir = store();
    hostile::inflate_part(&*OsPlace::new(dir.path()).bind().unwrap(), 1 << 38).unwrap();
    std::fs::remove_file(newest(dir.path(), "parts")).unwrap();
    let report = cheaply("scrub", || {
        let go_on = &mut |_| ControlFlow::Continue(());
        scrub::run(&config(dir.path()), &scrub::Options::new(), go_on).unwrap()
    });
    let found: Vec<_> = report.findings.iter().map(|finding| finding.leaves.clone()).collect();
    assert_eq!(found, [Some(1000..1 << 38)]);
}

#[test]
fn a_dump_of_a_part_that_claims_endless_entries_ends_with_the_file() {
    const ENTRY_BYTES_AT: usize = 40;
    let _alone = alone();
    for claimed in [1 << 20, 1 << 40, 1 << 60] {
        let dir = tempfile::tempdir().unwrap();
        let store = duramen::Store::open(config(dir.path()).create(true)).unwrap();
        let log = store.tree_with_entries::<Blake3, 4>("log", EntryConfig::new()).unwrap();
        log.insert_entries(&[b"entry"; 1000]).unwrap();
        store.checkpoint().unwrap();
        store.close().unwrap();
        let file = newest(dir.path(), "parts");
        let mut bytes = std::fs::read(&file).unwrap();
        let footer = bytes.last_chunk_mut::<4096>().unwrap();
        footer[ENTRY_BYTES_AT..ENTRY_BYTES_AT + 8].copy_from_slice(&u64::to_le_bytes(claimed));
        hostile::fix_block(footer);
        std::fs::write(&file, bytes).unwrap();
        let mut text = Vec::new();
        let damaged = cheaply("dump", || inspect::dump(&file, &mut text)).unwrap();
        let text = String::from_utf8(text).unwrap();
        assert!(text.contains(&format!("4 bundles, {claimed} bytes")), "{text}");
        assert!(damaged > 0 && text.lines().count() < 100, "{text}");
    }
}
