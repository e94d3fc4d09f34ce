//! The trees of a store, by name and by id, and how they are loaded.
//!
//! A tree is *awake* once it is loaded, and *asleep* before.
//!
//! # Invariants
//!
//! - A name leads to one tree, and to another one only after a drop. An id leads to one tree for ever.
//! - A name changes only through [`Naming`], under the lock of the names, and the record of the change is accepted
//!   under the same lock. So the log has the changes of a name in the order in which callers saw them.
//! - A tree that is asleep has its entry of the manifest and nothing else: no thread, no file, no node. The entry
//!   does not change meanwhile: only inserts and merges change it, and both need a tree that is awake.
//! - The state of a tree that is awake is replaced under the insertion lock alone, with its inlet.
//! - A tree is open to inserts before another thread finds it awake. Until then it is neither dropped nor loaded a
//!   second time.
//! - A thread that loads a tree reads files and runs foreign code, and holds the lock of that tree alone. So a thread that
//!   takes that lock to drop the tree does not hold the names, which the flusher takes for its reports.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Weak};

use super::load::Loader;
use super::tally::Tally;
use super::tree::{Fixed, Tree};
use crate::column::LeafWriter;
use crate::directory::manifest::TreeEntry;
use crate::entry::{EntryConfig, Erasures};
use crate::error::{Error, Result};
use crate::hashers::Hashers;
use crate::ids::{Seq, TreeId};
use crate::merkle::{Arity, Frontier, Hasher, TreeName};
use crate::part::PartSet;
use crate::per_tree::PerTree;
use crate::sync::{ArcSwap, Mutex, MutexGuard, OnceLock};
use crate::tree_spec::TreeSpec;

/// The trees, and the means to load them.
#[derive(Debug)]
pub(super) struct Catalog {
    names: Mutex<Names>,
    loader: Loader,
    hashers: Hashers,
    /// For messages.
    path: PathBuf,
}

#[derive(Debug, Default)]
struct Names {
    by_name: HashMap<TreeName, TreeId>,
    slots: PerTree<Arc<Slot>>,
    /// Trees whose drop may not be durable yet, with the number of its record.
    leaving: Vec<(Seq, Arc<Slot>)>,
    /// Dropped trees that were awake.
    dropped: Vec<Weak<Tree>>,
}

impl Names {
    fn add(&mut self, slot: Slot) -> Arc<Slot> {
        let slot = Arc::new(slot);
        self.by_name.insert(slot.spec.name.clone(), slot.spec.id);
        self.slots.insert(slot.spec.id, Arc::clone(&slot));
        slot
    }

    fn find(&self, name: &TreeName) -> Option<&Arc<Slot>> {
        self.slots.get(*self.by_name.get(name)?)
    }
}

/// Exclusive access to the names.
pub(super) struct Naming<'a> {
    catalog: &'a Catalog,
    names: MutexGuard<'a, Names>,
}

impl Naming<'_> {
    /// The tree of this name, if there is one.
    pub(super) fn find(&self, name: &TreeName) -> Option<Arc<Slot>> {
        self.names.find(name).cloned()
    }

    /// The tree of this name.
    pub(super) fn get(&self, name: &TreeName) -> Result<Arc<Slot>> {
        self.find(name)
            .ok_or_else(|| Error::NoTree { path: self.catalog.path.clone(), tree: name.clone() })
    }

    /// All trees, by rising id.
    pub(super) fn all(&self) -> Vec<Arc<Slot>> {
        self.names.slots.values().cloned().collect()
    }

    /// The trees that a crash would leave if `point` is the last durable point.
    pub(super) fn durable_at(&self, point: &Tally) -> Vec<Arc<Slot>> {
        let leaving = self.names.leaving.iter().filter(|(seq, _)| *seq > point.seq);
        let there = self.names.slots.values().chain(leaving.map(|(_, slot)| slot));
        there.filter(|slot| u64::from(slot.spec.id.0) < point.next_tree).cloned().collect()
    }

    /// Adds a created tree.
    pub(super) fn add(&mut self, tree: &Arc<Tree>) -> Arc<Slot> {
        self.names.add(Slot::awake(tree))
    }

    /// Removes a tree that the record `seq` drops. Everything up to `durable` is durable.
    pub(super) fn remove(&mut self, slot: Arc<Slot>, seq: Seq, durable: Seq) {
        self.names.by_name.remove(&slot.spec.name);
        self.names.slots.remove(slot.spec.id);
        self.forget(durable);
        self.names.dropped.extend(slot.tree().as_ref().map(Arc::downgrade));
        self.names.leaving.push((seq, slot));
    }

    /// Forgets the dropped trees whose drop is durable: everything up to `durable` is. They are freed unless a
    /// caller holds them.
    pub(super) fn forget(&mut self, durable: Seq) {
        self.names.leaving.retain(|(seq, _)| *seq > durable);
        self.names.dropped.retain(|tree| tree.strong_count() > 0);
    }
}

