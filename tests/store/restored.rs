//! A copy that is restored in place, and files that are removed, under a running writer. The directories and the lock
//! file stay, so only the files tell that this is no longer the store that was opened.

use std::collections::BTreeMap;
use std::fs;
use std::io::IoSlice;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use duramen::fs::{ByteOffset, Dir, FileKind, FileName, FileSystem as _};
use duramen::testing::sim::{OperationKind, SimDisk, When};
use duramen::{
    Accumulator, Arity, Blake3, CheckpointPolicy, Config, Error, FlushPolicy, Hash, StoreReader,
    TreeSize,
};
use testkit::stores::{leaves, root_of};
use testkit::words::words;

type Store = Accumulator<Blake3, 4>;

/// All ways to flush, each with ways to make checkpoints.
fn policies() -> Vec<(FlushPolicy, CheckpointPolicy)> {
    let often = CheckpointPolicy::manual().every_leaves(50).unwrap();
    let checkpoints = [
        CheckpointPolicy::manual(),
        CheckpointPolicy::manual().on_close(true),
        CheckpointPolicy::default(),
        CheckpointPolicy::default().wal_bytes(1 << 20).unwrap(),
        often.on_close(true),
    ];
    let interval = FlushPolicy::interval(Duration::from_millis(1)).unwrap();
    [FlushPolicy::Manual, interval]
        .into_iter()
        .flat_map(|flush| checkpoints.clone().map(|checkpoint| (flush, checkpoint)))
        .collect()
}

/// What the writer does first once the files are others.
const FIRST: [&str; 4] = ["insert", "many", "checkpoint", "close"];

/// The writer notices, and is refused everything from then on.
fn assert_stops(store: Store, first: &str) {
    let error = match first {
        "insert" => store.insert_durable([7; 32]).unwrap_err(),
        // They need several segments.
        "many" => {
            let inserted = store.insert_many(&leaves(100_000, 7));
            inserted.and_then(|_| store.flush()).unwrap_err()
        }
        "checkpoint" => store.checkpoint().unwrap_err(),
        _ => {
            let shown = words(&store.close().unwrap_err());
            assert!(shown.contains("while the store was open"), "{shown}");
            return;
        }
    };
    let shown = words(&error);
    assert!(shown.contains("while the store was open"), "{shown}");
    assert!(matches!(store.insert([8; 32]), Err(Error::Poisoned { .. })));
    assert!(store.insert_durable([8; 32]).is_err());
    assert!(store.checkpoint().is_err());
    assert_eq!(store.leaf(3).unwrap(), leaves(100, 1)[3]);
    assert!(store.close().is_err());
}

fn assert_holds(config: Config, own: &[Hash]) {
    let restored = Store::open(config).unwrap();
    assert_eq!(restored.size(), TreeSize(own.len() as u64));
    assert_eq!(restored.head().unwrap().root, root_of(&Blake3, Arity::Four, own));
    restored.close().unwrap();
}

/// Every file with its bytes.
fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for inner in Dir::INNER {
        for entry in fs::read_dir(dir.join(inner.path())).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(dir).unwrap().display().to_string();
            files.insert(name, fs::read(&path).unwrap());
        }
    }
    files
}

/// Has the files of `copy` in `dir`, as programs do it that bring one directory in step with another: what is equal
/// stays, everything else is removed or gets a new file.
fn restore(copy: &Path, dir: &Path) {
    let (wanted, there) = (files(copy), files(dir));
    for name in there.iter().filter(|(name, bytes)| wanted.get(*name) != Some(bytes)) {
        fs::remove_file(dir.join(name.0)).unwrap();
    }
    // Two files of one tick of the system's clock cannot be told apart if they have the same number.
    std::thread::sleep(Duration::from_millis(30));
    for (name, bytes) in wanted.iter().filter(|(name, bytes)| there.get(*name) != Some(bytes)) {
        fs::write(dir.join(name), bytes).unwrap();
    }
}

