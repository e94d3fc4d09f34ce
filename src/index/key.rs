//! The keyed hash that gives a leaf its place in an index. Pure.
//!
//! # Invariants
//!
//! - A leaf is any 32 bytes, chosen by anybody. Its place follows from SipHash-1-3 under a random key of the tree,
//!   which no inserter knows, so none can choose leaves that share a place.
//! - A [`KeyedHash`] is never `u64::MAX`: a fence may be one more than a hash.

use crate::merkle::Hash;

/// The secret of a tree's index: 16 random bytes.
#[derive(Clone, Copy)]
pub(crate) struct IndexKey {
    k0: u64,
    k1: u64,
}

/// The place of a leaf in the order of an index. Equal leaves have equal hashes; different leaves may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct KeyedHash(pub(crate) u64);

impl KeyedHash {
    /// The greatest hash.
    pub(crate) const MAX: Self = Self(u64::MAX - 1);

    /// Maps the range of hashes evenly to `0..parts`. It keeps the order. 0 if `parts` is 0.
    #[inline]
    pub(crate) fn scaled(self, parts: u64) -> u64 {
        ((u128::from(self.0) * u128::from(parts)) >> 64) as u64
    }
}

impl IndexKey {
    pub(crate) fn new(bytes: [u8; 16]) -> Self {
        let key = u128::from_le_bytes(bytes);
        #[expect(clippy::cast_possible_truncation, reason = "the two halves")]
        let (k0, k1) = (key as u64, (key >> 64) as u64);
        Self { k0, k1 }
    }

    /// SipHash-1-3 of a leaf. `u64::MAX` becomes [`KeyedHash::MAX`].
    #[inline]
    pub(crate) fn hash(&self, leaf: &Hash) -> KeyedHash {
        KeyedHash(self.sip_hash(leaf).min(KeyedHash::MAX.0))
    }

    #[inline]
    fn sip_hash(&self, leaf: &Hash) -> u64 {
        let mut state = SipState {
            v0: self.k0 ^ 0x736f_6d65_7073_6575,
            v1: self.k1 ^ 0x646f_7261_6e64_6f6d,
            v2: self.k0 ^ 0x6c79_6765_6e65_7261,
            v3: self.k1 ^ 0x7465_6462_7974_6573,
        };
        let (words, _) = leaf.as_chunks::<8>();
        for word in words {
            state.absorb(u64::from_le_bytes(*word));
        }
        state.absorb((size_of::<Hash>() as u64) << 56);
        state.v2 ^= 0xff;
        for _ in 0..3 {
            state.round();
        }
        state.v0 ^ state.v1 ^ state.v2 ^ state.v3
    }
}

/// Shows no byte of the key.
impl std::fmt::Debug for IndexKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("IndexKey(..)")
    }
}

struct SipState {
    v0: u64,
    v1: u64,
    v2: u64,
    v3: u64,
}

impl SipState {
    #[inline(always)]
    fn absorb(&mut self, word: u64) {
        self.v3 ^= word;
        self.round();
        self.v0 ^= word;
    }

    #[inline(always)]
    fn round(&mut self) {
        self.v0 = self.v0.wrapping_add(self.v1);
        self.v2 = self.v2.wrapping_add(self.v3);
        self.v1 = self.v1.rotate_left(13) ^ self.v0;
        self.v3 = self.v3.rotate_left(16) ^ self.v2;
        self.v0 = self.v0.rotate_left(32);
        self.v2 = self.v2.wrapping_add(self.v1);
        self.v0 = self.v0.wrapping_add(self.v3);
        self.v1 = self.v1.rotate_left(17) ^ self.v2;
        self.v3 = self.v3.rotate_left(21) ^ self.v0;
        self.v2 = self.v2.rotate_left(32);
    }
}
