//! Automatic checkpoints, merges and indexes: why they are requested, what has failed, when it is retried.
//!
//! # Invariants
//!
//! - A transient failure is retried with exponential backoff. Until the retry nothing requests the same work
//!   automatically.
//! - After a permanent failure nothing starts automatically until a call of `checkpoint` succeeds. Otherwise the
//!   same failure would recur every few milliseconds.
//! - A thread notes a retry and sets the flusher's clock under one lock. So the clock is never set to a moment
//!   after the next retry.

use std::sync::Arc;
use std::time::Duration;

use super::background::{Background, Job};
use super::log::LogSide;
use crate::config::Backoff;
use crate::error::Error;
use crate::ids::TreeId;
use crate::report::CheckpointReason;
use crate::sync;
use crate::sync::{Instant, Mutex};

/// What was requested and what has failed.
#[derive(Debug, Default)]
pub(super) struct Upkeep {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The reason of the requested checkpoint.
    reason: Option<CheckpointReason>,
    checkpoint: Tries,
    compaction: Tries,
    index: Tries,
    prune: Tries,
    /// Trees that a policy cannot prune, until a caller makes a checkpoint.
    unpruned: Vec<TreeId>,
    /// When the store will have been open long enough to start a large merge that the policy wants.
    large_merge: Option<Instant>,
    /// When leaves may have become old enough to be pruned.
    aged: Option<Instant>,
}

/// Which work no longer starts automatically.
#[derive(Clone, Copy, Debug)]
pub(super) struct Suspended {
    pub(super) checkpoint: bool,
    pub(super) compaction: bool,
}

/// The attempts at one kind of work since it last succeeded.
#[derive(Debug, Default)]
struct Tries {
    failures: u32,
    /// When the next attempt is due.
    again: Option<Instant>,
    /// The failure after which nothing starts automatically any more.
    suspended: Option<Arc<Error>>,
}

impl Tries {
    /// Whether the work may start automatically now.
    fn may_start(&self, now: Instant) -> bool {
        self.suspended.is_none() && self.again.is_none_or(|again| again <= now)
    }

    /// Whether a retry is due.
    fn is_due(&self, now: Instant) -> bool {
        self.again.is_some_and(|again| again <= now)
    }

    /// The time until the next retry.
    fn wait(&self, now: Instant) -> Option<Duration> {
        let again = self.again.filter(|again| *again > now)?;
        Some(again.saturating_duration_since(now))
    }

    /// Notes a failure. Returns the time until the retry, if there will be one.
    fn failed(&mut self, error: &Error, backoff: Backoff, now: Instant) -> Option<Duration> {
        self.failures = self.failures.saturating_add(1);
        let wait = error.is_transient().then(|| backoff.wait(self.failures));
        self.again = wait.and_then(|wait| now.checked_add(wait));
        self.suspended = self.again.is_none().then(|| Arc::new(error.clone()));
        wait.filter(|_| self.suspended.is_none())
    }

    fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// Whether nothing starts automatically any more.
    fn is_suspended(&self) -> bool {
        self.suspended.is_some()
    }
}

impl State {
    /// Requests a checkpoint, unless a retry is scheduled or none may start. The first reason counts.
    pub(super) fn request_checkpoint(
        &mut self,
        reason: CheckpointReason,
        now: Instant,
        background: &Background,
        log: &LogSide,
    ) {
        if self.checkpoint.may_start(now) {
            self.reason.get_or_insert(reason);
            background.request(Job::Checkpoint, log);
        }
    }
}

impl Upkeep {
    /// Requests a checkpoint if one is `due`, and every retry that is due. Sets the flusher's clock to the time at
    /// which more may be due: after `due_in` at the latest, if there is one.
    pub(super) fn request_due(
        &self,
        due: Option<CheckpointReason>,
        due_in: Option<Duration>,
        background: &Background,
        log: &LogSide,
    ) {
        let mut state = self.state.lock();
        let now = Instant::now();
        if let Some(reason) = due {
            state.request_checkpoint(reason, now, background, log);
        } else if state.checkpoint.is_due(now) {
            background.request(Job::Checkpoint, log);
        }
        let merge_is_due = state.large_merge.is_some_and(|at| at <= now);
        if merge_is_due {
            state.large_merge = None;
        }
        let aged = state.aged.is_some_and(|at| at <= now);
        if aged {
            state.aged = None;
        }
        if merge_is_due || aged || state.compaction.is_due(now) || state.prune.is_due(now) {
            background.request(Job::Compact, log);
        }
        if state.index.is_due(now) {
            background.request(Job::Index, log);
        }
        let tries = [&state.checkpoint, &state.compaction, &state.index, &state.prune];
        let large_merge = state.large_merge.map(|at| at.saturating_duration_since(now));
        let waits = tries.iter().filter_map(|tries| tries.wait(now));
        let aged = state.aged.map(|at| at.saturating_duration_since(now));
        let wait = waits.chain(due_in).chain(large_merge).chain(aged).min();
        let mut state = Some(state);
        if sync::defect("the flusher's clock is set without the lock") {
            state = None;
        }
        log.tick_in(wait);
        drop(state);
        // After `tick_in`, which replaces any time that this call would set.
        background.start_waiting(log);
    }

    /// Requests a checkpoint, unless a retry is already scheduled. Fails with the permanent failure, if there was
    /// one.
    pub(super) fn request_checkpoint(
        &self,
        reason: CheckpointReason,
        background: &Background,
        log: &LogSide,
    ) -> Result<(), Arc<Error>> {
        let mut state = self.state.lock();
        if let Some(error) = &state.checkpoint.suspended {
            return Err(Arc::clone(error));
        }
        state.request_checkpoint(reason, Instant::now(), background, log);
        Ok(())
    }

