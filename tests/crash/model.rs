//! What a store must have: the leaves that were submitted, and how much of them was acknowledged.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use duramen::Hash;

use testkit::reference::Oracle;

type Levels = Rc<Vec<Vec<Hash>>>;

/// The leaves of one store over its life.
#[derive(Clone)]
pub(crate) struct Model {
    pub(crate) arity: usize,
    pub(crate) oracle: Oracle,
    /// What was submitted.
    pub(crate) leaves: Vec<Hash>,
    /// The sizes that a call asked to be durable, ascending, from 0: a crash leaves one of them.
    points: Vec<u64>,
    /// What was acknowledged.
    pub(crate) acked: u64,
    /// The sizes that the last checkpoint may have.
    pub(crate) checkpoints: Vec<u64>,
    /// How often leaves were lost: those that come in their place are different ones.
    epoch: u64,
    seed: u64,
    levels: RefCell<HashMap<u64, Levels>>,
}

impl Model {
    pub(crate) fn new(oracle: Oracle, arity: usize, seed: u64) -> Self {
        Self {
            arity,
            oracle,
            leaves: Vec::new(),
            points: vec![0],
            acked: 0,
            checkpoints: vec![0],
            epoch: 0,
            seed,
            levels: RefCell::default(),
        }
    }

    pub(crate) fn size(&self) -> u64 {
        self.leaves.len() as u64
    }

    /// The next `count` leaves, which nothing else ever was.
    pub(crate) fn next(&self, count: usize) -> Vec<Hash> {
        let leaf = |index: u64| {
            let mut input = [0; 24];
            input[..8].copy_from_slice(&index.to_le_bytes());
            input[8..16].copy_from_slice(&self.epoch.to_le_bytes());
            input[16..].copy_from_slice(&self.seed.to_le_bytes());
            blake3::hash(&input).into()
        };
        (self.size()..).take(count).map(leaf).collect()
    }

    /// These leaves were submitted in one call.
    pub(crate) fn submit(&mut self, leaves: &[Hash]) {
        self.leaves.extend_from_slice(leaves);
    }

    /// These leaves and points are those of `other`.
    pub(crate) fn clone_points(&mut self, other: &Self) {
        self.leaves.clone_from(&other.leaves);
        self.points.clone_from(&other.points);
    }

    /// A call asks for everything submitted to be durable, whatever becomes of it.
    pub(crate) fn name_point(&mut self) {
        let size = self.size();
        if self.points.last() != Some(&size) {
            self.points.push(size);
        }
    }

    /// Everything up to now was acknowledged.
    pub(crate) fn acknowledge(&mut self) {
        self.name_point();
        self.acked = self.size();
    }

    /// A checkpoint of everything is durable.
    pub(crate) fn checkpoint(&mut self) {
        self.checkpoints = vec![self.size()];
    }

    /// A crash has left `size` leaves, and a checkpoint of `checkpointed`: seen means durable.
    pub(crate) fn reset(&mut self, size: u64, checkpointed: u64) {
        let lost = size < self.size();
        self.leaves.truncate(usize::try_from(size).unwrap());
        self.points.retain(|point| *point <= size);
        self.acked = size;
        self.checkpoints = vec![checkpointed];
        self.epoch += u64::from(lost);
        if lost {
            self.levels.borrow_mut().clear();
        }
    }

    /// Whether a crash may leave this many leaves: nothing but what a caller asked for comes back.
    pub(crate) fn is_point(&self, size: u64) -> bool {
        self.points.binary_search(&size).is_ok()
    }

    /// All levels of the tree of the first `size` leaves, by the definition.
    pub(crate) fn levels(&self, size: u64) -> Levels {
        let make = || {
            let leaves = &self.leaves[..usize::try_from(size).unwrap()];
            Rc::new(self.oracle.levels(self.arity, leaves))
        };
        Rc::clone(self.levels.borrow_mut().entry(size).or_insert_with(make))
    }

    pub(crate) fn root(&self, size: u64) -> Hash {
        if size == 0 {
            return (self.oracle.empty)();
        }
        self.levels(size).last().unwrap()[0]
    }
}
