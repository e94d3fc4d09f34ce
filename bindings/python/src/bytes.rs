//! Hashes and many hashes out of objects of Python.

use std::slice;

use duramen::Hash;
use pyo3::buffer::PyBuffer;
use pyo3::prelude::*;

use crate::error::InputError;

/// The 32 bytes of an object, which the message calls `what`.
pub(crate) fn hash(bytes: &[u8], what: &str) -> PyResult<Hash> {
    duramen_bindings::hash(bytes, what).map_err(|refusal| InputError::new_err(refusal.to_string()))
}

/// Leaves that lie one after another in the memory of an object of Python: bytes, a bytearray, a memoryview, a numpy array.
pub(crate) struct Leaves {
    buffer: PyBuffer<u8>,
}

impl Leaves {
    /// Refuses what has no whole leaves, and what does not lie in one piece.
    pub(crate) fn new(object: &Bound<'_, PyAny>) -> PyResult<Self> {
        let buffer = PyBuffer::<u8>::get(object)?;
        if !buffer.is_c_contiguous() {
            return Err(InputError::new_err("the leaves do not lie in one piece of memory"));
        }
        if buffer.len_bytes() % 32 != 0 {
            let bytes = buffer.len_bytes();
            return Err(InputError::new_err(format!(
                "the leaves have {bytes} bytes, and a leaf has 32"
            )));
        }
        Ok(Self { buffer })
    }

    /// The leaves, where they lie: nothing is copied.
    ///
    /// The object is kept, and by the rules of the buffer protocol it neither moves nor shrinks meanwhile. The interpreter's
    /// lock is released while they are read, so another thread of the program could write into an object that can be
    /// written to. The documentation forbids that, as that of `hashlib` and of numpy does.
    #[allow(unsafe_code, reason = "the memory of another language, which is not copied")]
    pub(crate) fn get(&self) -> &[Hash] {
        let len = self.buffer.len_bytes() / 32;
        if len == 0 {
            return &[];
        }
        // SAFETY: the buffer is contiguous and has `len` times 32 initialized bytes at `buf_ptr`, which is not null as the
        // length is not zero. A `Hash` has the alignment of a byte. The buffer lives as long as `self`. That nobody writes
        // to it meanwhile is the caller's duty, as the documentation of the calls says.
        unsafe { slice::from_raw_parts(self.buffer.buf_ptr().cast::<Hash>(), len) }
    }
}
