//! Writes the indexes that parts lack: those of a tree that was given an index later, and those that are damaged or
//! were lost in a power cut.
//!
//! # Invariants
//!
//! - An index is written without any lock, and gets its name under the checkpoint lock, if its part is still live. So no
//!   index is left of a part that was removed.
//! - Nothing waits for an index, and a failure loses only the work: searches then read all leaves of the part.

use std::sync::Arc;

use super::background::Job;
use super::shared::Engine;
use super::tree::Tree;
use crate::error::{Error, Result};
use crate::part::Part;

impl Engine {
    /// Requests the indexes that the trees in use lack.
    pub(super) fn request_indexes(&self) {
        if self.catalog.awake().iter().any(|tree| tree.is_indexed()) {
            self.request_job(Job::Index);
        }
    }

    /// Writes indexes until no tree in use lacks one, the store closes, or one fails.
    pub(super) fn index_job(&self) {
        for tree in self.catalog.awake().into_iter().filter(|tree| tree.is_indexed()) {
            if let Err(error) = self.build_index(&tree) {
                if !matches!(error, Error::Closed) {
                    tracing::warn!(%error, tree = %tree.name(), "cannot write the index of a part");
                }
                return;
            }
        }
    }

    /// Writes the indexes that the parts of `tree` lack.
    pub(crate) fn build_index(&self, tree: &Arc<Tree>) -> Result<()> {
        self.process.check()?;
        tree.check_indexed()?;
        // Two threads would write one temporary file.
        let _only = self.keeper.indexing().lock();
        for part in tree.parts().parts() {
            self.inflow.check()?;
            if self.background.is_closing() {
                return Err(Error::Closed);
            }
            self.index_part(tree, part)?;
        }
        Ok(())
    }

    /// Writes the index of `part`, if it lacks one.
    fn index_part(&self, tree: &Arc<Tree>, part: &Arc<Part>) -> Result<()> {
        if !part.lacks_index() {
            return Ok(());
        }
        let written = part.write_index(&|| false);
        let live = self.keeper.lock();
        let number = part.reference().number;
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
