//! Background work: the workers, what they have done, and when they end early.
//!
//! # Invariants
//!
//! - A job that gets no worker is not lost: the flusher's clock is set, and the flusher retries the start. An insert that waits
//!   for the job does it itself if that fails too.
//! - A tree with leaves to hash is listed once, and the job that hashes takes the whole list.
//! - A thread holds each lock in here for a few words, and takes no other lock meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::log::LogSide;
use super::tree::Tree;
use crate::report::Work;
use crate::sync::Mutex;
use crate::sync::process::Process;
use crate::workers::Jobs;

/// The flusher retries a failed start of a worker after so long: memory, or a slot in the system's table of
/// threads, may be free by then.
pub(super) const RETRY_START: Duration = Duration::from_millis(100);

/// The work that a thread may request of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Job {
    /// Prepare a log segment ahead of need.
    PrepareSegment,
    /// Hash complete groups of leaves.
    Hash,
    /// Make a checkpoint.
    Checkpoint,
    /// Merge parts.
    Compact,
    /// Write the indexes that parts lack.
    Index,
}

/// The workers of a store.
pub(super) struct Background {
    jobs: Jobs<Job>,
    done: Mutex<Work>,
    /// Trees with leaves for the background to hash.
    unhashed: Mutex<Vec<Arc<Tree>>>,
    /// Set when the store begins to close. Long jobs then end early.
    closing: AtomicBool,
    opened: Instant,
}

impl Background {
    /// Workers in `process` that do their jobs with `run`. Its second argument is how long the job has waited.
    pub(super) fn new(
        process: Process,
        run: impl Fn(Job, Duration) + Send + Sync + 'static,
    ) -> Self {
        Self {
            jobs: Jobs::new(process, run),
            done: Mutex::default(),
            unhashed: Mutex::default(),
            closing: AtomicBool::new(false),
            opened: Instant::now(),
        }
    }

    /// Has a worker do `job` soon. If no worker can be started, the flusher behind `log` retries the start.
    pub(super) fn request(&self, job: Job, log: &LogSide) {
        if !self.jobs.request(job) {
            log.tick_within(Some(RETRY_START));
        }
    }

    /// Starts workers for waiting jobs. The flusher calls this.
    pub(super) fn start_waiting(&self, log: &LogSide) {
        if !self.jobs.start_waiting() {
            log.tick_within(Some(RETRY_START));
        }
    }

    /// Whether no worker could be started when one was last needed.
    pub(super) fn is_short(&self) -> bool {
        self.jobs.are_short()
    }

    /// Does a waiting job on this thread if no worker can be started.
    pub(super) fn lend(&self) {
        self.jobs.lend();
    }

    /// Whether the current thread is a worker that runs a job.
    pub(super) fn is_here(&self) -> bool {
        self.jobs.are_here()
    }

    /// How many jobs wait, and how many run.
    pub(super) fn counts(&self) -> (u64, u64) {
        self.jobs.counts()
    }

    /// Whether no job waits and none runs.
    #[cfg(any(test, feature = "testing"))]
    pub(super) fn is_idle(&self) -> bool {
        self.jobs.is_idle()
    }

    /// Updates the counts of work with `count`.
    pub(super) fn count<T>(&self, count: impl FnOnce(&mut Work) -> T) -> T {
        count(&mut self.done.lock())
    }

    /// The counts of work done so far.
    pub(super) fn done(&self) -> Work {
        self.done.lock().clone()
    }

    /// Adds trees with unhashed leaves to the list.
    pub(super) fn add_unhashed<'a>(&self, trees: impl Iterator<Item = &'a Arc<Tree>>) {
        let mut unhashed = self.unhashed.lock();
        for tree in trees {
            if !unhashed.iter().any(|waiting| Arc::ptr_eq(waiting, tree)) {
                unhashed.push(Arc::clone(tree));
            }
        }
    }

    /// Takes the list of trees with unhashed leaves.
    pub(super) fn take_unhashed(&self) -> Vec<Arc<Tree>> {
        std::mem::take(&mut *self.unhashed.lock())
    }

    /// How long the store has been open.
    pub(super) fn age(&self) -> Duration {
        self.opened.elapsed()
    }

    /// Makes long jobs end early from now on.
    pub(super) fn hurry_up(&self) {
        self.closing.store(true, Ordering::Relaxed);
    }

    /// Whether long jobs end early.
    pub(super) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
    }

    /// Returns when no job runs any more, and none will. If a job still runs, calls `hasten` before it waits for
    /// the job.
    pub(super) fn stop(&self, hasten: impl FnOnce()) {
        self.jobs.stop(hasten);
    }
}
