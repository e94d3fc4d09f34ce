//! Everything on the simulated disk: files, names and directories. Cheap to clone, since the files
//! are shared until they change.
//!
//! # Invariant
//!
//! `names` is an index of the current names in `files` and agrees with them after every call.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use super::choice::{Chooser, CrashChoice, Stamp};
use super::image::Image;
use super::inode::Inode;
use super::names;
use super::names::Names;
use crate::fs::{Dir, Entry, FileName};

/// A file's identity, apart from its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct InodeId(u64);

#[derive(Clone, Debug, Default)]
pub(super) struct Contents {
    files: BTreeMap<InodeId, Arc<Inode>>,
    names: BTreeMap<FileName, InodeId>,
    /// The directories that were made, and by which operation if that is not durable.
    dirs: BTreeMap<Dir, Option<Stamp>>,
    next: u64,
}

impl Contents {
    pub(super) fn has_dir(&self, dir: Dir) -> io::Result<()> {
        if self.dirs.contains_key(&dir) { Ok(()) } else { Err(io::ErrorKind::NotFound.into()) }
    }

    pub(super) fn find(&self, name: FileName) -> io::Result<InodeId> {
        self.names.get(&name).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// A file that is there as long as it has a name or a handle.
    pub(super) fn file(&self, id: InodeId) -> io::Result<&Inode> {
        self.files.get(&id).map(|file| &**file).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    pub(super) fn file_mut(&mut self, id: InodeId) -> io::Result<&mut Inode> {
        self.files.get_mut(&id).map(Arc::make_mut).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// The names there are, in order.
    pub(super) fn names(&self) -> impl Iterator<Item = FileName> {
        self.names.keys().copied()
    }

    /// The names there are, and the files they lead to.
    pub(super) fn files(&self) -> impl Iterator<Item = (FileName, InodeId)> {
        self.names.iter().map(|(name, id)| (*name, *id))
    }

    pub(super) fn list(&self, dir: Dir) -> Vec<Entry> {
        let here = self.names.iter().filter(|(name, _)| name.dir() == dir);
        here.filter_map(|(name, id)| Some(Entry::File(*name, self.files.get(id)?.cache().len())))
            .collect()
    }

    /// The room all named files take, in bytes.
    pub(super) fn used(&self) -> u64 {
        let files = self.names.values().filter_map(|id| self.files.get(id));
        files.map(|file| file.space()).fold(0, u64::saturating_add)
    }

    pub(super) fn create(&mut self, stamp: Stamp, name: FileName) -> io::Result<InodeId> {
        self.has_dir(name.dir())?;
        if self.names.contains_key(&name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        Ok(self.add(Inode::new(Names::created(stamp, name), Image::default()), name))
    }

    pub(super) fn rename(&mut self, stamp: Stamp, from: FileName, to: FileName) -> io::Result<()> {
        if from.dir() != to.dir() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let id = self.find(from)?;
        if self.names.contains_key(&to) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.file_mut(id)?.names.change(stamp, Some(to));
        self.names.remove(&from);
        self.names.insert(to, id);
        Ok(())
    }

    pub(super) fn remove(&mut self, stamp: Stamp, name: FileName) -> io::Result<()> {
        let id = self.find(name)?;
        self.file_mut(id)?.names.change(stamp, None);
        self.names.remove(&name);
        Ok(())
    }

    /// Makes those missing directories that `chooser` picks.
    pub(super) fn make_dirs(&mut self, stamp: Stamp, chooser: &mut Chooser) {
        for dir in [Dir::Root].into_iter().chain(Dir::INNER) {
            let possible = dir == Dir::Root || self.dirs.contains_key(&Dir::Root);
            if possible && chooser.coin() {
                self.dirs.entry(dir).or_insert(Some(stamp));
            }
        }
    }

    /// Makes the directories durable that are there.
    pub(super) fn sync_dirs(&mut self) {
        for unsynced in self.dirs.values_mut() {
            *unsynced = None;
        }
    }

    /// Decides what becomes durable of the changes of names in `dir` made before `before`.
    pub(super) fn settle_dir(&mut self, dir: Dir, before: Stamp, chooser: &mut Chooser) {
        chooser.next_group();
        for file in self.files.values_mut() {
            if file.names.last().dir() == dir && file.names.unsynced().next().is_some() {
                Arc::make_mut(file).names.settle(before, chooser);
            }
        }
        if dir == Dir::Root {
            for unsynced in self.dirs.values_mut() {
                if unsynced.is_some_and(|stamp| stamp < before) && chooser.coin() {
                    *unsynced = None;
                }
            }
        }
    }

    /// Forgets files that cannot be found again.
    pub(super) fn sweep(&mut self, is_open: impl Fn(InodeId) -> bool) {
        self.files.retain(|id, file| file.names.may_be_found() || is_open(*id));
    }

    /// Puts a file there, synced and with a durable name, in place of one of that name.
    pub(super) fn put(&mut self, stamp: Stamp, name: FileName, bytes: &[u8]) {
        self.erase(name);
        for dir in [Dir::Root, name.dir()] {
            self.dirs.insert(dir, None);
        }
        self.add(Inode::new(Names::durable(stamp, name), Image::from_bytes(bytes)), name);
    }

    /// Takes a file away as if it had never been there.
    pub(super) fn erase(&mut self, name: FileName) -> bool {
        let found = self.names.remove(&name);
        found.is_some_and(|id| self.files.remove(&id).is_some())
    }

    fn add(&mut self, file: Inode, name: FileName) -> InodeId {
        let id = InodeId(self.next);
        self.next += 1;
        self.files.insert(id, Arc::new(file));
        self.names.insert(name, id);
        id
    }

    pub(super) fn chooser(&self, choice: CrashChoice) -> Chooser {
        Chooser::new(choice, || self.unsynced())
    }

    /// The stamps of all changes that are not synced.
    fn unsynced(&self) -> impl Iterator<Item = Stamp> {
        let files = self.files.values();
        let stamps = files.flat_map(|file| file.unsynced().chain(file.names.unsynced()));
        stamps.chain(self.dirs.values().flatten().copied())
    }

    /// What is left after a power cut, on a disk that has seen no operation yet.
    pub(super) fn after_crash(&self, choice: CrashChoice) -> Self {
        let mut chooser = self.chooser(choice);
        let mut dirs = self.dirs.clone();
        dirs.retain(|_, unsynced| {
            let unsynced: Vec<_> = unsynced.iter().map(|stamp| (*stamp, ())).collect();
            unsynced.is_empty() || chooser.state(&unsynced).is_some()
        });
        if !dirs.contains_key(&Dir::Root) {
            dirs.clear();
        }
        let mut left = Self { dirs, next: self.next, ..Self::default() };
        let files: Vec<_> = self.files.iter().map(|(id, file)| (*id, &file.names)).collect();
        for (id, name) in names::after_crash(&files, &mut chooser) {
            if let Some(file) = self.files.get(&id)
                && left.dirs.contains_key(&name.dir())
            {
                let file = file.after_crash(Names::durable(0, name), &mut chooser);
                left.files.insert(id, Arc::new(file));
                left.names.insert(name, id);
            }
        }
        for made in left.dirs.values_mut() {
            *made = None;
        }
        left
    }
}
