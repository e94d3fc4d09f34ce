//! duramen for C: the verifier and the basic store. `include/duramen.h` is made of the comments here, and `README.md` shows a
//! program.
//!
//! # Invariants
//!
//! - No panic crosses the border: every function runs within [`guard`](status::guard).
//! - Pointers are read and written in `raw` alone. What each must point to, and who owns it, stands at the functions.
#![allow(
    unsafe_code,
    reason = "each function takes pointers of another language and has a name without mangling"
)]

mod raw;
mod signed;
mod status;
mod store;
mod token;
mod tree;
