//! The accepted records that the flusher has not cut yet. Pure.
//!
//! # Invariants
//!
//! - A tree that takes leaves is in a list once, with all its leaves from the first to the last. So a cut costs
//!   what changed since the cut before, however many trees there are.
//! - A [`Slip`] is valid only in the list that made it, and only until that list is taken.

use std::sync::Arc;

use crate::engine::Tree;
use crate::engine::tally::Tally;
use crate::entry::Erasures;
use crate::error::ReadError;
use crate::mark::{Mark, MarkName, Marks, SIZE_LEN};
use crate::merkle::Hash;
use crate::part::Base;
use crate::tree_spec::TreeSpec;

/// Leaves `[from, to)` of a tree.
#[derive(Clone, Debug)]
pub(crate) struct Stretch {
    pub(crate) tree: Arc<Tree>,
    pub(crate) from: u64,
    pub(crate) to: u64,
}

/// A record that carries no leaves.
#[derive(Clone, Debug)]
pub(crate) enum Control {
    Created(Arc<Tree>),
    Sealed(Arc<Tree>),
    Indexed(Arc<Tree>),
    /// With the tree, where it is awake.
    Dropped(Arc<TreeSpec>, Option<Arc<Tree>>),
    Erased(Arc<Tree>, Erasing),
    /// With all marks that there are then.
    Marked(Arc<Mark>, Marks),
    /// With all marks that are left then.
    Unmarked(MarkName, Marks),
    /// Trees that are rewound, in the state that follows, with their sizes, and all marks that are left then.
    Rewound(Vec<(Arc<Tree>, u64)>, Marks),
}

/// An erasure that was accepted.
#[derive(Clone, Debug)]
pub(crate) struct Erasing {
    /// Milliseconds since the start of 1970.
    pub(crate) at: u64,
    /// How many ranges the payload has.
    pub(crate) ranges: u64,
    /// The payload of the record.
    pub(crate) payload: Arc<[u8]>,
    /// All entries of the tree that are erased then.
    pub(crate) after: Arc<Erasures>,
}

/// Everything that was accepted from the cut before up to some moment.
#[derive(Clone, Debug)]
pub(crate) struct Cut {
    /// What the store had accepted at that moment.
    pub(crate) tally: Tally,
    pub(crate) stretches: Vec<Stretch>,
    /// In the order of calls.
    pub(crate) controls: Vec<Control>,
    pub(crate) kind: CutKind,
}

/// How a cut stands to the next one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum CutKind {
    #[default]
    Ordinary,
    /// The next cut is a rewind, which is synced together with this one.
    BeforeRewind,
    /// The record of a rewind, and nothing else.
    Rewind,
}

impl Cut {
    /// Nothing behind `written`.
    fn nothing(written: Tally) -> Self {
        let (stretches, controls, kind) = (Vec::new(), Vec::new(), CutKind::Ordinary);
        Self { tally: written, stretches, controls, kind }
    }

    /// Adds what came after this cut.
    pub(super) fn extend(&mut self, later: Self) {
        self.tally = later.tally;
        self.stretches.extend(later.stretches);
        self.controls.extend(later.controls);
    }

    /// Removes leaves, tree by tree, as many as take at most `bytes` in the log with their entries, and at least
    /// one. Also removes the records of created trees. Returns both as a cut that follows `written`.
    pub(crate) fn split(&mut self, written: Tally, bytes: u64) -> Result<Self, ReadError> {
        let mut piece = Self::nothing(written);
        let created = |control: &mut Control| matches!(control, Control::Created(_));
        piece.controls.extend(self.controls.extract_if(.., created));
        for control in &piece.controls {
            control.count_in(&mut piece.tally);
        }
        let mut left = bytes;
        let mut done = 0;
        for Stretch { tree, from, to } in &mut self.stretches {
            let fitting = tree.leaves_within(*from, *to, left)?;
            let now = if piece.stretches.is_empty() { fitting.max(1) } else { fitting };
            if now == 0 {
                break;
            }
            let until = *from + now;
            let entries = tree.entry_bytes(*from, until)?;
            piece.tally.add_leaves(tree.arity, now, entries);
            piece.stretches.push(Stretch { tree: Arc::clone(tree), from: *from, to: until });
            *from = until;
            left = left.saturating_sub(now * size_of::<Hash>() as u64 + entries);
            if *from < *to {
                // What comes behind stays behind.
                break;
            }
            done += 1;
        }
        self.stretches.drain(..done);
        Ok(piece)
    }

    /// Removes the records that set marks. Returns them as a cut that follows `written`.
    pub(crate) fn split_marks(&mut self, written: Tally) -> Self {
        let mut piece = Self::nothing(written);
        let marked = |control: &mut Control| matches!(control, Control::Marked(..));
        piece.controls.extend(self.controls.extract_if(.., marked));
        for control in &piece.controls {
            control.count_in(&mut piece.tally);
        }
        piece
    }
}

impl Control {
    /// The tree that the record creates, and what the tree begins behind. Nothing prunes a tree before its record is in the log.
    pub(crate) fn created(&self) -> Option<(&TreeSpec, Option<Arc<Base>>)> {
        match self {
            Self::Created(tree) => Some((&tree.spec, tree.parts().before().cloned())),
            _ => None,
        }
    }

    /// Adds the record to `tally`.
    pub(super) fn count_in(&self, tally: &mut Tally) {
        match self {
            Self::Created(tree) => tally.add_created(&tree.spec),
            Self::Sealed(tree) | Self::Indexed(tree) => tally.add_control(&tree.spec),
            Self::Dropped(spec, _) => tally.add_control(spec),
            Self::Erased(tree, erasing) => tally.add_erasure(&tree.spec, erasing.payload.len()),
            Self::Marked(mark, _) => tally.add_mark(mark.payload_len()),
            Self::Unmarked(name, _) => tally.add_mark(name.as_str().len()),
            Self::Rewound(trees, _) => tally.add_mark(trees.len() * SIZE_LEN),
        }
    }
}

/// A tree's place in a list.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Slip {
    list: u64,
    at: usize,
}

/// A list of accepted records.
#[derive(Debug)]
pub(super) struct Pending {
    /// Identifies the list. No two lists with content have the same number, and none has 0.
    number: u64,
    stretches: Vec<Stretch>,
    controls: Vec<Control>,
}

impl Pending {
    /// An empty list with this number.
    pub(super) fn new(number: u64) -> Self {
        Self { number, stretches: Vec::new(), controls: Vec::new() }
    }

    /// Notes leaves `[from, to)` of `tree`. `slip` is the tree's place, and is set if the tree is new to the list.
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

    /// Notes leaves of a tree that was dropped since.
    pub(super) fn rest(&mut self, stretch: Stretch) {
        self.stretches.push(stretch);
    }

    /// Takes everything out of the list and renumbers it as `next`.
    pub(super) fn take(&mut self, next: u64, tally: Tally) -> Cut {
        self.number = next;
        let stretches = std::mem::take(&mut self.stretches);
        let controls = std::mem::take(&mut self.controls);
        Cut { tally, stretches, controls, kind: CutKind::Ordinary }
    }
}
