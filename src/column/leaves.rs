//! The only writer of a tree's leaves, and of the entries that they are the hashes of.
#![expect(unsafe_code, reason = "fills unpublished slots")]

use std::sync::Arc;

use super::chunk::{HUGE_PAGE, Slots};
use super::entry_writer::EntryWriter;
use super::layout::usize_of;
use super::shared::{Columns, Filling};
use crate::entry::Framing;
use crate::merkle::{Hash, Level};

/// Memory of the first chunk of a tree takes huge pages behind so many slots. They make filling it faster, and
/// what they take that leaves never fill is less than what leaves have filled by then.
const HUGE_PAGES_BEHIND: usize = HUGE_PAGE / size_of::<Hash>();

/// Appends leaves. There is one per tree.
#[derive(Debug)]
pub(crate) struct LeafWriter {
    pub(super) columns: Arc<Columns>,
    len: u64,
    /// The memory to which the last leaf was written.
    last: Option<Run>,
    /// Of a tree that keeps entries.
    entries: Option<Box<EntryWriter>>,
}

/// Leaves `[first, end)` whose slots are in memory and adjacent, from `slot` on.
#[derive(Debug)]
struct Run {
    first: u64,
    end: u64,
    slots: Slots<Hash>,
    slot: usize,
}

impl Run {
    /// The slot of leaf `at`, and how many slots of the run there are from it on. `None` if the leaf is
    /// not in the run.
    #[inline]
    fn slot(&self, at: u64) -> Option<(usize, usize)> {
        let within = at >= self.first && at < self.end;
        // Both are below the number of slots.
        within.then(|| (self.slot + usize_of(at - self.first), usize_of(self.end - at)))
    }
}

impl LeafWriter {
    pub(super) fn new(columns: Arc<Columns>, len: u64) -> Self {
        Self { columns, len, last: None, entries: None }
    }

    /// The same writer, of a tree that keeps entries.
    pub(crate) fn with_entries(self, framing: Option<Framing>) -> Self {
        Self { entries: framing.map(|framing| Box::new(EntryWriter::new(framing))), ..self }
    }

    /// The number of appended leaves.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Appends `leaves` and publishes them together: a reader sees all of them or none.
    #[inline]
    pub(crate) fn append(&mut self, leaves: &[Hash]) {
        self.write(leaves);
        self.publish(self.len + leaves.len() as u64);
    }

    /// Appends `leaves` with the `entries` that they are the hashes of. Publishes them together.
    pub(crate) fn append_entries(&mut self, leaves: &[Hash], entries: &[&[u8]]) {
        self.write_entries(leaves, entries);
        self.publish(self.len + leaves.len() as u64);
    }

    /// As [`write`](Self::write), with the entries of the leaves.
    pub(crate) fn write_entries(&mut self, leaves: &[Hash], entries: &[&[u8]]) {
        debug_assert_eq!(leaves.len(), entries.len(), "a leaf for each entry");
        if let Some(writer) = &mut self.entries {
            writer.write(&self.columns, self.len, entries);
        }
        self.write(leaves);
    }

    /// Writes `leaves` into the next slots without publishing them. The next write overwrites them,
    /// unless [`publish`](Self::publish) is called first.
    #[inline]
    pub(crate) fn write(&mut self, leaves: &[Hash]) {
        let mut rest = leaves;
        let mut at = self.len;
        while !rest.is_empty() {
            let known = self.last.as_ref().and_then(|run| Some((run, run.slot(at)?)));
            let (run, (slot, room)) = match known {
                Some(known) => known,
                None => self.look_up(at, rest.len()),
            };
            let (now, later) = rest.split_at(rest.len().min(room));
            // SAFETY: these slots are at or above `len`, so they are unpublished. `&mut self` is the
            // only leaf writer.
            let slots = unsafe { run.slots.write(slot, now.len()) };
            match (now, slots) {
                // Avoids the call of a copy function for inserts of one leaf.
                ([leaf], [slot]) => *slot = *leaf,
                (leaves, slots) => slots.copy_from_slice(leaves),
            }
            at += now.len() as u64;
            rest = later;
        }
    }

    /// Looks up the run for `count` leaves from `at` on, or for as many as fit one run. Returns the run,
    /// the slot of leaf `at`, and how many slots there are from it on.
    #[cold]
    fn look_up(&mut self, at: u64, count: usize) -> (&Run, (usize, usize)) {
        let place = self.columns.layout().place(Level::LEAVES, at);
        let now = count.min(place.room);
        // A tree that has filled a chunk will use all of the next one.
        let fast = place.chunk > 0 || now == place.room;
        let filling = if fast { Filling::Fast } else { Filling::Slow };
        let slots = self.columns.slots_for(&place, now, filling);
        let mut room = place.room.min(slots.room(place.slot));
        if !fast && self.columns.layout().has_huge_pages() {
            let filled = place.slot - slots.first().unwrap_or(place.slot);
            match HUGE_PAGES_BEHIND.checked_sub(filled) {
                // The write behind them looks the run up again.
                Some(left) if left > 0 => room = room.min(left),
                _ => slots.prefer_huge_pages(place.slot),
            }
        }
        let run = Run { first: at, end: at + room as u64, slots, slot: place.slot };
        (self.last.insert(run), (place.slot, room))
    }

    /// Makes the next write look up its memory again, because the node writer is about to replace it.
    pub(super) fn forget_slots(&mut self) {
        self.last = None;
    }

    /// Publishes all leaves below `len`. They must have been written.
    #[inline]
    pub(crate) fn publish(&mut self, len: u64) {
        if let Some(entries) = &mut self.entries {
            match len > self.len {
                true => entries.keep(),
                false => entries.undo(&self.columns, self.len),
            }
        }
        self.len = len;
        self.columns.publish_leaves(len);
    }
}
