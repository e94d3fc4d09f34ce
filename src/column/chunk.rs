//! The memory of chunks: slots that are written once and read by many.
//!
//! # Invariant
//!
//! Memory is never moved, grown or freed while a [`Slots`] of it lives. Every slot is initialised to
//! zeros. The contracts of the three unsafe functions define which caller may access which slot at what
//! time. Their only callers are `Columns`, `LeafWriter`, `NodeWriter`, `EntryWriter`, `EntryBytes` and `View`.
#![expect(unsafe_code, reason = "readers hold slices of memory that one writer still appends to")]

use std::fmt;
use std::ptr::NonNull;
use std::sync::Arc;

use super::account::{Account, Charge};
use super::layout::Layout;
use crate::merkle::Hash;

/// One chunk. Cheap to clone and immutable. To grow a level, a writer makes a new chunk that shares the
/// memory of the other levels.
#[derive(Clone, Debug)]
pub(crate) enum Chunk {
    /// All slots of all levels, in one piece of memory.
    Whole(Slots<Hash>),
    /// One piece of memory per level, from the lowest level up. A level has as many slots as it needed
    /// so far, or none.
    Small(Arc<[Slots<Hash>]>),
}

/// A run of the slots of a chunk, in its own memory. Clones share the memory.
pub(crate) struct Slots<T> {
    /// The first slot of the run.
    first: usize,
    len: usize,
    start: NonNull<T>,
    memory: Option<Arc<Memory<T>>>,
}

/// The contents of a slot.
///
/// # Safety
///
/// Bytes that are all zero are a value of the type, and this value is `ZERO`.
pub(crate) unsafe trait Slot: Copy + Send + Sync + 'static {
    const ZERO: Self;
}

// SAFETY: an array of bytes takes any bytes.
unsafe impl Slot for Hash {
    const ZERO: Self = [0; 32];
}
// SAFETY: a byte takes any byte.
unsafe impl Slot for u8 {
    const ZERO: Self = 0;
}
// SAFETY: a number takes any bytes.
unsafe impl Slot for u32 {
    const ZERO: Self = 0;
}

/// The owner of the bytes. Dropping it frees them.
struct Memory<T> {
    bytes: Bytes<T>,
    /// Held for its Drop.
    _charge: Charge,
    /// Under loom every slot has a twin whose accesses loom checks for races.
    #[cfg(duramen_loom)]
    twins: Vec<loom::cell::UnsafeCell<()>>,
}

enum Bytes<T> {
    /// From the operating system: zeroed lazily, and freed as soon as it is dropped.
    Mapped(memmap2::MmapMut),
    /// From the allocator. Not a `Box`: moving a `Box` asserts exclusive access to its memory.
    Heap(#[expect(dead_code, reason = "held for its Drop")] Vec<T>),
}

// SAFETY: slots are plain memory. Sharing is sound because of the contract of the unsafe functions
// below: no slot is written once another thread can read it.
unsafe impl<T: Slot> Send for Slots<T> {}
// SAFETY: as above.
unsafe impl<T: Slot> Sync for Slots<T> {}

/// Smaller memory comes from the allocator. Linux allows a process 65,530 maps, and a process may have
/// as many trees.
const MAP_FROM: usize = 1 << 20;
pub(super) const HUGE_PAGE: usize = 2 << 20;

impl Chunk {
    /// A chunk with all slots of all levels, zeroed.
    pub(super) fn whole(layout: Layout, huge: bool, account: &Account) -> Self {
        Self::Whole(Slots::new(0, layout.slots(), huge, account))
    }

    /// This chunk with `slots` as the memory of level `level`. A whole chunk is returned unchanged.
    pub(crate) fn with_level(&self, level: usize, slots: &Slots<Hash>) -> Self {
        let Self::Small(levels) = self else { return self.clone() };
        let old = |level| levels.get(level).cloned().unwrap_or_default();
        let count = levels.len().max(level + 1);
        let levels = (0..count).map(|at| if at == level { slots.clone() } else { old(at) });
        Self::Small(levels.collect())
    }

    /// The memory of a level, if there is any. It may have fewer slots than the level.
    #[inline(always)]
    pub(crate) fn level(&self, level: usize) -> Option<&Slots<Hash>> {
        match self {
            Self::Whole(slots) => Some(slots),
            Self::Small(levels) => levels.get(level),
        }
    }

    /// The number of slots over all levels.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Whole(slots) => slots.len,
            Self::Small(levels) => levels.iter().map(|slots| slots.len).sum(),
        }
    }
}

/// A small chunk without slots.
impl Default for Chunk {
    fn default() -> Self {
        Self::Small(Arc::default())
    }
}

