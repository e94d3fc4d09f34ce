//! What the insertion lock guards: indexes, sequence numbers, and the records that are not cut yet.
//!
//! # Invariants
//!
//! - Indexes are assigned in the order of calls: index, copy and publication happen under one lock, for all
//!   trees of a batch together. A large batch is copied without the lock. Until it is published every other
//!   insert waits, and nothing else does. Its thread has the one writer of each of its trees, and waits for no
//!   other thread meanwhile.
//! - Records that were inserted before a large batch and not cut yet are flushed apart from it.
//! - A large batch does not count against the limit of leaves that wait for the log, except for the next large
//!   batch. So it delays only that one.
//! - Under [`FlushPolicy::Manual`] the flusher and automatic checkpoints reach the last point that a caller
//!   named, and no further. A point is named under the insertion lock, so it lies between two inserts.
//! - Every accepted record is in exactly one cut.
//! - A rewind is flushed apart from what came before and after, in a group of its own. Rewinds are under way one at a time.
//! - Entries of a tree are erased under the lock, and only entries that the store has accepted. The ranges of all
//!   trees together have a bound.
//! - After the end, and while it is read-only, the store accepts nothing, and every insert that waits for room fails. A
//!   large batch that is being copied is accepted nevertheless if the store only became read-only.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use super::addition::Addition;
use super::inlet::Inlet;
use super::pending::{Control, Cut, CutKind, Erasing, Pending};
use crate::column::LeafWriter;
use crate::config::{FlushPolicy, MarkPolicy};
use crate::engine::counted::Copied;
use crate::engine::limits::{Gate, Held, LONGEST_PACE, Limits, pace};
use crate::engine::tally::Tally;
use crate::engine::{Fixed, Slot, Tree};
use crate::entry::{Cause, erasure};
use crate::error::{Error, Result};
use crate::ids::{Seq, TreeId};
use crate::mark::{Mark, MarkName, Marks};
use crate::merkle::{LeafIndex, TreeSize};
use crate::per_tree::PerTree;
use crate::sync::Instant;
use crate::tree_spec::TreeSpec;

#[cold]
fn dropped(tree: &Fixed) -> Error {
    Error::TreeDropped { tree: tree.name().clone() }
}

/// Whether a tree can still get leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Open,
    Sealed,
    Dropped,
}

/// The leaves of a large batch in one tree.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) tree: Arc<Fixed>,
    /// It has the leaves and has not published them.
    pub(super) writer: LeafWriter,
    /// How many leaves are to be published, and the bytes of their entries.
    pub(super) count: u64,
    pub(super) entry_bytes: u64,
}

/// A tree that is to be rewound.
#[derive(Debug)]
pub(crate) struct Rewinding {
    pub(crate) slot: Arc<Slot>,
    /// Its state, and the one that follows.
    pub(crate) before: Arc<Tree>,
    pub(crate) after: Arc<Tree>,
    /// The one writer of the leaves of `after`.
    pub(crate) leaves: LeafWriter,
    pub(crate) size: u64,
}

/// What the insertion lock guards.
#[derive(Debug)]
pub(super) struct Ingest {
    /// The trees in use.
    inlets: PerTree<Inlet>,
    accepted: Tally,
    /// What came since the last point or, where every insert ends at a point, since the last cut.
    open: Pending,
    /// What came up to the last point that a caller named. `None` where every insert ends at a point.
    named: Option<Named>,
    /// The number that the next list gets.
    next_list: u64,
    /// What the flusher has cut.
    cut: Tally,
    /// The last point that the flusher has begun to make durable.
    taken: Seq,
    /// What came before large batches and is not cut yet, oldest first.
    early: VecDeque<Cut>,
    /// Whether a thread is copying a large batch.
    pub(super) copying: bool,
    /// What the log has, durable or not.
    written: Tally,
    /// Where the last large batch ends.
    large_end: Tally,
    /// What the last checkpoint has.
    checkpointed: Tally,
    pub(super) copied: Copied,
    /// The largest number of parts of any tree, or 0 while merging is suspended.
    parts: u64,
    pub(super) limits: Limits,
    /// An insert beyond this has to check the limits. Follows from the limits and from what is held.
    gate: Gate,
    /// Bytes of nodes that came while inserts were slowed down, and for which no insert has waited yet.
    pub(super) debt: u64,
    /// While inserts are slowed down: the earliest time for what was inserted last, by the pace.
    pub(super) due: Option<Instant>,
    /// Bytes per second of memory that the last checkpoint freed.
    drain: u64,
    /// Whether an insert has notified the flusher since the last cut.
    pub(super) notified: bool,
    /// Whether an insert has requested an early flush or spill since the last cut.
    pub(super) hurried: bool,
    pub(super) waiting: usize,
    /// How many ranges the erased entries of all trees are stored as.
    erased_ranges: u64,
    /// The sizes of the trees in use that have no inlet, because they are not loaded.
    asleep: PerTree<u64>,
    /// The marks that were accepted.
    marks: Marks,
    max_marks: usize,
    mark_policy: MarkPolicy,
    /// The mark of the large batch that is being copied.
    reserved: Option<MarkName>,
    /// Whether nothing is accepted until that is taken back.
    read_only: bool,
    ended: Option<Error>,
}

