//! Events that a store reports while it works.

use std::cell::RefCell;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::RecoveryReport;
use super::{CheckpointInfo, CheckpointReason};
use crate::error::Error;
use crate::error::Limit;
use crate::ids::Seq;
use crate::merkle::{TreeName, TreeSize};
use crate::sync;
use crate::sync::process;
use crate::words::count;

/// Receives the events of a store.
///
/// The store calls a listener on its own threads and on those of its callers, without any lock held.
/// The reporting thread waits for the listener, the flusher too: hand on what takes long. Calls may come
/// from several threads at once, and two threads may report in either order. If a listener panics, the
/// store logs it and goes on.
///
/// A listener may call the store. A call that would wait for the very thread it is made on fails with
/// [`Error::WouldWaitForItself`]:
///
/// - on the flusher, which reports flushes and [`Poisoned`](Event::Poisoned): every call that waits for the
///   log (`flush`, `insert_durable`, a token, `checkpoint`, `snapshot_to`, `scrub`, an insert that has to
///   wait for room);
/// - on a worker, which reports automatic checkpoints and merges: an insert that has to wait for one of
///   these;
/// - on both: `close`.
///
/// Blocking on a token's future is not detected.
///
/// A call from a listener may cause events on its own thread: an insert under pressure causes two. While a
/// thread reports an event of [`EventGroup::Backpressure`], it reports no further ones of that group, so a
/// listener that inserts on backpressure does not call itself without end. Of every other group a thread
/// reports up to eight inside each other.
///
/// A listener that forks should end the child itself, or run another program there. If it returns in the
/// child on one of the store's own threads, no other listener is called, and that thread ends without
/// touching the store; as it is the only one, the child ends with it, as after `exit(0)`. On a thread
/// of a caller the call fails with [`Error::Forked`], or returns what the parent had got so far.
pub trait EventListener: Send + Sync + 'static {
    /// Called for each event.
    fn event(&self, event: &Event);
}

impl<F: Fn(&Event) + Send + Sync + 'static> EventListener for F {
    fn event(&self, event: &Event) {
        self(event);
    }
}

/// Something that a store does or that happens to it.
///
/// What has begun ends in one event of the same kind: completed, failed or abandoned. *Completed*
/// means that a power cut from now on leaves it, but for checkpoints under
/// [`Install::Fast`](crate::Install::Fast).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// A store is being opened.
    #[non_exhaustive]
    RecoveryBegun {
        /// Its directory.
        path: PathBuf,
    },
    /// It is open: everything that it shows is durable.
    #[non_exhaustive]
    RecoveryCompleted {
        /// What was found, and how long the steps took.
        report: RecoveryReport,
    },
    /// It could not be opened.
    #[non_exhaustive]
    RecoveryFailed {
        /// Why.
        error: Error,
    },
    /// A group is being written to the log and synced.
    #[non_exhaustive]
    FlushBegun {
        /// The leaves that will be durable.
        leaves: u64,
    },
    /// They are.
    #[non_exhaustive]
    FlushCompleted {
        /// How many leaves became durable.
        leaves: u64,
        /// The trees that have leaves among them, with how many leaves of each are durable now.
        trees: Vec<TreeFlush>,
        /// The place in the store's order up to which everything is durable: tokens up to there resolve.
        durable: Seq,
        /// Bytes written to the log since the flush before, headers and padding included.
        bytes: u64,
        /// How long writing took.
        write: Duration,
        /// How long the sync took.
        sync: Duration,
    },
    /// They are not; the store is being poisoned.
    #[non_exhaustive]
    FlushFailed {
        /// How many leaves are in doubt.
        leaves: u64,
        /// Why.
        error: Error,
    },
    /// A checkpoint is to be made; it may have to wait for one that is being made.
    #[non_exhaustive]
    CheckpointBegun {
        /// Why it is made.
        reason: CheckpointReason,
    },
    /// It has been made, or there was nothing new since the last one.
    #[non_exhaustive]
    CheckpointCompleted {
        /// What it holds and how long it took.
        info: CheckpointInfo,
    },
    /// It has not been made; the last one stays.
    #[non_exhaustive]
    CheckpointFailed {
        /// Why it was to be made.
        reason: CheckpointReason,
        /// Why it was not.
        error: Error,
        /// After how long it is retried automatically, if it is.
        retry_in: Option<Duration>,
    },
    /// Parts are being merged into one.
    #[non_exhaustive]
    CompactionBegun {
        /// The tree that they are of.
        tree: TreeName,
        /// How many.
        parts: usize,
        /// The leaves they have together.
        leaves: u64,
    },
    /// They are one part.
    #[non_exhaustive]
    CompactionCompleted {
        /// The tree that it is of.
        tree: TreeName,
        /// How many parts there were.
        parts: usize,
        /// The leaves of the new one.
        leaves: u64,
        /// Its bytes.
        bytes: u64,
        /// How long it took.
        duration: Duration,
    },
    /// They stay as they are.
    #[non_exhaustive]
    CompactionFailed {
        /// The tree that they are of.
        tree: TreeName,
        /// How many parts were to be merged.
        parts: usize,
        /// Why they were not.
        error: Error,
        /// After how long merging is retried, if it is.
        retry_in: Option<Duration>,
    },
    /// They stay as they are, since the store is being closed or no longer has them.
    #[non_exhaustive]
    CompactionAbandoned {
        /// The tree that they are of.
        tree: TreeName,
        /// How many parts were to be merged.
        parts: usize,
    },
    /// An insert has to wait: a limit is reached.
    #[non_exhaustive]
    BackpressureBegun {
        /// Which.
        limit: Limit,
        /// What is held, in the limit's unit.
        held: u64,
        /// What is allowed.
        allowed: u64,
    },
    /// It waits no longer.
    #[non_exhaustive]
    BackpressureEnded {
        /// What it waited for.
        limit: Limit,
        /// How long.
        waited: Duration,
        /// Whether it may go on; else it fails.
        admitted: bool,
    },
    /// The log has failed: nothing more is accepted, reading goes on.
    #[non_exhaustive]
    Poisoned {
        /// The failure.
        error: Error,
    },
}

