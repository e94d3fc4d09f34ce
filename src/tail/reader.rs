//! Follows a tree of a store from another process than the one that writes it.
//!
//! # Invariants
//!
//! - The watch begins before the refresh, and a change is taken from it before the refresh that it causes. So what a
//!   refresh did not find is reported by the watch.
//! - Without a change there is no refresh, except where the system reports no changes.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::helper::Helper;
use super::{Look, Source, Tail};
use crate::engine::Tree;
use crate::error::{Error, Result};
use crate::fs::Watch;
use crate::ids::TreeId;
use crate::merkle::{LeafIndex, TreeSize};
use crate::reader::{Following, Reader};

/// Where the system reports no changes: the time between two looks, at first and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(100));

struct ReaderSource {
    following: Arc<Following>,
    /// The tree that is followed. Another tree of this name is another one.
    id: TreeId,
    /// The state of the tree at the last look.
    tree: Arc<Tree>,
    /// Whether something may have changed since the last refresh.
    stale: bool,
    changes: Option<Changes>,
    /// Where the system reports no changes: how long to wait before the next look.
    pause: Duration,
    /// Waits for futures. Started by the first of them.
    helper: Option<Helper>,
}

/// How changes are noticed.
enum Changes {
    Reported(Arc<dyn Watch>),
    /// The system reports none.
    Unknown,
}

impl ReaderSource {
    fn dropped(&self) -> Error {
        Error::TreeDropped { tree: self.following.tree().name().clone() }
    }

    fn failed(&self, error: std::io::Error) -> Error {
        Error::io("watch", &self.following.config.path, error)
    }

    fn find(&mut self, tree: &Arc<Tree>, next: u64) -> Result<Option<Look>> {
        if tree.id() != self.id {
            return Err(self.dropped());
        }
        if !Arc::ptr_eq(tree, &self.tree) {
            let cut = match tree.cut_since(&self.tree) {
                Some(cut) => Some(cut).filter(|cut| *cut < next),
                // The reader has read everything again.
                None => first_other(&self.tree, tree, next)?,
            };
            if let Some(cut) = cut {
                let tree = tree.name().clone();
                return Err(Error::Rewound { tree, size: TreeSize(cut) });
            }
            // Until the tree has all that was returned, it is compared again.
            if tree.columns.leaves() >= next {
                self.tree = Arc::clone(tree);
            }
        }
        let size = tree.durable().get();
        if next >= size {
            return Ok(None);
        }
        self.pause = PAUSES.0;
        Ok(Some(Look::Upto(Arc::clone(tree), size)))
    }

    /// The watch, if the system reports changes.
    fn watch(&self) -> Option<Arc<dyn Watch>> {
        match &self.changes {
            Some(Changes::Reported(watch)) => Some(Arc::clone(watch)),
            Some(Changes::Unknown) | None => None,
        }
    }

    /// The pause before the next look. The one after it is longer.
    fn take_pause(&mut self) -> Duration {
        let pause = self.pause;
        self.pause = (pause * 2).min(PAUSES.1);
        pause
    }
}

/// The first leaf below `most` that two states of a tree, of which `before` has them all, do not have in common, as far as
/// both have leaves. O(log most) roots.
fn first_other(before: &Tree, now: &Tree, most: u64) -> Result<Option<u64>> {
    let most = most.min(before.columns.leaves()).min(now.columns.leaves());
    // Below the base of either they cannot be compared, and no rewind leads there.
    let base = before.floor().base().max(now.floor().base());
    if most <= base {
        return Ok(None);
    }
    let same = |size: u64| -> Result<bool> {
        let size = TreeSize(size);
        Ok(before.head_at(size)?.root == now.head_at(size)?.root)
    };
    if same(most)? {
        return Ok(None);
    }
    let (mut low, mut high) = (base, most);
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        match same(middle)? {
            true => low = middle,
            false => high = middle,
        }
    }
    Ok(Some(low))
}