/// What came up to the last point and is not cut yet.
#[derive(Debug)]
struct Named {
    tally: Tally,
    pending: Pending,
}

/// Bytes per second that a checkpoint is assumed to write before the first one was measured.
const FIRST_DRAIN: u64 = 256 << 20;

impl Ingest {
    /// For a store that has accepted `accepted`. All of it is in the log, and the last checkpoint has
    /// `checkpointed` of it.
    pub(super) fn new(
        accepted: Tally,
        checkpointed: Tally,
        limits: Limits,
        flush: FlushPolicy,
    ) -> Self {
        let named = match flush {
            FlushPolicy::Manual => Some(Named { tally: accepted, pending: Pending::new(1) }),
            FlushPolicy::Interval { .. } => None,
        };
        let mut ingest = Self {
            inlets: PerTree::default(),
            accepted,
            open: Pending::new(2),
            named,
            next_list: 3,
            cut: accepted,
            taken: accepted.seq,
            early: VecDeque::new(),
            copying: false,
            written: accepted,
            large_end: accepted,
            checkpointed,
            copied: Copied::default(),
            parts: 0,
            limits,
            gate: Gate::default(),
            debt: 0,
            due: None,
            drain: FIRST_DRAIN,
            notified: false,
            hurried: false,
            waiting: 0,
            erased_ranges: 0,
            asleep: PerTree::default(),
            marks: Marks::default(),
            max_marks: 0,
            mark_policy: MarkPolicy::default(),
            reserved: None,
            read_only: false,
            ended: None,
        };
        ingest.set_gate();
        ingest
    }

    /// What counts against the limits of an insert, which is a `large` batch or any other.
    pub(super) fn held(&self, large: bool) -> Held {
        let Self { accepted, mut written, checkpointed, parts, .. } = *self;
        if !large && written.seq < self.large_end.seq {
            written = self.large_end;
        }
        let copied = self.copied.bytes();
        let relief =
            self.named.as_ref().is_none_or(|named| named.tally.seq > self.checkpointed.seq);
        Held { accepted, written, checkpointed, copied, parts, relief }
    }

    fn set_gate(&mut self) {
        self.gate = match self.copying || self.read_only {
            true => Gate::default(),
            false => self.limits.gate(&self.held(false)),
        };
    }

    /// Whether nothing is accepted until that is taken back.
    pub(super) fn is_read_only(&self) -> bool {
        self.read_only
    }

    /// Has every insert fail from now on, or no more. An insert that is not slowed down notices by the gate.
    pub(super) fn set_read_only(&mut self, yes: bool) {
        self.read_only = yes;
        self.set_gate();
    }

    /// Fails if nothing is accepted: the store has ended, or is read-only.
    pub(super) fn check_accepts(&self) -> Result<()> {
        self.check()?;
        match self.read_only {
            true => Err(Error::ReadOnly),
            false => Ok(()),
        }
    }

    /// Whether an insert has to check the limits first.
    #[inline]
    pub(super) fn presses(&self) -> bool {
        self.gate.is_reached(&self.accepted)
    }

    #[inline]
    pub(super) fn accepted(&self) -> Tally {
        self.accepted
    }

    /// Opens `tree` to inserts. The tree is new, or was in the store when it was opened.
    pub(super) fn admit(&mut self, tree: &Arc<Tree>, writer: LeafWriter, sealed: bool) {
        self.asleep.remove(tree.id());
        self.inlets.insert(tree.id(), Inlet::new(tree, writer, sealed));
    }

