//! Interprets the faults, and decides what can be rebuilt.
//!
//! # Invariants
//!
//! - A leaf is rebuilt only from its entry, or [taken](super::take) from a backup. Without both a block of leaves is
//!   taken as it is, or it stays damaged. Rebuilt leaves count only if they hash to an intact parent, or to the root.
//! - A node is rebuilt only if all its children are proven: by a checksum, by having been rebuilt
//!   themselves, or by the resulting root.
//! - If the resulting root is not the manifest's root, nothing is rebuilt.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::donor::Donation;
use super::entries::{EntryFaults, WrongEntries};
use super::pass::{BlockFault, BlockId, Faults, TreeParts};
use crate::checksum::block_checksum;
use crate::directory::manifest::TreeEntry;
use crate::error::{Damage, Error, Problem};
use crate::merkle::{Arity, Hash, Level, NodeIndex, NodeSource, Shape, TreeSize};
use crate::part::{NODES_PER_BLOCK, PART_BLOCK, PART_BLOCK_LEN, RawPart};
use crate::report::scrub::{Element, Finding, Remedy};

/// The damage of a tree's parts, and how to repair it.
pub(super) struct Plan {
    pub(super) findings: Vec<Finding>,
    /// The correct contents of damaged blocks of inner nodes.
    patches: HashMap<BlockId, Box<[u8; PART_BLOCK_LEN]>>,
    /// Blocks that stay damaged.
    pub(super) lost: BTreeSet<BlockId>,
    /// Parts to rewrite.
    pub(super) rewrite: BTreeSet<usize>,
    /// Bundles of entries that come from the backup, by part.
    refills: BTreeMap<usize, BTreeSet<u64>>,
}

/// A damaged block, and the kind of its contents.
struct Case {
    id: BlockId,
    element: Element,
    damage: Damage,
    remedy: Remedy,
}

pub(super) struct Planner<'a> {
    pub(super) tree: &'a TreeParts,
    pub(super) faults: &'a Faults,
    pub(super) entries: &'a EntryFaults,
    pub(super) donation: Option<Donation<'a>>,
    /// Blocks that an earlier plan took from the backup and that were not proven.
    pub(super) refused: BTreeSet<BlockId>,
    /// Blocks of leaves that come from the backup.
    pub(super) taken: BTreeSet<BlockId>,
    /// Nodes that are not the hash of their children as stored, by level.
    mismatches: BTreeMap<u8, BTreeSet<u64>>,
    pub(super) patches: HashMap<BlockId, Box<[u8; PART_BLOCK_LEN]>>,
    pub(super) lost: BTreeSet<BlockId>,
    cases: Vec<Case>,
    /// Whether a decision, that a block is intact or that it is wrong, can be proven only by the root.
    unproven: bool,
}

impl Plan {
    /// Makes a plan for `faults`. `entry` is the tree in the manifest. `manifest` is the damage to
    /// report if the manifest's root is not the root of the nodes. `donation` is the tree in a backup.
    pub(super) fn new(
        tree: &TreeParts,
        faults: &Faults,
        entries: &EntryFaults,
        entry: &TreeEntry,
        manifest: &Damage,
        donation: Option<Donation<'_>>,
    ) -> Self {
        let mut mismatches: BTreeMap<u8, BTreeSet<u64>> = BTreeMap::new();
        for (level, index) in &faults.nodes {
            mismatches.entry(level.0).or_default().insert(*index);
        }
        let shape = Shape::new(tree.arity, TreeSize(tree.size));
        let mut refused = BTreeSet::new();
        loop {
            let mut planner = Planner {
                tree,
                faults,
                entries,
                donation,
                refused,
                taken: BTreeSet::new(),
                mismatches: mismatches.clone(),
                patches: HashMap::new(),
                lost: BTreeSet::new(),
                cases: Vec::new(),
                unproven: false,
            };
            planner.leaves();
            for level in (1..shape.columns()).map(Level) {
                planner.inner(level);
            }
            let unproven = planner.unproven_blocks(entry);
            if unproven.is_empty() {
                return planner.finish(entry, manifest);
            }
            // At least one more than before, so this ends.
            refused = planner.refused;
            refused.extend(unproven);
        }
    }

