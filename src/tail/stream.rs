//! A tail for async code.

use std::task::{Context, Poll};

use super::{Appended, Step, Tail};
use crate::error::Result;
use crate::merkle::LeafIndex;

/// A [`Tail`] for async code: the same leaves, awaited. Made by [`Tail::into_stream`].
///
/// With the feature `stream` it is a `Stream` of futures-core, for the combinators of tokio-stream and of
/// futures. It works on any executor. The wakers are called on the thread that makes leaves durable, or, for a
/// tail of a [`Reader`](crate::Reader), on a thread of the tail's own.
///
/// **Blocking.** It never blocks to wait for a leaf. It reads leaves that memory does not have from the disk, on the thread that
/// polls it; a tail of a reader also reads what the log has got since. To follow a large tree from an old index, use a thread with
/// a [`Tail`].
///
/// **Cancellation.** Dropping the future of [`next`](Self::next) loses nothing: the next call returns the leaf
/// that the dropped one would have returned.
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// use duramen::{Accumulator, Config};
///
/// async fn print(log: &Accumulator) -> duramen::Result<()> {
///     let mut leaves = log.tail(0)?.into_stream();
///     while let Some(appended) = leaves.next().await {
///         println!("leaf {}", appended?.index);
///     }
///     Ok(())
/// }
/// # let log: Accumulator = Accumulator::open(Config::new(dir.path().join("log")))?;
/// # log.insert([7; 32])?;
/// # log.store().seal("main")?;
/// # testkit::stores::block_on(print(&log))?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "a tail reads nothing until it is asked for items"]
#[derive(Debug)]
pub struct TailStream {
    tail: Tail,
}

impl TailStream {
    pub(super) fn new(tail: Tail) -> Self {
        Self { tail }
    }

    /// The next leaf, once it is durable. `None` at the end.
    ///
    /// # Errors
    ///
    /// As [`Tail`], but never [`WouldWaitForItself`](crate::Error::WouldWaitForItself).
    pub async fn next(&mut self) -> Option<Result<Appended>> {
        std::future::poll_fn(|context| self.poll_next(context)).await
    }

    /// The next leaf if it is durable. If not, the waker of `context` is called when another poll may find one.
    /// Only the waker of the last call is called.
    ///
    /// # Errors
    ///
    /// As [`next`](Self::next).
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Appended>>> {
        loop {
            match self.tail.step() {
                Ok(Step::Item(appended)) => return Poll::Ready(Some(Ok(appended))),
                Ok(Step::End) => return Poll::Ready(None),
                Ok(Step::Wait) => {}
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
            let Poll::Ready(waited) = self.tail.source.poll(context) else { return Poll::Pending };
            if let Err(error) = self.tail.keep(waited) {
                return Poll::Ready(Some(Err(error)));
            }
        }
    }

    /// The index of the leaf that comes next. A tail that begins there continues this one.
    #[must_use]
    pub fn next_index(&self) -> LeafIndex {
        self.tail.next_index()
    }

    /// Whether the tail has ended: it returns nothing more.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        self.tail.is_ended()
    }
}

#[cfg(feature = "stream")]
impl futures_core::Stream for TailStream {
    type Item = Result<Appended>;

    fn poll_next(
        self: std::pin::Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Self::Item>> {
        Self::poll_next(self.get_mut(), context)
    }
}
