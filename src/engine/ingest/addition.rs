//! What an insert brings for one tree. Pure.

use std::sync::Arc;

use crate::engine::Fixed;
use crate::engine::tally::node_bytes;
use crate::error::{Error, Result};
use crate::merkle::Hash;

/// Leaves for one tree.
#[derive(Clone, Copy)]
pub(crate) struct Addition<'a> {
    pub(crate) tree: &'a Arc<Fixed>,
    pub(crate) leaves: &'a [Hash],
    /// What the leaves are the hashes of, in a tree that keeps entries. Else empty.
    pub(crate) entries: &'a [&'a [u8]],
}

impl Addition<'_> {
    /// Fails if the tree does not take the leaves or the entries.
    #[inline]
    pub(super) fn check(&self) -> Result<()> {
        if self.tree.framing.is_some() || !self.entries.is_empty() {
            self.check_entries()?;
        }
        let hasher = &self.tree.hasher;
        match hasher.first_refused(self.leaves) {
            None => Ok(()),
            Some(position) => Err(Error::LeafRefused {
                tree: self.tree.name().clone(),
                position,
                hasher: hasher.id().to_string(),
            }),
        }
    }

    #[cold]
    fn check_entries(&self) -> Result<()> {
        let tree = || self.tree.name().clone();
        let Some(kept) = self.tree.spec.entries else {
            return Err(Error::NoEntries { tree: tree() });
        };
        if self.entries.len() != self.leaves.len() {
            return Err(Error::EntryMissing { tree: tree() });
        }
        let longest = kept.longest_bytes();
        let too_long = |entry: &&[u8]| entry.len() as u64 > u64::from(longest);
        match self.entries.iter().position(too_long) {
            None => Ok(()),
            Some(position) => {
                let len = self.entries[position].len() as u64;
                Err(Error::EntryTooLong { tree: tree(), position, len, longest })
            }
        }
    }

    /// Bytes of the entries, with their lengths.
    #[inline]
    pub(super) fn entry_bytes(&self) -> u64 {
        let Some(framing) = self.tree.framing else { return 0 };
        self.entries.iter().map(|entry| framing.framed_len(entry.len()) as u64).sum()
    }

    /// Bytes of the leaves and the entries.
    #[inline]
    pub(super) fn bytes(&self) -> u64 {
        size_of_val(self.leaves) as u64 + self.entry_bytes()
    }

    /// Bytes of the leaves, their nodes and their entries.
    pub(super) fn node_bytes(&self) -> u64 {
        node_bytes(self.tree.arity, self.leaves.len() as u64).saturating_add(self.entry_bytes())
    }
}
