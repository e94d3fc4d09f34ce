//! What is durable, and what of it no checkpoint has yet.
//!
//! # Invariants
//!
//! - The flusher changes it after a sync, for all trees of a group together. So a thread that holds the lock sees
//!   every tree as it was at one point.
//! - A cut since the last checkpoint began is kept apart from those that the checkpoint takes along.
//! - A tree is in `changed` exactly if the tree after a restart would differ from the manifest in force. So a
//!   checkpoint costs what changed, however many trees there are.

use std::sync::Arc;

use crate::engine::ingest::{Control, Stretch};
use crate::engine::tally::Tally;
use crate::engine::tree::Tree;
use crate::entry::Erasures;
use crate::mark::Marks;
use crate::per_tree::PerTree;
use crate::sync;
use crate::tree_spec::TreeSpec;
use crate::wal::Position;

/// What was written and is not known to be durable.
#[derive(Debug, Default)]
pub(crate) struct News {
    pub(crate) stretches: Vec<Stretch>,
    pub(crate) controls: Vec<Control>,
}

impl News {
    /// Adds what was written `later`.
    pub(super) fn add(&mut self, later: Self) {
        if self.stretches.is_empty() && self.controls.is_empty() {
            *self = later;
        } else {
            self.stretches.extend(later.stretches);
            self.controls.extend(later.controls);
        }
    }
}

/// A state that the store may have after a restart: the log has everything that was accepted up to it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FlushPoint {
    pub(crate) tally: Tally,
    /// Where the log continues.
    pub(crate) position: Position,
    /// Bytes of log that recovery found, and those written since.
    pub(crate) log_bytes: u64,
}

/// The last point that is durable.
#[derive(Debug)]
pub(crate) struct Flushed {
    point: FlushPoint,
    changed: PerTree<Changed>,
    marks: Marks,
}

/// A tree that differs from the manifest in force.
#[derive(Clone, Debug)]
pub(crate) struct Changed {
    pub(crate) spec: Arc<TreeSpec>,
    /// The tree, if it is awake.
    pub(crate) tree: Option<Arc<Tree>>,
    /// How many leaves are durable, if the tree is awake.
    pub(crate) size: u64,
    /// Whether the tree was sealed since the manifest.
    pub(crate) sealed: bool,
    /// Whether the tree was given an index since the manifest.
    pub(crate) indexed: bool,
    /// Whether the tree was dropped.
    pub(crate) dropped: bool,
    /// The erased entries, if some were erased since the manifest.
    pub(crate) erasures: Option<Arc<Erasures>>,
    /// The lowest size that the tree was rewound to since the manifest.
    pub(crate) cut: Option<u64>,
    /// The same, since the last checkpoint began.
    pub(crate) later_cut: Option<u64>,
}

impl Changed {
    fn of(tree: &Arc<Tree>) -> Self {
        Self {
            spec: Arc::clone(&tree.spec),
            tree: Some(Arc::clone(tree)),
            size: tree.durable().get(),
            sealed: false,
            indexed: false,
            dropped: false,
            erasures: None,
            cut: None,
            later_cut: None,
        }
    }

    /// Whether a manifest that has `held` has all of this.
    fn is_held(&self, held: &Self) -> bool {
        let same = |one: &Arc<Erasures>, other: &Arc<Erasures>| one.count() == other.count();
        let erased = match (&self.erasures, &held.erasures) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(now), Some(held)) => same(now, held),
        };
        let state = |change: &Self| (change.size, change.sealed, change.indexed, change.dropped);
        // A tree that was rewound is another one, even with as many leaves.
        state(self) == state(held) && erased && self.later_cut.is_none()
    }
}

impl Flushed {
    /// A store at `point`, with `marks`. `changed` are the trees that differ from its manifest.
    pub(crate) fn new(
        point: FlushPoint,
        changed: impl IntoIterator<Item = Changed>,
        marks: Marks,
    ) -> Self {
        let changed = changed.into_iter().map(|change| (change.spec.id, change)).collect();
        Self { point, changed, marks }
    }

