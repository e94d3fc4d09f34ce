//! Finds leaves of a tree by their hash.
//!
//! Parts have an index each. For the leaves behind them there is a table in memory, which is brought up to date by
//! the thread that asks.
//!
//! # Invariants
//!
//! - An answer is the first leaf below a size, or all of them. The parts that are asked have every leaf below some index,
//!   and the table has every leaf from that index on: both are read under the lock of the table.
//! - A view is loaded under the lock of the table, before the parts. So it has in memory every leaf that these parts do
//!   not have, and every leaf that the table has.
//! - The table is a hint too: a hit is compared with the leaf. If a leaf cannot be read, the table is thrown away, and
//!   the caller gets the error.
//! - The lock of the table is held while at most [`STEP`] leaves are added and at most [`CHUNK`] are looked for, or
//!   while all places of one leaf are collected. There are at most as many as leaves behind the parts, whose number
//!   [`Config::max_uncheckpointed_bytes`](crate::Config::max_uncheckpointed_bytes) limits, and each costs a step
//!   along a list.
//! - A thread takes no other lock under it but those inside the columns and the list of parts, and never while it has
//!   the insertion lock. So no insert waits for the table.

use std::cell::RefCell;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use super::floor::Floor;
use super::tree::Tree;
use crate::column::View;
use crate::error::{Error, ReadError, Result};
use crate::index::{AT_ONCE, IndexKey, KeyedHash, RecentTable};
use crate::merkle::{Hash, LeafIndex, Level, NodeIndex, NodeSource as _};
use crate::part::{PartSet, Scans};
use crate::sync::atomic::Ordering;
use crate::sync::pool::pool;

/// Leaves that are looked for in the table under one hold of its lock.
const CHUNK: usize = if cfg!(duramen_loom) { 2 } else { 4096 };
/// Leaves that are added to the table under one hold of its lock.
const STEP: u64 = if cfg!(duramen_loom) { 2 } else { 4096 };

/// So many leaves are worth waking another core, which adds them to the table.
const MANY: usize = 256;

/// A table that is up to date, under its lock.
struct Asked<'a> {
    table: &'a RecentTable,
    leaves: &'a Leaves<'a>,
}

impl Asked<'_> {
    /// The first leaf of the table and below `size` that is equal to `leaf`.
    fn find(&self, leaf: &Hash, size: u64) -> Option<u64> {
        self.find_hashed(leaf, self.table.hash(leaf), size)
    }

    /// As [`find`](Self::find). `hash` is the keyed hash of `leaf`.
    fn find_hashed(&self, leaf: &Hash, hash: KeyedHash, size: u64) -> Option<u64> {
        let is_leaf = |index| self.leaves.at(index) == *leaf;
        let hit = self.table.find(hash, is_leaf);
        hit.map(|hit| hit.0).filter(|hit| *hit < size)
    }

    /// As [`find`](Self::find), for each of `leaves`.
    fn find_each(&self, leaves: &[Hash], size: u64) -> Vec<Option<u64>> {
        let mut found = Vec::with_capacity(leaves.len());
        for leaves in leaves.chunks(AT_ONCE) {
            let hashes: Vec<_> = leaves.iter().map(|leaf| self.table.hash(leaf)).collect();
            self.table.touch(&hashes);
            let leaves = leaves.iter().zip(hashes);
            found.extend(leaves.map(|(leaf, hash)| self.find_hashed(leaf, hash, size)));
        }
        found
    }

    /// All leaves of the table and below `size` that are equal to `leaf`.
    fn find_all(&self, leaf: &Hash, size: u64) -> Vec<u64> {
        let is_leaf = |index| self.leaves.at(index) == *leaf;
        let hits = self.table.find_all(self.table.hash(leaf), is_leaf);
        hits.map(|hit| hit.0).take_while(|hit| *hit < size).collect()
    }
}

impl Tree {
    /// Whether the tree has an index.
    pub(crate) fn is_indexed(&self) -> bool {
        self.finder.indexed.load(Ordering::Acquire)
    }

