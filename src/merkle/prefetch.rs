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
    if let (Some(first), Some(last)) = (nodes.first(), nodes.last()) {
        // Two nodes to a line of the cache. The ends come first and without a branch, which would be
        // mispredicted: small groups have nothing in between.
        line(first);
        line(last);
        if nodes.len() > 4 {
            nodes[2..nodes.len() - 2].iter().step_by(2).for_each(line);
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = nodes;
}

/// Begins to fetch the line of the cache in which `node` begins.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn line(node: &Hash) {
    use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    // SAFETY: the instruction reads and writes nothing that a program can see and cannot fault,
    // whatever the address.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(node.as_ptr().cast()) };
}
