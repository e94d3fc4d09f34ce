//! What the workers do.

use std::time::{Duration, Instant};

use super::background::Job;
use super::shared::Engine;
use crate::report::{JobStats, Steps};

impl Engine {
    /// Has a worker do `job` soon.
    pub(super) fn request_job(&self, job: Job) {
        self.background.request(job, &self.log);
    }

    /// Does a worker's job. A failure that the log cannot survive has poisoned the store when this returns. Other
    /// failures are reported, and the job may be requested again.
    pub(super) fn run(&self, job: Job, waited: Duration) {
        // A listener may have forked and returned in the child, which has a copy of the queue.
        if !self.process.is_current() {
            return;
        }
        let started = Instant::now();
        let done = |stats: &mut JobStats| {
            let steps = Steps { wait: waited, build: started.elapsed(), ..Steps::default() };
            stats.complete(&steps, 0);
        };
        match job {
            Job::PrepareSegment => match self.log.prepare_segment() {
                Ok(()) => self.background.count(|work| done(&mut work.segment)),
                Err(error) => {
                    self.background.count(|work| work.segment.failed += 1);
                    let noted = match self.log.segments_failure() {
                        Some(failure) => self.poison(failure),
                        None => self.poison_if_fatal(&error),
                    };
                    if noted.is_err() {
                        return;
                    }
                    // The flusher makes a segment itself when it needs one, and fails if that fails.
                    tracing::warn!(%error, "cannot make a log segment ready");
                }
            },
            Job::Hash => {
                self.background.take_unhashed().iter().for_each(|tree| tree.hash_if_free());
                self.background.count(|work| done(&mut work.hash));
            }
            Job::Checkpoint => self.checkpoint_job(waited),
            Job::Compact => self.compaction_job(waited),
            Job::Index => self.index_job(),
        }
        if self.process.is_current() {
            self.log.report_change();
        }
    }

    /// Waits until the threads of the store are idle.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn wait_idle(&self) {
        if !self.process.is_current() {
            return;
        }
        // Checks the flusher before the workers, because it gives them work. After the log has failed the flusher
        // is gone.
        let flusher_is_idle = || self.inflow.check().is_err() || self.log.is_idle();
        while !(flusher_is_idle() && self.background.is_idle() && flusher_is_idle()) {
            std::thread::yield_now();
        }
    }

    /// Has the flusher write a claim now if it would write one after a pause. Returns once the store is idle.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn end_pause(&self) {
        if self.process.is_current() {
            self.log.end_pause();
            self.wait_idle();
        }
    }
}
