//! What a store of several trees must have, and what of it was acknowledged.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::rc::Rc;

use duramen::{Hash, Store};

use super::gone::Gone;
use super::state::{KINDS, New, State, Tree, leaves_of, opened};
use crate::findings::{Finding, Kind, Outcome};

/// The names of the trees.
pub(crate) const NAMES: [&str; 3] = ["notes", "nullifiers", "receipts"];

/// A point that a caller named: what was in all trees, and which id the next tree then gets.
#[derive(Clone, Debug)]
struct Point {
    state: Rc<State>,
    next_id: u32,
}

/// What a crash may leave.
#[derive(Clone, Debug)]
pub(crate) struct Bounds {
    /// The points, oldest first: from what was acknowledged to what was named.
    pub(crate) states: Vec<Rc<State>>,
    /// How many leaves the checkpoint may have, over all trees.
    pub(crate) checkpoints: Vec<u64>,
}

/// The trees of one store over its life.
#[derive(Debug)]
pub(crate) struct Model {
    /// What was done so far.
    pub(crate) now: State,
    points: Vec<Point>,
    acked: usize,
    /// How many leaves the last checkpoint may have.
    pub(crate) checkpoints: Vec<u64>,
    /// The id that the next tree gets. A crash may leave a state that was there before and after a tree was
    /// created and dropped.
    next_id: RangeInclusive<u32>,
    /// How many trees were created, lost ones too.
    created: usize,
    fresh: u64,
    /// How many marks were set, lost ones too.
    marked: u64,
    /// Leaves that rewinds have dropped, with their trees.
    dropped: Vec<(String, Hash)>,
    /// The entries of the leaves, of all trees that keep some.
    entries: BTreeMap<Hash, Vec<u8>>,
    /// The entries that no file may have any more.
    pub(crate) gone: Gone,
}

impl Model {
    pub(crate) fn new() -> Self {
        let nothing = Point { state: Rc::new(State::default()), next_id: 0 };
        Self {
            now: State::default(),
            points: vec![nothing],
            acked: 0,
            checkpoints: vec![0],
            next_id: 0..=0,
            created: 0,
            fresh: 0,
            marked: 0,
            dropped: Vec::new(),
            entries: BTreeMap::new(),
            gone: Gone::default(),
        }
    }

    /// Leaves for the tree `name` that nothing else ever was.
    pub(crate) fn new_leaves(&mut self, name: &str, count: usize) -> New {
        let kind = self.kind_of(name);
        let new = New::of_kind(kind, self.seeds(count));
        self.entries.extend(new.leaves.iter().copied().zip(new.entries.iter().cloned()));
        new
    }

    /// Whether this is the leaf of an entry.
    pub(crate) fn has_entry(&self, leaf: &Hash) -> bool {
        self.entries.contains_key(leaf)
    }

    /// The entry of a leaf of a tree that keeps some.
    pub(crate) fn entry_of(&self, leaf: &Hash) -> &[u8] {
        &self.entries[leaf]
    }

    /// A compaction is done: no file has what is erased.
    pub(crate) fn compacted(&mut self) {
        for tree in self.now.values() {
            for index in &tree.erased {
                let leaf = tree.leaves[usize::try_from(*index).unwrap()];
                self.gone.add(&self.entries[&leaf]);
            }
        }
    }

    /// A call rewinds trees. What was submitted before is a point, and so is what is left.
    pub(crate) fn rewind(&mut self, sizes: &[(String, u64)]) {
        self.name_point();
        for (name, size) in sizes {
            let dropped = self.now.rewind(name, *size);
            self.dropped.extend(dropped.into_iter().map(|leaf| (name.clone(), leaf)));
        }
        self.name_point();
    }

    /// A call prunes a tree. What was submitted before is a point, and so is what is left.
    pub(crate) fn prune(&mut self, name: &str, base: u64) {
        self.name_point();
        self.now.prune(name, base);
        self.name_point();
    }

    /// A prune of a tree takes its leaves out of the last checkpoint, or out of one of everything that it makes first.
    pub(crate) fn prune_checkpoints(&mut self, name: &str, base: u64) {
        let gone = base.saturating_sub(self.now[name].base);
        if gone > 0 {
            self.checkpoints.push(leaves_of(&self.now));
            let after = self.checkpoints.iter().filter_map(|leaves| leaves.checked_sub(gone));
            let after: Vec<_> = after.collect();
            self.checkpoints.extend(after);
        }
    }

    /// Some leaves that the tree `name` had and has no more.
    pub(crate) fn dropped_leaves(&self, name: &str) -> Vec<Hash> {
        let now = self.now.get(name).map_or(&[][..], |tree| &tree.leaves);
        let of_tree =
            self.dropped.iter().rev().filter(|(tree, _)| tree == name).map(|(_, leaf)| *leaf);
        of_tree.filter(|leaf| !now.contains(leaf)).take(3).collect()
    }

    /// A name for a mark that nothing else ever had.
    pub(crate) fn new_mark(&mut self) -> String {
        self.marked += 1;
        format!("block {}", self.marked)
    }

    /// Hashes that nothing else ever was.
    pub(crate) fn seeds(&mut self, count: usize) -> Vec<Hash> {
        let leaf = |number: u64| blake3::hash(&number.to_le_bytes()).into();
        let first = self.fresh;
        self.fresh += count as u64;
        (first..self.fresh).map(leaf).collect()
    }

