//! `ReadMode::Pread`: the same answers as mapped parts, and typed errors where the disk fails.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Arc, Mutex};

use duramen::fs::{FileKind, FileName};
use duramen::scrub::{self, Element, Options};
use duramen::testing::sim::{FaultError, SimDisk};
use duramen::{
    Arity, Blake3, CheckpointPolicy, CompactionPolicy, Config, DynAccumulator, Error, Event,
    FlushPolicy, Hash, Problem, ReadMode, Reader, Result,
};
use testkit::hooked::Hooked;
use testkit::stores::{leaves, root_of};

const BLOCK: u64 = 4096;

fn policies(config: Config) -> Config {
    config
        .flush_policy(FlushPolicy::Manual)
        .checkpoint_policy(CheckpointPolicy::manual().on_close(false))
        .compaction_policy(CompactionPolicy::Off)
        .wal_segment_bytes(64 << 10)
        .unwrap()
}

fn on_disk(dir: &Path, mode: ReadMode) -> Config {
    policies(Config::new(dir)).read_mode(mode)
}

fn simulated(disk: &SimDisk) -> Config {
    policies(Config::new("simulated"))
        .file_system(Arc::new(disk.clone()))
        .read_mode(ReadMode::Pread)
}

fn open(config: Config) -> Result<DynAccumulator> {
    DynAccumulator::open(config, Arc::new(Blake3), Arity::Four)
}

/// A part for each of `sizes`, and 30 leaves in the log.
fn fill(config: Config, sizes: &[usize]) -> Vec<Hash> {
    let store = open(config).unwrap();
    let all = leaves(sizes.iter().sum::<usize>() + 30, 8);
    let mut at = 0;
    for size in sizes {
        store.insert_many(&all[at..at + size]).unwrap();
        store.checkpoint().unwrap();
        at += size;
    }
    store.insert_many(&all[at..]).unwrap();
    store.close().unwrap();
    all
}

fn scrubbed(store: &impl AsRef<DynAccumulator>) -> scrub::Report {
    let store = store.as_ref();
    store.scrub(&Options::new(), &mut |_| ControlFlow::Continue(())).unwrap()
}

/// Everything one can ask of a part, for every leaf: the errors.
fn ask(store: &impl AsRef<DynAccumulator>, size: u64) -> Vec<Error> {
    let store = store.as_ref();
    let mut errors = Vec::new();
    for index in 0..size {
        let asked = [
            store.leaf(index).map(drop),
            store.prove(index).map(drop),
            store.prove_at(index, index + 1).map(drop),
            store.head_at(index).map(drop),
            store.prove_consistency(index).map(drop),
            store.leaves(index..size.min(index + 200)).map(drop),
        ];
        errors.extend(asked.into_iter().filter_map(Result::err));
    }
    errors
}

#[test]
fn both_modes_answer_alike_and_what_one_writes_the_other_reads() {
    let dir = tempfile::tempdir().unwrap();
    let all = fill(on_disk(dir.path(), ReadMode::Mapped), &[300, 1, 290, 400]);
    let answers = |mode| {
        let store = open(on_disk(dir.path(), mode)).unwrap();
        let reader = Reader::open(on_disk(dir.path(), mode), store_hasher(), Arity::Four).unwrap();
        assert_eq!(reader.head().unwrap(), store.head().unwrap());
        assert_eq!(reader.leaves(0..all.len() as u64).unwrap(), all);
        assert!(scrubbed(&store).is_clean());
        let mut answers = Vec::new();
        for index in 0..all.len() as u64 {
            answers.push((
                store.leaf(index).unwrap(),
                store.prove(index).unwrap(),
                store.prove_at(index, index + 1).unwrap(),
                store.head_at(index).unwrap(),
                store.prove_consistency(index).unwrap(),
            ));
        }
        assert_eq!(store.leaves(0..all.len() as u64).unwrap(), all);
        store.close().unwrap();
        answers
    };
    assert!(answers(ReadMode::Mapped) == answers(ReadMode::Pread));

    // Checkpoints and merges of the one are read by the other.
    let merging = on_disk(dir.path(), ReadMode::Pread)
        .compaction_policy(CompactionPolicy::tiered(2).unwrap());
    let store = open(merging).unwrap();
    store.checkpoint().unwrap();
    store.wait_idle();
    assert!(store.stats().compactions > 0);
    assert!(ask(&store, all.len() as u64).is_empty());
    store.close().unwrap();
    assert!(answers(ReadMode::Mapped) == answers(ReadMode::Pread));
    let report = scrub::run(&on_disk(dir.path(), ReadMode::Pread), &Options::new(), &mut |_| {
        ControlFlow::Continue(())
    });
    assert!(report.unwrap().is_clean());
}

