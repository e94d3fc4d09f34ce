//! An allocator that counts.
#![expect(unsafe_code, reason = "an allocator is unsafe to write")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

/// The system's allocator, which counts the bytes that the process has from it. For a test's
/// `#[global_allocator]`.
#[derive(Debug, Default)]
pub struct Counting {
    live: AtomicUsize,
    most: AtomicUsize,
    /// The largest single request, also of those that there was no memory for.
    largest: AtomicUsize,
}

/// What a call took of the process's memory.
#[derive(Clone, Copy, Debug)]
pub struct Took {
    /// How many bytes more than before were allocated at most.
    pub most: usize,
    /// The largest single request.
    pub largest: usize,
}

impl Counting {
    /// Nothing is counted yet.
    #[must_use]
    pub const fn new() -> Self {
        let [live, most, largest] = [const { AtomicUsize::new(0) }; 3];
        Self { live, most, largest }
    }

    /// How many bytes are allocated now, as they were requested.
    #[must_use]
    pub fn live(&self) -> usize {
        self.live.load(Ordering::Relaxed)
    }

    /// Does `call` and counts what the process asks for meanwhile. One at a time.
    pub fn count<T>(&self, call: impl FnOnce() -> T) -> (T, Took) {
        let before = self.live();
        self.most.store(before, Ordering::Relaxed);
        self.largest.store(0, Ordering::Relaxed);
        let done = call();
        let most = self.most.load(Ordering::Relaxed).saturating_sub(before);
        (done, Took { most, largest: self.largest.load(Ordering::Relaxed) })
    }

    fn request(&self, bytes: usize) {
        self.largest.fetch_max(bytes, Ordering::Relaxed);
    }

    fn add<T>(&self, bytes: usize, memory: *mut T) -> *mut T {
        if !memory.is_null() {
            let live = self.live.fetch_add(bytes, Ordering::Relaxed) + bytes;
            self.most.fetch_max(live, Ordering::Relaxed);
        }
        memory
    }

    fn remove(&self, bytes: usize) {
        self.live.fetch_sub(bytes, Ordering::Relaxed);
    }
}

// SAFETY: every call is handed on to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.request(layout.size());
        // SAFETY: the caller keeps the same contract.
        self.add(layout.size(), unsafe { System.alloc(layout) })
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        self.request(layout.size());
        // SAFETY: as above.
        self.add(layout.size(), unsafe { System.alloc_zeroed(layout) })
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, len: usize) -> *mut u8 {
        self.request(len);
        // SAFETY: as above.
        let moved = unsafe { System.realloc(memory, layout, len) };
        if !moved.is_null() {
            self.remove(layout.size());
            self.add(len, moved);
        }
        moved
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(memory, layout) };
        self.remove(layout.size());
    }
}
