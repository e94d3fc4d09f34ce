//! An allocator that counts.
#![expect(unsafe_code, reason = "an allocator is unsafe to write")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

/// The system's allocator, which counts the bytes that the process has from it. For a test's
/// `#[global_allocator]`.
#[derive(Debug, Default)]
pub struct Counting {
    live: AtomicUsize,
}

impl Counting {
    /// Nothing is counted yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { live: AtomicUsize::new(0) }
    }

    /// How many bytes are allocated now, as they were requested.
    #[must_use]
    pub fn live(&self) -> usize {
        self.live.load(Ordering::Relaxed)
    }

    fn add<T>(&self, bytes: usize, memory: *mut T) -> *mut T {
        if !memory.is_null() {
            self.live.fetch_add(bytes, Ordering::Relaxed);
        }
        memory
    }
}

// SAFETY: every call is handed on to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the same contract.
        self.add(layout.size(), unsafe { System.alloc(layout) })
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        self.add(layout.size(), unsafe { System.alloc_zeroed(layout) })
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, len: usize) -> *mut u8 {
        // SAFETY: as above.
        let moved = self.add(len, unsafe { System.realloc(memory, layout, len) });
        if !moved.is_null() {
            self.live.fetch_sub(layout.size(), Ordering::Relaxed);
        }
        moved
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(memory, layout) };
        self.live.fetch_sub(layout.size(), Ordering::Relaxed);
    }
}