    /// The findings for a tree of which too much is absent to rebuild anything.
    pub(super) fn none(tree: &TreeParts, faults: &Faults) -> Self {
        let mut findings = Vec::new();
        for (number, part) in tree.parts.iter().enumerate() {
            if let Some(damage) = part.file_damage() {
                findings.push(Finding {
                    damage: *damage,
                    tree: None,
                    element: Element::File,
                    blocks: None,
                    leaves: Some(part.reference.from..part.reference.to),
                    remedy: Remedy::None,
                });
            }
            if part.is_missing() || part.is_hollow() {
                continue;
            }
            let frame = &tree.frames[number];
            let header = frame.header.iter().map(|damage| (0, Element::Header, damage));
            let footer = part.footer_block();
            let footer = frame.footer.iter().map(|damage| (footer, Element::Footer, damage));
            let tables = frame.tables.iter();
            let tables = tables.map(|(block, damage)| (*block, Element::Checksums, damage));
            for (block, element, damage) in header.chain(footer).chain(tables) {
                findings.push(Finding {
                    damage: (**damage).clone(),
                    tree: None,
                    element,
                    blocks: Some(block..block + 1),
                    leaves: None,
                    remedy: Remedy::None,
                });
            }
            for (id, fault) in faults.blocks.range((number, 0)..(number + 1, 0)) {
                let Some((level, _)) = part.nodes_of(id.1) else { continue };
                let element = match level {
                    Level::LEAVES => Element::Leaves,
                    Level(level) => Element::Nodes { level },
                };
                let damage = fault.damage().clone();
                let case = Case { id: *id, element, damage, remedy: Remedy::None };
                push(&mut findings, tree.arity, part, case);
            }
        }
        let lost = faults.blocks.keys().copied().collect();
        let (patches, rewrite, refills) = (HashMap::new(), BTreeSet::new(), BTreeMap::new());
        Self { findings, patches, lost, rewrite, refills }
    }

    /// Whether some entries of a part come from the backup.
    pub(super) fn refills(&self, part: usize) -> bool {
        self.refills.contains_key(&part)
    }

    /// Whether a bundle of entries comes from the backup.
    pub(super) fn takes(&self, part: usize, bundle: u64) -> bool {
        self.refills.get(&part).is_some_and(|bundles| bundles.contains(&bundle))
    }

    /// The nodes of the repaired tree. Nodes that stay damaged are returned as stored.
    ///
    /// They are for the part `number`, which is written again with the nodes that a rewind hides, as they are stored: a
    /// part has all its nodes, and nothing reads these.
    pub(super) fn source<'a>(&'a self, tree: &'a TreeParts, number: usize) -> Mended<'a> {
        Mended { tree, patches: &self.patches, lost: None, hidden_of: Some(number) }
    }
}

