//! The store's side of the log: the requests to the flusher, and what is durable.
//!
//! # Invariants
//!
//! - Only the flusher raises what is durable: first the last point with its changes, then the watermark. So a
//!   caller whose token has resolved finds its trees there.
//! - A thread holds each lock in here for a few words, and takes no other lock meanwhile.

use std::sync::Arc;
use std::time::Duration;

use super::control::{Control, Work};
use super::flushed::{Changed, FlushPoint, Flushed, News};
use crate::durability::{DurabilityToken, Ending, Watermark};
use crate::error::{Error, Result};
use crate::ids::{SegmentId, Seq, TreeId};
use crate::mark::Marks;
use crate::merkle::TreeName;
use crate::sync::process::Process;
use crate::sync::{Condvar, Instant, Mutex};
use crate::wal::{OnwardHold, SegmentHold, Segments, Unwiped};

/// The state of the log that callers, workers and the flusher share.
#[derive(Debug)]
pub(in crate::engine) struct LogSide {
    control: Control,
    watermark: Arc<Watermark>,
    segments: Arc<Segments>,
    /// The last point that the flusher synced. Under [`FlushPolicy::Manual`](crate::FlushPolicy) a caller named
    /// this point.
    flushed: Mutex<Flushed>,
    /// How often the flusher has answered a request to leave the log's segment, and whether it left it last.
    rolls: Mutex<(u64, bool)>,
    answered: Condvar,
}

/// How often a thread that waits for the flusher looks whether the log has ended.
const LOOK: Duration = Duration::from_millis(50);

/// Requests, and answers.
impl LogSide {
    /// For a store in `process` with the durable state `flushed`.
    pub(in crate::engine) fn new(
        process: Process,
        segments: Arc<Segments>,
        flushed: Flushed,
    ) -> Self {
        let watermark = Arc::new(Watermark::new(flushed.point().tally.seq, process));
        let (flushed, rolls, answered) = (Mutex::new(flushed), Mutex::default(), Condvar::new());
        Self { control: Control::default(), watermark, segments, flushed, rolls, answered }
    }

    /// Requests a flush up to `seq` now.
    pub(in crate::engine) fn request(&self, seq: Seq) {
        self.control.request(seq);
    }

    /// Notes the first leaf since the last group.
    pub(in crate::engine) fn dirty(&self) {
        self.control.dirty();
    }

    /// Has the flusher report changes, at most once in `every`.
    pub(in crate::engine) fn report_every(&self, every: Duration) {
        self.control.report_every(every);
    }

    /// Notes a change that a report has to show.
    pub(in crate::engine) fn report_change(&self) {
        self.control.changed();
    }

    /// When the first leaf came that no group was begun for.
    pub(in crate::engine) fn dirty_since(&self) -> Option<Instant> {
        self.control.dirty_since()
    }

    /// Requests that the flusher writes everything new without a sync.
    pub(in crate::engine) fn spill(&self) {
        self.control.spill();
    }

    /// Has the flusher check after `wait` what else is due. Replaces any time set before.
    pub(in crate::engine) fn tick_in(&self, wait: Option<Duration>) {
        self.control.tick_in(wait);
    }

    /// Has the flusher check after `wait` at the latest what else is due.
    pub(in crate::engine) fn tick_within(&self, wait: Option<Duration>) {
        self.control.tick_within(wait);
    }

    /// Has the flusher, which calls this, write after `wait` that the last group is durable.
    pub(in crate::engine) fn claim_in(&self, wait: Duration) {
        self.control.claim_in(wait);
    }

    /// Ends the pause before a claim, if the flusher waits for one.
    #[cfg(any(test, feature = "testing"))]
    pub(in crate::engine) fn end_pause(&self) {
        self.control.end_pause();
    }

