//! Asking for memory ahead of need.

use crate::merkle::Hash;

/// Has the processor fetch `nodes` into its second cache while it does other things. A hint.
#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "the instruction takes a pointer")]
pub(super) fn prefetch(nodes: &[Hash]) {
    use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};

    for pair in nodes.chunks(2) {
        // SAFETY: the instruction reads nothing that the program can see and never faults.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(pair.as_ptr().cast()) };
    }
}

#[cfg(not(target_arch = "x86_64"))]
pub(super) fn prefetch(_nodes: &[Hash]) {}
