//! The trees of a store by name: finding, creating, sealing and dropping them.
//!
//! # Invariants
//!
//! - A name leads to one tree, and to another one only after a drop. An id leads to one tree for ever.
//! - A name changes under the lock of the names, and the record of the change is accepted under it: so the
//!   log has the changes of a name in the order in which callers saw them.
//! - An unused tree holds what the manifest says of it and nothing else: no thread, no file, no
//!   node. Its entry in the manifest does not change while it sleeps, since nothing but inserts and merges
//!   changes it, and both need a tree that is awake.
//! - Parts are removed by the checkpoint that follows when the drop is durable, never here.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use super::log::FlushPoint;
use super::shared::Engine;
use super::tree::Tree;
use crate::directory::manifest::TreeEntry;
use crate::durability::DurabilityToken;
use crate::error::{Error, Result};
use crate::ids::{Seq, TreeId};
use crate::merkle::{Arity, Hasher, TreeName, TreeSize};
use crate::mutant::mutant;
use crate::per_tree::PerTree;
use crate::report::TreeInfo;
use crate::sync::{Mutex, MutexGuard};
use crate::tree_spec::TreeSpec;

/// The trees that are there.
#[derive(Debug, Default)]
pub(crate) struct Trees {
    names: Mutex<Names>,
}

#[derive(Debug, Default)]
struct Names {
    by_name: HashMap<TreeName, TreeId>,
    slots: PerTree<Arc<Slot>>,
    /// Trees whose drop may not be durable yet, with the number of its record.
    leaving: Vec<(Seq, Arc<Slot>)>,
}

/// One tree, awake or not.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) spec: Arc<TreeSpec>,
    /// What the manifest with this number said of it when the store was opened. In force while it sleeps.
    entry: Option<(u64, Arc<TreeEntry>)>,
    /// Whether it took no more leaves then.
    sealed: bool,
    /// Set before the first leaf comes.
    tree: OnceLock<Arc<Tree>>,
    /// Whether the tree was dropped. Held while it is loaded, and while it is dropped.
    dropped: Mutex<bool>,
}

impl Slot {
    /// A tree as the manifest with this number has it, but that the log may have sealed it since.
    pub(crate) fn asleep(manifest: u64, entry: &Arc<TreeEntry>, sealed: bool) -> Self {
        Self {
            spec: Arc::clone(&entry.spec),
            entry: Some((manifest, Arc::clone(entry))),
            sealed,
            tree: OnceLock::new(),
            dropped: Mutex::new(false),
        }
    }

    pub(crate) fn awake(tree: &Arc<Tree>) -> Self {
        Self {
            spec: Arc::clone(&tree.spec),
            entry: None,
            sealed: false,
            tree: Arc::clone(tree).into(),
            dropped: Mutex::new(false),
        }
    }

    /// The tree, if it is awake.
    pub(crate) fn tree(&self) -> Option<&Arc<Tree>> {
        self.tree.get()
    }

    /// What the manifest says of it, if it sleeps.
    pub(crate) fn entry(&self) -> Option<&Arc<TreeEntry>> {
        self.entry.as_ref().map(|(_, entry)| entry)
    }

    /// How many leaves it has while it sleeps.
    fn stored(&self) -> u64 {
        self.entry().map_or(0, |entry| entry.size)
    }
}

impl Trees {
    pub(crate) fn new(slots: impl IntoIterator<Item = Slot>) -> Self {
        let mut names = Names::default();
        for slot in slots {
            names.add(slot);
        }
        Self { names: Mutex::new(names) }
    }

    /// All of them, by rising id.
    pub(crate) fn all(&self) -> Vec<Arc<Slot>> {
        self.names.lock().slots.values().cloned().collect()
    }

    /// Those that are awake, by rising id.
    pub(crate) fn awake(&self) -> Vec<Arc<Tree>> {
        let all = self.all();
        all.iter().filter_map(|slot| slot.tree().cloned()).collect()
    }
}

impl Names {
    fn add(&mut self, slot: Slot) {
        self.by_name.insert(slot.spec.name.clone(), slot.spec.id);
        self.slots.insert(slot.spec.id, Arc::new(slot));
    }

    fn find(&self, name: &TreeName) -> Option<&Arc<Slot>> {
        self.slots.get(*self.by_name.get(name)?)
    }
}

/// A tree that a caller asks for.
pub(crate) struct Wanted {
    pub(crate) name: TreeName,
    pub(crate) hasher: Arc<dyn Hasher>,
    pub(crate) arity: Arity,
}