impl Catalog {
    /// The trees `slots` of the store at `path`.
    pub(super) fn new(slots: Vec<Slot>, loader: Loader, hashers: Hashers, path: PathBuf) -> Self {
        let mut names = Names::default();
        for slot in slots {
            names.add(slot);
        }
        Self { names: Mutex::new(names), loader, hashers, path }
    }

    /// Takes the lock of the names.
    pub(super) fn lock(&self) -> Naming<'_> {
        Naming { catalog: self, names: self.names.lock() }
    }

    /// The tree of this name.
    pub(super) fn get(&self, name: &TreeName) -> Result<Arc<Slot>> {
        self.lock().get(name)
    }

    /// The tree of this name, if there is one.
    pub(super) fn find(&self, name: &TreeName) -> Option<Arc<Slot>> {
        self.lock().find(name)
    }

    /// All trees, by rising id.
    pub(super) fn all(&self) -> Vec<Arc<Slot>> {
        self.lock().all()
    }

    /// The trees that are awake, by rising id.
    pub(super) fn awake(&self) -> Vec<Arc<Tree>> {
        let all = self.all();
        all.iter().filter_map(|slot| slot.tree()).collect()
    }

    /// Bytes of dropped trees in memory.
    pub(super) fn dropped_bytes(&self) -> u64 {
        let dropped = self.names.lock().dropped.clone();
        let held = dropped.iter().filter_map(Weak::upgrade);
        held.map(|tree| tree.columns.allocated_bytes() + tree.table_bytes()).sum()
    }

    /// The tree in use with this id, if it is awake.
    pub(super) fn tree(&self, id: TreeId) -> Option<Arc<Tree>> {
        self.names.lock().slots.get(id)?.tree()
    }

    /// The hash function of the tree `spec`, looked up by name.
    pub(super) fn hasher(&self, spec: &TreeSpec) -> Result<Arc<dyn Hasher>> {
        self.hashers.of(&self.path, spec)
    }

    /// The hash function of a tree. A tree that is awake has its own, which need not be among the known ones.
    pub(super) fn hasher_of(&self, spec: &TreeSpec) -> Result<Arc<dyn Hasher>> {
        let awake = self.names.lock().slots.get(spec.id).cloned();
        match awake.as_ref().and_then(|slot| slot.tree()) {
            Some(tree) => Ok(Arc::clone(&tree.hasher)),
            None => self.hasher(spec),
        }
    }

    /// Opens the parts of `entry`. Takes over those that are in `known`.
    pub(super) fn open_parts(&self, entry: &TreeEntry, known: &PartSet) -> Result<PartSet> {
        self.loader.open_parts(entry, known)
    }

    /// A new tree without leaves of its own, and the one writer of its leaves. `id` is the number of trees created so far.
    pub(super) fn make(&self, id: u64, wanted: &Wanted) -> Result<(Arc<Tree>, LeafWriter)> {
        let Wanted { name, hasher, arity, entries, origin, .. } = wanted;
        let id = u32::try_from(id).map_err(|_| Error::TooManyTrees { path: self.path.clone() })?;
        let spec = TreeSpec::new(TreeId(id), name.clone(), &**hasher, *arity);
        let spec = Arc::new(spec.with_entries(*entries));
        self.loader.make(spec, Arc::clone(hasher), origin.as_deref())
    }

    /// The tree of `slot`. Loads a tree that is asleep, and calls `admit` to open it to inserts, or to none if it
    /// is sealed.
    pub(super) fn wake(
        &self,
        slot: &Slot,
        hasher: impl FnOnce() -> Result<Arc<dyn Hasher>>,
        admit: impl FnOnce(&Arc<Tree>, LeafWriter, bool),
    ) -> Result<Arc<Tree>> {
        if let Some(tree) = slot.tree() {
            return Ok(tree);
        }
        let dropped = slot.dropped.lock();
        let (manifest, entry) = match (*dropped, slot.tree(), &slot.entry) {
            (true, ..) | (_, None, None) => {
                return Err(Error::TreeDropped { tree: slot.spec.name.clone() });
            }
            (false, Some(tree), _) => return Ok(tree),
            (false, None, Some((manifest, entry))) => (*manifest, entry),
        };
        let (tree, leaves) = self.loader.load(manifest, entry, hasher()?)?;
        // Runs under this lock: an earlier drop was seen above, and a later one removes the tree again. Runs
        // before other threads can find the tree, because they may insert at once.
        admit(&tree, leaves, slot.sealed);
        Ok(slot.states.get_or_init(|| Arc::new(States::new(&tree))).current())
    }
}

