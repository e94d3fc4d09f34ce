//! Closes a store.

use std::sync::Arc;
use std::time::Duration;

use super::checkpoint::Publish;
use super::shared::Engine;
use crate::error::{Error, Result};
use crate::report::{CheckpointReason, RunState};
use crate::sync;
use crate::sync::JoinHandle;

impl Engine {
    /// Closes the store in this order: refuses inserts, ends background work, flushes, makes a checkpoint if the
    /// policy wants one and otherwise publishes the end of the log, and merges small parts. Every token has its
    /// answer when this returns, even with an error.
    pub(crate) fn close(&self, flusher: JoinHandle<()>) -> Result<()> {
        let (poisoned, seq) = self.inflow.close();
        self.background.hurry_up();
        // A listener on a worker may wait for a token, so the flush is requested before the worker is waited for.
        self.background.stop(|| self.log.request(seq));
        self.log.stop();
        let joined = flusher.join().map_err(|_| Error::ThreadPanicked { thread: "flusher" });
        let done = poisoned.and(joined).and_then(|()| self.finish());
        if let Err(forked @ Error::Forked { .. }) = done {
            // The store is the parent's.
            return Err(forked);
        }
        self.log.end(Error::Closed)?;
        self.write_status(RunState::Closed);
        self.lock.lock().take();
        done
    }

    /// Closes the store on a new thread, for a caller that is one of the store's own threads.
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

    /// The last steps, when the store has no other thread any more.
    fn finish(&self) -> Result<()> {
        // A compaction on another thread fails soon, and has to end before the lock is released.
        // Fails if a listener of its events closes the store. It then merges and wipes nothing any more.
        let turn = self.keeper.alone().begin("close");
        let seq = self.inflow.last();
        // This returns at once: the flusher has ended, and `seq` is durable or the log has failed.
        self.log.wait_to_the_end(seq)?;
        let point = self.log.point();
        let reason = CheckpointReason::Close;
        let since = self.since_checkpoint(&point);
        let stretches = self.keeper.lock().manifest().log.closed.len();
        if self.settings.checkpoint.is_due_at_close(&since, stretches) {
            self.with_events(reason, false, || {
                let live = &mut self.keeper.lock();
                self.checkpoint_now(live, reason, Duration::ZERO, Publish::Clean)
            })?;
        } else {
            let published = self.publish_clean_end(&mut self.keeper.lock(), &point);
            self.poison_if_noted()?;
            published?;
        }
        if turn.is_err() {
            return Ok(());
        }
        self.merge_at_close()?;
        // What cannot be wiped is left to the next open.
        self.retry_strays();
        Ok(())
    }
}
