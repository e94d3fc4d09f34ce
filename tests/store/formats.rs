//! Stores of older format versions, and one whose trees have used up their numbers: errors that say the fact, and nothing
//! changed.

use std::path::{Path, PathBuf};

use crc_fast::CrcAlgorithm::Crc64Nvme;
use duramen::{
    Accumulator, Blake3, CheckpointPolicy, Config, Error, FlushPolicy, Rfc6962Sha256, Store,
};
use testkit::stores::{copy_of, leaves, tree};
use testkit::words::words;

fn config(dir: &Path) -> Config {
    Config::new(dir)
        .flush_policy(FlushPolicy::Manual)
        .checkpoint_policy(CheckpointPolicy::manual())
        .create(false)
}

/// A store with a part of the tree `main` and, where `grown`, groups of the log behind its last manifest.
fn filled(grown: bool) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(config(dir.path()).create(true)).unwrap();
    let main = store.tree::<Blake3, 4>("main").unwrap();
    main.insert_many(&leaves(100, 1)).unwrap();
    store.checkpoint().unwrap();
    if grown {
        main.insert_many(&leaves(10, 2)).unwrap();
        store.tree::<Rfc6962Sha256, 2>("other").unwrap().insert([3; 32]).unwrap();
    }
    store.close().unwrap();
    dir
}

/// The last file of a folder of the store.
fn last(dir: &Path, folder: &str) -> PathBuf {
    let files = std::fs::read_dir(dir.join(folder)).unwrap();
    files.map(|file| file.unwrap().path()).max().unwrap()
}

/// Makes the checksum right that covers all bytes before it and stands at their end.
fn seal(bytes: &mut [u8]) {
    let at = bytes.len() - 8;
    let sum = crc_fast::checksum(Crc64Nvme, &bytes[..at]);
    bytes[at..].copy_from_slice(&sum.to_le_bytes());
}

/// Where headers with a version begin, and their length. Each ends with its checksum.
fn headers(folder: &str, bytes: &[u8]) -> (Vec<usize>, usize) {
    match folder {
        "manifest" => (vec![0], bytes.len()),
        "parts" => (vec![0], 4096),
        _ => {
            let blocks = (0..bytes.len()).step_by(4096);
            (blocks.filter(|at| bytes[*at..].starts_with(b"duraWAL\n")).collect(), 128)
        }
    }
}

#[test]
fn every_older_format_is_refused_by_its_version_and_nothing_changes() {
    let dir = filled(true);
    for folder in ["manifest", "parts", "wal"] {
        let path = last(dir.path(), folder);
        let bytes = std::fs::read(&path).unwrap();
        let (headers, len) = headers(folder, &bytes);
        let ours = bytes[headers[0] + 8];
        assert!(ours > 1, "{folder}");
        for version in 0..ours {
            let copy = copy_of(dir.path());
            let mut bytes = bytes.clone();
            for at in &headers {
                bytes[at + 8] = version;
                seal(&mut bytes[*at..at + len]);
            }
            let old = copy.path().join(folder).join(path.file_name().unwrap());
            std::fs::write(&old, bytes).unwrap();
            let before = tree(copy.path());
            let refuse = |error: Error| {
                let Error::UnknownFormat { path, found, supported, .. } = &error else {
                    panic!("{folder}, version {version}: {error}");
                };
                assert_eq!((path, *found, *supported), (&old, version.into(), ours.into()));
                let words = words(&error);
                assert!(words.contains(&format!("version {version}")), "{words}");
            };
            refuse(Accumulator::<Blake3, 4>::open(config(copy.path())).unwrap_err());
            refuse(Accumulator::<Blake3, 4>::open_read_only(config(copy.path())).unwrap_err());
            assert_eq!(tree(copy.path()), before, "{folder}, version {version}");
        }
    }
}

#[test]
fn after_2_to_the_32_trees_another_one_is_refused_and_nothing_changes() {
    let dir = filled(false);
    // As if all numbers but one had been used, by trees that were dropped.
    let manifest = last(dir.path(), "manifest");
    let mut bytes = std::fs::read(&manifest).unwrap();
    assert_eq!(bytes[72..80], 1_u64.to_le_bytes(), "the next tree's number");
    bytes[72..80].copy_from_slice(&u64::from(u32::MAX).to_le_bytes());
    seal(&mut bytes);
    std::fs::write(&manifest, bytes).unwrap();
    let is_refused = |store: &Store| {
        let before = (store.head().unwrap(), store.trees().unwrap(), store.stats().pending);
        let error = store.tree::<Blake3, 4>("one more").unwrap_err();
        assert!(matches!(&error, Error::TooManyTrees { path } if path == dir.path()), "{error}");
        let after = (store.head().unwrap(), store.trees().unwrap(), store.stats().pending);
        assert_eq!(after, before);
    };
    let mut store = Store::open(config(dir.path())).unwrap();
    store.tree::<Blake3, 4>("last").unwrap().insert([4; 32]).unwrap();
    assert_eq!(store.trees().unwrap()[0].id, u32::MAX);
    for round in 0..4 {
        is_refused(&store);
        match round {
            0 => store.flush().unwrap(),
            1 => drop(store.checkpoint().unwrap()),
            // Its number is not free by that.
            2 => drop(store.drop_tree("last").unwrap()),
            _ => {}
        }
        store.close().unwrap();
        store = Store::open(config(dir.path())).unwrap();
    }
    is_refused(&store);
    let main = store.existing_tree("main").unwrap();
    main.insert([5; 32]).unwrap();
    assert_eq!(main.size().get(), 101);
}
