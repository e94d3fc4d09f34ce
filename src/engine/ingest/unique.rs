//! Inserts leaves that a tree does not have yet.
//!
//! # Invariants
//!
//! - Whether a tree has a leaf is decided under the insertion lock, against every leaf that was accepted, durable or
//!   not. So two callers with equal leaves get one index.
//! - Before the lock is taken, the parts and the table of the tree are searched for the leaves that it has then, and
//!   what came meanwhile is compared with the request. Under the lock only what came since is compared, at most [`LAG`]
//!   leaves. They are in memory, unless a checkpoint has just put them into a part.
//! - A leaf is compared with a request once. So a try that finds too many new leaves under the lock is not in vain, and
//!   after [`TRIES`] of them the rest is compared under the lock, however many leaves it is.
//! - A refused request inserts nothing.

use std::ops::Range;
use std::sync::Arc;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use super::addition::Addition;
use super::insert::{Intake, LARGE_FROM};
use crate::durability::DurabilityToken;
use crate::engine::find::fresh_key;
use crate::engine::shared::Engine;
use crate::engine::{Slot, Tree};
use crate::error::{Error, Result};
use crate::ids::{Seq, TreeId};
use crate::index::IndexKey;
use crate::mark::MarkName;
use crate::merkle::Hash;
use crate::sync;

/// Leaves for one tree. Those of `unique` are inserted only if the tree has none equal.
#[derive(Clone, Copy)]
pub(crate) struct Request<'a> {
    pub(crate) slot: &'a Arc<Slot>,
    pub(crate) leaves: &'a [Hash],
    /// As in an [`Addition`].
    pub(crate) entries: &'a [&'a [u8]],
    /// For each leaf.
    pub(crate) unique: &'a [bool],
}

/// Where a leaf of a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    New(u64),
    /// The tree had it. Whether it was durable then.
    Existing(u64, bool),
}

/// What a request came to.
pub(crate) struct Settled {
    /// The indexes of the leaves that were inserted.
    pub(crate) range: Range<u64>,
    /// For each leaf of the request.
    pub(crate) found: Vec<Found>,
}

/// Leaves that are compared under the insertion lock.
const LAG: u64 = if cfg!(duramen_loom) { 1 } else { 4096 };
/// How often a request lets the lock go because too many leaves came.
const TRIES: usize = if cfg!(duramen_loom) { 1 } else { 4 };

/// What is known of the leaves of a request.
struct Search {
    /// The leaves that have to be unique, each once.
    leaves: Vec<Hash>,
    /// The positions of these leaves in the list by their hash, unless it has only one.
    positions: HashTable<usize>,
    key: IndexKey,
    /// For each leaf of the request, its position in the list, if it is there.
    listed: Vec<Option<usize>>,
    /// For each leaf of the list, the first equal one below `end` in the tree.
    first: Vec<Option<u64>>,
    /// Up to where the tree was searched.
    end: Option<u64>,
}

impl Search {
    fn new(request: &Request<'_>) -> Self {
        let key = fresh_key();
        let mut search = Self {
            leaves: Vec::with_capacity(request.leaves.len()),
            positions: HashTable::new(),
            key,
            listed: Vec::with_capacity(request.leaves.len()),
            first: Vec::new(),
            end: None,
        };
        if request.leaves.len() > 1 {
            search.positions.reserve(request.leaves.len(), |_| 0);
        }
        let listed = request
            .leaves
            .iter()
            .zip(request.unique)
            .map(|(leaf, unique)| unique.then(|| search.list(leaf, request.leaves.len() == 1)));
        let listed: Vec<_> = listed.collect();
        // A leaf that need not be unique counts for equal ones that have to be.
        let listed = request.leaves.iter().zip(listed);
        search.listed = listed.map(|(leaf, at)| at.or_else(|| search.position(leaf))).collect();
        search.first = vec![None; search.leaves.len()];
        search
    }