impl Planner<'_> {
    /// The faults of blocks of a level that are read: no more than hidden nodes in a block is no damage.
    fn faults_of(&self, level: Level) -> Vec<(BlockId, BlockFault)> {
        let of_level = |id: &BlockId| {
            self.tree.parts[id.0].visible_nodes_of(id.1).is_some_and(|(found, _)| found == level)
        };
        let faults = self.faults.blocks.iter().filter(|(id, _)| of_level(id));
        faults.map(|(id, fault)| (*id, fault.clone())).collect()
    }

    fn leaves(&mut self) {
        for (id, fault) in self.faults_of(Level::LEAVES) {
            let contradicted = self.contradicted(id);
            if !only_padding(&self.tree.parts[id.0], id.1, &fault)
                && (contradicted || !is_doubtful(&fault))
                && let Some(block) = self.leaves_from_entries(id)
                && self.patch_leaves(id, block)
            {
                let damage = fault.damage().clone();
                let (element, remedy) = (Element::Leaves, Remedy::Rebuild);
                self.cases.push(Case { id, element, damage, remedy });
                continue;
            }
            let may_be_right = is_doubtful(&fault) && !contradicted;
            if !only_padding(&self.tree.parts[id.0], id.1, &fault)
                && self.take_leaves(id, may_be_right)
            {
                let damage = fault.damage().clone();
                let (element, remedy) = (Element::Leaves, Remedy::Take);
                self.cases.push(Case { id, element, damage, remedy });
                continue;
            }
            let mut damaged = |remedy, element| {
                let damage = fault.damage().clone();
                self.cases.push(Case { id, element, damage, remedy });
            };
            let doubtful = match &fault {
                BlockFault::Unreadable(_) => {
                    damaged(Remedy::None, Element::Leaves);
                    self.lost.insert(id);
                    continue;
                }
                BlockFault::Mismatch { doubtful, .. } => *doubtful,
            };
            if only_padding(&self.tree.parts[id.0], id.1, &fault) {
                damaged(Remedy::Rebuild, Element::Padding);
            } else if !doubtful || contradicted {
                damaged(Remedy::None, Element::Leaves);
                self.lost.insert(id);
            } else {
                // The parents agree with the block, or the root will decide.
                self.unproven = true;
            }
        }
    }

    /// Rebuilds a block of leaves. Returns false, and does not, if it has leaves of erased entries, which nothing
    /// can compute, and no intact parent shows that they are right.
    fn patch_leaves(&mut self, id: BlockId, block: Box<[u8; PART_BLOCK_LEN]>) -> bool {
        let leaves = self.tree.parts[id.0].visible_nodes_of(id.1).map(|(_, leaves)| leaves);
        let computed = leaves.is_some_and(|leaves| self.tree.erasures.count_in(leaves) == 0);
        self.patches.insert(id, block);
        let proven = self.has_intact_parents(id);
        if !computed && !proven {
            self.patches.remove(&id);
            return false;
        }
        self.unproven |= !proven;
        true
    }

    /// A block of leaves, computed from their entries.
    fn leaves_from_entries(&self, id: BlockId) -> Option<Box<[u8; PART_BLOCK_LEN]>> {
        let (_, nodes) = self.tree.parts[id.0].visible_nodes_of(id.1)?;
        let leaves = self.tree.leaves_from_entries(id.0, nodes, &self.entries.blocks)?;
        let mut block = self.with_hidden(id);
        block.as_chunks_mut().0.iter_mut().zip(leaves).for_each(|(slot, leaf)| *slot = leaf);
        Some(block)
    }

    /// A block without nodes, but for those that are hidden, which are as they are stored.
    pub(super) fn with_hidden(&self, id: BlockId) -> Box<[u8; PART_BLOCK_LEN]> {
        let part = &self.tree.parts[id.0];
        let count = |nodes: Option<(Level, std::ops::Range<u64>)>| {
            nodes.map_or(0, |(_, nodes)| usize::try_from(nodes.end - nodes.start).unwrap_or(0))
        };
        let (visible, all) = (count(part.visible_nodes_of(id.1)), count(part.nodes_of(id.1)));
        let mut block = Box::new([0; PART_BLOCK_LEN]);
        let hidden = visible * size_of::<Hash>()..all * size_of::<Hash>();
        let mut stored = [0; PART_BLOCK_LEN];
        if !hidden.is_empty() && part.read(id.1, &mut stored).is_ok() {
            block[hidden.clone()].copy_from_slice(&stored[hidden]);
        }
        block
    }

    /// Whether each leaf of a rebuilt block has a parent in an intact block, which is the hash of the leaf
    /// and its siblings.
    fn has_intact_parents(&self, id: BlockId) -> bool {
        let Some((_, nodes)) = self.tree.parts[id.0].visible_nodes_of(id.1) else { return false };
        let bits = self.tree.arity.bits();
        let mut parents = nodes.start >> bits..=(nodes.end - 1) >> bits;
        parents.all(|parent| {
            let Some(at) = block_of(self.tree, Level(1), parent) else { return false };
            let mut stored = [[0; 32]];
            !self.faults.blocks.contains_key(&at)
                && self.mended().read_nodes(Level(1), NodeIndex(parent), &mut stored).is_ok()
                && self.mended().parent(Level(1), parent) == Some(stored[0])
        })
    }

    /// Whether an intact parent shows that one of the leaves of the block has changed.
    fn contradicted(&self, id: BlockId) -> bool {
        let Some((_, nodes)) = self.tree.parts[id.0].visible_nodes_of(id.1) else { return true };
        let bits = self.tree.arity.bits();
        let Some(wrong) = self.mismatches.get(&1) else { return false };
        wrong
            .range(nodes.start >> bits..=(nodes.end - 1) >> bits)
            .filter_map(|parent| block_of(self.tree, Level(1), *parent))
            .any(|block| !self.faults.blocks.contains_key(&block))
    }

    fn inner(&mut self, level: Level) {
        let bits = self.tree.arity.bits();
        let complete = Shape::new(self.tree.arity, TreeSize(self.tree.size)).complete(level);
        // A parent whose child has a new value is compared again.
        let mut compare = self.mismatches.remove(&level.0).unwrap_or_default();
        for id in self.patches.keys() {
            let below = self.tree.parts[id.0].visible_nodes_of(id.1);
            if let Some((_, nodes)) = below.filter(|(below, _)| below.up() == level) {
                compare.extend(
                    (nodes.start >> bits..=(nodes.end - 1) >> bits).take_while(|at| *at < complete),
                );
            }
        }
        for (id, fault) in self.faults_of(level) {
            let part = &self.tree.parts[id.0];
            let (damage, element) = (fault.damage().clone(), Element::Nodes { level: level.0 });
            if only_padding(part, id.1, &fault) {
                let element = Element::Padding;
                self.cases.push(Case { id, element, damage, remedy: Remedy::Rebuild });
                continue;
            }
            let Some((_, nodes)) = part.visible_nodes_of(id.1) else { continue };
            let mut block = self.with_hidden(id);
            let slots = block.as_chunks_mut().0;
            let source = self.mended();
            let known = nodes.zip(slots).all(|(index, slot)| {
                source.parent(level, index).map(|node| *slot = node).is_some()
            });
            let remedy = if known {
                let mut stored = [0; PART_BLOCK_LEN];
                let readable = part.read(id.1, &mut stored).is_ok();
                if readable && stored == *block && is_doubtful(&fault) {
                    continue;
                }
                self.patches.insert(id, block);
                Remedy::Rebuild
            } else {
                self.lost.insert(id);
                Remedy::None
            };
            self.cases.push(Case { id, element, damage, remedy });
        }
        for index in compare {
            self.compare(level, index);
        }
    }

    /// Compares a node again that is not the hash of its children as stored.
    fn compare(&mut self, level: Level, index: u64) {
        let Some(id) = block_of(self.tree, level, index) else { return };
        if self.faults.blocks.contains_key(&id) {
            return;
        }
        let part = &self.tree.parts[id.0];
        let (_, at) = part.place(level, index);
        let at = usize::try_from(at).unwrap_or(0);
        let Some(wanted) = self.mended().parent(level, index) else { return };
        let mut block = match self.patches.remove(&id) {
            Some(block) => block,
            None => {
                let mut block = Box::new([0; PART_BLOCK_LEN]);
                if part.read(id.1, &mut block[..]).is_err() {
                    return;
                }
                block
            }
        };
        let node: &mut Hash = &mut block.as_chunks_mut().0[at];
        let differs = *node != wanted;
        if differs {
            *node = wanted;
            self.unproven = true;
            let offset = id.1 * PART_BLOCK + (at * size_of::<Hash>()) as u64;
            let problem = Problem::NotTheHash { level, index };
            let damage = *Damage::new(&part.path, offset, problem);
            let element = Element::Nodes { level: level.0 };
            self.cases.push(Case { id, element, damage, remedy: Remedy::Rebuild });
        }
        if differs || self.cases.iter().any(|case| case.id == id) {
            self.patches.insert(id, block);
        }
    }

    pub(super) fn mended(&self) -> Mended<'_> {
        Mended { tree: self.tree, patches: &self.patches, lost: Some(&self.lost), hidden_of: None }
    }

    fn finish(mut self, entry: &TreeEntry, manifest: &Damage) -> Plan {
        let tree = self.tree;
        let mut findings = Vec::new();
        let mut rewrite = BTreeSet::new();
        let missing = |number: usize| tree.parts[number].is_missing();
        let found = entry.root_over(&self.mended(), &*tree.hasher);
        let allowed = match found {
            Ok(Some(found)) if found == entry.root => true,
            Ok(_) => {
                findings.push(Finding {
                    damage: manifest.clone(),
                    tree: None,
                    element: Element::Root,
                    blocks: None,
                    leaves: Some(0..entry.size),
                    remedy: Remedy::None,
                });
                false
            }
            Err(Lost { .. }) => !self.unproven,
        };
        let refills = if allowed { self.refills() } else { BTreeMap::new() };
        // A part that ends before its entries do has too little left to be written again, without a backup.
        let allowed = |number: usize| {
            allowed && (!tree.parts[number].lacks_entries() || refills.contains_key(&number))
        };
        for (number, part) in tree.parts.iter().enumerate() {
            let allowed = allowed(number);
            let remedy = if allowed { Remedy::Rebuild } else { Remedy::None };
            let frame = &tree.frames[number];
            let lost_leaves = self.lost.iter().any(|id| {
                let level = || part.nodes_of(id.1).map(|(level, _)| level);
                id.0 == number && level() == Some(Level::LEAVES)
            });
            if let Some(damage) = part.file_damage() {
                let revived = allowed && self.is_revived(number, &refills);
                let hopeless = part.is_missing() || lost_leaves;
                findings.push(Finding {
                    damage: *damage,
                    tree: None,
                    element: Element::File,
                    blocks: None,
                    leaves: Some(part.reference.from..part.reference.to),
                    remedy: match hopeless {
                        _ if revived => Remedy::Take,
                        true => Remedy::None,
                        false => remedy,
                    },
                });
                if revived {
                    rewrite.insert(number);
                }
            }
            if part.is_missing() {
                continue;
            }
            if allowed && (frame.is_damaged() || part.file_damage().is_some()) {
                rewrite.insert(number);
            }
            let mut add = |block: u64, element, damage: &Damage| {
                findings.push(Finding {
                    damage: damage.clone(),
                    tree: None,
                    element,
                    blocks: Some(block..block + 1),
                    leaves: None,
                    remedy,
                });
            };
            if let Some(damage) = &frame.header {
                add(0, Element::Header, damage);
            }
            if let Some(damage) = &frame.footer {
                add(part.footer_block(), Element::Footer, damage);
            }
            for (block, damage) in &frame.tables {
                add(*block, Element::Checksums, damage);
            }
        }
        self.cases.sort_by_key(|case| case.id);
        for case in self.cases.into_iter().filter(|case| !missing(case.id.0)) {
            let remedy = if allowed(case.id.0) { case.remedy } else { Remedy::None };
            if remedy != Remedy::None {
                rewrite.insert(case.id.0);
            }
            push(&mut findings, tree.arity, &tree.parts[case.id.0], Case { remedy, ..case });
        }
        for ((number, block), fault) in &self.entries.padding {
            let remedy = if allowed(*number) { Remedy::Rebuild } else { Remedy::None };
            if allowed(*number) {
                rewrite.insert(*number);
            }
            findings.push(Finding {
                damage: fault.damage().clone(),
                tree: None,
                element: Element::Padding,
                blocks: Some(*block..block + 1),
                leaves: None,
                remedy,
            });
        }
        for WrongEntries { part, leaves, blocks, damage } in self.entries.wrong.iter().cloned() {
            let is_taken = refills.contains_key(&part);
            if is_taken {
                rewrite.insert(part);
            } else {
                self.lost.extend(blocks.clone().map(|block| (part, block)));
            }
            findings.push(Finding {
                damage,
                tree: None,
                element: Element::Entries,
                blocks: Some(blocks),
                leaves: Some(leaves),
                remedy: if is_taken { Remedy::Take } else { Remedy::None },
            });
        }
        let kept = self.entries.blocks.keys().filter(|(part, _)| !refills.contains_key(part));
        self.lost.extend(kept);
        Plan { findings, patches: self.patches, lost: self.lost, rewrite, refills }
    }
}

