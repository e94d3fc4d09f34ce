//! What keeps a store open: its engine and the thread that writes its log.
//!
//! # Invariant
//!
//! - Handles have the engine only through [`Shared::engine`], which refuses a forked child.

use std::sync::Arc;

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::report::RecoveryReport;
use crate::sync::process::InProcess;
use crate::sync::{JoinHandle, Mutex};

/// What the handles of a store share. Dropping the last one closes it.
pub(crate) struct Shared {
    engine: InProcess<Arc<Engine>>,
    /// Until it is closed.
    flusher: Mutex<Option<JoinHandle<()>>>,
}

impl Shared {
    pub(crate) fn new((engine, flusher): (Arc<Engine>, JoinHandle<()>)) -> Arc<Self> {
        let process = engine.process();
        let engine = InProcess::new(engine, process);
        Arc::new(Self { engine, flusher: Mutex::new(Some(flusher)) })
    }

    /// The engine.
    ///
    /// # Errors
    ///
    /// [`Forked`](Error::Forked) in a forked child.
    #[inline]
    pub(crate) fn engine(&self) -> Result<&Engine> {
        self.engine.get().map(|engine| &**engine)
    }

    /// The engine, for what keeps it longer than a call.
    pub(crate) fn kept_engine(&self) -> InProcess<Arc<Engine>> {
        self.engine.clone()
    }

    /// What recovery found, which never changes.
    pub(crate) fn report(&self) -> &RecoveryReport {
        self.engine.anywhere().report()
    }

    /// Closes the store.
    pub(crate) fn close(&self) -> Result<()> {
        // In a forked child another thread of the parent may hold the lock.
        self.engine.get()?;
        let flusher = self.flusher.lock().take();
        self.end(flusher.ok_or(Error::Closed)?)
    }

    fn end(&self, flusher: JoinHandle<()>) -> Result<()> {
        let engine = match self.engine.get() {
            Ok(engine) => engine,
            Err(forked) => {
                // Its threads are not here to be joined, and what is dropped might wait for them.
                std::mem::forget((flusher, Arc::clone(self.engine.anywhere())));
                return Err(forked);
            }
        };
        if let Err(own) = engine.check_may_wait_for_all("close") {
            Arc::clone(engine).close_elsewhere(flusher);
            return Err(own);
        }
        let done = engine.close(flusher);
        if matches!(done, Err(Error::Forked { .. })) {
            // A listener has forked and come back in the child.
            std::mem::forget(Arc::clone(engine));
        }
        done
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let Some(flusher) = self.flusher.get_mut().take() else { return };
        match self.end(flusher) {
            // Nothing was lost, and logging may wait for a lock in a forked child. Where it was dropped
            // by one of its own threads, another one closes it.
            Ok(()) | Err(Error::Forked { .. } | Error::WouldWaitForItself { .. }) => {}
            Err(error) => tracing::error!(%error, "closing a store that was dropped failed"),
        }
    }
}
