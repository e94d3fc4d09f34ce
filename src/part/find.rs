//! Finds leaves of a part by their hash.
//!
//! # Invariants
//!
//! - An answer has every leaf of the part that is asked for, and no other. If the index is missing, damaged or cannot be
//!   read, the leaves are read one after the other. So nothing that is wrong with an index fails a question.
//! - The index is looked for at the first question. Its absence and its damage are remembered until
//!   [`Part::renew_index`] or [`Part::look_again_for_index`].

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use super::finder::{Known, Scans, State};
use super::index_file::{IndexFile, IndexIdentity, write_index};
use super::reader::Part;
use crate::error::{Error, ReadError, Result};
use crate::merkle::{Hash, Level, NodeIndex, NodeSource};

/// Leaves that a search without an index reads at a time.
const STEP: usize = 4096;
/// Blocks of an index that are checked between two calls of `go_on`: 1 MiB.
const CHECKED_AT_ONCE: u64 = 256;

/// An open index, and its generation.
pub(super) type Opened = (u64, Arc<IndexFile>);

impl Part {
    /// The index, if the part has a useful one. Opens it the first time.
    pub(super) fn index(&self) -> Option<Opened> {
        let Known { generation, state } = self.finder.known();
        match state {
            State::Open(index) => return Some((generation, index)),
            State::Useless => return None,
            State::Unknown => {}
        }
        let expected = IndexIdentity::of(self.identity(), &self.reference());
        match IndexFile::open(&self.finder.fs, &expected, self.finder.mode) {
            Ok(Some(index)) => {
                let index = Arc::new(index);
                self.finder.settle(generation, State::Open(Arc::clone(&index)));
                Some((generation, index))
            }
            Ok(None) => {
                self.finder.settle(generation, State::Useless);
                None
            }
            Err(error) => {
                self.give_up_index(generation, &error);
                None
            }
        }
    }

    fn give_up_index(&self, generation: u64, error: &Error) {
        tracing::warn!(%error, part = %self.reference().number, "the index of a part cannot be used");
        self.finder.settle(generation, State::Useless);
    }

    /// Whether a search has to read all leaves.
    pub(crate) fn lacks_index(&self) -> bool {
        self.index().is_none()
    }

    /// Has the next question look for an index that was missing or damaged. Another process may have written it.
    pub(crate) fn look_again_for_index(&self) {
        let Known { generation, state } = self.finder.known();
        if matches!(state, State::Useless) {
            self.finder.forget(generation);
        }
    }

    /// Compares every block of the index with its checksum, and gives the index up if one is damaged. `go_on` is asked
    /// from time to time, and its error ends the work.
    pub(crate) fn check_index(&self, go_on: &dyn Fn() -> Result<()>) -> Result<()> {
        let Some((generation, index)) = self.index() else { return Ok(()) };
        for number in index.blocks() {
            if number % CHECKED_AT_ONCE == 1 {
                go_on()?;
            }
            if let Err(error) = index.check(number) {
                self.give_up_index(generation, &error.into());
                break;
            }
        }
        Ok(())
    }

    /// Writes the index again, under its temporary name. `go_on` is asked from time to time, and its error ends the
    /// work.
    pub(crate) fn write_index(&self, go_on: &dyn Fn() -> Result<()>) -> Result<()> {
        let fs = &*self.finder.fs;
        let identity = IndexIdentity::fresh(fs, self.identity(), &self.reference())?;
        write_index(fs, &identity, self, &|| false, go_on)
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
        self.finder.renew();
        renamed.map_err(|error| Error::io("rename", fs.display(name.tmp()), error))
    }

    /// The first leaves of the part that are equal to `leaf` and have an index below `end`, at most `most` of them.
    pub(crate) fn find(
        &self,
        leaf: &Hash,
        end: u64,
        most: usize,
        scans: &Scans,
    ) -> Result<Vec<u64>, ReadError> {
        self.find_with(self.index(), leaf, end, most, scans)
    }

    /// As [`find`](Self::find), with the index of the part if it has one.
    pub(super) fn find_with(
        &self,
        index: Option<Opened>,
        leaf: &Hash,
        end: u64,
        most: usize,
        scans: &Scans,
    ) -> Result<Vec<u64>, ReadError> {
        let end = end.min(self.reference().to);
        if let Some(mut hits) = self.look_up(index, leaf, most)? {
            hits.retain(|hit| *hit < end);
            return Ok(hits);
        }
        let mut hits = Vec::new();
        self.search(end, scans, |index, found| {
            if found == leaf {
                hits.push(index);
            }
            hits.len() < most
        })?;
        Ok(hits)
    }

