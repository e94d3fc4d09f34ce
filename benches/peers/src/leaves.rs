//! Leaves that look random and are the same in every run.

/// A leaf as both sides take it.
pub type Leaf = [u8; 32];

/// An endless stream of pseudo-random numbers (SplitMix64).
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// The stream of one seed.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// The next number below `bound`.
    pub const fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// The next leaf.
    pub fn leaf(&mut self) -> Leaf {
        let mut leaf = [0; 32];
        for word in leaf.chunks_exact_mut(8) {
            word.copy_from_slice(&self.next().to_le_bytes());
        }
        leaf
    }
}

/// The first `count` leaves of a seed.
pub fn many(seed: u64, count: u64) -> Vec<Leaf> {
    let mut random = Random::new(seed);
    (0..count).map(|_| random.leaf()).collect()
}