    /// Accepts a new tree.
    pub(super) fn create(&mut self, tree: &Arc<Tree>, writer: LeafWriter) -> Seq {
        self.admit(tree, writer, false);
        self.control(Control::Created(Arc::clone(tree)))
    }

    /// Accepts a record that seals `tree`. `None` if the tree was sealed before. Fails if it was dropped.
    pub(super) fn seal(&mut self, tree: &Fixed) -> Result<Option<Seq>> {
        let inlet = self.inlets.get_mut(tree.id()).ok_or_else(|| dropped(tree))?;
        if std::mem::replace(&mut inlet.sealed, true) {
            return Ok(None);
        }
        let tree = Arc::clone(&inlet.tree);
        Ok(Some(self.control(Control::Sealed(tree))))
    }

    /// Accepts a record that gives `tree` an index. `None` if the tree has one. Fails if it was dropped.
    pub(super) fn add_index(&mut self, tree: &Fixed) -> Result<Option<Seq>> {
        let tree = self.current(tree)?;
        Ok(tree.give_index().then(|| self.control(Control::Indexed(tree))))
    }

    /// Notes the ranges that the erased entries of all trees are stored as.
    pub(super) fn set_erased_ranges(&mut self, ranges: u64) {
        self.erased_ranges = ranges;
    }

    /// Accepts a record that erases the entries `ranges` of `tree`, which are in order. They can be read no more
    /// when this returns. `None` if all of them were erased before. Fails if the tree was dropped, if it does not
    /// have all of them, or if the store would have too many ranges.
    pub(super) fn erase(
        &mut self,
        tree: &Fixed,
        ranges: &[Range<u64>],
        cause: &Cause,
    ) -> Result<Option<Seq>> {
        let inlet = self.inlets.get(tree.id()).ok_or_else(|| dropped(tree))?;
        let tree = Arc::clone(&inlet.tree);
        let end = ranges.last().map_or(0, |last| last.end);
        if end > inlet.size {
            return Err(Error::IndexOutOfRange {
                index: LeafIndex(end - 1),
                size: TreeSize(inlet.size),
            });
        }
        if let Some(first) = ranges.first() {
            tree.check_base(first.start)?;
        }
        let Some(erasing) = self.begin_erasure(&tree, ranges, cause)? else { return Ok(None) };
        Ok(Some(self.control(Control::Erased(tree, erasing))))
    }

    /// Appends leaves whose entries are erased from the beginning. Returns the index of the first. The entries of
    /// `addition` have no data.
    pub(super) fn append_erased(&mut self, addition: &Addition<'_>, cause: &Cause) -> Result<u64> {
        let first = self.check_tree(addition.tree)?;
        let tree = self.current(addition.tree)?;
        let range = first..first + addition.leaves.len() as u64;
        // Before the leaves can be seen, so no reader takes them for leaves of empty entries.
        if let Some(erasing) = self.begin_erasure(&tree, &[range], cause)? {
            self.append(addition)?;
            self.control(Control::Erased(tree, erasing));
        }
        Ok(first)
    }

    /// Makes readers see the entries `ranges` as erased. `None` if all of them were before.
    fn begin_erasure(
        &mut self,
        tree: &Tree,
        ranges: &[Range<u64>],
        cause: &Cause,
    ) -> Result<Option<Erasing>> {
        let before = tree.erasures();
        let (at, payload) = (cause.at, erasure::encode(ranges, &cause.reason));
        let Some(after) = before.with(ranges, cause.clone()) else { return Ok(None) };
        let all = (self.erased_ranges + after.ranges()).saturating_sub(before.ranges());
        if all > erasure::MOST_OF_STORE {
            let (found, most) = (all, erasure::MOST_OF_STORE);
            return Err(Error::TooManyErasures { found, most });
        }
        self.erased_ranges = all;
        let after = Arc::new(after);
        tree.set_erasures(Arc::clone(&after));
        // Snapshots that were taken before a rewind have the same entries below the cut.
        for (older, cut) in tree.states_before() {
            let below = ranges.iter().map(|range| range.start..range.end.min(cut));
            let below: Vec<_> = below.filter(|range| !range.is_empty()).collect();
            if let Some(after) = older.erasures().with(&below, cause.clone()) {
                older.set_erasures(Arc::new(after));
            }
        }
        let (ranges, payload) = (ranges.len() as u64, payload.into());
        Ok(Some(Erasing { at, ranges, payload, after }))
    }

