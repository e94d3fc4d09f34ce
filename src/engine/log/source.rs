//! What the flusher needs of the store.

use std::time::Duration;

use super::control::Work;
use super::flushed::{FlushPoint, News};
use crate::column::View;
use crate::engine::gate::Gate;
use crate::engine::ingest::{Cut, Stretch};
use crate::engine::tally::Tally;
use crate::error::{Error, Result};
#[cfg(duramen_mutants)]
use crate::fs::FileSystem;
use crate::ids::Seq;

/// All that the flusher needs of the store.
///
/// Only [`next`](Self::next) waits, and only for work: no call waits for another thread of the store.
pub(in crate::engine) trait LogSource: Send + Sync {
    /// Says which mistakes a test wants the flusher to make.
    #[cfg(duramen_mutants)]
    fn fs(&self) -> &dyn FileSystem;

    /// The listeners.
    fn gate(&self) -> &Gate;

    /// Declares this thread the flusher's. A call on it that would wait for the flusher fails.
    fn begin(&self);

    /// Waits for work.
    fn next(&self) -> Work;

    /// The sequence number up to which everything is durable.
    fn durable(&self) -> Seq;

    /// How many bytes one group has at most.
    fn group_bytes(&self) -> u64;

    /// Returns what to write and sync next, and whether there is more after that.
    fn cut(&self) -> (Cut, bool);

    /// Returns everything up to the last point and everything after it, if inserts need it to be written.
    fn spill_cut(&self) -> Option<(Cut, Cut)>;

    /// Notes a group that was written, durable or not.
    fn written(&self, group: &Group<'_>);

    /// Notes how long a sync took.
    fn synced(&self, took: Duration);

    /// Notes that everything up to `point` is durable, `news` among it.
    ///
    /// # Errors
    ///
    /// [`Forked`](Error::Forked) if a waker has forked and this is the child.
    fn flushed(&self, point: FlushPoint, news: News) -> Result<()>;

    /// Requests that the flusher writes a claim, if nothing comes for as long as the store is configured for.
    fn claim_later(&self) {}

    /// Notes that something has changed which the status of the store shows.
    fn report_change(&self) {}

    /// Writes the status of the store for other processes.
    fn report(&self) {}

    /// Notes that the request to leave the log's segment was answered. `left` says whether the log has left it.
    fn rolled(&self, left: bool);

    /// Requests that a worker prepares a log segment.
    fn request_segment(&self);

    /// Requests the checkpoint that is due, if one is.
    fn checkpoint_if_due(&self);

    /// Ends all writing. The store has acknowledged nothing beyond the watermark, and never will.
    ///
    /// # Errors
    ///
    /// [`Forked`](Error::Forked) if this is, or has become, a forked child.
    fn poison(&self, error: Error) -> Result<()>;
}

/// A group that was written.
pub(in crate::engine) struct Group<'a> {
    /// What the log has after the group.
    pub(in crate::engine) tally: Tally,
    /// How many leaves the group has.
    pub(in crate::engine) leaves: u64,
    /// Bytes written to the log since the store was opened.
    pub(in crate::engine) log_bytes: u64,
    /// The leaves of the group, and a view of the tree of each stretch.
    pub(in crate::engine) stretches: &'a [Stretch],
    pub(in crate::engine) views: &'a [View],
}
