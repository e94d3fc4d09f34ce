//! What a store refuses, in which words, and that it loses nothing by it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use duramen::scrub::Options;
use duramen::{
    Accumulator, Blake3, CheckpointPolicy, CompactionPolicy, Compression, Config, EntryConfig,
    Error, FlushPolicy, Rfc6962Sha256, TreeSize,
};
use testkit::stores::{copy_of, leaves};
use testkit::words::words;

type Store = Accumulator<Blake3, 4>;

fn filled(dir: &Path) -> Store {
    let store = Store::open(Config::new(dir)).unwrap();
    store.insert_many(&leaves(100, 1)).unwrap();
    store.flush().unwrap();
    store
}

#[test]
fn another_hasher_or_arity_is_refused_and_both_are_named() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path()).close().unwrap();
    let error = Accumulator::<Rfc6962Sha256, 4>::open(Config::new(dir.path())).unwrap_err();
    assert!(matches!(error, Error::HasherMismatch { .. }));
    let words = words(&error);
    assert!(words.contains("blake3") && words.contains("rfc6962-sha256"), "{words}");
    let error = Accumulator::<Blake3, 16>::open(Config::new(dir.path())).unwrap_err();
    assert!(matches!(error, Error::ArityMismatch { stored: 4, asked: 16, .. }), "{error}");
    assert_eq!(Store::open(Config::new(dir.path())).unwrap().size(), TreeSize(100));
}

#[test]
fn a_directory_of_another_program_is_refused_and_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("precious.txt"), "keep me").unwrap();
    let error = Store::open(Config::new(dir.path())).unwrap_err();
    assert!(matches!(error, Error::NotAStore { .. }));
    assert!(words(&error).contains("precious.txt"), "{error}");
    let names: Vec<_> = std::fs::read_dir(dir.path()).unwrap().collect();
    assert_eq!(names.len(), 1, "something was made in it");
}

#[test]
fn a_missing_store_is_not_made_where_that_was_not_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("nowhere");
    let error = Store::open(Config::new(&path).create(false)).unwrap_err();
    assert!(matches!(error, Error::NoStore { .. }), "{error}");
    assert!(!path.exists());
}

#[test]
fn a_store_that_is_open_is_refused_to_a_second_opener_until_it_is_closed() {
    let dir = tempfile::tempdir().unwrap();
    let store = filled(dir.path());
    let error = Store::open(Config::new(dir.path())).unwrap_err();
    assert!(matches!(error, Error::Locked { .. }), "{error}");
    store.close().unwrap();
    Store::open(Config::new(dir.path())).unwrap();
}

#[test]
fn who_is_refused_is_told_which_process_has_the_store_and_believes_nothing_else_in_the_lock_file() {
    let dir = tempfile::tempdir().unwrap();
    let lock = dir.path().join("LOCK");
    let store = filled(dir.path());
    let before = std::time::SystemTime::now();
    let owner = || match Store::open(Config::new(dir.path())).unwrap_err() {
        Error::Locked { owner, .. } => owner,
        error => panic!("{error}"),
    };
    let named = owner().unwrap();
    assert_eq!(named.pid, std::process::id());
    assert!(!named.host.is_empty() && named.since <= before, "{named}");
    let text = Store::open(Config::new(dir.path())).unwrap_err().to_string();
    assert!(text.ends_with(&format!(" is already open, in {named}")), "{text}");
    // Anything may write there. The lock is held whatever it says.
    let written = std::fs::read(&lock).unwrap();
    for forged in [&b""[..], b"duramen lock\npid 1\n", &[0; 100], &[b'x'; 1 << 20]] {
        std::fs::write(&lock, forged).unwrap();
        assert_eq!(owner(), None);
    }
    std::fs::write(&lock, written).unwrap();
    store.close().unwrap();
    assert_eq!(std::fs::read(&lock).unwrap(), b"");
}