    /// Accepts a record that drops the tree of `spec`. The tree had so many ranges of erased entries.
    pub(super) fn drop_tree(&mut self, spec: &Arc<TreeSpec>, erased_ranges: u64) -> Seq {
        self.erased_ranges = self.erased_ranges.saturating_sub(erased_ranges);
        self.asleep.remove(spec.id);
        let tree = self.inlets.remove(spec.id).map(|inlet| inlet.tree);
        self.control(Control::Dropped(Arc::clone(spec), tree))
    }

    /// Notes the sizes of the trees that are not loaded.
    pub(super) fn set_asleep(&mut self, sizes: PerTree<u64>) {
        self.asleep = sizes;
    }

    /// Notes the marks that there are, how many there may be, and what one does that finds no room.
    pub(super) fn set_marks(&mut self, marks: Marks, most: usize, policy: MarkPolicy) {
        (self.marks, self.max_marks, self.mark_policy) = (marks, most, policy);
    }

    /// The marks that were accepted.
    pub(super) fn marks(&self) -> Marks {
        self.marks.clone()
    }

    /// Fails if no mark can get this name, or if there are as many as there may be and none may go.
    pub(super) fn check_mark(&self, name: &MarkName) -> Result<()> {
        if self.marks.get(name).is_some() || self.reserved.as_ref() == Some(name) {
            return Err(Error::MarkExists { mark: name.clone() });
        }
        let (found, most) =
            (self.marks.len() + usize::from(self.reserved.is_some()), self.max_marks);
        let room = match self.mark_policy {
            MarkPolicy::Refuse => found < most,
            MarkPolicy::DropOldest => most > 0,
        };
        if !room {
            return Err(Error::TooManyMarks { found, most });
        }
        Ok(())
    }

    /// Accepts a record that gives the sizes of all trees in use a name. Where there is no room for it, records before it
    /// remove the oldest marks.
    pub(super) fn mark(&mut self, name: &MarkName) -> Result<Seq> {
        self.check_mark(name)?;
        let too_many = (self.marks.len() + 1).saturating_sub(self.max_marks);
        // Each record has a list of the marks that are left, so it is never many of them at a time.
        let oldest: Vec<_> =
            self.marks.iter().take(too_many.min(2)).map(|mark| mark.name.clone()).collect();
        for name in oldest {
            self.unmark(&name)?;
        }
        let asleep = self.asleep.iter().map(|(id, size)| (id, *size));
        let mut sizes: Vec<_> = self.sizes().chain(asleep).collect();
        sizes.sort_unstable_by_key(|(id, _)| *id);
        let mark = Mark::new(name.clone(), sizes).map(Arc::new);
        let after = mark.as_ref().and_then(|mark| self.marks.with(Arc::clone(mark)));
        // No id is there twice, and the name is free.
        let (Some(mark), Some(after)) = (mark, after) else {
            return Err(Error::MarkExists { mark: name.clone() });
        };
        self.marks = after.clone();
        Ok(self.control(Control::Marked(mark, after)))
    }

    /// Accepts a record that removes a mark.
    pub(super) fn unmark(&mut self, name: &MarkName) -> Result<Seq> {
        let after = self.marks.without(name);
        let after = after.ok_or_else(|| Error::NoMark { mark: name.clone() })?;
        self.marks = after.clone();
        Ok(self.control(Control::Unmarked(name.clone(), after)))
    }

    fn control(&mut self, control: Control) -> Seq {
        control.count_in(&mut self.accepted);
        self.open.control(control);
        self.accepted.seq
    }

    /// The size of `tree`. Fails if it was sealed or dropped.
    pub(super) fn check_tree(&self, tree: &Fixed) -> Result<u64> {
        let inlet = self.inlets.get(tree.id()).ok_or_else(|| dropped(tree))?;
        inlet.check()?;
        Ok(inlet.size)
    }

    /// Appends the leaves of `addition`. Returns the index of the first.
    #[inline]
    pub(super) fn append(&mut self, addition: &Addition<'_>) -> Result<u64> {
        let Addition { tree, leaves, entries } = addition;
        let inlet = self.inlets.get_mut(tree.id()).ok_or_else(|| dropped(tree))?;
        inlet.check()?;
        let first = inlet.size;
        if let Some(writer) = &mut inlet.writer
            && !leaves.is_empty()
        {
            if entries.is_empty() {
                writer.append(leaves);
            } else {
                writer.append_entries(leaves, entries);
            }
            let bytes = addition.entry_bytes();
            inlet.count(leaves.len() as u64, bytes, &mut self.open, &mut self.accepted);
        }
        Ok(first)
    }