fn store_hasher() -> Arc<dyn duramen::Hasher> {
    Arc::new(Blake3)
}

#[test]
fn a_part_that_is_cut_short_behind_the_stores_back_is_an_error_and_not_a_signal() {
    let dir = tempfile::tempdir().unwrap();
    let all = fill(on_disk(dir.path(), ReadMode::Mapped), &[5000, 700]);
    let config = || on_disk(dir.path(), ReadMode::Pread);
    let store = open(config().compaction_policy(CompactionPolicy::Off)).unwrap();
    let reader = Reader::open(config(), store_hasher(), Arity::Four).unwrap();
    let part = dir.path().join("parts/00000001.part");
    let file = std::fs::OpenOptions::new().write(true).open(&part).unwrap();
    let whole = file.metadata().unwrap().len();
    for len in [BLOCK * 3, BLOCK * 2 + 100, 1, 0] {
        file.set_len(len).unwrap();
        for found in [store.leaf(4000).unwrap_err(), reader.leaf(4000).unwrap_err()] {
            let Error::Damaged(damage) = found else { panic!("{found}") };
            assert_eq!(damage.file, part);
            let expected = Problem::Truncated { expected: whole, found: len };
            assert_eq!(damage.problem, expected);
        }
        let errors = ask(&store, all.len() as u64);
        assert!(!errors.is_empty());
        for error in errors {
            assert!(matches!(error, Error::Damaged(_)), "{error}");
        }
        let report = scrubbed(&store);
        assert!(report.findings.iter().any(|finding| finding.damage.file == part));
    }
    // What is not in the part goes on.
    let index = store.insert_durable([5; 32]).unwrap();
    assert_eq!(store.leaf(index).unwrap(), [5; 32]);
    assert_eq!(store.leaf(5500).unwrap(), all[5500]);
    store.close().unwrap();
    assert!(matches!(open(config()), Err(Error::Damaged(_))));
}

#[test]
fn a_read_that_fails_is_an_error_with_file_and_offset_and_the_next_one_may_succeed() {
    let disk = SimDisk::new();
    let all = fill(simulated(&disk), &[600, 150]);
    let size = all.len() as u64;
    let parts: Vec<FileName> =
        disk.files().into_iter().filter(|name| name.kind == FileKind::Part).collect();
    assert_eq!(parts.len(), 2);
    let mut failed = 0;
    for name in parts {
        let blocks = disk.read(name).unwrap().len() as u64 / BLOCK;
        for block in 0..blocks {
            let bytes = block * BLOCK..(block + 1) * BLOCK;
            // A store that has read nothing yet but what opening reads, and one that has read all.
            for warm in [false, true] {
                let store = open(simulated(&disk)).unwrap();
                if warm {
                    assert!(ask(&store, size).is_empty());
                }
                disk.fail_reads(name, bytes.clone(), FaultError::EIO);
                let snapshot = store.snapshot();
                let _ = snapshot.head();
                let errors = ask(&store, size);
                for error in &errors {
                    let Error::Io { path, offset: Some(offset), source, .. } = error else {
                        panic!("block {block} of {name}: {error}")
                    };
                    assert!(path.ends_with(name.to_string()), "{error}");
                    // A read of several blocks is reported by its start.
                    assert!(*offset < bytes.end, "{error} for {bytes:?}");
                    assert_eq!(source.raw_os_error(), Some(5));
                }
                let is_frame = block == 0 || block >= blocks - 1;
                assert!(is_frame || warm || !errors.is_empty(), "block {block} of {name}");
                failed += errors.len();
                let report = scrubbed(&store);
                assert!(report.findings.iter().all(|finding| {
                    matches!(finding.damage.problem, Problem::Unreadable { .. })
                        || finding.element == Element::File
                }));
                assert!(!report.is_clean(), "block {block} of {name}");

                disk.clear_faults();
                assert!(ask(&store, size).is_empty());
                let root = root_of(&Blake3, Arity::Four, &all);
                assert_eq!(store.head().unwrap().root, root);
                assert_eq!(snapshot.head().unwrap().root, root, "a failure was kept");
                assert!(scrubbed(&store).is_clean());
                store.close().unwrap();
            }
            // Opening reads some of the blocks.
            disk.fail_reads(name, bytes, FaultError::EIO);
            match open(simulated(&disk)) {
                Ok(store) => store.close().unwrap(),
                Err(error) => {
                    assert!(matches!(error, Error::Io { offset: Some(_), .. }), "{error}");
                }
            }
            disk.clear_faults();
        }
    }
    assert!(failed > 1000, "{failed}");
}

