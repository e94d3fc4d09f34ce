//! Records without leaves: trees that are created, sealed, indexed and dropped, entries that are erased, and marks.
//!
//! Such records are few and short, and never wait for room.

use std::ops::Range;
use std::sync::Arc;

use super::insert::Intake;
use super::state::{Ingest, Rewinding};
use crate::column::LeafWriter;
use crate::durability::DurabilityToken;
use crate::engine::catalog::Slot;
use crate::engine::shared::Engine;
use crate::engine::{Fixed, Tree};
use crate::entry::Cause;
use crate::error::{Error, Result};
use crate::ids::Seq;
use crate::mark::{Mark, MarkName};
use crate::sync;

impl Engine {
    /// Accepts a new tree with the number `id`, and with an index if it is `indexed`. `None` if another tree has got the number
    /// meanwhile.
    pub(in crate::engine) fn accept_tree(
        &self,
        id: u64,
        tree: &Arc<Tree>,
        leaves: LeafWriter,
        indexed: bool,
    ) -> Result<Option<DurabilityToken>> {
        let accepted = self.accept(|ingest| {
            if ingest.accepted().next_tree != id {
                return Ok((false, None));
            }
            let mut seq = Some(ingest.create(tree, leaves));
            if indexed {
                seq = ingest.add_index(tree)?.or(seq);
            }
            Ok((true, seq))
        });
        accepted.map(|(is_next, token)| is_next.then_some(token))
    }

    /// Accepts a record that seals `tree`. Fails if the tree was dropped.
    pub(in crate::engine) fn accept_seal(&self, tree: &Fixed) -> Result<DurabilityToken> {
        self.accept(|ingest| Ok(((), ingest.seal(tree)?))).map(|((), token)| token)
    }

    /// Accepts a record that gives `tree` an index. Fails if the tree was dropped.
    pub(in crate::engine) fn accept_index(&self, tree: &Fixed) -> Result<DurabilityToken> {
        self.accept(|ingest| Ok(((), ingest.add_index(tree)?))).map(|((), token)| token)
    }

    /// Accepts a record that drops the tree of `slot`.
    pub(in crate::engine) fn accept_drop(&self, slot: &Slot) -> Result<DurabilityToken> {
        // Counted under the lock: an erasure may come until then.
        let drop = |ingest: &mut Ingest| ingest.drop_tree(&slot.spec, slot.erasures().ranges());
        self.accept(|ingest| Ok(((), Some(drop(ingest))))).map(|((), token)| token)
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
    /// the marks that go, or `None` if the states of the trees are no longer those that were to be rewound, if a tree would be
    /// left out, or if a tree with more leaves than at `mark` was dropped. Waits for a large batch.
    pub(in crate::engine) fn accept_rewind(
        &self,
        all: Vec<Rewinding>,
        mark: Option<&Arc<Mark>>,
    ) -> Result<Option<(Seq, Vec<MarkName>)>> {
        let mut ingest = self.inflow.lock();
        ingest.check_accepts()?;
        while ingest.copying {
            ingest = self.inflow.wait(ingest, None)?;
        }
        for Rewinding { before, size, .. } in &all {
            match ingest.check_rewind(before, *size) {
                Err(Error::TreeDropped { .. }) if mark.is_some() => return Ok(None),
                checked => checked?,
            }
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