#[test]
fn a_value_that_cannot_work_is_refused_where_it_is_set() {
    fn refused<T>(set: Result<T, Error>) -> String {
        match set.map(drop) {
            Err(error @ Error::Config { .. }) => error.to_string(),
            other => panic!("{other:?}"),
        }
    }
    let config = || Config::new("never/opened");
    let manual = CheckpointPolicy::manual;
    let [zero, second] = [0, 1].map(Duration::from_secs);
    let endless = "zero would mean checkpoints without end";
    let cases = [
        (refused(FlushPolicy::interval(zero)), "interval", "zero; use insert_durable"),
        (refused(config().max_unflushed_bytes(0)), "max_unflushed_bytes", "0 leaves no room"),
        (
            refused(config().max_uncheckpointed_bytes(0)),
            "max_uncheckpointed_bytes",
            "0 leaves no room",
        ),
        (refused(config().wal_segment_bytes(8191)), "wal_segment_bytes", "8191 is less than 8192"),
        (refused(manual().every_leaves(0)), "every_leaves", endless),
        (refused(manual().wal_bytes(0)), "wal_bytes", endless),
        (refused(manual().wal_segments(0)), "wal_segments", endless),
        (refused(manual().memory_bytes(0)), "memory_bytes", endless),
        (refused(manual().interval(zero)), "interval", endless),
        (refused(CompactionPolicy::tiered(0)), "tiered", "0 is less than the two parts"),
        (refused(CompactionPolicy::tiered(1)), "tiered", "1 is less than the two parts"),
        (
            refused(CompactionPolicy::tiered(2).and_then(|policy| policy.max_parts(32))),
            "max_parts",
            "inserts slow down from three quarters of 32 on, and merging parts by 2 may leave 24",
        ),
        (refused(CompactionPolicy::Off.max_parts(9)), "max_parts", "9 parts, but the policy"),
        (
            refused(config().claim_idle(zero)),
            "claim_idle",
            "the pause (0 s) must be longer than zero",
        ),
        (refused(config().retry_wait(zero, second)), "retry_wait", "first is zero"),
        (
            refused(config().retry_wait(2 * second, second)),
            "retry_wait",
            "longest (1s) is less than first (2s)",
        ),
        (
            refused(EntryConfig::new().longest((64 << 20) + 1)),
            "longest",
            "67108865 bytes; at most 67108864",
        ),
        (refused(Compression::zstd(0)), "zstd", "level 0; levels are 1 to 22"),
        (refused(Compression::zstd(23)), "zstd", "level 23; levels are 1 to 22"),
        (refused(Options::new().bytes_per_second(0)), "bytes_per_second", "at 0"),
    ];
    for (text, setting, reason) in cases {
        let start = format!("invalid configuration: {setting}: {reason}");
        assert!(text.starts_with(&start), "{text}, and not {start}");
    }
}

#[test]
fn the_last_values_that_work_are_taken() {
    fn taken(dir: &Path) -> Result<Config, Error> {
        let millisecond = Duration::from_millis(1);
        let policy = CheckpointPolicy::manual()
            .every_leaves(1)?
            .wal_bytes(1)?
            .wal_segments(1)?
            .memory_bytes(1)?
            .interval(Duration::from_nanos(1))?;
        Config::new(dir)
            .flush_policy(FlushPolicy::interval(Duration::from_nanos(1))?)
            .checkpoint_policy(policy)
            .compaction_policy(CompactionPolicy::tiered(2)?.max_parts(33)?)
            .retry_wait(millisecond, millisecond)?
            .claim_idle(millisecond)?
            .max_unflushed_bytes(1)?
            .max_uncheckpointed_bytes(1)?
            .wal_segment_bytes(8192)
    }
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(taken(dir.path()).unwrap()).unwrap();
    for leaf in leaves(20, 1) {
        store.insert(leaf).unwrap();
    }
    store.close().unwrap();
    assert!(CompactionPolicy::tiered(u32::MAX).is_ok());
    let entries = EntryConfig::new().longest(64 << 20).unwrap();
    for level in [1, 22] {
        let entries = entries.compression(Compression::zstd(level).unwrap());
        assert_eq!(entries.stored(), Compression::zstd(level).unwrap());
    }
}

/// Every file of a store, by its path in it.
fn files(store: &Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for dir in ["manifest", "parts", "wal"] {
        for entry in std::fs::read_dir(store.join(dir)).unwrap() {
            files.push(Path::new(dir).join(entry.unwrap().file_name()));
        }
    }
    files.sort();
    files
}

