//! Requests checkpoints and merges automatically, and defers those that failed.

use std::sync::Arc;
use std::time::Duration;

use super::shared::Engine;
use crate::error::Error;
use crate::report::CheckpointReason;

impl Engine {
    /// Requests a checkpoint if the policy wants one now, and every retry that is due. Sets the flusher's clock to
    /// the time at which more may be due.
    pub(super) fn checkpoint_if_due(&self) {
        let policy = &self.settings.checkpoint;
        let since = self.since_checkpoint(&self.log.point());
        let due = policy.due(&since);
        let due_in = policy.due_in(&since).filter(|_| since.records > 0);
        // A checkpoint that is due is already requested, so checking again at once would be of no use.
        let due_in = due_in.map(|wait| wait.max(Duration::from_millis(10)));
        self.keeper.upkeep().request_due(due, due_in, &self.background, &self.log);
    }

    /// Requests a checkpoint, unless a retry is already scheduled. Fails with the permanent failure, if there was
    /// one.
    pub(super) fn request_checkpoint(&self, reason: CheckpointReason) -> Result<(), Arc<Error>> {
        self.keeper.upkeep().request_checkpoint(reason, &self.background, &self.log)
    }

    /// As [`Upkeep::checkpoint_failed`]. If there is no retry, waiting inserts check whether room can still come.
    pub(super) fn checkpoint_failed(
        &self,
        reason: CheckpointReason,
        error: &Error,
    ) -> Option<Duration> {
        let (upkeep, backoff) = (self.keeper.upkeep(), self.settings.backoff);
        let wait = upkeep.checkpoint_failed(reason, error, backoff, &self.log);
        if wait.is_none() {
            self.inflow.recheck_room();
        }
        wait
    }

    /// As [`Upkeep::compaction_failed`]. If there is no retry, inserts no longer wait for fewer parts.
    pub(super) fn compaction_failed(&self, error: &Error) -> Option<Duration> {
        let (upkeep, backoff) = (self.keeper.upkeep(), self.settings.backoff);
        let wait = upkeep.compaction_failed(error, backoff, &self.log);
        if wait.is_none() {
            self.inflow.limit_parts(0);
        }
        wait
    }
}