impl Wanted {
    /// Refuses a tree of this name that is not the one asked for.
    pub(crate) fn check(&self, path: &std::path::Path, spec: &TreeSpec) -> Result<()> {
        let asked = self.hasher.id();
        if spec.hasher != asked.as_str() {
            return Err(Error::HasherMismatch {
                path: path.to_owned(),
                tree: self.name.clone(),
                stored: spec.hasher.clone(),
                asked: asked.to_string(),
            });
        }
        if spec.arity != self.arity {
            return Err(Error::ArityMismatch {
                path: path.to_owned(),
                tree: self.name.clone(),
                stored: u32::from(spec.children()),
                asked: u32::try_from(self.arity.children()).unwrap_or(0),
            });
        }
        Ok(())
    }
}

impl Engine {
    fn no_tree(&self, name: &TreeName) -> Error {
        Error::NoTree { path: self.path.clone(), tree: name.clone() }
    }

    /// The tree of this name.
    pub(crate) fn slot(&self, name: &TreeName) -> Result<Arc<Slot>> {
        self.process.check()?;
        let names = self.trees.names.lock();
        names.find(name).cloned().ok_or_else(|| self.no_tree(name))
    }

    /// The tree that is asked for, which is created if there is none of its name. The token resolves once it
    /// is durable that the tree is there.
    pub(crate) fn open_tree(&self, wanted: Wanted) -> Result<(Arc<Tree>, DurabilityToken)> {
        self.process.check()?;
        let mut names = self.trees.names.lock();
        let Some(slot) = names.find(&wanted.name).cloned() else {
            return self.create(&mut names, wanted);
        };
        drop(names);
        wanted.check(&self.path, &slot.spec)?;
        let tree = self.wake(&slot, || Ok(wanted.hasher))?;
        // It was created before this call, if not before the store was opened.
        Ok((tree, self.token_now()))
    }

    /// The tree of `slot`, loaded if it was not used since the store was opened.
    pub(crate) fn load(&self, slot: &Slot) -> Result<Arc<Tree>> {
        self.process.check()?;
        self.wake(slot, || self.hashers.of(&self.path, &slot.spec))
    }

    /// The hash function of a tree, of one that is awake also if it is known there alone.
    pub(crate) fn hasher_of(&self, entry: &TreeEntry) -> Result<Arc<dyn Hasher>> {
        let awake = self.trees.names.lock().slots.get(entry.spec.id).cloned();
        match awake.as_ref().and_then(|slot| slot.tree()) {
            Some(tree) => Ok(Arc::clone(&tree.hasher)),
            None => self.hashers.of(&self.path, &entry.spec),
        }
    }

    fn wake(
        &self,
        slot: &Slot,
        hasher: impl FnOnce() -> Result<Arc<dyn Hasher>>,
    ) -> Result<Arc<Tree>> {
        if let Some(tree) = slot.tree() {
            return Ok(Arc::clone(tree));
        }
        let dropped = slot.dropped.lock();
        let (manifest, entry) = match (*dropped, slot.tree(), &slot.entry) {
            (true, ..) | (_, None, None) => {
                return Err(Error::TreeDropped { tree: slot.spec.name.clone() });
            }
            (false, Some(tree), _) => return Ok(Arc::clone(tree)),
            (false, None, Some((manifest, entry))) => (*manifest, entry),
        };
        let (tree, leaves) = self.loader.load(manifest, entry, hasher()?)?;
        // Under this lock: a drop comes before, and is seen above, or after, and takes it out again. And
        // before other threads find the tree, which insert as soon as they do.
        self.inflow.admit(&tree, leaves, slot.sealed);
        Ok(Arc::clone(slot.tree.get_or_init(|| tree)))
    }

    fn create(
        &self,
        names: &mut MutexGuard<'_, Names>,
        wanted: Wanted,
    ) -> Result<(Arc<Tree>, DurabilityToken)> {
        let Wanted { name, hasher, arity } = wanted;
        let (tree, token) = self.accept_tree(|id| {
            let id =
                u32::try_from(id).map_err(|_| Error::TooManyTrees { path: self.path.clone() })?;
            let spec = Arc::new(TreeSpec::new(TreeId(id), name, &*hasher, arity));
            let (tree, leaves) = Tree::empty(spec, hasher, self.loader.huge_pages);
            Ok((Arc::new(tree.only_in(self.process)), leaves))
        })?;
        names.add(Slot::awake(&tree));
        Ok((tree, token))
    }

