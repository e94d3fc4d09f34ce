//! How the page calls the verifier: a request is written to memory, and an answer is read from it.
//!
//! 1. `duramen_request(len)` makes room for a request and returns its address.
//! 2. The page writes the request there and calls `duramen_answer()`, which returns the address of the answer.
//! 3. `duramen_answer_len()` is its length.
//!
//! # Invariant
//!
//! No memory is read or written through an address here. Both buffers are owned by `EXCHANGE`; a WebAssembly module has
//! one thread, and what the page writes outside of the room for the request it could write anywhere in the module's
//! memory without this file.

use std::cell::RefCell;

#[derive(Default)]
struct Exchange {
    request: Vec<u8>,
    answer: Vec<u8>,
}

thread_local! {
    static EXCHANGE: RefCell<Exchange> = RefCell::default();
}

/// Makes room for a request of `len` bytes.
#[allow(unsafe_code, reason = "a name without mangling; no other function of a module has it")]
#[unsafe(no_mangle)]
pub(crate) extern "C" fn duramen_request(len: u32) -> *mut u8 {
    EXCHANGE.with_borrow_mut(|exchange| {
        exchange.request = vec![0; usize::try_from(len).unwrap_or(0)];
        exchange.request.as_mut_ptr()
    })
}

/// Answers the request.
#[allow(unsafe_code, reason = "as above")]
#[unsafe(no_mangle)]
pub(crate) extern "C" fn duramen_answer() -> *const u8 {
    EXCHANGE.with_borrow_mut(|exchange| {
        exchange.answer = crate::answer(&exchange.request);
        exchange.answer.as_ptr()
    })
}

/// The length of the answer.
#[allow(unsafe_code, reason = "as above")]
#[unsafe(no_mangle)]
pub(crate) extern "C" fn duramen_answer_len() -> u32 {
    EXCHANGE.with_borrow(|exchange| u32::try_from(exchange.answer.len()).unwrap_or(0))
}
