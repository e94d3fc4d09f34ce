//! Events that a store reports while it is running.

use std::cell::RefCell;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::{CheckpointInfo, CheckpointReason};
use super::{PruneInfo, RecoveryReport, RewindInfo};
use crate::error::Error;
use crate::error::Limit;
use crate::ids::Seq;
use crate::merkle::{TreeName, TreeSize};
use crate::sync;
use crate::sync::process;
use crate::words::count;

/// Receives the events of a store.
///
/// The store calls a listener on its own threads and on the threads of its callers, and holds no lock
/// meanwhile. The reporting thread waits for the listener, and so does the flusher: pass slow work on to
/// another thread. Several threads may call a listener at the same time, and the order of events of
/// different threads is not defined. If a listener panics, the store logs the panic and continues.
///
/// A listener may call the store. A call fails with [`Error::WouldWaitForItself`] if it would wait for
/// the thread on which it is made:
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
/// A call from a listener may cause events on its own thread: an insert under pressure causes two. While
/// a thread reports an event of [`EventGroup::Backpressure`], it reports no other event of that group.
/// So a listener that inserts on backpressure does not call itself endlessly. For every other group a
/// thread reports up to eight nested events.
///
/// A listener that forks should end the child itself, or run another program in it. If the listener
/// returns in the child on one of the store's own threads, no other listener is called. That thread then
/// ends without touching the store. It is the child's only thread, so the child ends as after `exit(0)`.
/// If the listener returns on a thread of a caller, the call fails with [`Error::Forked`], or returns
/// the result that the parent had so far.
pub trait EventListener: Send + Sync + 'static {
    /// Called for each event.
    fn event(&self, event: &Event);
}

impl<F: Fn(&Event) + Send + Sync + 'static> EventListener for F {
    fn event(&self, event: &Event) {
        self(event);
    }
}

