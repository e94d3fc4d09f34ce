//! A repair on a disk that does not keep what is written.

use std::ops::ControlFlow;
use std::sync::Arc;

use duramen::fs::{FileKind, FileName, Place};
use duramen::scrub::{self, Options};
use duramen::testing::sim::SimDisk;
use duramen::{
    Arity, Blake3, CheckpointPolicy, CompactionPolicy, Config, DynAccumulator, EntryConfig, Error,
    Hash, Hasher, ReadMode, Store, TreeConfig,
};
use testkit::hooked::Hooked;
use testkit::stores::leaves;

const BLOCK: usize = 4096;

fn config(place: Arc<dyn Place>) -> Config {
    Config::new("store")
        .file_system(place)
        .checkpoint_policy(CheckpointPolicy::manual())
        .read_mode(ReadMode::Pread)
}

/// The disk changes what was written for the repair, and only in what comes back later.
#[test]
fn a_repair_that_does_not_read_back_as_it_was_written_is_not_published() {
    let disk = SimDisk::new();
    let store = DynAccumulator::open(config(Arc::new(disk.clone())), Arc::new(Blake3), Arity::Four)
        .unwrap();
    let all = leaves(700, 7);
    store.insert_many(&all).unwrap();
    store.checkpoint().unwrap();
    store.close().unwrap();
    let of = |kind| -> Vec<FileName> {
        disk.files().into_iter().filter(|file| file.kind == kind).collect()
    };
    let [part] = of(FileKind::Part)[..] else { panic!("{:?}", disk.files()) };
    // The leaves take blocks 1 to 6, and their parents block 7.
    let mut bytes = disk.read(part).unwrap();
    bytes[7 * BLOCK + 5] ^= 1;
    disk.put(part, &bytes);
    let before = disk.files();
    let scrub = |place: Arc<dyn Place>| {
        let options = Options::new().repair(true);
        scrub::run(&config(place), &options, &mut |_| ControlFlow::Continue(()))
    };
    for block in [1, 6, 7] {
        let lying = Hooked::new(&disk).on_read(move |name, at, bytes| {
            let wrong = (block * BLOCK + 9) as u64;
            if name.kind == FileKind::Part
                && name.number > part.number
                && let Some(byte) = wrong.checked_sub(at).and_then(|at| usize::try_from(at).ok())
                && let Some(byte) = bytes.get_mut(byte)
            {
                *byte ^= 1;
            }
        });
        let error = scrub(Arc::new(lying)).unwrap_err();
        assert!(matches!(error, Error::Damaged(_)), "block {block}: {error}");
        assert_eq!(disk.files(), before, "block {block}: nothing is published, and nothing left");
    }
    let report = scrub(Arc::new(disk.clone())).unwrap();
    assert_eq!((report.rebuilt.len(), report.is_clean()), (1, true));
    assert_eq!(of(FileKind::Part).len(), 2);
}

/// Byte 5 of each block of the columns, and byte 4000: in the block at the border that is a hidden node.
#[test]
fn damage_of_a_part_that_a_rewind_cut_is_repaired_where_it_is_read_and_is_none_where_it_is_hidden()
{
    let whole = SimDisk::new();
    let open = |disk: &SimDisk| {
        let config = config(Arc::new(disk.clone())).compaction_policy(CompactionPolicy::Off);
        Store::open(config).unwrap()
    };
    let tree = |store: &Store| {
        store
            .tree_dyn("main", TreeConfig::of::<Blake3, 4>().entries(EntryConfig::default()))
            .unwrap()
    };
    let entries: Vec<_> = (0..4000_u64).map(|index| format!("entry {index}")).collect();
    let store = open(&whole);
    tree(&store).insert_entries(&entries[..3000]).unwrap();
    store.checkpoint().unwrap();
    tree(&store).rewind(2000).unwrap();
    tree(&store).insert_entries(&entries[3000..]).unwrap();
    store.checkpoint().unwrap();
    let head = tree(&store).head().unwrap();
    store.close().unwrap();
    let scrub = |disk: &SimDisk, repair| {
        let (config, options) = (config(Arc::new(disk.clone())), Options::new().repair(repair));
        scrub::run(&config, &options, &mut |_| ControlFlow::Continue(())).unwrap()
    };
    assert_eq!(scrub(&whole, false).findings.len(), 0);
    let mut parts: Vec<_> =
        whole.files().into_iter().filter(|file| file.kind == FileKind::Part).collect();
    parts.sort_unstable();
    let cut = parts[0];
    let bytes = whole.read(cut).unwrap();
    // Of 3,000 leaves, 128 in a block, the first 2,000 count: 16 of 24 blocks. Above: 4 of 6, 1 of 2, and one each.
    let hidden = [17..=24, 29..=30, 32..=32];
    let mut repaired = 0;
    for block in 1..=35 {
        for at in [5, 4000] {
            let disk = whole.kill();
            let mut damaged = bytes.clone();
            damaged[block * BLOCK + at] ^= 1;
            disk.put(cut, &damaged);
            let is_hidden = hidden.iter().any(|blocks| blocks.contains(&block));
            let found = scrub(&disk, true);
            assert_eq!(found.findings.is_empty(), is_hidden, "block {block} at {at}: {found:?}");
            repaired += found.rebuilt.len();
            let again = scrub(&disk, false);
            assert!(again.findings.is_empty(), "block {block} at {at}: {again:?}");
            let store = open(&disk);
            let tree = tree(&store);
            assert_eq!(tree.head().unwrap(), head, "block {block} at {at}");
            let all: Vec<_> = (0..3000).map(|index| tree.leaf(index).unwrap()).collect();
            let known: Vec<Hash> = entries[..2000]
                .iter()
                .chain(&entries[3000..])
                .map(|entry| Blake3.leaf(entry.as_bytes()))
                .collect();
            assert_eq!(all, known, "block {block} at {at}");
            assert_eq!(&*tree.entry(1999).unwrap(), b"entry 1999");
            store.close().unwrap();
        }
    }
    assert_eq!(repaired, 48);
}