#[test]
fn a_merge_that_cannot_read_fails_and_the_store_goes_on() {
    let disk = SimDisk::new();
    let all = fill(simulated(&disk), &[300, 290, 400]);
    let name = FileName::new(FileKind::Part, 2);
    let store = open(simulated(&disk)).unwrap();
    store.close().unwrap();
    disk.fail_reads(name, BLOCK..2 * BLOCK, FaultError::EIO);
    let store =
        open(simulated(&disk).compaction_policy(CompactionPolicy::tiered(2).unwrap())).unwrap();
    store.wait_idle();
    let stats = store.stats();
    assert_eq!((stats.compactions, stats.failed_compactions), (0, 1), "{stats:?}");
    disk.clear_faults();
    store.insert_durable([1; 32]).unwrap();
    store.checkpoint().unwrap();
    store.wait_idle();
    assert!(store.stats().compactions > 0);
    assert!(ask(&store, all.len() as u64).is_empty());
    store.close().unwrap();
}

/// How often each block of each part was read since this was cleared; `None` while reads are not counted.
type Reads = Arc<Mutex<Option<HashMap<(FileName, u64), u32>>>>;

/// A disk whose every second read of a block of a column of a part gives wrong bytes while reads are
/// counted. With `tables` that goes for all other blocks as well.
fn wavering(disk: &SimDisk, tables: bool) -> (Config, Reads) {
    let reads = Reads::default();
    let counted = Arc::clone(&reads);
    let sizes = disk.clone();
    let fs = Hooked::new(disk).on_read(move |name, at, bytes| {
        let mut counted = counted.lock().unwrap();
        let (FileKind::Part, Some(counted)) = (name.kind, &mut *counted) else { return };
        // At the end of a small part there are one block of a table and the footer.
        let blocks = sizes.read(name).unwrap().len() as u64 / BLOCK;
        let end = if tables { blocks } else { blocks - 2 };
        let mut at = at;
        let mut rest = bytes;
        while !rest.is_empty() {
            let block = at / BLOCK;
            let len = usize::try_from((block + 1) * BLOCK - at).unwrap().min(rest.len());
            let (now, later) = rest.split_at_mut(len);
            let count = counted.entry((name, block)).or_default();
            *count += 1;
            if count.is_multiple_of(2) && block < end {
                now.iter_mut().for_each(|byte| *byte = !*byte);
            }
            (at, rest) = (at + len as u64, later);
        }
    });
    (simulated(disk).file_system(Arc::new(fs)), reads)
}

fn begin(reads: &Reads) {
    *reads.lock().unwrap() = Some(HashMap::new());
}

#[test]
fn what_is_read_of_a_block_for_the_first_time_is_what_was_verified() {
    let disk = SimDisk::new();
    let all = fill(simulated(&disk), &[3000, 150, 700]);
    let (config, reads) = wavering(&disk, false);
    let mut wrong_later = 0;
    for index in (0..3850).step_by(7) {
        *reads.lock().unwrap() = None;
        let store = open(config.clone()).unwrap();
        let place = usize::try_from(index).unwrap();
        begin(&reads);
        assert_eq!(store.leaf(index).unwrap(), all[place]);
        // The block is known to be intact, and what the second read gives is believed.
        wrong_later += usize::from(store.leaf(index).unwrap() != all[place]);
        store.close().unwrap();

        *reads.lock().unwrap() = None;
        let store = open(config.clone()).unwrap();
        begin(&reads);
        let end = (place + 400).min(3850);
        assert_eq!(store.leaves(index..end as u64).unwrap(), all[place..end]);
        store.close().unwrap();
    }
    assert!(wrong_later > 400, "the disk does not waver");
}

