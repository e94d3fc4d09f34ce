//! The one writer of a tree's leaves.
#![expect(unsafe_code, reason = "fills unpublished slots")]

use std::sync::Arc;

use super::chunk::Slots;
use super::shared::{Columns, Filling};
use crate::merkle::{Hash, Level};

/// Appends leaves. There is one per tree.
#[derive(Debug)]
pub(crate) struct LeafWriter {
    pub(super) columns: Arc<Columns>,
    len: u64,
    /// The number of the chunk that the last leaf went to, and its memory for leaves.
    last: Option<(u64, Slots)>,
}

impl LeafWriter {
    pub(super) fn new(columns: Arc<Columns>, len: u64) -> Self {
        Self { columns, len, last: None }
    }

    /// How many leaves were appended.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Appends `leaves` and publishes them together: a reader sees all of them or none.
    pub(crate) fn append(&mut self, leaves: &[Hash]) {
        self.write(leaves);
        self.publish(self.len + leaves.len() as u64);
    }

    /// Writes `leaves` where the next ones belong, and publishes nothing. What is written next takes their
    /// place, unless [`publish`](Self::publish) is called before.
    pub(crate) fn write(&mut self, leaves: &[Hash]) {
        let mut rest = leaves;
        let mut at = self.len;
        while !rest.is_empty() {
            let place = self.columns.layout().place(Level::LEAVES, at);
            let (now, later) = rest.split_at(rest.len().min(place.room));
            let slots = match &self.last {
                Some((chunk, slots))
                    if *chunk == place.chunk && slots.has(place.slot, now.len()) =>
                {
                    slots
                }
                _ => {
                    // A tree that has filled a chunk will use all of the next one.
                    let fast = place.chunk > 0 || now.len() == place.room;
                    let filling = if fast { Filling::Fast } else { Filling::Slow };
                    let slots = self.columns.slots_for(&place, now.len(), filling);
                    &self.last.insert((place.chunk, slots)).1
                }
            };
            // SAFETY: these slots are at or above `len`, so unpublished, and `&mut self` is the
            // only leaf writer.
            unsafe { slots.write(place.slot, now.len()) }.copy_from_slice(now);
            at += now.len() as u64;
            rest = later;
        }
    }

    /// Looks up the memory for leaves again at the next call: the node writer is about to replace it.
    pub(super) fn forget_slots(&mut self) {
        self.last = None;
    }

    /// Publishes all leaves below `len`, which have been written.
    pub(crate) fn publish(&mut self, len: u64) {
        self.len = len;
        self.columns.publish_leaves(len);
    }
}