    /// The kind that the tree has, or gets. Three kinds in turn, so that a name leads to another one after a
    /// drop.
    pub(crate) fn kind_of(&self, name: &str) -> usize {
        self.now.get(name).map_or(self.created % KINDS, |tree| tree.kind)
    }

    /// A tree was created under the id that `store` shows.
    pub(crate) fn create(&mut self, name: &str, id: u32) -> Outcome {
        if !self.next_id.contains(&id) {
            let text = format!("a new tree got id {id}, not one of {:?}", self.next_id);
            return Err(Finding::new(Kind::Answer, text));
        }
        let kind = self.kind_of(name);
        self.next_id = id + 1..=id + 1;
        self.created += 1;
        let (leaves, erased) = (Vec::new(), BTreeSet::new());
        let tree = Tree { id, kind, leaves, sealed: false, erased, base: 0 };
        self.now.insert(name.to_owned(), tree);
        Ok(())
    }

    /// A tree that goes on behind `leaves` was created under the id that `store` shows.
    pub(crate) fn begin(&mut self, name: &str, id: u32, leaves: Vec<Hash>) -> Outcome {
        self.create(name, id)?;
        self.now.begin(name, leaves);
        Ok(())
    }

    /// A call asks for everything submitted to be durable, whatever becomes of it.
    pub(crate) fn name_point(&mut self) {
        let next_id = *self.next_id.end();
        let last = self.points.last().unwrap();
        if *last.state != self.now || last.next_id != next_id {
            self.points.push(Point { state: Rc::new(self.now.clone()), next_id });
        }
    }

    /// Everything up to now was acknowledged.
    pub(crate) fn acknowledge(&mut self) {
        self.name_point();
        self.acked = self.points.len() - 1;
    }

    /// A checkpoint of everything is durable.
    pub(crate) fn checkpoint(&mut self) {
        self.checkpoints = vec![leaves_of(&self.now)];
    }

    /// The first of the points that are allowed now.
    pub(crate) fn acked(&self) -> usize {
        self.acked
    }

    /// The last point that was acknowledged.
    pub(crate) fn acked_state(&self) -> &State {
        &self.points[self.acked].state
    }

    /// How many leaves of the tree `name`, as it is now, were acknowledged.
    pub(crate) fn acked_leaves(&self, name: &str) -> u64 {
        let acked = |now: &Tree| self.acked_state().get(name).filter(|tree| tree.id == now.id);
        self.now.get(name).and_then(acked).map_or(0, |tree| tree.leaves.len() as u64)
    }

    /// The last point that was named.
    pub(crate) fn last_point(&self) -> &State {
        &self.points.last().unwrap().state
    }

    /// What a crash may leave if the point `acked` was acknowledged.
    pub(crate) fn bounds(&self, acked: usize, checkpoints: Vec<u64>) -> Bounds {
        let states = self.points[acked..].iter().map(|point| Rc::clone(&point.state)).collect();
        Bounds { states, checkpoints }
    }

    /// A crash has left `found` and a checkpoint of `checkpointed` leaves: seen means durable.
    pub(crate) fn reset(&mut self, found: State, checkpointed: u64) {
        let ids = self.points[self.acked..].iter().filter(|point| *point.state == found);
        let ids: Vec<_> = ids.map(|point| point.next_id).collect();
        let low = ids.iter().min().copied().unwrap_or(*self.next_id.start());
        let high = ids.iter().max().copied().unwrap_or(*self.next_id.end());
        self.next_id = low..=high;
        self.points = vec![Point { state: Rc::new(found.clone()), next_id: high }];
        self.acked = 0;
        self.now = found;
        self.checkpoints = vec![checkpointed];
    }
}

/// Checks a store that was just opened; returns what it shows.
pub(crate) fn check(store: &Store, bounds: &Bounds) -> Outcome<State> {
    let found = opened(store)?;
    if !bounds.states.iter().any(|state| **state == found) {
        let points = bounds.states.len();
        let text =
            format!("{found:?} is none of {points} points; the last is {:?}", bounds.states.last());
        return Err(Finding::new(kind_of_loss(&found, bounds), text));
    }
    let checkpointed = store.recovery().checkpointed;
    if !bounds.checkpoints.contains(&checkpointed) {
        let text = format!("checkpoint of {checkpointed}, not {:?}", bounds.checkpoints);
        return Err(Finding::new(Kind::Checkpoint, text));
    }
    Ok(found)
}

/// What is wrong with a state that is none of the points.
fn kind_of_loss(found: &State, bounds: &Bounds) -> Kind {
    let has = |state: &State, name: &str, tree: &Tree| {
        state
            .get(name)
            .filter(|other| tree.erased.is_subset(&other.erased))
            .is_some_and(|other| other.id == tree.id && other.leaves.starts_with(&tree.leaves))
    };
    // A tree that stands at every point must be there, with the leaves that it has at the first.
    let first = &bounds.states[0];
    let stays = |name: &str, id: u32| {
        let at = |state: &Rc<State>| state.get(name).is_some_and(|tree| tree.id == id);
        bounds.states.iter().all(at)
    };
    if first.iter().any(|(name, tree)| stays(name, tree.id) && !has(found, name, tree)) {
        return Kind::Lost;
    }
    let known =
        |(name, tree): (&String, &Tree)| bounds.states.iter().any(|state| has(state, name, tree));
    if found.iter().all(known) { Kind::TornBatch } else { Kind::Phantom }
}
