//! The status file: what a store that is open says of itself.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use std::time::{Duration, Instant};

use duramen::fs::FileKind;
use duramen::inspect::{self, FileState, RunState, StoreStatus};
use duramen::testing::sim::{Fault, FaultError, OperationKind, SimDisk, When};
use duramen::{Accumulator, Blake3, CheckpointPolicy, Config, Error, FlushPolicy, StoreReader};
use testkit::stores::leaves;

type Store = Accumulator<Blake3, 4>;

fn config(dir: &Path) -> Config {
    Config::new(dir).checkpoint_policy(CheckpointPolicy::manual()).status_file(true)
}

fn status(config: &Config) -> StoreStatus {
    inspect::status(config).unwrap().unwrap()
}

/// Waits until a store says what is expected. The store is asked again and again, so the wait is as short as can be.
fn wait_for(config: &Config, expected: impl Fn(&StoreStatus) -> bool) -> StoreStatus {
    let begun = Instant::now();
    loop {
        let status = status(config);
        if expected(&status) {
            return status;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "{status:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_store_that_is_open_says_what_it_has_and_what_it_does() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path()).flush_policy(FlushPolicy::Manual);
    let store = Store::open(config.clone()).unwrap();
    let first = status(&config);
    assert!(first.running && first.state == RunState::Open && first.sequence == 1);
    assert_eq!((first.pid, first.stats.leaves), (std::process::id(), 0));

    store.insert_many(&leaves(100, 1)).unwrap();
    store.flush().unwrap();
    let before = wait_for(&config, |status| status.stats.durable == 100);
    assert_eq!((before.stats.leaves, before.stats.pending), (100, 0));
    store.insert_many(&leaves(11, 2)).unwrap();
    store.flush().unwrap();
    let durable = wait_for(&config, |status| status.stats.durable == 111);
    assert_eq!((durable.checkpointed, durable.oldest_unflushed), (0, None));
    assert!(durable.stats.sync_nanos.max > 0 && durable.written >= before.written);
    store.checkpoint().unwrap();
    let done = wait_for(&config, |status| status.stats.checkpoints == 1);
    assert_eq!((done.checkpointed, done.used_trees), (111, 1));
    let tree = &done.trees[0];
    let sizes = [tree.size, tree.durable_size, tree.checkpointed_size];
    assert_eq!((tree.tree.as_str(), sizes.map(duramen::TreeSize::get)), ("main", [111; 3]));
    assert_eq!(done.stats.checkpoint_jobs.completed, 1);
    store.close().unwrap();
    let closed = status(&config);
    assert!(!closed.running && closed.state == RunState::Closed);
    assert_eq!((closed.stats.leaves, closed.store), (111, first.store));
}

#[test]
fn a_store_without_work_writes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path());
    let store = Store::open(config.clone()).unwrap();
    store.insert_durable([1; 32]).unwrap();
    // Changes end with one more look that finds none.
    let mut last = wait_for(&config, |status| status.stats.durable == 1).sequence;
    loop {
        std::thread::sleep(Duration::from_millis(300));
        let now = status(&config).sequence;
        if now == last {
            break;
        }
        last = now;
        assert!(last < 10, "it never ends");
    }
    store.close().unwrap();
}

#[test]
fn nothing_is_written_unless_that_was_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let plain = Config::new(dir.path());
    let store = Store::open(plain.clone()).unwrap();
    store.insert_durable([1; 32]).unwrap();
    assert_eq!(inspect::status(&plain).unwrap(), None);
    store.close().unwrap();
    assert!(!dir.path().join("STATUS").exists());
    let nowhere = Config::new(dir.path().join("nowhere"));
    assert!(matches!(inspect::status(&nowhere), Err(Error::NoStore { .. })));
}

#[test]
fn a_log_that_failed_is_told_with_its_reason() {
    let disk = SimDisk::new();
    let place = Config::new("simulated").file_system(std::sync::Arc::new(disk.clone()));
    let config = place.status_file(true).flush_policy(FlushPolicy::Manual);
    let store = Store::open(config.clone()).unwrap();
    store.insert([1; 32]).unwrap();
    let sync = When::nth(OperationKind::Sync, 1).on(FileKind::Segment);
    disk.inject(Fault::new(sync, FaultError::EIO));
    store.flush().unwrap_err();
    let status = wait_for(&config, |status| status.state != RunState::Open);
    let RunState::Poisoned { error } = &status.state else { panic!("{status:?}") };
    assert!(error.contains("os error 5"), "{error}");
    assert!(status.running && status.stats.durable == 0 && status.stats.leaves == 1);
    store.close().unwrap_err();
    assert!(matches!(inspect::status(&config).unwrap().unwrap().state, RunState::Poisoned { .. }));
}

