//! Records that are no leaves: trees that are created, sealed and dropped.
//!
//! They are few and short, and never wait for room.

use std::sync::Arc;

use super::insert::Intake;
use super::state::Ingest;
use crate::column::LeafWriter;
use crate::durability::DurabilityToken;
use crate::engine::Tree;
use crate::engine::shared::Engine;
use crate::error::Result;
use crate::ids::Seq;
use crate::tree_spec::TreeSpec;

impl Engine {
    /// Accepts a new tree, which `make` makes for the next id.
    pub(in crate::engine) fn accept_tree(
        &self,
        make: impl FnOnce(u64) -> Result<(Arc<Tree>, LeafWriter)>,
    ) -> Result<(Arc<Tree>, DurabilityToken)> {
        self.accept(|ingest| {
            let (tree, leaves) = make(ingest.accepted().next_tree)?;
            let seq = ingest.create(&tree, leaves);
            Ok((tree, Some(seq)))
        })
    }

    /// Accepts that `tree` takes no more leaves. Fails if it was dropped.
    pub(in crate::engine) fn accept_seal(&self, tree: &Arc<Tree>) -> Result<DurabilityToken> {
        self.accept(|ingest| Ok(((), ingest.seal(tree)?))).map(|((), token)| token)
    }

    /// Accepts that the tree of `spec` is gone.
    pub(in crate::engine) fn accept_drop(&self, spec: &Arc<TreeSpec>) -> Result<DurabilityToken> {
        self.accept(|ingest| Ok(((), Some(ingest.drop_tree(spec))))).map(|((), token)| token)
    }

    /// Has the store accept what `accept` does to it under the insertion lock. It returns the record's number,
    /// if it needs one.
    fn accept<T>(
        &self,
        accept: impl FnOnce(&mut Ingest) -> Result<(T, Option<Seq>)>,
    ) -> Result<(T, DurabilityToken)> {
        self.process.check()?;
        let mut ingest = self.inflow.lock();
        ingest.check()?;
        let (accepted, seq) = accept(&mut ingest)?;
        let seq = match seq {
            Some(_) => self.leave(ingest, Intake::Insert),
            // Done before: durable with everything that came up to now.
            None => ingest.accepted().seq,
        };
        Ok((accepted, self.token(seq)))
    }
}