    /// The position of a leaf in the list, to which it is added if it is not there.
    fn list(&mut self, leaf: &Hash, alone: bool) -> usize {
        let Self { leaves, positions, key, .. } = self;
        let next = leaves.len();
        if alone {
            leaves.push(*leaf);
            return next;
        }
        let is_it = |at: &usize| leaves.get(*at) == Some(leaf);
        let again = |at: &usize| leaves.get(*at).map_or(0, |leaf| key.hash(leaf).0);
        match positions.entry(key.hash(leaf).0, is_it, again) {
            Entry::Occupied(there) => *there.get(),
            Entry::Vacant(vacant) => {
                vacant.insert(next);
                leaves.push(*leaf);
                next
            }
        }
    }

    /// The position of a leaf in the list.
    fn position(&self, leaf: &Hash) -> Option<usize> {
        match &self.leaves[..] {
            [] => None,
            // To compare one leaf with another costs less than to look it up.
            [only] => (only == leaf).then_some(0),
            leaves => {
                let is_it = |at: &usize| leaves.get(*at) == Some(leaf);
                self.positions.find(self.key.hash(leaf).0, is_it).copied()
            }
        }
    }

    /// Searches the tree as it is now, without a lock.
    fn look(&mut self, tree: &Tree) -> Result<()> {
        if self.leaves.is_empty() {
            return Ok(());
        }
        if self.end.is_none() {
            let size = tree.columns.leaves();
            self.first = tree.find_each(&self.leaves, size)?;
            self.end = Some(size);
        }
        self.compare(tree, tree.columns.leaves())
    }

    /// How many leaves of a tree of this size were not compared yet.
    fn lag(&self, size: u64) -> u64 {
        if self.leaves.is_empty() { 0 } else { size.saturating_sub(self.end.unwrap_or(0)) }
    }

    /// Compares the rest of the leaves below `size`, which is published.
    fn compare(&mut self, tree: &Tree, size: u64) -> Result<()> {
        if self.lag(size) == 0 {
            return Ok(());
        }
        let mut first = std::mem::take(&mut self.first);
        let compared = tree.each_leaf(self.end.unwrap_or(0), size, |index, leaf| {
            if let Some(first) = self.position(leaf).and_then(|at| first.get_mut(at)) {
                first.get_or_insert(index);
            }
        });
        self.first = first;
        // After a failure the leaves before it are compared again.
        compared?;
        self.end = Some(size);
        Ok(())
    }
}

/// What a request inserts.
struct Chosen<'a> {
    settled: Settled,
    leaves: Vec<Hash>,
    entries: Vec<&'a [u8]>,
}

impl Request<'_> {
    fn addition<'b>(&'b self, tree: &'b Tree) -> Addition<'b> {
        Addition { tree: &tree.fixed, leaves: self.leaves, entries: self.entries }
    }
}

impl<'a> Request<'a> {
    /// Decides about each leaf, under the insertion lock. The tree has `size` leaves.
    fn choose(&self, tree: &Tree, search: &mut Search, size: u64) -> Result<Chosen<'a>> {
        if !sync::defect("a unique leaf is not compared with those that came since the search") {
            search.compare(tree, size)?;
        }
        let durable = tree.durable().get();
        let mut next = size;
        let mut chosen = Chosen {
            settled: Settled { range: size..size, found: Vec::with_capacity(self.leaves.len()) },
            leaves: Vec::with_capacity(self.leaves.len()),
            entries: Vec::with_capacity(self.entries.len()),
        };
        for (at, (leaf, unique)) in self.leaves.iter().zip(self.unique).enumerate() {
            let listed = search.listed.get(at).copied().flatten();
            let first = listed.and_then(|listed| search.first.get_mut(listed));
            chosen.settled.found.push(match first {
                Some(Some(index)) if *unique => Found::Existing(*index, *index < durable),
                first => {
                    if let Some(first) = first {
                        first.get_or_insert(next);
                    }
                    chosen.leaves.push(*leaf);
                    chosen.entries.extend(self.entries.get(at));
                    next += 1;
                    Found::New(next - 1)
                }
            });
        }
        chosen.settled.range.end = next;
        Ok(chosen)
    }
}

