//! Finds leaves by their hash: a static index for every part, a table in memory for leaves that no part has. Pure: what
//! has to be read, compared or written is the caller's.
//!
//! ```text
//! build   leaves ─ key ─ filter (slices) ─ select (the next records, bounded) ─ write (records, fences) ─ blocks
//! lookup  leaf ─ key ─ filter (in memory) ─ fences (in memory) ─ records (one block) ─ the caller compares the leaf
//! ```
//!
//! # Bytes
//!
//! The index of `n` leaves, from 1 to 2^32, is three areas of blocks of 4,096 bytes. Numbers are little-endian, `h` is
//! SipHash-1-3 of the 32 bytes of a leaf under the key of the tree, `2^64 - 1` lowered by one. `w` is the number of bits
//! of `n - 1`, at least 1.
//!
//! | area | blocks | content |
//! | --- | --- | --- |
//! | filter | `ceil(12 n / 32768)` | lines of 64 bytes, 64 to a block, `l` in all |
//! | records | `ceil(n / c)`, `c = floor(32768 / (16 + w))` | `c` records to a block, in the last one the rest |
//! | fences | `ceil(8 r / 4096)` for `r > 1` blocks of records, else none | 8 bytes for every block of records |
//!
//! - **Filter.** A leaf sets eight bits of line `floor(h l / 2^64)`: of word `j` of 8 bytes, from 0 on, the bit with the
//!   number in the six top bits of `h * 0x9e3779b97f4a7c15 mod 2^64`, shifted left by `6 j`.
//! - **Records.** One for every leaf, sorted by `h` and then by the offset of the leaf, its index less that of the first
//!   leaf. Record `i` of a block takes `16 + w` bits from bit `i (16 + w)` on: in the lower 16 the fingerprint, then the
//!   offset. Bits are counted from the lowest one of the first byte.
//! - **Fences.** The fence of a block is the `h` of its first record; if the block before ends with the same `h`, it is
//!   `h + 1`.
//! - **Fingerprint.** `floor((h - base) / step)`. The base is one less than the fence of the block, at least 0; the top is
//!   one less than the fence of the next block. Without fences the base is 0, and the last block's top is `2^64 - 2`.
//!   `step = floor((top - base) / 65536) + 1`.
//!
//! What is left of an area is zeros.

mod builder;
mod fences;
mod filter;
mod key;
mod layout;
mod lookup;
mod near;
mod recent;
mod records;
mod select;
#[cfg(test)]
mod tests;
mod write;

pub(crate) use builder::{BuildError, Builder};
pub(crate) use key::{IndexKey, KeyedHash};
pub(crate) use layout::{BLOCK, Layout, MAX_LEAVES};
pub(crate) use lookup::Index;
pub(crate) use recent::{AT_ONCE, RecentTable};
pub(crate) use records::LeafOffset;
