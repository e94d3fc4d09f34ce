//! The thread that publishes checkpoints: on change, and at most once in an interval.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::error::LogError;

#[derive(Debug, Default)]
struct State {
    changed: bool,
    closing: bool,
}

/// Tells the publisher that something became durable.
#[derive(Clone, Debug, Default)]
pub(crate) struct Waker(Arc<(Mutex<State>, Condvar)>);

impl Waker {
    pub(crate) fn wake(&self) {
        self.set(|state| state.changed = true);
    }

    fn set(&self, change: impl FnOnce(&mut State)) {
        let (state, condition) = &*self.0;
        change(&mut state.lock().unwrap_or_else(PoisonError::into_inner));
        condition.notify_all();
    }

    /// Waits for a change. Returns false once the log is being closed.
    fn changed(&self) -> bool {
        let (state, condition) = &*self.0;
        let state = state.lock().unwrap_or_else(PoisonError::into_inner);
        let waits = |state: &mut State| !state.changed && !state.closing;
        let mut state = condition.wait_while(state, waits).unwrap_or_else(PoisonError::into_inner);
        state.changed = false;
        !state.closing
    }

    /// Sleeps, but not once the log is being closed.
    fn sleep(&self, time: Duration) {
        let (state, condition) = &*self.0;
        let state = state.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = condition.wait_timeout_while(state, time, |state| !state.closing);
    }
}

/// Publishes the checkpoints of one log.
pub(crate) struct Publisher {
    waker: Waker,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// Calls its function if its thread panics.
struct OnPanic<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnPanic<F> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            (self.0)();
        }
    }
}

/// How long the publisher waits after a failure.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

impl Publisher {
    /// Calls `publish` after changes, which publishes what is new. If that panics, the thread ends with a call of
    /// `panicked`.
    pub(crate) fn start(
        origin: String,
        interval: Duration,
        publish: impl Fn() -> Result<(), LogError> + Send + 'static,
        panicked: impl FnMut() + Send + 'static,
    ) -> std::io::Result<Self> {
        let waker = Waker::default();
        let own = waker.clone();
        let (panicked, mut told) = (OnPanic(panicked), String::new());
        let body = move || {
            let _panicked = panicked;
            while own.changed() {
                let started = Instant::now();
                let mut pause = interval;
                let published = publish();
                let failure = published.as_ref().err().map(ToString::to_string).unwrap_or_default();
                // Each is told once, however often it comes again.
                if !failure.is_empty() && failure != told {
                    tracing::error!(log = %origin, error = %failure, "no checkpoint");
                }
                told = failure;
                if published.is_err() {
                    pause = interval.max(AFTER_FAILURE);
                    own.wake();
                }
                own.sleep(pause.saturating_sub(started.elapsed()));
            }
        };
        let thread = std::thread::Builder::new().name("log-publish".to_owned()).spawn(body)?;
        Ok(Self { waker, thread: Mutex::new(Some(thread)) })
    }

    pub(crate) fn waker(&self) -> Waker {
        self.waker.clone()
    }

    pub(crate) fn close(&self) {
        self.waker.set(|state| state.closing = true);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.close();
    }
}