#[test]
fn a_copy_that_is_restored_in_place_under_a_writer_stays_whole_and_nothing_more_is_acknowledged() {
    let own = leaves(100, 1);
    for (flush, checkpoint) in policies() {
        for first in FIRST {
            println!("{flush:?}, {checkpoint:?}, {first}");
            let temp = tempfile::tempdir().unwrap();
            let [path, copy] = ["s", "copy"].map(|name| temp.path().join(name));
            let config =
                || Config::new(&path).flush_policy(flush).checkpoint_policy(checkpoint.clone());
            let store = Store::open(config()).unwrap();
            store.insert_many(&own).unwrap();
            store.snapshot_to(&copy).unwrap();
            store.insert_many(&leaves(40, 2)).unwrap();
            store.flush().unwrap();
            store.wait_idle();
            restore(&copy, &path);
            let before = files(&path);
            assert_stops(store, first);
            assert_eq!(files(&path), before);
            assert_holds(config(), &own);
        }
    }
}

/// A checkpoint that has nothing to write says that everything is in the last one: that must still be there.
#[test]
fn a_checkpoint_that_has_nothing_to_write_notices_a_restored_copy() {
    let own = leaves(100, 1);
    let temp = tempfile::tempdir().unwrap();
    let [path, copy] = ["s", "copy"].map(|name| temp.path().join(name));
    let config = || {
        Config::new(&path)
            .flush_policy(FlushPolicy::Manual)
            .checkpoint_policy(CheckpointPolicy::manual())
    };
    let store = Store::open(config()).unwrap();
    store.insert_many(&own).unwrap();
    store.snapshot_to(&copy).unwrap();
    store.insert_many(&leaves(40, 2)).unwrap();
    store.checkpoint().unwrap();
    assert!(store.checkpoint().unwrap().trees.is_empty());
    restore(&copy, &path);
    let before = files(&path);
    assert_stops(store, "checkpoint");
    assert_eq!(files(&path), before);
    assert_holds(config(), &own);
}

#[test]
fn nothing_is_acknowledged_in_a_segment_that_was_removed() {
    for moved in [false, true] {
        for first in FIRST {
            let temp = tempfile::tempdir().unwrap();
            let path = temp.path().join("s");
            let store = Store::open(Config::new(&path)).unwrap();
            store.insert_many(&leaves(100, 1)).unwrap();
            store.flush().unwrap();
            store.wait_idle();
            for entry in fs::read_dir(path.join("wal")).unwrap() {
                let entry = entry.unwrap();
                if moved {
                    fs::rename(entry.path(), temp.path().join(entry.file_name())).unwrap();
                } else {
                    fs::remove_file(entry.path()).unwrap();
                }
            }
            assert_stops(store, first);
        }
    }
}

/// What was acknowledged stands in the log, which the manifest that was removed led to. None is put in its place.
#[test]
fn no_manifest_and_no_segment_follows_a_manifest_that_was_removed() {
    for first in ["many", "checkpoint", "close"] {
        let temp = tempfile::tempdir().unwrap();
        let store = Store::open(Config::new(temp.path())).unwrap();
        store.insert_many(&leaves(100, 1)).unwrap();
        store.flush().unwrap();
        store.wait_idle();
        for name in files(temp.path()).keys().filter(|name| name.starts_with("manifest")) {
            fs::remove_file(temp.path().join(name)).unwrap();
        }
        let before = files(temp.path());
        assert_stops(store, first);
        assert_eq!(files(temp.path()).len(), before.len(), "{first}");
    }
}

