//! Counts what a store has accepted, in every unit that a limit or a policy uses. Pure.
//!
//! # Invariants
//!
//! - A tally only grows, in all units together. So the difference of two tallies is what came in between.
//! - Every trigger and every limit counts the same bytes for a leaf: the leaf and its share of the complete nodes
//!   above it, `32 N / (N - 1)` at arity `N`, without rounding.

use crate::ids::Seq;
use crate::merkle::{Arity, Hash};
use crate::tree_spec::TreeSpec;

/// Bytes of a leaf.
const LEAF: u64 = size_of::<Hash>() as u64;

/// Nodes are counted in units of 1/105 byte. A leaf of any arity takes a whole number of them.
const UNITS: u64 = 105;
const _: () = {
    let mut at = 0;
    while at < Arity::ALL.len() {
        assert!(UNITS.is_multiple_of(Arity::ALL[at].children() as u64 - 1));
        at += 1;
    }
};

/// Bytes that a record without leaves takes in the log besides the tree's name.
const CONTROL: u64 = 64;

/// What a store had accepted at some moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Records since the store was created. Each leaf counts as one.
    pub(crate) seq: Seq,
    /// Leaves: those that the trees had when the store was opened, and all since.
    pub(crate) leaves: u64,
    /// The id of the next tree: how many trees were created since the store was.
    pub(crate) next_tree: u64,
    /// Bytes of entries since the store was opened, with their lengths.
    entries: u64,
    /// Bytes of records since the store was opened.
    pub(super) records: u64,
    /// Units of nodes since the last checkpoint before the store was opened.
    pub(super) nodes: u64,
}

impl Tally {
    /// A store with `leaves` leaves that continues at `seq`. Its next new tree has the id `next_tree`.
    pub(crate) fn opened(seq: Seq, leaves: u64, next_tree: u64) -> Self {
        Self { seq, leaves, next_tree, ..Self::default() }
    }

    /// Counts leaves of a tree of this arity that the log has and the last checkpoint does not, with
    /// `entries` bytes of entries.
    pub(crate) fn add_replayed(&mut self, arity: Arity, leaves: u64, entries: u64) {
        self.nodes += leaves.saturating_mul(units(arity)) + entries.saturating_mul(UNITS);
    }

    /// Counts leaves of a tree of this arity, with `entries` bytes of entries.
    #[inline]
    pub(crate) fn add_leaves(&mut self, arity: Arity, leaves: u64, entries: u64) {
        self.seq.0 += leaves;
        self.leaves += leaves;
        self.entries += entries;
        self.records += leaves * LEAF + entries;
        self.nodes += leaves * units(arity) + entries * UNITS;
    }

    /// Counts a record that creates a tree.
    pub(crate) fn add_created(&mut self, spec: &TreeSpec) {
        self.next_tree += 1;
        self.add_control(spec);
    }

    /// Counts a record that seals or drops a tree.
    pub(crate) fn add_control(&mut self, spec: &TreeSpec) {
        self.seq.0 += 1;
        self.records += CONTROL + spec.name.as_str().len() as u64;
    }

    /// Counts a record that erases entries, with a payload of `bytes` bytes.
    pub(crate) fn add_erasure(&mut self, spec: &TreeSpec, bytes: usize) {
        self.add_control(spec);
        self.records += bytes as u64;
    }

    /// Counts a record that sets or removes a mark, with a payload of `bytes` bytes.
    pub(crate) fn add_mark(&mut self, bytes: usize) {
        self.seq.0 += 1;
        self.records += CONTROL + bytes as u64;
    }

    /// Bytes of records that came since `earlier`.
    #[inline]
    pub(crate) fn record_bytes_since(self, earlier: Self) -> u64 {
        self.records.saturating_sub(earlier.records)
    }

    /// Bytes of leaves and entries that came since `earlier`, as the log has them.
    pub(crate) fn leaf_bytes_since(self, earlier: Self) -> u64 {
        let leaves = self.leaves.saturating_sub(earlier.leaves) * LEAF;
        leaves + self.entries.saturating_sub(earlier.entries)
    }

    /// Bytes of nodes that came since `earlier`.
    pub(crate) fn node_bytes_since(self, earlier: Self) -> u64 {
        self.nodes.saturating_sub(earlier.nodes) / UNITS
    }

    /// The units of nodes of a tally that is `bytes` bytes of nodes ahead of this one.
    pub(super) fn nodes_after(self, bytes: u64) -> u64 {
        self.nodes.saturating_add(bytes.saturating_mul(UNITS))
    }
}

/// Bytes of `leaves` leaves and the complete nodes above them.
pub(crate) fn node_bytes(arity: Arity, leaves: u64) -> u64 {
    leaves.saturating_mul(units(arity)) / UNITS
}

/// Units of a leaf and its share of the nodes above it. Computed at compile time, so an insert needs no division.
#[inline]
const fn units(arity: Arity) -> u64 {
    const fn of(arity: Arity) -> u64 {
        let children = arity.children() as u64;
        UNITS * LEAF * children / (children - 1)
    }
    match arity {
        Arity::Two => const { of(Arity::Two) },
        Arity::Four => const { of(Arity::Four) },
        Arity::Eight => const { of(Arity::Eight) },
        Arity::Sixteen => const { of(Arity::Sixteen) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leaf_takes_what_it_and_its_share_of_the_nodes_above_take() {
        for arity in Arity::ALL {
            let (n, mut leaves) = (arity.children() as u64, 1);
            for _ in 0..6 {
                leaves *= n;
                // A complete tree with its root: (n^(k+1) - 1) / (n - 1) nodes.
                let nodes = (leaves * n - 1) / (n - 1);
                let bytes = node_bytes(arity, leaves);
                assert!((nodes * LEAF..nodes * LEAF + 2 * LEAF).contains(&bytes), "{arity:?}");
            }
        }
        assert_eq!(node_bytes(Arity::Four, 3), 128);
        assert_eq!(node_bytes(Arity::Two, u64::MAX), u64::MAX / UNITS);
    }

    #[test]
    fn leaves_of_several_trees_add_up_without_rounding() {
        let mut tally = Tally::opened(Seq(5), 100, 0);
        let before = tally;
        for arity in Arity::ALL {
            for _ in 0..arity.children() - 1 {
                tally.add_leaves(arity, 1, 0);
            }
        }
        let children: u64 = Arity::ALL.iter().map(|arity| arity.children() as u64).sum();
        assert_eq!(tally.node_bytes_since(before), LEAF * children);
        assert_eq!(tally.record_bytes_since(before), LEAF * (children - 4));
        assert_eq!((tally.seq.0, tally.leaves), (5 + children - 4, 100 + children - 4));
    }
}
