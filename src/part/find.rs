//! Finds leaves of a part by their hash.
//!
//! # Invariants
//!
//! - An answer has every leaf of the part that is asked for, and no other. If the index is missing, or a block of it is
//!   damaged, the leaves are read one after the other.
//! - The index is looked for at the first question. Until [`Part::renew_index`] its absence and its damage are
//!   remembered.

use std::sync::{Arc, PoisonError, RwLock};

use super::index_file::{IndexFile, IndexIdentity, write_index};
use super::reader::Part;
use crate::config::ReadMode;
use crate::error::{Error, ReadError, Result};
use crate::fs::FileSystem;
use crate::merkle::{Hash, Level, NodeIndex, NodeSource};

/// Leaves that a search without an index reads at a time.
const STEP: usize = 4096;

/// The index of a part, as far as it is known.
#[derive(Debug)]
pub(super) struct Finder {
    fs: Arc<dyn FileSystem>,
    mode: ReadMode,
    state: RwLock<State>,
}

#[derive(Clone, Debug)]
enum State {
    Unknown,
    /// It is missing or damaged.
    Useless,
    Open(Arc<IndexFile>),
}

impl Finder {
    pub(super) fn new(fs: &Arc<dyn FileSystem>, mode: ReadMode) -> Self {
        Self { fs: Arc::clone(fs), mode, state: RwLock::new(State::Unknown) }
    }

    fn state(&self) -> State {
        self.state.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, state: State) {
        *self.state.write().unwrap_or_else(PoisonError::into_inner) = state;
    }

    /// Keeps an open index readable after its name is removed.
    pub(super) fn keep(&self) -> Result<()> {
        match self.state() {
            State::Open(index) => index.keep(),
            State::Unknown | State::Useless => Ok(()),
        }
    }
}

impl Part {
    /// The index, if the part has a useful one. Opens it the first time.
    fn index(&self) -> Option<Arc<IndexFile>> {
        match self.finder.state() {
            State::Open(index) => return Some(index),
            State::Useless => return None,
            State::Unknown => {}
        }
        let expected = IndexIdentity::of(self.identity(), &self.reference());
        match IndexFile::open(&self.finder.fs, &expected, self.finder.mode) {
            Ok(Some(index)) => {
                let index = Arc::new(index);
                self.finder.set(State::Open(Arc::clone(&index)));
                Some(index)
            }
            Ok(None) => {
                self.finder.set(State::Useless);
                None
            }
            Err(error) => {
                self.give_up_index(&error);
                None
            }
        }
    }

    fn give_up_index(&self, error: &Error) {
        tracing::warn!(%error, part = %self.reference().number, "the index of a part cannot be used");
        self.finder.set(State::Useless);
    }

    /// Whether a search has to read all leaves.
    pub(crate) fn lacks_index(&self) -> bool {
        self.index().is_none()
    }

    /// Writes the index again, under its temporary name. `hurry` as in [`write_index`].
    pub(crate) fn write_index(&self, hurry: &dyn Fn() -> bool) -> Result<()> {
        let fs = &*self.finder.fs;
        let identity = IndexIdentity::fresh(fs, self.identity(), &self.reference())?;
        write_index(fs, &identity, self, hurry)
    }

    /// Gives the index that [`write_index`](Self::write_index) wrote its name, in the place of an old one, and uses it.
    pub(crate) fn renew_index(&self) -> Result<()> {
        let fs = &*self.finder.fs;
        let name = self.reference().number.index_file();
        match fs.remove(name) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::io("remove", fs.display(name), error));
            }
            _ => {}
        }
        let renamed = fs.rename(name.tmp(), name);
        renamed.map_err(|error| Error::io("rename", fs.display(name.tmp()), error))?;
        self.finder.set(State::Unknown);
        Ok(())
    }

    /// The first leaves of the part that are equal to `leaf` and have an index below `end`, at most `most` of them.
    pub(crate) fn find(&self, leaf: &Hash, end: u64, most: usize) -> Result<Vec<u64>, ReadError> {
        let first = self.reference().from;
        let end = end.min(self.reference().to);
        if let Some(index) = self.index() {
            let is_leaf = |offset: u64| {
                let mut found = [[0; 32]];
                self.read(Level::LEAVES, first + offset, &mut found)?;
                Ok(found[0] == *leaf)
            };
            let mut hits = Vec::new();
            let found = index.find_all(leaf, is_leaf).map(|hit| hit.map(|offset| first + offset));
            let collected = found.take(most).try_for_each(|hit| {
                hits.push(hit?);
                Ok(())
            });
            match collected {
                Ok(()) => {
                    hits.retain(|hit| *hit < end);
                    return Ok(hits);
                }
                Err(ReadError::Damaged(damage)) if damage.file == index.path() => {
                    self.give_up_index(&Error::Damaged(damage));
                }
                Err(error) => return Err(error),
            }
        }
        self.search(leaf, end, most)
    }

    /// As [`find`](Self::find), without an index.
    fn search(&self, leaf: &Hash, end: u64, most: usize) -> Result<Vec<u64>, ReadError> {
        let mut hits = Vec::new();
        let mut leaves = vec![[0; 32]; STEP];
        let mut at = self.reference().from;
        while at < end && hits.len() < most {
            let wanted = usize::try_from(end - at).unwrap_or(STEP).min(STEP);
            let read = self.read(Level::LEAVES, at, &mut leaves[..wanted])?;
            let equal = (at..).zip(&leaves[..read]).filter(|(_, found)| *found == leaf);
            hits.extend(equal.map(|(index, _)| index).take(most - hits.len()));
            at += read as u64;
        }
        Ok(hits)
    }
}

/// The nodes of one part.
impl NodeSource for Part {
    type Error = ReadError;

    fn read_nodes(
        &self,
        level: Level,
        first: NodeIndex,
        out: &mut [Hash],
    ) -> Result<(), ReadError> {
        let read = self.read(level, first.0, out)?;
        let at = first.0 + read as u64;
        if read == out.len() { Ok(()) } else { Err(ReadError::Absent { level, at }) }
    }
}