#[test]
fn a_manifest_that_the_store_ignores_may_be_removed() {
    for far in [1_u64 << 40, 1 << 61] {
        let temp = tempfile::tempdir().unwrap();
        Store::open(Config::new(temp.path())).unwrap().close().unwrap();
        let planted = temp.path().join(format!("manifest/{far:08}.manifest"));
        fs::write(&planted, "").unwrap();
        let store = Store::open(Config::new(temp.path())).unwrap();
        fs::remove_file(&planted).unwrap();
        store.insert_durable([1; 32]).unwrap();
        store.checkpoint().unwrap();
        store.close().unwrap();
    }
}

/// Leaves that no log has any more: what a checkpoint adds to them could not be read either.
#[test]
fn no_manifest_names_a_part_that_was_removed_before() {
    for indexed_too in [false, true] {
        let temp = tempfile::tempdir().unwrap();
        let store = Store::open(Config::new(temp.path())).unwrap();
        store.insert_many(&leaves(5000, 1)).unwrap();
        store.checkpoint().unwrap();
        store.wait_idle();
        let manifests = |files: &BTreeMap<String, Vec<u8>>| {
            files.keys().filter(|name| name.starts_with("manifest")).cloned().collect::<Vec<_>>()
        };
        let before = files(temp.path());
        for name in before.keys().filter(|name| name.starts_with("parts")) {
            if indexed_too || name.ends_with(".part") {
                fs::remove_file(temp.path().join(name)).unwrap();
            }
        }
        // It goes to the log, which is there.
        store.insert_durable([6; 32]).unwrap();
        assert_stops(store, "checkpoint");
        assert_eq!(manifests(&files(temp.path())), manifests(&before));
    }
}

/// The copy has the numbers of the store that was read before.
#[test]
fn a_reader_shows_a_copy_that_is_restored_in_place_and_what_follows_it() {
    let own = leaves(100, 1);
    for checkpointed in [false, true] {
        let temp = tempfile::tempdir().unwrap();
        let [path, copy] = ["s", "copy"].map(|name| temp.path().join(name));
        let store = Store::open(Config::new(&path)).unwrap();
        store.insert_many(&own).unwrap();
        store.snapshot_to(&copy).unwrap();
        store.insert_many(&leaves(40, 2)).unwrap();
        if checkpointed {
            store.checkpoint().unwrap();
        }
        store.close().unwrap();
        let reader = Store::open_read_only(Config::new(&path)).unwrap();
        let all = StoreReader::open(Config::new(&path)).unwrap();
        restore(&copy, &path);
        let look = || {
            all.refresh().unwrap();
            let size = reader.refresh().unwrap();
            assert_eq!(all.tree("main").unwrap().head().unwrap(), reader.head().unwrap());
            size
        };
        assert_eq!(look(), TreeSize(100));
        assert_eq!(reader.head().unwrap().root, root_of(&Blake3, Arity::Four, &own));
        let store = Store::open(Config::new(&path)).unwrap();
        store.insert_many(&leaves(60, 3)).unwrap();
        store.flush().unwrap();
        assert_eq!(look(), TreeSize(160));
        assert_eq!(reader.head().unwrap(), store.head().unwrap());
    }
}

/// A store on a simulated disk with these leaves, and the files as they were then.
fn simulated(
    policy: (FlushPolicy, CheckpointPolicy),
    own: &[Hash],
) -> (SimDisk, Store, BTreeMap<FileName, Vec<u8>>) {
    let disk = SimDisk::new();
    let store = Store::open(on(&disk, policy)).unwrap();
    store.insert_many(own).unwrap();
    store.flush().unwrap();
    store.wait_idle();
    let then = disk.files().into_iter().map(|name| (name, disk.read(name).unwrap())).collect();
    store.insert_many(&leaves(40, 2)).unwrap();
    store.flush().unwrap();
    store.wait_idle();
    (disk, store, then)
}

fn on(disk: &SimDisk, (flush, checkpoint): (FlushPolicy, CheckpointPolicy)) -> Config {
    Config::new("simulated")
        .file_system(Arc::new(disk.clone()))
        .flush_policy(flush)
        .checkpoint_policy(checkpoint)
}

