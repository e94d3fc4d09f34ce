//! The insertion lock, and the inserts that wait for room under it.
//!
//! # Invariants
//!
//! - Only this folder takes the lock, and it is held for words or for the copy of a small batch. No other lock
//!   is taken under it but those inside the columns and the watermark.
//! - An insert that waits is counted under the lock. Every change that may make room for one, and the end, is
//!   made under the lock and then wakes all that wait.

use std::sync::Arc;
use std::time::Duration;

use super::pending::Cut;
use super::state::Ingest;
use crate::column::LeafWriter;
use crate::config::FlushPolicy;
use crate::engine::Tree;
use crate::engine::counted::Copied;
use crate::engine::limits::Limits;
use crate::engine::tally::Tally;
use crate::error::{Error, Result};
use crate::ids::{Seq, TreeId};
use crate::per_tree::PerTree;
use crate::sync;
use crate::sync::{Condvar, Mutex, MutexGuard};

/// Bytes of nodes from which on the time of a checkpoint shows how fast the disk is.
const TELLING_BYTES: u64 = 16 << 20;

/// Where leaves and records come in.
#[derive(Debug)]
pub(in crate::engine) struct Inflow {
    state: Mutex<Ingest>,
    /// Notified when there may be room for an insert that waits, or there never will be again.
    room: Condvar,
}

/// How much has come in, and how much of it waits.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine) struct Accepted {
    pub(in crate::engine) leaves: u64,
    /// Bytes of records that the log does not have yet.
    pub(in crate::engine) unwritten_bytes: u64,
    /// Bytes of nodes that no checkpoint holds.
    pub(in crate::engine) uncheckpointed_bytes: u64,
}

impl Inflow {
    /// Of a store that has accepted `accepted`, all of which is in the log, and of which a checkpoint holds
    /// `checkpointed`.
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

    /// Wakes every insert that waits, to look again. The caller does not hold the lock.
    #[cfg_attr(duramen_loom, track_caller)]
    pub(super) fn wake(&self) {
        self.room.notify_all();
    }

    /// Waits once for a change, at most for `longest`. Fails if the store has ended by then.
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
        ingest.check()?;
        Ok(ingest)
    }

    /// Lets leaves in to `tree`, which is found in what the store already holds.
    pub(in crate::engine) fn admit(&self, tree: &Arc<Tree>, writer: LeafWriter, sealed: bool) {
        self.state.lock().admit(tree, writer, sealed);
    }

    /// Fails if nothing is accepted any more.
    pub(in crate::engine) fn check(&self) -> Result<()> {
        self.state.lock().check()
    }

    /// As [`check`](Self::check), unless another thread has the lock.
    #[cfg(test)]
    pub(in crate::engine) fn check_if_free(&self) -> Option<Result<()>> {
        self.state.try_lock().map(|ingest| ingest.check())
    }

    /// The sequence number of what was accepted last.
    pub(in crate::engine) fn last(&self) -> Seq {
        self.state.lock().accepted().seq
    }

    pub(in crate::engine) fn accepted(&self) -> Accepted {
        let ingest = self.state.lock();
        Accepted {
            leaves: ingest.accepted().leaves,
            unwritten_bytes: ingest.unwritten_bytes(),
            uncheckpointed_bytes: ingest.uncheckpointed_bytes(),
        }
    }

    /// The sizes of the trees in use, at one moment.
    pub(in crate::engine) fn sizes(&self) -> PerTree<u64> {
        self.state.lock().sizes().collect()
    }

    /// Whether a tree in use takes no more leaves.
    pub(in crate::engine) fn is_sealed(&self, id: TreeId) -> bool {
        self.state.lock().is_sealed(id)
    }

    /// What the flusher is to write and sync next, and whether there is more after that.
    pub(in crate::engine) fn cut(&self) -> (Cut, bool) {
        self.state.lock().cut()
    }

    /// The last point and everything inserted so far, for the flusher to write, if the log lacks `least` bytes.
    pub(in crate::engine) fn spill_cut(&self, least: u64) -> Option<(Cut, Cut)> {
        self.state.lock().spill_cut(least)
    }

    /// Notes that the log has everything up to `written`, durable or not.
    pub(in crate::engine) fn written(&self, written: Tally) {
        let waiting = self.state.lock().written(written);
        if waiting {
            self.wake();
        }
    }

    /// Whether the checkpoint under way does not keep up with inserts.
    pub(in crate::engine) fn is_behind(&self) -> bool {
        self.state.lock().is_behind()
    }

    /// Whether a checkpoint would relieve inserts.
    pub(in crate::engine) fn wants_checkpoint(&self) -> bool {
        self.state.lock().wants_checkpoint()
    }

    /// Where a checkpoint counts the bytes of nodes that it has written.
    pub(in crate::engine) fn copied(&self) -> Copied {
        self.state.lock().copied()
    }

    /// Notes that the checkpoint under way has written nothing, or that there is none.
    pub(in crate::engine) fn reset_copied(&self) {
        self.copied().reset();
    }

    /// Notes a checkpoint that holds what was accepted up to `held`, and that took what came since the one
    /// before out of memory in the time `took`.
    pub(in crate::engine) fn made_room(&self, held: Tally, took: Duration) {
        let mut ingest = self.state.lock();
        let bytes = u128::from(held.node_bytes_since(ingest.last_checkpoint()));
        let drain = bytes * 1_000_000_000 / took.as_nanos().max(1);
        let drain = u64::try_from(drain).unwrap_or(u64::MAX);
        // The time of a small one is that of its syncs.
        let telling = bytes >= u128::from(TELLING_BYTES);
        let waiting = ingest.checkpointed(held, telling.then_some(drain));
        drop(ingest);
        if waiting {
            self.wake();
        }
    }

    /// Notes how many parts the tree has that has the most, if merging could make them fewer.
    pub(in crate::engine) fn limit_parts(&self, parts: u64) {
        let waiting = self.state.lock().parts(parts);
        if waiting {
            self.wake();
        }
    }

    /// Wakes the inserts that wait for room: what they wait for may never come.
    pub(in crate::engine) fn look_for_room_again(&self) {
        let waiting = if sync::defect("waiting inserts are told without their lock") {
            true
        } else {
            self.state.lock().waiting > 0
        };
        if waiting {
            self.wake();
        }
    }

    /// Ends the store with `error`, and does `meanwhile` before an insert can see that.
    pub(in crate::engine) fn end<T>(&self, error: Error, meanwhile: impl FnOnce() -> T) -> T {
        let mut ingest = self.state.lock();
        ingest.end(error);
        let done = meanwhile();
        drop(ingest);
        self.wake();
        done
    }

    /// Accepts nothing any more, and makes a point of what was accepted. Returns its number, and an error if the
    /// store had ended before.
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
