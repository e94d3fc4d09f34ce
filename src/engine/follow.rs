//! Reads a store from outside, beside its writer.
//!
//! # Invariants
//!
//! - The reader writes, removes, syncs and locks no file.
//! - The reader shows a prefix of what was inserted: each part and each group was intact, and no group is missing.
//! - The writer may remove or reuse the files of a manifest as soon as a newer one is durable. So a read counts
//!   only if its manifest was still the newest afterwards. Damage counts only if, in addition, two reads have
//!   found the same.
//! - The reader leaves the log's pages in the page cache: the writer and other readers need them.
//! - A refresh costs what is new. If a newer manifest has the roots of the leaves that were read, those leaves
//!   stay, and the manifest's parts replace their memory; a part that the reader has is not opened again. If the
//!   bytes at the place of the next group are unreadable, the reader searches the rest of the segment for later
//!   groups after two, four, eight, ... such refreshes.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use super::catalog::Wanted;
use super::load::Loader;
use super::opened::loader;
use super::tree::Tree;
use crate::column::LeafWriter;
use crate::config::Config;
use crate::directory::files;
use crate::directory::manifest::Manifest;
use crate::directory::newest_manifest;
use crate::error::{Error, Result};
use crate::fs::{Dir, FileSystem};
use crate::hashers::Hashers;
use crate::ids::Seq;
use crate::ids::{SegmentId, StoreId, TreeId};
use crate::mark::{Mark, MarkInfo, MarkName};
use crate::merkle::{NamedHead, StoreHead, TreeHead, TreeName, TreeSize};
use crate::per_tree::PerTree;
use crate::report::TreeInfo;
use crate::tree_spec::TreeSpec;
use crate::wal::frame::{Frame, GroupEnd, GroupHeader};
use crate::wal::{
    Change, LoggedTree, LoggedTrees, Position, Purpose, Stop, not_the_entry, replay_onward,
    replay_read_only,
};

/// How often a read is repeated because the store changed meanwhile.
pub(crate) const TRIES: usize = 100;

/// A store as the last read found it, and where the next read continues.
#[derive(Debug)]
pub(crate) struct Followed {
    /// The store's directory.
    pub(crate) fs: Arc<dyn FileSystem>,
    pub(crate) store: StoreId,
    loader: Loader,
    hashers: Hashers,
    manifest: Arc<Manifest>,
    /// All trees, at the end of the log.
    logged: LoggedTrees,
    /// The trees with nodes in memory: the log has leaves of them, or a caller requested them.
    grown: PerTree<Grown>,
    /// The trees that are not known to be durable at all: a crash may undo their creation.
    new: BTreeSet<TreeId>,
    /// The trees that the log drops, while a crash may undo that.
    leaving: PerTree<Leaving>,
    stop: Stop,
    known: Known,
    /// How many refreshes in a row found unreadable bytes where the next group belongs.
    unreadable: u64,
}

/// A refresh hashes a tree if it has at least so many unhashed leaves.
const HASH_FROM: u64 = 1 << 16;

/// A tree that grows as the log is read.
#[derive(Debug)]
struct Grown {
    tree: Arc<Tree>,
    leaves: LeafWriter,
    /// Whether the log seals the tree, in a group that is known to be durable.
    sealed: bool,
}

/// A dropped tree.
#[derive(Debug)]
enum Leaving {
    Grown(Arc<TreeSpec>, Arc<Tree>),
    /// It had this head in the manifest, and no leaves in the log.
    Stored(NamedHead),
}

/// What a tree is after a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Created,
    Size(u64),
    Sealed,
    Dropped,
}

/// A point that is not known to be durable: the group and the number after it, with the trees that changed since the
/// point before.
type Later = (u64, Seq, Vec<(TreeId, State)>);

/// How much of what was read is known to be durable.
#[derive(Debug)]
struct Known {
    /// Groups below this are known to be durable.
    below: u64,
    /// The sequence number of the last point that is known to be durable.
    seq: Seq,
    /// Points that are not known to be durable.
    later: VecDeque<Later>,
    /// The trees that changed since the last point that was read.
    open: Vec<(TreeId, State)>,
}

impl Known {
    /// Notes that `tree` has `size` leaves after what was read.
    fn grew(&mut self, tree: TreeId, size: u64) {
        match self.open.last_mut() {
            Some((last, State::Size(known))) if *last == tree => *known = size,
            _ => self.open.push((tree, State::Size(size))),
        }
    }

