//! The thread that settles tokens for asyncio.
//!
//! A store wakes the waiters of tokens on the thread that writes its log. That thread must not wait for the interpreter's
//! lock, so it only sends the waiter here.

use std::pin::Pin;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;

use duramen::{DurabilityToken, Result};
use pyo3::prelude::*;

use crate::error::failed;

/// A token that is waited for, and what is called when it is settled.
struct Waiter {
    token: Mutex<DurabilityToken>,
    /// Called with an exception or `None`.
    done: Py<PyAny>,
    thread: Sender<Arc<Waiter>>,
}

impl Wake for Waiter {
    fn wake(self: Arc<Self>) {
        let thread = self.thread.clone();
        // The thread ends with the process.
        let _ = thread.send(self);
    }
}

impl Waiter {
    /// What became of the token. If nothing did, the waiter is woken once something does.
    fn poll(self: &Arc<Self>) -> Poll<Result<()>> {
        let waker = Waker::from(Arc::clone(self));
        let mut token = self.token.lock().unwrap_or_else(PoisonError::into_inner);
        Future::poll(Pin::new(&mut *token), &mut Context::from_waker(&waker))
    }

    fn settle(&self, outcome: Result<()>) {
        // `None` while the interpreter ends: nobody waits any more.
        let _ = Python::try_attach(|py| {
            let error = outcome.err().map(|error| failed(error).into_value(py));
            if let Err(error) = self.done.call1(py, (error,)) {
                error.write_unraisable(py, None);
            }
        });
    }
}

/// Calls `done` with an exception or `None`, on another thread, once the token is settled.
pub(crate) fn notify(token: DurabilityToken, done: Py<PyAny>) -> PyResult<()> {
    let thread = thread()?;
    let waiter = Arc::new(Waiter { token: Mutex::new(token), done, thread: thread.clone() });
    // The first look is made there as well, so that `done` is always called on that thread.
    let _ = thread.send(waiter);
    Ok(())
}

/// The way to the thread, and the process that started it.
type Started = (u32, Sender<Arc<Waiter>>);

/// The way to the thread, which is started with the first waiter. Only callers that have the interpreter's lock come here, so a
/// fork, which takes that lock, never finds the mutex locked.
fn thread() -> PyResult<Sender<Arc<Waiter>>> {
    static THREAD: Mutex<Option<Started>> = Mutex::new(None);
    let mut thread = THREAD.lock().unwrap_or_else(PoisonError::into_inner);
    // A forked child does not have the threads of its parent.
    let process = std::process::id();
    if let Some((started_by, sender)) = &*thread
        && *started_by == process
    {
        return Ok(sender.clone());
    }
    let (sender, waiters) = channel::<Arc<Waiter>>();
    thread::Builder::new().name("duramen-tokens".into()).spawn(move || {
        while let Ok(waiter) = waiters.recv() {
            if let Poll::Ready(outcome) = waiter.poll() {
                waiter.settle(outcome);
            }
        }
    })?;
    *thread = Some((process, sender.clone()));
    Ok(sender)
}
