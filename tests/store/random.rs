//! A system that has no random bytes to give: every call that needs some fails with an error that says so, and
//! leaves the store as it was.

use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use duramen::fs::{FileKind, FileName};
use duramen::testing::sim::{CrashChoice, SimDisk};
use duramen::{
    Arity, Blake3, CheckpointPolicy, CompactionPolicy, Config, DynAccumulator, Error, FlushPolicy,
    Hash, scrub,
};
use testkit::hooked::Hooked;
use testkit::stores::leaves;

/// A disk whose source of random bytes fails once it was asked so many times.
struct Source {
    disk: SimDisk,
    left: Arc<AtomicI64>,
}

impl Source {
    fn new(disk: &SimDisk) -> Self {
        Self { disk: disk.clone(), left: Arc::new(AtomicI64::new(i64::MAX)) }
    }

    /// From the call after `calls` on it fails.
    fn fail_after(&self, calls: i64) {
        self.left.store(calls, Ordering::SeqCst);
    }

    /// It fails no more. Returns whether it did.
    fn mend(&self) -> bool {
        self.left.swap(i64::MAX, Ordering::SeqCst) < 0
    }

    fn config(&self) -> Config {
        let left = Arc::clone(&self.left);
        let hooked = Hooked::new(&self.disk).on_random(move || {
            let fails = left.fetch_sub(1, Ordering::SeqCst) <= 0;
            if fails { Err(io::Error::from_raw_os_error(11)) } else { Ok(()) }
        });
        Config::new("store")
            .file_system(Arc::new(hooked))
            .flush_policy(FlushPolicy::Manual)
            .checkpoint_policy(CheckpointPolicy::manual())
            .compaction_policy(CompactionPolicy::Off)
    }

    fn open(&self) -> Result<DynAccumulator, Error> {
        DynAccumulator::open(self.config(), Arc::new(Blake3), Arity::Four)
    }

    /// The files that are there, with their bytes.
    fn files(&self) -> Vec<(FileName, Vec<u8>)> {
        let files = self.disk.files().into_iter();
        files.map(|file| (file, self.disk.read(file).unwrap())).collect()
    }
}

fn check_error(error: &Error, what: &str) {
    let Error::Io { action, path, source, .. } = error else { panic!("{what}: {error}") };
    assert_eq!(*action, "get random bytes for", "{what}");
    assert!(path.ends_with("simulated") || path.ends_with("store"), "{what}: {path:?}");
    assert_eq!(source.raw_os_error(), Some(11), "{what}");
}

/// Calls `call` with a source that fails after no call, one, two, ... until that is more than it needs. After
/// each failure `check` looks at what is left. Returns how many failed.
fn each<T>(
    source: &Source,
    what: &str,
    call: impl Fn() -> Result<T, Error>,
    check: impl Fn(&str),
) -> (T, i64) {
    let mut calls = 0;
    loop {
        source.fail_after(calls);
        let outcome = call();
        let failed = source.mend();
        match outcome {
            Ok(done) => {
                assert!(!failed, "{what}: the failure of call {calls} went unnoticed");
                return (done, calls);
            }
            Err(error) => {
                check_error(&error, what);
                check(&format!("{what}, call {calls}"));
            }
        }
        calls += 1;
    }
}

#[test]
fn a_store_is_not_made_without_random_bytes() {
    let source = Source::new(&SimDisk::new());
    let (store, failed) = each(
        &source,
        "making",
        || source.open(),
        |what| {
            let manifests = source
                .files()
                .into_iter()
                .filter(|(file, _)| file.kind == FileKind::Manifest || file.kind == FileKind::Part);
            assert_eq!(manifests.count(), 0, "{what}");
        },
    );
    // The id, the key, the name of the first state.
    assert!(failed >= 3, "{failed}");
    assert_eq!(store.size().get(), 0);
    store.close().unwrap();
}

/// A store with parts and log, as a kill leaves it.
fn killed() -> (Source, Vec<Hash>) {
    let disk = SimDisk::new();
    let source = Source::new(&disk);
    let store = source.open().unwrap();
    let all = leaves(300, 1);
    for piece in all.chunks(100) {
        store.insert_many(piece).unwrap();
        store.flush().unwrap();
        if piece[0] != all[200] {
            store.checkpoint().unwrap();
        }
    }
    store.wait_idle();
    disk.stop_after(0);
    drop(store);
    (Source::new(&disk.crash(CrashChoice::AllKept)), all)
}

