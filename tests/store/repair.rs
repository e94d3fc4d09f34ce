//! A repair on a disk that does not keep what is written.

use std::ops::ControlFlow;
use std::sync::Arc;

use duramen::fs::{FileKind, FileName, Place};
use duramen::scrub::{self, Options};
use duramen::testing::sim::SimDisk;
use duramen::{Arity, Blake3, CheckpointPolicy, Config, DynAccumulator, Error, ReadMode};
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
