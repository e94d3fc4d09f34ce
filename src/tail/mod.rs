//! Follows a tree: returns its durable leaves in order, and waits for more.
//!
//! # Invariants
//!
//! - Only durable leaves are returned: by a store those below its durable size, by a reader those that it knows
//!   to be durable. Each is returned once, in the order of the indexes, and none is left out.
//! - A tail waits for the source to report a change, and looks at the source only then.
//! - An error ends a tail, except one that says that the call cannot wait on this thread. The index of the leaf
//!   that comes next stays known, so that the caller can continue with another tail.
//! - A tail keeps no store open.
//!
//! Nothing in the crate but its root imports this folder.

mod helper;
mod reader;
mod store;
mod stream;

use std::fmt;
use std::iter::FusedIterator;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime};

use crate::engine::Tree;
use crate::error::{Error, Result};
use crate::merkle::{Hash, LeafIndex};
use crate::snapshot::{Entries, Entry, Leaves};

pub use stream::TailStream;

/// How many leaves are read from one version of a tree. A version keeps its parts open.
const RUN: u64 = 1 << 16;

/// A durable leaf that a [`Tail`] returns.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Appended {
    /// The index of the leaf.
    pub index: LeafIndex,
    /// The leaf.
    pub leaf: Hash,
    /// The data of the leaf. `None` if the tree keeps no entries, and if the entry was erased.
    pub entry: Option<Entry>,
    /// The moment of the erasure, if the entry was [erased](crate::DynAccumulator::erase).
    pub erased: Option<SystemTime>,
}

/// Follows a tree: an iterator over its durable leaves, which waits for more at the end.
///
/// Made by [`DynAccumulator::tail`](crate::DynAccumulator::tail) in the process that writes, and by
/// [`Reader::tail`](crate::Reader::tail) in another one. There is one type of items for trees with and
/// without entries, because a program that follows a tree by its name learns only then whether it
/// keeps entries.
///
/// **Waiting.** [`next`](Iterator::next) waits without end, [`next_timeout`](Self::next_timeout) for a
/// while, [`try_next`](Self::try_next) not at all. [`into_stream`](Self::into_stream) is for async code. A
/// tail sleeps until there is news. It does not look from time to time.
///
/// **Rewinds.** If the tree is rewound below the leaf that comes next, the tail ends with
/// [`Rewound`](Error::Rewound), which has the size: give up what came from there on, and continue with another tail.
/// A rewind that drops nothing that was returned changes nothing.
///
/// **Prunes.** If the leaf that comes next was pruned, the tail ends with [`Pruned`](Error::Pruned), which has the first
/// leaf that is left.
///
/// **The end.** A tail ends when no more leaf can come: the tree is sealed, or the store of this process is
/// closed. It ends after an error. [`next_index`](Self::next_index) is then the index to continue with:
/// pass it to another tail. The exception is [`WouldWaitForItself`](Error::WouldWaitForItself), which says
/// that the call cannot wait on this thread and changes nothing.
///
/// **Cost.** Leaves are read in runs, as the iterators of a [`Snapshot`](crate::Snapshot) do. A tail takes
/// up to 128 KiB for leaves, and one bundle of 256 entries or one piece of memory of up to 4 MiB.
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// use duramen::{Accumulator, Config};
///
/// let log: Accumulator = Accumulator::open(Config::new(dir.path().join("log")))?;
/// let follower = std::thread::spawn({
///     let tail = log.tail(1)?;
///     move || tail.map(|appended| Ok(appended?.leaf)).collect::<duramen::Result<Vec<_>>>()
/// });
/// for leaf in [[1; 32], [2; 32], [3; 32]] {
///     log.insert(leaf)?;
/// }
/// log.close()?;
/// assert_eq!(follower.join().unwrap()?, [[2; 32], [3; 32]]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "a tail reads nothing until it is asked for items"]
pub struct Tail {
    source: Box<dyn Source>,
    /// The index of the leaf that comes next.
    next: u64,
    run: Option<Run>,
    ended: bool,
}

/// What a look at a source finds.
enum Look {
    /// The leaves below this size of the tree are durable, among them the next one.
    Upto(Arc<Tree>, u64),
    /// No more leaf can come.
    End,
    /// Nothing new.
    Wait,
}

/// Where durable leaves come from. The calls of a tail are made in this order: a look, and if that finds nothing
/// a wait, and then the next look.
trait Source: Send + Sync {
    /// Looks for the leaf `next`. Reads the disk at most if something has changed.
    fn look(&mut self, next: u64) -> Result<Look>;

    /// Waits until another look may find something, at most for `longest`. Returns false if the time is over.
    fn wait(&mut self, longest: Option<Duration>) -> Result<bool>;

    /// Whether another look may find something now. Does not wait.
    fn try_wait(&mut self) -> Result<bool>;

    /// As [`wait`](Self::wait), for a future.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<()>>;
}

/// What comes next.
enum Step {
    Item(Appended),
    End,
    Wait,
}

/// Leaves that are read one after another.
struct Run {
    leaves: Leaves,
    entries: Option<Entries>,
}

