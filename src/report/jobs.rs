//! The cost of background work, step by step.

use std::time::Duration;

use super::CheckpointReason;

/// How long one step of a kind of background work took, over all completed runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Times {
    /// All runs together.
    pub total: Duration,
    /// The last run.
    pub last: Duration,
    /// The longest run.
    pub max: Duration,
}

impl Times {
    fn add(&mut self, time: Duration) {
        self.total = self.total.saturating_add(time);
        self.last = time;
        self.max = self.max.max(time);
    }
}

/// The background work of one kind since the store was opened, and how long its steps took. Steps that a
/// kind does not have stay at zero.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct JobStats {
    /// Completed runs. All times are those of completed runs.
    pub completed: u64,
    /// Runs that failed.
    pub failed: u64,
    /// Runs that retried a failed run.
    pub retries: u64,
    /// Whether a permanent failure has stopped automatic runs of this kind.
    pub suspended: bool,
    /// Bytes of parts written by completed runs.
    pub bytes: u64,
    /// From request to start: waiting for a thread, for a lock, and for a flush of the log.
    pub wait: Times,
    /// Reading, computing and writing the new data.
    pub build: Times,
    /// Making the new files and their names durable.
    pub sync: Times,
    /// Making the manifest that names the new files durable, and installing the new version for readers.
    pub install: Times,
    /// Releasing what was replaced: log segments, chunks of memory, merged parts.
    pub release: Times,
}

/// How long the steps of one run took.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Steps {
    pub(crate) wait: Duration,
    pub(crate) build: Duration,
    pub(crate) sync: Duration,
    pub(crate) install: Duration,
    pub(crate) release: Duration,
}

impl JobStats {
    pub(crate) fn complete(&mut self, steps: &Steps, bytes: u64) {
        self.completed += 1;
        self.bytes += bytes;
        self.wait.add(steps.wait);
        self.build.add(steps.build);
        self.sync.add(steps.sync);
        self.install.add(steps.install);
        self.release.add(steps.release);
    }
}

/// The statistics of all kinds of background work. Its lock guards only this struct and is held briefly.
#[derive(Clone, Debug, Default)]
pub(crate) struct Work {
    pub(crate) checkpoint: JobStats,
    pub(crate) compaction: JobStats,
    pub(crate) segment: JobStats,
    pub(crate) hash: JobStats,
    pub(crate) reasons: Reasons,
}

/// Completed checkpoints by reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reasons(pub(super) [u64; CheckpointReason::ALL.len()]);

impl Reasons {
    pub(crate) fn add(&mut self, reason: CheckpointReason) {
        if let Some(at) = CheckpointReason::ALL.iter().position(|other| *other == reason) {
            self.0[at] += 1;
        }
    }

    pub(crate) fn get(&self, reason: CheckpointReason) -> u64 {
        let at = CheckpointReason::ALL.iter().position(|other| *other == reason);
        at.map_or(0, |at| self.0[at])
    }
}