    /// Gives the tree an index. Returns whether it had none.
    pub(crate) fn give_index(&self) -> bool {
        !self.finder.indexed.swap(true, Ordering::AcqRel)
    }

    pub(super) fn check_indexed(&self) -> Result<()> {
        match self.is_indexed() {
            true => Ok(()),
            false => Err(Error::NoIndex { tree: self.name().clone() }),
        }
    }

    /// The first leaf from `floor` on and below `size` that is equal to `leaf`. `size` must be published.
    pub(crate) fn find(&self, leaf: &Hash, size: u64, floor: &Floor) -> Result<Option<LeafIndex>> {
        self.check_process()?;
        self.check_indexed()?;
        let (parts, hit) = self.ask(size, |asked| asked.find(leaf, size))?;
        let scans = &self.finder.scans;
        if floor.is_raised() {
            for held in floor.held() {
                if let Some(first) = held.find(leaf, size, scans)? {
                    return Ok(Some(LeafIndex(first)));
                }
            }
        }
        let first = parts.find(leaf, size, scans)?;
        Ok(first.or(hit).map(LeafIndex))
    }

    /// For each of `leaves`, which are different, the first leaf below `size` that is equal to it. `size` must be
    /// published.
    pub(super) fn find_each(&self, leaves: &[Hash], size: u64) -> Result<Vec<Option<u64>>> {
        let mut firsts = Vec::with_capacity(leaves.len());
        for leaves in leaves.chunks(CHUNK) {
            let (parts, recent) = self.ask(size, |asked| asked.find_each(leaves, size))?;
            let first = parts.find_each(leaves, size, &self.finder.scans)?;
            firsts.extend(first.into_iter().zip(recent).map(|(first, recent)| first.or(recent)));
        }
        Ok(firsts)
    }

    /// Has another core bring the table up to date, if the `count` leaves that it lacks are many. No thread waits for that: the
    /// next search does what is left, and meets a failure again.
    pub(super) fn prepare_to_find(self: &Arc<Self>, count: usize) {
        if let Some(pool) = pool().filter(|_| count >= MANY) {
            let tree = Arc::clone(self);
            pool.spawn(move || drop(tree.ask(tree.columns.leaves(), |_| ())));
        }
    }

    /// Calls `each` with the leaves `[from, to)`, which are published, and their indexes, without those that were pruned. Reads a part only if a
    /// checkpoint has put them there.
    pub(super) fn each_leaf(
        &self,
        from: u64,
        to: u64,
        mut each: impl FnMut(u64, &Hash),
    ) -> Result<()> {
        let (view, mut read) = (self.columns.view(), Vec::new());
        // What was pruned meanwhile does not count any more.
        let mut at = from.max(self.base());
        while at < to {
            let run = match view.run(Level::LEAVES, at, to) {
                Some(run) => run,
                None => {
                    read.resize(usize::try_from((to - at).min(STEP)).unwrap_or(0), [0; 32]);
                    view.read_nodes(Level::LEAVES, NodeIndex(at), &mut read)?;
                    &read[..]
                }
            };
            (at..).zip(run).for_each(|(index, leaf)| each(index, leaf));
            at += run.len() as u64;
        }
        Ok(())
    }

    /// Where searches of parts without a useful index are counted.
    pub(crate) fn scans(&self) -> &Scans {
        &self.finder.scans
    }

    /// Whether a part was searched without a useful index since the last call.
    pub(super) fn has_new_scans(&self) -> bool {
        let (count, reported) = (self.finder.scans.count(), &self.finder.reported);
        count != reported.load(Ordering::Relaxed)
            && count != reported.swap(count, Ordering::Relaxed)
    }