    /// Notes that `tree` has `size` leaves after what was read, and that what is durable of it before has no more: the
    /// others are gone from what is shown.
    fn rewound(&mut self, tree: TreeId, size: u64) {
        let before = self.later.iter_mut().flat_map(|(.., states)| states).chain(&mut self.open);
        for (id, state) in before {
            if let State::Size(known) = state
                && *id == tree
            {
                *known = size.min(*known);
            }
        }
        self.open.push((tree, State::Size(size)));
    }

    /// Notes what `tree` is after what was read.
    fn became(&mut self, tree: TreeId, state: State) {
        self.open.push((tree, state));
    }

    /// Notes a group that was read whole.
    fn group(&mut self, header: &GroupHeader) {
        self.below = self.below.max(header.durable.0);
        // A provisional group does not end at a point, durable or not.
        if header.end == GroupEnd::Point {
            self.later.push_back((header.number.0, header.last, std::mem::take(&mut self.open)));
        }
    }

    /// Returns the trees of which more is known to be durable now.
    fn settle(&mut self) -> Vec<(TreeId, State)> {
        let mut settled = Vec::new();
        while self.later.front().is_some_and(|(number, ..)| *number < self.below) {
            let Some((_, seq, sizes)) = self.later.pop_front() else { break };
            self.seq = seq;
            settled.extend(sizes);
        }
        settled
    }
}

/// Reads the store in `fs`, which `config` names. Fails if the tree with the name of `wanted` is a different one.
pub(crate) fn follow(
    config: &Config,
    fs: &Arc<dyn FileSystem>,
    hashers: &Hashers,
    wanted: Option<&Wanted>,
) -> Result<Followed> {
    let newest = || newest_manifest(&**fs, &config.path);
    let mut last = None;
    for _ in 0..TRIES {
        let manifest = newest()?;
        let number = manifest.number;
        match Followed::load(config, fs, hashers, wanted, manifest) {
            Ok(followed) if newest()?.number == number => return Ok(followed),
            Ok(_) => {}
            Err(error) => {
                if newest()?.number != number {
                    continue;
                }
                let seen = (number, error.to_string());
                if last.as_ref() == Some(&seen) {
                    return Err(error);
                }
                last = Some(seen);
            }
        }
    }
    // Checkpoints come faster than this can read. The result is correct nevertheless.
    Followed::load(config, fs, hashers, wanted, newest()?)
}

/// Fails unless the path of `config` still leads to `fs`, in which the store `opened` was found.
pub(super) fn check_place(config: &Config, fs: &dyn FileSystem, opened: StoreId) -> Result<()> {
    let placed = fs.check_place().map_err(|error| Error::io("look at", &config.path, error));
    if let Err(Error::Displaced(_)) = placed {
        // Only for a better message.
        let there = config.bind().and_then(|fs| newest_manifest(&*fs, &config.path));
        there.map_or(Ok(()), |there| same_store(config, opened, there.store))?;
    }
    placed
}

/// The newest manifest in `fs`. Fails if it is not of the store `opened`.
pub(super) fn newest_of(config: &Config, fs: &dyn FileSystem, opened: StoreId) -> Result<Manifest> {
    let manifest = newest_manifest(fs, &config.path)?;
    same_store(config, opened, manifest.store)?;
    Ok(manifest)
}

fn same_store(config: &Config, opened: StoreId, found: StoreId) -> Result<()> {
    if found == opened {
        return Ok(());
    }
    let (opened, found) = (opened.to_string(), found.to_string());
    Err(Error::OtherStore { path: config.path.clone(), opened, found })
}

impl Followed {
    /// Reads what was written since the last read: the rest of the log, or everything again if a newer manifest
    /// contradicts what was read.
    pub(crate) fn refresh(&mut self, config: &Config, wanted: Option<&Wanted>) -> Result<()> {
        let fs = Arc::clone(&self.fs);
        let store = self.store;
        check_place(config, &*fs, store)?;
        let mut manifest = newest_of(config, &*fs, store)?;
        for _ in 0..TRIES {
            // Any failure here occurs again below, if its cause persists.
            if !(self.is_read(&manifest) || self.adopt(manifest).unwrap_or(false)) {
                break;
            }
            if self.read_on().is_err() {
                break;
            }
            manifest = newest_of(config, &*fs, store)?;
            if self.is_read(&manifest) {
                self.hash_large();
                self.look_for_indexes();
                return Ok(());
            }
        }
        let found = follow(config, &fs, &self.hashers, wanted)?;
        same_store(config, store, found.store)?;
        *self = found;
        Ok(())
    }