impl Source for ReaderSource {
    fn look(&mut self, next: u64) -> Result<Look> {
        let tree = self.following.tree();
        tree.check_process()?;
        if let Some(found) = self.find(&tree, next)? {
            return Ok(found);
        }
        if !std::mem::take(&mut self.stale) {
            return Ok(Look::Wait);
        }
        if self.changes.is_none() {
            // Whatever keeps the system from reporting changes, looking from time to time finds them.
            let watch = self.following.fs().watch();
            self.changes = Some(watch.map_or(Changes::Unknown, Changes::Reported));
        }
        let tree = match self.following.refresh() {
            Err(Error::NoTree { .. }) => return Err(self.dropped()),
            refreshed => refreshed?,
        };
        if let Some(found) = self.find(&tree, next)? {
            return Ok(found);
        }
        let complete = next >= tree.columns.leaves() && self.following.is_sealed_for_good();
        Ok(if complete { Look::End } else { Look::Wait })
    }

    fn wait(&mut self, longest: Option<Duration>) -> Result<bool> {
        let changed = match self.watch() {
            Some(watch) => watch.wait(longest).map_err(|error| self.failed(error))?,
            None => {
                let longest = longest.unwrap_or(Duration::MAX);
                let pause = self.take_pause();
                std::thread::sleep(pause.min(longest));
                pause <= longest
            }
        };
        self.stale |= changed;
        Ok(changed)
    }

    fn try_wait(&mut self) -> Result<bool> {
        match self.watch() {
            Some(_) => self.wait(Some(Duration::ZERO)),
            None => {
                // The caller decides how often to look, and one look is enough.
                self.stale = true;
                Ok(false)
            }
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<()>> {
        let helper = match &self.helper {
            Some(helper) => helper,
            None => {
                let process = crate::engine::this_process(&self.following.config);
                let started =
                    process.and_then(|process| match Helper::start(self.watch(), process) {
                        Ok(helper) => Ok(helper),
                        Err(error) => Err(self.failed(error)),
                    });
                match started {
                    Ok(helper) => self.helper.insert(helper),
                    Err(error) => return Poll::Ready(Err(error)),
                }
            }
        };
        let Poll::Ready(changed) = helper.poll(context, self.pause) else { return Poll::Pending };
        let changed = changed.map_err(|error| self.failed(error));
        self.take_pause();
        self.stale = true;
        Poll::Ready(changed)
    }
}

impl Reader {
    /// Follows the tree beside its writer: returns its durable leaves from index `from` on, and waits for more.
    /// If the tree does not have that leaf yet, the tail waits until the leaf is known to be durable.
    ///
    /// The tail refreshes this reader when the writer has written, and only then. On Linux the kernel reports
    /// that, by inotify. Where it does not, because there are no descriptors left, `/proc` is missing or on
    /// another system, the tail looks after pauses of 1 ms to 100 ms. An async tail of a reader has a thread
    /// that waits for changes.
    ///
    /// **What is known to be durable.** A group of the log is known to be durable when a later group, a checkpoint
    /// or the end of the log at close says so. So beside a writer that pauses, the leaves of its last group come
    /// late: with its next group, checkpoint or close. [`Config::claim_idle`](crate::Config::claim_idle) has a
    /// writer say so when it pauses.
    ///
    /// The tail ends when the tree is sealed, after the last leaf. It does not end when the writer closes the
    /// store, because another writer may open it.
    ///
    /// A path that is led elsewhere is noticed with the next change in the store's directory, or when the
    /// directory itself is moved.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let dir = dir.path().join("log");
    /// use duramen::{Accumulator, Blake3, Config};
    ///
    /// let writer: Accumulator = Accumulator::open(Config::new(&dir))?;
    /// let reader = Accumulator::<Blake3, 4>::open_read_only(Config::new(&dir))?;
    /// let mut tail = reader.tail(0)?;
    /// assert!(tail.try_next()?.is_none());
    ///
    /// writer.insert_durable([1; 32])?;
    /// writer.insert_durable([2; 32])?; // says that the group before is durable
    /// assert_eq!(tail.next().ok_or("the tail ended")??.leaf, [1; 32]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Forked`](Error::Forked). The items have the errors of a [`Tail`].
    pub fn tail(&self, from: impl Into<LeafIndex>) -> Result<Tail> {
        let following = Arc::clone(self.following());
        let tree = following.tree();
        tree.check_process()?;
        let source = ReaderSource {
            following,
            id: tree.id(),
            tree,
            stale: true,
            changes: None,
            pause: PAUSES.0,
            helper: None,
        };
        Ok(Tail::new(source, from.into()))
    }
}