/// Adds a case. Extends the last finding if the case continues it.
fn push(findings: &mut Vec<Finding>, arity: Arity, part: &RawPart, case: Case) {
    let nodes = part.visible_nodes_of(case.id.1).or_else(|| part.nodes_of(case.id.1));
    let Some((level, nodes)) = nodes else { return };
    let bits = u32::from(level.0) * arity.bits();
    let leaves = nodes.start << bits..nodes.end << bits;
    let block = case.id.1;
    if let Some(last) = findings.last_mut()
        && last.damage.file == case.damage.file
        && (last.element, last.remedy) == (case.element, case.remedy)
        && let (Some(blocks), Some(known)) = (&mut last.blocks, &mut last.leaves)
        && (blocks.end == block || blocks.end == block + 1)
    {
        blocks.end = block + 1;
        known.end = leaves.end;
        return;
    }
    findings.push(Finding {
        damage: case.damage,
        tree: None,
        element: case.element,
        blocks: Some(block..block + 1),
        leaves: Some(leaves),
        remedy: case.remedy,
    });
}

fn is_doubtful(fault: &BlockFault) -> bool {
    matches!(fault, BlockFault::Mismatch { doubtful: true, .. })
}

/// Whether the block matches its checksum once the bytes behind its nodes are set to zero.
fn only_padding(part: &RawPart, number: u64, fault: &BlockFault) -> bool {
    let BlockFault::Mismatch { damage, .. } = fault else { return false };
    let Problem::Checksum { stored, .. } = damage.problem else { return false };
    let Some((_, nodes)) = part.nodes_of(number) else { return false };
    let len = usize::try_from(nodes.end - nodes.start).unwrap_or(0) * size_of::<Hash>();
    let mut block = [0; PART_BLOCK_LEN];
    if len == PART_BLOCK_LEN || part.read(number, &mut block).is_err() {
        return false;
    }
    block[len..].fill(0);
    u64::from(block_checksum(&block)) == stored
}