/// As [`restore`]. Handles of files that were removed stay usable.
fn restore_on(disk: &SimDisk, wanted: &BTreeMap<FileName, Vec<u8>>) {
    let differs = |name: &FileName| disk.read(*name).as_ref() != wanted.get(name);
    for name in disk.files().into_iter().filter(differs) {
        disk.remove(name).unwrap();
    }
    for (name, bytes) in wanted {
        if disk.read(*name).is_none() {
            let file = disk.create(*name).unwrap();
            file.write_at(ByteOffset(0), &mut [IoSlice::new(bytes)]).unwrap();
            file.sync().unwrap();
        }
    }
    Dir::INNER.iter().for_each(|dir| disk.sync_dir(*dir).unwrap());
}

#[test]
fn a_copy_that_is_restored_on_the_simulated_disk_stays_whole_and_nothing_more_is_acknowledged() {
    let own = leaves(100, 1);
    for policy in policies() {
        for first in FIRST {
            println!("{policy:?}, {first}");
            let (disk, store, then) = simulated(policy.clone(), &own);
            restore_on(&disk, &then);
            assert_stops(store, first);
            // A segment that was made ahead may stand beside them.
            for (name, bytes) in &then {
                assert_eq!(disk.read(*name).as_ref(), Some(bytes), "{name}");
            }
            assert_holds(on(&disk, policy.clone()), &own);
        }
    }
}

/// The moment before a group is acknowledged, and the one before a manifest gets its name.
#[test]
fn a_copy_that_is_restored_while_a_sync_runs_stays_whole_and_nothing_more_is_acknowledged() {
    let own = leaves(100, 1);
    let manual = (FlushPolicy::Manual, CheckpointPolicy::manual());
    for (kind, first) in [(FileKind::Segment, "insert"), (FileKind::Manifest, "checkpoint")] {
        let (disk, store, then) = simulated(manual.clone(), &own);
        let hold = disk.hold(When::nth(OperationKind::Sync, 1).on(kind));
        std::thread::scope(|threads| {
            let stops = threads.spawn(|| assert_stops(store, first));
            hold.wait_reached();
            restore_on(&disk, &then);
            drop(hold);
            stops.join().unwrap();
        });
        assert_holds(on(&disk, manual.clone()), &own);
    }
}

/// The log has left a segment which the copy needs and has as it was. It is neither used again nor removed.
#[test]
fn a_segment_that_the_log_has_released_stays_if_a_restored_copy_needs_it() {
    let own = leaves(5000, 1);
    for spare in [0, 64 << 20] {
        let disk = SimDisk::new();
        let config = || {
            let config = on(&disk, (FlushPolicy::Manual, CheckpointPolicy::manual()));
            config.wal_segment_bytes(64 << 10).unwrap().wal_spare_bytes(spare)
        };
        let store = Store::open(config()).unwrap();
        for some in own.chunks(500) {
            store.insert_many(some).unwrap();
            store.flush().unwrap();
        }
        store.wait_idle();
        let then: BTreeMap<_, _> =
            disk.files().into_iter().map(|name| (name, disk.read(name).unwrap())).collect();
        // Without spare files the segments are removed once the manifest has its name.
        if spare == 0 {
            let hold = disk.hold(When::nth(OperationKind::Remove, 1).on(FileKind::Segment));
            std::thread::scope(|threads| {
                let checkpoint = threads.spawn(|| store.checkpoint());
                hold.wait_reached();
                restore_on(&disk, &then);
                drop(hold);
                checkpoint.join().unwrap().unwrap();
            });
        } else {
            store.checkpoint().unwrap();
            store.wait_idle();
            restore_on(&disk, &then);
        }
        assert!(store.insert_many(&leaves(100_000, 3)).and_then(|_| store.flush()).is_err());
        assert!(store.close().is_err());
        assert_holds(config(), &own);
    }
}