    /// Has a tree take no more leaves. The token resolves once that is durable.
    pub(crate) fn seal(&self, name: &TreeName) -> Result<DurabilityToken> {
        let tree = self.load(&*self.slot(name)?)?;
        self.accept_seal(&tree)
    }

    /// Drops a tree. The token resolves once that is durable.
    pub(crate) fn drop_tree(&self, name: &TreeName) -> Result<DurabilityToken> {
        self.process.check()?;
        let mut names = self.trees.names.lock();
        let slot = names.find(name).cloned().ok_or_else(|| self.no_tree(name))?;
        let mut dropped = slot.dropped.lock();
        let token = self.accept_drop(&slot.spec)?;
        *dropped = true;
        drop(dropped);
        if mutant!(&*self.fs, DropFreesEarly)
            && let Some(entry) = self.checkpoints.lock().manifest.tree(slot.spec.id)
        {
            self.retire(entry.parts.iter().map(|part| part.number.file()));
        }
        names.by_name.remove(name);
        names.slots.remove(slot.spec.id);
        let durable = self.log.durable();
        names.leaving.retain(|(seq, _)| *seq > durable);
        names.leaving.push((token.seq(), slot));
        Ok(token)
    }

    /// What trees there are, by name.
    pub(crate) fn tree_infos(&self) -> Result<Vec<TreeInfo>> {
        self.process.check()?;
        let mut infos: Vec<_> = self.trees.all().iter().map(|slot| self.info(slot)).collect();
        infos.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        Ok(infos)
    }

    fn info(&self, slot: &Slot) -> TreeInfo {
        let (tree, entry) = (slot.tree(), slot.entry());
        let sealed = match tree {
            Some(tree) => self.inflow.is_sealed(tree.id()),
            None => slot.sealed,
        };
        let parts = match (tree, entry) {
            (Some(tree), _) => tree.parts().references(),
            (None, Some(entry)) => entry.parts.clone(),
            (None, None) => Vec::new(),
        };
        let lengths = parts.iter().map(|part| part.len);
        let info = TreeInfo::asleep(&slot.spec, slot.stored(), sealed, lengths);
        match tree {
            Some(tree) => tree.describe(TreeSize(tree.columns.leaves()), info),
            None => info,
        }
    }

    /// All trees with their sizes, at one moment, by name.
    pub(crate) fn moment(&self) -> Result<Vec<(Arc<Slot>, TreeSize)>> {
        self.process.check()?;
        let names = self.trees.names.lock();
        // Trees are created and dropped under the names' lock, and leaves come under the other.
        let sizes = self.inflow.sizes();
        let slots: Vec<_> = names.slots.values().cloned().collect();
        drop(names);
        let all = slots.into_iter().map(|slot| {
            // One that takes no leaves yet has those of the manifest, also if it is loaded by now.
            let size = sizes.get(slot.spec.id).copied().unwrap_or_else(|| slot.stored());
            (slot, TreeSize(size))
        });
        Ok(by_name(all))
    }

    /// All trees with how much of them is durable, at one point, by name: as they would be after a crash now.
    pub(crate) fn durable_moment(&self) -> Result<Vec<(Arc<Slot>, TreeSize)>> {
        self.process.check()?;
        let names = self.trees.names.lock();
        let all: Vec<_> = self.log.at_point(|FlushPoint { tally: point, .. }| {
            let leaving = names.leaving.iter().filter(|(seq, _)| *seq > point.seq);
            let there = names.slots.values().chain(leaving.map(|(_, slot)| slot)).cloned();
            let there = there.filter(|slot| u64::from(slot.spec.id.0) < point.next_tree);
            let size =
                |slot: &Slot| slot.tree().map_or(TreeSize(slot.stored()), |tree| tree.durable());
            there.map(|slot| (Arc::clone(&slot), size(&slot))).collect()
        });
        drop(names);
        Ok(by_name(all))
    }
}

/// Trees sorted by the bytes of their names.
fn by_name(trees: impl IntoIterator<Item = (Arc<Slot>, TreeSize)>) -> Vec<(Arc<Slot>, TreeSize)> {
    let mut trees: Vec<_> = trees.into_iter().collect();
    trees.sort_unstable_by(|(one, _), (other, _)| one.spec.name.cmp(&other.spec.name));
    trees
}