    /// Takes the writers of `trees` out for a large batch, which will set the mark `mark`. Every insert waits from now
    /// on. What was inserted before is flushed apart from the batch.
    pub(super) fn begin_large(
        &mut self,
        trees: &[&Arc<Fixed>],
        mark: Option<&MarkName>,
    ) -> Vec<Option<LeafWriter>> {
        self.copying = true;
        self.reserved = mark.cloned();
        self.set_gate();
        let cut = match self.take_named() {
            Some(named) => named,
            None => self.take_open(),
        };
        let known = self.early.back().map_or(self.taken, |early| early.tally.seq);
        if cut.tally.seq > known {
            self.early.push_back(cut);
        }
        let writer = |tree: &&Arc<Fixed>| self.inlets.get_mut(tree.id())?.writer.take();
        trees.iter().map(writer).collect()
    }

    /// Publishes the leaves that a large batch has written, if all its trees still take leaves. Other threads may
    /// insert again.
    pub(super) fn end_large(&mut self, written: Vec<Written>) -> Result<()> {
        self.copying = false;
        self.reserved = None;
        let open = self.check().and_then(|()| {
            written.iter().try_for_each(|written| self.check_tree(&written.tree).map(drop))
        });
        for Written { tree, mut writer, count, entry_bytes } in written {
            if open.is_ok() {
                writer.publish(writer.len() + count);
            }
            // A tree that was dropped meanwhile needs no writer.
            if let Some(inlet) = self.inlets.get_mut(tree.id()) {
                inlet.writer = Some(writer);
                if open.is_ok() {
                    inlet.count(count, entry_bytes, &mut self.open, &mut self.accepted);
                }
            }
        }
        if open.is_ok() {
            self.large_end = self.accepted;
        }
        self.set_gate();
        open
    }

    fn number_list(&mut self) -> u64 {
        self.next_list += 1;
        self.next_list
    }

    fn take_open(&mut self) -> Cut {
        let next = self.number_list();
        self.open.take(next, self.accepted)
    }

    fn take_named(&mut self) -> Option<Cut> {
        let next = self.number_list();
        self.named.as_mut().map(|named| named.pending.take(next, named.tally))
    }

    /// Returns what the flusher has to make durable next, and whether there is more. That is everything up to the
    /// last point that was not cut before, except that what came before a large batch is cut without that batch.
    pub(super) fn take_cut(&mut self) -> (Cut, bool) {
        let early = self.early.pop_front();
        let more = early.is_some();
        let cut = match early.or_else(|| self.take_named()) {
            Some(cut) => cut,
            None => self.take_open(),
        };
        self.taken = cut.tally.seq;
        if self.cut.seq < cut.tally.seq {
            self.cut = cut.tally;
        }
        if !more {
            self.notified = false;
            self.hurried = false;
        }
        (cut, more)
    }

    /// Returns what came up to the last point and what came after it, for the flusher to write without a sync.
    /// `None` if fewer than `least` bytes wait for the log, or if a rewind does, which is flushed at once.
    pub(super) fn spill_cut(&mut self, least: u64) -> Option<(Cut, Cut)> {
        let rewinds = self.early.iter().any(|cut| cut.kind != CutKind::Ordinary);
        if rewinds || self.unwritten_bytes() < least {
            return None;
        }
        // `None` where every insert ends at a point.
        let point = self.take_named()?;
        self.taken = point.tally.seq;
        self.cut = self.accepted;
        self.hurried = false;
        let mut all = self.take_open();
        let mut early = std::mem::take(&mut self.early).into_iter().chain([point]);
        let mut point = early.next()?;
        early.for_each(|later| point.extend(later));
        all.tally = self.accepted;
        Some((point, all))
    }

    /// The sequence number of the last point.
    pub(super) fn point(&self) -> Seq {
        self.named.as_ref().map_or(self.accepted.seq, |named| named.tally.seq)
    }

