//! Every object of a bucket, deleted, cut short and changed: the check names it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test panics when a promise is broken")]

use std::future::Future;
use std::sync::Arc;

use duramen::{Blake3, CheckpointPolicy, Config, EntryConfig, Store};
use duramen_remote::{Error, Level, Remote, RemoteSurvey, ShipConfig, ShipPolicy};
use futures_util::TryStreamExt;
use futures_util::future::FutureExt;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};

/// Calls of a bucket in memory are ready at once.
fn now<T>(call: impl Future<Output = T>) -> T {
    call.now_or_never().unwrap()
}

type Objects = Vec<(Path, Vec<u8>)>;

fn objects(bucket: &InMemory) -> Objects {
    let found: Vec<_> = now(bucket.list(None).try_collect()).unwrap();
    let mut objects: Objects = found
        .into_iter()
        .map(|found| {
            let got = now(bucket.get(&found.location)).unwrap();
            (found.location, now(got.bytes()).unwrap().to_vec())
        })
        .collect();
    objects.sort();
    objects
}

fn survey(objects: &[(Path, Vec<u8>)]) -> Result<RemoteSurvey, Error> {
    let bucket = InMemory::new();
    for (name, bytes) in objects {
        now(bucket.put(name, bytes.clone().into())).unwrap();
    }
    Remote::from_object_store(Arc::new(bucket), "").unwrap().give_up_after(1).fsck()
}

/// A bucket with two epochs, parts, slots behind the state, and one that is too large for its object.
fn bucket() -> Objects {
    let bucket = Arc::new(InMemory::new());
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let config = Config::new(&path).checkpoint_policy(CheckpointPolicy::manual());
    let store = Store::open(config).unwrap();
    let tree = store
        .tree_with_entries::<Blake3, 4>("log", EntryConfig::new().longest(8 << 20).unwrap())
        .unwrap();
    let remote = Remote::from_object_store(Arc::clone(&bucket) as _, "").unwrap();
    remote.init(&store).unwrap();
    let by_hand = || ShipConfig::new(&path).policy(ShipPolicy::Manual).slot_bytes(1);
    for epoch in 0..2_u8 {
        let shipper = remote.ship(&store, by_hand()).unwrap();
        for leaf in 0..3 {
            drop(tree.insert_entry([epoch * 10 + leaf; 50]).unwrap());
            shipper.flush_to(Level::Remote).unwrap();
        }
        store.checkpoint().unwrap();
        while remote.status().unwrap().slots_behind_state > 0 {
            shipper.flush_to(Level::Remote).unwrap();
        }
        if epoch == 1 {
            for leaf in 0..3 {
                let entry = if leaf == 1 { vec![7; 5 << 20] } else { vec![leaf; 9] };
                drop(tree.insert_entry(entry).unwrap());
                shipper.flush_to(Level::Remote).unwrap();
            }
        }
        shipper.close().unwrap();
    }
    objects(&bucket)
}

#[test]
fn every_object_that_is_needed_is_missed_and_every_change_is_seen() {
    let all = bucket();
    let names: Vec<&str> = all.iter().map(|(name, _)| name.as_ref()).collect();
    let clean = survey(&all).unwrap();
    assert!(clean.findings.is_empty(), "{clean:?}");
    assert_eq!((clean.epoch, clean.garbage.len()), (2, 0), "{clean:?}");
    for folder in ["blob/", "epoch/", "manifest/", "part/", "state/", "wal/"] {
        assert!(names.iter().any(|name| name.starts_with(folder)), "{names:?}");
    }
    let newest = names.iter().rfind(|name| name.starts_with("manifest/")).unwrap();
    // Three slots are behind the state. The fences before them are needed by no object.
    let slots: Vec<&str> = names.iter().copied().filter(|name| name.starts_with("wal/")).collect();
    let (fences, behind) = slots.split_at(slots.len() - 3);
    let (last, needed) = behind.split_last().unwrap();
    let mut missed = Vec::new();
    for (index, (name, bytes)) in all.iter().enumerate() {
        let name: &str = name.as_ref();
        let mut without = all.clone();
        without.remove(index);
        match survey(&without) {
            Err(Error::NoStore) => assert_eq!(name, "store"),
            Ok(found) if found.findings.is_empty() => {
                // The log may as well end before its last slot.
                assert!(name == *last || fences.contains(&name), "{name} is not missed");
            }
            Ok(_) if fences.contains(&name) => panic!("{name} is missed"),
            Ok(_) => missed.push(name.to_owned()),
            Err(error) => panic!("without {name}: {error}"),
        }
        let mut changed = bytes.clone();
        let middle = changed.len() / 2;
        changed[middle] ^= 4;
        for damaged in [changed, bytes[..bytes.len() - 1].to_vec(), Vec::new()] {
            let mut with = all.clone();
            with[index].1 = damaged;
            let old = name.starts_with("manifest/") && name != *newest;
            match survey(&with) {
                // Of these only holes are looked for, and those on the way to the newest are read.
                Ok(_) if old => {}
                Ok(found) => {
                    let finding = found.findings.iter().find(|finding| finding.object == name);
                    let finding = finding.unwrap_or_else(|| panic!("{name}: {found:?}"));
                    assert!(matches!(finding.problem, Error::Damaged { .. }), "{finding:?}");
                }
                // Without it nothing else can be read.
                Err(Error::Damaged { .. }) => assert_eq!(name, "store"),
                Err(error) => panic!("{name}: {error}"),
            }
        }
    }
    assert!(needed.iter().all(|slot| missed.iter().any(|name| name == slot)), "{missed:?}");
}

#[test]
fn what_nothing_needs_is_listed_and_is_no_problem() {
    let mut all = bucket();
    let part = format!("part/{:020}-{:020}-{:05}", 1, 999, 0);
    all.push((Path::from(part.as_str()), vec![1; 100]));
    let found = survey(&all).unwrap();
    assert_eq!(found.garbage, [part]);
    assert!(found.findings.is_empty(), "{found:?}");
}

#[test]
fn an_object_behind_a_hole_is_a_finding() {
    let all = bucket();
    for folder in ["epoch", "manifest", "wal"] {
        let numbered = |object: &(Path, Vec<u8>)| object.0.as_ref().starts_with(folder);
        // All but the last of them are there, and an attacker has moved that one far away.
        let mut moved = all.clone();
        let last = moved.iter().rposition(numbered).unwrap();
        moved[last].0 = Path::from(format!("{folder}/{:020}", 40));
        let found = survey(&moved).unwrap();
        assert!(!found.findings.is_empty(), "{folder}: {found:?}");
    }
}
