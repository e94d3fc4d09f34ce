//! Finds, creates, seals and drops trees, and reads all trees at one moment.
//!
//! # Invariants
//!
//! - A thread adds or removes a name and accepts the record of it under one hold of the names' lock.
//! - The parts of a dropped tree are removed by the next checkpoint after the drop is durable, never here.

use std::sync::Arc;

use super::catalog::{Slot, Wanted};
use super::holds::Retired;
use super::ingest::Fate;
use super::shared::Engine;
use super::tree::{Fixed, Tree};
use crate::durability::DurabilityToken;
use crate::error::{Error, OtherBeginning, Result};
use crate::mark::{MarkInfo, MarkName};
use crate::merkle::{Frontier, Hasher, TreeName, TreeSize};
use crate::mutant::mutant;
use crate::per_tree::PerTree;
use crate::report::TreeInfo;

impl Engine {
    /// The tree of this name.
    pub(crate) fn slot(&self, name: &TreeName) -> Result<Arc<Slot>> {
        self.catalog.get(name)
    }

    /// Returns the tree `wanted`. Creates it if no tree has its name. The token resolves once the tree's creation
    /// is durable.
    pub(crate) fn open_tree(&self, wanted: &Wanted) -> Result<(Arc<Slot>, DurabilityToken)> {
        loop {
            let opened = match self.catalog.find(&wanted.name) {
                Some(slot) => self.open_found(wanted, slot).map(Some),
                None => self.create_tree(wanted),
            };
            match opened {
                Ok(Some(opened)) => return Ok(opened),
                // Another thread created a tree meanwhile, or dropped the one that was found.
                Ok(None) | Err(Error::TreeDropped { .. }) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Returns the tree of `slot`, if it is as `wanted`.
    fn open_found(&self, wanted: &Wanted, slot: Arc<Slot>) -> Result<(Arc<Slot>, DurabilityToken)> {
        wanted.check(&self.path, &slot.spec)?;
        let tree = self.wake(&slot, || Ok(Arc::clone(&wanted.hasher)))?;
        if let Some(origin) = &wanted.origin {
            went_on_behind(&tree, origin)?;
        }
        if wanted.indexed && !tree.is_indexed() {
            let indexed = self.add_index(&tree)?;
            return Ok((slot, indexed));
        }
        // The tree existed before this call, so its creation is among what was accepted so far.
        Ok((slot, self.token_now()))
    }

    /// Creates the tree `wanted`. `None` if another tree was created meanwhile.
    fn create_tree(&self, wanted: &Wanted) -> Result<Option<(Arc<Slot>, DurabilityToken)>> {
        // Without a lock: this may call the hash function.
        let id = self.inflow.next_tree();
        let (tree, leaves) = self.catalog.make(id, wanted)?;
        let mut names = self.catalog.lock();
        if names.find(&wanted.name).is_some() {
            return Ok(None);
        }
        let accepted = self.accept_tree(id, &tree, leaves, wanted.indexed)?;
        Ok(accepted.map(|token| (names.add(&tree), token)))
    }

    /// The tree of `slot`. Loads the tree on its first use since the store was opened.
    pub(crate) fn load(&self, slot: &Slot) -> Result<Arc<Tree>> {
        self.wake(slot, || self.catalog.hasher(&slot.spec))
    }

    fn wake(
        &self,
        slot: &Slot,
        hasher: impl FnOnce() -> Result<Arc<dyn Hasher>>,
    ) -> Result<Arc<Tree>> {
        let was_awake = slot.tree().is_some();
        let tree = self.catalog.wake(slot, hasher, |tree, leaves, sealed| {
            self.inflow.admit(tree, leaves, sealed);
        })?;
        if !was_awake && tree.is_indexed() {
            self.request_indexes();
        }
        Ok(tree)
    }

    /// The tree of `then` as it was. Loads the tree on its first use since the store was opened.
    ///
    /// # Errors
    ///
    /// [`Rewound`](Error::Rewound) if the tree was not loaded then, and was rewound below that size since.
    pub(crate) fn load_then(&self, then: &TreeThen) -> Result<Arc<Tree>> {
        if let Some(tree) = &then.tree {
            return Ok(Arc::clone(tree));
        }
        let tree = self.load(&then.slot)?;
        // Read after the state: a rewind notes its size before it replaces the state.
        let lowest = then.slot.lowest();
        if lowest < then.size.get() {
            let tree = then.slot.spec.name.clone();
            return Err(Error::Rewound { tree, size: TreeSize(lowest) });
        }
        Ok(tree)
    }

    /// Seals a tree. The token resolves once that is durable.
    pub(crate) fn seal(&self, name: &TreeName) -> Result<DurabilityToken> {
        let tree = self.load(&*self.slot(name)?)?;
        self.accept_seal(&tree)
    }

    /// Gives a tree an index, unless it has one. The token resolves once that is durable.
    pub(crate) fn add_index(&self, tree: &Arc<Tree>) -> Result<DurabilityToken> {
        let token = self.accept_index(tree)?;
        self.request_indexes();
        Ok(token)
    }

    /// Drops a tree. The token resolves once that is durable.
    pub(crate) fn drop_tree(&self, name: &TreeName) -> Result<DurabilityToken> {
        let (id, token) = loop {
            let slot = self.catalog.get(name)?;
            let dropped = slot.drop_by(|| {
                let mut names = self.catalog.lock();
                if !names.find(name).is_some_and(|found| Arc::ptr_eq(&found, &slot)) {
                    return Ok(None);
                }
                let token = self.accept_drop(&slot)?;
                names.remove(Arc::clone(&slot), token.seq(), self.log.durable());
                Ok(Some(token))
            })?;
            if let Some(token) = dropped {
                break (slot.spec.id, token);
            }
            // Another thread dropped it meanwhile, and perhaps created another one.
        };
        if mutant!(&*self.fs, DropFreesEarly)
            && let Some(entry) = self.keeper.lock().manifest().tree(id)
        {
            self.retire(entry.parts.iter().map(Retired::of));
        }
        Ok(token)
    }

    /// Whether `tree`, which is awake, can still get leaves.
    pub(crate) fn fate(&self, tree: &Fixed) -> Fate {
        self.inflow.fate(tree.id())
    }

    /// Describes all trees, by name.
    pub(crate) fn tree_infos(&self) -> Result<Vec<TreeInfo>> {
        let mut infos: Vec<_> = self.catalog.all().iter().map(|slot| self.info(slot)).collect();
        infos.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        Ok(infos)
    }

    fn info(&self, slot: &Slot) -> TreeInfo {
        let (tree, entry) = (slot.tree(), slot.entry());
        let sealed = match &tree {
            Some(tree) => self.inflow.is_sealed(tree.id()),
            None => slot.is_sealed(),
        };
        let parts = match (&tree, entry) {
            (Some(tree), _) => tree.parts().references(),
            (None, Some(entry)) => entry.parts.clone(),
            (None, None) => Vec::new(),
        };
        let lengths = parts.iter().map(|part| part.len);
        let indexed = match &tree {
            Some(tree) => tree.is_indexed(),
            None => entry.is_some_and(|entry| entry.indexed),
        };
        let stored = slot.stored();
        let info = TreeInfo::asleep(&slot.spec, stored, (sealed, indexed), lengths);
        let base = match &tree {
            Some(tree) => tree.base(),
            None => entry.map_or(0, |entry| entry.begin()),
        };
        let erased = slot.erasures().count_in(base..u64::MAX);
        let info = TreeInfo { base: TreeSize(base), erased, ..info };
        match tree {
            Some(tree) => tree.describe(TreeSize(tree.columns.leaves()), info),
            None => info,
        }
    }

    /// All trees with their sizes, at one moment, by name.
    pub(crate) fn moment(&self) -> Result<Vec<TreeThen>> {
        let names = self.catalog.lock();
        // Trees are created and dropped under the names' lock, and leaves are inserted under the insertion lock.
        let mut trees = self.inflow.trees();
        let slots = names.all();
        drop(names);
        let all = slots.into_iter().map(|slot| match trees.remove(slot.spec.id) {
            Some((tree, size)) => TreeThen { slot, tree: Some(tree), size: TreeSize(size) },
            // A tree without an inlet has the leaves of the manifest, even if it is loaded by now.
            None => TreeThen { size: TreeSize(slot.stored()), tree: None, slot },
        });
        Ok(by_name(all))
    }

    /// Gives the sizes of all trees a name. The token resolves once that is durable.
    pub(crate) fn mark(&self, name: &MarkName) -> Result<DurabilityToken> {
        self.accept_mark(name)
    }

    /// Removes a mark. The token resolves once that is durable.
    pub(crate) fn drop_mark(&self, name: &MarkName) -> Result<DurabilityToken> {
        self.accept_unmark(name)
    }

    /// Describes all marks, oldest first.
    pub(crate) fn marks(&self) -> Vec<MarkInfo> {
        let names = self.catalog.lock();
        let slots = names.all();
        let marks = self.inflow.marks();
        drop(names);
        let trees: PerTree<_> =
            slots.iter().map(|slot| (slot.spec.id, slot.spec.name.clone())).collect();
        marks.iter().map(|mark| mark.describe(|id| trees.get(id).cloned())).collect()
    }

    /// The trees that were there at the mark `name` and still are, with their sizes then, by name.
    pub(crate) fn moment_at(&self, name: &MarkName) -> Result<Vec<TreeThen>> {
        let names = self.catalog.lock();
        let slots = names.all();
        let (marks, mut trees) = self.inflow.marked();
        drop(names);
        let mark = marks.get(name).ok_or_else(|| Error::NoMark { mark: name.clone() })?;
        let then = |slot: Arc<Slot>| {
            let size = TreeSize(mark.size(slot.spec.id)?);
            let tree = trees.remove(slot.spec.id).map(|(tree, _)| tree);
            Some(TreeThen { slot, tree, size })
        };
        Ok(by_name(slots.into_iter().filter_map(then)))
    }

    /// All trees with their durable sizes, at one point, by name: as a crash now would leave them.
    pub(crate) fn durable_moment(&self) -> Result<Vec<TreeThen>> {
        let names = self.catalog.lock();
        let all: Vec<_> = self.log.at_point(|point| {
            let then = |slot: Arc<Slot>| {
                let tree = slot.tree_at(point.tally.seq);
                let size = tree.as_ref().map_or(TreeSize(slot.stored()), |tree| tree.durable());
                TreeThen { slot, tree, size }
            };
            names.durable_at(&point.tally).into_iter().map(then).collect()
        });
        drop(names);
        Ok(by_name(all))
    }
}

/// A tree as it was at one moment.
#[derive(Clone)]
pub(crate) struct TreeThen {
    pub(crate) slot: Arc<Slot>,
    /// The tree, if it was awake.
    tree: Option<Arc<Tree>>,
    pub(crate) size: TreeSize,
}

impl TreeThen {
    /// The tree, if it was awake then.
    pub(crate) fn tree(&self) -> Option<&Arc<Tree>> {
        self.tree.as_ref()
    }
}

/// Fails unless `tree` had the leaves of `origin` first, as far as that can still be seen.
fn went_on_behind(tree: &Tree, origin: &Frontier) -> Result<()> {
    let (size, current) = (origin.size(), TreeSize(tree.columns.leaves()));
    if size.get() < tree.base() {
        return Ok(());
    }
    let found = match (size <= current).then(|| tree.head_at(size)).transpose() {
        // By a policy, just now.
        Err(Error::Pruned { .. }) => return Ok(()),
        found => found?.map(|head| head.root),
    };
    let expected = origin.head(&*tree.hasher).root;
    if found == Some(expected) {
        return Ok(());
    }
    let tree = tree.name().clone();
    Err(Error::OtherBeginning(Box::new(OtherBeginning { tree, size, expected, current, found })))
}

/// Trees sorted by the bytes of their names.
fn by_name(trees: impl IntoIterator<Item = TreeThen>) -> Vec<TreeThen> {
    let mut trees: Vec<_> = trees.into_iter().collect();
    trees.sort_unstable_by(|one, other| one.slot.spec.name.cmp(&other.slot.spec.name));
    trees
}
