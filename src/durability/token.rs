//! The receipt of an insert.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::{WakerId, Watermark};
use crate::error::Result;
use crate::ids::{Seq, TreeId};

/// The receipt of an insert: resolves once the leaves are durable.
///
/// A token resolves `Ok` only after an fsync that covers its leaves has returned. It resolves `Err` if
/// the store fails or closes before that, or if the tree is rewound below one of its leaves before that. A token never hangs: every way a store can end wakes its
/// tokens. A token may be dropped unused, cloned, sent to another thread, kept longer than the store,
/// and awaited on any executor.
///
/// Waiting does not cause a flush. Under [`FlushPolicy::Interval`](crate::FlushPolicy) the store flushes
/// by itself. Under `Manual` a caller must request a flush.
/// [`flush_async`](crate::DynAccumulator::flush_async) requests one without waiting for it.
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// use duramen::{Accumulator, Config};
///
/// let log: Accumulator = Accumulator::open(Config::new(dir.path().join("log")))?;
/// let inserted = log.insert([7; 32])?;
/// inserted.token.wait()?;
/// assert!(inserted.token.is_durable());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "a leaf is durable only once its token says so"]
pub struct DurabilityToken {
    seq: Seq,
    watermark: Arc<Watermark>,
    leaves: Leaves,
    waker: Option<WakerId>,
}

/// The leaves of a token. A rewind may drop them before they are durable.
#[derive(Clone, Debug)]
enum Leaves {
    None,
    /// Leaves of the tree below this index.
    Of(TreeId, u64),
    /// Leaves of several trees.
    OfTrees(Arc<[(TreeId, u64)]>),
}

impl DurabilityToken {
    #[inline]
    pub(crate) fn new(seq: Seq, watermark: Arc<Watermark>) -> Self {
        Self { seq, watermark, leaves: Leaves::None, waker: None }
    }

    /// The same token, of leaves of the tree `id` below `end`.
    #[inline]
    pub(crate) fn of_leaf(mut self, id: TreeId, end: u64) -> Self {
        self.leaves = Leaves::Of(id, end);
        self
    }

    /// The same token, of leaves of several trees.
    pub(crate) fn of_leaves(mut self, ends: Vec<(TreeId, u64)>) -> Self {
        self.leaves = Leaves::OfTrees(ends.into());
        self
    }

    /// Fails if one of the leaves was dropped before it was durable. Everything up to the number is durable.
    #[inline]
    fn check(&self) -> Result<()> {
        if !self.watermark.has_rewinds() {
            return Ok(());
        }
        self.check_rewinds()
    }

    #[cold]
    fn check_rewinds(&self) -> Result<()> {
        let check = |(id, end): &(TreeId, u64)| self.watermark.check_rewound(self.seq, *id, *end);
        match &self.leaves {
            Leaves::None => Ok(()),
            Leaves::Of(id, end) => check(&(*id, *end)),
            Leaves::OfTrees(ends) => ends.iter().try_for_each(check),
        }
    }

    /// Fails on the flusher's thread, where `call` would wait for itself.
    pub(crate) fn check_may_wait(&self, call: &'static str) -> Result<()> {
        self.watermark.refuse_on_raiser(call)
    }

    /// The position of the insert in the store's order. The token resolves when the store is durable up
    /// to this position.
    #[must_use]
    pub fn seq(&self) -> Seq {
        self.seq
    }

    /// Blocks until the leaves are durable.
    ///
    /// # Errors
    ///
    /// [`Rewound`](crate::Error::Rewound) if a rewind dropped one of the leaves before it was durable,
    /// [`Poisoned`](crate::Error::Poisoned) if the log could not be written,
    /// [`Closed`](crate::Error::Closed) if the store was closed first,
    /// [`WouldWaitForItself`](crate::Error::WouldWaitForItself) on the flusher's thread,
    /// [`Forked`](crate::Error::Forked) in a forked child. After an error it is unknown whether the
    /// leaves are durable.
    pub fn wait(&self) -> Result<()> {
        self.watermark.wait(self.seq)?;
        self.check()
    }

    /// Blocks until the leaves are durable, but at most for `timeout`. Returns `Ok(false)` if the leaves
    /// are not durable by then.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait).
    pub fn wait_timeout(&self, timeout: Duration) -> Result<bool> {
        let durable = self.watermark.wait_timeout(self.seq, timeout)?;
        if durable {
            self.check()?;
        }
        Ok(durable)
    }

    /// Whether the leaves are durable now. One atomic load.
    #[must_use]
    pub fn is_durable(&self) -> bool {
        self.watermark.durable() >= self.seq && self.check().is_ok()
    }
}

impl Future for DurabilityToken {
    type Output = Result<()>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        match this.watermark.poll(this.seq, &mut this.waker, context.waker()) {
            Some(answer) => Poll::Ready(answer.and_then(|()| this.check())),
            None => Poll::Pending,
        }
    }
}

impl Clone for DurabilityToken {
    fn clone(&self) -> Self {
        let (watermark, leaves) = (Arc::clone(&self.watermark), self.leaves.clone());
        Self { seq: self.seq, watermark, leaves, waker: None }
    }
}

impl Drop for DurabilityToken {
    fn drop(&mut self) {
        if let Some(id) = self.waker.take() {
            self.watermark.forget(id);
        }
    }
}

impl fmt::Debug for DurabilityToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DurabilityToken")
            .field("seq", &self.seq)
            .field("durable", &self.is_durable())
            .finish_non_exhaustive()
    }
}
