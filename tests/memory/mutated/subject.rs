//! The stores whose files are changed.

use std::sync::Arc;

use duramen::fs::{FileKind, FileName};
use duramen::testing::sim::{CrashChoice, SimDisk};
use duramen::{
    Arity, Blake3, CheckpointPolicy, CompactionPolicy, Compression, Config, DynAccumulator,
    EntryConfig, FlushPolicy, Hash, Store,
};
use testkit::stores::leaves;

pub(crate) fn config(disk: &SimDisk) -> Config {
    Config::new("store")
        .file_system(Arc::new(disk.clone()))
        .create(false)
        .flush_policy(FlushPolicy::Manual)
        .checkpoint_policy(CheckpointPolicy::manual())
        .compaction_policy(CompactionPolicy::Off)
        .wal_segment_bytes(16 << 10)
        .unwrap()
        .wal_spare_bytes(16 << 10)
        .wal_group_bytes(2048)
}

pub(crate) fn open(disk: &SimDisk) -> Result<DynAccumulator, duramen::Error> {
    DynAccumulator::open(config(disk), Arc::new(Blake3), Arity::Four)
}

/// The files of a store.
#[derive(Clone)]
pub(crate) struct Subject {
    pub(crate) name: &'static str,
    pub(crate) files: Vec<(FileName, Vec<u8>)>,
}

impl Subject {
    fn of(name: &'static str, disk: &SimDisk) -> Self {
        let files = disk.files().into_iter().map(|file| (file, disk.read(file).unwrap()));
        Self { name, files: files.collect() }
    }

    /// The numbers of its files of this kind.
    pub(crate) fn places(&self, kind: FileKind) -> Vec<usize> {
        let numbered = self.files.iter().enumerate();
        numbered.filter(|(_, (file, _))| file.kind == kind).map(|(place, _)| place).collect()
    }

    pub(crate) fn disk(&self) -> SimDisk {
        let disk = SimDisk::new();
        disk.make_dirs().unwrap();
        for (file, bytes) in &self.files {
            disk.put(*file, bytes);
        }
        disk
    }
}

fn flush(store: &DynAccumulator, leaves: &[Hash]) {
    store.insert_many(leaves).unwrap();
    store.flush().unwrap();
    store.wait_idle();
}

/// Two parts, and a log of a closed stretch, of several segments, of groups in pieces.
fn grown() -> (SimDisk, DynAccumulator) {
    let disk = SimDisk::new();
    let all = leaves(400, 1);
    let store =
        DynAccumulator::open(config(&disk).create(true), Arc::new(Blake3), Arity::Four).unwrap();
    flush(&store, &all[..150]);
    store.checkpoint().unwrap();
    flush(&store, &all[150..163]);
    store.checkpoint().unwrap();
    flush(&store, &all[163..180]);
    // One that is not closed in order, after which the log goes on elsewhere.
    disk.stop_after(0);
    drop(store);
    let disk = disk.crash(CrashChoice::AllKept);
    let store = open(&disk).unwrap();
    flush(&store, &all[180..181]);
    // In pieces.
    flush(&store, &all[181..330]);
    flush(&store, &all[330..331]);
    (disk, store)
}

/// A tree that keeps entries: two parts, the second of which begins within a bundle, and a log.
fn with_entries(compression: Compression) -> SimDisk {
    let disk = SimDisk::new();
    let store = Store::open(config(&disk).create(true)).unwrap();
    let kept = EntryConfig::new().compression(compression);
    let tree = store.tree_with_entries::<Blake3, 4>("main", kept).unwrap();
    for to in [300, 330, 350] {
        let entries: Vec<_> = (tree.size().get()..to).map(entry).collect();
        tree.insert_entries(&entries).unwrap();
        if to < 350 {
            store.checkpoint().unwrap();
        }
    }
    store.close().unwrap();
    disk
}

/// Three trees, and a manifest that has what changed of one since another manifest, and a tree that is gone.
fn with_changes() -> SimDisk {
    let disk = SimDisk::new();
    let store = Store::open(config(&disk).create(true).whole_manifests_below(0)).unwrap();
    let trees = ["main", "b", "c", "d"].map(|name| store.tree::<Blake3, 4>(name).unwrap());
    for (tree, count) in trees.iter().zip([150, 3, 5, 1]) {
        tree.insert_many(&leaves(count, 1)).unwrap();
    }
    store.checkpoint().unwrap();
    trees[0].insert_many(&leaves(10, 2)).unwrap();
    drop(store.drop_tree("c").unwrap());
    store.checkpoint().unwrap();
    trees[0].insert_many(&leaves(20, 3)).unwrap();
    store.close().unwrap();
    disk
}

fn entry(index: u64) -> Vec<u8> {
    format!("entry {index} ").into_bytes().repeat(usize::try_from(index % 5).unwrap())
}

pub(crate) fn subjects() -> Vec<Subject> {
    let (disk, store) = grown();
    let killed = Subject::of("killed", &disk.kill());
    store.close().unwrap();
    vec![
        killed,
        Subject::of("closed", &disk),
        Subject::of("entries", &with_entries(Compression::None)),
        Subject::of("changes", &with_changes()),
        Subject::of("compressed entries", &with_entries(Compression::zstd(1).unwrap())),
    ]
}
