//! Rewinds trees: drops their newest leaves.
//!
//! # Invariants
//!
//! - Rewinds are under way one at a time, each until it is durable. So of each tree there is at most one state whose end
//!   is not durable.
//! - The state that follows is made without the insertion lock, from what lies below the size, which never changes. Under
//!   the lock it is only put in place, if the state before is still the current one.
//! - No tree is rewound below the leaf at which it was pruned.
//! - What is inserted is ordered before or after the record, by the insertion lock.

use std::sync::Arc;

use super::catalog::Slot;
use super::ingest::{Fate, Rewinding};
use super::shared::Engine;
use crate::error::{Error, Result};
use crate::mark::{Mark, MarkName};
use crate::merkle::TreeSize;
use crate::mutant::mutant;
use crate::report::{Event, RewindInfo, TreeRewind};

/// A tree, and the size to rewind it to.
type Wanted = (Arc<Slot>, u64);

impl Engine {
    /// Rewinds a tree to `size`. Returns when that is durable.
    pub(crate) fn rewind(&self, slot: &Arc<Slot>, size: u64) -> Result<RewindInfo> {
        self.check_may_wait("rewind")?;
        let only = self.rewinding.lock();
        let tree = self.load(slot)?;
        if self.fate(&tree) == Fate::Sealed {
            return Err(Error::TreeSealed { tree: tree.name().clone() });
        }
        let wanted = || match size == slot.tree().map_or(0, |tree| tree.columns.leaves()) {
            true => Vec::new(),
            false => vec![(Arc::clone(slot), size)],
        };
        let info = self.rewind_all("rewind", None, wanted)?;
        drop(only);
        self.tell(info)
    }

    /// Rewinds all trees to their sizes at the mark `name`. Returns when that is durable.
    pub(crate) fn rewind_to(&self, name: &MarkName) -> Result<RewindInfo> {
        self.check_may_wait("rewind_to")?;
        let only = self.rewinding.lock();
        let marks = self.inflow.marks();
        let mark = marks.get(name).ok_or_else(|| Error::NoMark { mark: name.clone() })?;
        let info = self.rewind_all("rewind_to", Some(mark), || self.beyond(mark))?;
        drop(only);
        self.tell(info)
    }

    fn tell(&self, info: RewindInfo) -> Result<RewindInfo> {
        if !info.trees.is_empty() {
            self.gate.tell(|| Event::Rewound { info: info.clone() })?;
        }
        Ok(info)
    }

    /// The trees that have more leaves than at `mark`.
    fn beyond(&self, mark: &Mark) -> Vec<Wanted> {
        let has = |slot: &Slot| slot.tree().map_or(slot.stored(), |tree| tree.columns.leaves());
        let then = |slot: Arc<Slot>| {
            // A tree that was created later had no leaf.
            let size = mark.size(slot.spec.id).unwrap_or(0);
            (has(&slot) > size).then_some((slot, size))
        };
        self.catalog.all().into_iter().filter_map(then).collect()
    }

    fn rewind_all(
        &self,
        call: &'static str,
        mark: Option<&Arc<Mark>>,
        wanted: impl Fn() -> Vec<Wanted>,
    ) -> Result<RewindInfo> {
        'again: loop {
            let mut all = Vec::new();
            let mut info = RewindInfo::default();
            for (slot, size) in wanted() {
                let before = match self.load(&slot) {
                    // It is left out when the trees are looked at again.
                    Err(Error::TreeDropped { .. }) if mark.is_some() => continue 'again,
                    loaded => loaded?,
                };
                let current = before.columns.leaves();
                if size > current {
                    let (size, current) = (TreeSize(size), TreeSize(current));
                    return Err(Error::SizeOutOfRange { size, current });
                }
                // No prune gets to its manifest meanwhile.
                before.check_base(size)?;
                let (mut after, leaves) = before.rewound(size)?;
                if mutant!(&*self.fs, EdgesKept) {
                    after.keep_edges(&before);
                }
                if mutant!(&*self.fs, HashedKept) {
                    after.columns.pretend_hashed(before.columns.view().hashed());
                }
                if mutant!(&*self.fs, IndexEntryKept) {
                    after.keep_parts(&before);
                }
                let tree = before.name().clone();
                let (before_size, after_size) = (TreeSize(current), TreeSize(size));
                info.trees.push(TreeRewind { tree, before: before_size, after: after_size });
                all.push(Rewinding { slot, before, after: Arc::new(after), leaves, size });
            }
            if all.is_empty() {
                // Nothing is to be dropped. What came before the call is durable when it returns.
                info.seq = self.inflow.last();
                self.flush()?;
                return Ok(info);
            }
            let slots: Vec<_> = all.iter().map(|rewinding| Arc::clone(&rewinding.slot)).collect();
            let befores: Vec<_> =
                all.iter().map(|rewinding| Arc::clone(&rewinding.before)).collect();
            // A tree got leaves meanwhile, or one that is rewound to a mark was dropped: they are looked at again.
            let Some((seq, marks)) = self.accept_rewind(all, mark)? else { continue };
            for (tree, before) in info.trees.iter_mut().zip(&befores) {
                // Leaves may have come until the record was accepted.
                tree.before = TreeSize(before.columns.leaves());
            }
            (info.seq, info.marks) = (seq, marks);
            self.flush_to(seq, call)?;
            slots.iter().for_each(|slot| slot.rewound());
            return Ok(info);
        }
    }
}