    /// Whether `manifest` is the one that was read. A copy that is restored in the store's place has the same
    /// numbers.
    fn is_read(&self, manifest: &Manifest) -> bool {
        (manifest.number, manifest.checkpoint) == (self.manifest.number, self.manifest.checkpoint)
    }

    /// Replaces leaves that were read from the log by the parts of a newer `manifest`, without reading the log
    /// again. Returns false, and changes nothing, if these leaves are not all the leaves of `manifest`.
    fn adopt(&mut self, manifest: Manifest) -> Result<bool> {
        let is_newer = manifest.number > self.manifest.number;
        let is_read = manifest.trees.iter().all(|entry| {
            // A tree of the manifest may have been dropped in the log behind it.
            let found = self.logged.get(entry.spec.id);
            found.is_none_or(|tree| tree.spec == entry.spec && entry.size <= tree.size)
        });
        if !is_newer || !is_read || !self.stop.is_in(&manifest.log) {
            return Ok(false);
        }
        let mut archives = Vec::new();
        for (id, Grown { tree, .. }) in self.grown.iter() {
            let Some(entry) = manifest.tree(id) else { continue };
            if entry.size > tree.columns.leaves() {
                return Ok(false);
            }
            let parts = self.loader.open_parts(entry, &tree.parts())?;
            // Also hashes all nodes below this head, so that none is missing once the leaves leave memory.
            if tree.head_at(TreeSize(entry.size))?.root != entry.root {
                return Ok(false);
            }
            archives.push((Arc::clone(tree), entry.size, entry.parts_end(), parts));
        }
        for (tree, size, parts_end, parts) in archives {
            if parts_end > 0 {
                tree.install(parts_end, parts);
            }
            tree.set_durable(tree.durable().get().max(size));
        }
        self.known.below = self.known.below.max(manifest.log.open.group.0);
        self.known.seq = self.known.seq.max(manifest.log.seq);
        self.manifest = Arc::new(manifest);
        self.settle();
        Ok(true)
    }

    /// Has the next search look again for the indexes that were missing or damaged. The writer may have written them
    /// since.
    fn look_for_indexes(&self) {
        for Grown { tree, .. } in self.grown.values() {
            tree.parts().parts().iter().for_each(|part| part.look_again_for_index());
        }
    }

    fn hash_large(&self) {
        for Grown { tree, .. } in self.grown.values() {
            let view = tree.columns.view();
            if view.leaves() - view.hashed() >= HASH_FROM {
                tree.hash_if_free();
            }
        }
    }

    /// Where the last read found the end of the log.
    pub(crate) fn end(&self) -> Position {
        self.stop.end()
    }

    /// Reads the store from `manifest` and the log behind it.
    pub(crate) fn load(
        config: &Config,
        fs: &Arc<dyn FileSystem>,
        hashers: &Hashers,
        wanted: Option<&Wanted>,
        manifest: Manifest,
    ) -> Result<Self> {
        let known = Known {
            below: manifest.log.open.group.0,
            seq: manifest.log.seq,
            later: VecDeque::new(),
            open: Vec::new(),
        };
        let manifest = Arc::new(manifest);
        let mut followed = Self {
            fs: Arc::clone(fs),
            store: manifest.store,
            loader: loader(config, fs, manifest.store)?,
            hashers: hashers.clone(),
            logged: manifest.logged(),
            grown: PerTree::default(),
            new: BTreeSet::new(),
            leaving: PerTree::default(),
            stop: Stop::before(&manifest.log),
            known,
            unreadable: 0,
            manifest: Arc::clone(&manifest),
        };
        // The wanted tree comes first, so that a mismatch or damage of this tree is the error.
        if let Some(wanted) = wanted
            && let Some(tree) = followed.logged.find(&wanted.name)
        {
            wanted.check(&config.path, &tree.spec)?;
            followed.grow(tree.spec.id)?;
        }
        followed.read(None)?;
        if let Some(wanted) = wanted
            && let Some(tree) = followed.logged.find(&wanted.name)
        {
            wanted.check(&config.path, &tree.spec)?;
        }
        Ok(followed)
    }