/// The states of a tree that is awake.
#[derive(Debug)]
pub(crate) struct States {
    pub(crate) fixed: Arc<Fixed>,
    /// Its state. Another one each time that the tree is rewound.
    current: ArcSwap<Tree>,
    /// What rewinds left. `None` until the first one since the tree was loaded: most trees are never rewound.
    rewound: Mutex<Option<Box<Rewound>>>,
}

/// What rewinds of a tree left since it was loaded.
#[derive(Debug)]
struct Rewound {
    /// The lowest size that the tree was rewound to.
    lowest: u64,
    /// The state before a rewind that may not be durable yet, with the number of its record.
    leaving: Option<(Seq, Arc<Tree>)>,
}

impl States {
    /// The tree as it is now: a rewind replaces its state.
    #[inline]
    pub(crate) fn current(&self) -> Arc<Tree> {
        self.current.load_full()
    }

    fn new(tree: &Arc<Tree>) -> Self {
        let (fixed, current) = (Arc::clone(&tree.fixed), ArcSwap::new(Arc::clone(tree)));
        Self { fixed, current, rewound: Mutex::new(None) }
    }
}

/// One tree, awake or not.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) spec: Arc<TreeSpec>,
    /// The tree's entry and the number of its manifest, when the store was opened. Valid while the tree sleeps.
    entry: Option<(u64, Arc<TreeEntry>)>,
    /// Whether the tree was sealed when the store was opened.
    sealed: bool,
    /// Set when the tree is awake.
    states: OnceLock<Arc<States>>,
    /// Whether the tree was dropped. A thread holds the lock while it loads or drops the tree.
    dropped: Mutex<bool>,
}

impl Slot {
    /// A tree with this entry of the manifest with this number. `sealed` also counts a seal in the log.
    pub(crate) fn asleep(manifest: u64, entry: &Arc<TreeEntry>, sealed: bool) -> Self {
        Self {
            spec: Arc::clone(&entry.spec),
            entry: Some((manifest, Arc::clone(entry))),
            sealed,
            states: OnceLock::new(),
            dropped: Mutex::new(false),
        }
    }

    pub(crate) fn awake(tree: &Arc<Tree>) -> Self {
        Self {
            spec: Arc::clone(&tree.spec),
            entry: None,
            sealed: false,
            states: Arc::new(States::new(tree)).into(),
            dropped: Mutex::new(false),
        }
    }

    /// The tree, if it is awake.
    #[inline]
    pub(crate) fn tree(&self) -> Option<Arc<Tree>> {
        self.states.get().map(|states| states.current())
    }

    /// The states of the tree, if it is awake.
    pub(crate) fn states(&self) -> Option<&Arc<States>> {
        self.states.get()
    }

    /// What is fixed for the life of the tree, if it is awake.
    pub(crate) fn fixed(&self) -> Option<&Arc<Fixed>> {
        self.states.get().map(|states| &states.fixed)
    }