impl<T: Slot> Slots<T> {
    /// The slots `[first, end)`, zeroed. With `huge` the operating system is asked for huge pages
    /// wherever they fit. The memory is in `account` for as long as it lives.
    pub(super) fn new(first: usize, end: usize, huge: bool, account: &Account) -> Self {
        let len = end - first;
        let (start, memory) = Memory::new(len, account);
        let slots = Self { first, len, start, memory: Some(Arc::new(memory)) };
        if huge {
            slots.prefer_huge_pages(first);
        }
        slots
    }

    /// The first slot of the run. `None` if the run is empty.
    pub(crate) fn first(&self) -> Option<usize> {
        (self.len > 0).then_some(self.first)
    }

    /// The number of slots.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Whether the run has the slots `[slot, slot + len)`.
    #[inline(always)]
    pub(crate) fn has(&self, slot: usize, len: usize) -> bool {
        let at = slot.wrapping_sub(self.first);
        at <= self.len && len <= self.len - at
    }

    /// How many slots the run has from `slot` on.
    pub(crate) fn room(&self, slot: usize) -> usize {
        let at = slot.wrapping_sub(self.first);
        self.len.saturating_sub(at)
    }

    /// Asks the operating system for huge pages wherever they fit from `slot` on. Only a hint. Without it the
    /// pages are ordinary pages.
    pub(crate) fn prefer_huge_pages(&self, slot: usize) {
        if let Some(memory) = &self.memory {
            let bytes = |slots: usize| slots * size_of::<T>();
            let from = bytes(slot.saturating_sub(self.first)).next_multiple_of(HUGE_PAGE);
            memory.prefer_huge_pages(from, bytes(self.len) / HUGE_PAGE * HUGE_PAGE);
        }
    }

    /// Has the operating system provide all pages now, and not one by one as they are first written. Only a hint.
    pub(crate) fn populate(&self) {
        if let Some(memory) = &self.memory {
            memory.populate();
        }
    }

    /// The slots `[slot, slot + len)` for writing.
    ///
    /// # Safety
    ///
    /// No other thread reads or writes these slots while the slice lives: they are unpublished, and the
    /// caller is their only writer.
    ///
    /// # Panics
    ///
    /// If the run does not have the slots.
    #[inline(always)]
    #[expect(clippy::mut_from_ref, reason = "the contract above makes the slice exclusive")]
    pub(crate) unsafe fn write(&self, slot: usize, len: usize) -> &mut [T] {
        assert!(self.has(slot, len), "slots that are not there");
        #[cfg(duramen_loom)]
        self.twins(slot, len).iter().for_each(|twin| twin.with_mut(|_| ()));
        // SAFETY: the range is inside the allocation, which is initialised and lives as long as `self`.
        // The caller guarantees exclusive access.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr().add(slot - self.first), len) }
    }

    /// The slots `[slot, slot + len)` for reading.
    ///
    /// # Safety
    ///
    /// The slots were written before this call. Either the caller has loaded with `Acquire` a count that
    /// was stored with `Release` after the write, or the caller is the writer.
    ///
    /// # Panics
    ///
    /// If the run does not have the slots.
    #[inline(always)]
    pub(crate) unsafe fn read(&self, slot: usize, len: usize) -> &[T] {
        assert!(self.has(slot, len), "slots that are not there");
        #[cfg(duramen_loom)]
        self.twins(slot, len).iter().for_each(|twin| twin.with(|_| ()));
        // SAFETY: the range is inside the allocation, which is initialised and lives as long as `self`.
        // The caller guarantees that no thread writes these slots any more.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr().add(slot - self.first), len) }
    }

    /// Copies all slots of `old` into this run, which must have the same slots.
    ///
    /// # Safety
    ///
    /// The caller is the only writer of the level, and no other thread has this run yet.
    ///
    /// # Panics
    ///
    /// If this run does not have all slots of `old`.
    pub(crate) unsafe fn copy_from(&self, old: &Self) {
        if old.len == 0 {
            return;
        }
        // SAFETY: only the caller writes the old slots, and it does not write them now. Only the caller
        // has the new slots. Both runs are initialised, and they are in different memory.
        let (to, from) = unsafe { (self.write(old.first, old.len), old.read(old.first, old.len)) };
        to.copy_from_slice(from);
    }

    #[cfg(duramen_loom)]
    fn twins(&self, slot: usize, len: usize) -> &[loom::cell::UnsafeCell<()>] {
        let twins = self.memory.as_ref().map_or(&[][..], |memory| &memory.twins);
        &twins[slot - self.first..][..len]
    }
}

impl<T> Clone for Slots<T> {
    fn clone(&self) -> Self {
        let Self { first, len, start, memory } = self;
        Self { first: *first, len: *len, start: *start, memory: memory.clone() }
    }
}

/// No slots.
impl<T> Default for Slots<T> {
    fn default() -> Self {
        Self { first: 0, len: 0, start: NonNull::dangling(), memory: None }
    }
}

