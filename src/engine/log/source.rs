//! What the flusher sees of the store.

use std::time::Duration;

use super::control::Work;
use super::flushed::FlushPoint;
use super::flusher::News;
use crate::column::View;
use crate::engine::gate::Gate;
use crate::engine::ingest::{Cut, Stretch};
use crate::engine::tally::Tally;
use crate::error::{Error, Result};
#[cfg(duramen_mutants)]
use crate::fs::FileSystem;
use crate::ids::Seq;

/// All that the flusher sees of the store.
///
/// Only [`next`](Self::next) waits, and only for work: no call waits for another thread of the store.
pub(in crate::engine) trait LogSource: Send + Sync {
    /// Which mistakes the flusher makes, where tests want some.
    #[cfg(duramen_mutants)]
    fn fs(&self) -> &dyn FileSystem;

    /// The listeners.
    fn gate(&self) -> &Gate;

    /// Declares this thread the flusher's. A call that would wait for it fails here.
    fn begin(&self);

    /// Waits for work.
    fn next(&self) -> Work;

    /// What is durable.
    fn durable(&self) -> Seq;

    /// How many bytes one group holds at most.
    fn group_bytes(&self) -> u64;

    /// What is to be written and synced next, and whether there is more after that.
    fn cut(&self) -> (Cut, bool);

    /// The last point and everything inserted so far, if inserts need it to be written.
    fn spill_cut(&self) -> Option<(Cut, Cut)>;

    /// Notes a group that was written, durable or not.
    fn written(&self, group: &Group<'_>);

    /// Notes how long a sync took.
    fn synced(&self, took: Duration);

    /// Notes that everything up to `point` is durable, `news` among it.
    ///
    /// # Errors
    ///
    /// [`Forked`](Error::Forked) if a caller that it woke has forked and this is the child.
    fn flushed(&self, point: FlushPoint, news: News) -> Result<()>;

    /// Requests that a log segment is made ready.
    fn request_segment(&self);

    /// Requests the checkpoint that is due, if one is.
    fn checkpoint_if_due(&self);

    /// Ends all writing: nothing was, or will be, acknowledged beyond the watermark.
    ///
    /// # Errors
    ///
    /// [`Forked`](Error::Forked) if this is, or has become, a forked child.
    fn poison(&self, error: Error) -> Result<()>;
}

/// A group that was written.
pub(in crate::engine) struct Group<'a> {
    /// What the log has by now.
    pub(in crate::engine) tally: Tally,
    /// How many leaves are in it.
    pub(in crate::engine) leaves: u64,
    /// Bytes written to the log since the store was opened.
    pub(in crate::engine) log_bytes: u64,
    /// The leaves, and how the trees stood.
    pub(in crate::engine) stretches: &'a [Stretch],
    pub(in crate::engine) views: &'a [View],
}