    /// The tree, if it is awake, as a crash would leave it if `durable` is the last durable number.
    pub(super) fn tree_at(&self, durable: Seq) -> Option<Arc<Tree>> {
        let rewound = self.states.get()?.rewound.lock();
        match rewound.as_ref().and_then(|rewound| rewound.leaving.as_ref()) {
            Some((seq, before)) if *seq > durable => Some(Arc::clone(before)),
            _ => {
                drop(rewound);
                self.tree()
            }
        }
    }

    /// The lowest size that the tree was rewound to since it was loaded.
    pub(super) fn lowest(&self) -> u64 {
        let Some(states) = self.states.get() else { return u64::MAX };
        states.rewound.lock().as_ref().map_or(u64::MAX, |rewound| rewound.lowest)
    }

    /// Replaces the state of the tree, which is awake: the record `seq` rewinds it to `size`. Only under the insertion
    /// lock, while no other rewind is under way.
    pub(super) fn replace(&self, seq: Seq, size: u64, tree: &Arc<Tree>) {
        let Some(states) = self.states.get() else { return };
        let leaving = Some((seq, states.current()));
        let mut rewound = states.rewound.lock();
        let lowest = rewound.as_ref().map_or(size, |rewound| rewound.lowest.min(size));
        let before = rewound.replace(Box::new(Rewound { lowest, leaving }));
        drop(rewound);
        drop(before);
        states.current.store(Arc::clone(tree));
    }

    /// Forgets the state before a rewind, which is durable now.
    pub(super) fn rewound(&self) {
        if let Some(states) = self.states.get() {
            let before = states.rewound.lock().as_mut().and_then(|rewound| rewound.leaving.take());
            drop(before);
        }
    }

    /// The entry of the manifest, valid if the tree is asleep.
    pub(crate) fn entry(&self) -> Option<&Arc<TreeEntry>> {
        self.entry.as_ref().map(|(_, entry)| entry)
    }

    /// Whether the tree is sealed, valid if it is asleep.
    pub(super) fn is_sealed(&self) -> bool {
        self.sealed
    }

    /// How many leaves the tree has, valid if it is asleep.
    pub(super) fn stored(&self) -> u64 {
        self.entry().map_or(0, |entry| entry.size)
    }

    /// The erased entries of the tree.
    pub(super) fn erasures(&self) -> Arc<Erasures> {
        match (self.tree(), self.entry()) {
            (Some(tree), _) => tree.erasures(),
            (None, Some(entry)) => Arc::clone(&entry.erasures),
            (None, None) => Arc::default(),
        }
    }

    /// Drops the tree with `accept`, while no thread loads it. `accept` returns `None` if the tree is not to be dropped. Waits
    /// for a thread that loads the tree, so the caller must not hold the names.
    pub(super) fn drop_by<T>(
        &self,
        accept: impl FnOnce() -> Result<Option<T>>,
    ) -> Result<Option<T>> {
        let mut dropped = self.dropped.lock();
        let accepted = accept()?;
        *dropped |= accepted.is_some();
        Ok(accepted)
    }
}

/// A tree that a caller asks for.
pub(crate) struct Wanted {
    pub(crate) name: TreeName,
    pub(crate) hasher: Arc<dyn Hasher>,
    pub(crate) arity: Arity,
    /// How a new tree keeps entries, and how one that is there must keep them. `None` leaves it open.
    pub(crate) entries: Option<EntryConfig>,
    /// Whether the tree is to have an index. One that has none is given one.
    pub(crate) indexed: bool,
    /// What a new tree begins behind, if not with its first leaf. It is not empty.
    pub(crate) origin: Option<Arc<Frontier>>,
}

impl Wanted {
    /// Fails if the tree `spec` of this name has another hash function or arity.
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
        if let Some(asked) = self.entries
            && spec.entries != self.entries
        {
            let stored = spec.entries.map_or("without entries".to_owned(), |kept| kept.to_string());
            return Err(Error::EntriesMismatch {
                path: path.to_owned(),
                tree: self.name.clone(),
                stored,
                asked: asked.to_string(),
            });
        }
        Ok(())
    }
}
