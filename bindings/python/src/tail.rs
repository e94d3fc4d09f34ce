//! Follows a tree.

use std::sync::{Mutex, PoisonError};
use std::time::{Instant, UNIX_EPOCH};

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

/// An iterator over the durable leaves of a tree that waits for more.
#[pyclass(frozen, module = "duramen")]
pub(crate) struct Tail(pub(crate) Mutex<duramen::Tail>);

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
            let step = step(deadline);
            let (appended, ended) = py.detach(|| {
                let mut tail = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                let appended = tail.next_timeout(step);
                (appended, tail.is_ended())
            });
            if let Some(appended) = appended.map_err(failed)? {
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
    fn next_index(&self, py: Python<'_>) -> u64 {
        py.detach(|| self.0.lock().unwrap_or_else(PoisonError::into_inner).next_index().get())
    }
}
