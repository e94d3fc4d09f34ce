//! Objects that claim to be terabytes long: every call says which one it is, and takes no memory for it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test panics when a promise is broken")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use duramen::{Blake3, CheckpointPolicy, Config, EntryConfig, Store};
use duramen_remote::{Error, Level, Remote, ShipConfig, ShipPolicy, Shipper};

/// More than any machine has, and what all file systems with holes take.
const HUGE: u64 = 8 << 40;

type Objects = Vec<(PathBuf, Vec<u8>)>;

struct Place {
    dir: tempfile::TempDir,
    store: Store,
    objects: Objects,
}

impl Place {
    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A new directory with a bucket of these objects.
    fn bucket(&self, name: &str) -> (PathBuf, Remote) {
        let dir = self.path(name);
        for (object, bytes) in &self.objects {
            let path = dir.join(object);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        let remote = Remote::new(&format!("file://{}", dir.display())).unwrap();
        (dir, remote.give_up_after(1))
    }

    fn ship(&self, remote: &Remote) -> Result<Shipper, Error> {
        let config = ShipConfig::new(self.path("store")).policy(ShipPolicy::Manual).slot_bytes(1);
        remote.ship(&self.store, config)
    }
}

fn files(dir: &Path, below: &Path, found: &mut Objects) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, below, found);
        } else {
            let name = path.strip_prefix(below).unwrap().to_owned();
            found.push((name, fs::read(path).unwrap()));
        }
    }
}

/// A store that is shipped to a bucket with all kinds of objects: behind its state are two slots, of which one has its
/// records in an object of their own.
fn shipped() -> Place {
    let dir = tempfile::tempdir().unwrap();
    let config =
        Config::new(dir.path().join("store")).checkpoint_policy(CheckpointPolicy::manual());
    let store = Store::open(config).unwrap();
    let entries = EntryConfig::new().longest(8 << 20).unwrap();
    let tree = store.tree_with_entries::<Blake3, 4>("log", entries).unwrap();
    let mut place = Place { dir, store, objects: Vec::new() };
    let (bucket, remote) = place.bucket("bucket");
    remote.init(&place.store).unwrap();
    drop(tree.insert_entry([1; 50]).unwrap());
    place.store.checkpoint().unwrap();
    let shipper = place.ship(&remote).unwrap();
    for entry in [vec![2; 50], vec![3; 5 << 20]] {
        drop(tree.insert_entry(entry).unwrap());
        shipper.flush_to(Level::Remote).unwrap();
    }
    shipper.close().unwrap();
    files(&bucket, &bucket, &mut place.objects);
    place.objects.sort();
    place
}

#[test]
fn an_object_that_is_far_too_long_is_called_damaged_by_every_call() {
    let place = shipped();
    let fence = PathBuf::from(format!("wal/{:020}", 0));
    let mut kinds = BTreeSet::new();
    for (number, (object, bytes)) in place.objects.iter().enumerate() {
        let name = object.to_str().unwrap();
        let kind = name.split('/').next().unwrap();
        kinds.insert(kind.to_owned());
        let (bucket, remote) = place.bucket(&format!("bucket {number}"));
        let grown = fs::File::options().write(true).open(bucket.join(object)).unwrap();
        grown.set_len(HUGE).unwrap();
        let says = |call: &str, error: &Error| {
            let Error::Damaged { name: damaged, what } = error else {
                panic!("{call}, {name}: {error}")
            };
            assert_eq!(damaged, name, "{call}: {what}");
            assert!(what.contains("8796093022208 bytes"), "{call}, {name}: {what}");
        };
        // No call but the check reads the fence below the state. Status and takeovers read no parts.
        let is_fence = *object == fence;
        let is_read = kind != "part" && !is_fence;
        match remote.fsck() {
            Ok(survey) => {
                let found = survey.findings.iter().find(|finding| finding.object == name);
                says("fsck", &found.unwrap_or_else(|| panic!("{name}: {survey:?}")).problem);
            }
            Err(error) => says("fsck", &error),
        }
        match remote.status() {
            Ok(_) => assert!(!is_read, "{name}"),
            Err(error) => says("status", &error),
        }
        let copy = place.path(&format!("copy {number}"));
        match remote.restore(&copy) {
            Ok(_) => assert!(is_fence, "{name}"),
            Err(error) => says("restore", &error),
        }
        match place.ship(&remote) {
            Ok(shipper) => {
                assert!(!is_read, "{name}");
                shipper.flush_to(Level::Remote).unwrap();
                shipper.close().unwrap();
            }
            Err(error) => says("ship", &error),
        }
        let taken = place.path(&format!("taken {number}"));
        match remote.take_over(&taken) {
            Ok(_) => assert!(is_fence, "{name}"),
            Err(error) => says("takeover", &error),
        }
        // What is damaged is left to people.
        let mut found = vec![0; bytes.len()];
        std::os::unix::fs::FileExt::read_exact_at(
            &fs::File::open(bucket.join(object)).unwrap(),
            &mut found,
            0,
        )
        .unwrap();
        assert_eq!(found, *bytes, "{name}");
        fs::remove_dir_all(bucket).unwrap();
    }
    let all = ["blob", "epoch", "manifest", "part", "state", "store", "wal"];
    assert_eq!(kinds.iter().map(String::as_str).collect::<Vec<_>>(), all);
}

/// A slot that comes into being while a shipper is at work is not read into memory either.
#[test]
fn a_shipper_that_meets_a_huge_object_says_so_and_the_store_goes_on() {
    let place = shipped();
    let (bucket, remote) = place.bucket("another");
    let shipper = place.ship(&remote).unwrap();
    let next = remote.status().unwrap().next_slot;
    let planted = fs::File::create(bucket.join(format!("wal/{next:020}"))).unwrap();
    planted.set_len(HUGE).unwrap();
    let tree = place.store.existing_tree("log").unwrap();
    tree.insert_entry([4; 50]).unwrap().token.wait().unwrap();
    let error = shipper.flush_to(Level::Remote).unwrap_err();
    assert!(matches!(error, Error::Damaged { .. }), "{error}");
    drop(shipper);
    tree.insert_entry([5; 50]).unwrap().token.wait().unwrap();
}
