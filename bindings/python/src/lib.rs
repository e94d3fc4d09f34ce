//! duramen for Python: the store and the verifier. `README.md` shows how a program uses them, and
//! `python/duramen/__init__.pyi` is the reference.
//!
//! # Invariants
//!
//! - The interpreter's lock is released around every call that may wait: for a disk, for room, for a lock of the store or
//!   for another process.
//! - No thread of a store takes the interpreter's lock: tokens are settled by a thread of this module (`notify`).
//! - A call that waits without end looks for signals meanwhile, so that a program can be interrupted.

mod bytes;
mod error;
mod notify;
mod store;
mod tail;
mod token;
mod tree;
mod verify;

use pyo3::prelude::*;

#[pymodule]
fn _duramen(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    error::add(module)?;
    verify::add(module)?;
    module.add_class::<store::Store>()?;
    module.add_class::<store::StoreHead>()?;
    module.add_class::<tail::Appended>()?;
    module.add_class::<tail::Tail>()?;
    module.add_class::<token::Token>()?;
    module.add_class::<tree::Head>()?;
    module.add_class::<tree::Tree>()?;
    Ok(())
}
