//! A store on a file system that gets full under it. Also used by the torture of real file systems.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::time::Duration;

use duramen::{
    Accumulator, Blake3, CheckpointPolicy, CompactionPolicy, Config, Error, FlushPolicy, Hash,
    LeafIndex,
};

use crate::reference::{BLAKE3, siblings};
use crate::words::words;

const ARITY: usize = 4;
type Store = Accumulator<Blake3, ARITY>;

/// How often the workload inserts and flushes.
const ROUNDS: u64 = 18;

/// What happened in one or many runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Met {
    pub runs: u64,
    /// Runs in which the store could not even be created.
    pub creations: u64,
    /// Runs in which the log did not find room: the store was poisoned.
    pub logs: u64,
    pub checkpoints: u64,
    /// Merges that failed.
    pub merges: u64,
    /// Times that the store was not opened on the file system that was still full.
    pub reopenings: u64,
    /// Runs in which there was room enough.
    pub enough: u64,
    pub leaves: u64,
}

impl Met {
    pub fn add(&mut self, other: Self) {
        self.runs += other.runs;
        self.creations += other.creations;
        self.logs += other.logs;
        self.checkpoints += other.checkpoints;
        self.merges += other.merges;
        self.reopenings += other.reopenings;
        self.enough += other.enough;
        self.leaves += other.leaves;
    }
}

fn leaf(index: u64) -> Hash {
    blake3::hash(&index.to_le_bytes()).into()
}

fn config(dir: &Path) -> Config {
    Config::new(dir)
        .flush_policy(FlushPolicy::Manual)
        .checkpoint_policy(CheckpointPolicy::manual())
        .compaction_policy(CompactionPolicy::tiered(2).unwrap())
        .retry_wait(Duration::from_millis(1), Duration::from_millis(4))
        .unwrap()
        .wal_segment_bytes(16 << 10)
        .unwrap()
        .wal_spare_bytes(16 << 10)
}

/// Whether an error, or what poisoned the store, is a call that found the file system full.
fn is_full(error: &Error) -> bool {
    match error {
        Error::Poisoned { source } => is_full(source),
        Error::Io { source, .. } => source.kind() == ErrorKind::StorageFull,
        _ => false,
    }
}

fn wrong<T>(what: &str, error: &Error) -> Result<T, String> {
    Err(format!("{what}: {}", words(error)))
}

/// Writes a file that leaves `room` bytes in the file system of `dir`.
pub fn fill(dir: &Path, room: u64) {
    let mut filler = File::create(dir.join("filler")).unwrap();
    let zeros = vec![0; 64 << 10];
    let mut filled = 0;
    loop {
        match filler.write(&zeros) {
            Ok(0) => break,
            Ok(written) => filled += written as u64,
            Err(error) if error.kind() == ErrorKind::StorageFull => break,
            Err(error) => panic!("{error}"),
        }
    }
    filler.sync_all().unwrap();
    filler.set_len(filled.saturating_sub(room)).unwrap();
    filler.sync_all().unwrap();
}

/// Lets a store find the file system of `dir` full after about `room` bytes, makes room, and goes on.
/// Returns what was not as it must be.
pub fn run(dir: &Path, room: u64) -> Result<Met, String> {
    let (path, filler) = (dir.join("store"), dir.join("filler"));
    let _ = std::fs::remove_dir_all(&path);
    let _ = std::fs::remove_file(&filler);
    fill(dir, room);
    let mut met = Met { runs: 1, ..Met::default() };
    let (mut acked, mut submitted) = (0, 0);
    match Store::open(config(&path)) {
        Ok(store) => {
            (acked, submitted) = work(&store, &mut met)?;
            if met.logs > 0 {
                after_poison(&store, submitted)?;
            } else if met.checkpoints > 0 {
                // Room is made under the open store.
                std::fs::remove_file(&filler).unwrap();
                if let Err(error) = store.checkpoint() {
                    return wrong("a checkpoint with room", &error);
                }
            }
            match store.close() {
                Ok(()) if met.logs > 0 => return Err("a poisoned store closed well".to_owned()),
                Ok(()) => acked = submitted,
                Err(error) if is_full(&error) => {}
                Err(error) => return wrong("close", &error),
            }
        }
        Err(error) if is_full(&error) => met.creations += 1,
        Err(error) => return wrong("creating", &error),
    }
    if met.checkpoints + met.creations + met.logs + met.merges == 0 {
        met.enough += 1;
    }
    if filler.exists() {
        // Filled to the last byte; what the failures gave back is taken, too.
        fill(dir, 0);
        match Store::open(config(&path)) {
            Ok(store) => {
                check(&store, acked, submitted)?;
                drop(store);
            }
            Err(error) if is_full(&error) => met.reopenings += 1,
            Err(error) => return wrong("opening on a full file system", &error),
        }
        std::fs::remove_file(&filler).unwrap();
    }
    let store = match Store::open(config(&path)) {
        Ok(store) => store,
        Err(error) => return wrong("opening with room", &error),
    };
    let size = check(&store, acked, submitted)?;
    met.leaves += size;
    go_on(&store, size).or_else(|error| wrong("going on", &error))?;
    store.close().or_else(|error| wrong("closing at last", &error))?;
    let store = Store::open(config(&path)).or_else(|error| wrong("opening at last", &error))?;
    check(&store, size + 100, size + 100)?;
    Ok(met)
}

