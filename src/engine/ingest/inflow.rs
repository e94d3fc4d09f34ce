//! The insertion lock, and the inserts that wait for room under it.
//!
//! # Invariants
//!
//! - Only this folder takes the lock. A thread holds it to update a few words or to copy a small batch. Under it
//!   a thread takes no other lock but those inside the columns and the watermark.
//! - An insert that waits is counted under the lock. Every change that may make room for one is made under the
//!   lock, as is the end of the store. The thread that made the change then wakes all waiting inserts.

use std::sync::Arc;
use std::time::Duration;

use super::pending::Cut;
use super::state::{Fate, Ingest};
use crate::column::LeafWriter;
use crate::config::{FlushPolicy, MarkPolicy};
use crate::engine::Tree;
use crate::engine::counted::Copied;
use crate::engine::limits::Limits;
use crate::engine::tally::Tally;
use crate::error::{Error, Result};
use crate::ids::{Seq, TreeId};
use crate::mark::Marks;
use crate::per_tree::PerTree;
use crate::sync;
use crate::sync::{Condvar, Mutex, MutexGuard};

/// A checkpoint of at least so many bytes of nodes measures how fast the disk is.
const TELLING_BYTES: u64 = 16 << 20;

/// The insertion lock with what it guards, and the waiting inserts.
#[derive(Debug)]
pub(in crate::engine) struct Inflow {
    state: Mutex<Ingest>,
    /// Notified when there may be room for a waiting insert, and when the store has ended.
    room: Condvar,
}

/// How much was accepted, and how much of it waits for the log or for a checkpoint.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine) struct Accepted {
    pub(in crate::engine) leaves: u64,
    /// Leaves in the last checkpoint.
    pub(in crate::engine) checkpointed: u64,
    /// Bytes of records that the log does not have yet.
    pub(in crate::engine) unwritten_bytes: u64,
    /// Bytes of nodes that no checkpoint has.
    pub(in crate::engine) uncheckpointed_bytes: u64,
}

impl Inflow {
    /// For a store that has accepted `accepted`. All of it is in the log, and the last checkpoint has
    /// `checkpointed` of it.
    pub(in crate::engine) fn new(
        accepted: Tally,
        checkpointed: Tally,
        limits: Limits,
        flush: FlushPolicy,
    ) -> Self {
        let state = Mutex::new(Ingest::new(accepted, checkpointed, limits, flush));
        Self { state, room: Condvar::new() }
    }

