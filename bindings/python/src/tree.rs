//! A tree of a store.

use std::path::PathBuf;

use duramen::merkle::codec::{ConsistencyClaim, InclusionClaim, MultiClaim};
use duramen::{DynAccumulator, InsertedMany, LeafIndex, TreeHead, TreeSize, Unique};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyBytes;

use crate::bytes::{Leaves, hash};
use crate::error::{InputError, failed};
use crate::tail::Tail;
use crate::token::Token;

/// Size and root of a tree.
#[pyclass(frozen, eq, hash, module = "duramen")]
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Head(pub(crate) TreeHead);

#[pymethods]
impl Head {
    #[new]
    fn new(size: u64, root: &[u8]) -> PyResult<Self> {
        Ok(Self(TreeHead { size: TreeSize(size), root: hash(root, "the root")? }))
    }

    #[getter]
    fn size(&self) -> u64 {
        self.0.size.get()
    }

    #[getter]
    fn root<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.0.root)
    }

    fn __repr__(&self) -> String {
        let root: String = self.0.root.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("Head(size={}, root=bytes.fromhex('{root}'))", self.0.size)
    }
}

/// A tree of a store.
#[pyclass(frozen, module = "duramen")]
pub(crate) struct Tree(Option<DynAccumulator>);

impl Drop for Tree {
    /// The last handle closes the store, which waits for the disk.
    fn drop(&mut self) {
        let tree = self.0.take();
        let _ = Python::try_attach(|py| py.detach(move || drop(tree)));
    }
}

type Result<T> = duramen::Result<T>;

impl Tree {
    pub(crate) fn new(tree: DynAccumulator) -> Self {
        Self(Some(tree))
    }

    /// The tree, which is there until this is dropped.
    fn get(&self) -> PyResult<&DynAccumulator> {
        self.0.as_ref().ok_or_else(|| failed(duramen::Error::Closed))
    }

    /// Does something with the tree while the interpreter's lock is released.
    fn with<T: Send>(
        &self,
        py: Python<'_>,
        call: impl FnOnce(&DynAccumulator) -> Result<T> + Send,
    ) -> PyResult<T> {
        let tree = self.get()?;
        py.detach(|| call(tree)).map_err(failed)
    }

    /// As [`with`](Self::with), for an insert: waits until there is room, and looks for signals meanwhile.
    fn insert_with<T: Send>(
        &self,
        py: Python<'_>,
        insert: impl Fn(&DynAccumulator) -> Result<T> + Sync,
    ) -> PyResult<T> {
        let tree = self.get()?;
        loop {
            match py.detach(|| insert(tree)) {
                // Nothing was inserted.
                Err(duramen::Error::Backpressure { .. }) => py.check_signals()?,
                inserted => return inserted.map_err(failed),
            }
        }
    }

    /// The bytes of a proof that was just made. They always encode.
    fn encoded<'py, E: std::fmt::Display>(
        py: Python<'py>,
        bytes: std::result::Result<Vec<u8>, E>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let bytes = bytes.map_err(|error| InputError::new_err(error.to_string()))?;
        Ok(PyBytes::new(py, &bytes))
    }
}

fn many(inserted: InsertedMany) -> ((u64, u64), Token) {
    ((inserted.range.start, inserted.range.end), Token(inserted.token))
}

fn unique(unique: &Unique) -> (u64, bool, Token) {
    (unique.index().get(), unique.is_new(), Token(unique.token().clone()))
}

#[pymethods]
impl Tree {
    #[getter]
    fn name(&self) -> PyResult<&str> {
        Ok(self.get()?.name().as_str())
    }