#[test]
fn a_checksum_is_taken_out_of_the_very_table_that_was_verified() {
    let disk = SimDisk::new();
    // The table of checksums has two blocks, and opening reads what stands in the second.
    let all = fill(simulated(&disk), &[140_000]);
    let (config, reads) = wavering(&disk, true);
    let store = open(config).unwrap();
    begin(&reads);
    assert_eq!(store.leaf(5).unwrap(), all[5]);
    store.close().unwrap();
}

#[test]
fn a_merge_copies_the_very_bytes_that_it_verified() {
    let disk = SimDisk::new();
    let all = fill(simulated(&disk), &[300, 290, 400]);
    let (config, reads) = wavering(&disk, false);
    let begun = Arc::clone(&reads);
    let listener = move |event: &Event| match event {
        Event::CompactionBegun { .. } => begin(&begun),
        Event::CompactionCompleted { .. } => *begun.lock().unwrap() = None,
        _ => {}
    };
    let store =
        open(config.compaction_policy(CompactionPolicy::tiered(2).unwrap()).listener(listener));
    let store = store.unwrap();
    store.wait_idle();
    assert_eq!(store.stats().compactions, 1, "{:?}", store.stats());
    store.close().unwrap();
    let store = open(simulated(&disk)).unwrap();
    assert_eq!(store.stats().parts, 1);
    assert_eq!(store.leaves(0..all.len() as u64).unwrap(), all);
    assert!(ask(&store, all.len() as u64).is_empty());
    assert_eq!(store.head().unwrap().root, root_of(&Blake3, Arity::Four, &all));
    assert!(scrubbed(&store).is_clean());
    store.close().unwrap();
}

/// A disk on which the file `name` is not what it was: every other byte is wrong. What the system has in
/// its cache is still the old, until it is dropped.
fn rotten(disk: &SimDisk, name: FileName) -> Config {
    let dropped = Arc::new(Mutex::new(false));
    let drops = Arc::clone(&dropped);
    let fs = Hooked::new(disk)
        .on_drop_cache(move |file| *drops.lock().unwrap() |= file == name)
        .on_read(move |file, _, bytes| {
            if file == name && *dropped.lock().unwrap() {
                bytes.iter_mut().step_by(2).for_each(|byte| *byte = !*byte);
            }
        });
    simulated(disk).file_system(Arc::new(fs))
}

#[test]
fn a_store_believes_its_device_and_not_what_the_system_has_cached_of_its_manifest_or_log() {
    let disk = SimDisk::new();
    fill(simulated(&disk), &[300]);
    let store = open(simulated(&disk)).unwrap();
    store.insert_many(&leaves(100, 7)).unwrap();
    store.flush().unwrap();
    store.insert_durable([1; 32]).unwrap();
    store.close().unwrap();
    let newest = |kind| {
        let files = disk.files().into_iter().filter(|name| name.kind == kind);
        files.max_by_key(|name| name.number).unwrap()
    };
    let manifest = newest(FileKind::Manifest);
    let in_log = |name: &FileName| {
        let begun = |bytes: Vec<u8>| bytes.first().is_some_and(|byte| *byte != 0);
        name.kind == FileKind::Segment && disk.read(*name).is_some_and(begun)
    };
    let segment = disk.files().into_iter().filter(in_log).max_by_key(|name| name.number).unwrap();
    for name in [manifest, segment] {
        let refused = open(rotten(&disk, name)).unwrap_err();
        assert!(matches!(&refused, Error::Damaged(damage) if damage.file.ends_with(name.base())));
    }
    // Nothing was changed meanwhile.
    open(simulated(&disk)).unwrap().close().unwrap();
}