    /// Takes the insertion lock.
    #[inline(always)]
    pub(super) fn lock(&self) -> MutexGuard<'_, Ingest> {
        self.state.lock()
    }

    /// Wakes every waiting insert, which checks again for room. The caller does not hold the lock.
    #[cfg_attr(duramen_loom, track_caller)]
    pub(super) fn wake(&self) {
        self.room.notify_all();
    }

    /// Waits once for a change, at most for `longest`. Fails if the store accepts nothing any more by then.
    #[cfg_attr(duramen_loom, track_caller)]
    pub(super) fn wait<'a>(
        &'a self,
        mut ingest: MutexGuard<'a, Ingest>,
        longest: Option<Duration>,
    ) -> Result<MutexGuard<'a, Ingest>> {
        ingest.waiting += 1;
        ingest = match longest {
            None => self.room.wait(ingest),
            Some(longest) => self.room.wait_for(ingest, longest),
        };
        ingest.waiting -= 1;
        ingest.check_accepts()?;
        Ok(ingest)
    }

    /// Has the store accept nothing more, or accept again. Returns when no insert is under way.
    pub(in crate::engine) fn set_read_only(&self, yes: bool) -> Result<()> {
        let mut ingest = self.state.lock();
        ingest.check()?;
        ingest.set_read_only(yes);
        // A large batch is copied without the lock. Its thread notifies the others when it has ended.
        while yes && ingest.copying {
            ingest.waiting += 1;
            ingest = self.room.wait(ingest);
            ingest.waiting -= 1;
        }
        drop(ingest);
        self.wake();
        Ok(())
    }

    pub(in crate::engine) fn is_read_only(&self) -> bool {
        self.state.lock().is_read_only()
    }

    /// Opens `tree`, which is already in the store, to inserts.
    pub(in crate::engine) fn admit(&self, tree: &Arc<Tree>, writer: LeafWriter, sealed: bool) {
        self.state.lock().admit(tree, writer, sealed);
    }

    /// Notes the ranges that the erased entries of all trees are stored as.
    pub(in crate::engine) fn set_erased_ranges(&self, ranges: u64) {
        self.state.lock().set_erased_ranges(ranges);
    }

    /// Notes the sizes of the trees that are not loaded.
    pub(in crate::engine) fn set_asleep(&self, sizes: PerTree<u64>) {
        self.state.lock().set_asleep(sizes);
    }

    /// Notes the marks that there are, and how many there may be.
    pub(in crate::engine) fn set_marks(&self, marks: Marks, most: usize, policy: MarkPolicy) {
        self.state.lock().set_marks(marks, most, policy);
    }

    /// The marks that were accepted.
    pub(in crate::engine) fn marks(&self) -> Marks {
        self.state.lock().marks()
    }

    /// Fails if the store has ended.
    pub(in crate::engine) fn check(&self) -> Result<()> {
        self.state.lock().check()
    }

    /// As [`check`](Self::check), unless another thread has the lock.
    #[cfg(test)]
    pub(in crate::engine) fn check_if_free(&self) -> Option<Result<()>> {
        self.state.try_lock().map(|ingest| ingest.check())
    }

    /// The sequence number of the last accepted record.
    pub(in crate::engine) fn last(&self) -> Seq {
        self.state.lock().accepted().seq
    }

    /// The number that the next tree gets.
    pub(in crate::engine) fn next_tree(&self) -> u64 {
        self.state.lock().accepted().next_tree
    }

    pub(in crate::engine) fn accepted(&self) -> Accepted {
        let ingest = self.state.lock();
        Accepted {
            leaves: ingest.accepted().leaves,
            checkpointed: ingest.last_checkpoint().leaves,
            unwritten_bytes: ingest.unwritten_bytes(),
            uncheckpointed_bytes: ingest.uncheckpointed_bytes(),
        }
    }

    /// The trees in use that are loaded, with their sizes, at one moment.
    pub(in crate::engine) fn trees(&self) -> PerTree<(Arc<Tree>, u64)> {
        self.state.lock().trees().collect()
    }

    /// The marks, and the trees in use that are loaded with their sizes, at one moment.
    pub(in crate::engine) fn marked(&self) -> (Marks, PerTree<(Arc<Tree>, u64)>) {
        let ingest = self.state.lock();
        (ingest.marks(), ingest.trees().collect())
    }

    /// Whether a tree that was opened to inserts can still get leaves.
    pub(in crate::engine) fn fate(&self, id: TreeId) -> Fate {
        self.state.lock().fate(id)
    }

    /// Whether a tree in use is sealed.
    pub(in crate::engine) fn is_sealed(&self, id: TreeId) -> bool {
        self.state.lock().is_sealed(id)
    }

    /// Returns what the flusher has to write and sync next, and whether there is more after that.
    pub(in crate::engine) fn cut(&self) -> (Cut, bool) {
        self.state.lock().take_cut()
    }

    /// Returns everything up to the last point and everything after it, for the flusher to write without a sync.
    /// `None` if fewer than `least` bytes wait for the log.
    pub(in crate::engine) fn spill_cut(&self, least: u64) -> Option<(Cut, Cut)> {
        self.state.lock().spill_cut(least)
    }

    /// Notes that the log has everything up to `written`, durable or not.
    pub(in crate::engine) fn written(&self, written: Tally) {
        let waiting = self.state.lock().note_written(written);
        if waiting {
            self.wake();
        }
    }

    /// Whether the checkpoint under way falls behind the inserts.
    pub(in crate::engine) fn is_behind(&self) -> bool {
        self.state.lock().is_behind()
    }

    /// Whether a checkpoint would relieve inserts.
    pub(in crate::engine) fn wants_checkpoint(&self) -> bool {
        self.state.lock().wants_checkpoint()
    }

    /// The counter of the bytes of nodes that the checkpoint under way has written.
    pub(in crate::engine) fn copied(&self) -> Copied {
        self.state.lock().copied()
    }

    /// Sets the counter to zero: a checkpoint begins, or the one under way has ended.
    pub(in crate::engine) fn reset_copied(&self) {
        self.copied().reset();
    }

    /// Notes a checkpoint of everything accepted up to `held`. In the time `took` it freed the memory of what had
    /// come since the checkpoint before it.
    pub(in crate::engine) fn made_room(&self, held: Tally, took: Duration) {
        let mut ingest = self.state.lock();
        let bytes = u128::from(held.node_bytes_since(ingest.last_checkpoint()));
        let drain = bytes * 1_000_000_000 / took.as_nanos().max(1);
        let drain = u64::try_from(drain).unwrap_or(u64::MAX);
        // A small checkpoint spends its time on syncs.
        let telling = bytes >= u128::from(TELLING_BYTES);
        let waiting = ingest.note_checkpoint(held, telling.then_some(drain));
        drop(ingest);
        if waiting {
            self.wake();
        }
    }

    /// Notes the largest number of parts of any tree, or 0 while merging is suspended.
    pub(in crate::engine) fn limit_parts(&self, parts: u64) {
        let waiting = self.state.lock().note_parts(parts);
        if waiting {
            self.wake();
        }
    }

    /// Wakes the inserts that wait for room, so that they check whether it can still come.
    pub(in crate::engine) fn recheck_room(&self) {
        let waiting = if sync::defect("waiting inserts are told without their lock") {
            true
        } else {
            self.state.lock().waiting > 0
        };
        if waiting {
            self.wake();
        }
    }

    /// Ends the store with `error`. Runs `meanwhile` before an insert can see the end.
    pub(in crate::engine) fn end<T>(&self, error: Error, meanwhile: impl FnOnce() -> T) -> T {
        let mut ingest = self.state.lock();
        ingest.end(error);
        let done = meanwhile();
        drop(ingest);
        self.wake();
        done
    }

    /// Ends the store as closed, and names a last point after everything accepted. Returns the point's number,
    /// and an error if the store had ended before.
    pub(in crate::engine) fn close(&self) -> (Result<()>, Seq) {
        let mut ingest = self.state.lock();
        let before = ingest.check();
        ingest.end(Error::Closed);
        let seq = ingest.name_point();
        drop(ingest);
        self.room.notify_all();
        (before, seq)
    }
}