    /// Takes the request for a checkpoint, if it may be made now. Returns its reason, and whether it is a retry.
    pub(super) fn take_checkpoint(&self) -> Option<(CheckpointReason, bool)> {
        let mut state = self.state.lock();
        if !state.checkpoint.may_start(Instant::now()) {
            return None;
        }
        state.checkpoint.again = None;
        let retry = state.checkpoint.failures > 0;
        state.reason.take().map(|reason| (reason, retry))
    }

    /// Returns whether merging now would be a retry, or `None` if no merge may start now.
    pub(super) fn take_compaction(&self) -> Option<bool> {
        let mut state = self.state.lock();
        if !state.compaction.may_start(Instant::now()) {
            return None;
        }
        state.compaction.again = None;
        Some(state.compaction.failures > 0)
    }

    /// Whether a search may request indexes: no retry is scheduled, and the last failure may go away.
    pub(super) fn may_request_indexes(&self) -> bool {
        self.state.lock().index.may_start(Instant::now())
    }

    /// Whether indexes may be written now: no retry is scheduled for later.
    pub(super) fn take_indexes(&self) -> bool {
        let mut state = self.state.lock();
        if state.index.wait(Instant::now()).is_some() {
            return false;
        }
        state.index.again = None;
        true
    }

    /// Notes how writing indexes ended. What failed and may go away is retried.
    pub(super) fn indexed(&self, failure: Option<&Error>, backoff: Backoff, log: &LogSide) {
        let mut state = self.state.lock();
        match failure {
            None => state.index.succeeded(),
            Some(error) => {
                let wait = state.index.failed(error, backoff, Instant::now());
                log.tick_within(wait);
            }
        }
    }

    /// Has the flusher request merges again after `wait`.
    pub(super) fn merge_later(&self, wait: Duration, log: &LogSide) {
        let mut state = self.state.lock();
        state.large_merge = Instant::now().checked_add(wait);
        log.tick_within(Some(wait));
    }

    /// Whether trees may be pruned by policy now: no retry is scheduled for later.
    pub(super) fn take_prunes(&self) -> bool {
        let mut state = self.state.lock();
        if state.prune.wait(Instant::now()).is_some() {
            return false;
        }
        state.prune.again = None;
        true
    }

    /// Whether a policy could not prune this tree, for a reason that does not go away by itself.
    pub(super) fn gave_up(&self, tree: TreeId) -> bool {
        self.state.lock().unpruned.contains(&tree)
    }

    /// Notes that a prune by policy succeeded.
    pub(super) fn prune_succeeded(&self) {
        self.state.lock().prune.succeeded();
    }

    /// Notes that a prune by policy has failed. Returns the time until its retry, if there will be one.
    pub(super) fn prune_failed(
        &self,
        tree: TreeId,
        error: &Error,
        backoff: Backoff,
        log: &LogSide,
    ) -> Option<Duration> {
        let mut state = self.state.lock();
        if !error.is_transient() {
            state.unpruned.push(tree);
            return None;
        }
        let wait = state.prune.failed(error, backoff, Instant::now());
        log.tick_within(wait);
        wait
    }

    /// Has the flusher look after `wait` whether leaves have become old enough to be pruned.
    pub(super) fn prune_later(&self, wait: Duration, log: &LogSide) {
        let mut state = self.state.lock();
        if state.aged.is_none() {
            state.aged = Instant::now().checked_add(wait);
            log.tick_within(Some(wait));
        }
    }

    /// Notes that a checkpoint succeeded. A checkpoint that a caller made lets automatic work start again.
    pub(super) fn checkpoint_succeeded(&self, automatic: bool) {
        let mut state = self.state.lock();
        if state.checkpoint.again.is_some() {
            // This was the retry. The next checkpoint has its own reason.
            state.reason = None;
        }
        state.checkpoint.succeeded();
        if !automatic && state.compaction.is_suspended() {
            state.compaction.succeeded();
        }
        if !automatic {
            state.unpruned.clear();
        }
        if !automatic && state.index.is_suspended() {
            state.index.succeeded();
        }
    }

    /// Notes that a merge succeeded.
    pub(super) fn compaction_succeeded(&self) {
        self.state.lock().compaction.succeeded();
    }

    /// Notes that an automatic checkpoint has failed. Returns the time until its retry, if there will be one.
    pub(super) fn checkpoint_failed(
        &self,
        reason: CheckpointReason,
        error: &Error,
        backoff: Backoff,
        log: &LogSide,
    ) -> Option<Duration> {
        let mut state = self.state.lock();
        let wait = state.checkpoint.failed(error, backoff, Instant::now());
        if wait.is_some() {
            state.reason.get_or_insert(reason);
        }
        log.tick_within(wait);
        wait
    }

    /// Notes that a merge has failed. Returns the time until merging is retried, if it will be.
    pub(super) fn compaction_failed(
        &self,
        error: &Error,
        backoff: Backoff,
        log: &LogSide,
    ) -> Option<Duration> {
        let mut state = self.state.lock();
        let wait = state.compaction.failed(error, backoff, Instant::now());
        log.tick_within(wait);
        wait
    }

    /// Which work no longer starts automatically.
    pub(super) fn suspended(&self) -> Suspended {
        let state = self.state.lock();
        Suspended {
            checkpoint: state.checkpoint.is_suspended(),
            compaction: state.compaction.is_suspended(),
        }
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
    fn a_failed_try_is_retried_after_its_wait_and_not_before() {
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
