//! Reading a store from outside, beside its writer.
//!
//! # Invariants
//!
//! - No file is written, removed, synced or locked.
//! - What is shown is a prefix of what was inserted: each part and each group was found intact, and
//!   no group is left out.
//! - The writer may remove or reuse what a manifest names as soon as a newer one is durable. So what
//!   was read counts only if its manifest was still the newest afterwards, and damage only if that holds
//!   and it is found twice in the same way.
//! - The pages that the system caches of the log stay there: the writer and other readers need them.
//! - A refresh costs what is new. Under a newer manifest what was read stays, if that manifest's root is the one
//!   of the leaves that were read: its parts take the place of memory. Where nothing readable stands at the
//!   place of the next group, the rest of the segment is searched for later groups after two, four, eight, ...
//!   such refreshes.

use std::collections::VecDeque;
use std::sync::Arc;

use super::open::{check_root, open_parts, resume, single_tree, this_process};
use super::tree::Tree;
use crate::column::{Layout, LeafWriter};
use crate::config::Config;
use crate::directory::files;
use crate::directory::manifest::Manifest;
use crate::directory::newest_manifest;
use crate::error::{Damage, Error, Result};
use crate::fs::{Dir, FileSystem};
use crate::ids::{SegmentId, StoreId, TreeId};
use crate::merkle::{Arity, Hasher, TreeSize};
use crate::wal::frame::{Frame, GroupEnd, GroupHeader};
use crate::wal::{Position, Purpose, Replayed, Stop, replay_onward, replay_read_only};

/// How often reading starts again because the store changed meanwhile.
pub(crate) const TRIES: usize = 100;

/// A store as it was found, and where to read on.
#[derive(Debug)]
pub(crate) struct Followed {
    pub(crate) tree: Arc<Tree>,
    /// The directory it was found in.
    pub(crate) fs: Arc<dyn FileSystem>,
    pub(crate) store: StoreId,
    manifest: u64,
    leaves: LeafWriter,
    stop: Stop,
    known: Known,
    /// In how many refreshes, one after the other, bytes that are no group stood where the log goes on.
    unreadable: u64,
}

/// Leaves that are hashed when they were read, once there are so many.
const HASH_FROM: u64 = 1 << 16;

/// How much of what was read is known to be durable.
#[derive(Debug)]
struct Known {
    /// Leaves in groups of which a later group says that they are durable.
    durable: u64,
    /// Groups below this are.
    below: u64,
    /// Later groups, with the size of the tree after each.
    later: VecDeque<(u64, u64)>,
}

impl Known {
    fn group(&mut self, header: &GroupHeader, size: u64) {
        self.below = self.below.max(header.durable.0);
        // What a provisional group reaches is no point, durable or not.
        if header.end == GroupEnd::Point {
            self.later.push_back((header.number.0, size));
        }
        self.settle();
    }

    fn settle(&mut self) {
        while let Some((_, size)) = self.later.pop_front_if(|(number, _)| *number < self.below) {
            self.durable = self.durable.max(size);
        }
    }
}