    /// The sequence number up to which everything is known to be durable.
    pub(crate) fn durable(&self) -> Seq {
        self.known.seq
    }

    /// The tree of this name. Loads the tree if necessary.
    pub(crate) fn tree(&mut self, config: &Config, name: &TreeName) -> Result<Arc<Tree>> {
        let Some(found) = self.logged.find(name) else {
            return Err(Error::NoTree { path: config.path.clone(), tree: name.clone() });
        };
        let spec = Arc::clone(&found.spec);
        self.grow(spec.id)?;
        let unknown = || Error::UnknownHasher {
            path: config.path.clone(),
            tree: name.clone(),
            hasher: spec.hasher.clone(),
        };
        self.grown.get(spec.id).map(|grown| Arc::clone(&grown.tree)).ok_or_else(unknown)
    }

    /// Whether a tree is sealed and no crash can undo that.
    pub(crate) fn is_sealed_for_good(&self, id: TreeId) -> bool {
        let stored = self.manifest.tree(id).is_some_and(|entry| entry.sealed);
        stored || self.grown.get(id).is_some_and(|grown| grown.sealed)
    }

    /// The first leaf that a tree has, by the manifest.
    pub(crate) fn begin(&self, id: TreeId) -> u64 {
        match (self.manifest.tree(id), self.grown.get(id)) {
            (Some(entry), _) => entry.begin(),
            // Behind a frontier, by the log.
            (None, grown) => grown.map_or(0, |grown| grown.tree.base()),
        }
    }

    /// The heads of all trees at the end of the log. Leaves out trees that have leaves in the log and an unknown
    /// hash function.
    pub(crate) fn head(&self) -> Result<StoreHead> {
        let heads = self.heads_of(&BTreeSet::new(), |tree| tree.columns.leaves())?;
        Ok(StoreHead::new(heads).unwrap_or_default())
    }

    /// Describes all marks, oldest first.
    pub(crate) fn marks(&self) -> Vec<MarkInfo> {
        let name = |id| self.logged.get(id).map(|tree| tree.spec.name.clone());
        self.logged.marks().iter().map(|mark| mark.describe(name)).collect()
    }

    fn mark(&self, name: &MarkName) -> Result<Arc<Mark>> {
        let mark = self.logged.marks().get(name).cloned();
        mark.ok_or_else(|| Error::NoMark { mark: name.clone() })
    }

    /// The tree `tree` with its size at the mark `name`.
    pub(crate) fn tree_at(
        &mut self,
        config: &Config,
        name: &MarkName,
        tree: &TreeName,
    ) -> Result<(Arc<Tree>, TreeSize)> {
        let mark = self.mark(name)?;
        let tree = self.tree(config, tree)?;
        let none = || Error::NoTree { path: config.path.clone(), tree: tree.name().clone() };
        let size = mark.size(tree.id()).ok_or_else(none)?;
        Ok((tree, TreeSize(size)))
    }

    /// The heads that the trees had at the mark `name`. Leaves out trees with an unknown hash function.
    pub(crate) fn head_at(&mut self, name: &MarkName) -> Result<StoreHead> {
        let mark = self.mark(name)?;
        let mut heads = Vec::new();
        for (id, size) in mark.sizes() {
            let Some(found) = self.logged.get(*id) else { continue };
            let spec = Arc::clone(&found.spec);
            self.grow(*id)?;
            if let Some(Grown { tree, .. }) = self.grown.get(*id) {
                heads.push(spec.at(tree.head_at(TreeSize(*size))?));
            }
        }
        Ok(StoreHead::new(heads).unwrap_or_default())
    }

    /// The heads of all trees at the sizes that are known to be durable: those whose creation is known to be durable
    /// and whose drop is not.
    pub(crate) fn durable_head(&self) -> Result<StoreHead> {
        let mut heads = self.heads_of(&self.new, |tree| tree.durable().get())?;
        for (id, leaving) in self.leaving.iter() {
            match leaving {
                _ if self.new.contains(&id) => {}
                Leaving::Grown(spec, tree) => heads.push(spec.at(tree.head_at(tree.durable())?)),
                Leaving::Stored(head) => heads.push(head.clone()),
            }
        }
        Ok(StoreHead::new(heads).unwrap_or_default())
    }