    #[getter]
    fn hasher(&self) -> PyResult<&'static str> {
        Ok(self.get()?.hasher().id().as_str())
    }

    #[getter]
    fn arity(&self) -> PyResult<usize> {
        Ok(self.get()?.arity().children())
    }

    #[getter]
    fn durable_size(&self) -> PyResult<u64> {
        Ok(self.get()?.durable_size().get())
    }

    #[getter]
    fn base(&self) -> PyResult<u64> {
        Ok(self.get()?.base().get())
    }

    fn __len__(&self) -> PyResult<usize> {
        Ok(usize::try_from(self.get()?.size().get()).unwrap_or(usize::MAX))
    }

    /// A tree without leaves is one too.
    fn __bool__(&self) -> bool {
        true
    }

    #[getter]
    fn size(&self) -> PyResult<u64> {
        Ok(self.get()?.size().get())
    }

    fn hash_data<'py>(
        &self,
        py: Python<'py>,
        data: PyBackedBytes,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let leaf = self.with(py, |tree| Ok(tree.hasher().leaf(&data)))?;
        Ok(PyBytes::new(py, &leaf))
    }

    fn insert(&self, py: Python<'_>, leaf: &[u8]) -> PyResult<(u64, Token)> {
        let leaf = hash(leaf, "the leaf")?;
        let inserted = self.insert_with(py, |tree| tree.insert(leaf))?;
        Ok((inserted.index.get(), Token(inserted.token)))
    }

    fn insert_durable(&self, py: Python<'_>, leaf: &[u8]) -> PyResult<u64> {
        let leaf = hash(leaf, "the leaf")?;
        self.insert_with(py, |tree| tree.insert_durable(leaf)).map(LeafIndex::get)
    }

    fn try_insert(&self, py: Python<'_>, leaf: &[u8]) -> PyResult<(u64, Token)> {
        let leaf = hash(leaf, "the leaf")?;
        let inserted = self.with(py, |tree| tree.try_insert(leaf))?;
        Ok((inserted.index.get(), Token(inserted.token)))
    }

    fn insert_many(
        &self,
        py: Python<'_>,
        leaves: &Bound<'_, PyAny>,
    ) -> PyResult<((u64, u64), Token)> {
        let leaves = Leaves::new(leaves)?;
        let slice = leaves.get();
        self.insert_with(py, |tree| tree.insert_many(slice)).map(many)
    }

    fn insert_data(&self, py: Python<'_>, data: PyBackedBytes) -> PyResult<(u64, Token)> {
        let inserted = self.insert_with(py, |tree| tree.insert_data(&data))?;
        Ok((inserted.index.get(), Token(inserted.token)))
    }

    fn insert_entry(&self, py: Python<'_>, entry: PyBackedBytes) -> PyResult<(u64, Token)> {
        let inserted = self.insert_with(py, |tree| tree.insert_entry(&entry))?;
        Ok((inserted.index.get(), Token(inserted.token)))
    }

    fn insert_entry_durable(&self, py: Python<'_>, entry: PyBackedBytes) -> PyResult<u64> {
        self.insert_with(py, |tree| tree.insert_entry_durable(&entry)).map(LeafIndex::get)
    }

    fn insert_entries(
        &self,
        py: Python<'_>,
        entries: Vec<PyBackedBytes>,
    ) -> PyResult<((u64, u64), Token)> {
        self.insert_with(py, |tree| tree.insert_entries(&entries)).map(many)
    }

    fn insert_unique(&self, py: Python<'_>, leaf: &[u8]) -> PyResult<(u64, bool, Token)> {
        let leaf = hash(leaf, "the leaf")?;
        Ok(unique(&self.insert_with(py, |tree| tree.insert_unique(leaf))?))
    }

    fn insert_unique_entry(
        &self,
        py: Python<'_>,
        entry: PyBackedBytes,
    ) -> PyResult<(u64, bool, Token)> {
        Ok(unique(&self.insert_with(py, |tree| tree.insert_unique_entry(&entry))?))
    }

    fn add_index(&self, py: Python<'_>) -> PyResult<Token> {
        self.with(py, DynAccumulator::add_index).map(Token)
    }

    fn find(&self, py: Python<'_>, leaf: &[u8]) -> PyResult<Option<u64>> {
        let leaf = hash(leaf, "the leaf")?;
        Ok(self.with(py, |tree| tree.find(&leaf))?.map(LeafIndex::get))
    }

    fn find_all(&self, py: Python<'_>, leaf: &[u8]) -> PyResult<Vec<u64>> {
        let leaf = hash(leaf, "the leaf")?;
        self.with(py, |tree| tree.find_all(&leaf)?.map(|index| Ok(index?.get())).collect())
    }

    fn flush(&self, py: Python<'_>) -> PyResult<()> {
        self.with(py, DynAccumulator::flush)
    }

    fn flush_async(&self, py: Python<'_>) -> PyResult<Token> {
        self.with(py, DynAccumulator::flush_async).map(Token)
    }

    fn checkpoint(&self, py: Python<'_>) -> PyResult<()> {
        self.with(py, DynAccumulator::checkpoint).map(drop)
    }

    fn snapshot_to(&self, py: Python<'_>, directory: PathBuf) -> PyResult<()> {
        self.with(py, |tree| tree.snapshot_to(directory)).map(drop)
    }

    fn rewind(&self, py: Python<'_>, size: u64) -> PyResult<()> {
        self.with(py, |tree| tree.rewind(TreeSize(size))).map(drop)
    }

    fn prune(&self, py: Python<'_>, below: u64) -> PyResult<()> {
        self.with(py, |tree| tree.prune(LeafIndex(below))).map(drop)
    }

    #[pyo3(signature = (size = None))]
    fn head(&self, py: Python<'_>, size: Option<u64>) -> PyResult<Head> {
        let head = self.with(py, |tree| match size {
            Some(size) => tree.head_at(TreeSize(size)),
            None => tree.head(),
        });
        head.map(Head)
    }

    fn durable_head(&self, py: Python<'_>) -> PyResult<Head> {
        self.with(py, DynAccumulator::durable_head).map(Head)
    }

    #[pyo3(signature = (index, size = None))]
    fn prove<'py>(
        &self,
        py: Python<'py>,
        index: u64,
        size: Option<u64>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let claim = self.with(py, |tree| {
            let snapshot = tree.snapshot();
            let (size, index) = (size.map_or(snapshot.size(), TreeSize), LeafIndex(index));
            Ok(InclusionClaim { size, index, proof: snapshot.prove_at(index, size)? })
        })?;
        Self::encoded(py, claim.encode(self.get()?.hasher().id(), self.get()?.arity()))
    }

    #[pyo3(signature = (indexes, size = None))]
    fn prove_many<'py>(
        &self,
        py: Python<'py>,
        indexes: Vec<u64>,
        size: Option<u64>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let mut indexes: Vec<_> = indexes.into_iter().map(LeafIndex).collect();
        indexes.sort_unstable();
        indexes.dedup();
        let claim = self.with(py, |tree| {
            let snapshot = tree.snapshot();
            let size = size.map_or(snapshot.size(), TreeSize);
            let proof = snapshot.prove_many_at(&indexes, size)?;
            Ok(MultiClaim { size, indexes, proof })
        })?;
        Self::encoded(py, claim.encode(self.get()?.hasher().id(), self.get()?.arity()))
    }

    #[pyo3(signature = (old, new = None))]
    fn prove_consistency<'py>(
        &self,
        py: Python<'py>,
        old: u64,
        new: Option<u64>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let claim = self.with(py, |tree| {
            let snapshot = tree.snapshot();
            let (old, new) = (TreeSize(old), new.map_or(snapshot.size(), TreeSize));
            let proof = snapshot.prove_consistency_between(old, new)?;
            Ok(ConsistencyClaim { old, new, proof })
        })?;
        Self::encoded(py, claim.encode(self.get()?.hasher().id(), self.get()?.arity()))
    }

    fn leaf<'py>(&self, py: Python<'py>, index: u64) -> PyResult<Bound<'py, PyBytes>> {
        let leaf = self.with(py, |tree| tree.leaf(LeafIndex(index)))?;
        Ok(PyBytes::new(py, &leaf))
    }

    fn leaves<'py>(&self, py: Python<'py>, start: u64, stop: u64) -> PyResult<Bound<'py, PyBytes>> {
        let leaves = self.with(py, |tree| tree.leaves(start..stop))?;
        Ok(PyBytes::new(py, leaves.as_flattened()))
    }

    fn entry<'py>(&self, py: Python<'py>, index: u64) -> PyResult<Bound<'py, PyBytes>> {
        let entry = self.with(py, |tree| tree.entry(LeafIndex(index)))?;
        Ok(PyBytes::new(py, &entry))
    }

    /// The entries of a range. `None` for one that was erased.
    fn entries<'py>(
        &self,
        py: Python<'py>,
        start: u64,
        stop: u64,
    ) -> PyResult<Vec<Option<Bound<'py, PyBytes>>>> {
        let entries = self.with(py, |tree| {
            let entries = tree.entries(start..stop)?.map(|entry| match entry {
                Err(duramen::Error::Erased { .. }) => Ok(None),
                entry => entry.map(Some),
            });
            entries.collect::<Result<Vec<_>>>()
        })?;
        let bytes = |entry: Option<duramen::Entry>| entry.map(|entry| PyBytes::new(py, &entry));
        Ok(entries.into_iter().map(bytes).collect())
    }

    /// Whether the tree keeps entries.
    #[getter]
    fn keeps_entries(&self) -> PyResult<bool> {
        Ok(self.get()?.entry_config().is_some())
    }

    #[pyo3(signature = (start = 0))]
    fn tail(&self, py: Python<'_>, start: u64) -> PyResult<Tail> {
        let tail = self.with(py, |tree| tree.tail(LeafIndex(start)))?;
        Ok(Tail::new(tail))
    }

    /// Closes the store of the tree, with all its trees. Closing twice does nothing.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let tree = self.get()?;
        match py.detach(|| tree.store().close()) {
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

    fn __repr__(&self) -> PyResult<String> {
        let (name, size) = (self.name()?, self.size()?);
        let (hasher, arity) = (self.hasher()?, self.arity()?);
        Ok(format!("<Tree {name:?} {hasher} arity={arity} size={size}>"))
    }
}
