//! Automatic checkpoints and merges: why they are requested, what has failed, when it is retried.
//!
//! # Invariants
//!
//! - A transient failure is retried with exponential backoff. Until then nothing requests the same work
//!   automatically.
//! - After a permanent failure nothing starts automatically until a call of `checkpoint` succeeds: what
//!   the disk did once it would do again, every few milliseconds.
//! - A retry is noted, and the flusher's clock is set, under one lock. So the flusher's clock is never set
//!   to a moment after the next retry.

use std::sync::Arc;
use std::time::Duration;

use super::background::Job;
use super::shared::Engine;
use crate::config::Backoff;
use crate::error::Error;
use crate::report::CheckpointReason;
use crate::sync;
use crate::sync::Instant;

/// What was requested and what has failed.
#[derive(Debug, Default)]
pub(crate) struct Upkeep {
    /// Why the checkpoint that waits is to be made.
    reason: Option<CheckpointReason>,
    pub(crate) checkpoint: Tries,
    pub(crate) compaction: Tries,
    /// When the store will have been open for long enough to begin a large merge that is wanted.
    large_merge: Option<Instant>,
}

/// The attempts at one kind of work since it last succeeded.
#[derive(Debug, Default)]
pub(crate) struct Tries {
    failures: u32,
    /// When the next one is due.
    again: Option<Instant>,
    /// Why nothing starts automatically any more.
    suspended: Option<Arc<Error>>,
}

impl Tries {
    /// Whether the work may be done automatically now.
    fn may_start(&self, now: Instant) -> bool {
        self.suspended.is_none() && self.again.is_none_or(|again| again <= now)
    }

    /// Whether a retry is due.
    fn is_due(&self, now: Instant) -> bool {
        self.again.is_some_and(|again| again <= now)
    }

    /// How long it is until the next retry.
    fn wait(&self, now: Instant) -> Option<Duration> {
        let again = self.again.filter(|again| *again > now)?;
        Some(again.saturating_duration_since(now))
    }

    /// Notes a failure. Returns after how long the retry is due, if there will be one.
    fn failed(&mut self, error: &Error, backoff: Backoff, now: Instant) -> Option<Duration> {
        self.failures = self.failures.saturating_add(1);
        let wait = error.is_transient().then(|| backoff.wait(self.failures));
        self.again = wait.and_then(|wait| now.checked_add(wait));
        self.suspended = self.again.is_none().then(|| Arc::new(error.clone()));
        wait.filter(|_| self.suspended.is_none())
    }

    pub(crate) fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// Whether nothing starts automatically any more.
    pub(crate) fn is_suspended(&self) -> bool {
        self.suspended.is_some()
    }
}

impl Engine {
    /// Requests a checkpoint if the policy wants one now, and the retries that are due, and sets the
    /// flusher's clock to when there may be more to request.
    pub(crate) fn checkpoint_if_due(&self) {
        let policy = &self.settings.checkpoint;
        let point = self.log.point();
        let since = self.since_checkpoint(&point);
        let due = policy.due(&since);
        let interval = policy.next_interval(since.time).filter(|_| since.records > 0);
        // A checkpoint that is due is under way; looking again at once would not hasten it.
        let interval = interval.map(|wait| wait.max(Duration::from_millis(10)));

        let mut upkeep = self.upkeep.lock();
        let now = Instant::now();
        if let Some(reason) = due {
            self.ask_for_checkpoint(&mut upkeep, reason, now);
        } else if upkeep.checkpoint.is_due(now) {
            self.request_job(Job::Checkpoint);
        }
        let merge_is_due = upkeep.large_merge.is_some_and(|at| at <= now);
        if merge_is_due {
            upkeep.large_merge = None;
        }
        if merge_is_due || upkeep.compaction.is_due(now) {
            self.request_job(Job::Compact);
        }
        let tries = [&upkeep.checkpoint, &upkeep.compaction];
        let large_merge = upkeep.large_merge.map(|at| at.saturating_duration_since(now));
        let waits = tries.iter().filter_map(|tries| tries.wait(now));
        let wait = waits.chain(interval).chain(large_merge).min();
        let mut upkeep = Some(upkeep);
        if sync::defect("the flusher's clock is set without the lock") {
            upkeep = None;
        }
        self.log.tick_in(wait);
        drop(upkeep);
        // After the clock was set, which forgets what it was set to before.
        self.background.start_waiting(&self.log);
    }

    /// Requests a checkpoint, unless a retry is already set. Fails with the reason why none is made any
    /// more.
    pub(crate) fn request_checkpoint(&self, reason: CheckpointReason) -> Result<(), Arc<Error>> {
        let mut upkeep = self.upkeep.lock();
        if let Some(error) = &upkeep.checkpoint.suspended {
            return Err(Arc::clone(error));
        }
        self.ask_for_checkpoint(&mut upkeep, reason, Instant::now());
        Ok(())
    }