/// An event in the life of a store.
///
/// Every operation with a begin event has one end event: completed, failed or abandoned. A *completed*
/// operation survives a power cut from then on. The exception are checkpoints under
/// [`Install::Fast`](crate::Install::Fast).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// A store is being opened.
    #[non_exhaustive]
    RecoveryBegun {
        /// The store's directory.
        path: PathBuf,
    },
    /// The store is open, and everything that it shows is durable.
    #[non_exhaustive]
    RecoveryCompleted {
        /// What recovery found, and how long the steps took.
        report: RecoveryReport,
    },
    /// The store could not be opened.
    #[non_exhaustive]
    RecoveryFailed {
        /// The cause.
        error: Error,
    },
    /// A group is being written to the log and synced.
    #[non_exhaustive]
    FlushBegun {
        /// The number of leaves that will become durable.
        leaves: u64,
        /// The trees of these leaves, with the size up to which each tree will be durable.
        trees: Vec<TreeFlush>,
    },
    /// The group is durable.
    #[non_exhaustive]
    FlushCompleted {
        /// How many leaves became durable.
        leaves: u64,
        /// The trees of these leaves, with the durable size of each tree.
        trees: Vec<TreeFlush>,
        /// The position in the store's order up to which everything is durable. Tokens up to this
        /// position resolve.
        durable: Seq,
        /// Bytes written to the log since the last flush, headers and padding included.
        bytes: u64,
        /// How long writing took.
        write: Duration,
        /// How long the sync took.
        sync: Duration,
    },
    /// The flush failed. The store is being poisoned.
    #[non_exhaustive]
    FlushFailed {
        /// The number of leaves that may or may not be durable.
        leaves: u64,
        /// The trees of these leaves, with the size up to which each tree would be durable.
        trees: Vec<TreeFlush>,
        /// The cause.
        error: Error,
    },
    /// A checkpoint is requested. It may have to wait for a running checkpoint.
    #[non_exhaustive]
    CheckpointBegun {
        /// The trees with something that no checkpoint has, by rising id: new leaves, durable or not, and a
        /// creation, a seal, an index or a drop that is durable. What comes before the checkpoint flushes may
        /// become part of it.
        trees: Vec<TreeName>,
        /// The reason for the checkpoint.
        reason: CheckpointReason,
    },
    /// The checkpoint is complete, or there was nothing new since the last one.
    #[non_exhaustive]
    CheckpointCompleted {
        /// The contents of the checkpoint, and how long it took.
        info: CheckpointInfo,
    },
    /// The checkpoint failed. The last one stays in force.
    #[non_exhaustive]
    CheckpointFailed {
        /// The trees with something that no checkpoint has, as in [`CheckpointBegun`](Self::CheckpointBegun).
        trees: Vec<TreeName>,
        /// The reason for the checkpoint.
        reason: CheckpointReason,
        /// The cause of the failure.
        error: Error,
        /// The wait before the automatic retry, if there is one.
        retry_in: Option<Duration>,
    },
    /// Parts are being merged into one.
    #[non_exhaustive]
    CompactionBegun {
        /// The tree of the parts.
        tree: TreeName,
        /// The number of parts.
        parts: usize,
        /// The number of leaves in all these parts.
        leaves: u64,
    },
    /// The merge is complete: there is one part now.
    #[non_exhaustive]
    CompactionCompleted {
        /// The tree of the part.
        tree: TreeName,
        /// How many parts were merged.
        parts: usize,
        /// The number of leaves in the new part.
        leaves: u64,
        /// The bytes of the new part.
        bytes: u64,
        /// How long the merge took.
        duration: Duration,
    },
    /// The merge failed. The parts stay as they are.
    #[non_exhaustive]
    CompactionFailed {
        /// The tree of the parts.
        tree: TreeName,
        /// How many parts were to be merged.
        parts: usize,
        /// The cause of the failure.
        error: Error,
        /// The wait before the merge is retried, if it is.
        retry_in: Option<Duration>,
    },
    /// The merge was abandoned, because the store is being closed or does not have the parts any more.
    /// The parts stay as they are.
    #[non_exhaustive]
    CompactionAbandoned {
        /// The tree of the parts.
        tree: TreeName,
        /// How many parts were to be merged.
        parts: usize,
    },
    /// An insert has to wait, because a limit is reached.
    #[non_exhaustive]
    BackpressureBegun {
        /// The trees of the insert.
        trees: Vec<TreeName>,
        /// The limit, which is about all trees of the store.
        limit: Limit,
        /// The current value, in the unit of the limit.
        held: u64,
        /// The allowed value.
        allowed: u64,
    },
    /// The insert does not wait any more.
    #[non_exhaustive]
    BackpressureEnded {
        /// The trees of the insert.
        trees: Vec<TreeName>,
        /// The limit at which it waited.
        limit: Limit,
        /// How long the insert waited.
        waited: Duration,
        /// Whether the insert continues. Otherwise it fails.
        admitted: bool,
    },
    /// Trees were rewound, and that is durable. Their dropped leaves are gone.
    #[non_exhaustive]
    Rewound {
        /// What was dropped.
        info: RewindInfo,
    },
    /// A tree was pruned, and that is durable.
    #[non_exhaustive]
    Pruned {
        /// What was dropped.
        info: PruneInfo,
    },
    /// A prune that a [`RetentionPolicy`](crate::RetentionPolicy) wants has failed. The leaves stay.
    #[non_exhaustive]
    PruneFailed {
        /// The tree.
        tree: TreeName,
        /// The cause of the failure.
        error: Error,
        /// The wait before the prune is retried, if it is.
        retry_in: Option<Duration>,
    },
    /// The log has failed. The store accepts no more writes, and reads continue.
    #[non_exhaustive]
    Poisoned {
        /// The failure.
        error: Error,
    },
}

/// A tree that has leaves in a flush.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TreeFlush {
    /// The tree.
    pub tree: TreeName,
    /// The durable size of the tree once the flush is complete: its
    /// [`durable_size`](crate::DynAccumulator::durable_size).
    pub size: TreeSize,
}

/// The subject of an event.
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
    /// Rewinds of trees.
    Rewind,
    /// Prunes of trees.
    Prune,
    /// The failure of the log.
    Poisoned,
}

impl Event {
    /// The subject of the event.
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
            Self::Rewound { .. } => EventGroup::Rewind,
            Self::Pruned { .. } | Self::PruneFailed { .. } => EventGroup::Prune,
            Self::Poisoned { .. } => EventGroup::Poisoned,
        }
    }
}

/// How many nested events of one group a thread reports.
const MOST_NESTED: usize = 8;

thread_local! {
    /// The events that this thread is reporting: the listeners and the group of each.
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

    /// Passes the result of `event` to every listener. Does not call `event` if there is no listener.
    /// The caller must hold no lock.
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
        // Nested calls have already removed their own entries.
        TELLING.with_borrow_mut(Vec::pop);
    }

    fn tell_all(&self, event: &Event) {
        let forks = process::forks();
        for listener in &self.0 {
            let returned = sync::returns(|| listener.event(event));
            if process::forks() != forks {
                // In the child, other listeners may wait for threads that do not exist there.
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