/// How many descriptors this process has of files in `dir`. The store holds the directory itself as well.
#[cfg(target_os = "linux")]
fn descriptors(dir: &Path) -> usize {
    let open = std::fs::read_dir("/proc/self/fd").unwrap();
    let links = open.filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok());
    links.filter(|link| link.parent() == Some(dir)).count()
}

#[cfg(target_os = "linux")]
#[test]
fn a_store_of_many_parts_takes_a_bounded_number_of_descriptors() {
    const MOST: usize = 128;
    let dir = tempfile::tempdir().unwrap();
    let sizes = [7; 300];
    let all = fill(on_disk(dir.path(), ReadMode::Mapped), &sizes);
    let store = open(on_disk(dir.path(), ReadMode::Pread)).unwrap();
    let parts = dir.path().join("parts");
    assert_eq!(store.stats().parts, 300);
    assert!(descriptors(&parts) <= MOST);
    // Threads that read here and there have one another's descriptors closed.
    std::thread::scope(|threads| {
        for thread in 0..4 {
            let (store, all) = (&store, &all);
            threads.spawn(move || {
                for step in 0..3000_usize {
                    let index = (step * 1009 + thread * 501) % (7 * 300);
                    assert_eq!(store.leaf(index as u64).unwrap(), all[index]);
                }
            });
        }
    });
    assert!((1..=MOST).contains(&descriptors(&parts)), "{}", descriptors(&parts));
    assert_eq!(store.leaves(0..all.len() as u64).unwrap(), all);
    let reader = Reader::open(on_disk(dir.path(), ReadMode::Pread), Arc::new(Blake3), Arity::Four);
    assert_eq!(reader.unwrap().leaves(0..all.len() as u64).unwrap(), all);
    store.close().unwrap();
}

#[cfg(target_os = "linux")]
#[test]
fn a_part_that_is_read_stays_readable_when_it_was_merged_whether_it_was_open_or_not() {
    let dir = tempfile::tempdir().unwrap();
    let all = fill(on_disk(dir.path(), ReadMode::Mapped), &[7; 200]);
    let store = open(on_disk(dir.path(), ReadMode::Pread)).unwrap();
    store.close().unwrap();
    let merging =
        || on_disk(dir.path(), ReadMode::Pread).compaction_policy(CompactionPolicy::default());
    let store = open(on_disk(dir.path(), ReadMode::Pread)).unwrap();
    let snapshot = store.snapshot();
    store.close().unwrap();
    // The writer that merges has handles of its own; those of the snapshot are of parts that are gone now,
    // and it reports those that it had not open.
    let store = open(merging()).unwrap();
    let own = store.snapshot();
    store.wait_idle();
    assert!(store.stats().parts <= 4);
    assert_eq!(own.leaves(0..all.len() as u64).unwrap(), all);
    store.close().unwrap();
    assert_eq!(own.leaves(0..all.len() as u64).unwrap(), all);
    let error = snapshot.leaves(0..all.len() as u64).unwrap_err();
    let Error::Damaged(damage) = &error else { panic!("{error}") };
    assert_eq!(damage.problem, Problem::Missing);
}

#[test]
fn another_file_under_the_name_of_a_part_is_not_read_in_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let all = fill(on_disk(dir.path(), ReadMode::Mapped), &[7; 200]);
    let store = open(on_disk(dir.path(), ReadMode::Pread)).unwrap();
    // The first ones have been closed for those behind them.
    let parts = dir.path().join("parts");
    let of = |number: u64| parts.join(format!("{number:08}.part"));
    std::fs::rename(of(3), parts.join("aside")).unwrap();
    std::fs::copy(of(4), of(3)).unwrap();
    let error = store.leaf(2 * 7).unwrap_err();
    let Error::Io { source, .. } = &error else { panic!("{error}") };
    assert!(source.to_string().contains("another file"), "{source}");
    // Its own file is taken again, also from a copy.
    std::fs::remove_file(of(3)).unwrap();
    std::fs::copy(parts.join("aside"), of(3)).unwrap();
    std::fs::remove_file(parts.join("aside")).unwrap();
    assert_eq!(store.leaf(2 * 7).unwrap(), all[2 * 7]);
    store.close().unwrap();
}
