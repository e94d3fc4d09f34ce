//! Erases entries: accepts the record of it. Inserts leaves whose entries are erased elsewhere.
//!
//! # Invariants
//!
//! - Before the record is accepted, the store stops to reuse and remove files as they are: from then on the log's
//!   released segments and the parts that are replaced may hold data that is erased.

use std::sync::Arc;
use std::time::SystemTime;

use super::ingest::{Addition, Intake};
use super::shared::Engine;
use super::tree::Fixed;
use crate::durability::DurabilityToken;
use crate::entry::{Cause, EntryRanges, erasure};
use crate::error::{Error, Result};
use crate::merkle::Hash;

impl Engine {
    /// Erases entries of `tree`. The token resolves once that is durable.
    pub(crate) fn erase(
        &self,
        tree: &Arc<Fixed>,
        entries: EntryRanges,
        reason: &str,
    ) -> Result<DurabilityToken> {
        check(tree, reason)?;
        let ranges = erasure::in_order(entries.into_ranges()).ok_or(Error::NothingToErase)?;
        if ranges.len() > erasure::MOST_RANGES {
            let (found, most) = (ranges.len() as u64, erasure::MOST_RANGES as u64);
            return Err(Error::TooManyErasures { found, most });
        }
        self.keeper.unerased().end();
        self.log.begin_erasing();
        self.accept_erasure(tree, &ranges, &Cause::now(reason))
    }

    /// Appends leaves whose entries are erased from the beginning, since `at`. Returns the index of the first. The
    /// token resolves once all of them are durable.
    pub(crate) fn insert_erased(
        &self,
        tree: &Arc<Fixed>,
        leaves: &[Hash],
        at: SystemTime,
        reason: &str,
    ) -> Result<(u64, DurabilityToken)> {
        check(tree, reason)?;
        if leaves.is_empty() {
            let (first, seq) =
                self.insert(Addition { tree, leaves, entries: &[] }, Intake::Insert)?;
            return Ok((first, self.token(seq)));
        }
        self.keeper.unerased().end();
        self.log.begin_erasing();
        let (first, seq) = self.accept_erased(tree, leaves, &Cause::at(at, reason))?;
        Ok((first, self.token_of_leaf(seq, tree.id(), first + leaves.len() as u64)))
    }
}

/// Fails if no entry of `tree` can be erased for this reason.
fn check(tree: &Fixed, reason: &str) -> Result<()> {
    if tree.framing.is_none() {
        return Err(Error::NoEntries { tree: tree.name().clone() });
    }
    match erasure::reason_fault(reason) {
        Some(fault) => Err(Error::EraseReason { fault }),
        None => Ok(()),
    }
}
