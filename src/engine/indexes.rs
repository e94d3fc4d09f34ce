//! Writes the indexes that parts lack: those of a tree that was given an index later, those that could not be written
//! with their part, and those that are damaged or were lost in a power cut.
//!
//! # Invariants
//!
//! - An index is written without any lock but that of the thread that writes indexes, and gets its name under the
//!   checkpoint lock, if its part is still live. So no index is left of a part that was removed.
//! - Nothing waits for an index, and a failure loses only the work: searches then read all leaves of the part. The other
//!   parts get theirs, and a failure that may go away is retried.
//! - A part that is installed without an index, and one whose index a search could not use, requests the work. So no part
//!   of a tree in use stays without an index while indexes can be written.
//! - While a checkpoint falls behind the inserts the work gives way to it. It ends early if the store closes or is
//!   poisoned.
//! - Nothing syncs an index. After the store was not closed cleanly, all bytes of an index that was there are compared
//!   with their checksums before it counts.

use std::sync::Arc;
use std::time::Instant;

use super::background::Job;
use super::shared::Engine;
use super::tree::Tree;
use crate::error::{Error, Result};
use crate::part::Part;
use crate::sync::Mutex;

impl Engine {
    /// Requests the indexes that the trees in use lack.
    pub(super) fn request_indexes(&self) {
        if self.catalog.awake().iter().any(|tree| tree.is_indexed()) {
            self.request_job(Job::Index);
        }
    }

    /// Requests the index of a part of `tree` that was just installed, if it has none.
    pub(super) fn request_index_of(&self, tree: &Tree, part: &Part) {
        if tree.is_indexed() && part.lacks_index() {
            self.request_job(Job::Index);
        }
    }

    /// Requests the indexes of `tree` again if a search could not use one of them, unless a retry is scheduled.
    pub(crate) fn mend_indexes(&self, tree: &Tree) {
        if tree.has_new_scans() && self.keeper.upkeep().may_request_indexes() {
            self.request_job(Job::Index);
        }
    }

    /// Writes indexes until no tree in use lacks one, or the store closes.
    pub(super) fn index_job(&self) {
        if !self.keeper.upkeep().take_indexes() {
            return;
        }
        let mut failure = None;
        for tree in self.catalog.awake().into_iter().filter(|tree| tree.is_indexed()) {
            match self.build_index(&tree) {
                Ok(()) => {}
                Err(error) if ends_work(&error) => return,
                Err(error) => {
                    tracing::warn!(%error, tree = %tree.name(), "cannot write the index of a part");
                    failure.get_or_insert(error);
                }
            }
        }
        self.keeper.upkeep().indexed(failure.as_ref(), self.settings.backoff, &self.log);
        // A part is read while its index is written.
        self.retry_strays();
    }

    /// Writes the indexes that the parts of `tree` lack. Returns the first failure once all parts were tried.
    pub(crate) fn build_index(&self, tree: &Arc<Tree>) -> Result<()> {
        tree.check_indexed()?;
        // Two threads would write one temporary file.
        let _only = self.keeper.indexing().lock();
        let mut result = Ok(());
        for part in tree.parts().parts() {
            match self.index_part(tree, part) {
                Err(error) if ends_work(&error) => return Err(error),
                done => result = result.and(done),
            }
        }
        result
    }

    /// Writes the index of `part`, if it lacks one.
    fn index_part(&self, tree: &Arc<Tree>, part: &Arc<Part>) -> Result<()> {
        let step = Mutex::new(Instant::now());
        let go_on = || {
            self.process.check()?;
            self.give_way(&step, false)
        };
        go_on()?;
        let number = part.reference().number;
        if number.0 < self.doubted_indexes {
            part.check_index(&go_on)?;
        }
        if !part.lacks_index() {
            return Ok(());
        }
        let written = part.write_index(&go_on);
        if matches!(written, Err(Error::Forked { .. })) {
            return written;
        }
        let live = self.keeper.lock();
        let mut parts = live.manifest().tree(tree.id()).into_iter().flat_map(|tree| &tree.parts);
        let is_live = parts.any(|live| live.number == number);
        let named = match (&written, is_live) {
            (Ok(()), true) => part.renew_index(),
            _ => Ok(()),
        };
        if written.is_err() || named.is_err() || !is_live {
            // The next open removes what stays.
            let _ = self.fs.remove(number.index_file().tmp());
        }
        written.and(named)
    }
}

/// Whether no index can be written after this failure.
fn ends_work(error: &Error) -> bool {
    matches!(error, Error::Closed | Error::Poisoned { .. } | Error::Forked { .. })
}