/// Inserts, flushes and checkpoints until the end or until the log fails. Returns how many leaves were
/// acknowledged and how many inserted.
fn work(store: &Store, met: &mut Met) -> Result<(u64, u64), String> {
    let (mut acked, mut submitted) = (0, 0);
    for round in 0..ROUNDS {
        let count = [1, 40, 130, 7, 300, 90][usize::try_from(round % 6).unwrap()];
        let leaves: Vec<Hash> = (submitted..submitted + count).map(leaf).collect();
        let token = match store.insert_many(&leaves) {
            Ok(inserted) => inserted.token,
            Err(error) => return wrong("insert", &error),
        };
        submitted += count;
        match store.flush() {
            Ok(()) if token.is_durable() => acked = submitted,
            Ok(()) => return Err("flushed, and not durable".to_owned()),
            Err(error @ Error::Poisoned { .. }) if is_full(&error) => {
                met.logs += 1;
                if !matches!(token.wait(), Err(Error::Poisoned { .. })) {
                    return Err("a token of a failed flush was not told".to_owned());
                }
                break;
            }
            Err(error) => return wrong("flush", &error),
        }
        if round % 3 == 2 {
            match store.checkpoint() {
                Ok(_) => {}
                Err(error @ Error::Poisoned { .. }) if is_full(&error) => {
                    met.logs += 1;
                    break;
                }
                Err(error) if is_full(&error) && error.is_transient() => met.checkpoints += 1,
                Err(error) => return wrong("checkpoint", &error),
            }
            // Merges find the file system as it is now.
            while store.stats().queued_jobs + store.stats().active_jobs > 0 {
                std::thread::yield_now();
            }
        }
    }
    let stats = store.stats();
    met.merges += stats.failed_compactions;
    if stats.durable != acked || stats.leaves != submitted {
        return Err(format!("{acked} of {submitted} leaves are durable, and {stats:?}"));
    }
    Ok((acked, submitted))
}

/// A poisoned store refuses to write and goes on reading.
fn after_poison(store: &Store, submitted: u64) -> Result<(), String> {
    let poisoned = |error: &Error| matches!(error, Error::Poisoned { .. }) && is_full(error);
    let refusals = [
        ("insert", store.insert(leaf(0)).map(drop)),
        ("insert_durable", store.insert_durable(leaf(0)).map(drop)),
        ("flush", store.flush()),
        ("checkpoint", store.checkpoint().map(drop)),
    ];
    for (what, refusal) in refusals {
        match refusal {
            Err(error) if poisoned(&error) => {}
            Err(error) => return wrong(what, &error),
            Ok(()) => return Err(format!("{what} of a poisoned store")),
        }
    }
    check(store, submitted, submitted).map(drop)
}

/// Compares a store with the reference; returns its size.
fn check(store: &Store, least: u64, most: u64) -> Result<u64, String> {
    let head = store.head().or_else(|error| wrong("head", &error))?;
    let size = head.size.get();
    if !(least..=most).contains(&size) {
        return Err(format!("{size} leaves of {least} to {most}; {}", store.recovery()));
    }
    let leaves = store.leaves(0..size).or_else(|error| wrong("leaves", &error))?;
    if !leaves.iter().copied().eq((0..size).map(leaf)) {
        return Err(format!("other leaves among {size}"));
    }
    if size == 0 {
        return Ok(0);
    }
    let levels = BLAKE3.levels(ARITY, &leaves);
    if head.root != levels[levels.len() - 1][0] {
        return Err(format!("a wrong root of {size} leaves"));
    }
    for index in [0, size / 2, size - 1] {
        let proof = store.prove(LeafIndex(index)).or_else(|error| wrong("prove", &error))?;
        if proof.siblings() != siblings(ARITY, &levels, usize::try_from(index).unwrap()) {
            return Err(format!("a wrong proof of leaf {index} of {size}"));
        }
    }
    Ok(size)
}

/// Inserts another hundred leaves, half before a checkpoint and half after it.
fn go_on(store: &Store, size: u64) -> Result<(), Error> {
    let leaves: Vec<Hash> = (size..size + 100).map(leaf).collect();
    store.insert_many(&leaves[..50])?;
    store.checkpoint()?;
    store.insert_many(&leaves[50..])?;
    store.flush()
}
