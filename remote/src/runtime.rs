//! The runtime in which requests run.
//!
//! # Invariants
//!
//! - All requests of a client run in one runtime, which always has a thread: a connection that was used once is used
//!   again, and answers nothing while the runtime that made it stands still.
//! - It may be dropped anywhere, also by a thread of another runtime, which must not wait.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::runtime::{Builder, Handle};

use crate::error::{Error, Result};

#[derive(Clone, Debug)]
pub(crate) struct Runtime(Arc<Own>);

#[derive(Debug)]
struct Own(Option<tokio::runtime::Runtime>, Handle);

impl Drop for Own {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl Runtime {
    pub(crate) fn new() -> Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("duramen-remote")
            .enable_all()
            .build()
            .map_err(|error| Error::Io {
                action: "start threads for",
                path: PathBuf::from("the bucket"),
                reason: error.to_string(),
            })?;
        let handle = runtime.handle().clone();
        Ok(Self(Arc::new(Own(Some(runtime), handle))))
    }

    /// Runs `call`. On a thread of a runtime, which must not be entered again, on another thread.
    pub(crate) fn block_on<T: Send>(&self, call: impl Future<Output = T> + Send) -> T {
        let handle = &self.0.1;
        if Handle::try_current().is_err() {
            return handle.block_on(call);
        }
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| handle.block_on(call));
            match thread.join() {
                Ok(done) => done,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_can_be_made_and_the_last_handle_dropped_within_another_runtime() {
        let outer = Builder::new_current_thread().build().unwrap();
        let inner = Runtime::new().unwrap();
        let done = outer.block_on(async move { inner.block_on(async { 7 }) });
        assert_eq!(done, 7);
    }
}