    /// All trees at the end of the log.
    pub(crate) fn logged(&self) -> &LoggedTrees {
        &self.logged
    }

    /// The head of one of these trees. `None` if it has leaves in the log and an unknown hash function.
    pub(crate) fn head_of(&self, tree: &LoggedTree) -> Result<Option<TreeHead>> {
        if let Some(Grown { tree: grown, .. }) = self.grown.get(tree.spec.id) {
            return grown.head_at(TreeSize(tree.size)).map(Some);
        }
        let entry = self.manifest.tree(tree.spec.id);
        Ok(entry.filter(|entry| entry.size == tree.size).map(|entry| entry.head().head))
    }

    /// The heads of all trees that the log has at its end, without those in `left_out`.
    fn heads_of(
        &self,
        left_out: &BTreeSet<TreeId>,
        size: impl Fn(&Tree) -> u64,
    ) -> Result<Vec<NamedHead>> {
        let mut heads = Vec::new();
        for LoggedTree { spec, size: logged, .. } in self.logged.iter() {
            if left_out.contains(&spec.id) {
                continue;
            }
            if let Some(Grown { tree, .. }) = self.grown.get(spec.id) {
                heads.push(spec.at(tree.head_at(TreeSize(size(tree)))?));
            } else if let Some(entry) = self.manifest.tree(spec.id)
                && entry.size == *logged
            {
                heads.push(entry.head());
            }
        }
        Ok(heads)
    }

    /// Describes all trees, by name.
    pub(crate) fn infos(&self) -> Vec<TreeInfo> {
        let mut infos: Vec<_> = self.logged.iter().map(|tree| self.info(tree)).collect();
        infos.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        infos
    }

    fn info(&self, logged: &LoggedTree) -> TreeInfo {
        let spec = &logged.spec;
        let entry = self.manifest.tree(spec.id);
        let lengths = entry.map_or(&[][..], |entry| &entry.parts).iter().map(|part| part.len);
        let stored = entry.map_or(0, |entry| entry.size);
        let size = TreeSize(logged.size);
        let flags = (logged.sealed, logged.indexed);
        let begin = self.begin(spec.id);
        let (erased, base) = (logged.erasures.count_in(begin..u64::MAX), TreeSize(begin));
        let info = TreeInfo::asleep(spec, stored, flags, lengths);
        let info = TreeInfo { size, base, erased, ..info };
        match self.grown.get(spec.id) {
            Some(grown) => grown.tree.describe(size, info),
            None => info,
        }
    }

    /// Loads a tree, if its hash function is known.
    fn grow(&mut self, id: TreeId) -> Result<()> {
        if self.grown.get(id).is_some() {
            return Ok(());
        }
        let Some(entry) = self.manifest.tree(id) else { return Ok(()) };
        let Some(hasher) = self.hashers.find(&entry.spec.hasher) else { return Ok(()) };
        let (tree, leaves) = self.loader.load(self.manifest.number, entry, hasher)?;
        if let Some(logged) = self.logged.get(id) {
            tree.set_erasures(Arc::clone(&logged.erasures));
        }
        self.grown.insert(id, Grown { tree, leaves, sealed: false });
        Ok(())
    }

    fn read_on(&mut self) -> Result<()> {
        self.read(Some(match self.unreadable {
            // The group may be damaged, and groups behind it may claim that it was durable.
            often if often > 1 && often.is_power_of_two() => Purpose::First,
            _ => Purpose::Onward,
        }))
    }