    /// The marks at the point.
    pub(super) fn marks(&self) -> Marks {
        self.marks.clone()
    }

    pub(super) fn point(&self) -> FlushPoint {
        self.point
    }

    /// Notes that everything up to `point` is durable, `news` among it. Returns whether a tree was dropped.
    pub(super) fn advance(&mut self, point: FlushPoint, news: News) -> bool {
        self.point = point;
        for Stretch { tree, to, .. } in news.stretches {
            tree.set_durable(to);
            self.change(&tree).size = to;
        }
        let mut dropped = false;
        for control in news.controls {
            match control {
                Control::Created(tree) => {
                    self.change(&tree);
                }
                Control::Sealed(tree) => self.change(&tree).sealed = true,
                Control::Indexed(tree) => self.change(&tree).indexed = true,
                Control::Dropped(spec, tree) => {
                    dropped = true;
                    let id = spec.id;
                    let (size, sealed, indexed, dropped) = (0, false, false, true);
                    let erasures = None;
                    let (cut, later_cut) = (None, None);
                    let gone = Changed {
                        spec,
                        tree,
                        size,
                        sealed,
                        indexed,
                        dropped,
                        erasures,
                        cut,
                        later_cut,
                    };
                    self.changed.insert(id, gone);
                }
                Control::Erased(tree, erasing) => {
                    self.change(&tree).erasures = Some(erasing.after);
                }
                Control::Marked(_, after) | Control::Unmarked(_, after) => self.marks = after,
                Control::Rewound(trees, after) => {
                    self.marks = after;
                    trees.into_iter().for_each(|(tree, size)| self.rewound(tree, size));
                }
            }
        }
        dropped
    }

    /// Notes that a tree was rewound to `size`. `tree` is its state since then.
    fn rewound(&mut self, tree: Arc<Tree>, size: u64) {
        tree.set_durable(size);
        let erasures = Some(tree.erasures_below(size));
        let change = self.change(&tree);
        let lower = |cut: Option<u64>| Some(cut.map_or(size, |cut| cut.min(size)));
        (change.cut, change.later_cut) = (lower(change.cut), lower(change.later_cut));
        (change.tree, change.size, change.erasures) = (Some(tree), size, erasures);
    }

    /// Notes that a checkpoint begins.
    pub(super) fn checkpoint_begins(&mut self) {
        let ids: Vec<_> = self.changed.iter().map(|(id, _)| id).collect();
        for id in ids {
            if let Some(change) = self.changed.get_mut(id) {
                change.later_cut = None;
            }
        }
    }

    fn change(&mut self, tree: &Arc<Tree>) -> &mut Changed {
        let id = tree.id();
        if self.changed.get(id).is_none() {
            self.changed.insert(id, Changed::of(tree));
        }
        let changed = self.changed.get_mut(id);
        #[expect(clippy::unwrap_used, reason = "it was put there if it was missing")]
        changed.unwrap()
    }

    /// Whether the manifest in force still has a dropped tree.
    pub(super) fn has_dropped(&self) -> bool {
        self.changed.values().any(|changed| changed.dropped)
    }

    /// The trees that differ from the manifest in force.
    pub(super) fn changed(&self) -> Vec<Changed> {
        self.changed.values().cloned().collect()
    }

    /// Notes that the manifest in force has `held`.
    pub(super) fn checkpointed(&mut self, held: &[Changed]) {
        for held in held {
            let id = held.spec.id;
            if self.changed.get(id).is_some_and(|now| now.is_held(held)) {
                self.changed.remove(id);
            } else if let Some(now) = self.changed.get_mut(id).filter(|now| !now.dropped) {
                // The manifest has the seal and the index by now.
                now.sealed &= !held.sealed;
                now.indexed &= !held.indexed;
                let forgotten =
                    sync::defect("a cut that comes while a checkpoint runs is forgotten");
                now.cut = now.later_cut.filter(|_| !forgotten);
            }
        }
    }
}
