//! What came in and was not cut yet. Pure.
//!
//! # Invariants
//!
//! - A tree is in it once while it takes leaves, with all of them from the first to the last: so a cut
//!   costs what changed since the one before, however many trees there are.
//! - A [`Slip`] says where a tree stands only in the list that made it, and only until that is taken.

use std::sync::Arc;

use crate::engine::Tree;
use crate::engine::tally::Tally;
use crate::tree_spec::TreeSpec;

/// Leaves `[from, to)` of a tree.
#[derive(Clone, Debug)]
pub(crate) struct Stretch {
    pub(crate) tree: Arc<Tree>,
    pub(crate) from: u64,
    pub(crate) to: u64,
}

/// A record that is no leaf.
#[derive(Clone, Debug)]
pub(crate) enum Control {
    Created(Arc<Tree>),
    Sealed(Arc<Tree>),
    /// With the tree, where it is awake.
    Dropped(Arc<TreeSpec>, Option<Arc<Tree>>),
}

/// Everything up to a moment since the cut before.
#[derive(Clone, Debug)]
pub(crate) struct Cut {
    /// What the store had accepted.
    pub(crate) tally: Tally,
    pub(crate) stretches: Vec<Stretch>,
    /// In the order of calls.
    pub(crate) controls: Vec<Control>,
}

impl Cut {
    /// Adds what came after it.
    pub(super) fn extend(&mut self, later: Self) {
        self.tally = later.tally;
        self.stretches.extend(later.stretches);
        self.controls.extend(later.controls);
    }

    /// Takes the first `count` leaves out, tree by tree, with the trees that are created, as what comes after
    /// `written`.
    pub(crate) fn split(&mut self, written: Tally, count: u64) -> Self {
        let mut piece = Self { tally: written, stretches: Vec::new(), controls: Vec::new() };
        let created = |control: &mut Control| matches!(control, Control::Created(_));
        piece.controls.extend(self.controls.extract_if(.., created));
        for control in &piece.controls {
            control.count_in(&mut piece.tally);
        }
        let mut left = count;
        let mut done = 0;
        for Stretch { tree, from, to } in &mut self.stretches {
            if left == 0 {
                break;
            }
            let now = (*to - *from).min(left);
            let until = *from + now;
            piece.tally.add_leaves(tree.arity, now);
            piece.stretches.push(Stretch { tree: Arc::clone(tree), from: *from, to: until });
            *from = until;
            left -= now;
            done += usize::from(*from == *to);
        }
        self.stretches.drain(..done);
        piece
    }
}

impl Control {
    /// Counts it.
    pub(super) fn count_in(&self, tally: &mut Tally) {
        match self {
            Self::Created(tree) => tally.add_created(&tree.spec),
            Self::Sealed(tree) => tally.add_control(&tree.spec),
            Self::Dropped(spec, _) => tally.add_control(spec),
        }
    }
}

/// Where a tree stands in a list.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Slip {
    list: u64,
    at: usize,
}

/// A list of what came in.
#[derive(Debug)]
pub(super) struct Pending {
    /// Which list it is: no two have one number while they have anything. 0 is none.
    number: u64,
    stretches: Vec<Stretch>,
    controls: Vec<Control>,
}

impl Pending {
    /// An empty list with this number.
    pub(super) fn new(number: u64) -> Self {
        Self { number, stretches: Vec::new(), controls: Vec::new() }
    }

    /// Notes leaves `[from, to)` of `tree`, whose last note here is `slip`.
    #[inline]
    pub(super) fn leaves(&mut self, tree: &Arc<Tree>, from: u64, to: u64, slip: &mut Slip) {
        if slip.list == self.number
            && let Some(stretch) = self.stretches.get_mut(slip.at)
        {
            stretch.to = to;
            return;
        }
        *slip = Slip { list: self.number, at: self.stretches.len() };
        self.stretches.push(Stretch { tree: Arc::clone(tree), from, to });
    }

    pub(super) fn control(&mut self, control: Control) {
        self.controls.push(control);
    }

    /// Notes the leaves of a tree that is there no more.
    pub(super) fn rest(&mut self, stretch: Stretch) {
        self.stretches.push(stretch);
    }

    /// Takes everything out. `next` is the number that the list has from now on.
    pub(super) fn take(&mut self, next: u64, tally: Tally) -> Cut {
        self.number = next;
        let stretches = std::mem::take(&mut self.stretches);
        let controls = std::mem::take(&mut self.controls);
        Cut { tally, stretches, controls }
    }
}
