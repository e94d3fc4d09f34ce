//! Pointers of C as values of Rust, and back. A null pointer is an error and never read.

use std::ffi::{CStr, c_char};
use std::slice;

use duramen_bindings::{Hash, Refusal};

use crate::status::Failure;

fn null(what: &str) -> Failure {
    Refusal::Input(format!("{what} is a null pointer")).into()
}

/// Whether `count` values of this type can lie in memory. A length that comes from a call that failed, such as -1, cannot.
fn fits<T>(count: usize, what: &str) -> Result<(), Failure> {
    match count.checked_mul(size_of::<T>()) {
        Some(bytes) if isize::try_from(bytes).is_ok() => Ok(()),
        _ => Err(Refusal::Input(format!("{what} cannot have a length of {count}")).into()),
    }
}

/// The values at a pointer. Null is allowed for none.
///
/// # Safety
///
/// `count` values can be read at `data`, which is aligned for them, and nobody writes to them meanwhile.
unsafe fn values<'a, T>(data: *const T, count: usize, what: &str) -> Result<&'a [T], Failure> {
    if count == 0 {
        return Ok(&[]);
    }
    if data.is_null() {
        return Err(null(what));
    }
    fits::<T>(count, what)?;
    // SAFETY: the caller's promise; the pointer is not null, and the bytes are not more than there can be.
    Ok(unsafe { slice::from_raw_parts(data, count) })
}

/// The bytes at a pointer. Null is allowed for no bytes.
///
/// # Safety
///
/// `len` bytes can be read at `data`, and nobody writes to them meanwhile.
pub(crate) unsafe fn bytes<'a>(
    data: *const u8,
    len: usize,
    what: &str,
) -> Result<&'a [u8], Failure> {
    // SAFETY: the caller's promise.
    unsafe { values(data, len, what) }
}

/// The numbers at a pointer. Null is allowed for none.
///
/// # Safety
///
/// As [`bytes`], with `len` numbers at an address that is aligned for them.
pub(crate) unsafe fn numbers<'a>(
    data: *const u64,
    len: usize,
    what: &str,
) -> Result<&'a [u64], Failure> {
    // SAFETY: the caller's promise.
    unsafe { values(data, len, what) }
}

/// The hashes at a pointer, which lie one after another. Null is allowed for none.
///
/// # Safety
///
/// As [`bytes`], with 32 bytes for each.
pub(crate) unsafe fn hashes<'a>(
    data: *const u8,
    count: usize,
    what: &str,
) -> Result<&'a [Hash], Failure> {
    // SAFETY: the caller's promise; a hash has the alignment of a byte.
    unsafe { values(data.cast(), count, what) }
}

/// The hash at a pointer.
///
/// # Safety
///
/// As [`bytes`], with 32 bytes.
pub(crate) unsafe fn hash(data: *const u8, what: &str) -> Result<Hash, Failure> {
    // SAFETY: the caller's promise.
    unsafe { hashes(data, 1, what) }.map(|hashes| hashes[0])
}

/// The text at a pointer.
///
/// # Safety
///
/// The bytes at `text` can be read up to a zero, and nobody writes to them meanwhile.
pub(crate) unsafe fn text<'a>(text: *const c_char, what: &str) -> Result<&'a str, Failure> {
    if text.is_null() {
        return Err(null(what));
    }
    // SAFETY: the caller's promise; the pointer is not null.
    let text = unsafe { CStr::from_ptr(text) };
    text.to_str().map_err(|_| Refusal::Input(format!("{what} is no UTF-8")).into())
}

/// The texts at a pointer to pointers. Null is allowed for none.
///
/// # Safety
///
/// `count` pointers can be read at `texts`, each as [`text`].
pub(crate) unsafe fn texts<'a>(
    texts: *const *const c_char,
    count: usize,
    what: &str,
) -> Result<Vec<&'a str>, Failure> {
    // SAFETY: the caller's promise.
    let texts = unsafe { values(texts, count, what) }?;
    // SAFETY: the caller's promise for each.
    texts.iter().map(|one| unsafe { text(*one, what) }).collect()
}

/// What a handle points to.
///
/// # Safety
///
/// The handle is null, or it came from the call that makes such handles and was not freed.
pub(crate) unsafe fn handle<'a, T>(handle: *const T, what: &str) -> Result<&'a T, Failure> {
    // SAFETY: the caller's promise.
    unsafe { handle.as_ref() }.ok_or_else(|| null(what))
}

/// Writes an answer. Null is allowed where the caller does not want it.
///
/// # Safety
///
/// The pointer is null, or a `T` can be written there.
pub(crate) unsafe fn write<T>(place: *mut T, answer: T) {
    if !place.is_null() {
        // SAFETY: the caller's promise; the pointer is not null.
        unsafe { place.write(answer) };
    }
}

/// Writes a handle, which the caller has to free.
///
/// # Safety
///
/// As [`write`].
pub(crate) unsafe fn give<T>(place: *mut *mut T, answer: T) {
    if !place.is_null() {
        // SAFETY: the caller's promise; the pointer is not null.
        unsafe { place.write(Box::into_raw(Box::new(answer))) };
    }
}

/// Takes a handle back. `None` for null.
///
/// # Safety
///
/// As [`handle`]; nobody uses it any more.
pub(crate) unsafe fn take<T>(handle: *mut T) -> Option<Box<T>> {
    if handle.is_null() {
        return None;
    }
    // SAFETY: the caller's promise: it came from `give`.
    Some(unsafe { Box::from_raw(handle) })
}

/// Frees bytes that were given away as a pointer and a length.
///
/// # Safety
///
/// They came from a boxed slice and were not freed.
pub(crate) unsafe fn free_bytes(data: *mut u8, len: usize) {
    if !data.is_null() {
        // SAFETY: the caller's promise.
        drop(unsafe { Box::from_raw(std::ptr::slice_from_raw_parts_mut(data, len)) });
    }
}
