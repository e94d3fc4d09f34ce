//! Closing a store.

use std::sync::Arc;
use std::time::Duration;

use super::shared::Engine;
use crate::error::{Error, Result};
use crate::report::CheckpointReason;
use crate::sync;
use crate::sync::JoinHandle;

impl Engine {
    /// Ends everything in order: no more inserts, background work done, what is there made durable,
    /// a checkpoint if the policy wants one, the end of the log written down, and small parts merged.
    /// Every token is answered when this returns, whatever it returns.
    pub(crate) fn close(&self, flusher: JoinHandle<()>) -> Result<()> {
        let (poisoned, seq) = self.inflow.close();
        self.background.hurry_up();
        // A listener on a worker may wait for a token that only the flush below would resolve.
        self.background.stop(|| self.log.request(seq));
        self.log.stop();
        let joined = flusher.join().map_err(|_| Error::ThreadPanicked { thread: "flusher" });
        let done = poisoned.and(joined).and_then(|()| self.finish());
        if let Err(forked @ Error::Forked { .. }) = done {
            // The store is the parent's.
            return Err(forked);
        }
        self.log.end(Error::Closed)?;
        self.lock.lock().take();
        done
    }

    /// Closes the store from another thread, for a caller that the store's own threads wait for.
    pub(crate) fn close_elsewhere(self: Arc<Self>, flusher: JoinHandle<()>) {
        let engine = Arc::clone(&self);
        let close = move || {
            if let Err(error) = engine.close(flusher) {
                tracing::error!(%error, "closing a store from one of its own threads failed");
            }
        };
        if let Err(error) = sync::spawn("duramen-closer", close) {
            tracing::error!(%error, "cannot start the thread that closes the store; the end of its log is not noted");
            // The caller has its error already.
            let _ = self.inflow.close();
            self.background.hurry_up();
            self.log.stop();
        }
    }

    /// The last steps, when no other thread works any more.
    fn finish(&self) -> Result<()> {
        let seq = self.inflow.last();
        // Nothing waits here: the flusher has gone, and either this is durable or it failed.
        self.log.wait_to_the_end(seq)?;
        let point = self.log.point();
        let reason = CheckpointReason::Close;
        let since = self.since_checkpoint(&point);
        let stretches = self.keeper.lock().manifest().log.closed.len();
        if self.settings.checkpoint.is_due_at_close(&since, stretches) {
            self.told(reason, false, || {
                self.checkpoint_now(&mut self.keeper.lock(), reason, Duration::ZERO, true)
            })?;
        } else {
            let published = self.publish_clean_end(&mut self.keeper.lock(), &point);
            self.poison_if_noted()?;
            published?;
        }
        self.merge_at_close()
    }
}