    /// Names a point after everything accepted so far, for a caller that requests its flush.
    pub(super) fn name_point(&mut self) -> Seq {
        let seq = self.accepted.seq;
        if self.named.as_ref().is_some_and(|named| named.tally.seq < seq) {
            let open = self.take_open();
            let Some(named) = &mut self.named else { return seq };
            named.tally = open.tally;
            for stretch in open.stretches {
                match self.inlets.get_mut(stretch.tree.id()) {
                    // No list has leaves of a state before a rewind: what came before is in cuts of its own.
                    Some(inlet) => {
                        let (from, to) = (stretch.from, stretch.to);
                        named.pending.leaves(&stretch.tree, from, to, &mut inlet.named);
                    }
                    None => named.pending.rest(stretch),
                }
            }
            open.controls.into_iter().for_each(|control| named.pending.control(control));
            self.set_gate();
        }
        seq
    }

    /// Notes what the log has. Returns whether any insert waits.
    pub(super) fn note_written(&mut self, written: Tally) -> bool {
        self.written = written;
        self.set_gate();
        self.waiting > 0
    }

    /// Notes what a checkpoint has and, if it was measured, how many bytes of memory per second it freed.
    /// Returns whether any insert waits.
    pub(super) fn note_checkpoint(&mut self, held: Tally, drain: Option<u64>) -> bool {
        self.checkpointed = held;
        self.copied.reset();
        self.drain = drain.unwrap_or(self.drain);
        self.set_gate();
        self.waiting > 0
    }

    /// What the last checkpoint has.
    pub(super) fn last_checkpoint(&self) -> Tally {
        self.checkpointed
    }

    /// Notes the largest number of parts of any tree, or 0 while merging is suspended. Returns whether the number
    /// fell and any insert waits.
    pub(super) fn note_parts(&mut self, parts: u64) -> bool {
        let fewer = parts < std::mem::replace(&mut self.parts, parts);
        self.set_gate();
        fewer && self.waiting > 0
    }

    /// Returns how long the caller has to wait for the inserts since the last call, and clears the debt.
    pub(super) fn pay(&mut self, share: f64) -> Duration {
        let time = pace(std::mem::take(&mut self.debt), self.drain, share);
        let now = Instant::now();
        let (ahead, late) = self.due.map_or((Duration::ZERO, Duration::ZERO), |due| {
            (due.saturating_duration_since(now), now.saturating_duration_since(due))
        });
        // The time that inserting takes counts, time without inserts does not. Many threads share one pace, but no
        // thread waits longer than the longest pace at a time.
        let wait = (ahead + time).saturating_sub(late.min(time)).min(LONGEST_PACE);
        self.due = now.checked_add(wait);
        wait
    }

    /// The counter of the bytes of nodes that the checkpoint under way has written.
    pub(super) fn copied(&self) -> Copied {
        self.copied.clone()
    }

    /// Bytes of nodes that no checkpoint has.
    pub(super) fn uncheckpointed_bytes(&self) -> u64 {
        self.accepted.node_bytes_since(self.checkpointed)
    }

    /// Whether the checkpoint under way falls behind the inserts.
    pub(super) fn is_behind(&self) -> bool {
        self.limits.is_behind(&self.held(false))
    }

    /// Whether a checkpoint would relieve inserts.
    pub(super) fn wants_checkpoint(&self) -> bool {
        self.limits.wants_checkpoint(&self.held(false))
    }

    pub(super) fn end(&mut self, error: Error) {
        self.ended.get_or_insert(error);
    }

    #[inline]
    pub(super) fn check(&self) -> Result<()> {
        match &self.ended {
            None => Ok(()),
            Some(error) => Err(error.clone()),
        }
    }

    /// Bytes of records that the log does not have yet.
    pub(super) fn unwritten_bytes(&self) -> u64 {
        self.accepted.record_bytes_since(self.written)
    }

    /// Bytes of records that are not cut yet.
    #[inline]
    pub(super) fn uncut_bytes(&self) -> u64 {
        self.accepted.record_bytes_since(self.cut)
    }

    /// Whether a tree that was opened to inserts can still get leaves.
    pub(super) fn fate(&self, id: TreeId) -> Fate {
        match self.inlets.get(id) {
            None => Fate::Dropped,
            Some(inlet) if inlet.sealed => Fate::Sealed,
            Some(_) => Fate::Open,
        }
    }

    /// Whether the tree is in use and sealed.
    pub(super) fn is_sealed(&self, id: TreeId) -> bool {
        self.inlets.get(id).is_some_and(|inlet| inlet.sealed)
    }