    /// Reads the log for the purpose `onward` from where the last read stopped. With `None`, reads it from where
    /// the manifest says.
    fn read(&mut self, onward: Option<Purpose>) -> Result<()> {
        let fs = Arc::clone(&self.fs);
        let files = files::files(&*fs, Dir::Wal)?;
        let ids: Vec<SegmentId> =
            files.complete.iter().map(|(name, _)| files::segment_id(*name)).collect();
        let (store, stop, manifest) = (self.store, self.stop.clone(), Arc::clone(&self.manifest));
        let mut group: Option<GroupHeader> = None;
        let mut apply = |header: &GroupHeader, frame: &Frame<'_>| {
            if let Some(before) = group.replace(*header)
                && before.number != header.number
            {
                self.known.group(&before);
            }
            let change = self.logged.apply(&*fs, header, frame)?;
            self.take(&*fs, header, change)
        };
        let replayed = match onward {
            None => {
                let (log, purpose) = (&manifest.log, Purpose::First);
                replay_read_only(&*fs, store, log, &ids, purpose, &mut apply)?
            }
            Some(purpose) => replay_onward(&*fs, store, &stop, &ids, purpose, &mut apply)?,
        };
        if let Some(last) = group {
            self.known.group(&last);
        }
        self.logged.check_end(|| fs.display(replayed.end.segment.file()))?;
        let again = replayed.torn.is_some() && replayed.tail == self.stop.tail();
        self.unreadable = if again { self.unreadable + 1 } else { 0 };
        self.stop = Stop::at(&replayed);
        if replayed.clean {
            self.known.below = replayed.end.group.0;
        }
        self.settle();
        Ok(())
    }

    /// Raises what is known to be durable of the trees to what is known by now.
    fn settle(&mut self) {
        for (id, state) in self.known.settle() {
            match state {
                State::Created => drop(self.new.remove(&id)),
                State::Size(size) => {
                    let tree = match (self.grown.get(id), self.leaving.get(id)) {
                        (Some(Grown { tree, .. }), _) | (_, Some(Leaving::Grown(_, tree))) => tree,
                        _ => continue,
                    };
                    tree.set_durable(tree.durable().get().max(size));
                }
                State::Sealed => {
                    if let Some(Grown { sealed, .. }) = self.grown.get_mut(id) {
                        *sealed = true;
                    }
                }
                State::Dropped => drop(self.leaving.remove(id)),
            }
        }
    }

    /// Takes a dropped tree out of what is shown. It stays durable until its drop is.
    fn drop_tree(&mut self, dropped: &LoggedTree) {
        let id = dropped.spec.id;
        let stored = self.manifest.tree(id).filter(|entry| entry.size == dropped.size);
        let leaving = match (self.grown.remove(id), stored) {
            (Some(Grown { tree, .. }), _) => Some(Leaving::Grown(Arc::clone(&dropped.spec), tree)),
            (None, Some(entry)) => Some(Leaving::Stored(entry.head())),
            (None, None) => None,
        };
        if let Some(leaving) = leaving {
            self.leaving.insert(id, leaving);
        }
        self.known.became(id, State::Dropped);
    }

    /// Applies the effect of a frame to the trees in memory.
    fn take(
        &mut self,
        fs: &dyn FileSystem,
        header: &GroupHeader,
        change: Change<'_>,
    ) -> Result<()> {
        match change {
            Change::Nothing | Change::Marked => {}
            Change::Sealed(id) => self.known.became(id, State::Sealed),
            Change::Indexed(id) => {
                self.grow(id)?;
                if let Some(Grown { tree, .. }) = self.grown.get(id) {
                    tree.give_index();
                }
            }
            Change::Created(spec, origin) => {
                self.new.insert(spec.id);
                self.known.became(spec.id, State::Created);
                // A tree with an unknown hash function is only counted.
                if let Some(hasher) = self.hashers.find(&spec.hasher) {
                    let id = spec.id;
                    let (tree, leaves) = self.loader.make(spec, hasher, origin.as_deref())?;
                    self.grown.insert(id, Grown { tree, leaves, sealed: false });
                }
            }
            Change::Leaves(id, logged) => {
                self.grow(id)?;
                if let Some(Grown { tree, leaves, .. }) = self.grown.get_mut(id) {
                    let bare = tree
                        .append_logged(leaves, &logged)
                        .map_err(|index| not_the_entry(fs, header, index))?;
                    self.logged.note_bare(id, bare);
                    self.known.grew(id, leaves.len());
                }
            }
            Change::Erased(id, erasures) => {
                if let Some(Grown { tree, .. }) = self.grown.get(id) {
                    tree.set_erasures(erasures);
                }
            }
            Change::Rewound(cuts) => {
                for (id, size) in cuts {
                    self.grow(id)?;
                    if let Some(Grown { tree, leaves, .. }) = self.grown.get_mut(id) {
                        let (after, writer) = tree.rewound(size)?;
                        (*tree, *leaves) = (Arc::new(after), writer);
                    }
                    self.known.rewound(id, size);
                }
            }
            Change::Dropped(tree) => self.drop_tree(&tree),
        }
        Ok(())
    }
}
