//! The memory of one chunk: slots that are written once and read by many.
//!
//! # Invariant
//!
//! The memory is never moved, grown or freed while the chunk lives, and every slot is initialised
//! (to zeros) from the start. Which caller may touch which slot when is the contract of the three unsafe
//! functions; `LeafWriter`, `NodeWriter` and `View` are their only callers.
#![expect(unsafe_code, reason = "readers hold slices of memory that one writer still appends to")]

use std::ptr::NonNull;

use crate::merkle::Hash;

/// One chunk's slots.
pub(crate) struct Chunk {
    slots: NonNull<Hash>,
    len: usize,
    _memory: Memory,
    /// Under loom every slot has a twin whose accesses loom checks for races.
    #[cfg(duramen_loom)]
    twins: Vec<loom::cell::UnsafeCell<()>>,
}

/// What owns the bytes; dropping it gives them back.
enum Memory {
    /// Straight from the operating system: zeroed lazily, returned at once when dropped.
    Mapped(#[expect(dead_code, reason = "held for its Drop")] memmap2::MmapMut),
    /// From the allocator. Not a `Box`, which claims its memory for itself whenever it is moved.
    Heap(#[expect(dead_code, reason = "held for its Drop")] Vec<Hash>),
}

// SAFETY: a chunk is plain memory. Sharing it is sound because the unsafe functions below demand
// that no slot is written while, or after, another thread can read it.
unsafe impl Send for Chunk {}
// SAFETY: as above.
unsafe impl Sync for Chunk {}

/// Chunks smaller than this come from the allocator.
const MAP_FROM: usize = 64 * 1024;
const HUGE_PAGE: usize = 2 << 20;

impl Chunk {
    /// A chunk of `len` zeroed slots. With `huge` the system is asked for huge pages as far as they
    /// fit.
    pub(crate) fn new(len: usize, huge: bool) -> Self {
        let bytes = len * size_of::<Hash>();
        let mapped = if bytes >= MAP_FROM && !cfg!(any(miri, duramen_loom)) {
            // Address space that is a multiple of a huge page is placed at one. What is never
            // touched takes no memory.
            memmap2::MmapMut::map_anon(bytes.next_multiple_of(HUGE_PAGE)).ok()
        } else {
            None
        };
        let (slots, memory) = match mapped {
            Some(mut map) => {
                #[cfg(target_os = "linux")]
                if huge {
                    let len = bytes / HUGE_PAGE * HUGE_PAGE;
                    // A hint; without it the pages are ordinary ones.
                    let _ = map.advise_range(memmap2::Advice::HugePage, 0, len);
                }
                (map.as_mut_ptr().cast::<Hash>(), Memory::Mapped(map))
            }
            None => {
                let mut slots = vec![[0; 32]; len];
                (slots.as_mut_ptr(), Memory::Heap(slots))
            }
        };
        let _ = huge;
        Self {
            slots: NonNull::new(slots).unwrap_or(NonNull::dangling()),
            len,
            _memory: memory,
            #[cfg(duramen_loom)]
            twins: (0..len).map(|_| loom::cell::UnsafeCell::new(())).collect(),
        }
    }

    /// The slots `[slot, slot + len)` for writing.
    ///
    /// # Safety
    ///
    /// No other thread reads or writes any of these slots while the slice lives: they are unpublished
    /// and the caller is their only writer.
    ///
    /// # Panics
    ///
    /// If the range is outside the chunk.
    #[expect(clippy::mut_from_ref, reason = "the contract above makes the slice exclusive")]
    pub(crate) unsafe fn slots_mut(&self, slot: usize, len: usize) -> &mut [Hash] {
        assert!(slot <= self.len && len <= self.len - slot, "slots outside the chunk");
        #[cfg(duramen_loom)]
        for twin in &self.twins[slot..slot + len] {
            twin.with_mut(|_| ());
        }
        // SAFETY: the range is inside the allocation, which is initialised and lives as long as
        // `self`; the caller promises that the slice is exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.slots.as_ptr().add(slot), len) }
    }

    /// The slots `[slot, slot + len)` for reading.
    ///
    /// # Safety
    ///
    /// The slots have been written, and that write happened before this call: the caller has loaded
    /// with `Acquire` a count that was stored with `Release` after it, or is itself the writer.
    ///
    /// # Panics
    ///
    /// If the range is outside the chunk.
    #[inline(always)]
    pub(crate) unsafe fn slots(&self, slot: usize, len: usize) -> &[Hash] {
        assert!(slot <= self.len && len <= self.len - slot, "slots outside the chunk");
        #[cfg(duramen_loom)]
        for twin in &self.twins[slot..slot + len] {
            twin.with(|_| ());
        }
        // SAFETY: the range is inside the allocation, which is initialised and lives as long as
        // `self`; the caller promises that no thread writes these slots any more.
        unsafe { std::slice::from_raw_parts(self.slots.as_ptr().add(slot), len) }
    }
}

impl std::fmt::Debug for Chunk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Chunk").field("len", &self.len).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_zero_until_written_and_keep_what_was_written_while_others_are_filled() {
        for len in [4, 3000] {
            let chunk = Chunk::new(len, len > 4);
            // SAFETY: this test is the only user of the chunk, and it never reads a slot that a
            // live mutable slice covers.
            unsafe {
                assert_eq!(chunk.slots(0, len), vec![[0; 32]; len]);
                chunk.slots_mut(0, 2).fill([7; 32]);
                let seen = chunk.slots(0, 2);
                chunk.slots_mut(2, 2).fill([9; 32]);
                assert_eq!(seen, [[7; 32]; 2]);
                assert_eq!(chunk.slots(1, 2), [[7; 32], [9; 32]]);
            }
        }
    }
}