#[test]
fn a_file_that_is_missing_or_cut_short_is_named_or_was_not_needed() {
    let dir = tempfile::tempdir().unwrap();
    let config = |dir: &Path| Config::new(dir).checkpoint_policy(CheckpointPolicy::manual());
    let store = Store::open(config(dir.path())).unwrap();
    store.insert_many(&leaves(100, 1)).unwrap();
    store.checkpoint().unwrap();
    store.insert_many(&leaves(30, 2)).unwrap();
    let head = store.head().unwrap();
    // Closed without a checkpoint: the manifest, the part and the log are all needed.
    store.close().unwrap();
    let mut refused = 0;
    for file in files(dir.path()) {
        for missing in [true, false] {
            let copy = copy_of(dir.path());
            let path = copy.path().join(&file);
            if missing {
                std::fs::remove_file(&path).unwrap();
            } else {
                let half = std::fs::metadata(&path).unwrap().len() / 2;
                let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
                file.set_len(half).unwrap();
            }
            match Store::open(config(copy.path())) {
                Ok(store) => assert_eq!(store.head().unwrap(), head, "{}", file.display()),
                Err(error) => {
                    assert!(matches!(error, Error::Damaged(_)), "{}: {error}", file.display());
                    refused += 1;
                }
            }
        }
    }
    assert!(refused >= 4, "only {refused} of the damaged stores were refused");
}

#[test]
fn a_store_whose_manifests_are_gone_is_an_error_and_never_an_empty_store() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path()).close().unwrap();
    std::fs::remove_dir_all(dir.path().join("manifest")).unwrap();
    let error = Store::open(Config::new(dir.path())).unwrap_err();
    assert!(matches!(error, Error::Damaged(_)), "{error}");
    assert!(words(&error).contains("there is no manifest"), "{error}");
}

#[test]
fn a_format_of_the_future_is_refused_by_its_version() {
    let dir = tempfile::tempdir().unwrap();
    let store = filled(dir.path());
    store.checkpoint().unwrap();
    store.close().unwrap();
    for (folder, at, ours) in [("manifest", 8, 6), ("parts", 8, 2)] {
        let copy = copy_of(dir.path());
        let mut newest = files(copy.path());
        newest.retain(|file| file.starts_with(folder));
        let path = copy.path().join(newest.last().unwrap());
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[at] = 9;
        // The checksum covers the version, as a program of that version would have written it.
        let end = if folder == "parts" { 4096 } else { bytes.len() };
        let sum = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc64Nvme, &bytes[..end - 8]);
        bytes[end - 8..end].copy_from_slice(&sum.to_le_bytes());
        std::fs::write(&path, bytes).unwrap();
        let error = Store::open(Config::new(copy.path())).unwrap_err();
        let Error::UnknownFormat { found: 9, supported, .. } = error else {
            panic!("{folder}: {error}");
        };
        assert_eq!(supported, ours, "{folder}");
    }
}

#[cfg(feature = "testing")]
mod on_a_bad_disk {
    use super::*;
    use duramen::FormatFeature;
    use duramen::fs::{FileKind, FileName};
    use duramen::testing::sim::{Fault, FaultError, OperationKind, SimDisk, When};

    fn config(disk: &SimDisk) -> Config {
        Config::new("simulated")
            .file_system(Arc::new(disk.clone()))
            .flush_policy(FlushPolicy::Manual)
            .checkpoint_policy(CheckpointPolicy::manual())
    }

    /// The error of opening a store after `change` was made to the first group of its log, with right checksums.
    fn changed_group(change: impl FnOnce(&mut [u8])) -> Error {
        let disk = SimDisk::new();
        let store = Store::open(config(&disk)).unwrap();
        store.insert_durable([1; 32]).unwrap();
        let left = disk.kill();
        drop(store);
        let is_log = |name: &FileName| {
            name.kind == FileKind::Segment && left.read(*name).unwrap().starts_with(b"duraWAL\n")
        };
        let name = left.files().into_iter().find(is_log).unwrap();
        let mut bytes = left.read(name).unwrap();
        let len = usize::from(u16::from_le_bytes([bytes[72], bytes[73]]));
        change(&mut bytes[..len]);
        duramen::testing::hostile::fix_group(&mut bytes[..len]);
        left.put(name, &bytes);
        Store::open(config(&left)).unwrap_err()
    }

    #[test]
    fn a_frame_of_a_kind_of_the_future_is_no_damage() {
        let error = changed_group(|group| group[128..130].copy_from_slice(&200_u16.to_le_bytes()));
        let Error::UnknownFormat { feature: FormatFeature::FrameKind, found, supported, .. } =
            error
        else {
            panic!("{error}");
        };
        assert_eq!((found, supported), (200, 13));
        assert!(words(&error).contains("has frame kind 200"), "{error}");
    }