/// What an operator finds in the directory is no foreign file, and no copy has it.
#[test]
fn the_file_is_no_part_of_the_store() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("store");
    let store = Store::open(config(&place)).unwrap();
    store.insert_durable([1; 32]).unwrap();
    let meta = fs::metadata(place.join("STATUS")).unwrap();
    assert_eq!((meta.mode() & 0o777, meta.len()), (0o600, 4096 + 64 * 384));
    let survey = inspect::survey(&Config::new(&place)).unwrap();
    let found = survey.files.iter().find(|file| file.path.ends_with("STATUS")).unwrap();
    assert_eq!((found.state, found.problem.as_deref()), (FileState::Status, None));
    assert!(survey.is_clean());
    let copy = dir.path().join("copy");
    StoreReader::open(Config::new(&place)).unwrap().snapshot_to(&copy).unwrap();
    assert!(!copy.join("STATUS").exists());
    store.close().unwrap();
    // Nothing depends on it.
    fs::remove_file(place.join("STATUS")).unwrap();
    let store = Store::open(config(&place)).unwrap();
    assert_eq!(store.size().get(), 1);
    store.close().unwrap();
}

#[test]
fn a_file_of_another_program_and_a_link_are_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("store");
    Store::open(Config::new(&place)).unwrap().close().unwrap();
    let (file, outside) = (place.join("STATUS"), dir.path().join("outside"));
    fs::write(&outside, "precious").unwrap();
    let open_and_close = || {
        let store = Store::open(config(&place)).unwrap();
        store.insert_durable([1; 32]).unwrap();
        store.close().unwrap();
    };
    symlink(&outside, &file).unwrap();
    open_and_close();
    assert!(matches!(inspect::status(&Config::new(&place)), Err(Error::Io { .. })));
    fs::remove_file(&file).unwrap();
    fs::hard_link(&outside, &file).unwrap();
    open_and_close();
    assert!(matches!(inspect::status(&Config::new(&place)), Err(Error::Damaged(_))));
    fs::remove_file(&file).unwrap();
    fs::write(&file, "of another program").unwrap();
    open_and_close();
    assert_eq!(fs::read(&file).unwrap(), b"of another program");
    assert_eq!(fs::read(&outside).unwrap(), b"precious");
    fs::remove_file(&file).unwrap();
    // Room that a crash left without a state.
    fs::write(&file, [0; 5000]).unwrap();
    assert_eq!(inspect::status(&Config::new(&place)).unwrap(), None);
    open_and_close();
    assert_eq!(status(&Config::new(&place)).state, RunState::Closed);
}

#[test]
fn damage_of_the_file_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(config(dir.path())).unwrap();
    store.close().unwrap();
    let file = dir.path().join("STATUS");
    let good = fs::read(&file).unwrap();
    for at in [0, 12, 20, 90, 700, 4095, 4100] {
        let mut bad = good.clone();
        bad[at] ^= 1;
        fs::write(&file, &bad).unwrap();
        let found = inspect::status(&Config::new(dir.path()));
        assert!(matches!(found, Err(Error::Damaged(_))), "byte {at}: {found:?}");
    }
    fs::write(&file, &good[..100]).unwrap();
    assert!(matches!(inspect::status(&Config::new(dir.path())), Err(Error::Damaged(_))));
    // The next store that is opened writes it again.
    let store = Store::open(config(dir.path())).unwrap();
    assert!(status(&Config::new(dir.path())).running);
    store.close().unwrap();
}

#[test]
fn a_power_cut_takes_the_file_and_nothing_else() {
    use duramen::testing::sim::CrashChoice;
    let disk = SimDisk::new();
    let place = |disk: &SimDisk| {
        Config::new("simulated").file_system(std::sync::Arc::new(disk.clone())).status_file(true)
    };
    let store = Store::open(place(&disk)).unwrap();
    store.insert_durable([1; 32]).unwrap();
    let left = disk.crash(CrashChoice::NothingKept);
    drop(store);
    assert_eq!(inspect::status(&place(&left)).unwrap(), None);
    let store = Store::open(place(&left)).unwrap();
    assert_eq!(store.size().get(), 1);
    assert_eq!(status(&place(&left)).stats.durable, 1);
    store.close().unwrap();
}