/// A tree of which leaves became durable.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TreeFlush {
    /// The tree.
    pub tree: TreeName,
    /// How many of its leaves are durable: its [`durable_size`](crate::DynAccumulator::durable_size).
    pub size: TreeSize,
}

/// What events have to do with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EventGroup {
    /// Opening a store.
    Recovery,
    /// Flushes.
    Flush,
    /// Checkpoints.
    Checkpoint,
    /// Merges of parts.
    Compaction,
    /// Inserts that have to wait.
    Backpressure,
    /// The failure of the log.
    Poisoned,
}

impl Event {
    /// What the event has to do with.
    #[must_use]
    pub fn group(&self) -> EventGroup {
        match self {
            Self::RecoveryBegun { .. }
            | Self::RecoveryCompleted { .. }
            | Self::RecoveryFailed { .. } => EventGroup::Recovery,
            Self::FlushBegun { .. } | Self::FlushCompleted { .. } | Self::FlushFailed { .. } => {
                EventGroup::Flush
            }
            Self::CheckpointBegun { .. }
            | Self::CheckpointCompleted { .. }
            | Self::CheckpointFailed { .. } => EventGroup::Checkpoint,
            Self::CompactionBegun { .. }
            | Self::CompactionCompleted { .. }
            | Self::CompactionFailed { .. }
            | Self::CompactionAbandoned { .. } => EventGroup::Compaction,
            Self::BackpressureBegun { .. } | Self::BackpressureEnded { .. } => {
                EventGroup::Backpressure
            }
            Self::Poisoned { .. } => EventGroup::Poisoned,
        }
    }
}

/// How many events of one group a thread reports inside each other.
const MOST_NESTED: usize = 8;

thread_local! {
    /// What this thread reports at the moment: to which listeners, and of which group.
    static TELLING: RefCell<Vec<(usize, EventGroup)>> = const { RefCell::new(Vec::new()) };
}

/// The listeners of a store.
#[derive(Clone, Default)]
pub(crate) struct Listeners(Vec<Arc<dyn EventListener>>);

impl Listeners {
    pub(crate) fn add(&mut self, listener: Arc<dyn EventListener>) {
        self.0.push(listener);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Passes what `event` returns to every listener. Does not call `event` if there is none. Not to be
    /// called with a lock held.
    pub(crate) fn tell(&self, event: impl FnOnce() -> Event) {
        if self.0.is_empty() {
            return;
        }
        let event = event();
        let telling = (self.0.as_ptr().addr(), event.group());
        let most = if telling.1 == EventGroup::Backpressure { 1 } else { MOST_NESTED };
        let nested = TELLING.with_borrow(|all| all.iter().filter(|one| **one == telling).count());
        if nested >= most {
            return;
        }
        TELLING.with_borrow_mut(|all| all.push(telling));
        self.tell_all(&event);
        // The calls inside have taken theirs back.
        TELLING.with_borrow_mut(Vec::pop);
    }

    fn tell_all(&self, event: &Event) {
        let forks = process::forks();
        for listener in &self.0 {
            let returned = sync::returns(|| listener.event(event));
            if process::forks() != forks {
                // In the child, other listeners may wait for threads that are not there.
                return;
            }
            if !returned {
                tracing::error!(?event, "an event listener panicked");
            }
        }
    }
}

impl fmt::Debug for Listeners {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", count(self.0.len(), "listener", "listeners"))
    }
}
