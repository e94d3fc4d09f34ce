//! A store: a directory with trees.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use duramen::{
    Arity, Blake3, Config, EntryConfig, FlushPolicy, Hasher, Keccak256, Rfc6962Sha256,
    StoreHead as Heads, TreeConfig,
};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::error::{InputError, failed};
use crate::token::{SIGNALS, Token};
use crate::tree::{Head, Tree};

/// The heads of all trees of a store at one moment.
#[pyclass(frozen, eq, module = "duramen")]
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct StoreHead(Heads);

#[pymethods]
impl StoreHead {
    #[getter]
    fn commitment<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.0.commitment())
    }

    #[getter]
    fn trees(&self) -> Vec<(String, Head)> {
        let trees = self.0.trees().iter();
        trees.map(|tree| (tree.name.as_str().to_owned(), Head(tree.head))).collect()
    }

    /// The bytes of a proof from the commitment to a tree. `None` if there is no such tree.
    fn prove<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let Some(proof) = self.0.prove(name) else { return Ok(None) };
        let bytes = proof.encode().map_err(|error| InputError::new_err(error.to_string()))?;
        Ok(Some(PyBytes::new(py, &bytes)))
    }
}

/// A store that is open for writing. The mutex is held only for a moment, and only by who has the interpreter's lock: a fork, which
/// takes that lock, never finds it locked.
#[pyclass(frozen, module = "duramen")]
pub(crate) struct Store(Mutex<Option<duramen::Store>>);

impl Drop for Store {
    /// The last handle closes the store, which waits for the disk.
    fn drop(&mut self) {
        let store = self.0.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        let _ = Python::try_attach(|py| py.detach(move || drop(store)));
    }
}

impl Store {
    /// Does something with the store while the interpreter's lock is released.
    fn with<T: Send>(
        &self,
        py: Python<'_>,
        call: impl FnOnce(&duramen::Store) -> duramen::Result<T> + Send,
    ) -> PyResult<T> {
        let store = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let store = store.ok_or_else(|| failed(duramen::Error::Closed))?;
        // Without `self.0`, so that calls do not wait for one another. The last handle may close the store: not under the
        // interpreter's lock.
        py.detach(move || call(&store)).map_err(failed)
    }
}

fn tree_config(hasher: &str, arity: usize, entries: bool, indexed: bool) -> PyResult<TreeConfig> {
    let hasher: Arc<dyn Hasher> = match hasher {
        "blake3" => Arc::new(Blake3),
        "rfc6962-sha256" => Arc::new(Rfc6962Sha256),
        "keccak256" => Arc::new(Keccak256),
        _ => {
            return Err(InputError::new_err(format!(
                "the hash function {hasher:?} is not known; known are blake3, rfc6962-sha256 and keccak256"
            )));
        }
    };
    let arity = Arity::new(arity)
        .ok_or_else(|| InputError::new_err(format!("the arity is {arity}, not 2, 4, 8 or 16")))?;
    let mut config = TreeConfig::new(hasher, arity);
    if entries {
        config = config.entries(EntryConfig::new());
    }
    Ok(if indexed { config.indexed() } else { config })
}

#[pymethods]
impl Store {
    #[new]
    #[pyo3(signature = (path, *, create = true, flush_interval = Some(0.01), max_memory = None))]
    fn new(
        py: Python<'_>,
        path: PathBuf,
        create: bool,
        flush_interval: Option<f64>,
        max_memory: Option<u64>,
    ) -> PyResult<Self> {
        let policy = match flush_interval {
            None => FlushPolicy::Manual,
            Some(seconds) => {
                let within = Duration::try_from_secs_f64(seconds)
                    .map_err(|error| InputError::new_err(format!("flush_interval: {error}")))?;
                FlushPolicy::interval(within).map_err(failed)?
            }
        };
        let mut config = Config::new(path).create(create).flush_policy(policy);
        // Inserts wait without end all the same, and look for signals meanwhile.
        config = config.backpressure_wait(SIGNALS);
        if let Some(bytes) = max_memory {
            config = config.max_memory(bytes).map_err(failed)?;
        }
        let store = py.detach(|| duramen::Store::open(config)).map_err(failed)?;
        Ok(Self(Mutex::new(Some(store))))
    }

    #[pyo3(signature = (name = "main", *, hasher = "blake3", arity = 4, entries = false, indexed = false))]
    fn tree(
        &self,
        py: Python<'_>,
        name: &str,
        hasher: &str,
        arity: usize,
        entries: bool,
        indexed: bool,
    ) -> PyResult<Tree> {
        let config = tree_config(hasher, arity, entries, indexed)?;
        self.with(py, |store| store.tree_dyn(name, config)).map(Tree::new)
    }

    fn existing_tree(&self, py: Python<'_>, name: &str) -> PyResult<Tree> {
        self.with(py, |store| store.existing_tree(name)).map(Tree::new)
    }

    fn trees(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        let trees = self.with(py, duramen::Store::trees)?;
        Ok(trees.into_iter().map(|tree| tree.name.as_str().to_owned()).collect())
    }

    fn seal(&self, py: Python<'_>, name: &str) -> PyResult<Token> {
        self.with(py, |store| store.seal(name)).map(Token)
    }

    fn drop_tree(&self, py: Python<'_>, name: &str) -> PyResult<Token> {
        self.with(py, |store| store.drop_tree(name)).map(Token)
    }

    fn head(&self, py: Python<'_>) -> PyResult<StoreHead> {
        self.with(py, duramen::Store::head).map(StoreHead)
    }

    fn durable_head(&self, py: Python<'_>) -> PyResult<StoreHead> {
        self.with(py, duramen::Store::durable_head).map(StoreHead)
    }

    fn flush(&self, py: Python<'_>) -> PyResult<()> {
        self.with(py, duramen::Store::flush)
    }

    fn flush_async(&self, py: Python<'_>) -> PyResult<Token> {
        self.with(py, duramen::Store::flush_async).map(Token)
    }

    fn checkpoint(&self, py: Python<'_>) -> PyResult<()> {
        self.with(py, duramen::Store::checkpoint).map(drop)
    }

    fn snapshot_to(&self, py: Python<'_>, directory: PathBuf) -> PyResult<()> {
        self.with(py, |store| store.snapshot_to(directory)).map(drop)
    }

    /// Flushes and closes the store. Its trees take nothing more. Closing twice does nothing.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let store = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        match py.detach(|| store.map_or(Ok(()), duramen::Store::close)) {
            Ok(()) | Err(duramen::Error::Closed) => Ok(()),
            Err(error) => Err(failed(error)),
        }
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __exit__(
        &self,
        py: Python<'_>,
        _kind: &Bound<'_, PyAny>,
        _error: &Bound<'_, PyAny>,
        _trace: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        self.close(py)
    }
}
