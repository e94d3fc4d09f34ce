//! The receipt of an insert.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::{WakerId, Watermark};
use crate::error::Result;
use crate::ids::Seq;

/// The receipt of an insert: resolves once the leaves are durable.
///
/// A token resolves `Ok` only after an fsync that covers its leaves has returned. It resolves `Err` if
/// the store fails or closes before that. A token never hangs: every way a store can end wakes its
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
    waker: Option<WakerId>,
}

impl DurabilityToken {
    #[inline]
    pub(crate) fn new(seq: Seq, watermark: Arc<Watermark>) -> Self {
        Self { seq, watermark, waker: None }
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
    /// [`Poisoned`](crate::Error::Poisoned) if the log could not be written,
    /// [`Closed`](crate::Error::Closed) if the store was closed first,
    /// [`WouldWaitForItself`](crate::Error::WouldWaitForItself) on the flusher's thread,
    /// [`Forked`](crate::Error::Forked) in a forked child. After an error it is unknown whether the
    /// leaves are durable.
    pub fn wait(&self) -> Result<()> {
        self.watermark.wait(self.seq)
    }

    /// Blocks until the leaves are durable, but at most for `timeout`. Returns `Ok(false)` if the leaves
    /// are not durable by then.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait).
    pub fn wait_timeout(&self, timeout: Duration) -> Result<bool> {
        self.watermark.wait_timeout(self.seq, timeout)
    }

    /// Whether the leaves are durable now. One atomic load.
    #[must_use]
    pub fn is_durable(&self) -> bool {
        self.watermark.durable() >= self.seq
    }
}

impl Future for DurabilityToken {
    type Output = Result<()>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        match this.watermark.poll(this.seq, &mut this.waker, context.waker()) {
            Some(answer) => Poll::Ready(answer),
            None => Poll::Pending,
        }
    }
}

impl Clone for DurabilityToken {
    fn clone(&self) -> Self {
        Self::new(self.seq, Arc::clone(&self.watermark))
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
