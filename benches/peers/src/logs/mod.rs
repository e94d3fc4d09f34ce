//! Logs that keep entries: the same promise, kept by duramen and by what people build from other stores.
//!
//! The promise: an entry and its leaf are durable together, an entry that is there already is not inserted again, an
//! entry is found by its hash, and there is a root over all. Every log makes what came durable once 10 ms have passed,
//! as duramen's policy here has it, and not after each batch: that is the kindest that can be done for a peer whose
//! commit costs more.

mod duramen;
#[cfg(feature = "rocksdb")]
mod rocks;
mod rotor_file;
mod sqlite;

use std::path::Path;
use std::time::Instant;

use ::duramen::{Blake3, Hasher, MemoryAccumulator};
use anyhow::{Context, Result, bail, ensure};

use crate::entries::{BATCH, Batch};
use crate::leaves::Leaf;
use crate::measure::Who;
use crate::sides::{ARITY, INTERVAL};

/// Whether RocksDB takes part.
pub const WITH_ROCKSDB: bool = cfg!(feature = "rocksdb");

/// A log that keeps entries.
pub trait Log {
    /// Appends those entries that the log does not have. Returns how many they were.
    fn append(&mut self, entries: &[&[u8]]) -> Result<u64>;
    /// Returns once everything is durable.
    fn sync(&mut self) -> Result<()>;
    /// The root over all leaves.
    fn root(&mut self) -> Result<Leaf>;
    /// The index of the leaf, if the log has it.
    fn find(&mut self, leaf: &Leaf) -> Result<Option<u64>>;
    /// The entry with this index.
    fn entry(&mut self, index: u64) -> Result<Vec<u8>>;
    /// Moves what the log gathered into its lasting form, if it has two.
    fn settle(&mut self) -> Result<()> {
        self.sync()
    }
}

/// Opens the log of a side in an empty directory. `total` is how many entries will come.
pub fn open(who: Who, dir: &Path, total: u64) -> Result<Box<dyn Log>> {
    Ok(match who {
        Who::Duramen => Box::new(duramen::Entries::open(dir, total)?),
        Who::Sqlite => Box::new(sqlite::Table::open(dir)?),
        Who::Rotortree => Box::new(rotor_file::TreeAndFile::open(dir)?),
        #[cfg(feature = "rocksdb")]
        Who::Rocksdb => Box::new(rocks::Families::open(dir)?),
        other => bail!("{} keeps no entries", other.name()),
    })
}

/// The leaf of an entry, the same for every side.
pub fn leaf(entry: &[u8]) -> Leaf {
    Blake3.leaf(entry)
}

/// Checks that the log keeps its promise: the newest entries are there, are found and are not taken again.
pub fn check(log: &mut dyn Log, total: u64) -> Result<()> {
    let mut batch = Batch::new();
    let entries = batch.from(total - BATCH);
    ensure!(log.append(&entries)? == 0, "entries were taken twice");
    for (index, entry) in (total - BATCH..).zip(&entries).step_by(97) {
        let found = log.find(&leaf(entry))?.with_context(|| format!("leaf {index} is missing"))?;
        ensure!(found == index, "leaf {index} was found at {found}");
        ensure!(log.entry(index)? == *entry, "entry {index} is another");
    }
    ensure!(log.find(&[7; 32])?.is_none(), "a leaf was found that nobody inserted");
    Ok(())
}

/// The tree that a store without one gets.
#[derive(Debug)]
struct Tree {
    tree: MemoryAccumulator<Blake3, ARITY>,
}

impl Tree {
    fn new() -> Self {
        Self { tree: MemoryAccumulator::new() }
    }

    fn len(&self) -> u64 {
        self.tree.size().0
    }

    fn extend(&mut self, leaves: &[Leaf]) -> Result<()> {
        self.tree.extend(leaves)?;
        Ok(())
    }

    fn root(&self) -> Result<Leaf> {
        Ok(self.tree.head()?.root)
    }
}

/// Says when the next commit is due.
#[derive(Debug)]
struct Due {
    last: Instant,
}

impl Due {
    fn new() -> Self {
        Self { last: Instant::now() }
    }

    /// Whether 10 ms have passed since the last time that this was so.
    fn now(&mut self) -> bool {
        let due = self.last.elapsed() >= INTERVAL;
        if due {
            self.last = Instant::now();
        }
        due
    }
}