    /// Has the flusher leave the log's segment. Returns false if the log did not end at a point then: more was
    /// written after the last point that a caller named. `check` fails once the store has ended.
    pub(in crate::engine) fn leave_segment(&self, check: impl Fn() -> Result<()>) -> Result<bool> {
        let before = self.rolls.lock().0;
        self.control.roll();
        loop {
            check()?;
            let rolls = self.rolls.lock();
            if rolls.0 != before {
                return Ok(rolls.1);
            }
            drop(self.answered.wait_for(rolls, LOOK));
        }
    }

    /// Has the flusher flush for the last time and end.
    pub(in crate::engine) fn stop(&self) {
        self.control.stop();
    }

    /// Returns when everything up to `seq` is durable, for a caller of `call`.
    pub(in crate::engine) fn flush_to(&self, seq: Seq, call: &'static str) -> Result<()> {
        if self.durable() >= seq {
            return Ok(());
        }
        self.refuse_on_flusher(call)?;
        self.request(seq);
        self.watermark.wait(seq)
    }

    /// Fails on the flusher's thread, where `call` would wait for itself.
    pub(in crate::engine) fn refuse_on_flusher(&self, call: &'static str) -> Result<()> {
        self.watermark.refuse_on_raiser(call)
    }

    /// Resolves once everything up to `seq` is durable.
    #[inline(always)]
    pub(in crate::engine) fn token(&self, seq: Seq) -> DurabilityToken {
        DurabilityToken::new(seq, Arc::clone(&self.watermark))
    }

    /// Notes that the record `seq` rewinds trees: for each its number, its name and the size.
    pub(in crate::engine) fn note_rewind(&self, seq: Seq, cuts: Vec<(TreeId, TreeName, u64)>) {
        self.watermark.note_rewind(seq, cuts);
    }

    /// The sequence number up to which everything is durable now.
    #[inline]
    pub(in crate::engine) fn durable(&self) -> Seq {
        self.watermark.durable()
    }

    /// Returns when everything up to `seq` is durable. Fails if the store has ended, even if `seq` is durable.
    pub(in crate::engine) fn wait_to_the_end(&self, seq: Seq) -> Result<()> {
        self.watermark.wait(seq)?;
        self.watermark.check()
    }

    /// Answers every token that has no answer yet with `error`. The returned value wakes the waiters.
    pub(in crate::engine) fn begin_end(&self, error: Error) -> Option<Ending<'_>> {
        self.watermark.begin_end(error)
    }

    /// Answers every token that has no answer yet with `error`, and wakes the waiters.
    ///
    /// # Errors
    ///
    /// [`Forked`](Error::Forked) if a waker has forked and this is the child.
    pub(in crate::engine) fn end(&self, error: Error) -> Result<()> {
        self.watermark.end(error).map(drop)
    }

    /// Whether the flusher sleeps and no request is pending.
    #[cfg(any(test, feature = "testing"))]
    pub(in crate::engine) fn is_idle(&self) -> bool {
        self.control.is_idle(self.durable())
    }

    /// Runs `look` while no other thread can see that the watermark has ended.
    #[cfg(test)]
    pub(in crate::engine) fn undisturbed<T>(&self, look: impl FnOnce() -> T) -> T {
        self.watermark.undisturbed(look)
    }
}

/// What the flusher does.
impl LogSide {
    /// Declares the current thread the flusher's.
    pub(in crate::engine) fn raise_from_here(&self) {
        self.watermark.raise_from_here();
    }

    /// Waits for work. With an `interval`, leaves are flushed that long after the first of them was inserted.
    pub(in crate::engine) fn next(&self, interval: Option<Duration>) -> Work {
        self.control.next(self.durable(), interval)
    }

    /// Notes that a request to leave the log's segment was answered.
    pub(in crate::engine) fn rolled(&self, left: bool) {
        let mut rolls = self.rolls.lock();
        *rolls = (rolls.0 + 1, left);
        drop(rolls);
        self.answered.notify_all();
    }

