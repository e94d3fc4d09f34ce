//! Leaves and entries from another copy of the store, for a repair.
//!
//! # Invariant
//!
//! A donor is not trusted. The [plan](super::plan) takes leaves from it only if they lead to an intact node above them,
//! or to the root in the manifest, and entries only if they hash to leaves that are trusted.

use std::fmt;
use std::ops::Range;
use std::path::Path;

use super::entries::Hashing;
use super::pass::TreeParts;
use crate::entry::{EntrySource, Erasures, Framing, StoredBundle};
use crate::error::{Damage, Error, Problem, Result};
use crate::ids::StoreId;
use crate::merkle::Hash;
use crate::part::RawPart;
use crate::tree_spec::TreeSpec;

/// Another copy of the store.
pub(crate) trait Donor: fmt::Debug + Send + Sync {
    /// The directory of the copy.
    fn path(&self) -> &Path;

    /// The id of the store that the copy is of.
    fn store(&self) -> StoreId;

    /// Copies the leaves from `first` on. Returns false if the copy does not have all of them, or has another tree in
    /// the place of this one.
    fn leaves(&self, spec: &TreeSpec, first: u64, out: &mut [Hash]) -> bool;

    /// Calls `out` with the framed entries `range`, in pieces of any length. Returns false if the copy does not have
    /// all of them.
    fn entries(&self, spec: &TreeSpec, range: Range<u64>, out: &mut dyn FnMut(&[u8])) -> bool;
}

/// One tree of a donor.
#[derive(Clone, Copy)]
pub(super) struct Donation<'a> {
    pub(super) donor: &'a dyn Donor,
    pub(super) spec: &'a TreeSpec,
}

impl Donation<'_> {
    pub(super) fn leaves(&self, range: Range<u64>, out: &mut [Hash]) -> bool {
        self.donor.leaves(self.spec, range.start, out)
    }

    /// As [`Donor::entries`], with an entry without data for each of `erasures`.
    fn entries(
        &self,
        framing: Framing,
        erasures: &Erasures,
        range: Range<u64>,
        out: &mut dyn FnMut(&[u8]),
    ) -> bool {
        let mut at = range.start;
        while at < range.end {
            if erasures.has(at) {
                out(framing.prefix(0).bytes());
                at += 1;
                continue;
            }
            let end = erasures.next(at).map_or(range.end, |next| next.min(range.end));
            if !self.donor.entries(self.spec, at..end, out) {
                return false;
            }
            at = end;
        }
        true
    }

    /// Whether the donor has entries that hash to `leaves`, which begin with leaf `first`. Erased entries count.
    pub(super) fn has_entries_of(
        &self,
        tree: &TreeParts,
        framing: Framing,
        first: u64,
        leaves: &[Hash],
    ) -> bool {
        let count = leaves.len() as u64;
        let mut hashing = Hashing::new(framing, &*tree.hasher, count);
        let range = first..first.saturating_add(count);
        if !self.entries(framing, &tree.erasures, range, &mut |bytes| hashing.add(bytes)) {
            return false;
        }
        hashing.finish().is_some_and(|hashes| {
            hashes.len() == leaves.len()
                && (first..)
                    .zip(hashes.iter().zip(leaves))
                    .all(|(index, (hash, leaf))| tree.erasures.has(index) || hash == leaf)
        })
    }
}

/// The entries of a part, some of them from a donor.
pub(super) struct Refilled<'a> {
    pub(super) tree: &'a TreeParts,
    pub(super) part: &'a RawPart,
    pub(super) framing: Framing,
    pub(super) donation: Donation<'a>,
    /// Whether a bundle comes from the donor.
    pub(super) is_taken: &'a (dyn Fn(u64) -> bool + Sync),
}

impl Refilled<'_> {
    /// Calls `out` with the entries of the one bundle `range`.
    fn read(&self, range: Range<u64>, out: &mut dyn FnMut(&[u8])) -> Result<()> {
        let bundle = range.start / crate::entry::BUNDLE;
        if !(self.is_taken)(bundle) {
            let raw = self.part.bundle(bundle).map_err(Error::Damaged)?;
            return self.part.read_bundle(&raw, out).map_err(Error::Damaged);
        }
        let path = self.donation.donor.path();
        match self.donation.entries(self.framing, &self.tree.erasures, range, out) {
            true => Ok(()),
            // It had them when the plan was made.
            false => Err(Error::Damaged(Damage::new(path, 0, Problem::Missing))),
        }
    }
}

impl EntrySource for Refilled<'_> {
    fn entry_bytes(&self, range: Range<u64>) -> Result<u64> {
        let mut len = 0;
        self.read(range, &mut |bytes| len += bytes.len() as u64)?;
        Ok(len)
    }

    fn read_entries(
        &self,
        range: Range<u64>,
        out: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        let mut written = Ok(());
        self.read(range, &mut |bytes| {
            if written.is_ok() {
                written = out(bytes);
            }
        })?;
        written
    }

    fn stored(&self, range: Range<u64>) -> Result<Option<StoredBundle>> {
        let bundle = range.start / crate::entry::BUNDLE;
        if (self.is_taken)(bundle) {
            return Ok(None);
        }
        let raw = self.part.bundle(bundle).map_err(Error::Damaged)?;
        self.part.stored_bundle(&raw).map_err(Error::Damaged)
    }
}
