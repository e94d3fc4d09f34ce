//! Inserts leaves whose entries are erased from the beginning.
//!
//! # Invariants
//!
//! - The leaves and the record that erases their entries are accepted at one moment, under the insertion lock. So a
//!   crash leaves both or none.

use std::sync::Arc;

use super::addition::Addition;
use super::insert::Intake;
use crate::engine::Fixed;
use crate::engine::shared::Engine;
use crate::entry::Cause;
use crate::error::Result;
use crate::ids::Seq;
use crate::merkle::Hash;

impl Engine {
    /// Appends leaves whose entries are erased because of `cause`. Returns the index of the first and the sequence
    /// number. Other inserts wait while the leaves are copied.
    pub(in crate::engine) fn accept_erased(
        &self,
        tree: &Arc<Fixed>,
        leaves: &[Hash],
        cause: &Cause,
    ) -> Result<(u64, Seq)> {
        let entries = vec![&[][..]; leaves.len()];
        let addition = Addition { tree, leaves, entries: &entries };
        addition.check()?;
        let trees = || vec![tree.name().clone()];
        let mut ingest = self.enter(Intake::Insert, false, || addition.node_bytes(), &trees)?;
        let first = ingest.append_erased(&addition, cause)?;
        Ok((first, self.leave(ingest, Intake::Insert)))
    }
}
