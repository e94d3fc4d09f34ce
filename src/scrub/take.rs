//! Plans what a repair takes from a backup.
//!
//! # Invariant
//!
//! Each leaf that is taken leads to an intact node: every node between them is the hash of its children in the mended
//! tree. Or the nodes lead to the right edge, and the mended tree has the root in the manifest. Leaves for which this
//! does not hold are given up, and the plan is made again without them.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};

use super::pass::BlockId;
use super::plan::{Planner, block_of};
use crate::directory::manifest::TreeEntry;
use crate::entry::BUNDLE;
use crate::merkle::{Hash, Level, NodeIndex, NodeSource, Shape, TreeSize};
use crate::part::PART_BLOCK_LEN;

impl Planner<'_> {
    /// Replaces a block of leaves by those of the backup. Returns false if the backup does not have them, if they were
    /// given up before, or if the block `may_be_right` and has the same.
    pub(super) fn take_leaves(&mut self, id: BlockId, may_be_right: bool) -> bool {
        let Some(donation) = self.donation.filter(|_| !self.refused.contains(&id)) else {
            return false;
        };
        let Some((_, nodes)) = self.tree.parts[id.0].visible_nodes_of(id.1) else { return false };
        let mut block = self.with_hidden(id);
        let len = usize::try_from(nodes.end - nodes.start).unwrap_or(0);
        let slots: &mut [Hash] = block.as_chunks_mut().0;
        if !donation.leaves(nodes, &mut slots[..len]) {
            return false;
        }
        let mut stored = [0; PART_BLOCK_LEN];
        if may_be_right
            && self.tree.parts[id.0].read(id.1, &mut stored).is_ok()
            && stored[..len * size_of::<Hash>()] == block[..len * size_of::<Hash>()]
        {
            return false;
        }
        self.patches.insert(id, block);
        self.taken.insert(id);
        true
    }

    /// The blocks that were taken and are not proven. All nodes that can be rebuilt are rebuilt.
    pub(super) fn unproven_blocks(&self, entry: &TreeEntry) -> Vec<BlockId> {
        let root = OnceCell::new();
        let has_root = || {
            *root.get_or_init(|| {
                let found = entry.root_over(&self.mended(), &*self.tree.hasher);
                matches!(found, Ok(Some(found)) if found == entry.root)
            })
        };
        let unproven = |id: &&BlockId| !self.is_proven(**id, &has_root);
        self.taken.iter().filter(unproven).copied().collect()
    }

    fn is_proven(&self, id: BlockId, has_root: &dyn Fn() -> bool) -> bool {
        let Some((_, nodes)) = self.tree.parts[id.0].visible_nodes_of(id.1) else { return false };
        let bits = self.tree.arity.bits();
        let shape = Shape::new(self.tree.arity, TreeSize(self.tree.size));
        let (mut level, mut open) = (Level::LEAVES, nodes.collect::<Vec<_>>());
        while !open.is_empty() {
            level = level.up();
            let mut parents: Vec<u64> = open.iter().map(|child| child >> bits).collect();
            parents.dedup();
            open.clear();
            for parent in parents {
                if parent >= shape.complete(level) {
                    // The root is folded from its children.
                    if !has_root() {
                        return false;
                    }
                    continue;
                }
                let mut stored = [[0; 32]];
                let read = self.mended().read_nodes(level, NodeIndex(parent), &mut stored);
                if read.is_err() || self.mended().parent(level, parent) != Some(stored[0]) {
                    return false;
                }
                if !self.is_intact(level, parent) {
                    open.push(parent);
                }
            }
        }
        true
    }

    /// Whether a node is as it is stored, under a checksum that matches.
    fn is_intact(&self, level: Level, index: u64) -> bool {
        let block = block_of(self.tree, level, index);
        block.is_some_and(|id| {
            !self.faults.blocks.contains_key(&id) && !self.patches.contains_key(&id)
        })
    }

    /// The parts whose damaged or missing entries the backup has, with the numbers of their bundles.
    pub(super) fn refills(&self) -> BTreeMap<usize, BTreeSet<u64>> {
        let mut wanted: BTreeMap<usize, BTreeSet<u64>> = BTreeMap::new();
        for wrong in &self.entries.wrong {
            wanted.entry(wrong.part).or_default().insert(wrong.leaves.start / BUNDLE);
        }
        for (number, part) in self.tree.parts.iter().enumerate() {
            if part.is_missing() && part.identity.entries.is_some() {
                wanted.insert(number, part.bundles().collect());
            }
        }
        wanted.retain(|number, bundles| {
            bundles.iter().all(|bundle| self.can_refill(*number, *bundle))
        });
        wanted
    }

    fn can_refill(&self, number: usize, bundle: u64) -> bool {
        let part = &self.tree.parts[number];
        let Some((donation, framing)) = self.donation.zip(part.identity.entries) else {
            return false;
        };
        let range = part.leaves_of_bundle(bundle);
        let len = usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(0);
        let mut leaves = vec![[0; 32]; len];
        self.mended().read_nodes(Level::LEAVES, NodeIndex(range.start), &mut leaves).is_ok()
            && donation.has_entries_of(self.tree, framing, range.start, &leaves)
    }

    /// Whether everything of a missing part comes from the backup, but for what can be rebuilt from that.
    pub(super) fn is_revived(
        &self,
        number: usize,
        refills: &BTreeMap<usize, BTreeSet<u64>>,
    ) -> bool {
        let part = &self.tree.parts[number];
        let lost = self.lost.range((number, 0)..(number + 1, 0)).next().is_some();
        let entries = part.identity.entries.is_none() || refills.contains_key(&number);
        self.donation.is_some() && part.is_missing() && !lost && entries
    }
}