/// Reads the store in `fs`, which `config` names.
pub(crate) fn follow(
    config: &Config,
    fs: &Arc<dyn FileSystem>,
    hasher: &Arc<dyn Hasher>,
    arity: Arity,
) -> Result<Followed> {
    let newest = || newest_manifest(&**fs, &config.path);
    let mut last = None;
    for _ in 0..TRIES {
        let manifest = newest()?;
        let number = manifest.number;
        match Followed::load(config, fs, Arc::clone(hasher), arity, &manifest) {
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
    // Checkpoints come faster than they can be read. What is read is right nevertheless.
    Followed::load(config, fs, Arc::clone(hasher), arity, &newest()?)
}

/// Fails unless the path of `config` still leads to `fs`: it answers for the store that was opened
/// there, or not at all.
pub(super) fn check_place(config: &Config, fs: &dyn FileSystem, opened: StoreId) -> Result<()> {
    let placed = fs.check_place().map_err(|error| Error::io("look at", &config.path, error));
    if let Err(Error::Displaced(_)) = placed {
        // Of use for the message alone.
        let there = config.bind().and_then(|fs| newest_manifest(&*fs, &config.path));
        there.map_or(Ok(()), |there| same_store(config, opened, there.store))?;
    }
    placed
}

/// The newest manifest in `fs`, which must be of the store that was opened there.
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
    /// Reads what was written since: the rest of the log, or everything again if a newer manifest says
    /// something else of what was read.
    pub(crate) fn refresh(&mut self, config: &Config) -> Result<()> {
        let fs = Arc::clone(&self.fs);
        let store = self.store;
        check_place(config, &*fs, store)?;
        let mut manifest = newest_of(config, &*fs, store)?;
        for _ in 0..TRIES {
            let known = manifest.number == self.manifest;
            // Whatever fails here fails again below, if it is still there.
            if !(known || self.go_over(config, &manifest).unwrap_or(false)) {
                break;
            }
            if self.read_on(&*fs).is_err() {
                break;
            }
            manifest = newest_of(config, &*fs, store)?;
            if manifest.number == self.manifest {
                let view = self.tree.columns.view();
                if view.leaves() - view.hashed() >= HASH_FROM {
                    self.tree.hash_if_free();
                }
                return Ok(());
            }
        }
        let found = follow(config, &fs, &self.tree.hasher, self.tree.arity)?;
        same_store(config, store, found.store)?;
        *self = found;
        Ok(())
    }

    /// What `manifest` says, and the log behind it as it is now.
    pub(crate) fn load(
        config: &Config,
        fs: &Arc<dyn FileSystem>,
        hasher: Arc<dyn Hasher>,
        arity: Arity,
        manifest: &Manifest,
    ) -> Result<Self> {
        let entry = single_tree(config, &**fs, manifest, &*hasher, arity)?;
        let parts = open_parts(config, fs, manifest.store, entry)?;
        let (columns, mut leaves, nodes) =
            resume(Layout::new(arity).huge_pages(config.huge_pages), entry.size, &parts)?;
        let tree = Tree::new(entry.id, entry.name.clone(), hasher, columns, nodes);
        // Another thread of the parent may hold a lock of it while a child is forked.
        let tree = Arc::new(tree.only_in(this_process(config)?));
        check_root(&**fs, manifest, entry, &tree)?;
        let mut known =
            Known { durable: entry.size, below: manifest.log.open.group.0, later: VecDeque::new() };
        let (id, store) = (tree.id, manifest.store);
        let mut reading = Reading { fs: &**fs, id, leaves: &mut leaves, known: &mut known };
        let apply = &mut |header: &GroupHeader, frame: &Frame<'_>| reading.apply(header, frame);
        let (log, purpose) = (&manifest.log, Purpose::First);
        let replayed = replay_read_only(&**fs, store, log, &segments(&**fs)?, purpose, apply)?;
        let mut followed = Self {
            tree,
            fs: Arc::clone(fs),
            store,
            manifest: manifest.number,
            leaves,
            stop: Stop::at(&replayed),
            known,
            unreadable: 0,
        };
        followed.has_read(&replayed);
        Ok(followed)
    }

    /// Takes the parts of a newer `manifest` for what was read of them in the log, and reads nothing again.
    /// Returns false if what was read is not what it speaks of, or not all of it.
    fn go_over(&mut self, config: &Config, manifest: &Manifest) -> Result<bool> {
        let tree = &self.tree;
        let entry = single_tree(config, &*self.fs, manifest, &*tree.hasher, tree.arity)?;
        let is_read = entry.id == tree.id && entry.size <= self.leaves.len();
        let is_newer = manifest.number > self.manifest;
        if !is_read || !is_newer || !self.stop.is_in(&manifest.log) {
            return Ok(false);
        }
        let parts = open_parts(config, &self.fs, manifest.store, entry)?;
        // Hashes what it commits to, so that no node is missing when the leaves are no longer in memory.
        if tree.head_at(TreeSize(entry.size))?.root != entry.root {
            return Ok(false);
        }
        if entry.size > 0 {
            tree.columns.archive(entry.size, Arc::new(parts));
        }
        self.manifest = manifest.number;
        self.known.durable = self.known.durable.max(entry.size);
        self.known.below = self.known.below.max(manifest.log.open.group.0);
        self.known.settle();
        tree.set_durable(self.known.durable);
        Ok(true)
    }

    fn read_on(&mut self, fs: &dyn FileSystem) -> Result<()> {
        let purpose = match self.unreadable {
            // It may be damaged, and the groups behind it say so.
            often if often > 1 && often.is_power_of_two() => Purpose::First,
            _ => Purpose::Onward,
        };
        let (id, store, stop) = (self.tree.id, self.store, &self.stop);
        let (leaves, known) = (&mut self.leaves, &mut self.known);
        let mut reading = Reading { fs, id, leaves, known };
        let apply = &mut |header: &GroupHeader, frame: &Frame<'_>| reading.apply(header, frame);
        let replayed = replay_onward(fs, store, stop, &segments(fs)?, purpose, apply)?;
        self.has_read(&replayed);
        Ok(())
    }

    /// Notes where reading has stopped.
    fn has_read(&mut self, replayed: &Replayed) {
        let again = replayed.torn.is_some() && replayed.tail == self.stop.tail();
        self.unreadable = if again { self.unreadable + 1 } else { 0 };
        self.stop = Stop::at(replayed);
        if replayed.clean {
            self.known.below = replayed.end.group.0;
            self.known.settle();
        }
        self.tree.set_durable(self.known.durable);
    }

    /// Where the log ended.
    pub(crate) fn end(&self) -> Position {
        self.stop.end()
    }
}

/// The segments in the directory.
fn segments(fs: &dyn FileSystem) -> Result<Vec<SegmentId>> {
    let files = files::files(fs, Dir::Wal)?;
    Ok(files.complete.iter().map(|(name, _)| files::segment_id(*name)).collect())
}

/// What the frames of the log are handed to.
struct Reading<'a> {
    fs: &'a dyn FileSystem,
    id: TreeId,
    leaves: &'a mut LeafWriter,
    known: &'a mut Known,
}

impl Reading<'_> {
    fn apply(&mut self, header: &GroupHeader, frame: &Frame<'_>) -> Result<()> {
        let Self { leaves, known, .. } = self;
        if let Frame::Leaves { tree, first, leaves: found } = frame {
            let (path, at) = (self.fs.display(header.segment.file()), header.offset.0);
            if *tree != self.id {
                return Err(Damage::field(&path, at, "tree number", self.id.0, tree.0).into());
            }
            if *first != leaves.len() {
                let damage = Damage::field(&path, at, "leaf index", leaves.len(), first);
                return Err(Error::Damaged(damage));
            }
            leaves.append(found);
        }
        known.group(header, leaves.len());
        Ok(())
    }
}