    /// Notes that everything up to `point` is durable, `news` among it. Returns whether a tree was dropped.
    ///
    /// # Errors
    ///
    /// [`Forked`](Error::Forked) if a waker has forked and this is the child.
    pub(in crate::engine) fn advance(&self, point: FlushPoint, news: News) -> Result<bool> {
        let dropped = self.flushed.lock().advance(point, news);
        self.watermark.advance(point.tally.seq)?;
        Ok(dropped)
    }
}

/// What is durable, and what of it no checkpoint has yet.
impl LogSide {
    /// The last durable point.
    pub(in crate::engine) fn point(&self) -> FlushPoint {
        self.flushed.lock().point()
    }

    /// Runs `look` with the last durable point. Meanwhile no tree's durable size changes.
    pub(in crate::engine) fn at_point<T>(&self, look: impl FnOnce(&FlushPoint) -> T) -> T {
        let flushed = self.flushed.lock();
        look(&flushed.point())
    }

    /// The last durable point, the trees that differ from the manifest in force there, and the marks.
    pub(in crate::engine) fn changed(&self) -> (FlushPoint, Vec<Changed>, Marks) {
        let flushed = self.flushed.lock();
        (flushed.point(), flushed.changed(), flushed.marks())
    }

    /// As [`changed`](Self::changed), for a checkpoint that begins.
    pub(in crate::engine) fn begin_checkpoint(&self) -> (FlushPoint, Vec<Changed>, Marks) {
        let mut flushed = self.flushed.lock();
        flushed.checkpoint_begins();
        (flushed.point(), flushed.changed(), flushed.marks())
    }

    /// Whether the manifest in force still has a dropped tree.
    pub(in crate::engine) fn has_dropped(&self) -> bool {
        self.flushed.lock().has_dropped()
    }

    /// Notes that the manifest in force has `held`.
    pub(in crate::engine) fn checkpointed(&self, held: &[Changed]) {
        self.flushed.lock().checkpointed(held);
    }
}

/// The files of the log.
impl LogSide {
    /// Prepares a segment ahead of need.
    pub(in crate::engine) fn prepare_segment(&self) -> Result<()> {
        self.segments.prepare()
    }

    /// The error after which the log cannot use another segment, if there was one.
    pub(in crate::engine) fn segments_failure(&self) -> Option<Error> {
        self.segments.failure()
    }

    /// The segments of the log, oldest first.
    pub(in crate::engine) fn segments(&self) -> Vec<SegmentId> {
        self.segments.of_the_log()
    }

    /// How many segments are in the log.
    pub(in crate::engine) fn segments_in_use(&self) -> u64 {
        self.segments.in_use()
    }

    /// The number that the next new segment gets.
    pub(in crate::engine) fn next_segment(&self) -> u64 {
        self.segments.next_id()
    }

    /// Releases the segments before `floor`.
    pub(in crate::engine) fn release_before(&self, floor: SegmentId) -> Result<()> {
        self.segments.release_before(floor)
    }

    /// From now on segments are wiped before they are reused or removed.
    pub(in crate::engine) fn begin_erasing(&self) {
        self.segments.begin_erasing();
    }

    /// Wipes every segment that is not in the log.
    pub(in crate::engine) fn wipe_segments(&self) -> Result<()> {
        self.segments.wipe_all()
    }

    /// Bytes of zeros written over segments so far.
    pub(in crate::engine) fn wiped_bytes(&self) -> u64 {
        self.segments.wiped_bytes()
    }

    /// The segments that are not in the log and not wiped.
    pub(in crate::engine) fn unwiped_segments(&self) -> Unwiped {
        self.segments.unwiped()
    }

    /// Keeps the segments that are in the log now.
    pub(in crate::engine) fn hold_segments(&self) -> SegmentHold<'_> {
        self.segments.hold()
    }

    /// Keeps the segments that are in the log now, and all later ones.
    pub(in crate::engine) fn hold_segments_onward(&self) -> OnwardHold {
        self.segments.hold_onward()
    }
}
