//! The complete nodes of a tree in vectors: the simplest storage the pure code can run against.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::cell::Cell;

use duramen::merkle::{Arity, Hash, Hasher, Level, NodeIndex, NodeSource};

pub struct Columns {
    levels: Vec<Vec<Hash>>,
    pub calls: Cell<usize>,
}

impl Columns {
    /// Computes all complete nodes over `leaves`, level by level in batches.
    pub fn new(hasher: &dyn Hasher, arity: Arity, leaves: &[Hash]) -> Self {
        let mut levels = vec![leaves.to_vec()];
        loop {
            let below = levels.last().unwrap();
            let parents = below.len() / arity.children();
            if parents == 0 {
                return Self { levels, calls: Cell::new(0) };
            }
            let mut level = vec![[0; 32]; parents];
            hasher.nodes(arity, &below[..parents * arity.children()], &mut level);
            levels.push(level);
        }
    }
}

/// A read of a node that is not complete or does not exist.
#[derive(Debug, PartialEq, Eq)]
pub struct NotThere {
    pub level: Level,
    pub first: NodeIndex,
    pub count: usize,
}

impl NodeSource for Columns {
    type Error = NotThere;

    fn read_nodes(&self, level: Level, first: NodeIndex, out: &mut [Hash]) -> Result<(), NotThere> {
        self.calls.set(self.calls.get() + 1);
        let missing = NotThere { level, first, count: out.len() };
        let start = usize::try_from(first.get()).unwrap();
        let nodes = self.levels.get(usize::from(level.0)).and_then(|l| l.get(start..));
        let nodes = nodes.and_then(|n| n.get(..out.len())).ok_or(missing)?;
        out.copy_from_slice(nodes);
        Ok(())
    }
}

/// The same nodes, lent as they lie in memory on the levels below a limit.
pub struct Borrowed<'a> {
    columns: &'a Columns,
    below: u8,
}

impl<'a> Borrowed<'a> {
    pub fn all(columns: &'a Columns) -> Self {
        Self::below(columns, u8::MAX)
    }

    pub fn below(columns: &'a Columns, below: u8) -> Self {
        Self { columns, below }
    }
}

impl NodeSource for Borrowed<'_> {
    type Error = NotThere;

    fn read_nodes(&self, level: Level, first: NodeIndex, out: &mut [Hash]) -> Result<(), NotThere> {
        self.columns.read_nodes(level, first, out)
    }

    fn borrow_nodes(&self, level: Level, first: NodeIndex, count: usize) -> Option<&[Hash]> {
        let start = usize::try_from(first.get()).unwrap();
        let nodes = self.columns.levels.get(usize::from(level.0))?.get(start..start + count);
        nodes.filter(|_| level.0 < self.below)
    }
}
