//! Asking the processor for memory that will be read soon.
#![cfg_attr(
    target_arch = "x86_64",
    expect(unsafe_code, reason = "the processor's instruction takes a pointer")
)]

use super::types::Hash;

/// Begins to fetch `nodes`, so that they come while something else is done. Does nothing where the
/// processor has no instruction for it that Rust knows.
#[inline(always)]
pub(crate) fn prefetch(nodes: &[Hash]) {
    #[cfg(target_arch = "x86_64")]
    for pair in nodes.chunks(2) {
        use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: the instruction reads and writes nothing that a program can see and cannot fault,
        // whatever the address.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(pair.as_ptr().cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = nodes;
}