    #[test]
    fn flags_of_the_future_on_a_group_of_the_log_are_no_damage() {
        let error = changed_group(|group| group[10] = 4);
        let Error::UnknownFormat { feature: FormatFeature::GroupFlags, found, supported, .. } =
            error
        else {
            panic!("{error}");
        };
        assert_eq!((found, supported), (4, 1));
    }

    #[test]
    fn a_known_frame_with_a_payload_that_it_cannot_have_is_damage() {
        // A frame that creates becomes one that seals, with the names behind it.
        let error = changed_group(|group| group[128] = 5);
        let Error::Damaged(damage) = &error else { panic!("{error}") };
        assert!(damage.to_string().contains("payload"), "{error}");
    }

    #[test]
    fn a_failed_sync_poisons_the_store_and_keeps_what_was_acknowledged() {
        let disk = SimDisk::new();
        let store = Store::open(config(&disk)).unwrap();
        store.insert_durable([1; 32]).unwrap();
        disk.inject(Fault::new(When::nth(OperationKind::Sync, 1), FaultError::EIO));
        let token = store.insert([2; 32]).unwrap().token;
        let error = store.flush().unwrap_err();
        assert!(matches!(error, Error::Poisoned { .. }));
        assert!(words(&error).contains("cannot sync"), "{}", words(&error));
        assert!(matches!(token.wait(), Err(Error::Poisoned { .. })));
        assert!(matches!(store.insert([3; 32]), Err(Error::Poisoned { .. })));
        assert!(matches!(store.checkpoint(), Err(Error::Poisoned { .. })));
        // Reading goes on.
        assert_eq!(store.leaf(0).unwrap(), [1; 32]);
        store.head().unwrap();
        assert!(matches!(store.close(), Err(Error::Poisoned { .. })));
        let store = Store::open(config(&disk.kill())).unwrap();
        assert_eq!(store.leaf(0).unwrap(), [1; 32]);
    }

    #[test]
    fn a_full_disk_loses_nothing_acknowledged_and_the_store_opens_again_with_room() {
        let disk = SimDisk::new();
        let store = Store::open(config(&disk)).unwrap();
        let all = leaves(200_000, 1);
        disk.limit_space(Some(disk.used_space() + (1 << 20)));
        let mut acknowledged = 0;
        let error = loop {
            store.insert_many(&all[acknowledged..acknowledged + 1000]).unwrap();
            match store.flush() {
                Ok(()) => acknowledged += 1000,
                Err(error) => break error,
            }
        };
        assert!(matches!(error, Error::Poisoned { .. }), "{error}");
        drop(store);
        disk.limit_space(None);
        let store = Store::open(config(&disk.kill())).unwrap();
        assert!(store.size().get() >= acknowledged as u64);
        assert_eq!(store.leaves(0..acknowledged as u64).unwrap(), all[..acknowledged]);
    }

    #[test]
    fn a_checkpoint_without_room_fails_gives_its_space_back_and_succeeds_later() {
        let disk = SimDisk::new();
        let store = Store::open(config(&disk)).unwrap();
        store.insert_many(&leaves(50_000, 1)).unwrap();
        store.flush().unwrap();
        let used = disk.used_space();
        disk.limit_space(Some(used + 4096));
        let error = store.checkpoint().unwrap_err();
        assert!(matches!(error, Error::Io { .. }), "{error}");
        assert_eq!(disk.used_space(), used);
        assert_eq!(store.stats().failed_checkpoints, 1);
        disk.limit_space(None);
        assert_eq!(store.checkpoint().unwrap().seq.0, 50_000);
    }

    #[test]
    fn a_read_only_disk_is_said_to_be_one() {
        let disk = SimDisk::new();
        Store::open(config(&disk)).unwrap().close().unwrap();
        let fault = Fault::new(When::nth(OperationKind::Create, 1), FaultError::EROFS).for_ever();
        let disk = disk.kill();
        disk.inject(fault);
        let store = Store::open(config(&disk)).unwrap();
        // More than the first segment holds.
        store.insert_many(&leaves(20_000, 1)).unwrap();
        let error = store.flush().unwrap_err();
        assert!(words(&error).contains("ead-only"), "{}", words(&error));
    }
}
