//! Says of most marks that a shard does not have them.
//!
//! # Invariants
//!
//! - The bits of a mark follow from the mark alone, so the filter of a shard that is split is made again from its marks.
//! - They are in one cache line, which the mark selects.
//! - Filters are never moved: to copy those of ten million entries at once would take a while.

/// Filters that are allocated at a time.
const AT_ONCE: usize = 256;
/// Bits of a mark in its line.
const BITS: u32 = 3;
/// A bit of a line has a number of so many bits.
const NUMBER: u32 = 9;
const _: () = assert!(1 << NUMBER == 8 * size_of::<Line>());

#[derive(Clone, Copy, Default)]
#[repr(align(64))]
struct Line([u64; 8]);

/// The filter of a shard. Empty at first.
#[derive(Clone, Copy, Default)]
pub(super) struct Filter([Line; 2]);

/// Where the bits of a mark are: the line, and the numbers of the bits in it, one above the other.
struct Bits {
    line: usize,
    numbers: u32,
}

impl Bits {
    #[inline]
    fn of(mark: u32) -> Self {
        // All marks of a shard end in the same bits. Here every bit of a mark reaches the upper bits.
        let mixed = (u64::from(mark).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as u32;
        Self { line: (mixed >> 31) as usize, numbers: mixed >> (31 - BITS * NUMBER) }
    }

    /// The words of the line with these bits, and the bit of each.
    #[inline]
    fn each(self) -> impl Iterator<Item = (usize, u64)> {
        let number = move |bit| self.numbers >> (bit * NUMBER) & ((1 << NUMBER) - 1);
        (0..BITS).map(number).map(|number| ((number >> 6) as usize, 1 << (number & 63)))
    }
}

impl Filter {
    #[inline]
    fn line(&self, bits: &Bits) -> &[u64; 8] {
        let [first, second] = &self.0;
        if bits.line == 0 { &first.0 } else { &second.0 }
    }

    #[inline]
    pub(super) fn add(&mut self, mark: u32) {
        let bits = Bits::of(mark);
        let [first, second] = &mut self.0;
        let Line(line) = if bits.line == 0 { first } else { second };
        for (word, bit) in bits.each() {
            line[word] |= bit;
        }
    }

    /// `false` is certain.
    #[inline]
    pub(super) fn may_have(&self, mark: u32) -> bool {
        let bits = Bits::of(mark);
        let line = self.line(&bits);
        bits.each().fold(true, |all, (word, bit)| all & (line[word] & bit != 0))
    }

    /// Reads a word of the line of a mark.
    #[inline]
    pub(super) fn touch(&self, mark: u32) -> u64 {
        self.line(&Bits::of(mark))[0]
    }
}

/// The filters of all shards.
#[derive(Default)]
pub(super) struct Filters {
    pieces: Vec<Vec<Filter>>,
}

impl Filters {
    #[inline]
    pub(super) fn get(&self, shard: usize) -> Option<&Filter> {
        self.pieces.get(shard / AT_ONCE)?.get(shard % AT_ONCE)
    }

    #[inline]
    pub(super) fn get_mut(&mut self, shard: usize) -> Option<&mut Filter> {
        self.pieces.get_mut(shard / AT_ONCE)?.get_mut(shard % AT_ONCE)
    }

    pub(super) fn push(&mut self, filter: Filter) {
        let full = |piece: &Vec<Filter>| piece.len() == AT_ONCE;
        // The first piece grows as it is needed: most trees have few leaves outside of parts.
        if self.pieces.first().is_some_and(full) && self.pieces.last().is_none_or(full) {
            self.pieces.push(Vec::with_capacity(AT_ONCE));
        }
        match self.pieces.last_mut() {
            Some(piece) => piece.push(filter),
            None => self.pieces.push(vec![filter]),
        }
    }

    pub(super) fn bytes(&self) -> usize {
        let filters: usize = self.pieces.iter().map(Vec::capacity).sum();
        filters * size_of::<Filter>() + self.pieces.capacity() * size_of::<Vec<Filter>>()
    }
}