    /// For each of `leaves`, which are different, that has no `first` yet: the first leaf of the part that is equal to it
    /// and has an index below `end`. Without an index the leaves of the part are read once for all of them.
    pub(crate) fn find_each(
        &self,
        leaves: &[Hash],
        first: &mut [Option<u64>],
        end: u64,
        scans: &Scans,
    ) -> Result<(), ReadError> {
        let end = end.min(self.reference().to);
        let opened = self.index();
        // All filters are asked first: the processor then waits for many of their lines at once. A filter that cannot be
        // read rules out nothing. The search below handles that.
        let possible = opened.as_ref().and_then(|(_, index)| index.may_contain_each(leaves).ok());
        for (at, leaf) in leaves.iter().enumerate() {
            let ruled_out = possible.as_ref().is_some_and(|possible| !possible[at]);
            if ruled_out || first[at].is_some() {
                continue;
            }
            let Some(hits) = self.look_up(opened.clone(), leaf, 1)? else {
                return self.search_each(leaves, first, end, scans);
            };
            first[at] = hits.into_iter().find(|hit| *hit < end);
        }
        Ok(())
    }

    /// As [`find_each`](Self::find_each), without an index.
    fn search_each(
        &self,
        leaves: &[Hash],
        first: &mut [Option<u64>],
        end: u64,
        scans: &Scans,
    ) -> Result<(), ReadError> {
        let open = leaves.iter().zip(first).filter(|(_, first)| first.is_none());
        let mut open: HashMap<&Hash, &mut Option<u64>> = open.collect();
        // To compare one leaf with another costs less than to look it up.
        let only = if open.len() == 1 { open.keys().next().map(|only| **only) } else { None };
        self.search(end, scans, |index, found| {
            if only.is_none_or(|only| only == *found)
                && let Some(first) = open.remove(found)
            {
                *first = Some(index);
            }
            !open.is_empty()
        })
    }

    /// The first leaves of the part that are equal to `leaf`, at most `most` of them, by the `index`. `None` if there is no
    /// useful one.
    fn look_up(
        &self,
        mut index: Option<Opened>,
        leaf: &Hash,
        most: usize,
    ) -> Result<Option<Vec<u64>>, ReadError> {
        let first = self.reference().from;
        let is_leaf = |offset: u64| {
            let mut found = [[0; 32]];
            self.read_file(Level::LEAVES, first + offset, &mut found)?;
            Ok(found[0] == *leaf)
        };
        // The file may have been replaced by another one since it was opened.
        for last_try in [false, true] {
            let Some((generation, opened)) = index else { return Ok(None) };
            let found = opened.find_all(leaf, is_leaf).map(|hit| hit.map(|offset| first + offset));
            match found.take(most).collect() {
                Ok(hits) => return Ok(Some(hits)),
                Err(error) if !is_of(&error, opened.path()) => return Err(error),
                Err(error) if last_try => self.give_up_index(generation, &error.into()),
                Err(_) => self.finder.forget(generation),
            }
            index = self.index();
        }
        Ok(None)
    }

    /// Calls `each` with the leaves of the part below `end`, one after the other, until it returns false.
    fn search(
        &self,
        end: u64,
        scans: &Scans,
        mut each: impl FnMut(u64, &Hash) -> bool,
    ) -> Result<(), ReadError> {
        scans.add_one();
        let end = end.min(self.reference().to);
        let mut leaves = vec![[0; 32]; STEP];
        let mut at = self.reference().from;
        while at < end {
            let wanted = usize::try_from(end - at).unwrap_or(STEP).min(STEP);
            let read = self.read(Level::LEAVES, at, &mut leaves[..wanted])?;
            if !(at..).zip(&leaves[..read]).all(|(index, leaf)| each(index, leaf)) {
                break;
            }
            at += read as u64;
        }
        Ok(())
    }
}

/// Whether this is an error of the file `path`.
fn is_of(error: &ReadError, path: &Path) -> bool {
    match error {
        ReadError::Damaged(damage) => damage.file == path,
        ReadError::Failed(error) => matches!(&**error, Error::Io { path: of, .. } if of == path),
        ReadError::Absent { .. } => false,
    }
}

/// The nodes of one part, those that nothing reads included.
impl NodeSource for Part {
    type Error = ReadError;

    fn read_nodes(
        &self,
        level: Level,
        first: NodeIndex,
        out: &mut [Hash],
    ) -> Result<(), ReadError> {
        let read = self.read_file(level, first.0, out)?;
        let at = first.0 + read as u64;
        if read == out.len() { Ok(()) } else { Err(ReadError::Absent { level, at }) }
    }
}
