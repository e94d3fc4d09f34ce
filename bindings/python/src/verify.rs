//! The verifier.

use duramen_bindings::{ProvenTree, Refusal, Signed, TreeKind, hashes};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyBytes, PyDict};

use crate::bytes::hash;
use crate::error::refused;
use crate::tree::Head;

/// A hash function and an arity: what a proof must be of.
#[pyclass(frozen, module = "duramen")]
struct Verifier {
    kind: TreeKind,
    hasher: String,
    arity: u32,
}

fn parts(head: &Head) -> (u64, duramen::Hash) {
    (head.0.size.get(), head.0.root)
}

#[pymethods]
impl Verifier {
    #[new]
    fn new(hasher: String, arity: u32) -> PyResult<Self> {
        let kind = TreeKind::new(&hasher, arity).map_err(refused)?;
        Ok(Self { kind, hasher, arity })
    }

    fn leaf<'py>(&self, py: Python<'py>, data: PyBackedBytes) -> Bound<'py, PyBytes> {
        let leaf = py.detach(|| self.kind.leaf(&data));
        PyBytes::new(py, &leaf)
    }

    fn empty_root<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.kind.empty_root())
    }

    fn verify_inclusion(
        &self,
        head: &Bound<'_, Head>,
        index: u64,
        leaf: &[u8],
        proof: &[u8],
    ) -> PyResult<()> {
        let leaf = hash(leaf, "the leaf")?;
        self.kind.inclusion(parts(head.get()), index, &leaf, proof).map_err(refused)
    }

    fn verify_inclusion_hashes(
        &self,
        head: &Bound<'_, Head>,
        index: u64,
        leaf: &[u8],
        siblings: &[u8],
    ) -> PyResult<()> {
        let leaf = hash(leaf, "the leaf")?;
        let siblings = hashes(siblings, "the proof").map_err(refused)?;
        self.kind.inclusion_hashes(parts(head.get()), index, &leaf, siblings).map_err(refused)
    }

    fn verify_many(
        &self,
        head: &Bound<'_, Head>,
        leaves: Vec<(u64, PyBackedBytes)>,
        proof: &[u8],
    ) -> PyResult<()> {
        let leaves = leaves.iter().map(|(index, leaf)| Ok((*index, hash(leaf, "the leaf")?)));
        let leaves = leaves.collect::<PyResult<Vec<_>>>()?;
        self.kind.multi(parts(head.get()), &leaves, proof).map_err(refused)
    }

    fn verify_consistency(
        &self,
        old: &Bound<'_, Head>,
        new: &Bound<'_, Head>,
        proof: &[u8],
    ) -> PyResult<()> {
        self.kind.consistency(parts(old.get()), parts(new.get()), proof).map_err(refused)
    }

    fn verify_consistency_hashes(
        &self,
        old: &Bound<'_, Head>,
        new: &Bound<'_, Head>,
        proof: &[u8],
    ) -> PyResult<()> {
        let proof = hashes(proof, "the proof").map_err(refused)?;
        self.kind.consistency_hashes(parts(old.get()), parts(new.get()), proof).map_err(refused)
    }

    fn __repr__(&self) -> String {
        format!("Verifier({:?}, {})", self.hasher, self.arity)
    }
}

/// A dictionary, of which the Python side makes a named tuple.
fn signed(py: Python<'_>, verified: Result<Signed, Refusal>) -> PyResult<Bound<'_, PyDict>> {
    let Signed { origin, size, root, extensions, cosigned, index } = verified.map_err(refused)?;
    let fields = PyDict::new(py);
    fields.set_item("origin", origin)?;
    fields.set_item("size", size)?;
    fields.set_item("root", PyBytes::new(py, &root))?;
    fields.set_item("extensions", extensions)?;
    fields.set_item("cosigned", cosigned)?;
    fields.set_item("index", index)?;
    Ok(fields)
}

#[pyfunction]
fn verify_tree<'py>(
    py: Python<'py>,
    commitment: &[u8],
    proof: &[u8],
) -> PyResult<Bound<'py, PyDict>> {
    let commitment = hash(commitment, "the commitment")?;
    let ProvenTree { name, hasher, arity, size, root } =
        duramen_bindings::prove_tree(&commitment, proof).map_err(refused)?;
    let fields = PyDict::new(py);
    fields.set_item("name", name)?;
    fields.set_item("hasher", hasher)?;
    fields.set_item("arity", arity)?;
    fields.set_item("size", size)?;
    fields.set_item("root", PyBytes::new(py, &root))?;
    Ok(fields)
}

#[pyfunction]
fn verify_checkpoint<'py>(
    py: Python<'py>,
    note: &str,
    origin: &str,
    keys: Vec<String>,
) -> PyResult<Bound<'py, PyDict>> {
    signed(py, py.detach(|| duramen_bindings::checkpoint(note, origin, &keys)))
}

#[pyfunction]
fn verify_witnessed<'py>(
    py: Python<'py>,
    note: &str,
    policy: &str,
) -> PyResult<Bound<'py, PyDict>> {
    signed(py, py.detach(|| duramen_bindings::witnessed(note, policy)))
}

#[pyfunction]
fn verify_proof<'py>(
    py: Python<'py>,
    text: &str,
    origin: &str,
    keys: Vec<String>,
    leaf: &[u8],
) -> PyResult<Bound<'py, PyDict>> {
    let leaf = hash(leaf, "the leaf")?;
    signed(py, py.detach(|| duramen_bindings::proof(text, origin, &keys, &leaf)))
}

#[pyfunction]
fn verify_witnessed_proof<'py>(
    py: Python<'py>,
    text: &str,
    policy: &str,
    leaf: &[u8],
) -> PyResult<Bound<'py, PyDict>> {
    let leaf = hash(leaf, "the leaf")?;
    signed(py, py.detach(|| duramen_bindings::witnessed_proof(text, policy, &leaf)))
}

pub(crate) fn add(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Verifier>()?;
    module.add_function(wrap_pyfunction!(verify_tree, module)?)?;
    module.add_function(wrap_pyfunction!(verify_checkpoint, module)?)?;
    module.add_function(wrap_pyfunction!(verify_witnessed, module)?)?;
    module.add_function(wrap_pyfunction!(verify_proof, module)?)?;
    module.add_function(wrap_pyfunction!(verify_witnessed_proof, module)?)
}
