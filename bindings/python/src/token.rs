//! The receipt of an insert.

use std::time::{Duration, Instant};

use duramen::DurabilityToken;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::error::failed;
use crate::notify::notify;

/// How often a call that waits looks for signals.
pub(crate) const SIGNALS: Duration = Duration::from_millis(50);

/// The receipt of an insert: settled once the leaves are durable.
#[pyclass(frozen, module = "duramen")]
pub(crate) struct Token(pub(crate) DurabilityToken);

#[pymethods]
impl Token {
    #[getter]
    fn is_durable(&self) -> bool {
        self.0.is_durable()
    }

    /// Returns whether the leaves are durable, after at most `timeout` seconds.
    #[pyo3(signature = (timeout = None))]
    fn wait(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<bool> {
        let deadline = deadline(timeout)?;
        loop {
            let step = step(deadline);
            if py.detach(|| self.0.wait_timeout(step)).map_err(failed)? {
                return Ok(true);
            }
            py.check_signals()?;
            if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                return Ok(false);
            }
        }
    }

    /// Calls `done` with an exception or `None`, on another thread.
    fn _notify(&self, done: Py<PyAny>) -> PyResult<()> {
        notify(self.0.clone(), done)
    }

    fn __await__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.py().import("duramen._aio")?.call_method1("awaiting", (slf,))
    }

    fn __repr__(&self) -> String {
        format!("<Token durable={}>", if self.0.is_durable() { "True" } else { "False" })
    }
}

/// When a wait of so many seconds ends. `None` for one without end.
pub(crate) fn deadline(timeout: Option<f64>) -> PyResult<Option<Instant>> {
    let Some(seconds) = timeout else { return Ok(None) };
    let timeout = Duration::try_from_secs_f64(seconds);
    let timeout = timeout.map_err(|error| PyValueError::new_err(format!("timeout: {error}")))?;
    // One that is too long for the clock has no end.
    Ok(Instant::now().checked_add(timeout))
}

/// How long to wait until the next look for signals.
pub(crate) fn step(deadline: Option<Instant>) -> Duration {
    deadline
        .map_or(SIGNALS, |deadline| deadline.saturating_duration_since(Instant::now()).min(SIGNALS))
}
