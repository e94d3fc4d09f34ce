//! A chain of blocks over three trees, in memory: what a store must have after each operation.
//!
//! # Invariants
//!
//! - What an operation does follows from the seed, its number and the model before it. So the process that writes and the
//!   one that kills it have the same operations without telling each other.
//! - No leaf is ever made twice. A leaf that was dropped must not be found again.

use std::sync::Arc;

use duramen::{Blake3, EntryConfig, Hash, Hasher, Rfc6962Sha256, TreeConfig};

use testkit::random::Random;
use testkit::reference::{BLAKE3, Oracle, RFC6962};

/// How many marks a store has at most. The oldest goes.
pub(super) const MARKS: usize = 40;
/// The trees: name, arity and reference. The second keeps entries.
pub(super) const TREES: [(&str, usize, &Oracle); 3] =
    [("notes", 4, &BLAKE3), ("receipts", 2, &RFC6962), ("spent", 8, &BLAKE3)];
/// A tree with more leaves is rewound: the reference is slow.
const MOST: usize = 20_000;
/// The tree that keeps entries.
pub(super) const ENTRIES: usize = 1;

/// How the tree at this place of [`TREES`] is made.
pub(super) fn config(at: usize) -> TreeConfig {
    match at {
        0 => TreeConfig::of::<Blake3, 4>().indexed(),
        1 => TreeConfig::of::<Rfc6962Sha256, 2>().entries(EntryConfig::default()),
        _ => TreeConfig::of::<Blake3, 8>(),
    }
}

/// What a leaf is made of. In the tree with entries this is the entry.
pub(super) type Seed = [u8; 40];

/// The leaf of the tree at `at` that is made of `seed`.
pub(super) fn leaf(at: usize, seed: &Seed) -> Hash {
    match at {
        ENTRIES => Rfc6962Sha256.leaf(seed),
        _ => blake3::hash(seed).into(),
    }
}

/// One thing that is done to a store.
#[derive(Clone, Debug)]
pub(super) enum Operation {
    /// Leaves for each tree, in one batch, with a mark.
    Block([Vec<Seed>; 3], String),
    /// Leaves for one tree, without a mark.
    Insert(usize, Vec<Seed>),
    /// Goes back to a mark.
    RewindTo(String),
    /// Rewinds the tree at this place to this size.
    Rewind(usize, usize),
    Flush,
    Checkpoint,
    /// Merges all parts of each tree.
    Compact,
}

/// The trees and the marks.
#[derive(Clone, Debug, Default)]
pub(super) struct Model {
    pub(super) trees: [Arc<Vec<Seed>>; 3],
    /// Names and sizes, oldest first.
    pub(super) marks: Arc<Vec<(String, [usize; 3])>>,
}

impl Model {
    pub(super) fn sizes(&self) -> [usize; 3] {
        [0, 1, 2].map(|at| self.trees[at].len())
    }

    /// The operation `number`.
    pub(super) fn operation(&self, seed: u64, number: u64) -> Operation {
        let mut random = Random(seed ^ number.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let seeds = |tree: usize, count: u64| -> Vec<Seed> {
            let of = |at: u64| {
                let mut made = [0; 40];
                let parts = [seed, number, tree as u64, at, seed ^ number];
                for (into, part) in made.chunks_mut(8).zip(parts) {
                    into.copy_from_slice(&part.to_le_bytes());
                }
                made
            };
            (0..count).map(of).collect()
        };
        let longest = random.pick(&[2, 10, 60, 400]);
        if let Some(tree) = self.sizes().iter().position(|size| *size > MOST) {
            return Operation::Rewind(
                tree,
                usize::try_from(random.below(MOST as u64)).unwrap_or(0),
            );
        }
        match random.below(100) {
            0..58 => {
                let block = [0, 1, 2].map(|tree| seeds(tree, random.below(longest)));
                Operation::Block(block, format!("block {number}"))
            }
            58..68 => {
                let tree = usize::try_from(random.below(3)).unwrap_or(0);
                Operation::Insert(tree, seeds(tree, 1 + random.below(longest)))
            }
            68..76 if !self.marks.is_empty() => {
                // Mostly the last few blocks, at times far back.
                let depth = random.pick(&[2, 2, 2, 5, 40]).min(self.marks.len() as u64);
                let back = usize::try_from(random.below(depth)).unwrap_or(0);
                Operation::RewindTo(self.marks[self.marks.len() - 1 - back].0.clone())
            }
            76..80 => {
                let tree = usize::try_from(random.below(3)).unwrap_or(0);
                let size = self.trees[tree].len();
                let depth = usize::try_from(random.below(longest)).unwrap_or(0);
                Operation::Rewind(tree, size.saturating_sub(depth))
            }
            80..94 => Operation::Flush,
            94..99 => Operation::Checkpoint,
            _ => Operation::Compact,
        }
    }

    /// Does an operation.
    pub(super) fn apply(&mut self, operation: &Operation) {
        match operation {
            Operation::Block(leaves, name) => {
                for (tree, leaves) in self.trees.iter_mut().zip(leaves) {
                    Arc::make_mut(tree).extend(leaves);
                }
                let sizes = self.sizes();
                let marks = Arc::make_mut(&mut self.marks);
                let too_many = (marks.len() + 1).saturating_sub(MARKS);
                marks.drain(..too_many);
                marks.push((name.clone(), sizes));
            }
            Operation::Insert(tree, leaves) => Arc::make_mut(&mut self.trees[*tree]).extend(leaves),
            Operation::RewindTo(name) => {
                let sizes =
                    self.marks.iter().find(|(mark, _)| mark == name).map(|(_, sizes)| *sizes);
                self.cut(sizes.unwrap_or(self.sizes()));
            }
            Operation::Rewind(tree, size) => {
                let mut sizes = self.sizes();
                sizes[*tree] = *size;
                self.cut(sizes);
            }
            Operation::Flush | Operation::Checkpoint | Operation::Compact => {}
        }
    }

    /// Drops the leaves above these sizes, and the marks that have more.
    fn cut(&mut self, to: [usize; 3]) {
        let before = self.sizes();
        for (tree, size) in self.trees.iter_mut().zip(to) {
            Arc::make_mut(tree).truncate(size);
        }
        let stays =
            |sizes: &[usize; 3]| (0..3).all(|at| to[at] == before[at] || sizes[at] <= to[at]);
        Arc::make_mut(&mut self.marks).retain(|(_, sizes)| stays(sizes));
    }
}
