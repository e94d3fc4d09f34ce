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
use crate::ids::Seq;
use crate::ids::{SegmentId, StoreId};
use crate::merkle::{Arity, Hasher};
use crate::wal::frame::{Frame, GroupEnd, GroupHeader};
use crate::wal::{Log, Position, Purpose, Replayed, replay_read_only};

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
    pub(crate) end: Position,
    seq: Seq,
    known: Known,
}

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
    /// Reads what was written since: the rest of the log, or everything again if there is a new manifest.
    pub(crate) fn refresh(&mut self, config: &Config) -> Result<()> {
        let fs = Arc::clone(&self.fs);
        let store = self.store;
        check_place(config, &*fs, store)?;
        let newest = || newest_of(config, &*fs, store).map(|manifest| manifest.number);
        if newest()? == self.manifest && self.read_on(&*fs).is_ok() && newest()? == self.manifest {
            return Ok(());
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
        let (columns, leaves, nodes) =
            resume(Layout::new(arity).huge_pages(config.huge_pages), entry.size, &parts)?;
        let tree = Tree::new(entry.id, entry.name.clone(), hasher, columns, nodes);
        // Another thread of the parent may hold a lock of it while a child is forked.
        let tree = Arc::new(tree.only_in(this_process(config)?));
        check_root(&**fs, manifest, entry, &tree)?;
        let known =
            Known { durable: entry.size, below: manifest.log.open.group.0, later: VecDeque::new() };
        let mut followed = Self {
            tree,
            fs: Arc::clone(fs),
            store: manifest.store,
            manifest: manifest.number,
            leaves,
            end: manifest.log.open,
            seq: manifest.log.seq,
            known,
        };
        followed.replay(&**fs, &manifest.log, Purpose::First)?;
        Ok(followed)
    }

    fn read_on(&mut self, fs: &dyn FileSystem) -> Result<()> {
        let log = Log { closed: Vec::new(), open: self.end, seq: self.seq, clean: false };
        self.replay(fs, &log, Purpose::Onward)
    }

    fn replay(&mut self, fs: &dyn FileSystem, log: &Log, purpose: Purpose) -> Result<()> {
        let files = files::files(fs, Dir::Wal)?;
        let ids: Vec<SegmentId> =
            files.complete.iter().map(|(name, _)| files::segment_id(*name)).collect();
        let (id, leaves, known) = (self.tree.id, &mut self.leaves, &mut self.known);
        let Replayed { end, seq, clean, .. } =
            replay_read_only(fs, self.store, log, &ids, purpose, &mut |header, frame| {
                let Frame::Leaves { tree, first, leaves: found } = frame else {
                    known.group(header, leaves.len());
                    return Ok(());
                };
                let (path, at) = (fs.display(header.segment.file()), header.offset.0);
                if *tree != id {
                    return Err(Damage::field(&path, at, "tree number", id.0, tree.0).into());
                }
                if *first != leaves.len() {
                    let damage = Damage::field(&path, at, "leaf index", leaves.len(), first);
                    return Err(Error::Damaged(damage));
                }
                leaves.append(found);
                known.group(header, leaves.len());
                Ok(())
            })?;
        (self.end, self.seq) = (end, seq);
        if clean {
            self.known.below = end.group.0;
            self.known.settle();
        }
        self.tree.set_durable(self.known.durable);
        Ok(())
    }
}