    /// The first reason counts.
    fn ask_for_checkpoint(&self, upkeep: &mut Upkeep, reason: CheckpointReason, now: Instant) {
        if upkeep.checkpoint.may_start(now) {
            upkeep.reason.get_or_insert(reason);
            self.request_job(Job::Checkpoint);
        }
    }

    /// Why a checkpoint is to be made now, if one is, and whether one has failed before it.
    pub(crate) fn take_checkpoint(&self) -> Option<(CheckpointReason, bool)> {
        let mut upkeep = self.upkeep.lock();
        if !upkeep.checkpoint.may_start(Instant::now()) {
            return None;
        }
        upkeep.checkpoint.again = None;
        let retry = upkeep.checkpoint.failures > 0;
        upkeep.reason.take().map(|reason| (reason, retry))
    }

    /// Whether parts may be merged now; if so, whether a merge has failed before.
    pub(crate) fn take_compaction(&self) -> Option<bool> {
        let mut upkeep = self.upkeep.lock();
        if !upkeep.compaction.may_start(Instant::now()) {
            return None;
        }
        upkeep.compaction.again = None;
        Some(upkeep.compaction.failures > 0)
    }

    /// Has merges looked for again after `wait`.
    pub(super) fn merge_later(&self, wait: Duration) {
        let mut upkeep = self.upkeep.lock();
        upkeep.large_merge = Instant::now().checked_add(wait);
        self.log.tick_within(Some(wait));
    }

    /// Notes that a checkpoint was made. One that was called for lets automatic work start again.
    pub(crate) fn checkpoint_succeeded(&self, automatic: bool) {
        let mut upkeep = self.upkeep.lock();
        if upkeep.checkpoint.again.is_some() {
            // The retry has been done; the next checkpoint has a reason of its own.
            upkeep.reason = None;
        }
        upkeep.checkpoint.succeeded();
        if !automatic && upkeep.compaction.is_suspended() {
            upkeep.compaction.succeeded();
        }
    }

    /// Notes that an automatic checkpoint has failed. Returns after how long it is retried.
    pub(crate) fn checkpoint_put_off(
        &self,
        reason: CheckpointReason,
        error: &Error,
    ) -> Option<Duration> {
        let mut upkeep = self.upkeep.lock();
        let wait = upkeep.checkpoint.failed(error, self.settings.backoff, Instant::now());
        if wait.is_some() {
            upkeep.reason.get_or_insert(reason);
        }
        self.log.tick_within(wait);
        drop(upkeep);
        if wait.is_none() {
            self.inflow.look_for_room_again();
        }
        wait
    }

    /// Notes that a merge has failed. Returns after how long merging is retried.
    pub(crate) fn compaction_put_off(&self, error: &Error) -> Option<Duration> {
        let mut upkeep = self.upkeep.lock();
        let wait = upkeep.compaction.failed(error, self.settings.backoff, Instant::now());
        self.log.tick_within(wait);
        drop(upkeep);
        if wait.is_none() {
            self.inflow.limit_parts(0);
        }
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKOFF: Backoff =
        Backoff { first: Duration::from_millis(100), longest: Duration::from_secs(1) };

    fn error(kind: std::io::ErrorKind) -> Error {
        Error::io("write", "file", kind.into())
    }

    #[test]
    fn waits_double_up_to_the_longest() {
        let waits: Vec<_> = (1..=6).map(|failures| BACKOFF.wait(failures).as_millis()).collect();
        assert_eq!(waits, [100, 200, 400, 800, 1000, 1000]);
        assert_eq!(BACKOFF.wait(u32::MAX).as_millis(), 1000);
    }

    #[test]
    fn a_try_that_was_put_off_is_due_after_its_wait_and_not_before() {
        let now = Instant::now();
        let mut tries = Tries::default();
        assert!(tries.may_start(now) && !tries.is_due(now));
        let full = error(std::io::ErrorKind::StorageFull);
        let wait = tries.failed(&full, BACKOFF, now).unwrap();
        assert_eq!(tries.wait(now), Some(wait));
        assert!(!tries.may_start(now) && !tries.is_due(now));
        let later = now.checked_add(wait).unwrap();
        assert!(tries.may_start(later) && tries.is_due(later));
        assert_eq!(tries.wait(later), None);
        assert_eq!(tries.failed(&full, BACKOFF, later), Some(2 * wait));
        tries.succeeded();
        assert!(tries.may_start(now) && !tries.is_due(later));
        assert_eq!(
            tries.failed(&full, BACKOFF, now),
            Some(wait),
            "a success starts again from the first wait"
        );
    }

    #[test]
    fn what_does_not_go_away_by_itself_is_not_tried_again() {
        let now = Instant::now();
        let mut tries = Tries::default();
        let damage = error(std::io::ErrorKind::InvalidData);
        assert_eq!(tries.failed(&damage, BACKOFF, now), None);
        assert!(tries.is_suspended() && !tries.may_start(now));
        tries.succeeded();
        assert!(tries.may_start(now));
    }
}
