//! What is durable, and what of it no checkpoint holds yet.
//!
//! # Invariants
//!
//! - It changes when a sync has made it true, for all trees of a group together: so a thread that holds its lock
//!   sees every tree as it was at one point.
//! - A tree is in `changed` exactly if a restart would show it otherwise than the manifest in force says:
//!   a checkpoint costs what changed, however many trees there are.

use std::sync::Arc;

use super::flusher::News;
use crate::engine::ingest::{Control, Stretch};
use crate::engine::tally::Tally;
use crate::engine::tree::Tree;
use crate::per_tree::PerTree;
use crate::tree_spec::TreeSpec;
use crate::wal::Position;

/// A moment up to which everything that was accepted is in the log, and at which the store may stand after
/// a restart.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FlushPoint {
    pub(crate) tally: Tally,
    /// Where the log goes on.
    pub(crate) position: Position,
    /// Bytes written to the log since the store was opened, and the log found then.
    pub(crate) log_bytes: u64,
}

/// The last point that is durable.
#[derive(Debug)]
pub(crate) struct Flushed {
    point: FlushPoint,
    changed: PerTree<Changed>,
}

/// A tree that is not as the manifest has it.
#[derive(Clone, Debug)]
pub(crate) struct Changed {
    pub(crate) spec: Arc<TreeSpec>,
    /// The tree, where it is awake.
    pub(crate) tree: Option<Arc<Tree>>,
    /// How many leaves are durable, where `tree` is there.
    pub(crate) size: u64,
    /// Whether it came to take no more leaves.
    pub(crate) sealed: bool,
    /// Whether it is gone.
    pub(crate) dropped: bool,
}

impl Changed {
    fn of(tree: &Arc<Tree>) -> Self {
        Self {
            spec: Arc::clone(&tree.spec),
            tree: Some(Arc::clone(tree)),
            size: tree.durable().get(),
            sealed: false,
            dropped: false,
        }
    }
}

impl Flushed {
    /// A store that stands at `point`, where `changed` are not as its manifest has them.
    pub(crate) fn new(point: FlushPoint, changed: impl IntoIterator<Item = Changed>) -> Self {
        let changed = changed.into_iter().map(|change| (change.spec.id, change)).collect();
        Self { point, changed }
    }

    pub(super) fn point(&self) -> FlushPoint {
        self.point
    }

    /// Notes that everything up to `point` is durable, `news` among it. Returns whether a tree is gone.
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
                Control::Dropped(spec, tree) => {
                    dropped = true;
                    let id = spec.id;
                    self.changed
                        .insert(id, Changed { spec, tree, size: 0, sealed: false, dropped: true });
                }
            }
        }
        dropped
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

    /// Whether there is a tree that is gone and that a manifest still has.
    pub(super) fn has_dropped(&self) -> bool {
        self.changed.values().any(|changed| changed.dropped)
    }

    /// What no checkpoint holds.
    pub(super) fn changed(&self) -> Vec<Changed> {
        self.changed.values().cloned().collect()
    }

    /// Notes that the manifest in force has `held`.
    pub(super) fn checkpointed(&mut self, held: &[Changed]) {
        for held in held {
            let id = held.spec.id;
            let now = self.changed.get(id).map(|now| (now.size, now.sealed, now.dropped));
            if now == Some((held.size, held.sealed, held.dropped)) {
                self.changed.remove(id);
            } else if let Some(now) = self.changed.get_mut(id).filter(|now| !now.dropped) {
                // The manifest has that much of it.
                now.sealed &= !held.sealed;
            }
        }
    }
}