    /// The parts from `floor` on, of which each set has what the one before does not have, and all leaves behind them and
    /// below `size` that are equal to `leaf`.
    pub(crate) fn find_behind(
        &self,
        leaf: &Hash,
        size: u64,
        floor: &Floor,
    ) -> Result<(Vec<PartSet>, Vec<u64>)> {
        self.check_process()?;
        self.check_indexed()?;
        let (parts, behind) = self.ask(size, |asked| asked.find_all(leaf, size))?;
        // The parts were loaded before: what they lack is held.
        let mut sets = floor.held();
        sets.push(parts);
        Ok((sets, behind))
    }

    /// The parts, and what `question` finds out about the leaves behind them, up to `size` at least.
    fn ask<T>(&self, size: u64, question: impl Fn(&Asked<'_>) -> T) -> Result<(PartSet, T)> {
        loop {
            if let (parts, Some(answer)) = self.ask_once(size, &question)? {
                return Ok((parts, answer));
            }
        }
    }

    /// Adds at most [`STEP`] leaves to the table. Asks the question if the table then has all leaves below `size`.
    fn ask_once<T>(
        &self,
        size: u64,
        question: impl Fn(&Asked<'_>) -> T,
    ) -> Result<(PartSet, Option<T>)> {
        let mut guard = self.finder.table.lock();
        let view = self.columns.view();
        let parts = self.parts();
        let new = || Box::new(RecentTable::new(fresh_key(), parts.end()));
        let table = &mut **guard.get_or_insert_with(new);
        table.forget_below(parts.end());
        let reader = Leaves { view: &view, failed: RefCell::new(None) };
        let from = table.size();
        let to = size.min(view.leaves()).min(from.saturating_add(STEP)).max(from);
        let mut added = reader.add(table, from, to);
        let mut answer = None;
        if added.is_ok() && table.size() >= size {
            answer = Some(question(&Asked { table, leaves: &reader }));
        }
        if let Some(error) = reader.failed.take() {
            added = Err(error);
        }
        if let Err(error) = added {
            *guard = None;
            return Err(error.into());
        }
        Ok((parts, answer))
    }

    /// Bytes of the table.
    pub(super) fn table_bytes(&self) -> u64 {
        self.finder.table.lock().as_ref().map_or(0, |table| table.bytes() as u64)
    }
}

/// Reads leaves for a table, and notes a failure.
struct Leaves<'a> {
    view: &'a View,
    failed: RefCell<Option<ReadError>>,
}

impl Leaves<'_> {
    /// The leaf at `index`. After a failure some other leaf.
    fn at(&self, index: LeafIndex) -> Hash {
        let (level, first) = (Level::LEAVES, NodeIndex(index.0));
        if let Some([leaf]) = self.view.borrow_nodes(level, first, 1) {
            return *leaf;
        }
        let mut leaf = [[0; 32]];
        if let Err(error) = self.view.read_nodes(level, first, &mut leaf) {
            self.failed.borrow_mut().get_or_insert(error);
        }
        leaf[0]
    }

    /// Adds the leaves `[from, to)` to the table, which ends at `from`.
    fn add(&self, table: &mut RecentTable, from: u64, to: u64) -> Result<(), ReadError> {
        let mut read = Vec::new();
        let mut at = from;
        while at < to {
            let run = match self.view.run(Level::LEAVES, at, to) {
                Some(run) => run,
                // What a tree had before it was rewound lies elsewhere.
                None => {
                    read.resize(usize::try_from((to - at).min(STEP)).unwrap_or(0), [0; 32]);
                    self.view.read_nodes(Level::LEAVES, NodeIndex(at), &mut read)?;
                    &read[..]
                }
            };
            table.add(run, |index| self.at(index));
            at += run.len() as u64;
        }
        Ok(())
    }
}

/// A key that no inserter knows, for one table in memory.
pub(super) fn fresh_key() -> IndexKey {
    let random = || RandomState::new().hash_one(0u64).to_le_bytes();
    let mut key = [0; 16];
    let (low, high) = key.split_at_mut(8);
    low.copy_from_slice(&random());
    high.copy_from_slice(&random());
    IndexKey::new(key)
}