impl Run {
    fn new(tree: &Arc<Tree>, from: u64, to: u64) -> Result<Self> {
        let (range, floor) = (from..to, tree.floor());
        tree.check_floor(from, &floor)?;
        let entries =
            |framing| Entries::new(Arc::clone(tree), Arc::clone(&floor), framing, range.clone());
        let entries = tree.framing.map(entries);
        Ok(Self { leaves: Leaves::new(Arc::clone(tree), floor, range), entries })
    }

    /// The next leaf, which gets this `index`. `None` at the end of the run.
    fn next(&mut self, index: u64) -> Option<Result<Appended>> {
        let leaf = self.leaves.next()?;
        let (entry, erased) = match self.entries.as_mut().and_then(Iterator::next) {
            Some(Err(Error::Erased { at, .. })) => (Ok(None), Some(at)),
            entry => (entry.transpose(), None),
        };
        let appended = |(leaf, entry)| Appended { index: LeafIndex(index), leaf, entry, erased };
        Some(leaf.and_then(|leaf| Ok((leaf, entry?))).map(appended))
    }
}

impl Tail {
    fn new(source: impl Source + 'static, from: LeafIndex) -> Self {
        Self { source: Box::new(source), next: from.0, run: None, ended: false }
    }

    /// The index of the leaf that comes next. A tail that begins there continues this one.
    #[must_use]
    pub fn next_index(&self) -> LeafIndex {
        LeafIndex(self.next)
    }

    /// Whether the tail has ended: it returns nothing more.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        self.ended
    }

    /// The next leaf, if it is durable now. `None` if it is not, and at the end, see
    /// [`is_ended`](Self::is_ended). Never waits for a leaf. A tail of a reader reads the disk if something
    /// has changed there.
    ///
    /// # Errors
    ///
    /// As [`next`](Iterator::next), but never [`WouldWaitForItself`](Error::WouldWaitForItself).
    pub fn try_next(&mut self) -> Result<Option<Appended>> {
        loop {
            match self.step()? {
                Step::Item(appended) => return Ok(Some(appended)),
                Step::End => return Ok(None),
                Step::Wait => {}
            }
            let waited = self.source.try_wait();
            if !self.keep(waited)? {
                return Ok(None);
            }
        }
    }

    /// The next leaf, for which the call waits at most for `timeout`. `None` if the leaf is not durable by
    /// then, and at the end, see [`is_ended`](Self::is_ended).
    ///
    /// # Errors
    ///
    /// As [`next`](Iterator::next).
    pub fn next_timeout(&mut self, timeout: Duration) -> Result<Option<Appended>> {
        // A timeout that is too long for the clock means no timeout.
        let deadline = Instant::now().checked_add(timeout);
        loop {
            match self.step()? {
                Step::Item(appended) => return Ok(Some(appended)),
                Step::End => return Ok(None),
                Step::Wait => {}
            }
            let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
            let waited = self.source.wait(left);
            if !self.keep(waited)? && left.is_some_and(|left| left.is_zero()) {
                return Ok(None);
            }
        }
    }

    /// The same leaves for async code.
    pub fn into_stream(self) -> TailStream {
        TailStream::new(self)
    }

    /// What comes next. Does not wait.
    fn step(&mut self) -> Result<Step> {
        loop {
            if self.ended {
                return Ok(Step::End);
            }
            if let Some(item) = self.run.as_mut().and_then(|run| run.next(self.next)) {
                let appended = self.keep(item)?;
                self.next += 1;
                return Ok(Step::Item(appended));
            }
            self.run = None;
            let look = self.source.look(self.next);
            match self.keep(look)? {
                Look::Upto(tree, end) => {
                    let end = end.min(self.next.saturating_add(RUN));
                    let run = Run::new(&tree, self.next, end);
                    self.run = Some(self.keep(run)?);
                }
                Look::End => self.ended = true,
                Look::Wait => return Ok(Step::Wait),
            }
        }
    }

    /// Ends the tail if `done` is an error that ends it.
    fn keep<T>(&mut self, done: Result<T>) -> Result<T> {
        if let Err(error) = &done {
            self.ended = !matches!(error, Error::WouldWaitForItself { .. });
        }
        done
    }
}

/// Each item waits until the next leaf is durable.
///
/// # Errors
///
/// An item is an error if the tail ends by one: [`Poisoned`](Error::Poisoned) after a failure of the log, behind
/// the last durable leaf; [`TreeDropped`](Error::TreeDropped); [`Damaged`](Error::Damaged) and
/// [`Io`](Error::Io) if a leaf cannot be read; [`Forked`](Error::Forked) in a forked child; for a reader also
/// the errors of [`Reader::refresh`](crate::Reader::refresh). The item is
/// [`WouldWaitForItself`](Error::WouldWaitForItself), and the tail does not end, if the call would wait on
/// the thread that makes leaves durable.
impl Iterator for Tail {
    type Item = Result<Appended>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.step() {
                Ok(Step::Item(appended)) => return Some(Ok(appended)),
                Ok(Step::End) => return None,
                Ok(Step::Wait) => {}
                Err(error) => return Some(Err(error)),
            }
            let waited = self.source.wait(None);
            if let Err(error) = self.keep(waited) {
                return Some(Err(error));
            }
        }
    }
}

impl FusedIterator for Tail {}

impl fmt::Debug for Tail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tail")
            .field("next", &self.next)
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}
