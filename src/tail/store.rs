//! Follows a tree of a store in the process that writes it.
//!
//! # Invariants
//!
//! - The token is for the number after what was durable before the look. The flusher raises the durable sizes of
//!   trees before it raises what tokens wait for. So a leaf that a look did not find resolves the token.
//! - Seals and drops are records: they too resolve the token.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::{Look, Source, Tail};
use crate::accumulator::{Accumulator, DynAccumulator};
use crate::durability::DurabilityToken;
use crate::engine::{Engine, Fate, Slot, Tree};
use crate::error::{Error, Result};
use crate::merkle::{LeafIndex, TreeSize};
use crate::sync::process::InProcess;

struct StoreSource {
    /// Does not keep the store open: that is what the handles of its trees share.
    engine: InProcess<Arc<Engine>>,
    slot: Arc<Slot>,
    /// The state of the tree at the last look.
    tree: Arc<Tree>,
    /// Resolves once there is more than the last look found.
    token: DurabilityToken,
    /// Set once the store has ended: its error, if it failed.
    ended: Option<Result<()>>,
}

impl StoreSource {
    /// Takes the answer of the token. Returns false if there is none.
    fn settle(&mut self, answer: Result<bool>) -> Result<bool> {
        match answer {
            Ok(resolved) => return Ok(resolved),
            Err(Error::WouldWaitForItself { thread, .. }) => {
                return Err(Error::WouldWaitForItself { call: "Tail::next", thread });
            }
            Err(forked @ Error::Forked { .. }) => return Err(forked),
            Err(Error::Closed) => self.ended = Some(Ok(())),
            Err(failed) => self.ended = Some(Err(failed)),
        }
        // What became durable at the end comes first.
        Ok(true)
    }
}

impl Source for StoreSource {
    fn look(&mut self, next: u64) -> Result<Look> {
        let engine = self.engine.get()?;
        if self.ended.is_none() {
            self.token = engine.token_of_next();
        }
        let fate = engine.fate(&self.tree);
        if let Some(now) = self.slot.tree().filter(|now| !Arc::ptr_eq(now, &self.tree)) {
            let cut = now.cut_since(&self.tree).unwrap_or(0);
            self.tree = now;
            if cut < next {
                let tree = self.tree.name().clone();
                return Err(Error::Rewound { tree, size: TreeSize(cut) });
            }
        }
        let size = self.tree.durable().get();
        if next < size {
            return Ok(Look::Upto(Arc::clone(&self.tree), size));
        }
        match fate {
            Fate::Dropped => Err(Error::TreeDropped { tree: self.tree.name().clone() }),
            // Leaves that are not durable yet are still to come.
            Fate::Sealed if next >= self.tree.columns.leaves() => Ok(Look::End),
            Fate::Open | Fate::Sealed => match &self.ended {
                Some(ended) => ended.clone().map(|()| Look::End),
                None => Ok(Look::Wait),
            },
        }
    }

    fn wait(&mut self, longest: Option<Duration>) -> Result<bool> {
        let answer = match longest {
            None => self.token.wait().map(|()| true),
            Some(longest) => self.token.wait_timeout(longest),
        };
        self.settle(answer)
    }

    fn try_wait(&mut self) -> Result<bool> {
        // With no time to wait this does not fail on the flusher's thread.
        let answer = self.token.wait_timeout(Duration::ZERO);
        self.settle(answer)
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<()>> {
        let Poll::Ready(answer) = Pin::new(&mut self.token).poll(context) else {
            return Poll::Pending;
        };
        Poll::Ready(self.settle(answer.map(|()| true)).map(drop))
    }
}

impl DynAccumulator {
    /// Follows the tree: returns its durable leaves from index `from` on, and waits for more. If the tree does
    /// not have that leaf yet, the tail waits until the leaf is durable.
    ///
    /// The tail ends when the tree is sealed or the store is closed, after the last durable leaf. It does not
    /// keep the store open. Waiting causes no flush: under [`FlushPolicy::Manual`](crate::FlushPolicy) leaves
    /// come when a caller requests a flush.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// use duramen::{Blake3, Config, EntryConfig, Store};
    ///
    /// let store = Store::open(Config::new(dir.path().join("audit")))?;
    /// let log = store.tree_with_entries::<Blake3, 4>("requests", EntryConfig::new())?;
    /// log.insert_entries(&["GET / 200", "GET /favicon.ico 404"])?;
    /// let mut tail = log.tail(0)?;
    /// let first = tail.next().ok_or("the tail ended")??;
    /// assert_eq!(first.entry.as_deref(), Some(&b"GET / 200"[..]));
    ///
    /// // Another program or another day: the index is all that has to be kept.
    /// let mut resumed = log.tail(tail.next_index())?;
    /// let second = resumed.next().ok_or("the tail ended")??;
    /// assert_eq!(second.entry.as_deref(), Some(&b"GET /favicon.ico 404"[..]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Forked`](Error::Forked). The items have the errors of a [`Tail`].
    pub fn tail(&self, from: impl Into<LeafIndex>) -> Result<Tail> {
        let (engine, slot) = (self.shared().kept_engine(), Arc::clone(self.slot()));
        let tree = self.tree();
        let token = engine.get()?.token_of_next();
        Ok(Tail::new(StoreSource { engine, slot, tree, token, ended: None }, from.into()))
    }
}

impl<H, const N: usize> Accumulator<H, N> {
    /// Follows the tree: returns its durable leaves from index `from` on, and waits for more. See
    /// [`DynAccumulator::tail`].
    ///
    /// # Errors
    ///
    /// As [`DynAccumulator::tail`].
    pub fn tail(&self, from: impl Into<LeafIndex>) -> Result<Tail> {
        self.as_ref().tail(from)
    }
}