    /// The trees in use that are loaded, with their sizes, at one moment.
    pub(super) fn trees(&self) -> impl Iterator<Item = (TreeId, (Arc<Tree>, u64))> {
        self.inlets.iter().map(|(id, inlet)| (id, (Arc::clone(&inlet.tree), inlet.size)))
    }

    /// The state of a tree that was loaded. Fails if the tree was dropped.
    fn current(&self, tree: &Fixed) -> Result<Arc<Tree>> {
        let inlet = self.inlets.get(tree.id()).ok_or_else(|| dropped(tree))?;
        Ok(Arc::clone(&inlet.tree))
    }

    /// Whether this is the state of a tree in use.
    pub(super) fn is_current(&self, tree: &Arc<Tree>) -> bool {
        self.inlets.get(tree.id()).is_some_and(|inlet| Arc::ptr_eq(&inlet.tree, tree))
    }

    /// Fails if `tree` cannot be rewound to `size`.
    pub(super) fn check_rewind(&self, tree: &Fixed, size: u64) -> Result<()> {
        let current = self.check_tree(tree)?;
        if size > current {
            let (size, current) = (TreeSize(size), TreeSize(current));
            return Err(Error::SizeOutOfRange { size, current });
        }
        Ok(())
    }

    /// Whether no tree but `cut` has more leaves than at `mark`, which is the mark of its name.
    pub(super) fn is_behind_mark(&self, mark: &Arc<Mark>, cut: &[Rewinding]) -> bool {
        let is_mark = self.marks.get(&mark.name).is_some_and(|known| Arc::ptr_eq(known, mark));
        let asleep = self.asleep.iter().map(|(id, size)| (id, *size));
        let is_cut = |id| cut.iter().any(|rewinding| rewinding.before.id() == id);
        let mut all = self.sizes().chain(asleep);
        is_mark && all.all(|(id, size)| size <= mark.size(id).unwrap_or(0) || is_cut(id))
    }

    /// Accepts one record that rewinds trees: each is checked, its state is current, and no large batch is under way.
    /// Calls `note` with the number of the record before any later one is accepted. Returns the number, and the marks that go.
    pub(super) fn rewind(
        &mut self,
        mut all: Vec<Rewinding>,
        note: impl FnOnce(Seq),
    ) -> (Seq, Vec<MarkName>) {
        all.sort_unstable_by_key(|rewinding| rewinding.before.id());
        let cuts: Vec<_> =
            all.iter().map(|rewinding| (rewinding.before.id(), rewinding.size)).collect();
        // What came before goes into groups of its own, and so does the record.
        self.name_point();
        let before = match self.take_named() {
            Some(named) => named,
            None => self.take_open(),
        };
        let known = self.early.back().map_or(self.taken, |early| early.tally.seq);
        if before.tally.seq > known {
            self.early.push_back(Cut { kind: CutKind::BeforeRewind, ..before });
        }
        let marks = self.marks.only(|mark| mark.outlives(&cuts));
        let gone = self.marks.iter().filter(|mark| !mark.outlives(&cuts));
        let gone = gone.map(|mark| mark.name.clone()).collect();
        self.marks = marks.clone();
        let trees = all.iter().map(|rewinding| (Arc::clone(&rewinding.after), rewinding.size));
        let seq = self.control(Control::Rewound(trees.collect(), marks));
        note(seq);
        for Rewinding { slot, before, after, leaves, size } in all {
            // An erasure and an index may have come since the state was made.
            let (old, new) = (before.erasures(), before.erasures().cut(size));
            self.erased_ranges = (self.erased_ranges + new.ranges()).saturating_sub(old.ranges());
            after.set_erasures(Arc::new(new));
            if before.is_indexed() {
                after.give_index();
            }
            after.set_durable(before.durable().get().min(size));
            slot.replace(seq, size, &after);
            let inlet = Inlet::new(&after, leaves, false);
            self.inlets.insert(after.id(), inlet);
        }
        self.name_point();
        let own = match self.take_named() {
            Some(named) => named,
            None => self.take_open(),
        };
        self.early.push_back(Cut { kind: CutKind::Rewind, ..own });
        self.set_gate();
        (seq, gone)
    }

    /// The sizes of the trees in use, at one moment.
    pub(super) fn sizes(&self) -> impl Iterator<Item = (TreeId, u64)> {
        self.inlets.iter().map(|(id, inlet)| (id, inlet.size))
    }
}