/// The block of a node.
pub(super) fn block_of(tree: &TreeParts, level: Level, index: u64) -> Option<BlockId> {
    let number = tree.parts.partition_point(|part| part.end(level) <= index);
    let part = tree.parts.get(number)?;
    (part.first(level) <= index).then(|| (number, part.place(level, index).0))
}

/// The nodes of a tree with the damaged blocks replaced. If `lost` is set, reading a node of a lost
/// block fails.
pub(super) struct Mended<'a> {
    tree: &'a TreeParts,
    patches: &'a HashMap<BlockId, Box<[u8; PART_BLOCK_LEN]>>,
    lost: Option<&'a BTreeSet<BlockId>>,
    /// The part whose hidden nodes are meant by indexes behind it.
    hidden_of: Option<usize>,
}

/// A node that cannot be rebuilt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lost {
    level: Level,
    index: u64,
}

impl From<Lost> for Error {
    fn from(Lost { level, index }: Lost) -> Self {
        Self::NodeAbsent { level, index }
    }
}

impl Mended<'_> {
    /// The hash of the children of a node, if all children are known.
    pub(super) fn parent(&self, level: Level, index: u64) -> Option<Hash> {
        let arity = self.tree.arity;
        let mut children = [[0; 32]; Arity::MAX];
        let children = &mut children[..arity.children()];
        let first = NodeIndex(index << arity.bits());
        self.read_nodes(Level(level.0 - 1), first, children).ok()?;
        Some(self.tree.hasher.node(children))
    }

    /// The block of a node, and the first node behind it that may be elsewhere.
    fn find(&self, level: Level, index: u64) -> Option<(BlockId, u64)> {
        if let Some(number) = self.hidden_of
            && let Some(part) = self.tree.parts.get(number)
            && index >= part.end(level)
        {
            return Some(((number, part.place(level, index).0), u64::MAX));
        }
        let id = block_of(self.tree, level, index)?;
        Some((id, self.tree.parts[id.0].end(level)))
    }

    /// Copies nodes of one block. `None` if the block is lost.
    fn copy(&self, id: BlockId, skip: usize, out: &mut [Hash]) -> Option<()> {
        if self.lost.is_some_and(|lost| lost.contains(&id)) {
            return None;
        }
        let nodes = skip..skip + out.len();
        if let Some(patch) = self.patches.get(&id) {
            out.copy_from_slice(&patch.as_chunks().0[nodes]);
            return Some(());
        }
        let mut block = [0; PART_BLOCK_LEN];
        if self.tree.parts[id.0].read(id.1, &mut block).is_err() {
            if self.lost.is_some() {
                return None;
            }
            block.fill(0);
        }
        out.copy_from_slice(&block.as_chunks().0[nodes]);
        Some(())
    }
}

impl NodeSource for Mended<'_> {
    type Error = Lost;

    fn read_nodes(&self, level: Level, first: NodeIndex, out: &mut [Hash]) -> Result<(), Lost> {
        let mut at = first.0;
        let mut rest = out;
        if let Some(base) = &self.tree.base {
            let read = base.read(level, at, rest);
            let read = read.map_err(|_| Lost { level, index: at })?;
            at += read as u64;
            rest = &mut rest[read..];
        }
        while !rest.is_empty() {
            let (id, end) = self.find(level, at).ok_or(Lost { level, index: at })?;
            let (_, skip) = self.tree.parts[id.0].place(level, at);
            let room = (NODES_PER_BLOCK - skip).min(end - at);
            let len = rest.len().min(usize::try_from(room).unwrap_or(usize::MAX));
            let (now, later) = rest.split_at_mut(len);
            let copied = self.copy(id, usize::try_from(skip).unwrap_or(0), now);
            copied.ok_or(Lost { level, index: at })?;
            at += len as u64;
            rest = later;
        }
        Ok(())
    }
}
