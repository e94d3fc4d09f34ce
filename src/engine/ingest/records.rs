//! Records without leaves: trees that are created, sealed, indexed and dropped, entries that are erased, and marks.
//!
//! Such records are few and short, and never wait for room.

use std::ops::Range;
use std::sync::Arc;

use super::insert::Intake;
use super::state::{Ingest, Rewinding};
use crate::column::LeafWriter;
use crate::durability::DurabilityToken;
use crate::engine::shared::Engine;
use crate::engine::{Fixed, Tree};
use crate::entry::Cause;
use crate::error::Result;
use crate::ids::Seq;
use crate::mark::{Mark, MarkName};
use crate::sync;
use crate::tree_spec::TreeSpec;

impl Engine {
    /// Accepts a new tree, with an index if it is `indexed`. `make` makes the tree for the next id.
    pub(in crate::engine) fn accept_tree(
        &self,
        make: impl FnOnce(u64) -> Result<(Arc<Tree>, LeafWriter)>,
        indexed: bool,
    ) -> Result<(Arc<Tree>, DurabilityToken)> {
        self.accept(|ingest| {
            let (tree, leaves) = make(ingest.accepted().next_tree)?;
            let mut seq = Some(ingest.create(&tree, leaves));
            if indexed {
                seq = ingest.add_index(&tree)?.or(seq);
            }
            Ok((tree, seq))
        })
    }

    /// Accepts a record that seals `tree`. Fails if the tree was dropped.
    pub(in crate::engine) fn accept_seal(&self, tree: &Fixed) -> Result<DurabilityToken> {
        self.accept(|ingest| Ok(((), ingest.seal(tree)?))).map(|((), token)| token)
    }

    /// Accepts a record that gives `tree` an index. Fails if the tree was dropped.
    pub(in crate::engine) fn accept_index(&self, tree: &Fixed) -> Result<DurabilityToken> {
        self.accept(|ingest| Ok(((), ingest.add_index(tree)?))).map(|((), token)| token)
    }

    /// Accepts a record that drops the tree of `spec`, which had so many ranges of erased entries.
    pub(in crate::engine) fn accept_drop(
        &self,
        spec: &Arc<TreeSpec>,
        erased_ranges: u64,
    ) -> Result<DurabilityToken> {
        self.accept(|ingest| Ok(((), Some(ingest.drop_tree(spec, erased_ranges)))))
            .map(|((), token)| token)
    }

    /// Accepts a record that erases the entries `ranges` of `tree`, which are in order.
    pub(in crate::engine) fn accept_erasure(
        &self,
        tree: &Fixed,
        ranges: &[Range<u64>],
        cause: &Cause,
    ) -> Result<DurabilityToken> {
        self.accept(|ingest| Ok(((), ingest.erase(tree, ranges, cause)?))).map(|((), token)| token)
    }

    /// Accepts a record that gives the sizes of all trees a name.
    pub(in crate::engine) fn accept_mark(&self, name: &MarkName) -> Result<DurabilityToken> {
        self.accept(|ingest| Ok(((), Some(ingest.mark(name)?)))).map(|((), token)| token)
    }

    /// Accepts a record that removes a mark.
    pub(in crate::engine) fn accept_unmark(&self, name: &MarkName) -> Result<DurabilityToken> {
        self.accept(|ingest| Ok(((), Some(ingest.unmark(name)?)))).map(|((), token)| token)
    }

    /// Accepts one record that rewinds trees, to the sizes that they had at `mark` if there is one. Returns its number and
    /// the marks that go, or `None` if the states of the trees are no longer those that were to be rewound, or if a tree
    /// would be left out. Waits for a large batch.
    pub(in crate::engine) fn accept_rewind(
        &self,
        all: Vec<Rewinding>,
        mark: Option<&Arc<Mark>>,
    ) -> Result<Option<(Seq, Vec<MarkName>)>> {
        let mut ingest = self.inflow.lock();
        ingest.check()?;
        while ingest.copying {
            ingest = self.inflow.wait(ingest, None)?;
        }
        for Rewinding { before, size, .. } in &all {
            ingest.check_rewind(before, *size)?;
        }
        let current = all.iter().all(|rewinding| ingest.is_current(&rewinding.before));
        if !current || mark.is_some_and(|mark| !ingest.is_behind_mark(mark, &all)) {
            return Ok(None);
        }
        let cuts = all.iter().map(|all| (all.before.id(), all.before.name().clone(), all.size));
        let cuts = cuts.collect();
        let accepted = ingest.rewind(all, |seq| {
            if !sync::defect("a rewind is not noted for the tokens of the leaves that it drops") {
                self.log.note_rewind(seq, cuts);
            }
        });
        Ok(Some(accepted))
    }

    /// Runs `accept` under the insertion lock. `accept` returns the number of its record, or `None` if no record
    /// was needed.
    fn accept<T>(
        &self,
        accept: impl FnOnce(&mut Ingest) -> Result<(T, Option<Seq>)>,
    ) -> Result<(T, DurabilityToken)> {
        let mut ingest = self.inflow.lock();
        ingest.check_accepts()?;
        let (accepted, seq) = accept(&mut ingest)?;
        let seq = match seq {
            Some(_) => self.leave(ingest, Intake::Insert),
            // An earlier record did the same: it is durable with everything accepted so far.
            None => ingest.accepted().seq,
        };
        Ok((accepted, self.token(seq)))
    }
}
