//! The files of a directory that the holder of its lock may rename, remove and write to.
//!
//! # Invariant
//!
//! Only two kinds of files belong to the holder: those that had a name of the store's format when it acquired the
//! lock, and those that it made since. The first kind includes what a crash has left: while no other process holds
//! the lock, no other program makes such files. A file that another process puts there later never belongs to the holder,
//! nor does one that replaces a file of the holder.
//!
//! While the holder renames or removes a file, neither name is its own. So another thread that compares the names
//! never finds one missing that is just being changed.

use std::collections::BTreeMap;

use super::{Displacement, FileKind, FileName};

/// The store's own names, each with the identity of the file that it leads to.
#[derive(Debug)]
pub(crate) struct Owned<Id>(BTreeMap<FileName, Id>);

impl<Id: Copy + PartialEq> Owned<Id> {
    /// Those that are there when the lock is acquired.
    pub(crate) fn new(files: impl IntoIterator<Item = (FileName, Id)>) -> Self {
        Self(files.into_iter().collect())
    }

    /// Returns whether `name`, which leads to `found`, is the store's.
    pub(crate) fn check(&self, name: FileName, found: Id) -> Result<(), Displacement> {
        match self.0.get(&name) {
            Some(own) if *own == found => Ok(()),
            Some(_) => Err(Displacement::Replaced),
            None => Err(Displacement::Planted),
        }
    }

    /// The store's manifests, with temporary ones. Leaves out numbers that the store cannot have come to: it ignores
    /// such files, and another program may remove them.
    pub(crate) fn manifests(&self) -> impl Iterator<Item = (FileName, Id)> {
        let first = |kind| FileName::new(kind, 0);
        let mut before = None;
        let mut is_near = move |name: &FileName| {
            let before = before.replace(name.number);
            before.is_none_or(|before| name.number - before <= FileName::FARTHEST + 1)
        };
        let manifests = self.0.range(first(FileKind::Manifest)..first(FileKind::Segment));
        manifests.map(|(name, id)| (*name, *id)).take_while(move |(name, _)| is_near(name))
    }

    /// The file that the store's `name` leads to; `None` if the name is not the store's.
    pub(crate) fn get(&self, name: FileName) -> Option<Id> {
        self.0.get(&name).copied()
    }

    /// Notes a file that the store has made.
    pub(crate) fn made(&mut self, name: FileName, id: Id) {
        self.0.insert(name, id);
    }

    /// Gives `name` up before the store renames or removes it, and returns the file that the name led to.
    pub(crate) fn given_up(&mut self, name: FileName) -> Option<Id> {
        self.0.remove(&name)
    }
}