impl Engine {
    /// Inserts what the trees do not have of `requests`, at one moment, and marks it. Each tree has one request. Returns what each came
    /// to, and the number with which all of it is durable, the leaves that were there included.
    pub(crate) fn insert_unique(
        &self,
        requests: &[Request<'_>],
        mark: Option<&MarkName>,
        how: Intake,
    ) -> Result<(Vec<Settled>, Seq)> {
        let awake = |request: &Request<'_>| {
            let dropped = || Error::TreeDropped { tree: request.slot.spec.name.clone() };
            request.slot.tree().ok_or_else(dropped)
        };
        let current = || requests.iter().map(awake).collect::<Result<Vec<_>>>();
        let mut trees = current()?;
        for (request, tree) in requests.iter().zip(&trees) {
            request.addition(tree).check()?;
            if request.unique.contains(&true) {
                tree.check_indexed()?;
            }
        }
        let (mut all_bytes, mut all_node_bytes) = (0_u64, 0_u64);
        for (request, tree) in requests.iter().zip(&trees) {
            let addition = request.addition(tree);
            all_bytes += addition.bytes();
            all_node_bytes = all_node_bytes.saturating_add(addition.node_bytes());
        }
        let large = all_bytes >= LARGE_FROM;
        let names = || requests.iter().map(|request| request.slot.spec.name.clone()).collect();
        let search = || requests.iter().map(Search::new).collect::<Vec<_>>();
        let mut searches = search();
        let mut tries = 0;
        loop {
            for (tree, search) in trees.iter().zip(&mut searches) {
                search.look(tree)?;
                self.mend_indexes(tree);
            }
            let mut ingest = self.enter(how, large, || all_node_bytes, &names)?;
            let size = |tree: &Arc<Tree>| ingest.check_tree(tree);
            let sizes = trees.iter().map(size).collect::<Result<Vec<_>>>()?;
            if !trees.iter().all(|tree| ingest.is_current(tree)) {
                // A tree was rewound meanwhile: what was found may be gone.
                drop(ingest);
                (trees, searches) = (current()?, search());
                continue;
            }
            let mut lags = searches.iter().zip(&sizes).map(|(search, size)| search.lag(*size));
            if tries < TRIES && lags.any(|lag| lag > LAG) {
                tries += 1;
                continue;
            }
            let asked = requests.iter().zip(&trees).zip(&mut searches).zip(sizes);
            let chosen =
                asked.map(|(((request, tree), search), size)| request.choose(tree, search, size));
            let chosen = chosen.collect::<Result<Vec<_>>>()?;
            let additions = trees.iter().zip(&chosen).map(|(tree, chosen)| Addition {
                tree: &tree.fixed,
                leaves: &chosen.leaves,
                entries: &chosen.entries,
            });
            let additions: Vec<_> =
                additions.filter(|addition| !addition.leaves.is_empty()).collect();
            if let Some(mark) = mark {
                ingest.check_mark(mark)?;
            }
            let seq = if additions.is_empty() && mark.is_none() {
                ingest.accepted().seq
            } else {
                if large {
                    ingest = self.append_large(ingest, &additions, mark)?;
                } else {
                    for addition in &additions {
                        ingest.append(addition)?;
                    }
                }
                if let Some(mark) = mark {
                    ingest.mark(mark)?;
                }
                self.leave(ingest, how)
            };
            for (tree, chosen) in trees.iter().zip(&chosen) {
                self.hash_large(tree, chosen.leaves.len());
                // More of this kind are likely to follow.
                tree.prepare_to_find(chosen.leaves.len());
            }
            return Ok((chosen.into_iter().map(|chosen| chosen.settled).collect(), seq));
        }
    }

