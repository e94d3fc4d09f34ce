//! Follows a tree.

use std::process;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant, UNIX_EPOCH};

use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::error::failed;
use crate::token::{deadline, step};

/// A durable leaf that a tail returns.
#[pyclass(frozen, get_all, module = "duramen")]
pub(crate) struct Appended {
    index: u64,
    leaf: Py<PyBytes>,
    entry: Option<Py<PyBytes>>,
    erased: Option<f64>,
}

#[pymethods]
impl Appended {
    fn __repr__(&self) -> String {
        format!("<Appended index={}>", self.index)
    }
}

/// An iterator over the durable leaves of a tree that waits for more. The mutex is held only for a moment, and only by who has the
/// interpreter's lock: a fork, which takes that lock, never finds it locked.
#[pyclass(frozen, module = "duramen")]
pub(crate) struct Tail(Mutex<State>);

struct State {
    /// `None` while a thread waits with it.
    tail: Option<duramen::Tail>,
    /// The index of the leaf that comes next.
    next_index: u64,
    /// The process that opened the store.
    process: u32,
}

/// How often a thread looks whether another one still waits with the tail.
const TURN: Duration = Duration::from_millis(1);

impl Tail {
    pub(crate) fn new(tail: duramen::Tail) -> Self {
        let next_index = tail.next_index().get();
        Self(Mutex::new(State { tail: Some(tail), next_index, process: process::id() }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits at most `step` for the next leaf. Returns it, and whether there are no more.
    fn step(&self, py: Python<'_>, step: Duration) -> PyResult<(Option<duramen::Appended>, bool)> {
        let mut state = self.state();
        // A forked child has no thread that gives the tail back.
        let (opened_by, process) = (state.process, process::id());
        if opened_by != process {
            return Err(failed(duramen::Error::Forked { opened_by, process }));
        }
        let taken = state.tail.take();
        drop(state);
        let Some(mut tail) = taken else {
            py.detach(|| thread::sleep(step.min(TURN)));
            return Ok((None, false));
        };
        let (appended, tail) = py.detach(move || (tail.next_timeout(step), tail));
        let mut state = self.state();
        state.next_index = tail.next_index().get();
        let ended = tail.is_ended();
        state.tail = Some(tail);
        drop(state);
        Ok((appended.map_err(failed)?, ended))
    }
}

#[pymethods]
impl Tail {
    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Appended>> {
        self.next(py, None)
    }

    /// The next leaf, for which the call waits at most `timeout` seconds. `None` if there is none by then, and at the end.
    #[pyo3(signature = (timeout = None))]
    fn next(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Option<Appended>> {
        let deadline = deadline(timeout)?;
        loop {
            let (appended, ended) = self.step(py, step(deadline))?;
            if let Some(appended) = appended {
                return Ok(Some(Appended {
                    index: appended.index.get(),
                    leaf: PyBytes::new(py, &appended.leaf).unbind(),
                    entry: appended.entry.map(|entry| PyBytes::new(py, &entry).unbind()),
                    erased: appended.erased.map(|at| {
                        at.duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
                    }),
                }));
            }
            py.check_signals()?;
            if ended || deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                return Ok(None);
            }
        }
    }

    /// The index of the leaf that comes next.
    #[getter]
    fn next_index(&self) -> u64 {
        self.state().next_index
    }
}