impl<T> fmt::Debug for Slots<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} slots from {}", self.len, self.first)
    }
}

impl<T: Slot> Memory<T> {
    /// Allocates `len` zeroed slots. Returns their address and their owner.
    fn new(len: usize, account: &Account) -> (NonNull<T>, Self) {
        let bytes = len * size_of::<T>();
        let charge = account.charge(bytes);
        let mapped = if bytes >= MAP_FROM && !cfg!(any(miri, duramen_loom)) {
            // The system aligns a map to huge pages if its length is a multiple of a huge page. Pages
            // that are never touched take no memory.
            memmap2::MmapMut::map_anon(bytes.next_multiple_of(HUGE_PAGE)).ok()
        } else {
            None
        };
        let (start, bytes) = match mapped {
            Some(mut map) => (map.as_mut_ptr().cast::<T>(), Bytes::Mapped(map)),
            None => {
                let mut slots = vec![T::ZERO; len];
                (slots.as_mut_ptr(), Bytes::Heap(slots))
            }
        };
        let memory = Self {
            bytes,
            _charge: charge,
            #[cfg(duramen_loom)]
            twins: (0..len).map(|_| loom::cell::UnsafeCell::new(())).collect(),
        };
        (NonNull::new(start).unwrap_or(NonNull::dangling()), memory)
    }

    /// Asks for huge pages for the bytes from `from` up to `to`.
    fn prefer_huge_pages(&self, from: usize, to: usize) {
        #[cfg(target_os = "linux")]
        if let Bytes::Mapped(map) = &self.bytes
            && from < to
        {
            let _ = map.advise_range(memmap2::Advice::HugePage, from, to - from);
        }
        #[cfg(not(target_os = "linux"))]
        let _ = (&self.bytes, from, to);
    }

    /// Has the operating system provide all pages of a map.
    fn populate(&self) {
        #[cfg(target_os = "linux")]
        if let Bytes::Mapped(map) = &self.bytes {
            let _ = map.advise(memmap2::Advice::PopulateWrite);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merkle::{Arity, Level};

    #[test]
    fn slots_are_zero_until_written_and_keep_what_was_written_while_others_are_filled() {
        for (first, len) in [(0, 4), (5, 300), (8, 40_000)] {
            let account = Account::default();
            let slots = Slots::new(first, first + len, len > 300, &account);
            assert!(slots.has(first, len) && slots.has(first + len, 0));
            assert!(!slots.has(first, len + 1) && !slots.has(first.wrapping_sub(1), 1));
            // SAFETY: this test is the only user of the slots. It never reads a slot that a live mutable
            // slice covers.
            unsafe {
                assert_eq!(slots.read(first, len), vec![[0; 32]; len]);
                slots.write(first, 2).fill([7; 32]);
                let seen = slots.read(first, 2);
                slots.write(first + 2, 2).fill([9; 32]);
                assert_eq!(seen, [[7; 32]; 2]);
                assert_eq!(slots.read(first + 1, 2), [[7; 32], [9; 32]]);
                let more = Slots::new(first, first + len + 1, false, &account);
                more.copy_from(&slots);
                more.write(first + len, 1).fill([1; 32]);
                assert_eq!(account.bytes(), (2 * len + 1) as u64 * 32);
                drop(slots);
                assert_eq!(account.bytes(), (len + 1) as u64 * 32);
                assert_eq!(more.read(first + 1, 3), [[7; 32], [9; 32], [9; 32]]);
                assert_eq!(more.read(first + len, 1), [[1; 32]]);
            }
        }
    }

    #[test]
    fn a_level_is_replaced_and_the_others_are_shared() {
        let layout = Layout::with_height(Arity::Two, 3);
        let at = |level| layout.place(Level(level), 1);
        let fits = |chunk: &Chunk, level| {
            chunk.level(at(level).level).is_some_and(|slots| slots.has(at(level).slot, 1))
        };
        let account = Account::default();
        let slots = |level| Slots::new(at(level).slot, at(level).slot + 1, false, &account);
        let high = Chunk::default().with_level(2, &slots(2));
        assert_eq!(high.len(), 1);
        assert_eq!([0, 1, 2].map(|level| fits(&high, level)), [false, false, true]);
        let both = high.with_level(0, &slots(0));
        assert_eq!((high.len(), both.len()), (1, 2));
        assert_eq!([0, 1, 2].map(|level| fits(&both, level)), [true, false, true]);
        let start = |chunk: &Chunk| chunk.level(2).map(|slots| slots.start);
        assert_eq!(start(&high), start(&both));
        let whole = Chunk::whole(layout, false, &account);
        assert_eq!([0, 1, 2].map(|level| fits(&whole, level)), [true; 3]);
        assert_eq!(whole.len(), layout.slots());
        assert_eq!(whole.with_level(0, &slots(0)).len(), layout.slots());
    }
}