    /// Resolves once the leaf `found` is durable. `seq` is what [`insert_unique`](Self::insert_unique) returned.
    pub(crate) fn token_of(&self, tree: TreeId, found: Found, seq: Seq) -> DurabilityToken {
        match found {
            Found::Existing(_, true) => self.token(Seq(0)),
            Found::New(index) | Found::Existing(index, false) => {
                self.token_of_leaf(seq, tree, index + 1)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{CheckpointPolicy, Config, FlushPolicy};
    use crate::engine::Wanted;
    use crate::merkle::{Arity, Blake3, TreeName};
    use crate::report::CheckpointReason;
    use crate::sync::JoinHandle;

    fn open(dir: &tempfile::TempDir) -> (Arc<Engine>, JoinHandle<()>) {
        let config = Config::new(dir.path())
            .flush_policy(FlushPolicy::Manual)
            .checkpoint_policy(CheckpointPolicy::manual());
        let name = TreeName::main();
        let (hasher, arity, entries) = (Arc::new(Blake3), Arity::Four, None);
        let wanted = Wanted { name, hasher, arity, entries, indexed: true, origin: None };
        crate::engine::open(&config, Some(&wanted)).unwrap()
    }

    fn leaf(number: u64) -> Hash {
        std::array::from_fn(|at| number.to_le_bytes().get(at).copied().unwrap_or(7))
    }

    #[test]
    fn a_large_batch_is_added_to_the_table_before_the_next_search() {
        let dir = tempfile::tempdir().unwrap();
        let (engine, flusher) = open(&dir);
        let slot = engine.slot(&TreeName::main()).unwrap();
        let tree = slot.tree().unwrap();
        if crate::sync::pool::pool().is_none() {
            // There is one core.
            return engine.close(flusher).unwrap();
        }
        let leaves: Vec<_> = (0..1000).map(leaf).collect();
        let request = Request { slot: &slot, leaves: &leaves, entries: &[], unique: &[true; 1000] };
        engine.insert_unique(&[request], None, Intake::Insert).unwrap();
        let started = std::time::Instant::now();
        while tree.table_bytes() < 8000 {
            assert!(started.elapsed().as_secs() < 30, "no thread adds the leaves");
            std::thread::yield_now();
        }
        engine.flush().unwrap();
        engine.close(flusher).unwrap();
    }

    /// More leaves than a lag come between the search and the lock, and a checkpoint puts them into a part.
    #[test]
    fn leaves_that_came_since_the_search_are_compared_wherever_they_are_by_then() {
        let dir = tempfile::tempdir().unwrap();
        let (engine, flusher) = open(&dir);
        let slot = engine.slot(&TreeName::main()).unwrap();
        let tree = slot.tree().unwrap();
        let insert = |range: Range<u64>| {
            let leaves: Vec<_> = range.map(leaf).collect();
            let addition = Addition { tree: &tree.fixed, leaves: &leaves, entries: &[] };
            engine.insert(addition, Intake::Insert).unwrap();
        };
        insert(0..100);
        for asked in [&[leaf(5), leaf(1000), leaf(9_999_999), leaf(1000)][..], &[leaf(1000)]] {
            let unique = vec![true; asked.len()];
            let request = Request { slot: &slot, leaves: asked, entries: &[], unique: &unique };
            let mut search = Search::new(&request);
            search.look(&tree).unwrap();
            let before = tree.columns.leaves();
            insert(before..before + 3 * LAG);
            engine.checkpoint(CheckpointReason::Manual).unwrap();
            insert(before + 3 * LAG..before + 3 * LAG + 50);
            let size = tree.columns.leaves();
            let ingest = engine.inflow.lock();
            assert!(asked.len() == 1 || search.lag(size) == 3 * LAG + 50);
            let chosen = request.choose(&tree, &mut search, size).unwrap();
            drop(ingest);
            let found = chosen.settled.found;
            if asked.len() == 1 {
                assert_eq!(found, [Found::Existing(1000, true)]);
                continue;
            }
            let new = Found::New(size);
            let old = Found::Existing(1000, true);
            assert_eq!(found, [Found::Existing(5, true), old, new, old]);
            assert_eq!(chosen.settled.range, size..size + 1);
        }
        // Nothing was inserted.
        assert_eq!(engine.inflow.lock().check_tree(&tree).unwrap(), tree.columns.leaves());
        engine.flush().unwrap();
        engine.close(flusher).unwrap();
    }
}