#[test]
fn a_store_that_was_not_closed_is_not_opened_without_random_bytes_and_is_as_before() {
    let (source, all) = killed();
    let manifests = || {
        let files = source.files().into_iter();
        files.filter(|(file, _)| file.kind != FileKind::Segment).collect::<Vec<_>>()
    };
    let before = manifests();
    let (store, failed) =
        each(&source, "opening", || source.open(), |what| assert!(manifests() == before, "{what}"));
    assert!(failed >= 2, "{failed}");
    assert_eq!(store.leaves(0..300).unwrap(), all);
    store.insert_durable([1; 32]).unwrap();
    store.close().unwrap();
}

#[test]
fn a_checkpoint_without_random_bytes_is_not_made_and_the_store_goes_on() {
    let (source, mut all) = killed();
    let store = source.open().unwrap();
    let before = source.files();
    let checkpoint = || store.checkpoint();
    let (_, failed) = each(&source, "a checkpoint", checkpoint, |what| {
        assert!(source.files() == before, "{what}");
    });
    assert!(failed >= 1, "{failed}");
    assert_eq!(store.stats().failed_checkpoints, u64::try_from(failed).unwrap());
    store.insert_durable([1; 32]).unwrap();
    all.push([1; 32]);
    assert_eq!(store.leaves(0..301).unwrap(), all);

    // Closing fails where the end of the log cannot be noted; what is durable stays.
    source.fail_after(0);
    check_error(&store.close().unwrap_err(), "closing");
    source.mend();
    let store = source.open().unwrap();
    assert_eq!(store.leaves(0..301).unwrap(), all);
    store.close().unwrap();
    assert!(source.open().unwrap().recovery().clean);
}

#[test]
fn a_merge_without_random_bytes_is_not_made_and_is_tried_again() {
    let (source, all) = killed();
    let config = source.config().compaction_policy(CompactionPolicy::tiered(2).unwrap());
    let store = source.open().unwrap();
    store.checkpoint().unwrap();
    store.close().unwrap();
    // Opening needs none after an orderly close, and asks for the merge of three parts.
    source.fail_after(0);
    let store = DynAccumulator::open(config, Arc::new(Blake3), Arity::Four).unwrap();
    while store.stats().failed_compactions == 0 {
        std::thread::yield_now();
    }
    assert_eq!(store.stats().parts, 3);
    assert!(source.mend());
    while store.stats().compactions == 0 {
        std::thread::yield_now();
    }
    assert_eq!(store.stats().parts, 1);
    assert_eq!(store.leaves(0..300).unwrap(), all);
    store.close().unwrap();
}

#[test]
fn a_copy_without_random_bytes_is_no_store_and_its_source_is_none_the_worse() {
    let (from, all) = killed();
    let store = from.open().unwrap();
    let to = Source::new(&SimDisk::new());
    let copy = || store.snapshot_to_config(&to.config());
    let (_, failed) = each(&to, "a copy", copy, |what| {
        let manifests = to.files().into_iter().filter(|(file, _)| file.kind == FileKind::Manifest);
        assert_eq!(manifests.count(), 0, "{what}");
    });
    assert!(failed >= 2, "{failed}");
    let copied = to.open().unwrap();
    assert_eq!(copied.leaves(0..300).unwrap(), all);
    store.insert_durable([1; 32]).unwrap();
    store.close().unwrap();
}

#[test]
fn a_repair_without_random_bytes_changes_nothing() {
    let (source, all) = killed();
    source.open().unwrap().close().unwrap();
    let is_part = |file: &FileName| file.kind == FileKind::Part;
    let part = source.disk.files().into_iter().find(is_part).unwrap();
    let mut bytes = source.disk.read(part).unwrap();
    // Its footer.
    let last = bytes.len() - 100;
    bytes[last] ^= 1;
    source.disk.put(part, &bytes);
    let before = source.files();
    let options = scrub::Options::new().repair(true);
    let repair = || scrub::run(&source.config(), &options, &mut |_| ControlFlow::Continue(()));
    let (report, failed) =
        each(&source, "a repair", repair, |what| assert!(source.files() == before, "{what}"));
    assert!(failed >= 1, "{failed}");
    assert_eq!(report.rebuilt.len(), 1, "{report:?}");
    assert_eq!(source.open().unwrap().leaves(0..300).unwrap(), all);
}
